/*
 * A database on shared memory: processes that each map the whole of one segment and read and write its pages at random,
 * some far more often than others, after S3's 5000 processes on 2 GB. Every process has page tables of its own for it.
 * An operation is an access.
 */
#include "fault/fault.h"
#include "workloads/workload.h"

enum { PROCESSES, MIB, WRITES, HOT, THINK };

/* Of a hundred accesses, those to the hot part. */
#define HOT_ACCESSES 80u
#define MAX_PROCESSES 8000u

static const struct qr_lab_param params[] = {
	{"processes", "64", "processes, on all CPUs together; 8000 at most", NULL},
	{"mib", "64", "size of the segment, MiB", NULL},
	{"writes", "20", "of a hundred accesses, those that write", NULL},
	{"hot", "10", "of a hundred pages, those that four in five accesses go to", NULL},
	{"think", "2000", "mean time between two accesses, ns", NULL},
	{NULL, NULL, NULL, NULL},
};

struct process {
	struct qr_aspace *aspace;
	uint64_t va; /* of the segment */
};

struct state {
	struct qr_object *segment;
	struct process *processes; /* [process] */
	uint64_t nr_each;          /* CPU c has the processes from c * nr_each on */
};

static int process_start(struct qr_lab *lab, struct process *process)
{
	const struct state *state = lab->state;
	uint64_t len = lab->values[MIB] << 20, start, end;
	struct qr_port_space *space = qr_lab_space_create(lab, &start, &end);
	int err = qr_aspace_create(lab->vmm, space, start, end, &process->aspace);

	if (!err)
		err = qr_map(process->aspace, 0, len, QR_PT_SPAN, QR_PROT_READ | QR_PROT_WRITE, 0, state->segment, 0,
			     &process->va);
	if (!err)
		err = qr_advise(process->aspace, process->va, len, QR_ADVISE_NOHUGE);
	return err;
}

static int setup(struct qr_lab *lab)
{
	struct state *state = qr_lab_alloc(lab, sizeof(*state));
	int err = 0;

	state->nr_each = QR_MAX(lab->values[PROCESSES] / lab->nr_cpus, 1u);
	if (state->nr_each * lab->nr_cpus > MAX_PROCESSES || !lab->values[MIB] || !lab->values[HOT] ||
	    lab->values[HOT] > 100)
		return QR_EINVAL;
	lab->state = state;
	state->segment = qr_object_create(lab->vmm, true, NULL);
	if (!state->segment)
		return QR_ENOMEM;
	state->processes = qr_lab_alloc(lab, state->nr_each * lab->nr_cpus * sizeof(*state->processes));
	for (uint64_t i = 0; i < state->nr_each * lab->nr_cpus && !err; i++)
		err = process_start(lab, &state->processes[i]);
	return err;
}

static void run(struct qr_lab *lab, uint32_t cpu)
{
	struct state *state = lab->state;
	uint64_t nr_pages = (lab->values[MIB] << 20) / QR_PAGE_SIZE;
	uint64_t nr_hot = QR_MAX(nr_pages * lab->values[HOT] / 100, 1u);
	int err = 0;

	while (!err && qr_lab_running(lab)) {
		struct process *process = &state->processes[cpu * state->nr_each + qr_lab_random(lab) % state->nr_each];
		bool is_hot = qr_lab_random(lab) % 100 < HOT_ACCESSES;
		uint64_t page = qr_lab_random(lab) % (is_hot ? nr_hot : nr_pages);
		bool is_write = qr_lab_random(lab) % 100 < lab->values[WRITES];

		qr_lab_think(lab, lab->values[THINK]);
		err = qr_lab_touch(lab, process->aspace, process->va + page * QR_PAGE_SIZE, is_write);
	}
	if (err)
		qr_lab_fail("an access", err);
}

static const char *check(struct qr_lab *lab)
{
	struct state *state = lab->state;

	for (uint64_t i = 0; i < state->nr_each * lab->nr_cpus; i++) {
		if (!qr_aspace_is_valid(state->processes[i].aspace))
			return "a process's address space is not valid";
	}
	return NULL;
}

extern const struct qr_lab_workload qr_lab_database;
const struct qr_lab_workload qr_lab_database = {
	.name = "database",
	.help = "processes that share a segment of memory, most accesses to few pages; an operation is an access",
	.params = params,
	.setup = setup,
	.run = run,
	.check = check,
};
