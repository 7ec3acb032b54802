/*
 * Read-copy-update: a grace period has passed when each CPU was at a point where it can hold no reference: between two
 * operations, asleep or idle (P. McKenney, J. Slingwine, "Read-Copy Update", PDCS 1998). Read sections cost nothing.
 */
#include "sim.h"

static uint64_t grace_number; /* of the grace period that is under way, or was last */
static uint32_t nr_missing;   /* CPUs that have not been quiescent in it */
static bool is_under_way;
static uint32_t grace_word; /* changes when one ends */

void qr_port_rcu_read_lock(void)
{
	if (qr_sim.running)
		qr_sim.running->nr_read_sections++;
}

void qr_port_rcu_read_unlock(void)
{
	if (!qr_sim.running)
		return;
	if (!qr_sim.running->nr_read_sections)
		qr_sim_fail("task %s leaves a read section that it is not in", qr_sim.running->name);
	qr_sim.running->nr_read_sections--;
}

static void grace_start(void)
{
	grace_number++;
	is_under_way = true;
	nr_missing = 0;
	for (uint32_t i = 0; i < qr_sim.nr_cpus; i++)
		nr_missing += qr_sim.cpus[i].task != NULL;
	/* Idle CPUs are quiescent; those that wake up later begin no section that is older. */
	for (uint32_t i = 0; i < qr_sim.nr_cpus; i++)
		qr_sim.cpus[i].grace_seen = qr_sim.cpus[i].task ? grace_number - 1 : grace_number;
}

void qr_port_rcu_synchronize(void)
{
	struct qr_sim_cpu *cpu = qr_sim_current;
	uint64_t wanted;

	if (!cpu)
		return; /* before or after the simulation nobody else runs */
	if (qr_sim.running->nr_read_sections)
		qr_sim_fail("task %s waits for a grace period in a read section", qr_sim.running->name);
	/* One that is under way may have begun before what the caller did: the next counts. */
	wanted = grace_number + 1;
	while (grace_number < wanted || (grace_number == wanted && is_under_way)) {
		if (!is_under_way)
			grace_start();
		qr_sim_wait_word(&grace_word, QR_SIM_NEVER);
	}
}

void qr_sim_quiescent(struct qr_sim_cpu *cpu)
{
	if (!is_under_way || cpu->grace_seen == grace_number)
		return;
	cpu->grace_seen = grace_number;
	if (!--nr_missing)
		qr_sim_heap_push(QR_SIM_ID_GRACE, cpu->clock + qr_sim.costs.grace);
}

void qr_sim_grace_end(uint64_t at)
{
	is_under_way = false;
	grace_word++;
	qr_sim_wake_word(&grace_word, UINT32_MAX, at);
}
