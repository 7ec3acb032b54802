/* See family.h. */
#include "family.h"

#include <stdlib.h>
#include <string.h>

static uint32_t below(struct world *world, uint32_t bound)
{
	return tap_random_below(&world->seed, bound);
}

static void choose_range(struct world *world, uint32_t *first, uint32_t *nr)
{
	*first = below(world, NR_PAGES);
	*nr = 1 + below(world, 1u << below(world, 11));
	*nr = QR_MIN(*nr, NR_PAGES - *first);
}

int family_fault(void *context, uint64_t va, uint32_t access)
{
	return qr_fault(context, va, access == QR_PROT_WRITE ? QR_FAULT_WRITE : 0);
}

/* ---- Accesses ---- */

static void check_page(const struct process *process, uint32_t i)
{
	const struct page *page = &process->pages[i];
	uint64_t first = 1, last = 1;
	int err = port_test_read_u64(process->space, va_of(i), &first);

	if (!page->is_mapped || !page->prot) {
		tap_check_equal(err, page->is_mapped ? QR_EACCES : QR_EFAULT);
		return;
	}
	tap_check_equal(err, 0);
	tap_check_equal(port_test_read_u64(process->space, va_of(i) + PAGE - 8, &last), 0);
	tap_check_equal(first, page->content);
	tap_check_equal(last, page->content);
}

static void write_page(struct world *world, struct process *process, uint32_t i)
{
	struct page *page = &process->pages[i];
	uint64_t noise = ++world->stamp << 8 | (uint64_t)(process - world->processes);
	int err, expected = page->is_mapped ? QR_EACCES : QR_EFAULT;
	uint64_t words[2] = {noise, tap_random(&world->seed)};

	if (page->is_mapped && page->prot & QR_PROT_WRITE) {
		expected = 0;
		page->content = noise;
	}
	err = port_test_write(process->space, va_of(i), words, sizeof(words));
	tap_check_equal(err, expected);
	/* The rest of the page is what it was, shared or not. */
	err = port_test_write(process->space, va_of(i) + PAGE - 8, &noise, sizeof(noise));
	tap_check_equal(err, expected);
}

/* ---- Operations ---- */

void world_access(struct world *world, struct process *process)
{
	uint32_t first, nr;

	choose_range(world, &first, &nr);
	for (uint32_t i = first; i < first + nr && i < first + 96; i++) {
		if (below(world, 2))
			write_page(world, process, i);
		else
			check_page(process, i);
	}
}

void world_map(struct world *world, struct process *process)
{
	uint32_t first, nr, prot = below(world, 6) ? RW : QR_PROT_READ;
	uint64_t va;

	choose_range(world, &first, &nr);
	tap_check_equal(qr_map(process->aspace, va_of(first), nr * PAGE, PAGE, prot, QR_MAP_FIXED, NULL, 0, &va), 0);
	for (uint32_t i = first; i < first + nr; i++)
		process->pages[i] = (struct page){.is_mapped = true, .prot = prot};
}

static void op_unmap(struct world *world, struct process *process)
{
	uint32_t first, nr;

	choose_range(world, &first, &nr);
	tap_check_equal(qr_unmap(process->aspace, va_of(first), nr * PAGE), 0);
	memset(&process->pages[first], 0, nr * sizeof(process->pages[0]));
}

static void op_protect(struct world *world, struct process *process)
{
	static const uint32_t prots[] = {0, QR_PROT_READ, RW, RW, RW};
	uint32_t first, nr, prot = prots[below(world, QR_ARRAY_SIZE(prots))];

	choose_range(world, &first, &nr);
	(void)!qr_protect(process->aspace, va_of(first), nr * PAGE, prot);
	for (uint32_t i = first; i < first + nr && process->pages[i].is_mapped; i++)
		process->pages[i].prot = prot;
}

static void op_remap(struct world *world, struct process *process)
{
	struct page moved[NR_PAGES];
	uint32_t first, nr, to;
	uint64_t va;

	choose_range(world, &first, &nr);
	to = below(world, NR_PAGES);
	nr = QR_MIN(nr, NR_PAGES - to);
	if (qr_remap(process->aspace, va_of(first), nr * PAGE, nr * PAGE, QR_REMAP_MAYMOVE | QR_REMAP_FIXED, va_of(to),
		     &va))
		return;
	memcpy(moved, &process->pages[first], nr * sizeof(moved[0]));
	memset(&process->pages[first], 0, nr * sizeof(moved[0]));
	memcpy(&process->pages[to], moved, nr * sizeof(moved[0]));
}

static void op_drop(struct world *world, struct process *process)
{
	uint32_t first, nr;
	int err;

	choose_range(world, &first, &nr);
	for (uint32_t i = first; i < first + nr; i++)
		if (process->pages[i].is_locked)
			return;
	do
		err = qr_advise(process->aspace, va_of(first), nr * PAGE, QR_ADVISE_DONTNEED);
	while (err == QR_EBUSY);
	for (uint32_t i = first; i < first + nr; i++)
		process->pages[i].content = 0;
}

static void op_advise(struct world *world, struct process *process)
{
	static const enum qr_advice advices[] = {
		QR_ADVISE_WILLNEED,   QR_ADVISE_COLD,       QR_ADVISE_PAGEOUT,  QR_ADVISE_PAGEOUT, QR_ADVISE_DONTFORK,
		QR_ADVISE_WIPEONFORK, QR_ADVISE_KEEPONFORK, QR_ADVISE_POPULATE, QR_ADVISE_DOFORK,
	};
	enum qr_advice advice = advices[below(world, QR_ARRAY_SIZE(advices))];
	uint32_t first, nr;

	choose_range(world, &first, &nr);
	(void)!qr_advise(process->aspace, va_of(first), nr * PAGE, advice);
	for (uint32_t i = first; i < first + nr; i++) {
		struct page *page = &process->pages[i];

		if (!page->is_mapped)
			continue;
		page->is_left_out = advice == QR_ADVISE_DONTFORK || (page->is_left_out && advice != QR_ADVISE_DOFORK);
		page->is_wiped = advice == QR_ADVISE_WIPEONFORK || (page->is_wiped && advice != QR_ADVISE_KEEPONFORK);
	}
}

static void op_lock(struct world *world, struct process *process)
{
	bool is_lock = below(world, 3) == 0;
	uint32_t first, nr;
	int err;

	choose_range(world, &first, &nr);
	nr = is_lock ? QR_MIN(nr, 16u) : nr;
	err = (is_lock ? qr_lock : qr_unlock)(process->aspace, va_of(first), nr * PAGE);
	tap_check(!err || err == QR_ENOMEM);
	for (uint32_t i = first; i < first + nr; i++)
		process->pages[i].is_locked = is_lock && process->pages[i].is_mapped;
}

void world_fork(struct world *world, struct process *process)
{
	struct process *child = &world->processes[below(world, NR_PROCESSES)];

	if (child->aspace)
		return;
	child->space = port_test_space_create(world->machine->port);
	tap_require(qr_aspace_fork(process->aspace, child->space, &child->aspace) == 0);
	port_test_set_fault(child->space, family_fault, child->aspace);
	for (uint32_t i = 0; i < NR_PAGES; i++) {
		child->pages[i] = process->pages[i];
		child->pages[i].is_locked = false;
		if (process->pages[i].is_left_out)
			memset(&child->pages[i], 0, sizeof(child->pages[i]));
		else if (process->pages[i].is_wiped)
			child->pages[i].content = 0;
	}
	world->nr_forks++;
}

void world_exit(struct world *world, struct process *process)
{
	uint32_t nr_alive = 0;

	for (uint32_t i = 0; i < NR_PROCESSES; i++)
		nr_alive += world->processes[i].aspace != NULL;
	/* The first one of the first world belongs to the machine. */
	if (nr_alive == 1 || process->aspace == world->machine->aspace)
		return;
	qr_aspace_destroy(process->aspace);
	port_test_space_destroy(process->space);
	process->aspace = NULL;
	world->nr_exits++;
}

static void op_reclaim(struct world *world, struct process *process)
{
	(void)process;
	(void)qr_reclaim(world->machine->vmm, 1 + below(world, 128));
}

/* ---- Checks ---- */

/* What entries say about each frame. */
struct census {
	uint32_t nr_entries[NR_FRAMES];
	bool is_writable[NR_FRAMES];
};

static void count_process(const struct process *process, struct census *census)
{
	struct qr_aspace *aspace = process->aspace;
	uint64_t nr_resident = 0, nr_swapped = 0;

	for (uint32_t i = 0; i < NR_PAGES; i++) {
		struct qr_frame *page = qr_pgtable_find(&aspace->pgtable, va_of(i));
		qr_pte_t pte = page ? qr_pte_read(qr_pt_entry(&aspace->pgtable, page, va_of(i))) : qr_pte_none();
		uint32_t prot = 0;

		nr_swapped += qr_pte_is_swap(pte);
		/* What the machine allows is what the entry says. */
		tap_check_equal(port_test_lookup(process->space, va_of(i), NULL, &prot), qr_pte_is_present(pte));
		if (!qr_pte_is_present(pte) && !qr_pte_is_idle(pte))
			continue;
		nr_resident++;
		tap_check(!qr_pte_is_present(pte) || prot == qr_pte_prot(pte));
		tap_check(!(qr_pte_prot(pte) & ~process->pages[i].prot));
		census->nr_entries[qr_pte_pfn(pte).nr]++;
		census->is_writable[qr_pte_pfn(pte).nr] |= qr_pte_is_writable(pte);
	}
	tap_check_equal(qr_aspace_nr_resident(aspace), nr_resident);
	tap_check_equal(qr_aspace_nr_swapped(aspace), nr_swapped);
	tap_check(qr_aspace_is_valid(aspace));
}

void check_sharing(struct world *const *worlds, uint32_t nr_worlds)
{
	struct qr_vmm *vmm = worlds[0]->machine->vmm;
	struct census *census = calloc(1, sizeof(*census));

	qr_lru_drain(&vmm->lru);
	for (uint32_t w = 0; w < nr_worlds; w++) {
		for (uint32_t i = 0; i < NR_PROCESSES; i++)
			if (worlds[w]->processes[i].aspace)
				count_process(&worlds[w]->processes[i], census);
	}
	for (uint32_t pfn = 0; pfn < NR_FRAMES; pfn++) {
		const struct qr_frame *folio = qr_zone_frame(&vmm->zone, pfn);
		uint32_t nr = 0;

		tap_check(census->nr_entries[pfn] <= 1 || !census->is_writable[pfn]);
		if (qr_frame_kind(folio) != QR_FRAME_FOLIO)
			continue;
		for (uint32_t i = 0; i < qr_folio_nr_pages(folio); i++)
			nr += census->nr_entries[pfn + i];
		tap_check_equal(qr_load_relaxed(&folio->refs), nr);
	}
	tap_check(qr_zone_is_valid(&vmm->zone) && qr_lru_is_valid(&vmm->lru) && qr_swap_is_valid(vmm->swap));
	free(census);
}

void check_content(const struct world *world)
{
	for (uint32_t n = 0; n < NR_PROCESSES && !tap_has_failed(); n++) {
		for (uint32_t i = 0; i < NR_PAGES && world->processes[n].aspace && !tap_has_failed(); i++)
			check_page(&world->processes[n], i);
	}
}

void world_step(struct world *world, uint32_t step)
{
	static const struct {
		const char *name;
		void (*run)(struct world *world, struct process *process);
		uint32_t weight;
	} ops[] = {
		{"access", world_access, 10}, {"map", world_map, 2},      {"unmap", op_unmap, 1},
		{"protect", op_protect, 2},   {"remap", op_remap, 2},     {"drop", op_drop, 1},
		{"advise", op_advise, 3},     {"lock", op_lock, 1},       {"fork", world_fork, 4},
		{"exit", world_exit, 2},      {"reclaim", op_reclaim, 2},
	};
	uint32_t choice = below(world, 30), i = 0;
	struct process *process;

	do
		process = &world->processes[below(world, NR_PROCESSES)];
	while (!process->aspace);
	while (choice >= ops[i].weight)
		choice -= ops[i++].weight;
	ops[i].run(world, process);
	if (tap_has_failed())
		tap_note("step %u: %s", step, ops[i].name);
}

/* ---- Life ---- */

struct world *world_new(struct machine *machine, uint32_t number)
{
	struct world *world = calloc(1, sizeof(*world));

	tap_require(world);
	world->machine = machine;
	world->seed = tap_seed() + number;
	world->stamp = (uint64_t)number << 32;
	return world;
}

void world_free(struct world *world)
{
	for (uint32_t i = 0; i < NR_PROCESSES; i++) {
		if (!world->processes[i].aspace || world->processes[i].aspace == world->machine->aspace)
			continue;
		qr_aspace_destroy(world->processes[i].aspace);
		port_test_space_destroy(world->processes[i].space);
	}
	free(world);
}

struct world *family_open(struct machine *machine, const struct qr_choices *choices)
{
	struct world *world = world_new(machine, 0);

	machine_open_with(machine, NR_FRAMES, false, BASE, BASE + NR_PAGES * PAGE, choices);
	world->processes[0].space = machine->space;
	world->processes[0].aspace = machine->aspace;
	return world;
}
