/*
 * Advice: each kind of madvise is given for a range of pages that hold something, and what follows is compared with
 * what the manual page says. That the content is right is seen to by the machine: a page holds which page it is. An
 * operation is a kind.
 */
#include "fault/fault.h"
#include "workloads/workload.h"

enum { KINDS, OBEYED };

#define NR_PAGES 1024u
#define LEN (NR_PAGES * QR_PAGE_SIZE)
#define RW (QR_PROT_READ | QR_PROT_WRITE)
/* Pages that are reclaimed to see which go first. */
#define NR_RECLAIMED 64u

static const struct qr_lab_param params[] = {
	{NULL, NULL, NULL, NULL},
};

struct state {
	struct qr_aspace *aspace;
	uint64_t range, other; /* where they are mapped */
	uint8_t resident[NR_PAGES];
};

static int setup(struct qr_lab *lab)
{
	struct state *state = qr_lab_alloc(lab, sizeof(*state));
	uint64_t start, end;
	struct qr_port_space *space = qr_lab_space_create(lab, &start, &end);
	int err = qr_aspace_create(lab->vmm, space, start, end, &state->aspace);

	lab->state = state;
	if (!err)
		err = qr_map(state->aspace, 0, LEN, QR_PT_SPAN, RW, 0, NULL, 0, &state->range);
	if (!err)
		err = qr_map(state->aspace, 0, LEN, QR_PT_SPAN, RW, 0, NULL, 0, &state->other);
	return err;
}

static void must(int err)
{
	if (err)
		qr_lab_fail("an operation on the address space", err);
}

static uint64_t nr_resident(struct state *state, uint64_t va)
{
	uint64_t nr = 0;

	must(qr_mincore(state->aspace, va, LEN, state->resident));
	for (unsigned i = 0; i < NR_PAGES; i++)
		nr += state->resident[i];
	return nr;
}

static void touch_all(struct qr_lab *lab, struct state *state, uint64_t va, bool is_write)
{
	for (uint64_t i = 0; i < NR_PAGES; i++)
		must(qr_lab_touch(lab, state->aspace, va + i * QR_PAGE_SIZE, is_write));
}

static uint64_t swapin_faults(const struct qr_lab *lab)
{
	return qr_vmm_stat(lab->vmm, QR_STAT_faults_swapin);
}

/* The content is gone and the frames are free; pages come back without the swap, as zero. */
static bool drops(struct qr_lab *lab, struct state *state, enum qr_advice advice)
{
	uint64_t before = swapin_faults(lab);
	uint64_t nr_free;
	bool is_gone;

	touch_all(lab, state, state->range, true);
	/* A batch keeps its folios. */
	qr_lru_drain(&lab->vmm->lru);
	nr_free = qr_vmm_nr_free(lab->vmm);
	must(qr_advise(state->aspace, state->range, LEN, advice));
	is_gone = nr_resident(state, state->range) == 0 && qr_vmm_nr_free(lab->vmm) >= nr_free + NR_PAGES;
	touch_all(lab, state, state->range, false);
	return is_gone && swapin_faults(lab) == before;
}

/* The range is in swap, and its pages come back with what they held. */
static bool pages_out(struct qr_lab *lab, struct state *state)
{
	uint64_t before;
	bool is_out;

	touch_all(lab, state, state->range, true);
	before = qr_aspace_nr_swapped(state->aspace);
	must(qr_advise(state->aspace, state->range, LEN, QR_ADVISE_PAGEOUT));
	is_out = nr_resident(state, state->range) == 0 && qr_aspace_nr_swapped(state->aspace) == before + NR_PAGES;
	touch_all(lab, state, state->range, false);
	return is_out && nr_resident(state, state->range) == NR_PAGES;
}

/* What is in swap is brought back before it is touched. */
static bool brings_in(struct qr_lab *lab, struct state *state)
{
	touch_all(lab, state, state->range, true);
	must(qr_advise(state->aspace, state->range, LEN, QR_ADVISE_PAGEOUT));
	must(qr_advise(state->aspace, state->range, LEN, QR_ADVISE_WILLNEED));
	return nr_resident(state, state->range) == NR_PAGES;
}

/* Younger than the other range, but the first to go; nothing is lost. */
static bool goes_first(struct qr_lab *lab, struct state *state)
{
	bool is_first;

	touch_all(lab, state, state->other, true);
	touch_all(lab, state, state->range, true);
	must(qr_advise(state->aspace, state->range, LEN, QR_ADVISE_COLD));
	if (nr_resident(state, state->range) != NR_PAGES || !qr_reclaim(lab->vmm, NR_RECLAIMED))
		return false;
	is_first = nr_resident(state, state->other) == NR_PAGES && nr_resident(state, state->range) < NR_PAGES;
	touch_all(lab, state, state->range, false);
	return is_first;
}

/* All pages are there before the first touch. */
static bool populates(struct qr_lab *lab, struct state *state)
{
	uint64_t before;

	must(qr_advise(state->aspace, state->range, LEN, QR_ADVISE_DONTNEED));
	must(qr_advise(state->aspace, state->range, LEN, QR_ADVISE_POPULATE));
	before = qr_vmm_stat(lab->vmm, QR_STAT_faults);
	touch_all(lab, state, state->range, true);
	return nr_resident(state, state->range) == NR_PAGES && qr_vmm_stat(lab->vmm, QR_STAT_faults) == before;
}

/* Pages that one touch brings. */
static uint64_t nr_by_touch(struct qr_lab *lab, struct state *state, enum qr_advice advice)
{
	must(qr_advise(state->aspace, state->range, LEN, QR_ADVISE_DONTNEED));
	must(qr_advise(state->aspace, state->range, LEN, advice));
	must(qr_lab_touch(lab, state->aspace, state->range, true));
	return nr_resident(state, state->range);
}

/* With the advice a touch brings a whole unit of 2 MiB, with its opposite a page. */
static bool makes_huge(struct qr_lab *lab, struct state *state)
{
	uint64_t nr_huge = nr_by_touch(lab, state, QR_ADVISE_HUGE);

	return nr_by_touch(lab, state, QR_ADVISE_NOHUGE) == 1 && nr_huge == QR_PT_ENTRIES;
}

static void judge(struct qr_lab *lab, bool is_obeyed)
{
	lab->figures[OBEYED] |= (uint64_t)is_obeyed << lab->figures[KINDS]++;
	(void)qr_lab_running(lab);
}

static void run(struct qr_lab *lab, uint32_t cpu)
{
	struct state *state = lab->state;

	if (cpu)
		return;
	(void)qr_lab_running(lab);
	judge(lab, drops(lab, state, QR_ADVISE_DONTNEED));
	judge(lab, drops(lab, state, QR_ADVISE_FREE));
	judge(lab, goes_first(lab, state));
	judge(lab, pages_out(lab, state));
	judge(lab, brings_in(lab, state));
	judge(lab, populates(lab, state));
	judge(lab, makes_huge(lab, state));
}

static const char *check(struct qr_lab *lab)
{
	struct state *state = lab->state;

	return qr_aspace_is_valid(state->aspace) ? NULL : "the address space is not valid";
}

static const char *const figures[] = {"advice_kinds", "advice_kinds_obeyed", NULL};

extern const struct qr_lab_workload qr_lab_advice;
const struct qr_lab_workload qr_lab_advice = {
	.name = "advice",
	.help = "checks what each kind of advice does; an operation is a kind, bit i of the kinds obeyed the i-th of "
		"dontneed, free, cold, pageout, willneed, populate, huge",
	.params = params,
	.setup = setup,
	.run = run,
	.check = check,
	.figures = figures,
	.is_check = true,
};
