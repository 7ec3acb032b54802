/*
 * Hot and cold per-CPU lists (A4, a baseline): frames that this CPU has likely in its cache are kept apart from those
 * that it has not. The hot list is LIFO and serves ordinary allocations; the cold one serves frames that a device
 * fills first (QR_GFP_COLD), and takes what reclaim frees. Batch and marks are fixed.
 *
 * Source: M. Bligh, D. Hansen, "Linux Memory Management on Larger Machines", Ottawa Linux Symposium 2003, section 6:
 * batch 16, marks 32 to 96 for the hot list and 0 to 32 for the cold one; below the low mark a list is refilled,
 * above the high one it gives back.
 */
#include "alloc/alloc_priv.h"

#define HOT_COLD_BATCH 16u
#define HOT_LOW 32u
#define HOT_HIGH 96u
#define COLD_HIGH 32u

static struct qr_frame *hot_cold_take(struct qr_zone *zone, struct qr_pcp *pcp, bool is_cold)
{
	struct qr_frame_list *list = is_cold ? &pcp->cold : &pcp->frames;
	struct qr_frame_list *other = is_cold ? &pcp->frames : &pcp->cold;
	struct qr_frame *frame;

	if (list->nr <= (is_cold ? 0 : pcp->low))
		(void)qr_pcp_refill(zone, pcp, list, pcp->batch);
	frame = qr_pcp_pop(zone, pcp, list);
	/* The wrong temperature is better than none. */
	return frame ? frame : qr_pcp_pop(zone, pcp, other);
}

static void hot_cold_put(struct qr_zone *zone, struct qr_pcp *pcp, struct qr_frame *frame, bool is_cold)
{
	struct qr_frame_list *list = is_cold ? &pcp->cold : &pcp->frames;

	qr_pcp_push(zone, pcp, list, frame);
	if (list->nr > (is_cold ? pcp->cold_high : pcp->high))
		(void)qr_pcp_flush(zone, pcp, list, pcp->batch);
}

/* In small zones the marks keep their proportions. */
static void hot_cold_resize(struct qr_pcp *pcp, uint32_t nr_max)
{
	pcp->high = QR_MIN(HOT_HIGH + COLD_HIGH, nr_max) * HOT_HIGH / (HOT_HIGH + COLD_HIGH);
	pcp->low = pcp->high * HOT_LOW / HOT_HIGH;
	pcp->cold_high = pcp->high * COLD_HIGH / HOT_HIGH;
	/* With high 0 a frame passes through the list without staying on it. */
	pcp->batch = QR_MAX(1u, QR_MIN(HOT_COLD_BATCH, pcp->high - pcp->low));
}

const struct qr_pcp_ops qr_pcp_hot_cold = {.take = hot_cold_take, .put = hot_cold_put, .resize = hot_cold_resize};
