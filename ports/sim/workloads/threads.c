/*
 * Threads of one program: all CPUs read and write the same pages, at random, and now and then one drops some of them.
 * So translations are in many TLBs when they are taken away. An operation is an access.
 */
#include "fault/fault.h"
#include "workloads/spaces.h"

enum { PAGES, DROP, RUN, THINK };

static const struct qr_lab_param params[] = {
	{"pages", "512", "pages that all share", NULL},
	{"drop", "64", "accesses between two drops of a CPU", NULL},
	{"run", "16", "pages that are dropped at a time", NULL},
	{"think", "200", "mean time between accesses, ns", NULL},
	{NULL, NULL, NULL, NULL},
};

struct state {
	struct qr_aspace **spaces;
	uint64_t va;
};

static int setup(struct qr_lab *lab)
{
	struct state *state = qr_lab_alloc(lab, sizeof(*state));
	uint64_t len = lab->values[PAGES] * QR_PAGE_SIZE;

	if (!lab->values[DROP] || !lab->values[RUN] || lab->values[RUN] > lab->values[PAGES])
		return QR_EINVAL;
	lab->state = state;
	state->spaces = qr_lab_spaces_create(lab, QR_LAB_SAME);
	if (!state->spaces)
		return QR_ENOMEM;
	return qr_map(state->spaces[0], 0, len, QR_PT_SPAN, QR_PROT_READ | QR_PROT_WRITE, 0, NULL, 0, &state->va);
}

static void run(struct qr_lab *lab, uint32_t cpu)
{
	struct state *state = lab->state;
	struct qr_aspace *aspace = state->spaces[cpu];
	uint64_t nr_pages = lab->values[PAGES], nr_run = lab->values[RUN];
	int err = 0;

	for (uint64_t turn = 1; !err && qr_lab_running(lab); turn++) {
		uint64_t page = qr_lab_random(lab) % nr_pages;

		qr_lab_think(lab, lab->values[THINK]);
		err = qr_lab_touch(lab, aspace, state->va + page * QR_PAGE_SIZE, turn % 2 == 0);
		if (err || turn % lab->values[DROP])
			continue;
		page = qr_lab_random(lab) % (nr_pages - nr_run + 1);
		err = qr_advise(aspace, state->va + page * QR_PAGE_SIZE, nr_run * QR_PAGE_SIZE, QR_ADVISE_DONTNEED);
	}
	if (err)
		qr_lab_fail("an access", err);
}

static const char *check(struct qr_lab *lab)
{
	struct state *state = lab->state;

	return qr_lab_spaces_check(lab, state->spaces);
}

extern const struct qr_lab_workload qr_lab_threads;
const struct qr_lab_workload qr_lab_threads = {
	.name = "threads",
	.help = "accesses to pages that all CPUs share and drop by turns; an operation is an access",
	.params = params,
	.setup = setup,
	.run = run,
	.check = check,
};
