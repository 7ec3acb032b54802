/*
 * What mapped pages cost: an area is touched, or forked after it was, and all frames in use before and after are
 * compared with the pages and the page tables that there are now. What is left over went into records of which page is
 * mapped where. Also counted are the folios that the pages are in: what the LRU lists have to do with. An operation is
 * a page.
 */
#include "fault/fault.h"
#include "workloads/workload.h"

enum { KIND, PAGES, ORDER, FOLIO };
enum { KIND_ANONYMOUS, KIND_FILE, KIND_FORKED };
enum { MAPPED, NR_FOLIOS, TABLES, EXTRA_FRAMES, LRU_TAKES };

static const struct qr_lab_param params[] = {
	{"kind", "anonymous", "what is mapped: private memory, a file, or private memory that a child shares",
	 "anonymous,file,forked"},
	{"pages", "65536", "pages of the area", NULL},
	{"order", "ascending", "in which they are touched", "ascending,scattered"},
	{"folio", "base", "folios of one page, or as large as the manager likes", "base,auto"},
	{NULL, NULL, NULL, NULL},
};

struct state {
	struct qr_aspace *aspace;
	struct qr_port_space *child_space;
	uint64_t va;
};

/* What is in use. */
struct use {
	uint64_t nr_frames, nr_tables;
};

static int setup(struct qr_lab *lab)
{
	struct state *state = qr_lab_alloc(lab, sizeof(*state));
	uint64_t start, end, len = lab->values[PAGES] * QR_PAGE_SIZE;
	struct qr_port_space *space = qr_lab_space_create(lab, &start, &end);
	struct qr_object *file = NULL;
	int err = qr_aspace_create(lab->vmm, space, start, end, &state->aspace);

	lab->state = state;
	state->child_space = qr_lab_space_create(lab, &start, &end);
	if (lab->values[KIND] == KIND_FILE)
		file = qr_object_create(lab->vmm, true, state);
	if (!err)
		err = qr_map(state->aspace, 0, len, QR_PT_SPAN, QR_PROT_READ | QR_PROT_WRITE, 0, file, 0, &state->va);
	if (!err && !lab->values[FOLIO])
		err = qr_advise(state->aspace, state->va, len, QR_ADVISE_NOHUGE);
	return err;
}

static void must(int err)
{
	if (err)
		qr_lab_fail("an operation on the address space", err);
}

static void look(struct qr_lab *lab, const struct qr_pgtable *one, const struct qr_pgtable *other, struct use *use)
{
	use->nr_frames = qr_vmm_nr_online(lab->vmm) - qr_vmm_nr_free(lab->vmm);
	use->nr_tables = one->nr_tables + (other ? other->nr_tables : 0);
}

static uint64_t stride(const struct qr_lab *lab)
{
	/* Odd, near the golden section, so that it meets every page of a power of two. */
	return lab->values[ORDER] ? (lab->values[PAGES] * 5 / 8) | 1 : 1;
}

static void touch_all(struct qr_lab *lab, struct state *state)
{
	for (uint64_t i = 0, at = 0; i < lab->values[PAGES]; i++) {
		must(qr_lab_touch(lab, state->aspace, state->va + at * QR_PAGE_SIZE, true));
		at = (at + stride(lab)) % lab->values[PAGES];
		(void)qr_lab_running(lab);
	}
}

static uint64_t nr_folios(struct qr_lab *lab)
{
	const struct qr_lru *lru = &lab->vmm->lru;
	uint64_t nr = 0;

	qr_lru_drain(&lab->vmm->lru);
	for (uint32_t i = 0; i < lru->nr_vecs; i++) {
		for (unsigned list = 0; list < QR_NR_LRU_LISTS; list++)
			nr += lru->vecs[i].lists[list].nr;
	}
	return nr;
}

static void run(struct qr_lab *lab, uint32_t cpu)
{
	struct state *state = lab->state;
	struct qr_pgtable *table = &state->aspace->pgtable;
	struct qr_aspace *child = NULL;
	struct use before, after;
	uint64_t nr_shared = 0;

	if (cpu)
		return;
	(void)qr_lab_running(lab);
	if (lab->values[KIND] == KIND_FORKED)
		touch_all(lab, state);
	look(lab, table, NULL, &before);
	if (lab->values[KIND] == KIND_FORKED) {
		must(qr_aspace_fork(state->aspace, state->child_space, &child));
		nr_shared = lab->values[PAGES];
	} else {
		touch_all(lab, state);
	}
	look(lab, table, child ? &child->pgtable : NULL, &after);
	lab->figures[MAPPED] = lab->values[PAGES];
	lab->figures[TABLES] = after.nr_tables - before.nr_tables;
	lab->figures[EXTRA_FRAMES] =
		after.nr_frames - before.nr_frames - (lab->values[PAGES] - nr_shared) - lab->figures[TABLES];
	lab->figures[NR_FOLIOS] = nr_folios(lab);
	lab->figures[LRU_TAKES] = qr_vmm_stat(lab->vmm, QR_STAT_lru_lock_takes);
	if (child)
		qr_aspace_destroy(child);
}

static const char *check(struct qr_lab *lab)
{
	struct state *state = lab->state;

	return qr_aspace_is_valid(state->aspace) ? NULL : "the address space is not valid";
}

static const char *const figures[] = {"mapped_pages", "mapped_folios", "new_tables", "extra_frames", "lru_takes", NULL};

extern const struct qr_lab_workload qr_lab_mappings;
const struct qr_lab_workload qr_lab_mappings = {
	.name = "mappings",
	.help = "counts the memory and the folios that mapped pages cost; an operation is a page",
	.params = params,
	.setup = setup,
	.run = run,
	.check = check,
	.figures = figures,
	.is_check = true,
};
