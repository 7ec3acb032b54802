/*
 * Aging: the oldest folios of the active or the protected list, as lru/balance.h decides, are unmapped and become
 * inactive. Where the machine has no accessed bit this is how recency is sampled: a folio that is touched again comes
 * back by a cheap fault and is not evicted; from then on it is of the working set, which has the protected list.
 *
 * A folio of the working set may be on the active list all the same, and waits there for its turn. None leaves the
 * working set while it is resident.
 */
#include "reclaim/reclaim_priv.h"

#define AGE_BATCH 8u

static bool is_balanced(const struct qr_vmm *vmm)
{
	return vmm->choices.reclaim == QR_RECLAIM_BALANCED;
}

/* Where a mapped folio goes. */
static enum qr_lru_list list_of(const struct qr_frame *folio)
{
	return qr_folio_side(folio) == QR_BALANCE_PROTECTED ? QR_LRU_PROTECTED : QR_LRU_ACTIVE;
}

static enum qr_lru_list choose(struct qr_vmm *vmm, const struct qr_lru_target *target)
{
	bool has_young = qr_lru_nr_pages_of(&vmm->lru, target, QR_LRU_ACTIVE) > 0;
	bool has_protected = qr_lru_nr_pages_of(&vmm->lru, target, QR_LRU_PROTECTED) > 0;

	if (!is_balanced(vmm) || qr_balance_choose(&vmm->balance, has_young, has_protected) == QR_BALANCE_YOUNG)
		return QR_LRU_ACTIVE;
	return QR_LRU_PROTECTED;
}

/* Unmaps an isolated folio if that can be done; returns the list that it belongs to then. */
static enum qr_lru_list age_unmap(struct qr_vmm *vmm, struct qr_frame *folio)
{
	enum qr_lru_list list = list_of(folio);

	if (qr_folio_test(folio, QR_FOLIO_UNEVICTABLE))
		return QR_LRU_UNEVICTABLE;
	if (!qr_folio_trylock(folio))
		return list;
	if (!qr_folio_unmap(vmm, folio))
		list = QR_LRU_INACTIVE;
	qr_folio_unlock(folio);
	return list;
}

/* Takes one isolated folio, returns its pages. */
static uint32_t age_folio(struct qr_vmm *vmm, struct qr_frame *folio)
{
	uint32_t nr_pages = qr_folio_nr_pages(folio);
	enum qr_lru_list list = age_unmap(vmm, folio);

	if (list == QR_LRU_INACTIVE)
		qr_balance_note_given_up(&vmm->balance, qr_folio_side(folio), nr_pages, folio->private_word);
	folio->private_word = qr_balance_now(&vmm->balance);
	qr_lru_put_back(&vmm->lru, folio, list, false);
	qr_folio_put(vmm, folio, 1);
	return nr_pages;
}

uint32_t qr_age_active(struct qr_vmm *vmm, const struct qr_lru_target *target, uint32_t nr)
{
	struct qr_frame *folios[AGE_BATCH];
	uint32_t nr_aged = 0;

	while (nr_aged < nr) {
		uint32_t nr_folios = qr_lru_isolate_from(&vmm->lru, target, choose(vmm, target), AGE_BATCH, folios);

		if (!nr_folios)
			break;
		qr_reclaim_count_scanned(vmm, target, folios, nr_folios);
		for (uint32_t i = 0; i < nr_folios; i++)
			nr_aged += age_folio(vmm, folios[i]);
	}
	return nr_aged;
}

void qr_reclaim_count_scanned(struct qr_vmm *vmm, const struct qr_lru_target *target, struct qr_frame *const *folios,
			      uint32_t nr)
{
	uint32_t nr_remote = 0;

	for (uint32_t i = 0; i < nr && qr_vmm_has_zones(vmm) && target && target->node; i++)
		nr_remote += qr_nodes_of_pfn(&vmm->nodes, qr_zone_pfn(&vmm->zone, folios[i])) != target->node - 1;
	qr_stat_add(&vmm->stats, QR_STAT_scanned_folios, nr);
	if (nr_remote)
		qr_stat_add(&vmm->stats, QR_STAT_remote_scans, nr_remote);
}

/* That the program knows it to be cold says nothing of the list that it was on: nothing is noted. */
void qr_age_cold(struct qr_vmm *vmm, struct qr_frame *folio)
{
	enum qr_lru_list list = age_unmap(vmm, folio);

	folio->private_word = qr_balance_now(&vmm->balance);
	qr_lru_put_back(&vmm->lru, folio, list, list == QR_LRU_INACTIVE);
	qr_folio_put(vmm, folio, 1);
}

void qr_age_rescue(struct qr_vmm *vmm, struct qr_frame *folio)
{
	if (is_balanced(vmm)) {
		qr_balance_note_rescued(&vmm->balance, qr_folio_side(folio), qr_folio_nr_pages(folio),
					folio->private_word);
		qr_folio_set(folio, QR_FOLIO_WORKINGSET);
	}
	folio->private_word = qr_balance_now(&vmm->balance);
	qr_lru_put_back(&vmm->lru, folio, list_of(folio), false);
	qr_folio_put(vmm, folio, 1);
	qr_stat_add(&vmm->stats, QR_STAT_rescued_folios, 1);
}
