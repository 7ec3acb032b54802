/* Page allocator: each CPU allocates a burst of blocks and frees them again. An operation is a block. */
#include "workloads/workload.h"

enum { BURST, ORDER, THINK };

#define MAX_BURST 4096u

static const struct qr_lab_param params[] = {
	{"burst", "32", "blocks that are allocated in a row, at most; 4096 at most", NULL},
	{"order", "0", "size of a block: 2^order pages", NULL},
	{"think", "200", "mean time between two calls, ns", NULL},
	{NULL, NULL, NULL, NULL},
};

struct state {
	struct qr_frame ***blocks; /* [cpu][block] */
};

static int setup(struct qr_lab *lab)
{
	struct state *state = qr_lab_alloc(lab, sizeof(*state));

	if (!lab->values[BURST] || lab->values[BURST] > MAX_BURST || lab->values[ORDER] > QR_MAX_ORDER)
		return QR_EINVAL;
	lab->state = state;
	state->blocks = qr_lab_alloc(lab, lab->nr_cpus * sizeof(*state->blocks));
	for (uint32_t cpu = 0; cpu < lab->nr_cpus; cpu++)
		state->blocks[cpu] = qr_lab_alloc(lab, lab->values[BURST] * sizeof(struct qr_frame *));
	return 0;
}

static void run(struct qr_lab *lab, uint32_t cpu)
{
	struct state *state = lab->state;
	struct qr_frame **blocks = state->blocks[cpu];
	unsigned order = (unsigned)lab->values[ORDER];
	uint64_t nr = 0, wanted = 0;
	bool is_freeing = false;

	while (qr_lab_running(lab)) {
		qr_lab_think(lab, lab->values[THINK]);
		if (!nr) {
			is_freeing = false;
			wanted = 1 + qr_lab_random(lab) % lab->values[BURST];
		}
		is_freeing |= nr == wanted;
		if (is_freeing) {
			qr_free_pages(lab->vmm, blocks[--nr], order);
			continue;
		}
		blocks[nr] = qr_alloc_pages(lab->vmm, order, QR_GFP_KERNEL);
		if (!blocks[nr++])
			qr_lab_fail("an allocation", QR_ENOMEM);
	}
	while (nr > 0)
		qr_free_pages(lab->vmm, blocks[--nr], order);
}

extern const struct qr_lab_workload qr_lab_churn;
const struct qr_lab_workload qr_lab_churn = {
	.name = "churn",
	.help = "bursts of page allocations and frees; an operation is one of either",
	.params = params,
	.setup = setup,
	.run = run,
};
