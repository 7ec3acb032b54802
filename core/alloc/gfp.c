/*
 * The manager's allocator: takes frames from the zone, wakes kswapd when they run low, reclaims when they run out, and
 * zeroes. Also the limit on the frames in use.
 */
#include "alloc/alloc_priv.h"
#include "vmm/vmm.h"

/* Frames asked of one reclaim: enough to pay for its walk, few enough for a fault to wait for. */
#define RECLAIM_BATCH 32u
/* A block of several frames may not form however much is freed: give up after this many reclaims. */
#define MAX_ROUNDS_BLOCK 16u
/* Reclaims in a row that free nothing before memory counts as exhausted. Pauses of 1, 2, 4, ... 64 ms lie between
 * them: 127 ms, longer than a swap file's slowest transfer. */
#define MAX_FAILURES 8u
#define FIRST_PAUSE_NS 1000000u

static struct qr_frame *alloc_slow(struct qr_vmm *vmm, unsigned order, qr_gfp_t gfp);
static struct qr_frame *alloc_reclaim(struct qr_vmm *vmm, unsigned order, qr_gfp_t gfp);
static bool reclaim_last_resort(struct qr_vmm *vmm);
static void reclaim_pause(uint32_t nr_failures);
static void zero_block(struct qr_vmm *vmm, struct qr_frame *frame, unsigned order, qr_gfp_t gfp);
static void zero_run(struct qr_vmm *vmm, struct qr_frame *frame, uint32_t nr, bool is_fresh, qr_gfp_t gfp);

struct qr_frame *qr_alloc_pages(struct qr_vmm *vmm, unsigned order, qr_gfp_t gfp)
{
	struct qr_frame *frame = qr_zone_take(&vmm->zone, order, gfp);

	if (!(gfp & QR_GFP_RECLAIM) && !qr_zone_is_above(&vmm->zone, QR_WMARK_LOW, 0))
		qr_kswapd_wake(vmm);
	if (qr_unlikely(!frame))
		frame = alloc_slow(vmm, order, gfp);
	if (!frame)
		return NULL;
	if (qr_unlikely(qr_load_relaxed(&vmm->is_oom)))
		qr_store_relaxed(&vmm->is_oom, 0);
	if (gfp & QR_GFP_ZERO)
		zero_block(vmm, frame, order, gfp);
	qr_zone_forget_fresh(frame, order);
	return frame;
}

void qr_free_pages(struct qr_vmm *vmm, struct qr_frame *frame, unsigned order)
{
	qr_zone_free(&vmm->zone, frame, order);
}

void qr_free_pages_cold(struct qr_vmm *vmm, struct qr_frame *frame, unsigned order)
{
	qr_zone_free_cold(&vmm->zone, frame, order);
}

uint32_t qr_vmm_set_limit(struct qr_vmm *vmm, uint32_t nr_frames)
{
	struct qr_zone *zone = &vmm->zone;
	uint32_t nr_wanted = QR_MIN(nr_frames, zone->nr_span);
	uint32_t nr_now;

	qr_mutex_lock(&zone->resize_lock);
	nr_now = qr_load_relaxed(&zone->nr_online);
	if (nr_now > nr_wanted) {
		nr_now -= qr_zone_balloon_inflate(zone, nr_now - nr_wanted);
	} else if (nr_now < nr_wanted) {
		nr_now += qr_zone_balloon_deflate(zone, nr_wanted - nr_now);
		nr_now += qr_zone_online(zone, nr_wanted - nr_now);
		qr_store_relaxed(&vmm->is_oom, 0);
	}
	qr_zone_set_watermarks(zone);
	qr_store_relaxed(&vmm->nr_limit, nr_now);
	qr_mutex_unlock(&zone->resize_lock);
	return nr_now;
}

static struct qr_frame *alloc_slow(struct qr_vmm *vmm, unsigned order, qr_gfp_t gfp)
{
	struct qr_frame *frame;
	uint64_t start_ns;

	if (!(gfp & QR_GFP_WAIT) || gfp & (QR_GFP_NORETRY | QR_GFP_RECLAIM))
		return NULL;
	start_ns = qr_port_now_ns();
	frame = alloc_reclaim(vmm, order, gfp);
	qr_stat_add(&vmm->stats, QR_STAT_direct_reclaims, 1);
	qr_stat_add(&vmm->stats, QR_STAT_stalled_ns, qr_port_now_ns() - start_ns);
	return frame;
}

/* Reclaims until there is a block. May sleep. */
static struct qr_frame *alloc_reclaim(struct qr_vmm *vmm, unsigned order, qr_gfp_t gfp)
{
	uint32_t nr_failures = 0;

	for (uint32_t round = 1;; round++) {
		uint32_t nr_freed = qr_reclaim(vmm, QR_MAX(RECLAIM_BATCH, 1u << order));
		struct qr_frame *frame = qr_zone_take(&vmm->zone, order, gfp);

		if (frame)
			return frame;
		if (order && round == MAX_ROUNDS_BLOCK)
			return NULL;
		nr_failures = nr_freed ? 0 : nr_failures + 1;
		if (nr_failures == MAX_FAILURES || (nr_failures && qr_load_relaxed(&vmm->is_oom))) {
			if (order || !reclaim_last_resort(vmm))
				return NULL;
			nr_failures = 0;
		} else if (nr_failures) {
			reclaim_pause(nr_failures);
		}
	}
}

/* True if the port made room. The port is asked once; until an allocation succeeds again the rest fail quickly. */
static bool reclaim_last_resort(struct qr_vmm *vmm)
{
	if (qr_load_relaxed(&vmm->is_oom))
		return false;
	if (qr_port_out_of_memory(vmm->port, "every frame of the RAM budget is in use and none can be reclaimed"))
		return true;
	qr_store_relaxed(&vmm->is_oom, 1);
	return false;
}

/* Another thread may be about to free: gives it time. */
static void reclaim_pause(uint32_t nr_failures)
{
	uint32_t never_changes = 0;

	(void)qr_port_wait_timeout(&never_changes, 0, (uint64_t)FIRST_PAUSE_NS << (nr_failures - 1));
}

static void zero_block(struct qr_vmm *vmm, struct qr_frame *frame, unsigned order, qr_gfp_t gfp)
{
	uint32_t nr = 1u << order;
	uint32_t end;

	for (uint32_t start = 0; start < nr; start = end) {
		bool is_fresh = qr_folio_test(&frame[start], QR_FRAME_FRESH);

		for (end = start + 1; end < nr; end++) {
			if (qr_folio_test(&frame[end], QR_FRAME_FRESH) != is_fresh)
				break;
		}
		zero_run(vmm, &frame[start], end - start, is_fresh, gfp);
	}
	qr_stat_add(&vmm->stats, QR_STAT_pages_zeroed, nr);
}

static void zero_run(struct qr_vmm *vmm, struct qr_frame *frame, uint32_t nr, bool is_fresh, qr_gfp_t gfp)
{
	/* The port's way may sleep. */
	if (gfp & QR_GFP_WAIT)
		qr_port_frames_zero(vmm->port, (qr_pfn_t){qr_zone_pfn(&vmm->zone, frame)}, nr, is_fresh);
	else
		memset(qr_zone_address(&vmm->zone, frame), 0, (size_t)nr << QR_PAGE_SHIFT);
}
