/*
 * Mapping and unmapping: each CPU maps a range, touches some of its pages, and unmaps it. An operation is one such
 * turn. After: the mmap1 test of the will-it-scale benchmark.
 */
#include "fault/fault.h"
#include "workloads/spaces.h"

enum { SPACES, PAGES, TOUCH, THINK };

static const struct qr_lab_param params[] = {
	{"spaces", "separate", "each CPU has an address space of its own, or all have the same", "separate,same"},
	{"pages", "32", "pages of a mapping", NULL},
	{"touch", "1", "pages of it that are touched", NULL},
	{"think", "1000", "mean time between two mappings, ns", NULL},
	{NULL, NULL, NULL, NULL},
};

struct state {
	struct qr_aspace **spaces;
};

static int setup(struct qr_lab *lab)
{
	struct state *state = qr_lab_alloc(lab, sizeof(*state));

	lab->state = state;
	state->spaces = qr_lab_spaces_create(lab, (enum qr_lab_sharing)lab->values[SPACES]);
	return state->spaces ? 0 : QR_ENOMEM;
}

static void run(struct qr_lab *lab, uint32_t cpu)
{
	struct state *state = lab->state;
	struct qr_aspace *aspace = state->spaces[cpu];
	uint64_t len = lab->values[PAGES] * QR_PAGE_SIZE;

	while (qr_lab_running(lab)) {
		uint64_t va;
		int err;

		qr_lab_think(lab, lab->values[THINK]);
		err = qr_map(aspace, 0, len, QR_PAGE_SIZE, QR_PROT_READ | QR_PROT_WRITE, 0, NULL, 0, &va);
		for (uint64_t page = 0; !err && page < QR_MIN(lab->values[TOUCH], lab->values[PAGES]); page++)
			err = qr_lab_touch(lab, aspace, va + page * QR_PAGE_SIZE, true);
		if (!err)
			err = qr_unmap(aspace, va, len);
		if (err)
			qr_lab_fail("a mapping", err);
	}
}

static const char *check(struct qr_lab *lab)
{
	struct state *state = lab->state;

	return qr_lab_spaces_check(lab, state->spaces);
}

extern const struct qr_lab_workload qr_lab_mmap;
const struct qr_lab_workload qr_lab_mmap = {
	.name = "mmap",
	.help = "mapping, touching and unmapping; an operation is a mapping",
	.params = params,
	.setup = setup,
	.run = run,
	.check = check,
};
