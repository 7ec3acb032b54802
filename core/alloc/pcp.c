/*
 * Per-CPU lists of single frames: most allocations and frees take no lock that another CPU wants.
 *
 * What the rivals share: finding the caller's lists, and moving batches between a list and the buddy system under one
 * take of zone->lock. Refilled frames are handed out in ascending order, since neighbours can be mapped in one run.
 * When a list is refilled and when it gives back is up to pcp_auto.c and pcp_hot_cold.c.
 *
 * Locks: pcp->lock, then zone->lock.
 */
#include "alloc/alloc_priv.h"

/* All lists together hold at most this part of the zone: 1 / 8. */
#define PCP_SHARE 8u

static void list_add_block(struct qr_zone *zone, struct qr_frame_list *list, struct qr_frame *block);
static struct qr_frame *list_remove(struct qr_zone *zone, struct qr_pcp *pcp, struct qr_frame_list *list,
				    struct qr_frame *frame);
static void list_flush_locked(struct qr_zone *zone, struct qr_pcp *pcp, struct qr_frame_list *list, uint64_t nr);

static struct qr_pcp *pcp_self(struct qr_zone *zone)
{
	return &zone->pcps[qr_port_cpu() % zone->nr_pcps];
}

struct qr_frame *qr_pcp_take(struct qr_zone *zone, bool is_cold)
{
	struct qr_pcp *pcp = pcp_self(zone);
	struct qr_frame *frame;

	qr_spin_lock(&pcp->lock);
	frame = zone->pcp_ops->take(zone, pcp, is_cold);
	qr_spin_unlock(&pcp->lock);
	if (frame) {
		qr_store_relaxed(&frame->refs, 0);
		qr_store_relaxed(&frame->flags, QR_FRAME_KERNEL | (qr_load_relaxed(&frame->flags) & QR_FRAME_FRESH));
	}
	return frame;
}

void qr_pcp_put(struct qr_zone *zone, struct qr_frame *frame, bool is_cold)
{
	struct qr_pcp *pcp = pcp_self(zone);

	qr_frame_set_kind(frame, QR_FRAME_PCP, 0);
	qr_spin_lock(&pcp->lock);
	zone->pcp_ops->put(zone, pcp, frame, is_cold);
	qr_spin_unlock(&pcp->lock);
}

static uint32_t nr_max_of(const struct qr_zone *zone)
{
	return qr_load_relaxed(&zone->nr_online) / PCP_SHARE / zone->nr_pcps;
}

void qr_zone_drain_pcps(struct qr_zone *zone)
{
	for (uint32_t i = 0; i < zone->nr_pcps; i++) {
		struct qr_pcp *pcp = &zone->pcps[i];

		if (!qr_load_relaxed(&pcp->nr))
			continue;
		qr_spin_lock(&pcp->lock);
		qr_zone_lock(zone);
		list_flush_locked(zone, pcp, &pcp->frames, pcp->frames.nr);
		list_flush_locked(zone, pcp, &pcp->cold, pcp->cold.nr);
		qr_zone_unlock(zone);
		/* Memory is short: what was learnt about the size in better times counts no more. */
		pcp->high = 0;
		zone->pcp_ops->resize(pcp, nr_max_of(zone));
		qr_spin_unlock(&pcp->lock);
	}
}

void qr_pcp_resize(struct qr_zone *zone)
{
	for (uint32_t i = 0; i < zone->nr_pcps; i++) {
		struct qr_pcp *pcp = &zone->pcps[i];

		qr_spin_lock(&pcp->lock);
		zone->pcp_ops->resize(pcp, nr_max_of(zone));
		if (pcp->frames.nr > pcp->high)
			(void)qr_pcp_flush(zone, pcp, &pcp->frames, (uint32_t)pcp->frames.nr - pcp->high);
		if (pcp->cold.nr > pcp->cold_high)
			(void)qr_pcp_flush(zone, pcp, &pcp->cold, (uint32_t)pcp->cold.nr - pcp->cold_high);
		qr_spin_unlock(&pcp->lock);
	}
}

uint32_t qr_pcp_refill(struct qr_zone *zone, struct qr_pcp *pcp, struct qr_frame_list *list, uint32_t nr)
{
	struct qr_frame_list blocks;
	struct qr_frame *frame;
	uint32_t nr_done = 0;

	qr_frame_list_init(&blocks);
	qr_zone_lock(zone);
	while (nr_done < nr && (frame = qr_buddy_take_up_to_locked(zone, qr_log2_u64(nr - nr_done)))) {
		qr_frame_list_add_tail(zone, &blocks, frame);
		nr_done += 1u << qr_frame_order(frame);
	}
	qr_zone_unlock(zone);
	/* The frames are looked at one by one only here, where nobody waits. */
	while ((frame = qr_frame_list_head(zone, &blocks))) {
		qr_frame_list_remove(zone, &blocks, frame);
		list_add_block(zone, list, frame);
	}
	qr_store_relaxed(&pcp->nr, pcp->nr + nr_done);
	return nr_done;
}

/* Adds a block from the buddy system frame by frame. */
static void list_add_block(struct qr_zone *zone, struct qr_frame_list *list, struct qr_frame *block)
{
	unsigned order = qr_frame_order(block);

	qr_fresh_to_flags(zone, block, order);
	for (uint32_t i = 0; i < 1u << order; i++) {
		uint32_t fresh = qr_load_relaxed(&block[i].flags) & QR_FRAME_FRESH;

		qr_store_relaxed(&block[i].flags, QR_FRAME_PCP | fresh);
		qr_frame_list_add_tail(zone, list, &block[i]);
	}
}

uint32_t qr_pcp_flush(struct qr_zone *zone, struct qr_pcp *pcp, struct qr_frame_list *list, uint32_t nr)
{
	nr = QR_MIN(nr, list->nr);
	qr_zone_lock(zone);
	list_flush_locked(zone, pcp, list, nr);
	qr_zone_unlock(zone);
	return nr;
}

void qr_pcp_push(struct qr_zone *zone, struct qr_pcp *pcp, struct qr_frame_list *list, struct qr_frame *frame)
{
	qr_frame_list_add_head(zone, list, frame);
	qr_store_relaxed(&pcp->nr, pcp->nr + 1);
}

struct qr_frame *qr_pcp_pop(struct qr_zone *zone, struct qr_pcp *pcp, struct qr_frame_list *list)
{
	struct qr_frame *frame = qr_frame_list_head(zone, list);

	return frame ? list_remove(zone, pcp, list, frame) : NULL;
}

/* Gives the nr coldest frames of a list back. holds: pcp->lock, zone->lock */
static void list_flush_locked(struct qr_zone *zone, struct qr_pcp *pcp, struct qr_frame_list *list, uint64_t nr)
{
	for (uint64_t i = 0; i < nr; i++) {
		struct qr_frame *frame = list_remove(zone, pcp, list, qr_frame_list_tail(zone, list));
		bool is_fresh = qr_folio_test(frame, QR_FRAME_FRESH);

		if (is_fresh)
			qr_fresh_set(zone, frame, 0);
		qr_buddy_put_locked(zone, frame, 0, is_fresh);
	}
}

/* holds: pcp->lock */
static struct qr_frame *list_remove(struct qr_zone *zone, struct qr_pcp *pcp, struct qr_frame_list *list,
				    struct qr_frame *frame)
{
	qr_frame_list_remove(zone, list, frame);
	qr_store_relaxed(&pcp->nr, pcp->nr - 1);
	return frame;
}
