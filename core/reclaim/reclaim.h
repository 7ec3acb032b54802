/*
 * Reclaim: makes free frames out of folios, the compressed pool and slabs.
 *
 * kswapd runs when free frames fall below the low watermark and stops at the high one; an allocation that finds
 * less than the min watermark reclaims itself. Both call qr_reclaim().
 */
#ifndef QR_CORE_RECLAIM_H
#define QR_CORE_RECLAIM_H

#include "alloc/alloc.h"

struct qr_vmm;

/* Frees about nr frames; returns how many it freed. 0: nothing could be freed. May sleep; no lock of rank FOLIO or
 * above is held by the caller. */
uint32_t qr_reclaim(struct qr_vmm *vmm, uint32_t nr);

/* The same from the target's LRU lists alone; NULL: from all. */
struct qr_lru_target;
uint32_t qr_reclaim_from(struct qr_vmm *vmm, const struct qr_lru_target *target, uint32_t nr);

/* As qr_reclaim(), but of LRU lists only those of one node. */
uint32_t qr_reclaim_node(struct qr_vmm *vmm, uint32_t node, uint32_t nr);

/* Starts and stops the background threads, one for each node. */
int qr_kswapd_start(struct qr_vmm *vmm) QR_WARN_UNUSED;
void qr_kswapd_stop(struct qr_vmm *vmm);
/* Any context. That of the first node; that of a node, for an allocation of the kind. */
void qr_kswapd_wake(struct qr_vmm *vmm);
void qr_kswapd_wake_node(struct qr_vmm *vmm, uint32_t node, enum qr_zone_kind kind);
/* A stream is about to take nr frames and will want more: kswapd frees further ahead, so that it works while the
 * program does. */
void qr_kswapd_run_ahead(struct qr_vmm *vmm, uint32_t nr);

/* Evicts one isolated, pinned folio: unmaps it, stores it, frees it. Drops the pin in any case.
 * Returns the number of frames freed. */
uint32_t qr_evict_folio(struct qr_vmm *vmm, struct qr_frame *folio);

/* Makes one isolated, pinned folio the next to be evicted unless it is touched before: unmaps it. One that has to stay
 * mapped goes back among the others. Drops the pin. May sleep. */
void qr_age_cold(struct qr_vmm *vmm, struct qr_frame *folio);

/* Drops nr references; the last frees the folio. */
void qr_folio_put(struct qr_vmm *vmm, struct qr_frame *folio, uint32_t nr);
/* The same for reclaim: the frames are in no CPU's cache. */
void qr_folio_put_cold(struct qr_vmm *vmm, struct qr_frame *folio, uint32_t nr);
/* References of several folios; a folio may be named twice. */
struct qr_folio_refs {
	struct qr_frame *folio;
	uint32_t nr; /* references to drop */
};
void qr_folio_put_many(struct qr_vmm *vmm, const struct qr_folio_refs *items, uint32_t nr);

#endif
