/* The end of a folio: the last reference takes it off the LRU, drops its object and frees its frames. */
#include "vmm/vmm.h"

void qr_folio_put(struct qr_vmm *vmm, struct qr_frame *folio, uint32_t nr)
{
	struct qr_object *object;
	/* Release: what this thread did with the folio happens before its frames serve anyone else. */
	uint32_t before = qr_fetch_sub(&folio->refs, nr);

	QR_BUG_ON(before < nr);
	if (before != nr)
		return;
	QR_ASSERT(!qr_folio_test(folio, QR_FOLIO_LOCKED));
	if (qr_folio_test(folio, QR_FOLIO_LRU))
		(void)qr_lru_remove(&vmm->lru, folio);
	object = folio->owner;
	qr_free_pages(vmm, folio, qr_frame_order(folio));
	qr_object_put(object);
}
