/*
 * The worst cases: a program that uses more memory than there is, reads or writes, pages that may not leave, and no
 * swap. Measured is how long an access takes at worst, and where memory runs out, how long until the program is told,
 * and whether it can go on after it has given some back. An operation is an access.
 */
#include "fault/fault.h"
#include "workloads/workload.h"

enum { CASE, SHARE, THINK };
enum { CASE_THRASH, CASE_DIRTY, CASE_PINNED, CASE_FULL };
enum { ACCESSES, LONGEST_NS, OUT_OF_MEMORY, NOTICE_NS, RECOVERED };

#define RW (QR_PROT_READ | QR_PROT_WRITE)

static const struct qr_lab_param params[] = {
	{"case", "thrash",
	 "random reads, or writes; half of memory is locked and the rest taken by core; all of it is written to until "
	 "there is no more (with swap=off)",
	 "thrash,dirty,pinned,full"},
	{"share", "200", "the program's area, percent of memory", NULL},
	{"think", "100", "mean time between two accesses, ns", NULL},
	{NULL, NULL, NULL, NULL},
};

struct state {
	struct qr_aspace *aspace;
	uint64_t va, nr_pages;
	struct qr_frame *taken; /* by core, each with the one before as its owner */
};

static int setup(struct qr_lab *lab)
{
	struct state *state = qr_lab_alloc(lab, sizeof(*state));
	uint64_t start, end;
	struct qr_port_space *space = qr_lab_space_create(lab, &start, &end);
	int err = qr_aspace_create(lab->vmm, space, start, end, &state->aspace);

	lab->state = state;
	state->nr_pages = qr_vmm_nr_online(lab->vmm) * lab->values[SHARE] / 100;
	if (!state->nr_pages)
		return QR_EINVAL;
	if (!err)
		err = qr_map(state->aspace, 0, state->nr_pages * QR_PAGE_SIZE, QR_PT_SPAN, RW, 0, NULL, 0, &state->va);
	if (!err)
		err = qr_advise(state->aspace, state->va, state->nr_pages * QR_PAGE_SIZE, QR_ADVISE_NOHUGE);
	return err;
}

/* An access; returns what it ended with and notes how long it took. */
static int access_page(struct qr_lab *lab, struct state *state, uint64_t page, bool is_write)
{
	uint64_t begin_ns = qr_port_now_ns(), ns;
	int err = qr_lab_touch(lab, state->aspace, state->va + page * QR_PAGE_SIZE, is_write);

	ns = qr_port_now_ns() - begin_ns;
	if (err) {
		lab->figures[OUT_OF_MEMORY] = err == QR_ENOMEM;
		lab->figures[NOTICE_NS] = ns;
	} else {
		lab->figures[ACCESSES]++;
		lab->figures[LONGEST_NS] = QR_MAX(lab->figures[LONGEST_NS], ns);
	}
	return err;
}

/* Random accesses to more pages than there is memory. */
static void thrash(struct qr_lab *lab, struct state *state)
{
	for (uint64_t i = 0; i < state->nr_pages; i++) {
		if (access_page(lab, state, i, true))
			return;
	}
	while (qr_lab_running(lab)) {
		uint64_t page = qr_lab_random(lab) % state->nr_pages;

		qr_lab_think(lab, lab->values[THINK]);
		if (access_page(lab, state, page, lab->values[CASE] == CASE_DIRTY))
			return;
	}
}

/* Writes to new pages until an access fails; then gives half of them back and goes on. */
static void fill(struct qr_lab *lab, struct state *state)
{
	uint64_t page = 0, len;

	while (page < state->nr_pages && !access_page(lab, state, page, true)) {
		page++;
		(void)qr_lab_running(lab);
	}
	if (page == state->nr_pages)
		return;
	len = page / 2 * QR_PAGE_SIZE;
	lab->figures[RECOVERED] = !qr_advise(state->aspace, state->va, len, QR_ADVISE_DONTNEED) &&
				  !qr_lab_touch(lab, state->aspace, state->va + page * QR_PAGE_SIZE, true);
}

/* Half of memory is locked by the program; core takes what else is free. Then there is nothing that could go. */
static void pin(struct qr_lab *lab, struct state *state)
{
	uint64_t nr_locked = qr_vmm_nr_online(lab->vmm) / 2;
	struct qr_frame *frame;
	int err = qr_lock(state->aspace, state->va, nr_locked * QR_PAGE_SIZE);

	if (err)
		qr_lab_fail("locking half of memory", err);
	while ((frame = qr_alloc_pages(lab->vmm, 0, 0))) {
		frame->owner = state->taken;
		state->taken = frame;
	}
	(void)access_page(lab, state, nr_locked, true);
	while (state->taken) {
		frame = state->taken;
		state->taken = frame->owner;
		qr_free_pages(lab->vmm, frame, 0);
	}
	lab->figures[RECOVERED] = !qr_lab_touch(lab, state->aspace, state->va + nr_locked * QR_PAGE_SIZE, true);
}

static void run(struct qr_lab *lab, uint32_t cpu)
{
	struct state *state = lab->state;

	if (cpu)
		return;
	(void)qr_lab_running(lab);
	if (lab->values[CASE] == CASE_FULL)
		fill(lab, state);
	else if (lab->values[CASE] == CASE_PINNED)
		pin(lab, state);
	else
		thrash(lab, state);
}

static const char *check(struct qr_lab *lab)
{
	struct state *state = lab->state;

	return qr_aspace_is_valid(state->aspace) ? NULL : "the address space is not valid";
}

static const char *const figures[] = {"worst_accesses",   "worst_access_ns", "out_of_memory",
				      "out_of_memory_ns", "recovered",       NULL};

extern const struct qr_lab_workload qr_lab_worst;
const struct qr_lab_workload qr_lab_worst = {
	.name = "worst",
	.help = "checks what happens when memory does not suffice; an operation is an access",
	.params = params,
	.setup = setup,
	.run = run,
	.check = check,
	.figures = figures,
	.is_check = true,
	.may_run_out = true,
};
