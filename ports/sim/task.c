/*
 * Tasks of simulated CPUs: fibers that stay on the CPU where they were started. A CPU runs one until it sleeps or, at a
 * point where it holds nothing, has used its slice up; this is how a kernel without preemption behaves.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sim.h"

#define STACK_BYTES (128u << 10)
#define GUARD_BYTES 4096u
#define WAIT_BUCKETS 1024u /* a power of two */

/* Waiters by word, first come, first woken. */
static struct {
	struct qr_sim_task *head, *tail;
} waiters[WAIT_BUCKETS];

static void task_main(void);
static void ready_append(struct qr_sim_cpu *cpu, struct qr_sim_task *task);
static void waiters_remove(struct qr_sim_task *task, struct qr_sim_task *before);

static uint32_t bucket_of(const uint32_t *word)
{
	return (uint32_t)(((uintptr_t)word >> 2) * 0x9e3779b97f4a7c15u >> 40) & (WAIT_BUCKETS - 1);
}

struct qr_sim_task *qr_sim_task_create(const char *name, uint32_t cpu, bool is_kernel, void (*entry)(void *argument),
				       void *argument)
{
	struct qr_sim_task *task = calloc(1, sizeof(*task));
	uint64_t stack = QR_SIM_STACKS + (uint64_t)qr_sim.nr_tasks * (STACK_BYTES + GUARD_BYTES);

	if (!task || qr_sim.nr_tasks == QR_SIM_MAX_TASKS)
		qr_sim_fail("more than %u tasks", QR_SIM_MAX_TASKS);
	(void)qr_sim_reserve(stack + GUARD_BYTES, STACK_BYTES);
	task->id = qr_sim.nr_tasks;
	qr_sim.tasks[qr_sim.nr_tasks++] = task;
	snprintf(task->name, sizeof(task->name), "%s", name);
	task->cpu = &qr_sim.cpus[cpu];
	task->is_kernel = is_kernel;
	task->state = QR_TASK_ASLEEP;
	task->entry = entry;
	task->argument = argument;
	task->context = qr_sim_context((uint8_t *)(uintptr_t)(stack + GUARD_BYTES + STACK_BYTES), task_main);
	qr_sim.nr_live += !is_kernel;
	qr_sim_make_ready(task, qr_sim_current ? qr_sim_current->clock : task->cpu->clock);
	return task;
}

static void task_main(void)
{
	struct qr_sim_task *task = qr_sim.running;

	task->entry(task->argument);
	if (task->nr_read_sections)
		qr_sim_fail("task %s ends in a read section", task->name);
	task->state = QR_TASK_DEAD;
	task->cpu->end = task->cpu->clock;
	qr_sim.nr_live -= !task->is_kernel;
	__atomic_store_n(&task->joiners, 1, __ATOMIC_RELAXED);
	qr_sim_wake_word(&task->joiners, UINT32_MAX, task->cpu->clock);
	qr_sim_sleep();
	abort(); /* nobody wakes it */
}

void qr_sim_make_ready(struct qr_sim_task *task, uint64_t at)
{
	struct qr_sim_cpu *cpu = task->cpu;

	task->state = QR_TASK_READY;
	if (cpu->task) {
		ready_append(cpu, task);
		return;
	}
	cpu->task = task;
	cpu->clock = QR_MAX(cpu->clock, at + qr_sim.costs.wake_latency);
	cpu->slice_start = cpu->clock;
	qr_sim_heap_push(cpu->id, cpu->clock);
	qr_sim_set_limits();
}

/* Tasks of the kernel go first. */
static void ready_append(struct qr_sim_cpu *cpu, struct qr_sim_task *task)
{
	struct qr_sim_task **at = &cpu->ready_head;

	while (*at && ((*at)->is_kernel || !task->is_kernel))
		at = &(*at)->next;
	task->next = *at;
	*at = task;
}

void qr_sim_preempt_point(void)
{
	struct qr_sim_cpu *cpu = qr_sim_current;
	struct qr_sim_task *task = cpu->task;

	qr_sim_quiescent(cpu);
	if (!cpu->ready_head || (!cpu->ready_head->is_kernel && cpu->clock - cpu->slice_start < qr_sim.costs.slice))
		return;
	task->state = QR_TASK_READY;
	ready_append(cpu, task);
	qr_sim_sleep();
}

void qr_sim_timer(uint32_t id, uint64_t at)
{
	struct qr_sim_task *task = qr_sim.tasks[id];
	struct qr_sim_task *before = NULL;
	struct qr_sim_task *other = waiters[bucket_of(task->wait_word)].head;

	for (; other != task; other = other->next)
		before = other;
	waiters_remove(task, before);
	task->is_timed_out = true;
	qr_sim_make_ready(task, at);
}

static void waiters_remove(struct qr_sim_task *task, struct qr_sim_task *before)
{
	uint32_t bucket = bucket_of(task->wait_word);

	if (before)
		before->next = task->next;
	else
		waiters[bucket].head = task->next;
	if (waiters[bucket].tail == task)
		waiters[bucket].tail = before;
	task->wait_word = NULL;
	task->next = NULL;
}

void qr_sim_wait_word(uint32_t *word, uint64_t until)
{
	struct qr_sim_task *task = qr_sim.running;
	uint32_t bucket = bucket_of(word);

	if (task->nr_read_sections)
		qr_sim_fail("task %s sleeps in a read section", task->name);
	task->nr_sleeps++;
	task->state = QR_TASK_ASLEEP;
	task->wait_word = word;
	task->is_timed_out = false;
	task->next = NULL;
	if (waiters[bucket].tail)
		waiters[bucket].tail->next = task;
	else
		waiters[bucket].head = task;
	waiters[bucket].tail = task;
	if (until != QR_SIM_NEVER)
		qr_sim_heap_push(QR_SIM_ID_TIMERS + task->id, until);
	qr_sim_sleep();
}

void qr_sim_wake_word(uint32_t *word, uint32_t nr_waiters, uint64_t at)
{
	struct qr_sim_task *before = NULL, *next;

	for (struct qr_sim_task *task = waiters[bucket_of(word)].head; task && nr_waiters; task = next) {
		next = task->next;
		if (task->wait_word != word) {
			before = task;
			continue;
		}
		waiters_remove(task, before);
		qr_sim_heap_remove(QR_SIM_ID_TIMERS + task->id);
		if (qr_sim_current)
			qr_sim_current->clock += qr_sim.costs.wake;
		qr_sim_make_ready(task, at);
		nr_waiters--;
	}
}
