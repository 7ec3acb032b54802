/*
 * Memory groups: each CPU runs the tasks of a group, or of several by turns where there are more groups than CPUs. A
 * task allocates pages, as faults or reads of files do, and reclaims its group's oldest when the group has its share:
 * clean pages that need no more than to leave the LRU list. An operation is a page. Where groups have no lists of their
 * own (lru-scope=global, zone or node) what goes is the oldest page of the list, whosesoever it is.
 */
#include "workloads/workload.h"

enum { GROUPS, FOLIOS, RECLAIM, SLICE, THINK };

#define MAX_GROUPS 256u
#define MAX_RECLAIM 64u

static const struct qr_lab_param params[] = {
	{"groups", "8", "memory groups; 0: none, all memory is the manager's own", NULL},
	{"folios", "512", "pages that each CPU's share of its groups has", NULL},
	{"reclaim", "32", "pages that are reclaimed at a time; 64 at most", NULL},
	{"slice", "256", "pages until the CPU turns to its next group", NULL},
	{"think", "500", "mean time between two pages, ns", NULL},
	{NULL, NULL, NULL, NULL},
};

struct cpu_state {
	uint64_t nr; /* pages that the CPU has added and not taken away */
	uint64_t nr_added;
} QR_ALIGNED(QR_CACHE_LINE);

struct state {
	struct cpu_state *cpus;
	uint32_t nr_groups; /* at least 1 */
	struct qr_group *groups[MAX_GROUPS];
	struct qr_object *objects[MAX_GROUPS]; /* one file or area per group */
};

static int setup(struct qr_lab *lab)
{
	struct state *state = qr_lab_alloc(lab, sizeof(*state));

	if (lab->values[GROUPS] > MAX_GROUPS || !lab->values[RECLAIM] || lab->values[RECLAIM] > MAX_RECLAIM ||
	    lab->values[FOLIOS] < 2 * MAX_RECLAIM || !lab->values[SLICE])
		return QR_EINVAL;
	lab->state = state;
	state->cpus = qr_lab_alloc(lab, lab->nr_cpus * sizeof(*state->cpus));
	state->nr_groups = (uint32_t)QR_MAX(lab->values[GROUPS], (uint64_t)1);
	for (uint32_t i = 0; i < state->nr_groups; i++) {
		int err = lab->values[GROUPS] ? qr_group_create(lab->vmm, &state->groups[i]) : 0;

		if (err)
			return err;
		state->objects[i] = qr_object_create(lab->vmm, false, NULL);
		if (!state->objects[i])
			return QR_ENOMEM;
		if (state->groups[i])
			qr_object_set_group(state->objects[i], state->groups[i]);
	}
	return 0;
}

/* The group that a CPU works for at the moment. */
static uint32_t my_group(const struct qr_lab *lab, const struct state *state, uint32_t cpu)
{
	uint64_t turn = state->cpus[cpu].nr_added / lab->values[SLICE];
	uint64_t nr_mine = (state->nr_groups - 1) / lab->nr_cpus + 1;

	return (uint32_t)((cpu + turn % nr_mine * lab->nr_cpus) % state->nr_groups);
}

static void add_page(struct qr_lab *lab, struct state *state, uint32_t at)
{
	struct qr_object *object = state->objects[at];
	struct qr_frame *folio = qr_group_alloc_pages(lab->vmm, state->groups[at], 0, QR_GFP_USER);

	if (!folio)
		qr_lab_fail("no memory for a page", QR_ENOMEM);
	qr_frame_set_kind(folio, QR_FRAME_FOLIO, 0);
	folio->owner = object;
	qr_object_get(object);
	if (state->groups[at])
		qr_lru_set_group(&lab->vmm->lru, folio, state->groups[at]->number);
	qr_store_release(&folio->refs, 1);
	qr_lru_add(&lab->vmm->lru, folio);
}

static uint32_t reclaim(struct qr_lab *lab, struct state *state, uint32_t at)
{
	struct qr_frame *folios[MAX_RECLAIM];
	struct qr_folio_refs refs[MAX_RECLAIM];
	struct qr_lru_target target = {.group = state->groups[at] ? state->groups[at]->number : 0};
	uint32_t nr =
		qr_lru_isolate_from(&lab->vmm->lru, &target, QR_LRU_ACTIVE, (uint32_t)lab->values[RECLAIM], folios);

	/* The pin and the reference of the page's user. */
	for (uint32_t i = 0; i < nr; i++)
		refs[i] = (struct qr_folio_refs){folios[i], 2};
	qr_folio_put_many(lab->vmm, refs, nr);
	return nr;
}

static void run(struct qr_lab *lab, uint32_t cpu)
{
	struct state *state = lab->state;
	struct cpu_state *mine = &state->cpus[cpu];

	while (qr_lab_running(lab)) {
		uint32_t at = my_group(lab, state, cpu);

		qr_lab_think(lab, lab->values[THINK]);
		/* Other CPUs of the group may have been quicker: then there is less to take, and less is kept. */
		if (mine->nr >= lab->values[FOLIOS])
			mine->nr -= reclaim(lab, state, at);
		add_page(lab, state, at);
		mine->nr++;
		mine->nr_added++;
	}
}

static const char *check(struct qr_lab *lab)
{
	struct state *state = lab->state;
	uint64_t nr_pages = 0, nr_added = 0, nr_listed;

	qr_lru_drain(&lab->vmm->lru);
	if (!qr_lru_is_valid(&lab->vmm->lru))
		return "the LRU lists are not valid after a drain";
	nr_listed = qr_lru_nr_pages(&lab->vmm->lru, QR_LRU_ACTIVE);
	for (uint32_t cpu = 0; cpu < lab->nr_cpus; cpu++)
		nr_added += state->cpus[cpu].nr;
	if (nr_listed != nr_added)
		return "pages were lost";
	for (uint32_t i = 0; i < state->nr_groups && state->groups[i]; i++) {
		struct qr_group_usage usage;

		qr_group_usage(state->groups[i], &usage);
		nr_pages += usage.nr_pages;
	}
	return state->groups[0] && nr_pages != nr_listed ? "the groups' accounts are wrong" : NULL;
}

extern const struct qr_lab_workload qr_lab_groups;
const struct qr_lab_workload qr_lab_groups = {
	.name = "groups",
	.help = "tasks in memory groups allocate pages and reclaim their group's oldest; an operation is a page",
	.params = params,
	.setup = setup,
	.run = run,
	.check = check,
};
