/*
 * Slab allocator: each CPU allocates objects and frees those that it allocated itself, or those of its neighbour, as
 * network stacks and queues do. An operation is an allocation with its free.
 */
#include "workloads/workload.h"

enum { FREES, RING, THINK };

#define MAX_RING 1024u

static const struct qr_lab_param params[] = {
	{"frees", "local", "who frees an object: the CPU that allocated it, or the next one", "local,remote"},
	{"ring", "64", "objects that are alive per CPU; 1024 at most", NULL},
	{"think", "200", "mean time between two operations, ns", NULL},
	{NULL, NULL, NULL, NULL},
};

struct state {
	uint64_t **rings; /* [cpu][slot] objects as numbers, 0: none */
};

static int setup(struct qr_lab *lab)
{
	struct state *state = qr_lab_alloc(lab, sizeof(*state));

	if (!lab->values[RING] || lab->values[RING] > MAX_RING)
		return QR_EINVAL;
	lab->state = state;
	state->rings = qr_lab_alloc(lab, lab->nr_cpus * sizeof(*state->rings));
	for (uint32_t cpu = 0; cpu < lab->nr_cpus; cpu++)
		state->rings[cpu] = qr_lab_alloc(lab, lab->values[RING] * sizeof(uint64_t));
	return 0;
}

/* A new object replaces an older one in a ring, which is freed; in a ring that two CPUs use, the older one comes from
 * the other half of the time. */
static void run(struct qr_lab *lab, uint32_t cpu)
{
	struct state *state = lab->state;
	struct qr_slab_cache *cache = &lab->vmm->vma_cache;
	bool is_remote = lab->values[FREES] == 1;
	uint64_t slot = 0;

	for (uint64_t turn = 0; qr_lab_running(lab); turn++) {
		/* Its own ring and its neighbour's by turns, so that two CPUs meet in each. */
		uint64_t *ring = state->rings[(cpu + (is_remote ? turn % 2 : 0)) % lab->nr_cpus];
		void *object, *old;

		qr_lab_think(lab, lab->values[THINK]);
		object = qr_slab_alloc(cache, QR_GFP_KERNEL);
		if (!object)
			qr_lab_fail("an allocation", QR_ENOMEM);
		old = (void *)(uintptr_t)qr_lab_exchange(&ring[slot], (uintptr_t)object);
		if (old)
			qr_slab_free(cache, old);
		slot = (slot + (!is_remote || turn % 2)) % lab->values[RING];
	}
}

static const char *check(struct qr_lab *lab)
{
	return qr_slab_cache_is_valid(&lab->vmm->vma_cache) ? NULL : "the slab cache is not valid";
}

extern const struct qr_lab_workload qr_lab_slab;
const struct qr_lab_workload qr_lab_slab = {
	.name = "slab",
	.help = "slab objects allocated and freed; an operation is an object",
	.params = params,
	.setup = setup,
	.run = run,
	.check = check,
};
