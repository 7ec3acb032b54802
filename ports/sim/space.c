/* Translation: page tables as plain arrays, TLBs, inter-processor interrupts. See space.h. */
#include "space.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MAX_SPACES 8192u
#define NR_PAGES (QR_SIM_SPACE_BYTES / QR_PAGE_SIZE)

/* An entry: PFN, rights, and DYING while a mapping is being taken away: TLBs may still hold it. */
#define ENTRY_PRESENT ((uint64_t)1 << 63)
#define ENTRY_DYING ((uint64_t)1 << 62)
#define ENTRY_PROT_SHIFT 32u

struct qr_port_space {
	uint32_t id; /* 1, 2, ... */
	uint64_t *entries; /* [page - first], lazily backed */
	uint64_t nr_mapped;
	uint64_t cpus[QR_MAX_CPUS / 64]; /* bitmap: may have translations of it */
	struct qr_port_space *next; /* among those that ended */
};

static uint32_t nr_spaces;
static struct qr_port_space *free_spaces;
static bool is_shootdown_left_out, is_shootdown_late;
static bool (*frame_is_in_use)(uint32_t pfn);

static void bury(struct qr_port_space *space, uint64_t va, uint32_t nr);
static void shoot_down(struct qr_port_space *space, uint64_t va, uint32_t nr);
static void flush_tlb(struct qr_sim_cpu *cpu, uint32_t space, uint64_t page, uint32_t nr);
static void take_interrupts(struct qr_sim_cpu *cpu);

struct qr_port_space *qr_sim_space_create(struct qr_port *port)
{
	struct qr_port_space *space = free_spaces;

	(void)port;
	if (space) {
		free_spaces = space->next;
		return space;
	}
	space = calloc(1, sizeof(*space));
	if (!space || nr_spaces == MAX_SPACES)
		qr_sim_fail("more than %u address spaces", MAX_SPACES);
	space->entries = qr_sim_reserve(QR_SIM_TABLES + (uint64_t)nr_spaces * NR_PAGES * sizeof(uint64_t),
					NR_PAGES * sizeof(uint64_t));
	space->id = ++nr_spaces;
	return space;
}

void qr_sim_space_destroy(struct qr_port_space *space)
{
	if (space->nr_mapped)
		qr_sim_fail("an address space ends with %llu pages mapped", (unsigned long long)space->nr_mapped);
	/* Nothing of it is in a TLB: whatever was mapped was shot down. Its empty tables serve the next one. */
	memset(space->cpus, 0, sizeof(space->cpus));
	space->next = free_spaces;
	free_spaces = space;
}

uint64_t qr_sim_space_nr_mapped(const struct qr_port_space *space)
{
	return space->nr_mapped;
}

void qr_sim_leave_out_shootdown(void)
{
	is_shootdown_left_out = true;
}

void qr_sim_delay_shootdown(void)
{
	is_shootdown_late = true;
}

void qr_sim_watch_frames(bool (*is_in_use)(uint32_t pfn))
{
	frame_is_in_use = is_in_use;
}

/* Somebody may still use the frame through the mapping. */
static void check_not_freed(uint32_t pfn, uint64_t va)
{
	if (frame_is_in_use && !frame_is_in_use(pfn))
		qr_sim_fail("stale translation: frame %u was freed before the shoot-down of 0x%llx, which maps it, had "
			    "ended",
			    pfn, (unsigned long long)va);
}

static uint64_t *entry_of(struct qr_port_space *space, uint64_t va)
{
	if (va - QR_SIM_SPACE_START >= QR_SIM_SPACE_BYTES)
		qr_sim_fail("address 0x%llx is outside of the simulated spaces", (unsigned long long)va);
	return &space->entries[(va - QR_SIM_SPACE_START) >> QR_PAGE_SHIFT];
}

static uint32_t prot_of(uint64_t entry)
{
	return (uint32_t)(entry >> ENTRY_PROT_SHIFT) & (QR_PROT_READ | QR_PROT_WRITE | QR_PROT_EXEC);
}

static bool allows(uint64_t entry, bool is_write)
{
	return entry & ENTRY_PRESENT && prot_of(entry) & (is_write ? QR_PROT_WRITE : QR_PROT_READ);
}

static uint64_t key_of(const struct qr_port_space *space, uint64_t page)
{
	return (uint64_t)space->id << 40 | page;
}

static struct qr_sim_tlb_entry *tlb_slot(struct qr_sim_cpu *cpu, uint32_t space, uint64_t page)
{
	return &cpu->tlb[(page ^ space * 0x9e3779b1u) & qr_sim.costs.tlb_mask];
}

/* What was loaded is still true, or about to be taken away with the interrupt on its way. */
static void check_not_stale(const struct qr_sim_cpu *cpu, uint64_t loaded, uint64_t entry, uint64_t va, bool is_write)
{
	if (entry & ENTRY_DYING) {
		check_not_freed((uint32_t)entry, va);
		return;
	}
	if (allows(entry, is_write) && (uint32_t)entry == (uint32_t)loaded)
		return;
	qr_sim_fail("stale translation: CPU %u %s 0x%llx through its TLB, which says frame %u, but the mapping %s",
		    cpu->id, is_write ? "writes to" : "reads from", (unsigned long long)va, (uint32_t)loaded,
		    !(entry & ENTRY_PRESENT)              ? "is gone"
		    : (uint32_t)entry != (uint32_t)loaded ? "is of another frame"
							  : "forbids it");
}

bool qr_sim_translate(struct qr_port_space *space, uint64_t va, bool is_write, uint32_t *pfn)
{
	struct qr_sim_cpu *cpu = qr_sim_current;
	uint64_t page = va >> QR_PAGE_SHIFT;
	struct qr_sim_tlb_entry *slot = tlb_slot(cpu, space->id, page);
	uint64_t entry;

	if (cpu->clock > qr_sim.limit_shared)
		qr_sim_yield();
	take_interrupts(cpu);
	cpu->clock += qr_sim.costs.access;
	entry = *entry_of(space, va);
	space->cpus[cpu->id / 64] |= (uint64_t)1 << cpu->id % 64;
	if (slot->key == key_of(space, page) && allows(slot->value, is_write)) {
		check_not_stale(cpu, slot->value, entry, va, is_write);
		*pfn = (uint32_t)slot->value;
		return true;
	}
	cpu->nr_tlb_misses++;
	cpu->clock += qr_sim.costs.tlb_walk;
	if (entry & ENTRY_DYING || !allows(entry, is_write))
		return false;
	*slot = (struct qr_sim_tlb_entry){key_of(space, page), entry};
	*pfn = (uint32_t)entry;
	return true;
}

/* ---- What core asks for ---- */

bool qr_port_is_exclusive(struct qr_port *port)
{
	(void)port;
	return false;
}

static void charge(uint64_t amount)
{
	if (qr_sim_current)
		qr_sim_current->clock += amount;
}

int qr_port_map(struct qr_port *port, struct qr_port_space *space, uint64_t va, qr_pfn_t pfn, uint32_t nr,
		uint32_t prot, uint32_t *nr_done)
{
	(void)port;
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t *entry = entry_of(space, va + i * QR_PAGE_SIZE);

		if (*entry & ENTRY_DYING)
			check_not_freed((uint32_t)*entry, va + i * QR_PAGE_SIZE);
		if (*entry)
			qr_sim_fail("0x%llx is mapped twice", (unsigned long long)(va + i * QR_PAGE_SIZE));
		*entry = ENTRY_PRESENT | (uint64_t)prot << ENTRY_PROT_SHIFT | (pfn.nr + i);
	}
	space->nr_mapped += nr;
	charge(nr * qr_sim.costs.pte);
	*nr_done = nr;
	return 0;
}

int qr_port_unmap(struct qr_port *port, struct qr_port_space *space, uint64_t va, qr_pfn_t pfn, uint32_t nr,
		  uint32_t prot, uint32_t *nr_done)
{
	struct qr_sim_task *task = qr_sim.running;

	(void)port;
	(void)prot;
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t *entry = entry_of(space, va + i * QR_PAGE_SIZE);

		if (!(*entry & ENTRY_PRESENT) || *entry & ENTRY_DYING || (uint32_t)*entry != pfn.nr + i)
			qr_sim_fail("unmap of 0x%llx, which does not map frame %u",
				    (unsigned long long)(va + i * QR_PAGE_SIZE), pfn.nr + i);
		*entry |= ENTRY_DYING;
	}
	charge(nr * qr_sim.costs.pte);
	*nr_done = nr;
	if (task && task->is_gathering) {
		task->gathered_start = QR_MIN(task->gathered_start, va);
		task->gathered_end = QR_MAX(task->gathered_end, va + nr * QR_PAGE_SIZE);
	} else {
		bury(space, va, nr);
	}
	return 0;
}

/* The negative control: what the last unmap_end left. */
static void bury_late(struct qr_sim_task *task, struct qr_port_space *space)
{
	if (is_shootdown_late && task->gathered_start < task->gathered_end)
		bury(space, task->gathered_start,
		     (uint32_t)((task->gathered_end - task->gathered_start) >> QR_PAGE_SHIFT));
}

void qr_port_unmap_begin(struct qr_port *port, struct qr_port_space *space)
{
	struct qr_sim_task *task = qr_sim.running;

	(void)port;
	(void)space;
	if (!task)
		return;
	if (task->is_gathering)
		qr_sim_fail("unmap_begin in an unmap_begin");
	bury_late(task, space);
	task->is_gathering = true;
	task->gathered_start = UINT64_MAX;
	task->gathered_end = 0;
}

/* One shoot-down for all: pages between them that stay mapped lose their translations as well. */
void qr_port_unmap_end(struct qr_port *port, struct qr_port_space *space)
{
	struct qr_sim_task *task = qr_sim.running;

	(void)port;
	if (!task)
		return;
	task->is_gathering = false;
	if (is_shootdown_late)
		return;
	if (task->gathered_start < task->gathered_end)
		bury(space, task->gathered_start,
		     (uint32_t)((task->gathered_end - task->gathered_start) >> QR_PAGE_SHIFT));
}

/* Takes dying pages out of all TLBs; then their entries are gone. */
static void bury(struct qr_port_space *space, uint64_t va, uint32_t nr)
{
	shoot_down(space, va, nr);
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t entry = *entry_of(space, va + i * QR_PAGE_SIZE);

		if (entry & ENTRY_DYING)
			check_not_freed((uint32_t)entry, va + i * QR_PAGE_SIZE);
	}
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t *entry = entry_of(space, va + i * QR_PAGE_SIZE);

		space->nr_mapped -= *entry & ENTRY_DYING ? 1 : 0;
		if (*entry & ENTRY_DYING)
			*entry = 0;
	}
}

int qr_port_protect(struct qr_port *port, struct qr_port_space *space, uint64_t va, qr_pfn_t pfn, uint32_t nr,
		    uint32_t prot, uint32_t *nr_done)
{
	bool takes_away = false;

	(void)port;
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t *entry = entry_of(space, va + i * QR_PAGE_SIZE);

		if (!(*entry & ENTRY_PRESENT) || *entry & ENTRY_DYING || (uint32_t)*entry != pfn.nr + i)
			qr_sim_fail("protection of 0x%llx, which does not map frame %u",
				    (unsigned long long)(va + i * QR_PAGE_SIZE), pfn.nr + i);
		takes_away |= (prot_of(*entry) & ~prot) != 0;
		*entry = ENTRY_PRESENT | ENTRY_DYING | (uint64_t)prot << ENTRY_PROT_SHIFT | (pfn.nr + i);
	}
	charge(nr * qr_sim.costs.pte);
	/* A right that was given is found by the fault that the old translation causes. */
	if (takes_away)
		shoot_down(space, va, nr);
	for (uint32_t i = 0; i < nr; i++)
		*entry_of(space, va + i * QR_PAGE_SIZE) &= ~ENTRY_DYING;
	*nr_done = nr;
	return 0;
}

void qr_port_wake_faulters(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint64_t len_bytes)
{
	(void)port;
	(void)space;
	(void)va;
	(void)len_bytes;
}

int qr_port_range_add(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint64_t len_bytes, uint32_t prot)
{
	(void)port;
	(void)prot;
	(void)entry_of(space, va);
	(void)entry_of(space, va + len_bytes - QR_PAGE_SIZE);
	return 0;
}

int qr_port_range_remove(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint64_t len_bytes)
{
	(void)port;
	/* A range of many pages is not looked at whole: unmap saw to each. */
	for (uint64_t at = va; at < va + QR_MIN(len_bytes, QR_PAGE_SIZE * 512); at += QR_PAGE_SIZE) {
		uint64_t entry = *entry_of(space, at);

		if (entry & ENTRY_DYING)
			check_not_freed((uint32_t)entry, at);
		if (entry)
			qr_sim_fail("the range at 0x%llx is removed with a page mapped", (unsigned long long)at);
	}
	return 0;
}

/* Entries get their new rights at once; CPUs that loaded the old ones lose them with the interrupt. */
int qr_port_range_protect(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint64_t len_bytes,
			  uint32_t prot)
{
	uint32_t nr = (uint32_t)(len_bytes >> QR_PAGE_SHIFT);
	uint64_t nr_changed = 0;

	(void)port;
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t *entry = entry_of(space, va + i * QR_PAGE_SIZE);

		if (!*entry)
			continue;
		nr_changed++;
		*entry = ENTRY_PRESENT | ENTRY_DYING | (uint64_t)prot << ENTRY_PROT_SHIFT | (uint32_t)*entry;
	}
	charge(nr_changed * qr_sim.costs.pte);
	if (nr_changed)
		shoot_down(space, va, nr);
	for (uint32_t i = 0; i < nr; i++)
		*entry_of(space, va + i * QR_PAGE_SIZE) &= ~ENTRY_DYING;
	return 0;
}

/* ---- Shoot-down ---- */

/* Tells the CPU; returns when it will have answered. */
static uint64_t interrupt(struct qr_sim_cpu *target, struct qr_port_space *space, uint64_t page, uint32_t nr,
			  uint64_t at)
{
	target->nr_ipis++;
	if (target->nr_flushes == QR_SIM_MAX_FLUSHES) {
		/* More than it can remember: it drops them at once. */
		flush_tlb(target, space->id, page, nr);
	} else {
		target->flushes[target->nr_flushes++] = (struct qr_sim_flush){at, space->id, nr, page};
	}
	target->interrupts += qr_sim.costs.ipi_handle;
	return QR_MAX(at, target->clock) + qr_sim.costs.ipi_handle;
}

/* Returns when no CPU has a translation of the pages any more. */
static void shoot_down(struct qr_port_space *space, uint64_t va, uint32_t nr)
{
	struct qr_sim_cpu *self = qr_sim_current;
	uint64_t page = va >> QR_PAGE_SHIFT;
	uint64_t answered = 0;

	if (self) {
		flush_tlb(self, space->id, page, nr);
		self->clock += QR_MIN(nr, 32u) * qr_sim.costs.tlb_flush;
	}
	if (is_shootdown_left_out)
		return;
	for (uint32_t i = 0; i < qr_sim.nr_cpus; i++) {
		struct qr_sim_cpu *target = &qr_sim.cpus[i];
		uint64_t one;

		if (target == self || !(space->cpus[i / 64] >> i % 64 & 1))
			continue;
		if (!self || !target->task) {
			/* An idle CPU drops what it has when it wakes up, before anything uses it. */
			flush_tlb(target, space->id, page, nr);
			continue;
		}
		self->clock += qr_sim.costs.ipi_send;
		one = interrupt(target, space, page, nr, self->clock + qr_sim.costs.ipi_latency);
		answered = QR_MAX(answered, one);
	}
	if (!self || !answered)
		return;
	self->clock = QR_MAX(self->clock, answered);
	qr_sim_yield();
	/* Who has not looked yet has made no access either. */
	for (uint32_t i = 0; i < qr_sim.nr_cpus; i++) {
		if (&qr_sim.cpus[i] != self && space->cpus[i / 64] >> i % 64 & 1)
			flush_tlb(&qr_sim.cpus[i], space->id, page, nr);
	}
}

static void take_interrupts(struct qr_sim_cpu *cpu)
{
	uint32_t nr_left = 0;

	for (uint32_t i = 0; i < cpu->nr_flushes; i++) {
		const struct qr_sim_flush *flush = &cpu->flushes[i];

		if (flush->at <= cpu->clock)
			flush_tlb(cpu, flush->space, flush->page, flush->nr);
		else
			cpu->flushes[nr_left++] = *flush;
	}
	cpu->nr_flushes = nr_left;
}

static void flush_tlb(struct qr_sim_cpu *cpu, uint32_t space, uint64_t page, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		struct qr_sim_tlb_entry *slot = tlb_slot(cpu, space, page + i);

		if (slot->key == ((uint64_t)space << 40 | (page + i)))
			slot->key = 0;
	}
}
