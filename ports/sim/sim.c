/* Setting the machine up, and the end of a run that failed. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "directory.h"
#include "meter.h"
#include "space.h"

struct qr_sim qr_sim;
struct qr_sim_cpu *qr_sim_current;

static void set_costs(void);
static void set_caches(void);
static void create_cpu(uint32_t id, uint64_t *tags);

void qr_sim_create(const struct qr_machine *machine, uint32_t nr_cpus, uint64_t seed)
{
	uint64_t nr_tags, nr_llc;
	uint64_t *tags;

	qr_sim.machine = *machine;
	qr_sim.nr_cpus = nr_cpus;
	qr_sim.seed = seed;
	qr_sim.stuck_at = QR_SIM_NEVER;
	/* CPUs of the same cluster and node have consecutive numbers; a run on fewer fills the first ones. */
	qr_sim.nr_clusters = (nr_cpus + (uint32_t)machine->cluster_cpus - 1) / (uint32_t)machine->cluster_cpus;
	qr_sim.nr_nodes = (uint32_t)ceil(nr_cpus / (machine->cpus / machine->nodes));
	set_costs();
	set_caches();
	(void)qr_sim_reserve(QR_SIM_ARENA, QR_SIM_ARENA_BYTES);
	(void)qr_sim_reserve(QR_SIM_DIRECTORY, QR_SIM_ARENA_BYTES);
	(void)qr_sim_reserve(QR_SIM_BACKED, QR_SIM_POOL_BYTES / QR_PAGE_SIZE / 8);
	nr_tags = qr_sim.costs.l1_mask + 1 + qr_sim.costs.l2_mask + 1;
	nr_llc = qr_sim.costs.llc_mask ? qr_sim.costs.llc_mask + 1 : 0;
	tags = qr_sim_reserve(QR_SIM_TAGS, nr_cpus * nr_tags * sizeof(*tags));
	if (nr_llc)
		(void)qr_sim_reserve(QR_SIM_LLC_TAGS, qr_sim.nr_clusters * nr_llc * sizeof(uint32_t));
	qr_sim.cpus = aligned_alloc(QR_CACHE_LINE, nr_cpus * sizeof(*qr_sim.cpus));
	if (!qr_sim.cpus)
		qr_sim_fail("out of memory");
	for (uint32_t i = 0; i < nr_cpus; i++)
		create_cpu(i, tags + i * nr_tags);
}

static void create_cpu(uint32_t id, uint64_t *tags)
{
	struct qr_sim_cpu *cpu = &qr_sim.cpus[id];

	memset(cpu, 0, sizeof(*cpu));
	cpu->id = id;
	cpu->cluster = id / (uint32_t)qr_sim.machine.cluster_cpus;
	cpu->node = (uint32_t)(id / (qr_sim.machine.cpus / qr_sim.machine.nodes));
	cpu->l1 = tags;
	cpu->l2 = tags + qr_sim.costs.l1_mask + 1;
	cpu->polled_line = UINT64_MAX;
	cpu->random = qr_sim.seed * 1000003 + id;
	(void)qr_sim_random(&cpu->random);
	/* CPUs do not start in step. */
	cpu->clock = qr_sim_jitter(cpu, 100 * QR_SIM_PS);
	cpu->tlb = calloc(qr_sim.costs.tlb_mask + 1, sizeof(*cpu->tlb));
	if (!cpu->tlb)
		qr_sim_fail("out of memory");
}

static uint64_t picoseconds(double ns)
{
	return (uint64_t)llround(ns * QR_SIM_PS);
}

static void set_costs(void)
{
	const struct qr_machine *machine = &qr_sim.machine;

	qr_sim.costs = (struct qr_sim_costs){
		.access = picoseconds(machine->access_ns),
		.l1 = picoseconds(machine->l1_ns),
		.l2 = picoseconds(machine->l2_ns),
		.locked = picoseconds(machine->locked_ns),
		.pause = picoseconds(machine->pause_ns),
		.store = picoseconds(machine->store_ns),
		.atomic_store = picoseconds(machine->atomic_store_ns),
		.dirty = {picoseconds(machine->dirty_cluster_ns), picoseconds(machine->dirty_node_ns),
			  picoseconds(machine->dirty_remote_ns)},
		.clean = {picoseconds(machine->clean_cluster_ns), picoseconds(machine->clean_node_ns),
			  picoseconds(machine->clean_remote_ns)},
		.invalidate = {picoseconds(machine->invalidate_cluster_ns), picoseconds(machine->invalidate_node_ns),
			       picoseconds(machine->invalidate_remote_ns)},
		.invalidate_sharer = picoseconds(machine->invalidate_sharer_ns),
		.invalidate_further = picoseconds(machine->invalidate_further_ns),
		.third_node = picoseconds(machine->third_node_ns),
		.remote_page = picoseconds(machine->remote_page_ns),
		.dram_local = picoseconds(machine->dram_local_ns),
		.dram_remote = picoseconds(machine->dram_remote_ns),
		.store_gap = picoseconds(machine->store_gap_ns),
		.store_buffer = picoseconds(machine->store_buffer_ns),
		.migrates = machine->migrates > 0,
		.link = picoseconds(machine->link_ns),
		.bus = picoseconds(machine->bus_ns),
		.jitter = picoseconds(machine->jitter_ns),
		.request_share = (uint64_t)llround(machine->request_share * 1024),
		.shared_occupancy = (uint64_t)llround(machine->shared_occupancy * 1024),
		.tlb_walk = picoseconds(machine->tlb_walk_ns),
		.tlb_flush = picoseconds(machine->tlb_flush_ns),
		.ipi_send = picoseconds(machine->ipi_send_ns),
		.ipi_latency = picoseconds(machine->ipi_latency_ns),
		.ipi_handle = picoseconds(machine->ipi_handle_ns),
		.trap = picoseconds(machine->trap_ns),
		.zero_page = picoseconds(machine->zero_page_ns),
		.copy_page = picoseconds(machine->copy_page_ns),
		.pte = picoseconds(machine->pte_ns),
		.switch_task = picoseconds(machine->switch_ns),
		.wake = picoseconds(machine->wake_ns),
		.wake_latency = picoseconds(machine->wake_latency_ns),
		.slice = picoseconds(machine->slice_us * 1000),
		.grace = picoseconds(machine->grace_us * 1000),
		.device = picoseconds(machine->device_us * 1000),
		.clock = picoseconds(machine->clock_ns),
		.compress = picoseconds(machine->compress_ns),
		.expand = picoseconds(machine->expand_ns),
	};
}

static void set_caches(void)
{
	const struct qr_machine *machine = &qr_sim.machine;
	struct qr_sim_costs *costs = &qr_sim.costs;

	costs->l1_mask = ((uint64_t)machine->l1_kib << 10) / QR_CACHE_LINE - 1;
	costs->l2_mask = ((uint64_t)machine->l2_kib << 10) / QR_CACHE_LINE - 1;
	costs->llc_mask = machine->llc_mib > 0 ? ((uint64_t)machine->llc_mib << 20) / QR_CACHE_LINE - 1 : 0;
	costs->tlb_mask = (uint32_t)machine->tlb_entries - 1;
	costs->interleave_shift = 10 + qr_log2_u64((uint64_t)machine->interleave_kib);
}

void *qr_sim_reserve(uint64_t address, uint64_t len_bytes)
{
	void *wanted = (void *)(uintptr_t)address;
	void *memory = mmap(wanted, len_bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	if (memory != wanted)
		qr_sim_fail("cannot reserve %llu MiB of address space at %p: %s (is vm.overcommit_memory 2, or is "
			    "`ulimit -v` set?)",
			    (unsigned long long)(len_bytes >> 20), wanted,
			    memory == MAP_FAILED ? strerror(errno) : "the address is taken");
	return memory;
}

static const char *state_name(enum qr_sim_task_state state)
{
	static const char *const names[] = {"ready", "running", "asleep", "ended"};

	return names[state];
}

/* What each task is at, so that a deadlock can be understood. */
static void print_tasks(void)
{
	unsigned nr_shown = 0;

	for (uint32_t i = 0; i < qr_sim.nr_tasks && nr_shown < 8; i++) {
		const struct qr_sim_task *task = qr_sim.tasks[i];

		if (task->state == QR_TASK_DEAD)
			continue;
		fprintf(stderr, "  task %s on CPU %u at %.1f us: %s", task->name, task->cpu->id,
			(double)task->cpu->clock / QR_SIM_PS / 1000, state_name(task->state));
		if (task->depth)
			fprintf(stderr, ", in what %s calls",
				qr_symbol_name(task->calls[(task->depth - 1) % QR_SIM_CALL_DEPTH]));
		for (uint32_t k = 0; k < task->nr_held; k++)
			fprintf(stderr, ", %s %s", task->held[k].taken ? "holds" : "waits for",
				qr_meter_row_name(task->held[k].row));
		fprintf(stderr, "\n");
		nr_shown++;
	}
}

void qr_sim_fail(const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "quire-lab-cell: run failed: ");
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\n");
	print_tasks();
	fflush(NULL);
	_Exit(1);
}
