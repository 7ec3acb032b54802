/*
 * Contexts of allocation: what user pages, core's own objects and interrupt handlers may do where no frame is free.
 * Each rule is tried with memory that can be reclaimed, and with none left at all. An operation is a rule.
 */
#include "fault/fault.h"
#include "workloads/workload.h"

enum { RULES, OBEYED, SLEEPS_ATOMIC };

/* Virtual time that passes for whoever does no more than look at lists, at most. */
#define AT_ONCE_NS 100000u
/* Pages that reclaim finds. */
#define RECLAIMABLE 1024u

static const struct qr_lab_param params[] = {
	{NULL, NULL, NULL, NULL},
};

struct state {
	struct qr_aspace *aspace;
	uint64_t va;
	struct qr_frame *taken; /* frames, each with the address of the one before in its owner word */
};

static int setup(struct qr_lab *lab)
{
	struct state *state = qr_lab_alloc(lab, sizeof(*state));
	uint64_t start, end, len = RECLAIMABLE * QR_PAGE_SIZE;
	struct qr_port_space *space = qr_lab_space_create(lab, &start, &end);
	int err = qr_aspace_create(lab->vmm, space, start, end, &state->aspace);

	lab->state = state;
	if (!err)
		err = qr_map(state->aspace, 0, len, QR_PT_SPAN, QR_PROT_READ | QR_PROT_WRITE, 0, NULL, 0, &state->va);
	return err;
}

static bool take(struct qr_lab *lab, struct state *state, qr_gfp_t gfp)
{
	struct qr_frame *frame = qr_alloc_pages(lab->vmm, 0, gfp);

	if (!frame)
		return false;
	frame->owner = state->taken;
	state->taken = frame;
	return true;
}

/* Takes frames until the watermark that gfp obeys. */
static uint64_t take_all(struct qr_lab *lab, struct state *state, qr_gfp_t gfp)
{
	uint64_t nr = 0;

	while (take(lab, state, gfp))
		nr++;
	return nr;
}

static void give_back(struct qr_lab *lab, struct state *state)
{
	while (state->taken) {
		struct qr_frame *frame = state->taken;

		state->taken = frame->owner;
		qr_free_pages(lab->vmm, frame, 0);
	}
}

static void judge(struct qr_lab *lab, bool is_obeyed)
{
	lab->figures[RULES]++;
	lab->figures[OBEYED] += is_obeyed;
	(void)qr_lab_running(lab);
}

static uint64_t nr_reclaims(const struct qr_lab *lab)
{
	return qr_vmm_stat(lab->vmm, QR_STAT_direct_reclaims);
}

/* An allocation in the context gets a frame, and reclaims for it, while a part of memory can be reclaimed. */
static bool is_served(struct qr_lab *lab, struct state *state, qr_gfp_t gfp)
{
	uint64_t before = nr_reclaims(lab);
	int err = qr_advise(state->aspace, state->va, RECLAIMABLE * QR_PAGE_SIZE, QR_ADVISE_POPULATE);
	bool has_frame;

	/* Never reclaims, and leaves what is below the low watermark. */
	(void)take_all(lab, state, QR_GFP_WAIT | QR_GFP_NORETRY);
	while (!err && qr_vmm_is_above(lab->vmm, QR_WMARK_MIN, 1) && take(lab, state, 0))
		;
	has_frame = take(lab, state, gfp);
	give_back(lab, state);
	return !err && has_frame && nr_reclaims(lab) > before;
}

/* All is in use and can be reclaimed, but an interrupt handler gets the reserve, and then nothing: at once. */
static void try_atomic(struct qr_lab *lab, struct state *state)
{
	uint64_t nr_reserve, nr_sleeps, begin_ns, ns, before = nr_reclaims(lab);
	int err = qr_advise(state->aspace, state->va, RECLAIMABLE * QR_PAGE_SIZE, QR_ADVISE_POPULATE);

	(void)take_all(lab, state, 0);
	nr_sleeps = qr_lab_nr_sleeps(lab);
	nr_reserve = take_all(lab, state, QR_GFP_ATOMIC);
	begin_ns = qr_port_now_ns();
	judge(lab, !take(lab, state, QR_GFP_ATOMIC));
	ns = qr_port_now_ns() - begin_ns;
	lab->figures[SLEEPS_ATOMIC] = qr_lab_nr_sleeps(lab) - nr_sleeps;
	judge(lab, !err && !lab->figures[SLEEPS_ATOMIC] && ns < AT_ONCE_NS && nr_reclaims(lab) == before);
	judge(lab, nr_reserve > 0);
	give_back(lab, state);
}

static void run(struct qr_lab *lab, uint32_t cpu)
{
	struct state *state = lab->state;

	if (cpu)
		return;
	(void)qr_lab_running(lab);
	judge(lab, is_served(lab, state, QR_GFP_USER));
	judge(lab, is_served(lab, state, QR_GFP_KERNEL));
	try_atomic(lab, state);
}

static const char *check(struct qr_lab *lab)
{
	struct state *state = lab->state;

	return qr_aspace_is_valid(state->aspace) ? NULL : "the address space is not valid";
}

static const char *const figures[] = {"context_rules", "context_rules_obeyed", "atomic_sleeps", NULL};

extern const struct qr_lab_workload qr_lab_contexts;
const struct qr_lab_workload qr_lab_contexts = {
	.name = "contexts",
	.help = "checks what each context of an allocation may do; an operation is a rule",
	.params = params,
	.setup = setup,
	.run = run,
	.check = check,
	.figures = figures,
	.is_check = true,
	.may_run_out = true,
};
