/*
 * Per-CPU lists that fit their size to the load (A5): one list, LIFO.
 *
 * Two things are learnt. Frames that went back to the buddy system and are fetched again would have been better kept:
 * the bound grows by as many, so that a burst that comes again takes no lock at all. And one batch after the other in
 * the same direction, as where one CPU allocates what another frees, doubles the batch. Both end where the zone's share
 * ends, and are forgotten when memory is short.
 *
 * Sources: J. Bonwick, J. Adams, "Magazines and Vmem", USENIX 2001, section 3.1 (dynamic magazine resizing), whose
 * measure was contention; here it is the frames that went to and fro.
 */
#include "alloc/alloc_priv.h"

/* The start: batches of 16 frames divide the cost of the shared lock by 16, and 96 bound what is idle. */
#define AUTO_BATCH 16u
#define AUTO_HIGH 96u
/* A batch is doubled at most so often: to 128 frames, some 10 us under zone->lock. */
#define AUTO_DOUBLINGS 3u

/* The size of the next batch in that direction. */
static uint32_t next_batch(struct qr_pcp *pcp, bool is_giving)
{
	uint32_t batch;

	if (pcp->is_giving != is_giving)
		pcp->streak = 0;
	pcp->is_giving = is_giving;
	batch = pcp->batch << pcp->streak;
	if (pcp->streak < AUTO_DOUBLINGS)
		pcp->streak++;
	return QR_MIN(batch, QR_MAX(pcp->high, 1u));
}

static struct qr_frame *auto_take(struct qr_zone *zone, struct qr_pcp *pcp, bool is_cold)
{
	(void)is_cold;
	if (!pcp->frames.nr) {
		uint32_t nr_more = qr_pcp_refill(zone, pcp, &pcp->frames, next_batch(pcp, false));

		nr_more = QR_MIN(nr_more, pcp->nr_on_loan);
		pcp->nr_on_loan -= nr_more;
		pcp->high = QR_MIN(pcp->high + nr_more, pcp->high_max);
	}
	return qr_pcp_pop(zone, pcp, &pcp->frames);
}

static void auto_put(struct qr_zone *zone, struct qr_pcp *pcp, struct qr_frame *frame, bool is_cold)
{
	(void)is_cold;
	qr_pcp_push(zone, pcp, &pcp->frames, frame);
	if (pcp->frames.nr <= pcp->high)
		return;
	pcp->nr_on_loan += qr_pcp_flush(zone, pcp, &pcp->frames, next_batch(pcp, true));
	pcp->nr_on_loan = QR_MIN(pcp->nr_on_loan, pcp->high_max);
}

static void auto_resize(struct qr_pcp *pcp, uint32_t nr_max)
{
	pcp->high_max = nr_max;
	pcp->high = QR_MIN(QR_MAX(AUTO_HIGH, pcp->high), nr_max);
	/* With high 0 a frame passes through the list without staying on it. */
	pcp->batch = QR_MAX(1u, QR_MIN(AUTO_BATCH, pcp->high));
	pcp->streak = 0;
	pcp->nr_on_loan = 0;
}

const struct qr_pcp_ops qr_pcp_auto = {.take = auto_take, .put = auto_put, .resize = auto_resize};
