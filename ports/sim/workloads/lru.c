/*
 * LRU lists: each CPU adds folios, and takes the oldest off again when it has none left. An operation is an addition.
 * All lists lie under one lock; with lru-batch=0 each addition takes it, as before pagevecs.
 */
#include "workloads/workload.h"

enum { FOLIOS, ISOLATE, THINK };

#define MAX_ISOLATE 64u

static const struct qr_lab_param params[] = {
	{"folios", "256", "folios per CPU", NULL},
	{"isolate", "32", "folios that are taken off the list at a time; 1: each by its own; 64 at most", NULL},
	{"think", "2000", "mean time between two additions, ns", NULL},
	{NULL, NULL, NULL, NULL},
};

struct cpu_state {
	uint64_t nr; /* folios in hand */
	struct qr_frame *folios[MAX_ISOLATE];
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
	/* By turns, so that neighbours on the list belong to different CPUs. */
	for (uint64_t i = 0; i < lab->values[FOLIOS]; i++) {
		for (uint32_t cpu = 0; cpu < lab->nr_cpus; cpu++) {
			struct qr_frame *folio = folio_create(lab);

			if (!folio)
				return QR_ENOMEM;
			qr_lru_add(&lab->vmm->lru, folio);
		}
	}
	qr_lru_drain(&lab->vmm->lru);
	return 0;
}

static void run(struct qr_lab *lab, uint32_t cpu)
{
	struct state *state = lab->state;
	struct cpu_state *mine = &state->cpus[cpu];
	struct qr_lruvec *lru = &lab->vmm->lru;

	while (qr_lab_running(lab)) {
		qr_lab_think(lab, lab->values[THINK]);
		if (!mine->nr) {
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
	struct qr_lruvec *lru = &lab->vmm->lru;
	uint64_t nr = 0;

	if (!qr_lru_is_valid(lru))
		return "the LRU lists are not valid";
	qr_lru_drain(lru);
	for (uint32_t cpu = 0; cpu < lab->nr_cpus; cpu++)
		nr += state->cpus[cpu].nr;
	if (nr + lru->nr_pages[QR_LRU_ACTIVE] != lab->nr_cpus * lab->values[FOLIOS])
		return "folios were lost";
	return qr_lru_is_valid(lru) ? NULL : "the LRU lists are not valid after a drain";
}

extern const struct qr_lab_workload qr_lab_lru;
const struct qr_lab_workload qr_lab_lru = {
	.name = "lru",
	.help = "folios put on the LRU lists and isolated; an operation is an addition",
	.params = params,
	.setup = setup,
	.run = run,
	.check = check,
};
