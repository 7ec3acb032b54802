/*
 * Per-CPU lists of single frames: most allocations and frees take no lock that another CPU wants.
 *
 * A list that runs empty takes `batch` frames from the buddy system under one take of zone->lock, one that grows past
 * `high` gives that many back from its cold end. Refilled frames are handed out in ascending order, since neighbours
 * can be mapped in one run.
 *
 * Locks: pcp->lock, then zone->lock.
 */
#include "alloc/alloc_priv.h"

/* J. Bonwick, J. Adams, "Magazines and Vmem", USENIX 2001, section 3: batches make the cost of the shared lock vanish;
 * 16 frames divide it by 16, and 96 frames per CPU bound what is idle. */
#define PCP_BATCH 16u
#define PCP_HIGH 96u
/* All lists together hold at most this part of the zone: 1 / 8. */
#define PCP_SHARE 8u

static void pcp_refill(struct qr_zone *zone, struct qr_pcp *pcp);
static void pcp_flush(struct qr_zone *zone, struct qr_pcp *pcp, uint32_t nr);
static struct qr_frame *pcp_remove(struct qr_zone *zone, struct qr_pcp *pcp, struct qr_frame *frame);

static struct qr_pcp *pcp_self(struct qr_zone *zone)
{
	return &zone->pcps[qr_port_cpu() % zone->nr_pcps];
}

struct qr_frame *qr_pcp_take(struct qr_zone *zone)
{
	struct qr_pcp *pcp = pcp_self(zone);
	struct qr_frame *frame;

	qr_spin_lock(&pcp->lock);
	if (!pcp->nr)
		pcp_refill(zone, pcp);
	frame = qr_frame_list_head(zone, &pcp->frames);
	if (frame)
		pcp_remove(zone, pcp, frame);
	qr_spin_unlock(&pcp->lock);
	if (frame) {
		qr_store_relaxed(&frame->refs, 0);
		qr_store_relaxed(&frame->flags, QR_FRAME_KERNEL | (qr_load_relaxed(&frame->flags) & QR_FRAME_FRESH));
	}
	return frame;
}

void qr_pcp_put(struct qr_zone *zone, struct qr_frame *frame)
{
	struct qr_pcp *pcp = pcp_self(zone);

	qr_frame_set_kind(frame, QR_FRAME_PCP, 0);
	qr_spin_lock(&pcp->lock);
	qr_frame_list_add_head(zone, &pcp->frames, frame);
	qr_store_relaxed(&pcp->nr, pcp->nr + 1);
	if (pcp->nr > pcp->high)
		pcp_flush(zone, pcp, pcp->batch);
	qr_spin_unlock(&pcp->lock);
}

void qr_zone_drain_pcps(struct qr_zone *zone)
{
	for (uint32_t i = 0; i < zone->nr_pcps; i++) {
		struct qr_pcp *pcp = &zone->pcps[i];

		if (!qr_load_relaxed(&pcp->nr))
			continue;
		qr_spin_lock(&pcp->lock);
		pcp_flush(zone, pcp, pcp->nr);
		qr_spin_unlock(&pcp->lock);
	}
}

void qr_pcp_resize(struct qr_zone *zone)
{
	uint32_t nr_online = qr_load_relaxed(&zone->nr_online);

	for (uint32_t i = 0; i < zone->nr_pcps; i++) {
		struct qr_pcp *pcp = &zone->pcps[i];

		qr_spin_lock(&pcp->lock);
		pcp->high = QR_MIN(PCP_HIGH, nr_online / PCP_SHARE / zone->nr_pcps);
		/* With high 0 a frame passes through the list without staying on it. */
		pcp->batch = QR_MAX(1u, QR_MIN(PCP_BATCH, pcp->high));
		if (pcp->nr > pcp->high)
			pcp_flush(zone, pcp, pcp->nr - pcp->high);
		qr_spin_unlock(&pcp->lock);
	}
}

/* holds: pcp->lock */
static void pcp_refill(struct qr_zone *zone, struct qr_pcp *pcp)
{
	qr_zone_lock(zone);
	while (pcp->nr < pcp->batch) {
		struct qr_frame *frame = qr_buddy_take_locked(zone, 0);

		if (!frame)
			break;
		qr_frame_set_kind(frame, QR_FRAME_PCP, 0);
		qr_fresh_to_flags(zone, frame, 0);
		qr_frame_list_add_tail(zone, &pcp->frames, frame);
		qr_store_relaxed(&pcp->nr, pcp->nr + 1);
	}
	qr_zone_unlock(zone);
}

/* Gives the nr coldest frames back. holds: pcp->lock */
static void pcp_flush(struct qr_zone *zone, struct qr_pcp *pcp, uint32_t nr)
{
	qr_zone_lock(zone);
	for (uint32_t i = 0; i < nr && pcp->nr; i++) {
		struct qr_frame *frame = pcp_remove(zone, pcp, qr_frame_list_tail(zone, &pcp->frames));
		bool is_fresh = qr_folio_test(frame, QR_FRAME_FRESH);

		if (is_fresh)
			qr_fresh_set(zone, frame, 0);
		qr_buddy_put_locked(zone, frame, 0, is_fresh);
	}
	qr_zone_unlock(zone);
}

/* holds: pcp->lock */
static struct qr_frame *pcp_remove(struct qr_zone *zone, struct qr_pcp *pcp, struct qr_frame *frame)
{
	qr_frame_list_remove(zone, &pcp->frames, frame);
	qr_store_relaxed(&pcp->nr, pcp->nr - 1);
	return frame;
}
