/*
 * Zones: bringing them up, watermarks, and the choice between per-CPU lists and buddy system.
 *
 * Watermarks keep a reserve of free frames: ordinary allocations stop at min, urgent ones at half of it, and reclaim
 * itself may use what is left, since it is about to free more.
 */
#include "alloc/alloc_priv.h"

/* min is 1/256 of the zone and at least 64 frames, two batches of reclaim: an eviction needs frames for compressed
 * pages before it frees the originals. */
#define WATERMARK_SHARE 256u
#define WATERMARK_LEAST 64u

static struct qr_frame *zone_take_block(struct qr_zone *zone, unsigned order, uint32_t floor);
static uint32_t zone_online_block(struct qr_zone *zone, uint32_t nr_max);
static void zone_free(struct qr_zone *zone, struct qr_frame *frame, unsigned order, bool is_cold);

void qr_zone_init(struct qr_zone *zone, const struct qr_zone_config *config)
{
	QR_BUG_ON(config->pfn_base % (1u << QR_MAX_ORDER));
	QR_BUG_ON(config->nr_span >= QR_PFN_NONE - config->pfn_base);
	memset(zone, 0, sizeof(*zone));
	zone->vmm = config->vmm;
	zone->memmap = config->memmap;
	zone->base_address = config->base_address;
	zone->fresh_bits = config->fresh_bits;
	zone->pfn_base = config->pfn_base;
	zone->nr_span = config->nr_span;
	zone->nr_map = QR_MAX(config->nr_map, config->nr_span);
	zone->nr_pcps = config->pcp == QR_PCP_NONE ? 0 : config->nr_pcps;
	zone->pcps = config->pcps;
	zone->pcp_ops = config->pcp == QR_PCP_HOT_COLD ? &qr_pcp_hot_cold : &qr_pcp_auto;
	qr_spin_init(&zone->lock, QR_RANK_ZONE);
	qr_mutex_init(&zone->resize_lock, QR_RANK_NONE);
	for (unsigned order = 0; order <= QR_MAX_ORDER; order++)
		qr_frame_list_init(&zone->free_area[order]);
	qr_frame_list_init(&zone->balloon);
	for (uint32_t i = 0; i < zone->nr_pcps; i++) {
		qr_spin_init(&zone->pcps[i].lock, QR_RANK_PCP);
		qr_frame_list_init(&zone->pcps[i].frames);
		qr_frame_list_init(&zone->pcps[i].cold);
		zone->pcps[i].nr = 0;
	}
	qr_pcp_resize(zone);
}

uint32_t qr_zone_online(struct qr_zone *zone, uint32_t nr)
{
	uint32_t nr_done = 0;

	while (nr_done < nr) {
		uint32_t nr_added = zone_online_block(zone, nr - nr_done);

		if (!nr_added)
			break;
		nr_done += nr_added;
	}
	qr_pcp_resize(zone);
	return nr_done;
}

void qr_zone_set_watermarks(struct qr_zone *zone)
{
	uint32_t min = QR_MAX(WATERMARK_LEAST, qr_load_relaxed(&zone->nr_online) / WATERMARK_SHARE);

	qr_store_relaxed(&zone->watermark[QR_WMARK_MIN], min);
	qr_store_relaxed(&zone->watermark[QR_WMARK_LOW], 2 * min);
	qr_store_relaxed(&zone->watermark[QR_WMARK_HIGH], 3 * min);
}

struct qr_frame *qr_zone_alloc(struct qr_zone *zone, unsigned order, qr_gfp_t gfp)
{
	struct qr_frame *frame = qr_zone_take(zone, order, gfp);

	if (frame)
		qr_zone_forget_fresh(frame, order);
	return frame;
}

struct qr_frame *qr_zone_take(struct qr_zone *zone, unsigned order, qr_gfp_t gfp)
{
	return qr_zone_take_above(zone, order, gfp, qr_zone_floor(zone, gfp));
}

struct qr_frame *qr_zone_take_above(struct qr_zone *zone, unsigned order, qr_gfp_t gfp, uint32_t floor)
{
	bool is_single = !order && zone->nr_pcps;
	struct qr_frame *frame;

	QR_BUG_ON(order > QR_MAX_ORDER);
	if (!qr_zone_has_free(zone, floor + (1u << order)))
		return NULL;
	frame = is_single ? qr_pcp_take(zone, gfp & QR_GFP_COLD) : zone_take_block(zone, order, floor);
	/* What is free may lie on the lists of other CPUs. Large blocks that nobody needs are not worth the search. */
	if (frame || !zone->nr_pcps || (order && gfp & QR_GFP_NORETRY))
		return frame;
	qr_zone_drain_pcps(zone);
	return zone_take_block(zone, order, floor);
}

void qr_zone_forget_fresh(struct qr_frame *frame, unsigned order)
{
	for (uint32_t i = 0; i < 1u << order; i++) {
		uint32_t flags = qr_load_relaxed(&frame[i].flags);

		if (flags & QR_FRAME_FRESH)
			qr_store_relaxed(&frame[i].flags, flags & ~QR_FRAME_FRESH);
	}
}

void qr_zone_free(struct qr_zone *zone, struct qr_frame *frame, unsigned order)
{
	zone_free(zone, frame, order, false);
}

void qr_zone_free_cold(struct qr_zone *zone, struct qr_frame *frame, unsigned order)
{
	zone_free(zone, frame, order, true);
}

static void zone_free(struct qr_zone *zone, struct qr_frame *frame, unsigned order, bool is_cold)
{
	enum qr_frame_kind kind = qr_frame_kind(frame);

	/* Freed twice, or not the head of a block of that size. */
	QR_BUG_ON(kind == QR_FRAME_OFFLINE || kind == QR_FRAME_FREE || kind == QR_FRAME_PCP || kind == QR_FRAME_TAIL);
	QR_BUG_ON(qr_frame_order(frame) != order || qr_zone_pfn(zone, frame) % (1u << order));
	QR_ASSERT((uint64_t)(frame - zone->memmap) < zone->nr_span);
	if (!order && zone->nr_pcps) {
		qr_pcp_put(zone, frame, is_cold);
		return;
	}
	qr_zone_lock(zone);
	qr_buddy_put_locked(zone, frame, order, false);
	qr_zone_unlock(zone);
}

uint32_t qr_zone_nr_free(const struct qr_zone *zone)
{
	uint32_t nr = qr_load_relaxed(&zone->nr_buddy_free);

	for (uint32_t i = 0; i < zone->nr_pcps; i++)
		nr += qr_load_relaxed(&zone->pcps[i].nr);
	return nr;
}

bool qr_zone_has_free(const struct qr_zone *zone, uint32_t nr)
{
	return qr_load_relaxed(&zone->nr_free_least) >= nr || qr_load_relaxed(&zone->nr_buddy_free) >= nr ||
	       qr_zone_nr_free(zone) >= nr;
}

bool qr_zone_is_above(const struct qr_zone *zone, enum qr_watermark mark, uint32_t nr_more)
{
	return qr_zone_has_free(zone, qr_load_relaxed(&zone->watermark[mark]) + nr_more);
}

uint32_t qr_zone_floor(const struct qr_zone *zone, qr_gfp_t gfp)
{
	if (gfp & QR_GFP_RECLAIM)
		return 0;
	if (gfp & QR_GFP_NORETRY)
		return qr_load_relaxed(&zone->watermark[QR_WMARK_LOW]);
	if (gfp & QR_GFP_HIGH)
		return qr_load_relaxed(&zone->watermark[QR_WMARK_MIN]) / 2;
	return qr_load_relaxed(&zone->watermark[QR_WMARK_MIN]);
}

static struct qr_frame *zone_take_block(struct qr_zone *zone, unsigned order, uint32_t floor)
{
	struct qr_frame *frame = NULL;

	qr_zone_lock(zone);
	/* Again under the lock: two large blocks at once could eat the whole reserve. */
	if (qr_zone_has_free(zone, floor + (1u << order)))
		frame = qr_buddy_take_locked(zone, order);
	qr_zone_unlock(zone);
	if (frame)
		qr_fresh_to_flags(zone, frame, order);
	return frame;
}

/* Adds the largest block that fits; returns its size, 0 at the end of the span. */
static uint32_t zone_online_block(struct qr_zone *zone, uint32_t nr_max)
{
	uint32_t nr_left, pfn;
	unsigned order;

	qr_zone_lock(zone);
	nr_left = QR_MIN(nr_max, zone->nr_span - zone->nr_onlined_span);
	if (!nr_left) {
		qr_zone_unlock(zone);
		return 0;
	}
	pfn = zone->pfn_base + zone->nr_onlined_span;
	order = QR_MIN(QR_MAX_ORDER, qr_log2_u64(nr_left));
	if (pfn % (1u << order))
		order = (unsigned)__builtin_ctz(pfn);
	zone->nr_onlined_span += 1u << order;
	qr_store_relaxed(&zone->nr_online, zone->nr_online + (1u << order));
	qr_fresh_set(zone, qr_zone_frame(zone, pfn), order);
	qr_buddy_put_locked(zone, qr_zone_frame(zone, pfn), order, true);
	qr_zone_unlock(zone);
	return 1u << order;
}
