/* Core's locks by themselves: each CPU takes the one lock and counts up. An operation is a take. */
#include "workloads/workload.h"

enum { KIND, COUNTER, WORK, THINK };
enum { SPIN, MUTEX, RWSEM_READ, RWSEM_WRITE };

static const struct qr_lab_param params[] = {
	{"kind", "spin", "the lock", "spin,mutex,rwsem-read,rwsem-write"},
	{"counter", "far", "the counter lies in the lock's cache line, or in its own", "near,far"},
	{"work", "1", "accesses to the counter in each section", NULL},
	{"think", "500", "mean time between two takes, ns", NULL},
	{NULL, NULL, NULL, NULL},
};

struct state {
	union {
		struct qr_spinlock spin;
		struct qr_mutex mutex;
		struct qr_rwsem rwsem;
	};
	uint64_t near;
	uint64_t far QR_ALIGNED(2 * QR_CACHE_LINE);
};

static int setup(struct qr_lab *lab)
{
	struct state *state = qr_lab_alloc(lab, 2 * sizeof(*state));

	/* Two lines that no processor fetches together. */
	state = (struct state *)QR_ALIGN_UP((uintptr_t)state, (uintptr_t)(2 * QR_CACHE_LINE));
	lab->state = state;
	if (lab->values[KIND] == SPIN)
		qr_spin_init(&state->spin, QR_RANK_NONE);
	else if (lab->values[KIND] == MUTEX)
		qr_mutex_init(&state->mutex, QR_RANK_NONE);
	else
		qr_rwsem_init(&state->rwsem, QR_RANK_NONE);
	return 0;
}

static void take(struct state *state, uint64_t kind)
{
	if (kind == SPIN)
		qr_spin_lock(&state->spin);
	else if (kind == MUTEX)
		qr_mutex_lock(&state->mutex);
	else if (kind == RWSEM_READ)
		qr_rwsem_read_lock(&state->rwsem);
	else
		qr_rwsem_write_lock(&state->rwsem);
}

static void give(struct state *state, uint64_t kind)
{
	if (kind == SPIN)
		qr_spin_unlock(&state->spin);
	else if (kind == MUTEX)
		qr_mutex_unlock(&state->mutex);
	else if (kind == RWSEM_READ)
		qr_rwsem_read_unlock(&state->rwsem);
	else
		qr_rwsem_write_unlock(&state->rwsem);
}

static void run(struct qr_lab *lab, uint32_t cpu)
{
	struct state *state = lab->state;
	uint64_t kind = lab->values[KIND], work = lab->values[WORK];
	uint64_t *counter = lab->values[COUNTER] ? &state->far : &state->near;

	(void)cpu;
	while (qr_lab_running(lab)) {
		qr_lab_think(lab, lab->values[THINK]);
		take(state, kind);
		for (uint64_t i = 0; i < work; i++) {
			uint64_t value = qr_lab_load(counter);

			if (kind != RWSEM_READ)
				qr_lab_store(counter, value + 1);
		}
		give(state, kind);
	}
}

extern const struct qr_lab_workload qr_lab_lock;
const struct qr_lab_workload qr_lab_lock = {
	.name = "lock",
	.help = "one of core's locks, taken by all CPUs; an operation is a take",
	.params = params,
	.setup = setup,
	.run = run,
};
