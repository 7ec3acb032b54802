/*
 * The binary buddy system of one zone.
 *
 * Algorithm: K. Knowlton, "A fast storage allocator", CACM 8 (1965). free_area[order] lists the free blocks of 2^order
 * frames, aligned to their size; a freed block merges with its buddy, the block whose PFN differs in bit `order` only.
 * All state is in the descriptors of block heads: neither the memory of a free frame nor the descriptors inside of a
 * free block are read.
 *
 * Order within a list: warm blocks at the head, where they are taken; blocks that were never written at the tail,
 * since the first touch of such a frame costs the machine a page of real memory.
 *
 * Locks: the caller holds zone->lock.
 */
#include "alloc/alloc_priv.h"

/* nr_free_least is moved when it is off by more than twice the 64th part of the zone: seldom enough that the CPUs that
 * read it on each allocation keep it in their caches, often enough for whoever asks about an eighth. */
#define LEAST_SHARE 64u

static struct qr_frame *buddy_find(struct qr_zone *zone, unsigned order, unsigned *from);
static struct qr_frame *buddy_take(struct qr_zone *zone, struct qr_frame *frame, unsigned from, unsigned order);
static void buddy_insert(struct qr_zone *zone, struct qr_frame *frame, unsigned order, bool is_cold);
static void buddy_count(struct qr_zone *zone, uint32_t nr_free);
static struct qr_frame *buddy_find_free(struct qr_zone *zone, uint32_t pfn, unsigned order);

struct qr_frame *qr_buddy_take_locked(struct qr_zone *zone, unsigned order)
{
	unsigned from;
	struct qr_frame *frame = buddy_find(zone, order, &from);

	return frame ? buddy_take(zone, frame, from, order) : NULL;
}

struct qr_frame *qr_buddy_take_up_to_locked(struct qr_zone *zone, unsigned max_order)
{
	unsigned from;
	struct qr_frame *frame = buddy_find(zone, 0, &from);

	return frame ? buddy_take(zone, frame, from, QR_MIN(from, max_order)) : NULL;
}

/* A block of the smallest order at least that large; *from: its order. */
static struct qr_frame *buddy_find(struct qr_zone *zone, unsigned order, unsigned *from)
{
	struct qr_frame *frame = NULL;

	for (; order <= QR_MAX_ORDER && !frame; order++) {
		frame = qr_frame_list_head(zone, &zone->free_area[order]);
		*from = order;
	}
	return frame;
}

/* Takes 2^order frames from the front of a free block of 2^from. */
static struct qr_frame *buddy_take(struct qr_zone *zone, struct qr_frame *frame, unsigned from, unsigned order)
{
	qr_frame_list_remove(zone, &zone->free_area[from], frame);
	/* The lists that the upper halves go to are empty, or this block would not have been split. */
	while (from-- > order)
		buddy_insert(zone, frame + (1u << from), from, false);
	qr_frame_set_kind(frame, QR_FRAME_KERNEL, order);
	qr_store_relaxed(&frame->refs, 0);
	buddy_count(zone, zone->nr_buddy_free - (1u << order));
	return frame;
}

void qr_buddy_put_locked(struct qr_zone *zone, struct qr_frame *frame, unsigned order, bool is_cold)
{
	uint32_t pfn = qr_zone_pfn(zone, frame);

	buddy_count(zone, zone->nr_buddy_free + (1u << order));
	for (; order < QR_MAX_ORDER; order++) {
		struct qr_frame *buddy = buddy_find_free(zone, pfn, order);

		if (!buddy)
			break;
		qr_frame_list_remove(zone, &zone->free_area[order], buddy);
		/* One of the two ends up inside of the merged block, where no descriptor may look like a head. */
		qr_frame_set_kind(buddy, QR_FRAME_OFFLINE, 0);
		qr_frame_set_kind(qr_zone_frame(zone, pfn), QR_FRAME_OFFLINE, 0);
		pfn &= ~(1u << order);
	}
	buddy_insert(zone, qr_zone_frame(zone, pfn), order, is_cold);
}

void qr_zone_lock(struct qr_zone *zone)
{
	bool had_to_wait = qr_spin_lock_waited(&zone->lock);

	qr_store_relaxed(&zone->nr_lock_takes, zone->nr_lock_takes + 1);
	if (had_to_wait)
		qr_store_relaxed(&zone->nr_lock_waits, zone->nr_lock_waits + 1);
}

void qr_zone_unlock(struct qr_zone *zone)
{
	qr_spin_unlock(&zone->lock);
}

static void buddy_insert(struct qr_zone *zone, struct qr_frame *frame, unsigned order, bool is_cold)
{
	qr_frame_set_kind(frame, QR_FRAME_FREE, order);
	if (is_cold)
		qr_frame_list_add_tail(zone, &zone->free_area[order], frame);
	else
		qr_frame_list_add_head(zone, &zone->free_area[order], frame);
}

/* Sets nr_buddy_free, and nr_free_least where that is needed. */
static void buddy_count(struct qr_zone *zone, uint32_t nr_free)
{
	uint32_t step = zone->nr_onlined_span / LEAST_SHARE;
	uint32_t least = zone->nr_free_least;

	qr_store_relaxed(&zone->nr_buddy_free, nr_free);
	if (nr_free < least || nr_free - least > 2 * step)
		qr_store_relaxed(&zone->nr_free_least, nr_free > step ? nr_free - step : 0);
}

/* The buddy of the block at pfn if it is free and of the same size. The zone starts at a multiple of the largest block,
 * so the buddy is never below it. */
static struct qr_frame *buddy_find_free(struct qr_zone *zone, uint32_t pfn, unsigned order)
{
	uint32_t buddy_pfn = pfn ^ (1u << order);
	struct qr_frame *buddy;

	if (buddy_pfn - zone->pfn_base >= zone->nr_onlined_span)
		return NULL;
	buddy = qr_zone_frame(zone, buddy_pfn);
	/* An owner may change the flags of its frame meanwhile, but never to this value without zone->lock. */
	if (qr_load_relaxed(&buddy->flags) != (QR_FRAME_FREE | order << QR_FRAME_ORDER_SHIFT))
		return NULL;
	return buddy;
}
