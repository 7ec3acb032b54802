/* Lists of frames, linked by PFN through the descriptors. */
#include "alloc/alloc.h"

void qr_frame_list_init(struct qr_frame_list *list)
{
	list->head = QR_PFN_NONE;
	list->tail = QR_PFN_NONE;
	list->nr = 0;
}

void qr_frame_list_add_head(struct qr_zone *zone, struct qr_frame_list *list, struct qr_frame *frame)
{
	uint32_t pfn = qr_zone_pfn(zone, frame);

	frame->prev = QR_PFN_NONE;
	frame->next = list->head;
	if (list->head == QR_PFN_NONE)
		list->tail = pfn;
	else
		qr_zone_frame(zone, list->head)->prev = pfn;
	list->head = pfn;
	list->nr++;
}

void qr_frame_list_add_tail(struct qr_zone *zone, struct qr_frame_list *list, struct qr_frame *frame)
{
	uint32_t pfn = qr_zone_pfn(zone, frame);

	frame->next = QR_PFN_NONE;
	frame->prev = list->tail;
	if (list->tail == QR_PFN_NONE)
		list->head = pfn;
	else
		qr_zone_frame(zone, list->tail)->next = pfn;
	list->tail = pfn;
	list->nr++;
}

void qr_frame_list_splice_head(struct qr_zone *zone, struct qr_frame_list *list, struct qr_frame_list *from)
{
	if (!from->nr)
		return;
	qr_zone_frame(zone, from->tail)->next = list->head;
	if (list->head == QR_PFN_NONE)
		list->tail = from->tail;
	else
		qr_zone_frame(zone, list->head)->prev = from->tail;
	list->head = from->head;
	list->nr += from->nr;
	qr_frame_list_init(from);
}

void qr_frame_list_remove(struct qr_zone *zone, struct qr_frame_list *list, struct qr_frame *frame)
{
	QR_BUG_ON(!list->nr);
	if (frame->prev == QR_PFN_NONE)
		list->head = frame->next;
	else
		qr_zone_frame(zone, frame->prev)->next = frame->next;
	if (frame->next == QR_PFN_NONE)
		list->tail = frame->prev;
	else
		qr_zone_frame(zone, frame->next)->prev = frame->prev;
	frame->next = QR_PFN_NONE;
	frame->prev = QR_PFN_NONE;
	list->nr--;
}

struct qr_frame *qr_frame_list_head(struct qr_zone *zone, const struct qr_frame_list *list)
{
	return list->head == QR_PFN_NONE ? NULL : qr_zone_frame(zone, list->head);
}

struct qr_frame *qr_frame_list_tail(struct qr_zone *zone, const struct qr_frame_list *list)
{
	return list->tail == QR_PFN_NONE ? NULL : qr_zone_frame(zone, list->tail);
}

bool qr_frame_list_is_valid(struct qr_zone *zone, const struct qr_frame_list *list)
{
	uint32_t before = QR_PFN_NONE;
	uint32_t pfn = list->head;

	for (uint64_t i = 0; i < list->nr; i++) {
		if (pfn < zone->pfn_base || pfn - zone->pfn_base >= zone->nr_map)
			return false;
		if (qr_zone_frame(zone, pfn)->prev != before)
			return false;
		before = pfn;
		pfn = qr_zone_frame(zone, pfn)->next;
	}
	return pfn == QR_PFN_NONE && list->tail == before;
}
