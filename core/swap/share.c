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

/* mantissa * 2^exponent */
struct product {
	uint64_t mantissa;
	uint32_t exponent;
};

static void share_adjust(struct qr_swap *swap);
static bool share_pays(struct qr_swap *swap, const struct qr_share_window *window, bool is_growing);
static void product_times(struct product *product, uint64_t factor);
static bool product_is_above(const struct product *a, const struct product *b);

void qr_share_init(struct qr_swap *swap)
{
	struct qr_pool_share *share = &swap->share;

	memset(share, 0, sizeof(*share));
	share->percent = QR_MIN(swap->config.pool_max_percent, (uint32_t)QR_SHARE_START_PERCENT);
}

uint32_t qr_share_frames(struct qr_swap *swap)
{
	return qr_vmm_nr_online(swap->vmm) / 100 * qr_load_relaxed(&swap->share.percent);
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
		uint32_t percent = qr_load_relaxed(&share->percent), max = swap->config.pool_max_percent;

		if (share_pays(swap, &window, true))
			percent = QR_MIN(max, percent + STEP_PERCENT);
		else if (percent > MIN_PERCENT && share_pays(swap, &window, false))
			percent = QR_MAX(QR_MIN(max, MIN_PERCENT), percent - STEP_PERCENT);
		qr_store_relaxed(&share->percent, percent);
	}
	qr_store_release(&share->is_busy, 0);
}

/* Whether a frame more of the pool would have saved more time in the window than a resident page less would have cost:
 *
 *	file_ns / file pages * pool pages / pool frames > (cpu_ns / faults + delivery_ns) * idle touches / idle pages
 *
 * without the divisions, which 32-bit machines have no instruction for. */
static bool share_pays(struct qr_swap *swap, const struct qr_share_window *window, bool is_growing)
{
	const struct qr_slot_map *slots = &swap->slots;
	uint64_t cpu_ns = window->fault_ns - QR_MIN(window->fault_ns, window->file_ns);
	uint32_t nr_pool_frames = qr_load_relaxed(&swap->pool.nr_frames);
	uint32_t nr_kept = qr_load_relaxed(&swap->kept.nr), nr_file = qr_load_relaxed(&slots->nr_tier[QR_TIER_FILE]);
	struct product gain = {.mantissa = window->file_ns};
	struct product loss = {.mantissa = cpu_ns + window->nr_faults * swap->config.delivery_ns};

	product_times(&gain, window->nr_faults);
	product_times(&gain, nr_pool_frames ? qr_load_relaxed(&slots->nr_tier[QR_TIER_POOL]) : 1);
	product_times(&gain, qr_lru_nr_pages(&swap->vmm->lru, QR_LRU_INACTIVE) | 1);
	product_times(&loss, window->nr_idle);
	product_times(&loss, nr_pool_frames ? nr_pool_frames : 1);
	product_times(&loss, (nr_file - QR_MIN(nr_file, nr_kept)) | 1);
	return is_growing ? product_is_above(&gain, &loss) : product_is_above(&loss, &gain);
}

/* Brings both factors below 2^32, so that their product fits. */
static void product_times(struct product *product, uint64_t factor)
{
	for (; product->mantissa >> 32; product->mantissa >>= 1)
		product->exponent++;
	for (; factor >> 32; factor >>= 1)
		product->exponent++;
	product->mantissa *= factor;
}

static bool product_is_above(const struct product *a, const struct product *b)
{
	struct product high = *a, low = *b;

	/* The smaller exponent is raised; what falls off the end is far below a window's noise. */
	for (; high.exponent < low.exponent; high.mantissa >>= 1)
		high.exponent++;
	for (; low.exponent < high.exponent; low.mantissa >>= 1)
		low.exponent++;
	return high.mantissa > low.mantissa;
}
