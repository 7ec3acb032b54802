/*
 * Aging: the oldest active folios are unmapped and become inactive. Where the machine has no accessed bit this is
 * how recency is sampled: a folio that is touched again comes back by a cheap fault and is not evicted.
 */
#include "reclaim/reclaim_priv.h"

#define AGE_BATCH 8u

/* Takes one isolated folio, returns its pages. */
static uint32_t age_folio(struct qr_vmm *vmm, struct qr_frame *folio)
{
	uint32_t nr_pages = qr_folio_nr_pages(folio);
	enum qr_lru_list list = QR_LRU_ACTIVE;

	if (qr_folio_test(folio, QR_FOLIO_UNEVICTABLE)) {
		list = QR_LRU_UNEVICTABLE;
	} else if (qr_folio_trylock(folio)) {
		if (!qr_folio_unmap(vmm, folio))
			list = QR_LRU_INACTIVE;
		qr_folio_unlock(folio);
	}
	qr_lru_put_back(&vmm->lru, folio, list, false);
	qr_folio_put(vmm, folio, 1);
	return nr_pages;
}

uint32_t qr_age_active(struct qr_vmm *vmm, uint32_t nr)
{
	struct qr_frame *folios[AGE_BATCH];
	uint32_t nr_aged = 0;

	while (nr_aged < nr) {
		uint32_t nr_folios = qr_lru_isolate(&vmm->lru, QR_LRU_ACTIVE, AGE_BATCH, folios);

		if (!nr_folios)
			break;
		for (uint32_t i = 0; i < nr_folios; i++)
			nr_aged += age_folio(vmm, folios[i]);
		qr_stat_add(&vmm->stats, QR_STAT_scanned_folios, nr_folios);
	}
	return nr_aged;
}
