/* Shared by the files of core/reclaim. */
#ifndef QR_CORE_RECLAIM_PRIV_H
#define QR_CORE_RECLAIM_PRIV_H

#include "vmm/vmm.h"

/* Takes every mapped page of a locked folio out of the hardware's tables; its PTEs become idle and its content is
 * in its slots. Returns 0, QR_EBUSY (some page stays mapped: pinned by a transfer, or not evictable). May sleep. */
int qr_folio_unmap(struct qr_vmm *vmm, struct qr_frame *folio) QR_WARN_UNUSED;

/* Makes 2^n folios of the given order out of a larger one that is locked, unmapped, pinned by the caller alone and on
 * no LRU list. Each of them is then locked and pinned. False: it stays whole (it has several mappings, a part of it
 * was unmapped by the program, or somebody else holds a reference). */
bool qr_folio_split(struct qr_vmm *vmm, struct qr_frame *folio, unsigned order);

/* The list that a folio belongs to while it is mapped. */
static inline enum qr_balance_side qr_folio_side(const struct qr_frame *folio)
{
	return qr_folio_test(folio, QR_FOLIO_WORKINGSET) ? QR_BALANCE_PROTECTED : QR_BALANCE_YOUNG;
}

/* Counts folios that were taken off the target's lists, and those among them that lie on another node than it wants. */
void qr_reclaim_count_scanned(struct qr_vmm *vmm, const struct qr_lru_target *target, struct qr_frame *const *folios,
			      uint32_t nr);

/* Puts an isolated folio that was touched while it was idle among the mapped ones, and drops the pin. */
void qr_age_rescue(struct qr_vmm *vmm, struct qr_frame *folio);

/* Moves the target's oldest mapped folios to the inactive list, unmapped, until nr pages went. Returns the pages looked
 * at. */
uint32_t qr_age_active(struct qr_vmm *vmm, const struct qr_lru_target *target, uint32_t nr);

#endif
