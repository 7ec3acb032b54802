/*
 * The end of a folio: the last reference takes it off the LRU, drops its object and frees its frames. Folios that are
 * dropped together leave their LRU list under one take of its lock.
 */
#include "vmm/vmm.h"

static void free_folios(struct qr_vmm *vmm, struct qr_frame *const *folios, uint32_t nr, bool is_cold);

/* True if those were the last. */
static bool drop_refs(struct qr_frame *folio, uint32_t nr)
{
	/* Release: what this thread did with the folio happens before its frames serve anyone else. */
	uint32_t before = qr_fetch_sub(&folio->refs, nr);

	QR_BUG_ON(before < nr);
	QR_ASSERT(before != nr || !qr_folio_test(folio, QR_FOLIO_LOCKED));
	return before == nr;
}

void qr_folio_put(struct qr_vmm *vmm, struct qr_frame *folio, uint32_t nr)
{
	if (drop_refs(folio, nr))
		free_folios(vmm, &folio, 1, false);
}

void qr_folio_put_cold(struct qr_vmm *vmm, struct qr_frame *folio, uint32_t nr)
{
	if (drop_refs(folio, nr))
		free_folios(vmm, &folio, 1, true);
}

void qr_folio_put_many(struct qr_vmm *vmm, const struct qr_folio_refs *items, uint32_t nr)
{
	struct qr_frame *dead[QR_LRU_REMOVAL_BATCH];
	uint32_t nr_dead = 0;

	for (uint32_t i = 0; i < nr; i++) {
		if (!drop_refs(items[i].folio, items[i].nr))
			continue;
		dead[nr_dead++] = items[i].folio;
		if (nr_dead == QR_ARRAY_SIZE(dead)) {
			free_folios(vmm, dead, nr_dead, false);
			nr_dead = 0;
		}
	}
	free_folios(vmm, dead, nr_dead, false);
}

static void free_folios(struct qr_vmm *vmm, struct qr_frame *const *folios, uint32_t nr, bool is_cold)
{
	qr_lru_remove_dying(&vmm->lru, folios, nr);
	for (uint32_t i = 0; i < nr; i++) {
		struct qr_object *object = folios[i]->owner;

		if (qr_unlikely(object->group != NULL))
			qr_group_uncharge(object->group, qr_folio_nr_pages(folios[i]));
		if (is_cold)
			qr_free_pages_cold(vmm, folios[i], qr_frame_order(folios[i]));
		else
			qr_free_pages(vmm, folios[i], qr_frame_order(folios[i]));
		qr_object_put(object);
	}
}
