/*
 * The scheduler of virtual time: the CPU with the smallest clock runs until it is ahead of the next by more than the
 * slack. Lines that were ever shared get no slack, since a relaxed order on them changes results by half; private ones
 * 200 ns, which changes them by 2 %.
 *
 * A CPU in a spin loop is parked on the line that it polls: it takes no part until the line changes.
 */
#include "directory.h"

#define SLACK_PRIVATE (200u * QR_SIM_PS)
#define PARK_BUCKETS 4096u /* a power of two */

static uint32_t parked[PARK_BUCKETS]; /* [hash of line] CPU + 1 of the first, linked through the CPUs */

static void run_next(void);
static bool run_event(uint32_t id, uint64_t key);
static void unpark(struct qr_sim_cpu *cpu);

static uint32_t *parked_at(uint64_t line)
{
	return &parked[(line * 0x9e3779b97f4a7c15u >> 40) & (PARK_BUCKETS - 1)];
}

void qr_sim_yield(void)
{
	struct qr_sim_cpu *cpu = qr_sim_current;

	cpu->nr_yields++;
	qr_sim.progress++;
	qr_sim_heap_push(cpu->id, cpu->clock);
	run_next();
}

void qr_sim_sleep(void)
{
	struct qr_sim_cpu *cpu = qr_sim_current;

	cpu->clock = QR_MAX(cpu->clock, cpu->drained) + qr_sim.costs.switch_task;
	cpu->nr_switches++;
	qr_sim_quiescent(cpu);
	cpu->task = cpu->ready_head;
	if (cpu->task) {
		cpu->ready_head = cpu->task->next;
		cpu->slice_start = cpu->clock;
		qr_sim_heap_push(cpu->id, cpu->clock);
	}
	run_next();
}

void qr_sim_run(void)
{
	if (qr_sim.nr_live)
		run_next();
}

void qr_sim_set_limits(void)
{
	uint64_t first = qr_sim_heap_first();

	qr_sim.limit_shared = first;
	qr_sim.limit_private = first + SLACK_PRIVATE;
}

/* Goes on with whatever comes next; returns when the task that called is next again. Out of the simulation when no
 * task is left that counts. */
static void run_next(void)
{
	struct qr_sim_task *from = qr_sim.running;
	void **save = from ? &from->context : &qr_sim.main_context;
	struct qr_sim_cpu *cpu = NULL;

	/* What events call costs nothing. */
	qr_sim_current = NULL;
	qr_sim.running = NULL;
	while (qr_sim.nr_live && !cpu) {
		uint64_t key;
		uint32_t id;

		if (qr_sim_heap_is_empty())
			qr_sim_fail("deadlock: every task is asleep");
		id = qr_sim_heap_pop(&key);
		if (key > qr_sim.stuck_at)
			qr_sim_fail("stuck: the run does not end");
		if (run_event(id, key))
			continue;
		cpu = &qr_sim.cpus[id];
		if (cpu->is_parked) {
			unpark(cpu);
			cpu->clock = QR_MAX(cpu->clock, cpu->parked_until);
		}
		if (cpu->interrupts) {
			cpu->clock += cpu->interrupts;
			cpu->interrupts = 0;
			qr_sim_heap_push(id, cpu->clock);
			cpu = NULL;
		}
	}
	if (!cpu) {
		qr_sim_switch(save, qr_sim.main_context);
		return;
	}
	qr_sim_set_limits();
	qr_sim_current = cpu;
	qr_sim.running = cpu->task;
	cpu->task->state = QR_TASK_RUNNING;
	if (cpu->task != from)
		qr_sim_switch(save, cpu->task->context);
}

static bool run_event(uint32_t id, uint64_t key)
{
	if (id < QR_SIM_ID_TIMERS)
		return false;
	qr_sim.progress++;
	if (id < QR_SIM_ID_DEVICE)
		qr_sim_timer(id - QR_SIM_ID_TIMERS, key);
	else if (id < QR_SIM_ID_WARM)
		qr_sim_device_event(id - QR_SIM_ID_DEVICE, key);
	else if (id == QR_SIM_ID_GRACE)
		qr_sim_grace_end(key);
	else if (id == QR_SIM_ID_WARM)
		qr_sim_warm();
	else
		qr_sim_end();
	return true;
}

void qr_sim_park(uint64_t line, uint64_t until)
{
	struct qr_sim_cpu *cpu = qr_sim_current;
	uint32_t *first = parked_at(line);

	cpu->nr_parks++;
	qr_sim.progress++;
	cpu->is_parked = true;
	cpu->parked_line = line;
	cpu->parked_until = until;
	cpu->parked_prev = 0;
	cpu->parked_next = *first;
	if (*first)
		qr_sim.cpus[*first - 1].parked_prev = cpu->id + 1;
	*first = cpu->id + 1;
	qr_sim_line(line)->flags |= QR_LINE_POLLED;
	qr_sim_heap_push(cpu->id, until);
	run_next();
}

static void unpark(struct qr_sim_cpu *cpu)
{
	cpu->is_parked = false;
	if (cpu->parked_prev)
		qr_sim.cpus[cpu->parked_prev - 1].parked_next = cpu->parked_next;
	else
		*parked_at(cpu->parked_line) = cpu->parked_next;
	if (cpu->parked_next)
		qr_sim.cpus[cpu->parked_next - 1].parked_prev = cpu->parked_prev;
}

/* What the running CPU's invalidation takes to reach the other. */
static uint64_t notice_time(const struct qr_sim_cpu *cpu)
{
	const struct qr_sim_cpu *self = qr_sim_current;
	enum qr_distance distance = QR_REMOTE;

	if (!self || self->cluster == cpu->cluster)
		distance = QR_SAME_CLUSTER;
	else if (self->node == cpu->node)
		distance = QR_SAME_NODE;
	return qr_sim.costs.invalidate[distance] / 2;
}

void qr_sim_unpark_all(uint64_t line, uint64_t from)
{
	uint64_t period = qr_sim.costs.access + qr_sim.costs.pause + qr_sim.costs.l1;
	uint64_t at;
	uint32_t next;

	for (uint32_t i = *parked_at(line); i; i = next) {
		struct qr_sim_cpu *cpu = &qr_sim.cpus[i - 1];

		next = cpu->parked_next;
		if (cpu->parked_line != line)
			continue;
		unpark(cpu);
		at = from + notice_time(cpu);
		/* It polled all the time, once a period. */
		if (at > cpu->clock) {
			uint64_t nr_polls = (at - cpu->clock + period - 1) / period;

			cpu->clock += nr_polls * period + qr_sim_jitter(cpu, period / 2);
		}
		qr_sim_heap_set(cpu->id, cpu->clock);
	}
	qr_sim_line(line)->flags &= (uint8_t)~QR_LINE_POLLED;
	qr_sim_set_limits();
}
