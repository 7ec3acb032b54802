/*
 * Tasks that come and go. Each CPU has its share of all tasks and runs one of them, chosen at random, for a step at a
 * time: a few pages of its program text and a page of its heap are touched, and now and then a small mapping is made
 * and taken away. A task that has made its steps exits; its parent forks another, which in most cases replaces its
 * address space by that of a new program first.
 *
 * At the start tasks are at random places of their lives, so that the rates are steady from then on.
 */
#include "workloads/tasks.h"

#include "fault/fault.h"

/* Pages of text that a step reads; programs spend most of a step in few pages. */
#define TEXT_TOUCHES 3u
#define MAP_PAGES 8u
#define MAX_TASKS 8000u
#define RW (QR_PROT_READ | QR_PROT_WRITE)

struct task {
	struct qr_aspace *aspace;
	struct qr_port_space *space;
	uint64_t text, heap;  /* where they are mapped */
	uint64_t nr_steps;    /* to make until it exits */
};

struct state {
	struct qr_object *program; /* the text of all */
	struct task *parents; /* [cpu], or one */
	struct task *tasks;   /* [task] */
	uint64_t nr_each;     /* CPU c has the tasks from c * nr_each on */
};

static int task_start(struct qr_lab *lab, struct task *task);
static int task_step(struct qr_lab *lab, struct task *task, bool has_map);
static int task_touch_all(struct qr_lab *lab, struct task *task);
static int task_replace(struct qr_lab *lab, struct task *task, struct task *parent);
static void task_end(struct qr_lab *lab, struct task *task);

int qr_lab_tasks_setup(struct qr_lab *lab)
{
	struct state *state = qr_lab_alloc(lab, sizeof(*state));
	uint64_t nr_parents = lab->values[QR_TASKS_PARENTS] == QR_TASKS_ONE_PARENT ? 1 : lab->nr_cpus;
	uint64_t nr_each = QR_MAX(lab->values[QR_TASKS_NR] / lab->nr_cpus, 1u);
	int err = 0;

	if (nr_each * lab->nr_cpus > MAX_TASKS || !lab->values[QR_TASKS_STEPS] || !lab->values[QR_TASKS_TEXT] ||
	    !lab->values[QR_TASKS_HEAP] || !lab->values[QR_TASKS_MAPS] || lab->values[QR_TASKS_EXEC] > 100)
		return QR_EINVAL;
	lab->state = state;
	state->nr_each = nr_each;
	/* The handle is not looked into: the simulated machine's files are all alike. */
	state->program = qr_object_create(lab->vmm, true, state);
	if (!state->program)
		return QR_ENOMEM;
	state->parents = qr_lab_alloc(lab, nr_parents * sizeof(struct task));
	state->tasks = qr_lab_alloc(lab, nr_each * lab->nr_cpus * sizeof(struct task));
	for (uint64_t i = 0; i < nr_parents && !err; i++)
		err = task_start(lab, &state->parents[i]);
	for (uint64_t i = 0; i < nr_each * lab->nr_cpus && !err; i++) {
		err = task_start(lab, &state->tasks[i]);
		state->tasks[i].nr_steps = i % nr_each * lab->values[QR_TASKS_STEPS] / nr_each;
	}
	return err;
}

void qr_lab_tasks_run(struct qr_lab *lab, uint32_t cpu)
{
	struct state *state = lab->state;
	bool is_own = lab->values[QR_TASKS_PARENTS] == QR_TASKS_PARENT_EACH;
	struct task *parent = &state->parents[is_own ? cpu : 0];
	struct task *tasks = &state->tasks[cpu * state->nr_each];
	int err = is_own || cpu == 0 ? task_touch_all(lab, parent) : 0;

	for (uint64_t turn = 1; !err && qr_lab_running(lab); turn++) {
		struct task *task = &tasks[qr_lab_random(lab) % state->nr_each];

		qr_lab_think(lab, lab->values[QR_TASKS_THINK]);
		if (task->nr_steps--)
			err = task_step(lab, task, turn % lab->values[QR_TASKS_MAPS] == 0);
		else
			err = task_replace(lab, task, parent);
	}
	if (err)
		qr_lab_fail("a task", err);
}

const char *qr_lab_tasks_check(struct qr_lab *lab)
{
	struct state *state = lab->state;

	for (uint64_t i = 0; i < state->nr_each * lab->nr_cpus; i++) {
		if (!qr_aspace_is_valid(state->tasks[i].aspace))
			return "a task's address space is not valid";
	}
	return qr_aspace_is_valid(state->parents[0].aspace) ? NULL : "a parent's address space is not valid";
}

/* A new address space with text and heap, nothing of it in memory yet. */
static int task_start(struct qr_lab *lab, struct task *task)
{
	const struct state *state = lab->state;
	uint64_t text_bytes = lab->values[QR_TASKS_TEXT] * QR_PAGE_SIZE;
	uint64_t heap_bytes = lab->values[QR_TASKS_HEAP] * QR_PAGE_SIZE;
	uint64_t start, end;
	int err;

	task->space = qr_lab_space_create(lab, &start, &end);
	err = qr_aspace_create(lab->vmm, task->space, start, end, &task->aspace);
	if (!err)
		err = qr_map(task->aspace, 0, text_bytes, QR_PAGE_SIZE, QR_PROT_READ | QR_PROT_EXEC, 0, state->program,
			     0, &task->text);
	if (!err)
		err = qr_map(task->aspace, 0, heap_bytes, QR_PAGE_SIZE, RW, 0, NULL, 0, &task->heap);
	if (!err && !lab->values[QR_TASKS_FOLIO])
		err = qr_advise(task->aspace, task->text, text_bytes, QR_ADVISE_NOHUGE);
	if (!err && !lab->values[QR_TASKS_FOLIO])
		err = qr_advise(task->aspace, task->heap, heap_bytes, QR_ADVISE_NOHUGE);
	task->nr_steps = lab->values[QR_TASKS_STEPS];
	return err;
}

static int task_step(struct qr_lab *lab, struct task *task, bool has_map)
{
	uint64_t page = qr_lab_random(lab) % lab->values[QR_TASKS_HEAP];
	int err = qr_lab_touch(lab, task->aspace, task->heap + page * QR_PAGE_SIZE, true);
	uint64_t va;

	for (unsigned i = 0; i < TEXT_TOUCHES && !err; i++) {
		page = qr_lab_random(lab) % lab->values[QR_TASKS_TEXT];
		err = qr_lab_touch(lab, task->aspace, task->text + page * QR_PAGE_SIZE, false);
	}
	if (err || !has_map)
		return err;
	err = qr_map(task->aspace, 0, MAP_PAGES * QR_PAGE_SIZE, QR_PAGE_SIZE, RW, 0, NULL, 0, &va);
	if (!err)
		err = qr_lab_touch(lab, task->aspace, va, true);
	return err ? err : qr_unmap(task->aspace, va, MAP_PAGES * QR_PAGE_SIZE);
}

/* A parent has all of its program and heap in memory. */
static int task_touch_all(struct qr_lab *lab, struct task *task)
{
	int err = 0;

	for (uint64_t i = 0; i < lab->values[QR_TASKS_TEXT] && !err; i++)
		err = qr_lab_touch(lab, task->aspace, task->text + i * QR_PAGE_SIZE, false);
	for (uint64_t i = 0; i < lab->values[QR_TASKS_HEAP] && !err; i++)
		err = qr_lab_touch(lab, task->aspace, task->heap + i * QR_PAGE_SIZE, true);
	return err;
}

/* Exit, fork and, for so many in a hundred, exec. */
static int task_replace(struct qr_lab *lab, struct task *task, struct task *parent)
{
	uint64_t start, end;
	int err;

	task_end(lab, task);
	*task = *parent;
	task->nr_steps = lab->values[QR_TASKS_STEPS];
	task->space = qr_lab_space_create(lab, &start, &end);
	err = qr_aspace_fork(parent->aspace, task->space, &task->aspace);
	if (err)
		return err;
	/* Between fork and exec the child writes to its stack at least. */
	err = qr_lab_touch(lab, task->aspace, task->heap, true);
	if (err || qr_lab_random(lab) % 100 >= lab->values[QR_TASKS_EXEC])
		return err;
	task_end(lab, task);
	return task_start(lab, task);
}

static void task_end(struct qr_lab *lab, struct task *task)
{
	qr_aspace_destroy(task->aspace);
	qr_lab_space_destroy(lab, task->space);
}
