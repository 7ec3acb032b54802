/* Inside of the page allocator: the layers under the interface of alloc.h. */
#ifndef QR_CORE_ALLOC_PRIV_H
#define QR_CORE_ALLOC_PRIV_H

#include "alloc/alloc.h"

/* ---- buddy.c: the free areas; zone->lock is held. ---- */

/* A block of 2^order frames; its head is KERNEL, the other descriptors and the fresh bits are as they were.
 * NULL if no block is large enough. O(QR_MAX_ORDER). */
struct qr_frame *qr_buddy_take_locked(struct qr_zone *zone, unsigned order);
/* The same for whatever is left over from larger blocks, at most 2^max_order frames; qr_frame_order() tells. NULL if
 * nothing is free. */
struct qr_frame *qr_buddy_take_up_to_locked(struct qr_zone *zone, unsigned max_order);
/* Adds a block and merges it with its buddies. is_cold: to be handed out after all others of its size. */
void qr_buddy_put_locked(struct qr_zone *zone, struct qr_frame *frame, unsigned order, bool is_cold);
void qr_zone_lock(struct qr_zone *zone);
void qr_zone_unlock(struct qr_zone *zone);

/* ---- fresh.c: which frames were never written. The owner of a block (or the holder of zone->lock for free ones)
 * changes its bits, atomically since neighbours share words. ---- */
void qr_fresh_set(struct qr_zone *zone, const struct qr_frame *frame, unsigned order);
bool qr_fresh_test(const struct qr_zone *zone, const struct qr_frame *frame);
/* Clears the bits of a block; true if all were set. */
bool qr_fresh_clear(struct qr_zone *zone, const struct qr_frame *frame, unsigned order);
/* Moves the bits of a block into QR_FRAME_FRESH of its descriptors, and marks the tails. */
void qr_fresh_to_flags(struct qr_zone *zone, struct qr_frame *frame, unsigned order);

/* ---- pcp.c; a zone without per-CPU lists has nr_pcps 0 and none of these is called. ---- */

/* A frame with kind KERNEL, NULL when neither the caller's lists nor the buddy system has one. */
struct qr_frame *qr_pcp_take(struct qr_zone *zone, bool is_cold);
void qr_pcp_put(struct qr_zone *zone, struct qr_frame *frame, bool is_cold);
/* Fits the size of the lists to the frames online. */
void qr_pcp_resize(struct qr_zone *zone);

/* How the lists of one CPU are run; pcp->lock is held. One file per rival. */
struct qr_pcp_ops {
	/* A frame off the lists, NULL when neither they nor the buddy system have one. */
	struct qr_frame *(*take)(struct qr_zone *zone, struct qr_pcp *pcp, bool is_cold);
	/* Puts a frame of kind PCP on a list. */
	void (*put)(struct qr_zone *zone, struct qr_pcp *pcp, struct qr_frame *frame, bool is_cold);
	/* Sets the marks so that at most nr_max frames stay on the lists. */
	void (*resize)(struct qr_pcp *pcp, uint32_t nr_max);
};
extern const struct qr_pcp_ops qr_pcp_auto;     /* pcp_auto.c */
extern const struct qr_pcp_ops qr_pcp_hot_cold; /* pcp_hot_cold.c */

/* For the rivals; pcp->lock is held. Moves up to nr frames from the buddy system to the tail of a list, in ascending
 * order, or back from the tail, under one take of zone->lock. Return how many. */
uint32_t qr_pcp_refill(struct qr_zone *zone, struct qr_pcp *pcp, struct qr_frame_list *list, uint32_t nr);
uint32_t qr_pcp_flush(struct qr_zone *zone, struct qr_pcp *pcp, struct qr_frame_list *list, uint32_t nr);
/* Adds at the head; takes from the head, NULL if it is empty. */
void qr_pcp_push(struct qr_zone *zone, struct qr_pcp *pcp, struct qr_frame_list *list, struct qr_frame *frame);
struct qr_frame *qr_pcp_pop(struct qr_zone *zone, struct qr_pcp *pcp, struct qr_frame_list *list);

/* ---- zone.c ---- */

/* qr_zone_alloc() that leaves QR_FRAME_FRESH set in the descriptors of frames that were never written. */
struct qr_frame *qr_zone_take(struct qr_zone *zone, unsigned order, qr_gfp_t gfp);
/* The same, but so many frames must stay free, whatever gfp says. */
struct qr_frame *qr_zone_take_above(struct qr_zone *zone, unsigned order, qr_gfp_t gfp, uint32_t floor);
/* How many frames an allocation leaves: the mark that gfp obeys. */
uint32_t qr_zone_floor(const struct qr_zone *zone, qr_gfp_t gfp);
/* Ends that state. */
void qr_zone_forget_fresh(struct qr_frame *frame, unsigned order);

#endif
