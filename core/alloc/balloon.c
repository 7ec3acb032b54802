/*
 * The balloon: frames taken out of use while the budget is small, their memory given back to the machine.
 *
 * It holds blocks, not single frames: the head of each is OFFLINE with its order. A block joins the list only after
 * the machine has its memory back, so that what leaves the list reads as zero and nobody releases it late.
 */
#include "alloc/alloc_priv.h"
#include "vmm/vmm.h"

static struct qr_frame *balloon_isolate(struct qr_zone *zone, uint32_t nr_max);
static void balloon_add(struct qr_zone *zone, struct qr_frame *frame);
static uint32_t balloon_return(struct qr_zone *zone, uint32_t nr_max);

uint32_t qr_zone_balloon_inflate(struct qr_zone *zone, uint32_t nr)
{
	uint32_t nr_done = 0;

	qr_zone_drain_pcps(zone);
	while (nr_done < nr) {
		struct qr_frame *frame = balloon_isolate(zone, nr - nr_done);

		if (!frame)
			break;
		nr_done += 1u << qr_frame_order(frame);
		balloon_add(zone, frame);
	}
	qr_pcp_resize(zone);
	return nr_done;
}

uint32_t qr_zone_balloon_deflate(struct qr_zone *zone, uint32_t nr)
{
	uint32_t nr_done = 0;

	while (nr_done < nr) {
		uint32_t nr_back = balloon_return(zone, nr - nr_done);

		if (!nr_back)
			break;
		nr_done += nr_back;
	}
	qr_pcp_resize(zone);
	return nr_done;
}

/* Takes the largest block of at most nr_max frames that leaves the min watermark, out of the free areas. */
static struct qr_frame *balloon_isolate(struct qr_zone *zone, uint32_t nr_max)
{
	uint32_t min = qr_load_relaxed(&zone->watermark[QR_WMARK_MIN]);
	struct qr_frame *frame = NULL;
	uint32_t nr_free;

	qr_zone_lock(zone);
	nr_free = qr_zone_nr_free(zone);
	nr_max = QR_MIN(nr_max, nr_free > min ? nr_free - min : 0);
	for (unsigned order = QR_MAX_ORDER + 1; nr_max && !frame && order-- > 0;) {
		if (1u << order > nr_max)
			continue;
		frame = qr_buddy_take_locked(zone, order);
		if (frame) {
			qr_frame_set_kind(frame, QR_FRAME_OFFLINE, order);
			qr_store_relaxed(&zone->nr_online, zone->nr_online - (1u << order));
		}
	}
	qr_zone_unlock(zone);
	return frame;
}

/* Gives the memory of an isolated block back and puts it on the list. May sleep. */
static void balloon_add(struct qr_zone *zone, struct qr_frame *frame)
{
	unsigned order = qr_frame_order(frame);
	bool is_fresh = qr_fresh_clear(zone, frame, order);

	if (zone->vmm && !is_fresh)
		qr_port_frames_release(zone->vmm->port, (qr_pfn_t){qr_zone_pfn(zone, frame)}, 1u << order);
	qr_zone_lock(zone);
	qr_frame_list_add_head(zone, &zone->balloon, frame);
	qr_zone_unlock(zone);
}

/* Brings one block of at most nr_max frames back, splitting it if need be; returns its size, 0 if there is none. */
static uint32_t balloon_return(struct qr_zone *zone, uint32_t nr_max)
{
	struct qr_frame *frame;
	unsigned order;

	qr_zone_lock(zone);
	frame = qr_frame_list_head(zone, &zone->balloon);
	if (!frame) {
		qr_zone_unlock(zone);
		return 0;
	}
	order = qr_frame_order(frame);
	qr_frame_list_remove(zone, &zone->balloon, frame);
	while (1u << order > nr_max) {
		struct qr_frame *upper = frame + (1u << --order);

		qr_frame_set_kind(upper, QR_FRAME_OFFLINE, order);
		qr_frame_list_add_head(zone, &zone->balloon, upper);
	}
	if (zone->vmm)
		qr_fresh_set(zone, frame, order);
	qr_store_relaxed(&zone->nr_online, zone->nr_online + (1u << order));
	qr_buddy_put_locked(zone, frame, order, true);
	qr_zone_unlock(zone);
	return 1u << order;
}
