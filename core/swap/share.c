/*
 * How much of the memory the compressed pool may hold: as much as makes the next frame worth the same on both sides.
 *
 * A frame more for the pool keeps `ratio` pages out of the file: it saves, for each of them, the rate at which pages
 * in the file are wanted times what a file load costs beyond a pool load. It takes one page from the resident set:
 * that costs the rate at which the coldest resident pages are wanted, which is what idle folios are touched at, times
 * the cost of a fault. Both rates and costs are measured over a window of loads, and the share goes one step up or
 * down after each.
 *
 * Source: utility-based partitioning, M. Qureshi, Y. Patt, MICRO 2006, with measured costs in place of equal ones.
 * Locks: none; one thread at a time adjusts.
 */
#include "swap/swap_priv.h"

#include "vmm/vmm.h"

/* Loads between two adjustments: enough for a rate, few enough to follow a program's phases. */
#define WINDOW_LOADS 1024u
/* A step is this many percent of the frames; the least the pool may have. */
#define STEP_PERCENT 3u
#define MIN_PERCENT 10u
/* Fixed point of rates and ratios. */
#define SCALE_SHIFT 10u

static void share_adjust(struct qr_swap *swap);
static uint64_t share_gain(struct qr_swap *swap, const struct qr_share_window *window);
static uint64_t share_loss(struct qr_swap *swap, const struct qr_share_window *window);

void qr_share_init(struct qr_swap *swap)
{
	struct qr_pool_share *share = &swap->share;

	memset(share, 0, sizeof(*share));
	share->percent = QR_MIN(swap->config.pool_max_percent, (uint32_t)QR_SHARE_START_PERCENT);
}

uint32_t qr_share_frames(struct qr_swap *swap)
{
	return qr_load_relaxed(&swap->vmm->zone.nr_online) / 100 * qr_load_relaxed(&swap->share.percent);
}

void qr_share_note_loads(struct qr_swap *swap, uint32_t nr_file, uint32_t nr_other, uint64_t file_ns)
{
	struct qr_pool_share *share = &swap->share;
	uint32_t nr_before;

	if (nr_file) {
		(void)qr_fetch_add_relaxed(&share->nr_file_loads, nr_file);
		(void)qr_fetch_add_relaxed(&share->file_ns, file_ns);
	}
	nr_before = qr_fetch_add_relaxed(&share->nr_loads, nr_file + nr_other);
	if (nr_before / WINDOW_LOADS != (nr_before + nr_file + nr_other) / WINDOW_LOADS)
		share_adjust(swap);
}

static void share_adjust(struct qr_swap *swap)
{
	struct qr_pool_share *share = &swap->share;
	const struct qr_stats *stats = &swap->vmm->stats;
	struct qr_share_window now, window;
	uint32_t is_free = 0;

	/* Acquire pairs with the release below: the marks are the last adjuster's. */
	if (!qr_cas_acquire(&share->is_busy, &is_free, 1))
		return;
	now.nr_file_loads = qr_load_relaxed(&share->nr_file_loads);
	now.file_ns = qr_load_relaxed(&share->file_ns);
	now.nr_faults = qr_stat_sum(stats, QR_STAT_faults);
	now.fault_ns = qr_stat_sum(stats, QR_STAT_fault_ns);
	now.nr_idle = qr_stat_sum(stats, QR_STAT_faults_idle);
	window.nr_file_loads = now.nr_file_loads - share->mark.nr_file_loads;
	window.file_ns = now.file_ns - share->mark.file_ns;
	window.nr_faults = now.nr_faults - share->mark.nr_faults;
	window.fault_ns = now.fault_ns - share->mark.fault_ns;
	window.nr_idle = now.nr_idle - share->mark.nr_idle;
	share->mark = now;
	if (window.nr_faults) {
		uint64_t gain = share_gain(swap, &window), loss = share_loss(swap, &window);
		uint32_t percent = qr_load_relaxed(&share->percent), max = swap->config.pool_max_percent;

		if (gain > loss)
			percent = QR_MIN(max, percent + STEP_PERCENT);
		else if (gain < loss && percent > MIN_PERCENT)
			percent = QR_MAX(QR_MIN(max, MIN_PERCENT), percent - STEP_PERCENT);
		qr_store_relaxed(&share->percent, percent);
	}
	qr_store_release(&share->is_busy, 0);
}

/* Nanoseconds, scaled, that one more frame of the pool would have saved in the window. */
static uint64_t share_gain(struct qr_swap *swap, const struct qr_share_window *window)
{
	uint64_t nr_file_pages = QR_MAX((uint64_t)qr_load_relaxed(&swap->slots.nr_tier[QR_TIER_FILE]), (uint64_t)1);
	uint64_t nr_pool_pages = qr_load_relaxed(&swap->slots.nr_tier[QR_TIER_POOL]);
	uint64_t nr_pool_frames = qr_load_relaxed(&swap->pool.nr_frames);
	uint64_t ratio = nr_pool_frames ? (nr_pool_pages << SCALE_SHIFT) / nr_pool_frames : 1u << SCALE_SHIFT;

	return window->file_ns / nr_file_pages * ratio;
}

/* Nanoseconds, scaled, that one resident page less would have cost. */
static uint64_t share_loss(struct qr_swap *swap, const struct qr_share_window *window)
{
	const struct qr_lruvec *lruvec = &swap->vmm->lru;
	uint64_t nr_idle_pages = QR_MAX(qr_load_relaxed(&lruvec->nr_pages[QR_LRU_INACTIVE]), (uint64_t)1);
	uint64_t cpu_ns = window->fault_ns - QR_MIN(window->fault_ns, window->file_ns);

	uint64_t fault_ns = cpu_ns / window->nr_faults + swap->config.delivery_ns;

	return ((fault_ns * window->nr_idle) << SCALE_SHIFT) / nr_idle_pages;
}
