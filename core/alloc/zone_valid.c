/* Validity of a zone: walks the descriptors block by block and compares with the lists. */
#include "alloc/alloc_priv.h"

struct zone_census {
	uint64_t nr_blocks[QR_MAX_ORDER + 1]; /* free blocks, [order] */
	uint64_t nr_free;
	uint64_t nr_pcp;
	uint64_t nr_balloon_blocks;
	uint64_t nr_balloon;
};

static bool census_take(struct qr_zone *zone, struct zone_census *census);
static bool census_add(struct qr_zone *zone, struct zone_census *census, uint32_t index);
static bool are_lists_valid(struct qr_zone *zone, const struct zone_census *census);
static bool is_list_of(struct qr_zone *zone, const struct qr_frame_list *list, uint64_t nr, uint32_t flags,
		       uint32_t mask);

bool qr_zone_is_valid(struct qr_zone *zone)
{
	struct zone_census census;
	bool is_valid;

	memset(&census, 0, sizeof(census));
	qr_zone_lock(zone);
	is_valid = zone->nr_onlined_span <= zone->nr_span && census_take(zone, &census) &&
		   are_lists_valid(zone, &census) && census.nr_free == zone->nr_buddy_free &&
		   zone->nr_free_least <= zone->nr_buddy_free &&
		   zone->nr_online + census.nr_balloon == zone->nr_onlined_span;
	qr_zone_unlock(zone);
	return is_valid;
}

static bool census_take(struct qr_zone *zone, struct zone_census *census)
{
	uint32_t index = 0;

	while (index < zone->nr_onlined_span) {
		if (!census_add(zone, census, index))
			return false;
		index += 1u << qr_frame_order(&zone->memmap[index]);
	}
	return index == zone->nr_onlined_span;
}

/* Counts the block whose head has that index. */
static bool census_add(struct qr_zone *zone, struct zone_census *census, uint32_t index)
{
	const struct qr_frame *frame = &zone->memmap[index];
	unsigned order = qr_frame_order(frame);
	uint32_t buddy = index ^ (1u << order);

	if (order > QR_MAX_ORDER || index % (1u << order))
		return false;
	switch (qr_frame_kind(frame)) {
	case QR_FRAME_FREE:
		census->nr_blocks[order]++;
		census->nr_free += 1u << order;
		/* Two free buddies would have been merged. */
		return order == QR_MAX_ORDER || buddy >= zone->nr_onlined_span ||
		       qr_load_relaxed(&zone->memmap[buddy].flags) != qr_load_relaxed(&frame->flags);
	case QR_FRAME_OFFLINE:
		census->nr_balloon_blocks++;
		census->nr_balloon += 1u << order;
		return true;
	case QR_FRAME_PCP:
		census->nr_pcp++;
		return !order && !qr_fresh_test(zone, frame);
	case QR_FRAME_TAIL:
		return false;
	default:
		/* Handed out: it may be written at any time. */
		return !qr_fresh_test(zone, frame) && !qr_folio_test((struct qr_frame *)frame, QR_FRAME_FRESH);
	}
}

/* Each list holds as many blocks of its kind as the walk found: with sound links, exactly those. */
static bool are_lists_valid(struct qr_zone *zone, const struct zone_census *census)
{
	uint64_t nr_pcp = 0;

	for (unsigned order = 0; order <= QR_MAX_ORDER; order++) {
		if (!is_list_of(zone, &zone->free_area[order], census->nr_blocks[order],
				QR_FRAME_FREE | order << QR_FRAME_ORDER_SHIFT, UINT32_MAX))
			return false;
	}
	for (uint32_t i = 0; i < zone->nr_pcps; i++) {
		const struct qr_pcp *pcp = &zone->pcps[i];

		if (pcp->frames.nr > pcp->high || pcp->cold.nr > pcp->cold_high ||
		    pcp->frames.nr + pcp->cold.nr != pcp->nr ||
		    !is_list_of(zone, &pcp->frames, pcp->frames.nr, QR_FRAME_PCP, ~QR_FRAME_FRESH) ||
		    !is_list_of(zone, &pcp->cold, pcp->cold.nr, QR_FRAME_PCP, ~QR_FRAME_FRESH))
			return false;
		nr_pcp += pcp->nr;
	}
	return nr_pcp == census->nr_pcp &&
	       is_list_of(zone, &zone->balloon, census->nr_balloon_blocks, QR_FRAME_OFFLINE, QR_FRAME_KIND_MASK);
}

/* True if the list has nr entries, each with these flags among those of the mask. */
static bool is_list_of(struct qr_zone *zone, const struct qr_frame_list *list, uint64_t nr, uint32_t flags,
		       uint32_t mask)
{
	if (list->nr != nr || !qr_frame_list_is_valid(zone, list))
		return false;
	for (uint32_t pfn = list->head; pfn != QR_PFN_NONE; pfn = qr_zone_frame(zone, pfn)->next) {
		if ((qr_load_relaxed(&qr_zone_frame(zone, pfn)->flags) & mask) != flags)
			return false;
	}
	return true;
}
