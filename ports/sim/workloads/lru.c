/*
 * LRU lists: each CPU adds folios, and takes some off again when it has none left: its own oldest ones, as when a
 * program frees memory, or the oldest of all, as reclaim does. An operation is an addition; by turns, it is an addition
 * or the removal of one folio. With lru-batch=0 each of them takes the lock, as before pagevecs.
 */
#include "workloads/workload.h"

enum { FOLIOS, ISOLATE, LEAVE, FRAMES, THINK };
enum { LEAVE_FREED, LEAVE_RECLAIMED, LEAVE_BY_TURNS };

#define MAX_ISOLATE 64u

static const struct qr_lab_param params[] = {
	{"folios", "256", "folios per CPU", NULL},
	{"isolate", "32", "folios that leave the list at a time; 1: each by its own; 64 at most", NULL},
	{"leave", "freed",
	 "which: the CPU's own oldest, or the oldest of the list; or an own one at every second operation",
	 "freed,reclaimed,by-turns"},
	{"frames", "apart", "a CPU's frames lie together, as with per-CPU page lists, or among those of others",
	 "apart,mixed"},
	{"think", "2000", "mean time between two additions, ns", NULL},
	{NULL, NULL, NULL, NULL},
};

struct cpu_state {
	uint64_t nr; /* folios in hand */
	struct qr_frame *folios[MAX_ISOLATE];
	uint64_t oldest; /* place in the ring */
	struct qr_frame **ring; /* not LEAVE_RECLAIMED: [folio] the CPU's own, the oldest first from there on */
} QR_ALIGNED(QR_CACHE_LINE);

struct state {
	struct cpu_state *cpus;
};

/* A folio that the workload keeps one reference of, whatever happens to it. */
static struct qr_frame *folio_create(struct qr_lab *lab)
{
	struct qr_frame *folio = qr_alloc_pages(lab->vmm, 0, QR_GFP_KERNEL);

	if (!folio)
		return NULL;
	qr_frame_set_kind(folio, QR_FRAME_FOLIO, 0);
	qr_store_release(&folio->refs, 1);
	return folio;
}

static int setup(struct qr_lab *lab)
{
	struct state *state = qr_lab_alloc(lab, sizeof(*state));

	if (!lab->values[ISOLATE] || lab->values[ISOLATE] > MAX_ISOLATE || lab->values[FOLIOS] < 2 * MAX_ISOLATE)
		return QR_EINVAL;
	lab->state = state;
	state->cpus = qr_lab_alloc(lab, lab->nr_cpus * sizeof(*state->cpus));
	for (uint32_t cpu = 0; cpu < lab->nr_cpus; cpu++)
		state->cpus[cpu].ring = qr_lab_alloc(lab, lab->values[FOLIOS] * sizeof(struct qr_frame *));
	for (uint64_t at = 0; at < lab->values[FOLIOS] * lab->nr_cpus; at++) {
		uint64_t cpu = lab->values[FRAMES] ? at % lab->nr_cpus : at / lab->values[FOLIOS];
		uint64_t i = lab->values[FRAMES] ? at / lab->nr_cpus : at % lab->values[FOLIOS];

		state->cpus[cpu].ring[i] = folio_create(lab);
		if (!state->cpus[cpu].ring[i])
			return QR_ENOMEM;
	}
	/* By turns, so that neighbours on the list belong to different CPUs. */
	for (uint64_t i = 0; i < lab->values[FOLIOS]; i++) {
		for (uint32_t cpu = 0; cpu < lab->nr_cpus; cpu++)
			qr_lru_add(&lab->vmm->lru, state->cpus[cpu].ring[i]);
	}
	qr_lru_drain(&lab->vmm->lru);
	return 0;
}

/* Takes the CPU's oldest folios off as those that free them do: their last reference is gone. */
static void take_own(struct qr_lab *lab, struct cpu_state *mine)
{
	mine->nr = lab->values[LEAVE] == LEAVE_BY_TURNS ? 1 : lab->values[ISOLATE];
	for (uint64_t i = 0; i < mine->nr; i++) {
		struct qr_frame *folio = mine->ring[(mine->oldest + i) % lab->values[FOLIOS]];

		qr_store_relaxed(&folio->refs, 0);
		/* Backwards: the one that is added next is the last. */
		mine->folios[mine->nr - 1 - i] = folio;
	}
	mine->oldest += mine->nr;
	qr_lru_remove_dying(&lab->vmm->lru, mine->folios, (uint32_t)mine->nr);
	for (uint64_t i = 0; i < mine->nr; i++)
		qr_store_release(&mine->folios[i]->refs, 2);
}

static void run(struct qr_lab *lab, uint32_t cpu)
{
	struct state *state = lab->state;
	struct cpu_state *mine = &state->cpus[cpu];
	struct qr_lru *lru = &lab->vmm->lru;

	while (qr_lab_running(lab)) {
		qr_lab_think(lab, lab->values[THINK]);
		if (!mine->nr && lab->values[LEAVE] == LEAVE_BY_TURNS) {
			take_own(lab, mine);
			continue;
		}
		if (!mine->nr && lab->values[LEAVE] == LEAVE_FREED) {
			take_own(lab, mine);
		} else if (!mine->nr) {
			mine->nr = qr_lru_isolate(lru, QR_LRU_ACTIVE, (uint32_t)lab->values[ISOLATE], mine->folios);
			if (!mine->nr)
				qr_lab_fail("the list is empty", 0);
		}
		qr_lru_add(lru, mine->folios[--mine->nr]);
		qr_folio_put(lab->vmm, mine->folios[mine->nr], 1);
	}
}

static const char *check(struct qr_lab *lab)
{
	struct state *state = lab->state;
	struct qr_lru *lru = &lab->vmm->lru;
	uint64_t nr = 0;

	if (!qr_lru_is_valid(lru))
		return "the LRU lists are not valid";
	qr_lru_drain(lru);
	for (uint32_t cpu = 0; cpu < lab->nr_cpus; cpu++)
		nr += state->cpus[cpu].nr;
	if (nr + qr_lru_nr_pages(lru, QR_LRU_ACTIVE) != lab->nr_cpus * lab->values[FOLIOS])
		return "folios were lost";
	return qr_lru_is_valid(lru) ? NULL : "the LRU lists are not valid after a drain";
}

extern const struct qr_lab_workload qr_lab_lru;
const struct qr_lab_workload qr_lab_lru = {
	.name = "lru",
	.help = "folios put on the LRU lists and taken off; an operation is an addition, by turns either",
	.params = params,
	.setup = setup,
	.run = run,
	.check = check,
};
