/*
 * An address space under random operations and accesses, against a plain array of pages. Memory is smaller than
 * what is mapped, so that pages go to swap and come back all the time; the machine's translations fail at random.
 *
 * Then the same by several threads, each in a window of its own whose borders lie inside page-table pages, while they
 * look into each other's windows as well.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"

#define PAGE QR_PAGE_SIZE
#define BASE ((uint64_t)1 << 32)
#define NR_PAGES 6144u /* 12 page-table pages */
#define NR_FRAMES 2048u
#define NR_THREADS 3u

struct page {
	bool is_mapped;
	bool is_locked;
	uint32_t prot;
	uint64_t content; /* first and last word */
};

/* A window of the address space and its reference. */
struct world {
	struct machine *machine;
	uint64_t base;
	uint32_t nr_pages;
	bool is_shared; /* others map elsewhere in the address space: fixed addresses only */
	struct page pages[NR_PAGES];
	uint64_t seed;
	uint64_t stamp; /* content is never written twice */
	uint64_t nr_done, nr_failed;
};

static uint64_t va_of(const struct world *world, uint32_t page)
{
	return world->base + page * PAGE;
}

static uint32_t below(struct world *world, uint32_t bound)
{
	return tap_random_below(&world->seed, bound);
}

/* A range of pages, mostly short. */
static void choose_range(struct world *world, uint32_t *first, uint32_t *nr)
{
	*first = below(world, world->nr_pages);
	*nr = 1 + below(world, 1u << below(world, 11));
	*nr = QR_MIN(*nr, world->nr_pages - *first);
}

static uint32_t choose_prot(struct world *world)
{
	static const uint32_t prots[] = {0, QR_PROT_READ, QR_PROT_READ | QR_PROT_EXEC};

	/* Exclusive frames of executable ranges cannot be evicted: few of them. */
	if (below(world, 4))
		return QR_PROT_READ | QR_PROT_WRITE;
	return prots[below(world, QR_ARRAY_SIZE(prots))];
}

static uint32_t nr_mapped(const struct world *world, uint32_t first, uint32_t nr)
{
	uint32_t n = 0;

	for (uint32_t i = first; i < first + nr; i++)
		n += world->pages[i].is_mapped;
	return n;
}

static bool has_locked(const struct world *world, uint32_t first, uint32_t nr)
{
	for (uint32_t i = first; i < first + nr; i++) {
		if (world->pages[i].is_locked)
			return true;
	}
	return false;
}

/* ---- Accesses ---- */

static void check_page(struct world *world, uint32_t i)
{
	const struct page *page = &world->pages[i];
	uint64_t first = 1, last = 1;
	int err = port_test_read_u64(world->machine->space, va_of(world, i), &first);

	if (!page->is_mapped) {
		tap_check_equal(err, QR_EFAULT);
		return;
	}
	if (!page->prot) {
		tap_check_equal(err, QR_EACCES);
		return;
	}
	tap_check_equal(err, 0);
	tap_check_equal(port_test_read_u64(world->machine->space, va_of(world, i) + PAGE - 8, &last), 0);
	tap_check_equal(first, page->content);
	tap_check_equal(last, page->content);
}

static void write_page(struct world *world, uint32_t i)
{
	struct page *page = &world->pages[i];
	uint64_t words[PAGE / 8];
	uint64_t noise = ++world->stamp;
	int err, expected = page->is_mapped ? QR_EACCES : QR_EFAULT;

	/* Half of the pages does not compress. */
	for (uint32_t word = 0; word < PAGE / 8; word++)
		words[word] = noise & 1 ? tap_random(&world->seed) : noise;
	words[0] = words[PAGE / 8 - 1] = noise;
	err = port_test_write(world->machine->space, va_of(world, i), words, sizeof(words));
	if (page->is_mapped && page->prot & QR_PROT_WRITE) {
		expected = 0;
		page->content = noise;
	}
	tap_check_equal(err, expected);
}

/* holds: the page-table page, so that a folio that an entry names cannot be freed. */
static void check_folio(struct world *world, uint32_t i, const struct qr_vma *vma, qr_pte_t pte)
{
	const struct qr_zone *zone = &world->machine->vmm->zone;
	const struct qr_frame *folio;

	if (!qr_pte_is_present(pte) && !qr_pte_is_idle(pte))
		return;
	folio = qr_folio_of_pfn(zone, qr_pte_pfn(pte).nr);
	tap_check_equal(qr_pte_prot(pte), world->pages[i].prot);
	tap_check_equal(folio->index + (qr_pte_pfn(pte).nr - qr_zone_pfn(zone, folio)),
			vma->index + (va_of(world, i) - vma->start) / PAGE);
	tap_check(folio->owner == vma->object);
}

/* The entry of a page agrees with its VMA, and its folio with both. */
static void check_entry(struct world *world, uint32_t i)
{
	struct qr_aspace *aspace = world->machine->aspace;
	struct qr_vma *vma = qr_aspace_find_locked(aspace, va_of(world, i));
	struct qr_frame *page = vma ? qr_pgtable_find(&aspace->pgtable, va_of(world, i)) : NULL;

	tap_check_equal(!!vma, world->pages[i].is_mapped);
	if (page) {
		qr_pt_lock(page);
		check_folio(world, i, vma, qr_pte_read(qr_pt_entry(&aspace->pgtable, page, va_of(world, i))));
		qr_pt_unlock(page);
	}
	if (vma) {
		tap_check_equal(vma->prot, world->pages[i].prot);
		tap_check_equal(!!(vma->flags & QR_VMA_LOCKED), world->pages[i].is_locked);
		qr_vma_unlock(vma);
	}
}

static void check_all(struct world *world)
{
	for (uint32_t i = 0; i < world->nr_pages && !tap_has_failed(); i++)
		check_entry(world, i);
	if (!world->is_shared) {
		tap_check(qr_aspace_is_valid(world->machine->aspace));
		tap_check(qr_zone_is_valid(&world->machine->vmm->zone));
	}
	for (uint32_t i = 0; i < world->nr_pages && !tap_has_failed(); i++)
		check_page(world, i);
}

/* ---- Operations ---- */

static int op_access(struct world *world)
{
	uint32_t first, nr;

	choose_range(world, &first, &nr);
	for (uint32_t i = first; i < first + nr && i < first + 64; i++) {
		if (below(world, 2))
			write_page(world, i);
		else
			check_page(world, i);
	}
	return 0;
}

static void set_mapped(struct world *world, uint32_t first, uint32_t nr, uint32_t prot, bool is_locked)
{
	for (uint32_t i = first; i < first + nr; i++)
		world->pages[i] = (struct page){.is_mapped = true, .prot = prot, .is_locked = is_locked};
}

static int op_map(struct world *world)
{
	static const uint32_t kinds[] = {0, 0, QR_MAP_FIXED, QR_MAP_FIXED, QR_MAP_FIXED_NOREPLACE};
	uint32_t flags = kinds[below(world, QR_ARRAY_SIZE(kinds))];
	uint32_t first, nr, prot = choose_prot(world);
	uint64_t align = PAGE << (below(world, 4) ? 0 : below(world, 10));
	uint64_t va = 0, hint;
	int err;

	if (world->is_shared)
		flags = QR_MAP_FIXED;
	choose_range(world, &first, &nr);
	hint = flags || below(world, 2) ? va_of(world, first) : 0;
	err = qr_map(world->machine->aspace, hint, nr * PAGE, align, prot, flags, NULL, 0, &va);
	if (flags == QR_MAP_FIXED_NOREPLACE && nr_mapped(world, first, nr)) {
		tap_check_equal(err, QR_EEXIST);
		return 0;
	}
	if (flags) {
		tap_check_equal(err, 0);
		tap_check_equal(va, va_of(world, first));
	} else if (err) {
		/* No run of free pages is as long, with room to align. */
		tap_check_equal(err, QR_ENOMEM);
		for (uint32_t i = 0; i + nr <= world->nr_pages && align == PAGE; i++)
			tap_check(nr_mapped(world, i, nr) != 0);
	} else {
		first = (uint32_t)((va - world->base) / PAGE);
		tap_check(va >= world->base && first + nr <= world->nr_pages && !nr_mapped(world, first, nr));
		tap_check(va == hint || !(va & (align - 1)));
	}
	if (!err)
		set_mapped(world, first, nr, prot, false);
	return err;
}

static int op_unmap(struct world *world)
{
	uint32_t first, nr;
	int err;

	choose_range(world, &first, &nr);
	err = qr_unmap(world->machine->aspace, va_of(world, first), nr * PAGE);
	tap_check_equal(err, 0);
	memset(&world->pages[first], 0, nr * sizeof(world->pages[0]));
	return err;
}

static int op_protect(struct world *world)
{
	uint32_t first, nr, prot = choose_prot(world);
	bool is_whole;
	int err;

	choose_range(world, &first, &nr);
	is_whole = nr_mapped(world, first, nr) == nr;
	err = qr_protect(world->machine->aspace, va_of(world, first), nr * PAGE, prot);
	tap_check_equal(err, is_whole ? 0 : QR_ENOMEM);
	for (uint32_t i = first; i < first + nr && world->pages[i].is_mapped; i++)
		world->pages[i].prot = prot;
	return err;
}

static int op_remap(struct world *world)
{
	static const uint32_t kinds[] = {0, QR_REMAP_MAYMOVE, QR_REMAP_MAYMOVE, QR_REMAP_MAYMOVE | QR_REMAP_FIXED};
	uint32_t flags = kinds[below(world, QR_ARRAY_SIZE(kinds))];
	uint32_t first, nr, to, new_nr;
	struct page *moved;
	uint64_t va = 0;
	int err;

	if (world->is_shared)
		flags = QR_REMAP_MAYMOVE | QR_REMAP_FIXED;
	choose_range(world, &first, &nr);
	choose_range(world, &to, &new_nr);
	if (below(world, 2))
		new_nr = QR_MIN(nr, world->nr_pages - to);
	/* Prefer a source that may succeed: within one run of equal pages. */
	for (uint32_t i = 1; i < nr; i++) {
		if (!world->pages[i + first].is_mapped || world->pages[first + i].prot != world->pages[first].prot)
			nr = i;
	}
	err = qr_remap(world->machine->aspace, va_of(world, first), nr * PAGE, new_nr * PAGE, flags, va_of(world, to),
		       &va);
	if (err) {
		bool is_overlap = first < to + new_nr && to < first + nr;

		tap_check(err != QR_EINVAL || (flags & QR_REMAP_FIXED && is_overlap));
		if (err != QR_EINVAL && flags & QR_REMAP_FIXED && err != QR_EFAULT)
			tap_check_equal(err, 0);
		return err;
	}
	tap_check(nr_mapped(world, first, nr) == nr);
	if (flags & QR_REMAP_FIXED)
		tap_check_equal(va, va_of(world, to));
	to = (uint32_t)((va - world->base) / PAGE);
	moved = calloc(new_nr, sizeof(*moved));
	for (uint32_t i = 0; i < new_nr; i++) {
		moved[i] = world->pages[first];
		moved[i].content = i < nr ? world->pages[first + i].content : 0;
	}
	memset(&world->pages[first], 0, nr * sizeof(*moved));
	memcpy(&world->pages[to], moved, new_nr * sizeof(*moved));
	free(moved);
	return 0;
}

static int op_drop(struct world *world)
{
	uint32_t first, nr;
	bool is_whole;
	int err;

	choose_range(world, &first, &nr);
	is_whole = nr_mapped(world, first, nr) == nr;
	if (has_locked(world, first, nr))
		return QR_EINVAL;
	do
		err = qr_advise(world->machine->aspace, va_of(world, first), nr * PAGE,
				below(world, 2) ? QR_ADVISE_DONTNEED : QR_ADVISE_FREE);
	while (err == QR_EBUSY);
	tap_check_equal(err, is_whole ? 0 : QR_ENOMEM);
	for (uint32_t i = first; i < first + nr; i++)
		world->pages[i].content = 0;
	return err;
}

static int op_advise(struct world *world)
{
	static const enum qr_advice advices[] = {
		QR_ADVISE_NORMAL,     QR_ADVISE_RANDOM,     QR_ADVISE_SEQUENTIAL, QR_ADVISE_WILLNEED, QR_ADVISE_COLD,
		QR_ADVISE_PAGEOUT,    QR_ADVISE_HUGE,       QR_ADVISE_NOHUGE,     QR_ADVISE_DONTFORK, QR_ADVISE_DOFORK,
		QR_ADVISE_WIPEONFORK, QR_ADVISE_KEEPONFORK, QR_ADVISE_POPULATE,
	};
	enum qr_advice advice = advices[below(world, QR_ARRAY_SIZE(advices))];
	uint32_t first, nr;
	bool is_whole;
	int err;

	choose_range(world, &first, &nr);
	is_whole = nr_mapped(world, first, nr) == nr;
	err = qr_advise(world->machine->aspace, va_of(world, first), nr * PAGE, advice);
	if ((advice == QR_ADVISE_COLD || advice == QR_ADVISE_PAGEOUT) && has_locked(world, first, nr))
		tap_check_equal(err, QR_EINVAL);
	else
		tap_check_equal(err, is_whole ? 0 : QR_ENOMEM);
	return err;
}

static int op_lock(struct world *world)
{
	bool is_lock = below(world, 4) == 0;
	uint32_t first, nr, i;
	int err;

	choose_range(world, &first, &nr);
	nr = is_lock ? QR_MIN(nr, 32u) : nr;
	err = (is_lock ? qr_lock : qr_unlock)(world->machine->aspace, va_of(world, first), nr * PAGE);
	tap_check_equal(err, nr_mapped(world, first, nr) == nr ? 0 : QR_ENOMEM);
	for (i = first; i < first + nr; i++)
		world->pages[i].is_locked = is_lock && world->pages[i].is_mapped;
	for (i = first; i < first + nr && !err && is_lock; i++) {
		uint8_t is_resident = 0;

		tap_check_equal(qr_mincore(world->machine->aspace, va_of(world, i), PAGE, &is_resident), 0);
		tap_check(is_resident || !world->pages[i].prot);
	}
	return err;
}

/* What is locked stays in memory. */
static int op_mincore(struct world *world)
{
	uint8_t is_resident[1024];
	uint32_t first, nr;
	int err;

	choose_range(world, &first, &nr);
	nr = QR_MIN(nr, sizeof(is_resident));
	err = qr_mincore(world->machine->aspace, va_of(world, first), nr * PAGE, is_resident);
	tap_check_equal(err, nr_mapped(world, first, nr) == nr ? 0 : QR_ENOMEM);
	for (uint32_t i = 0; i < nr && !err; i++) {
		tap_check(is_resident[i] || !world->pages[first + i].is_locked || !world->pages[first + i].prot);
		tap_check(!is_resident[i] || world->pages[first + i].is_mapped);
	}
	return err;
}

/* Anything may be in the windows of others, or nothing: only that nothing breaks is of interest. */
static int op_look_around(struct world *world)
{
	for (uint32_t n = 0; n < 16; n++) {
		uint64_t va = BASE + below(world, NR_PAGES) * PAGE, value;
		uint8_t is_resident[4];
		int err = port_test_read_u64(world->machine->space, va, &value);

		tap_check(!err || err == QR_EFAULT || err == QR_EACCES);
		(void)!qr_mincore(world->machine->aspace, va, sizeof(is_resident) * PAGE, is_resident);
	}
	(void)!qr_advise(world->machine->aspace, BASE + below(world, NR_PAGES - 64) * PAGE, 64 * PAGE,
			 below(world, 2) ? QR_ADVISE_COLD : QR_ADVISE_PAGEOUT);
	return 0;
}

static void take_step(struct world *world, uint32_t step)
{
	static const struct {
		const char *name;
		int (*run)(struct world *world);
		uint32_t weight;
	} ops[] = {
		{"access", op_access, 8},           {"map", op_map, 4},     {"unmap", op_unmap, 2},
		{"protect", op_protect, 2},         {"remap", op_remap, 3}, {"drop", op_drop, 1},
		{"advise", op_advise, 3},           {"lock", op_lock, 1},   {"mincore", op_mincore, 1},
		{"look around", op_look_around, 1},
	};
	uint32_t choice = below(world, 26), i = 0;

	while (choice >= ops[i].weight)
		choice -= ops[i++].weight;
	if (ops[i].run(world))
		world->nr_failed++;
	world->nr_done++;
	if (tap_has_failed())
		tap_note("step %u: %s", step, ops[i].name);
	if (step % 250 == 249)
		check_all(world);
	else if (step % 10 == 0 && !world->is_shared)
		tap_check(qr_aspace_is_valid(world->machine->aspace));
}

static void note_machine(const struct machine *machine)
{
	tap_note("%llu VMAs, %llu pages resident, %llu in swap, %llu stored in all",
		 (unsigned long long)machine->aspace->nr_vmas,
		 (unsigned long long)qr_aspace_nr_resident(machine->aspace),
		 (unsigned long long)qr_aspace_nr_swapped(machine->aspace),
		 (unsigned long long)qr_stat_sum(&machine->vmm->stats, QR_STAT_swapout_pages));
}

static struct world *world_new(struct machine *machine, uint32_t first, uint32_t nr)
{
	struct world *world = calloc(1, sizeof(*world));

	tap_require(world);
	world->machine = machine;
	world->base = BASE + first * PAGE;
	world->nr_pages = nr;
	world->is_shared = nr != NR_PAGES;
	world->seed = tap_seed() + first;
	return world;
}

static void run(bool is_exclusive)
{
	struct machine machine;
	struct world *world = world_new(&machine, 0, NR_PAGES);

	machine_open(&machine, NR_FRAMES, is_exclusive, BASE, BASE + NR_PAGES * PAGE);
	port_test_set_chaos(machine.port, 40, world->seed);
	for (uint32_t step = 0; step < 4000 && !tap_has_failed(); step++)
		take_step(world, step);
	tap_note("%llu operations, %llu with an error", (unsigned long long)world->nr_done,
		 (unsigned long long)world->nr_failed);
	note_machine(&machine);
	port_test_set_chaos(machine.port, 0, 0);
	machine_close(&machine);
	free(world);
}

static void test_exclusive(void)
{
	run(true);
}

static void test_shared(void)
{
	run(false);
}

static void *thread_main(void *argument)
{
	for (uint32_t step = 0; step < 1000 && !tap_has_failed(); step++)
		take_step(argument, step);
	return NULL;
}

static void test_threads(void)
{
	struct machine machine;
	struct world *worlds[NR_THREADS];
	pthread_t threads[NR_THREADS];

	machine_open(&machine, NR_FRAMES, true, BASE, BASE + NR_PAGES * PAGE);
	port_test_set_chaos(machine.port, 200, tap_seed());
	port_test_set_yield(8);
	tap_require(qr_kswapd_start(machine.vmm) == 0);
	for (uint32_t i = 0; i < NR_THREADS; i++) {
		worlds[i] = world_new(&machine, i * (NR_PAGES / NR_THREADS - 100), NR_PAGES / NR_THREADS - 100);
		tap_require(pthread_create(&threads[i], NULL, thread_main, worlds[i]) == 0);
	}
	for (uint32_t i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	for (uint32_t i = 0; i < NR_THREADS; i++) {
		check_all(worlds[i]);
		free(worlds[i]);
	}
	tap_check(qr_aspace_is_valid(machine.aspace));
	note_machine(&machine);
	port_test_set_chaos(machine.port, 0, 0);
	qr_kswapd_stop(machine.vmm);
	machine_close(&machine);
}

static const struct tap_test tests[] = {
	{"aspace_random_operations_match_model", test_exclusive},
	{"aspace_random_operations_on_shared_frames_match_model", test_shared},
	{"aspace_threads_match_models", test_threads},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
