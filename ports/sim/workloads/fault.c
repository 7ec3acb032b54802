/*
 * First touches of anonymous memory, or of a file that all map: each CPU maps a range, touches its pages one after the
 * other, and takes them away again. An operation is one page. After: the page_fault1 and page_fault3 tests of the
 * will-it-scale benchmark.
 */
#include "fault/fault.h"
#include "workloads/spaces.h"

enum { SPACES, PAGES, THINK, FOLIO, BACKING };
enum { BACKING_PRIVATE, BACKING_FILE, BACKING_ONE_FILE };

static const struct qr_lab_param params[] = {
	{"spaces", "separate", "each CPU has an address space of its own, or all have the same", "separate,same"},
	{"pages", "256", "pages of a range", NULL},
	{"think", "300", "mean time between touches, ns", NULL},
	{"folio", "base", "folios of one page, or as large as the manager likes", "base,auto"},
	{"backing", "private",
	 "what is touched: private anonymous memory, a part of one file for each CPU, or the same part for all",
	 "private,file,one-file"},
	{NULL, NULL, NULL, NULL},
};

struct state {
	struct qr_object *file; /* NULL: private memory */
	struct qr_aspace **spaces;
	uint64_t *ranges; /* [cpu] where its range begins */
};

static int setup(struct qr_lab *lab)
{
	struct state *state = qr_lab_alloc(lab, sizeof(*state));
	uint64_t len = lab->values[PAGES] * QR_PAGE_SIZE;
	int err = 0;

	lab->state = state;
	state->ranges = qr_lab_alloc(lab, lab->nr_cpus * sizeof(*state->ranges));
	if (lab->values[BACKING] != BACKING_PRIVATE) {
		state->file = qr_object_create(lab->vmm, true, state);
		if (!state->file)
			return QR_ENOMEM;
	}
	state->spaces = qr_lab_spaces_create(lab, (enum qr_lab_sharing)lab->values[SPACES]);
	if (!state->spaces)
		return QR_ENOMEM;
	/* Ranges begin at page-table pages of their own, so that the CPUs of one space do not share their locks, and in
	 * VMAs of their own: the page between them is not mapped. */
	for (uint32_t cpu = 0; cpu < lab->nr_cpus && !err; cpu++) {
		struct qr_aspace *aspace = state->spaces[cpu];
		uint64_t part = lab->values[BACKING] == BACKING_FILE ? cpu * lab->values[PAGES] : 0;
		uint64_t span = QR_ALIGN_UP(len + QR_PAGE_SIZE, QR_PT_SPAN);

		state->ranges[cpu] = QR_ALIGN_UP(aspace->va_start, QR_PT_SPAN) + cpu * span;
		err = qr_map(aspace, state->ranges[cpu], len, QR_PAGE_SIZE, QR_PROT_READ | QR_PROT_WRITE, QR_MAP_FIXED,
			     state->file, (uint32_t)part, &state->ranges[cpu]);
		if (!err && lab->values[FOLIO] == 0)
			err = qr_advise(aspace, state->ranges[cpu], len, QR_ADVISE_NOHUGE);
	}
	return err;
}

static void run(struct qr_lab *lab, uint32_t cpu)
{
	struct state *state = lab->state;
	struct qr_aspace *aspace = state->spaces[cpu];
	uint64_t va = state->ranges[cpu];
	/* CPUs begin at different pages, so that they do not empty their ranges in step. */
	uint64_t page = qr_lab_random(lab) % lab->values[PAGES];
	int err = qr_advise(aspace, va, lab->values[PAGES] * QR_PAGE_SIZE, QR_ADVISE_DONTNEED);

	for (; !err && qr_lab_running(lab); page++) {
		qr_lab_think(lab, lab->values[THINK]);
		if (page == lab->values[PAGES]) {
			page = 0;
			err = qr_advise(aspace, va, lab->values[PAGES] * QR_PAGE_SIZE, QR_ADVISE_DONTNEED);
		}
		if (!err)
			err = qr_lab_touch(lab, aspace, va + page * QR_PAGE_SIZE, true);
	}
	if (err)
		qr_lab_fail("a page fault", err);
}

static const char *check(struct qr_lab *lab)
{
	struct state *state = lab->state;

	return qr_lab_spaces_check(lab, state->spaces);
}

extern const struct qr_lab_workload qr_lab_fault;
const struct qr_lab_workload qr_lab_fault = {
	.name = "fault",
	.help = "first touches of anonymous memory or of a shared file; an operation is a page",
	.params = params,
	.setup = setup,
	.run = run,
	.check = check,
};
