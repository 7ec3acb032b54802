/* Runs a cell: brings a manager up on the machine, starts a task of the workload on each CPU, and looks at the end. */
#include "run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "directory.h"
#include "port_sim.h"
#include "space.h"

#define NS_PER_SECOND 1e9
#define FNV_OFFSET 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u
/* A zone with more frames is not walked at the end: it would take longer than the run. */
#define MAX_FRAMES_CHECKED (4u << 20)
/* Virtual time after the end in which the last operation must have ended. */
#define STUCK_AFTER ((uint64_t)200 * 1000 * 1000 * QR_SIM_PS)
#define WATCHDOG_SECONDS 5u

enum { RAM_MIB, KSWAPD, SWAP, MEMORY, ZONES, DISTANCES };
enum { MEMORY_NODE, MEMORY_SPREAD };
enum { ZONES_NORMAL, ZONES_DMA, ZONES_HIGHMEM, ZONES_ALL };
/* Where kinds of memory end on a PC: what 24 and 32 address bits reach, and what a kernel with 1 GiB of addresses maps
 * all the time. */
#define DMA_MIB 16u
#define DMA32_MIB 4096u
#define LOWMEM_MIB 896u
/* As in ACPI 6.4, section 5.2.17: 10 is a node's own. */
#define LOCAL_DISTANCE 10u
#define STEP_DISTANCE 3u

const struct qr_lab_param qr_run_common[] = {
	{"ram-mib", "0", "memory of the machine that is online, MiB; 0: 1 GiB and 16 MiB per CPU", NULL},
	{"kswapd", "on", "the background reclaimer runs", "off,on"},
	{"swap", "on", "pages can be compressed and go to the swap device; off: neither", "off,on"},
	{"memory", "node", "each node has its own, from which its CPUs allocate first; or all is spread over the nodes",
	 "node,spread"},
	{"zones", "normal", "kinds of memory: one; DMA below 16 MiB and DMA32 below 4 GiB; HIGHMEM above 896 MiB; all",
	 "normal,dma,highmem,all"},
	{"distances", "alike", "what the manager is told of how far nodes are; not what they cost", "alike,ring"},
	{NULL, NULL, NULL, NULL},
};

static struct {
	struct qr_lab lab;
	struct qr_port *port;
	uint64_t ops_warm[QR_MAX_CPUS];
	uint64_t counters[QR_NR_STATS]; /* at the end of the warm-up, then what came after it */
	bool has_begun[QR_MAX_CPUS];
	bool is_ring; /* nodes are as far as they are steps apart */
	enum qr_control control;
	uint64_t random[QR_MAX_CPUS];
} run;

static void lay_out_nodes(const struct qr_cell *cell, struct qr_vmm_config *config);
static void create_manager(const struct qr_cell *cell);
static void workload_task(void *argument);
static void stop_task(void *argument);
static void check_invariants(void);
static void collect(struct qr_result *result);
static uint64_t outcome_hash(const struct qr_result *result);

void qr_run_cell(const struct qr_cell *cell, struct qr_result *result)
{
	struct timespec begin, end;
	int err;

	memset(result, 0, sizeof(*result));
	qr_sim_create(&cell->machine, cell->nr_cpus, cell->seed);
	qr_sim.trace = cell->trace;
	qr_sim.may_run_out = cell->workload->may_run_out;
	run.control = cell->control;
	if (cell->control == QR_CONTROL_SHOOTDOWN)
		qr_sim_leave_out_shootdown();
	if (cell->control == QR_CONTROL_LATE)
		qr_sim_delay_shootdown();
	if (cell->control == QR_CONTROL_CLEARING)
		qr_sim_leave_out_clearing();
	if (cell->control == QR_CONTROL_LOCK)
		qr_meter_leave_out(QR_RANK_LRU);
	run.lab = (struct qr_lab){.workload = cell->workload, .nr_cpus = cell->nr_cpus};
	memcpy(run.lab.values, cell->values, sizeof(cell->values));
	create_manager(cell);
	err = cell->workload->setup(&run.lab);
	if (err)
		qr_lab_fail(err == QR_EINVAL ? "a parameter is out of range" : "the workload's setup", err);
	qr_sim.warm_at = cell->warm_ns * QR_SIM_PS;
	qr_sim.end_at = qr_sim.warm_at + cell->run_ns * QR_SIM_PS;
	qr_sim.stuck_at = qr_sim.end_at + STUCK_AFTER;
	qr_sim_heap_push(QR_SIM_ID_WARM, qr_sim.warm_at);
	qr_sim_heap_push(QR_SIM_ID_END, qr_sim.end_at);
	for (uint32_t i = 0; i < cell->nr_cpus; i++) {
		run.random[i] = cell->seed * 7919 + i;
		(void)qr_sim_task_create("workload", i, false, workload_task, (void *)(uintptr_t)i);
	}
	qr_sim_watchdog_start(WATCHDOG_SECONDS);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
	qr_sim_run();
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	result->host_seconds =
		(double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / NS_PER_SECOND;
	collect(result);
	(void)qr_sim_task_create("stop", 0, false, stop_task, NULL);
	qr_sim.stuck_at += STUCK_AFTER;
	qr_sim_run();
	check_invariants();
	if (cell->workload->check && cell->workload->check(&run.lab))
		qr_sim_fail("invariant: %s", cell->workload->check(&run.lab));
}

struct qr_vmm *qr_run_vmm(void)
{
	return run.lab.vmm;
}

static bool frame_is_in_use(uint32_t pfn)
{
	return qr_frame_kind(qr_folio_of_pfn(&run.lab.vmm->zone, pfn)) == QR_FRAME_FOLIO;
}

/* As a kernel lays it out: descriptors on the node of their frames, per-CPU data on that of their CPU. */
static void place_metadata(struct qr_vmm *vmm)
{
	const struct qr_zone *first = &vmm->zone;

	qr_sim_place(first->memmap, sizeof(*first->memmap), first->nr_map, QR_PLACE_BY_FRAME);
	/* Those of all zones follow each other. */
	qr_sim_place(first->pcps, sizeof(*first->pcps), (uint64_t)first->nr_pcps * vmm->nodes.nr_zones,
		     QR_PLACE_BY_CPU);
	qr_sim_place(vmm->lru.batches, sizeof(*vmm->lru.batches), vmm->lru.nr_batches, QR_PLACE_BY_CPU);
	qr_sim_place(vmm->stats.cpus, sizeof(*vmm->stats.cpus), vmm->stats.nr_cpus, QR_PLACE_BY_CPU);
	qr_sim_place(vmm->vma_cache.cpus, sizeof(struct qr_slab_cpu), vmm->vma_cache.nr_cpus, QR_PLACE_BY_CPU);
	qr_sim_place(vmm->object_cache.cpus, sizeof(struct qr_slab_cpu), vmm->object_cache.nr_cpus, QR_PLACE_BY_CPU);
}

uint32_t qr_lab_distance(struct qr_lab *lab, uint32_t from, uint32_t to)
{
	uint32_t nr_steps = from > to ? from - to : to - from;

	(void)lab;
	if (!run.is_ring)
		return from == to ? LOCAL_DISTANCE : LOCAL_DISTANCE + STEP_DISTANCE;
	return LOCAL_DISTANCE + STEP_DISTANCE * QR_MIN(nr_steps, qr_sim.nr_nodes - nr_steps);
}

static uint32_t nr_frames_of_mib(uint64_t mib)
{
	return (uint32_t)(mib << 20 >> QR_PAGE_SHIFT);
}

/* Those of a PC; or all kinds, in proportion to memory. */
static void lay_out_kinds(const struct qr_cell *cell, struct qr_vmm_config *config)
{
	struct qr_nodes_config *nodes = &config->nodes;
	uint32_t nr_sixteenth = QR_ALIGN_UP(config->nr_frames / 16, 1u << QR_MAX_ORDER);

	switch (cell->common[ZONES]) {
	case ZONES_DMA:
		nodes->dma_end = nr_frames_of_mib(DMA_MIB);
		nodes->dma32_end = nr_frames_of_mib(DMA32_MIB);
		break;
	case ZONES_HIGHMEM:
		nodes->dma_end = nr_frames_of_mib(DMA_MIB);
		nodes->normal_end = nr_frames_of_mib(LOWMEM_MIB);
		break;
	case ZONES_ALL:
		nodes->dma_end = nr_sixteenth;
		nodes->dma32_end = 2 * nr_sixteenth;
		nodes->normal_end = 8 * nr_sixteenth;
		nodes->movable_percent = 25;
		break;
	default:
		break;
	}
}

static void lay_out_nodes(const struct qr_cell *cell, struct qr_vmm_config *config)
{
	static uint8_t distances[QR_MAX_NODES * QR_MAX_NODES];
	uint32_t nr_nodes = qr_sim.nr_nodes;

	lay_out_kinds(cell, config);
	if (cell->common[MEMORY] == MEMORY_SPREAD || nr_nodes == 1)
		return;
	run.is_ring = cell->common[DISTANCES];
	for (uint32_t i = 0; i < nr_nodes * nr_nodes; i++)
		distances[i] = (uint8_t)QR_MIN(qr_lab_distance(&run.lab, i / nr_nodes, i % nr_nodes), 255u);
	config->nodes.nr_nodes = nr_nodes;
	config->nodes.distances = distances;
	qr_sim.nr_frames_per_node = QR_ALIGN_UP((config->nr_frames - 1) / nr_nodes + 1, 1u << QR_MAX_ORDER);
}

static void create_manager(const struct qr_cell *cell)
{
	uint64_t ram_mib = (uint64_t)(cell->machine.ram_gib * 1024);
	uint64_t online_mib = cell->common[RAM_MIB];
	struct qr_vmm_config config = {.choices = cell->choices};
	int err;

	if (!online_mib)
		online_mib = QR_MIN(ram_mib, 1024u + 16u * (uint64_t)cell->nr_cpus);
	if (online_mib > ram_mib)
		qr_lab_fail("ram-mib is more than the machine has", QR_EINVAL);
	config.nr_cpus_per_node = (uint32_t)(cell->machine.cpus / cell->machine.nodes);
	config.nr_cpus_per_cluster = (uint32_t)cell->machine.cluster_cpus;
	config.pool_address = (uint8_t *)QR_SIM_ARENA;
	config.nr_frames_start = (uint32_t)(online_mib << 20 >> QR_PAGE_SHIFT);
	/* Kinds of memory lie where they do on a machine that has no more. */
	config.nr_frames = cell->common[ZONES] ? config.nr_frames_start : (uint32_t)(ram_mib << 20 >> QR_PAGE_SHIFT);
	lay_out_nodes(cell, &config);
	if (qr_vmm_metadata_bytes_of(&config) > QR_SIM_METADATA_BYTES)
		qr_sim_fail("the metadata of %llu MiB of memory do not fit", (unsigned long long)ram_mib);
	run.port = qr_sim_port_create(config.nr_frames);
	config.port = run.port;
	config.nr_frames_usual = config.nr_frames_start;
	config.metadata = (void *)QR_SIM_METADATA;
	config.swap = (struct qr_swap_config){
		.codec = cell->common[SWAP] ? QR_CODEC_LZ4 : QR_CODEC_NONE,
		.has_file = cell->common[SWAP] && cell->machine.device_gib > 0,
		.pool_max_percent = cell->common[SWAP] ? 20 : 0,
	};
	err = qr_vmm_create(&config, &run.lab.vmm);
	if (!err) {
		place_metadata(run.lab.vmm);
		qr_sim_watch_frames(frame_is_in_use);
	}
	if (!err && cell->common[KSWAPD])
		err = qr_kswapd_start(run.lab.vmm);
	if (err)
		qr_lab_fail("the manager does not start", err);
}

static void workload_task(void *argument)
{
	run.lab.workload->run(&run.lab, (uint32_t)(uintptr_t)argument);
}

static void stop_task(void *argument)
{
	(void)argument;
	qr_kswapd_stop(run.lab.vmm);
}

void qr_sim_warm(void)
{
	qr_sim.is_measuring = true;
	qr_meter_reset();
	qr_sim_lines_reset();
	for (uint32_t i = 0; i < qr_sim.nr_cpus; i++)
		run.ops_warm[i] = qr_sim.cpus[i].nr_ops;
	for (unsigned stat = 0; stat < QR_NR_STATS; stat++)
		run.counters[stat] = qr_vmm_stat(run.lab.vmm, (enum qr_stat)stat);
}

void qr_sim_end(void)
{
	for (unsigned stat = 0; stat < QR_NR_STATS; stat++)
		run.counters[stat] = qr_vmm_stat(run.lab.vmm, (enum qr_stat)stat) - run.counters[stat];
	qr_meter_stop();
	qr_sim.is_measuring = false;
}

/* Nothing of this costs virtual time: the simulation has ended. */
static void check_invariants(void)
{
	struct qr_vmm *vmm = run.lab.vmm;
	uint64_t nr_lines;
	const uint64_t *lines = qr_sim_shared_lines(&nr_lines);

	if (qr_vmm_nr_online(vmm) <= MAX_FRAMES_CHECKED && !qr_vmm_zones_are_valid(vmm))
		qr_sim_fail("invariant: a zone is not valid");
	if (!qr_lru_is_valid(&vmm->lru))
		qr_sim_fail("invariant: the LRU lists are not valid");
	if (!qr_slab_cache_is_valid(&vmm->vma_cache) || !qr_slab_cache_is_valid(&vmm->object_cache))
		qr_sim_fail("invariant: a slab cache is not valid");
	if (!qr_swap_is_valid(vmm->swap))
		qr_sim_fail("invariant: the swap is not valid");
	if (!qr_sim_heap_is_valid())
		qr_sim_fail("invariant: the scheduler's heap is not valid");
	for (uint64_t i = 0; i < nr_lines; i++) {
		if (!qr_sim_line_is_valid(lines[i]))
			qr_sim_fail("invariant: the directory's entry %llu is not valid", (unsigned long long)lines[i]);
	}
}

static void collect(struct qr_result *result)
{
	for (uint32_t i = 0; i < qr_sim.nr_cpus; i++) {
		const struct qr_sim_cpu *cpu = &qr_sim.cpus[i];

		result->ops += cpu->nr_ops - run.ops_warm[i];
		result->accesses += cpu->nr_accesses;
		result->nr_misses += cpu->nr_misses;
		result->nr_remote += cpu->nr_remote;
		result->nr_yields += cpu->nr_yields;
		result->nr_parks += cpu->nr_parks;
		result->nr_tlb_misses += cpu->nr_tlb_misses;
		result->nr_ipis += cpu->nr_ipis;
		result->nr_switches += cpu->nr_switches;
	}
	result->virtual_ns = (qr_sim.end_at - qr_sim.warm_at) / QR_SIM_PS;
	result->locks = qr_meter_table(&result->nr_locks);
	for (unsigned stat = 0; stat < QR_NR_STATS; stat++)
		result->counters[stat] = run.counters[stat];
	memcpy(result->figures, run.lab.figures, sizeof(result->figures));
	result->hash = outcome_hash(result);
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	for (unsigned i = 0; i < sizeof(value); i++, value >>= 8)
		hash = (hash ^ (value & 0xff)) * FNV_PRIME;
	return hash;
}

/* All that the run did, CPU by CPU and lock by lock; not what it took on the host. */
static uint64_t outcome_hash(const struct qr_result *result)
{
	uint64_t hash = FNV_OFFSET;

	for (uint32_t i = 0; i < qr_sim.nr_cpus; i++) {
		const struct qr_sim_cpu *cpu = &qr_sim.cpus[i];

		hash = mix(hash, cpu->nr_ops);
		hash = mix(hash, cpu->end);
		hash = mix(hash, cpu->nr_accesses);
		hash = mix(hash, cpu->nr_misses);
		hash = mix(hash, cpu->nr_tlb_misses);
		hash = mix(hash, cpu->nr_ipis);
	}
	for (uint32_t i = 0; i < result->nr_locks; i++) {
		hash = mix(hash, result->locks[i].total);
		hash = mix(hash, result->locks[i].contended);
		hash = mix(hash, result->locks[i].hold_ps);
		hash = mix(hash, result->locks[i].wait_ps);
	}
	for (unsigned stat = 0; stat < QR_NR_STATS; stat++)
		hash = mix(hash, result->counters[stat]);
	for (unsigned i = 0; i < QR_LAB_MAX_FIGURES; i++)
		hash = mix(hash, result->figures[i]);
	return hash;
}

/* ---- What workloads call ---- */

bool qr_lab_running(struct qr_lab *lab)
{
	struct qr_sim_cpu *cpu = qr_sim_current;

	(void)lab;
	/* One that ends after the end does not count. */
	cpu->nr_ops += run.has_begun[cpu->id] && cpu->clock < qr_sim.end_at;
	run.has_begun[cpu->id] = true;
	while (run.control == QR_CONTROL_LOOP && qr_sim.is_measuring)
		;
	qr_sim_preempt_point();
	return qr_sim_current->clock < qr_sim.end_at;
}

uint64_t qr_lab_nr_sleeps(struct qr_lab *lab)
{
	(void)lab;
	return qr_sim.running->nr_sleeps;
}

uint64_t qr_lab_random(struct qr_lab *lab)
{
	(void)lab;
	return qr_sim_random(&run.random[qr_sim_current->id]);
}

void qr_lab_think(struct qr_lab *lab, uint64_t mean_ns)
{
	double uniform;

	if (!mean_ns)
		return;
	uniform = (double)((qr_lab_random(lab) >> 11) + 1) / (double)((uint64_t)1 << 53);
	qr_sim_current->clock += (uint64_t)(-log(uniform) * (double)mean_ns * QR_SIM_PS);
}

void *qr_lab_alloc(struct qr_lab *lab, uint64_t len_bytes)
{
	(void)lab;
	return qr_sim_shared_alloc(len_bytes);
}

uint64_t qr_lab_load(const uint64_t *at)
{
	qr_sim_access((uintptr_t)at, sizeof(*at), QR_LOAD, 0);
	return *at;
}

void qr_lab_store(uint64_t *at, uint64_t value)
{
	qr_sim_access((uintptr_t)at, sizeof(*at), QR_STORE, 0);
	*at = value;
}

uint64_t qr_lab_exchange(uint64_t *at, uint64_t value)
{
	uint64_t before;

	qr_sim_access((uintptr_t)at, sizeof(*at), QR_LOCKED, 0);
	before = *at;
	*at = value;
	return before;
}

struct qr_port_space *qr_lab_space_create(struct qr_lab *lab, uint64_t *va_start, uint64_t *va_end)
{
	(void)lab;
	*va_start = QR_SIM_SPACE_START;
	*va_end = QR_SIM_SPACE_START + QR_SIM_SPACE_BYTES;
	return qr_sim_space_create(run.port);
}

void qr_lab_space_destroy(struct qr_lab *lab, struct qr_port_space *space)
{
	(void)lab;
	qr_sim_space_destroy(space);
}

int qr_lab_touch(struct qr_lab *lab, struct qr_aspace *aspace, uint64_t va, bool is_write)
{
	uint32_t pfn;

	(void)lab;
	while (!qr_sim_translate(aspace->port_space, va, is_write, &pfn)) {
		int err;

		qr_sim_current->clock += qr_sim.costs.trap;
		err = qr_fault(aspace, va, is_write ? QR_FAULT_WRITE : 0);
		if (err)
			return err;
	}
	qr_sim_content_access(pfn, va, is_write);
	return 0;
}

void qr_lab_fail(const char *what, int error)
{
	qr_sim_fail("%s: %s (%d)", what, error ? strerror(-error) : "unexpected", error);
}
