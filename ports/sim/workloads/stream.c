/*
 * A stream beside a hot set: each CPU reads a large file once, page after page, and between two pages of it goes to
 * some pages of a set that it uses all the time. What is read once should not push out what is in use. An operation is
 * a page of the stream.
 *
 * Measured from the time on that as many pages were streamed as there is memory: touches of the hot set, and of them
 * those that had to wait for the swap.
 */
#include "fault/fault.h"
#include "workloads/workload.h"

enum { HOT, FILE_PAGES, TOUCHES, FOLIO, THINK, FILL };
enum { HOT_TOUCHES, HOT_REFAULTS, STREAMED_PERCENT };

/* One part in so many of all pages is inactive once reclaim is under way: core/reclaim/reclaim.c. */
#define INACTIVE_SHARE 16u

static const struct qr_lab_param params[] = {
	{"hot", "1024", "pages of a CPU's hot set", NULL},
	{"file", "1048576", "pages of the file that a CPU streams, from its begin again at the end", NULL},
	{"touches", "4", "pages of the hot set that are used between two of the stream", NULL},
	{"folio", "base", "folios of one page, or as large as the manager likes", "base,auto"},
	{"think", "500", "mean time between two accesses, ns", NULL},
	{"fill", "0",
	 "percent of memory that hold pages of the file at the start; if not 0, all of it is full and reclaim under "
	 "way",
	 NULL},
	{NULL, NULL, NULL, NULL},
};

struct cpu_state {
	struct qr_aspace *aspace;
	uint64_t hot, file; /* where they are mapped */
	uint64_t page; /* of the file, the next */
	uint64_t nr_streamed, nr_touches, nr_refaults;
} QR_ALIGNED(QR_CACHE_LINE);

static uint64_t nr_online(const struct qr_lab *lab)
{
	return qr_vmm_nr_online(lab->vmm);
}

static int setup_cpu(struct qr_lab *lab, struct cpu_state *mine)
{
	uint64_t hot_bytes = lab->values[HOT] * QR_PAGE_SIZE, file_bytes = lab->values[FILE_PAGES] * QR_PAGE_SIZE;
	uint64_t start, end;
	struct qr_port_space *space = qr_lab_space_create(lab, &start, &end);
	struct qr_object *file = qr_object_create(lab->vmm, true, mine);
	int err = file ? qr_aspace_create(lab->vmm, space, start, end, &mine->aspace) : QR_ENOMEM;

	if (!err)
		err = qr_map(mine->aspace, 0, hot_bytes, QR_PAGE_SIZE, QR_PROT_READ | QR_PROT_WRITE, 0, NULL, 0,
			     &mine->hot);
	if (!err)
		err = qr_map(mine->aspace, 0, file_bytes, QR_PT_SPAN, QR_PROT_READ, 0, file, 0, &mine->file);
	if (!err && !lab->values[FOLIO])
		err = qr_advise(mine->aspace, mine->hot, hot_bytes, QR_ADVISE_NOHUGE);
	if (!err && !lab->values[FOLIO])
		err = qr_advise(mine->aspace, mine->file, file_bytes, QR_ADVISE_NOHUGE);
	mine->page = nr_online(lab) * lab->values[FILL] / 100 / lab->nr_cpus;
	if (!err && mine->page)
		err = qr_advise(mine->aspace, mine->file, mine->page * QR_PAGE_SIZE, QR_ADVISE_POPULATE);
	return err;
}

/* Core takes what is left, so that the next page has to be reclaimed for. */
static void fill_rest(struct qr_lab *lab)
{
	for (unsigned order = QR_MAX_ORDER + 1; order-- > 0;) {
		while (qr_alloc_pages(lab->vmm, order, 0))
			;
	}
}

/* The first reclaims of all make the inactive lists, which takes long in a large memory. */
static void fill_inactive(struct qr_lab *lab)
{
	const struct qr_lru *lru = &lab->vmm->lru;

	while (qr_lru_nr_pages(lru, QR_LRU_INACTIVE) < qr_lru_nr_pages(lru, QR_LRU_ACTIVE) / INACTIVE_SHARE) {
		if (!qr_reclaim(lab->vmm, 1))
			return;
	}
}

static int setup(struct qr_lab *lab)
{
	struct cpu_state *cpus = qr_lab_alloc(lab, lab->nr_cpus * sizeof(*cpus));
	int err = 0;

	if (!lab->values[HOT] || !lab->values[FILE_PAGES] || lab->values[FILL] > 95 ||
	    lab->values[FILE_PAGES] * lab->nr_cpus * 100 < nr_online(lab) * lab->values[FILL])
		return QR_EINVAL;
	lab->state = cpus;
	for (uint32_t cpu = 0; cpu < lab->nr_cpus && !err; cpu++)
		err = setup_cpu(lab, &cpus[cpu]);
	if (!err && lab->values[FILL]) {
		fill_inactive(lab);
		fill_rest(lab);
	}
	return err;
}

/* Faults that the calling CPU's programs have waited for the swap in. */
static uint64_t nr_swapins(const struct qr_lab *lab)
{
	return qr_load_relaxed(&lab->vmm->stats.cpus[qr_port_cpu()].count[QR_STAT_faults_swapin]);
}

/* A page of the hot set; the first pages of the stream, while memory fills, do not count. */
static int touch_hot(struct qr_lab *lab, struct cpu_state *mine, bool is_write)
{
	uint64_t at = qr_lab_random(lab) % lab->values[HOT], before = nr_swapins(lab);
	int err = qr_lab_touch(lab, mine->aspace, mine->hot + at * QR_PAGE_SIZE, is_write);

	if (mine->nr_streamed * lab->nr_cpus >= nr_online(lab)) {
		mine->nr_touches++;
		mine->nr_refaults += nr_swapins(lab) - before;
	}
	return err;
}

static void run(struct qr_lab *lab, uint32_t cpu)
{
	struct cpu_state *mine = &((struct cpu_state *)lab->state)[cpu];
	int err = 0;

	while (!err && qr_lab_running(lab)) {
		for (uint64_t i = 0; i < lab->values[TOUCHES] && !err; i++) {
			qr_lab_think(lab, lab->values[THINK]);
			err = touch_hot(lab, mine, i % 2 == 0);
		}
		qr_lab_think(lab, lab->values[THINK]);
		if (!err)
			err = qr_lab_touch(lab, mine->aspace, mine->file + mine->page * QR_PAGE_SIZE, false);
		mine->page = (mine->page + 1) % lab->values[FILE_PAGES];
		mine->nr_streamed++;
	}
	if (err)
		qr_lab_fail("an access", err);
	lab->figures[HOT_TOUCHES] += mine->nr_touches;
	lab->figures[HOT_REFAULTS] += mine->nr_refaults;
	lab->figures[STREAMED_PERCENT] += mine->nr_streamed * 100 / nr_online(lab);
}

static const char *check(struct qr_lab *lab)
{
	struct cpu_state *cpus = lab->state;

	for (uint32_t cpu = 0; cpu < lab->nr_cpus; cpu++) {
		if (!qr_aspace_is_valid(cpus[cpu].aspace))
			return "an address space is not valid";
	}
	return NULL;
}

static const char *const figures[] = {"hot_touches", "hot_refaults", "streamed_percent", NULL};

extern const struct qr_lab_workload qr_lab_stream;
const struct qr_lab_workload qr_lab_stream = {
	.name = "stream",
	.help = "a file that is read once beside pages that are always in use; an operation is a page of the file",
	.params = params,
	.setup = setup,
	.run = run,
	.check = check,
	.figures = figures,
};
