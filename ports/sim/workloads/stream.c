/*
 * A stream beside a hot set: each CPU reads a large file once, page after page, and between two pages of it goes to
 * some pages of a set that it uses all the time. What is read once should not push out what is in use. An operation is
 * a page of the stream.
 */
#include "fault/fault.h"
#include "workloads/workload.h"

enum { HOT, FILE_PAGES, TOUCHES, FOLIO, THINK };

static const struct qr_lab_param params[] = {
	{"hot", "1024", "pages of a CPU's hot set", NULL},
	{"file", "1048576", "pages of the file that a CPU streams, from its begin again at the end", NULL},
	{"touches", "4", "pages of the hot set that are used between two of the stream", NULL},
	{"folio", "base", "folios of one page, or as large as the manager likes", "base,auto"},
	{"think", "500", "mean time between two accesses, ns", NULL},
	{NULL, NULL, NULL, NULL},
};

struct cpu_state {
	struct qr_aspace *aspace;
	uint64_t hot, file; /* where they are mapped */
} QR_ALIGNED(QR_CACHE_LINE);

static int setup_cpu(struct qr_lab *lab, struct cpu_state *mine)
{
	uint64_t hot_bytes = lab->values[HOT] * QR_PAGE_SIZE, file_bytes = lab->values[FILE_PAGES] * QR_PAGE_SIZE;
	uint64_t start, end;
	struct qr_port_space *space = qr_lab_space_create(lab, &start, &end);
	struct qr_object *file = qr_object_create(lab->vmm, true, mine);
	int err = file ? qr_aspace_create(lab->vmm, space, start, end, &mine->aspace) : QR_ENOMEM;

	if (!err)
		err = qr_map(mine->aspace, 0, hot_bytes, QR_PAGE_SIZE, QR_PROT_READ | QR_PROT_WRITE, 0, NULL, 0,
			     &mine->hot);
	if (!err)
		err = qr_map(mine->aspace, 0, file_bytes, QR_PT_SPAN, QR_PROT_READ, 0, file, 0, &mine->file);
	if (!err && !lab->values[FOLIO])
		err = qr_advise(mine->aspace, mine->hot, hot_bytes, QR_ADVISE_NOHUGE);
	if (!err && !lab->values[FOLIO])
		err = qr_advise(mine->aspace, mine->file, file_bytes, QR_ADVISE_NOHUGE);
	return err;
}

static int setup(struct qr_lab *lab)
{
	struct cpu_state *cpus = qr_lab_alloc(lab, lab->nr_cpus * sizeof(*cpus));
	int err = 0;

	if (!lab->values[HOT] || !lab->values[FILE_PAGES])
		return QR_EINVAL;
	lab->state = cpus;
	for (uint32_t cpu = 0; cpu < lab->nr_cpus && !err; cpu++)
		err = setup_cpu(lab, &cpus[cpu]);
	return err;
}

static void run(struct qr_lab *lab, uint32_t cpu)
{
	struct cpu_state *mine = &((struct cpu_state *)lab->state)[cpu];
	uint64_t page = 0;
	int err = 0;

	while (!err && qr_lab_running(lab)) {
		for (uint64_t i = 0; i < lab->values[TOUCHES] && !err; i++) {
			uint64_t at = qr_lab_random(lab) % lab->values[HOT];

			qr_lab_think(lab, lab->values[THINK]);
			err = qr_lab_touch(lab, mine->aspace, mine->hot + at * QR_PAGE_SIZE, i % 2 == 0);
		}
		qr_lab_think(lab, lab->values[THINK]);
		if (!err)
			err = qr_lab_touch(lab, mine->aspace, mine->file + page * QR_PAGE_SIZE, false);
		page = (page + 1) % lab->values[FILE_PAGES];
	}
	if (err)
		qr_lab_fail("an access", err);
}

static const char *check(struct qr_lab *lab)
{
	struct cpu_state *cpus = lab->state;

	for (uint32_t cpu = 0; cpu < lab->nr_cpus; cpu++) {
		if (!qr_aspace_is_valid(cpus[cpu].aspace))
			return "an address space is not valid";
	}
	return NULL;
}

extern const struct qr_lab_workload qr_lab_stream;
const struct qr_lab_workload qr_lab_stream = {
	.name = "stream",
	.help = "a file that is read once beside pages that are always in use; an operation is a page of the file",
	.params = params,
	.setup = setup,
	.run = run,
	.check = check,
};
