/*
 * The reclaim loop: keeps the inactive list at its share, evicts from its tail, and lets touched folios go back.
 */
#include "reclaim/reclaim_priv.h"

#define RECLAIM_BATCH 8u
/* Share of the LRU pages that are kept unmapped to see whether they are touched: 1 / 16. A larger share tells
 * hot from cold better and costs more refaults. */
#define INACTIVE_SHARE 16u
/* Pages that are aged before the next ones are evicted, at most: 8 times what is evicted meanwhile. Not a share of
 * memory: a large one would keep its first reclaimer for seconds, and each of many at once would age as much. */
#define AGE_STEP 64u
/* Rounds over all lists without a frame freed before reclaim gives up. */
#define RECLAIM_ROUNDS 3u
/* Groups that are tried before all lists are, so that one with nothing to give does not cost the protected theirs. */
#define RECLAIM_PICKS 4u

static uint64_t nr_evictable(const struct qr_lru *lru, const struct qr_lru_target *target)
{
	return qr_lru_nr_pages_of(lru, target, QR_LRU_ACTIVE) + qr_lru_nr_pages_of(lru, target, QR_LRU_PROTECTED) +
	       qr_lru_nr_pages_of(lru, target, QR_LRU_INACTIVE);
}

static uint32_t inactive_target(const struct qr_lru *lru, const struct qr_lru_target *target)
{
	return (uint32_t)(nr_evictable(lru, target) / INACTIVE_SHARE) + 1;
}

static bool is_inactive_low(const struct qr_lru *lru, const struct qr_lru_target *target)
{
	return qr_lru_nr_pages_of(lru, target, QR_LRU_INACTIVE) < inactive_target(lru, target);
}

static uint32_t age_step(const struct qr_lru *lru, const struct qr_lru_target *target)
{
	return QR_MIN(inactive_target(lru, target) / 4 + 1, AGE_STEP);
}

/* Evicts or rescues folios from the inactive tail. Returns frames freed; *nr_seen: folios looked at. */
static uint32_t shrink_inactive(struct qr_vmm *vmm, const struct qr_lru_target *target, uint32_t nr, uint32_t *nr_seen)
{
	struct qr_frame *folios[RECLAIM_BATCH];
	uint32_t nr_freed = 0;
	uint32_t nr_folios = qr_lru_isolate_from(&vmm->lru, target, QR_LRU_INACTIVE, QR_MIN(nr, RECLAIM_BATCH), folios);

	qr_reclaim_count_scanned(vmm, target, folios, nr_folios);
	for (uint32_t i = 0; i < nr_folios; i++) {
		if (qr_folio_test(folios[i], QR_FOLIO_IDLE) && nr_freed < nr) {
			nr_freed += qr_evict_folio(vmm, folios[i]);
		} else if (!qr_folio_test(folios[i], QR_FOLIO_IDLE)) {
			qr_age_rescue(vmm, folios[i]);
		} else {
			qr_lru_put_back(&vmm->lru, folios[i], QR_LRU_INACTIVE, true);
			qr_folio_put(vmm, folios[i], 1);
		}
	}
	qr_balance_note_evicted(&vmm->balance, nr_freed);
	*nr_seen += nr_folios;
	return nr_freed;
}

/* One round: returns frames freed, at most about nr. */
static uint32_t reclaim_round(struct qr_vmm *vmm, const struct qr_lru_target *target, uint32_t nr)
{
	uint32_t nr_freed = 0;
	uint64_t nr_lru = nr_evictable(&vmm->lru, target);
	uint64_t nr_scanned = 0;

	qr_balance_set_capacity(&vmm->balance, (uint32_t)nr_evictable(&vmm->lru, NULL));
	while (nr_freed < nr && nr_scanned <= nr_lru) {
		uint32_t nr_seen = 0;

		if (is_inactive_low(&vmm->lru, target))
			nr_scanned += qr_age_active(vmm, target, age_step(&vmm->lru, target));
		nr_freed += shrink_inactive(vmm, target, nr - nr_freed, &nr_seen);
		nr_scanned += nr_seen;
		if (!nr_seen)
			break;
	}
	return nr_freed;
}

/* No folio can be evicted any more: what is compressed goes to the file, if there is one. */
static uint32_t shrink_pool(struct qr_vmm *vmm, uint32_t nr)
{
	struct qr_swap_usage usage;

	qr_swap_usage(vmm->swap, &usage);
	if (!usage.pool_frames)
		return 0;
	return qr_swap_shrink_pool(vmm->swap, (uint32_t)(usage.pool_frames - QR_MIN(usage.pool_frames, (uint64_t)nr)));
}

uint32_t qr_reclaim_from(struct qr_vmm *vmm, const struct qr_lru_target *target, uint32_t nr)
{
	uint32_t nr_freed = 0;

	for (unsigned round = 0; round < RECLAIM_ROUNDS && !nr_freed; round++) {
		qr_lru_drain(&vmm->lru);
		nr_freed = reclaim_round(vmm, target, nr);
	}
	return nr_freed;
}

/* node: as in struct qr_lru_target. */
static uint32_t reclaim(struct qr_vmm *vmm, uint32_t node, uint32_t nr)
{
	uint32_t nr_freed = qr_port_memory_grow(vmm->port, nr);
	struct qr_lru_target all = {.group = QR_LRU_ALL_GROUPS, .node = node};
	struct qr_lru_target target;

	/* A group at a time, each in its turn; what is protected only when nothing else helps. */
	for (unsigned i = 0; i < RECLAIM_PICKS && !nr_freed && qr_group_pick(vmm, &target); i++) {
		target.node = node;
		nr_freed = qr_reclaim_from(vmm, &target, nr);
	}
	if (!nr_freed)
		nr_freed = qr_reclaim_from(vmm, &all, nr);
	if (!nr_freed)
		nr_freed = shrink_pool(vmm, nr);
	if (!nr_freed)
		nr_freed = qr_slab_shrink(&vmm->vma_cache) + qr_slab_shrink(&vmm->object_cache);
	return nr_freed;
}

uint32_t qr_reclaim(struct qr_vmm *vmm, uint32_t nr)
{
	return reclaim(vmm, 0, nr);
}

uint32_t qr_reclaim_node(struct qr_vmm *vmm, uint32_t node, uint32_t nr)
{
	return reclaim(vmm, node + 1, nr);
}
