/* The small machine of the directory's and the TLB's tests. */
#include "small_machine.h"

static const struct qr_machine machine = {
	.name = "small",
	.cpus = 4,
	.nodes = 2,
	.cluster_cpus = 2,
	.ram_gib = 2,
	.interleave_kib = 1 << 20,
	.l1_kib = 16,
	.l2_kib = 64,
	.llc_mib = 1,
	.access_ns = 1,
	.l2_ns = 4,
	.locked_ns = 0,
	.pause_ns = 10,
	.store_ns = 1,
	.dirty_cluster_ns = 50,
	.dirty_node_ns = 60,
	.dirty_remote_ns = 200,
	.clean_cluster_ns = 30,
	.clean_node_ns = 36,
	.clean_remote_ns = 150,
	.invalidate_cluster_ns = 40,
	.invalidate_node_ns = 44,
	.invalidate_remote_ns = 160,
	.invalidate_sharer_ns = 5,
	.dram_local_ns = 100,
	.dram_remote_ns = 180,
	.request_share = 0.25,
	.shared_occupancy = 0.5,
	.store_gap_ns = 10,
	.store_buffer_ns = 500,
	.tlb_entries = 64,
	.tlb_walk_ns = 20,
	.tlb_flush_ns = 3,
	.ipi_send_ns = 7,
	.ipi_latency_ns = 100,
	.ipi_handle_ns = 50,
	.slice_us = 1000,
};

/* Time between steps, after which every transfer is long over. */
#define REST (1000u * 1000u * QR_SIM_PS)

struct step {
	void (*run)(void *argument);
	void *argument;
	uint64_t begin, end;
};

void small_machine_create(void)
{
	qr_sim_create(&machine, 4, 1);
}

static void step_main(void *argument)
{
	struct step *step = argument;

	step->begin = qr_sim_current->clock;
	step->run(step->argument);
	step->end = qr_sim_current->clock;
}

uint64_t small_machine_step(uint32_t cpu, void (*run)(void *argument), void *argument)
{
	struct step step = {.run = run, .argument = argument};
	uint64_t latest = 0;

	for (uint32_t i = 0; i < 4; i++)
		latest = QR_MAX(latest, QR_MAX(qr_sim.cpus[i].clock, qr_sim.cpus[i].drained));
	for (uint32_t i = 0; i < 4; i++)
		qr_sim.cpus[i].clock = latest + REST;
	(void)qr_sim_task_create("step", cpu, false, step_main, &step);
	qr_sim_run();
	return (step.end - step.begin) / QR_SIM_PS;
}
