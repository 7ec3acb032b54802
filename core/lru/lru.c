/*
 * LRU lists and their per-CPU batches of additions.
 *
 * A batch holds a pin on each of its folios. A flush moves them onto the lists under one take of the lruvec lock and
 * drops the pins with no lock held, since the last reference frees the folio, which takes it off its list again.
 * The batch's lock is held over the whole move, so that a drain finds every addition that was made before it.
 *
 * The batch size of 14 is that of the literature (99 % fewer contended takes of the global list's lock, L2).
 *
 * Locks: batch (QR_RANK_LRU_CPU), then lruvec (QR_RANK_LRU).
 */
#include "lru/lru.h"

#include "alloc/alloc.h"
#include "reclaim/reclaim.h"

/* The flags that say which list a folio is on, [list]. */
static const uint32_t list_flags[QR_NR_LRU_LISTS] = {
	[QR_LRU_INACTIVE] = QR_FOLIO_LRU,
	[QR_LRU_ACTIVE] = QR_FOLIO_LRU | QR_FOLIO_ACTIVE,
	[QR_LRU_UNEVICTABLE] = QR_FOLIO_LRU | QR_FOLIO_LRU_UNEVICTABLE,
};
#define LIST_FLAGS (QR_FOLIO_LRU | QR_FOLIO_ACTIVE | QR_FOLIO_LRU_UNEVICTABLE)

static uint32_t batch_flush_locked(struct qr_lruvec *lruvec, struct qr_lru_batch *batch, struct qr_frame **folios);
static void drop_pins(struct qr_lruvec *lruvec, struct qr_frame *const *folios, uint32_t nr);
static void add_unbatched(struct qr_lruvec *lruvec, struct qr_frame *folio);
static void lruvec_lock(struct qr_lruvec *lruvec);
static void list_add_locked(struct qr_lruvec *lruvec, struct qr_frame *folio, enum qr_lru_list list, bool is_tail);
static void list_add_unevictable_locked(struct qr_lruvec *lruvec, struct qr_frame *folio);
static void list_remove_locked(struct qr_lruvec *lruvec, struct qr_frame *folio);

void qr_lru_init(struct qr_lruvec *lruvec, struct qr_zone *zone, struct qr_lru_batch *batches, uint32_t nr_batches)
{
	lruvec->zone = zone;
	qr_spin_init(&lruvec->lock, QR_RANK_LRU);
	for (unsigned list = 0; list < QR_NR_LRU_LISTS; list++) {
		qr_frame_list_init(&lruvec->lists[list]);
		lruvec->nr_pages[list] = 0;
	}
	lruvec->nr_lock_takes = 0;
	lruvec->nr_lock_waits = 0;
	lruvec->nr_batches = nr_batches;
	lruvec->batches = batches;
	for (uint32_t cpu = 0; cpu < nr_batches; cpu++) {
		qr_spin_init(&batches[cpu].lock, QR_RANK_LRU_CPU);
		batches[cpu].nr = 0;
	}
}

void qr_lru_add(struct qr_lruvec *lruvec, struct qr_frame *folio)
{
	struct qr_lru_batch *batch;
	struct qr_frame *folios[QR_LRU_BATCH];
	uint32_t nr_flushed = 0;

	QR_ASSERT(!qr_folio_test(folio, QR_FOLIO_LRU));
	if (qr_unlikely(!lruvec->nr_batches)) {
		add_unbatched(lruvec, folio);
		return;
	}
	batch = &lruvec->batches[qr_port_cpu() % lruvec->nr_batches];
	qr_folio_get(folio, 1);
	qr_spin_lock(&batch->lock);
	/* holds: batch */
	batch->folios[batch->nr++] = folio;
	if (batch->nr == QR_LRU_BATCH)
		nr_flushed = batch_flush_locked(lruvec, batch, folios);
	qr_spin_unlock(&batch->lock);
	drop_pins(lruvec, folios, nr_flushed);
}

void qr_lru_drain(struct qr_lruvec *lruvec)
{
	for (uint32_t cpu = 0; cpu < lruvec->nr_batches; cpu++) {
		struct qr_lru_batch *batch = &lruvec->batches[cpu];
		struct qr_frame *folios[QR_LRU_BATCH];
		uint32_t nr_flushed;

		qr_spin_lock(&batch->lock);
		nr_flushed = batch_flush_locked(lruvec, batch, folios);
		qr_spin_unlock(&batch->lock);
		drop_pins(lruvec, folios, nr_flushed);
	}
}

bool qr_lru_remove(struct qr_lruvec *lruvec, struct qr_frame *folio)
{
	bool was_on_list;

	if (!qr_folio_test(folio, QR_FOLIO_LRU))
		return false;
	lruvec_lock(lruvec);
	/* Somebody may have isolated it since. */
	was_on_list = qr_folio_test(folio, QR_FOLIO_LRU);
	if (was_on_list)
		list_remove_locked(lruvec, folio);
	qr_spin_unlock(&lruvec->lock);
	return was_on_list;
}

/* One take of the lock. */
static void remove_dying(struct qr_lruvec *lruvec, struct qr_frame *const *folios, uint32_t nr)
{
	lruvec_lock(lruvec);
	for (uint32_t i = 0; i < nr; i++) {
		/* Reclaim found it without references and left it where it is, or had it isolated. */
		if (qr_folio_test(folios[i], QR_FOLIO_LRU))
			list_remove_locked(lruvec, folios[i]);
	}
	qr_spin_unlock(&lruvec->lock);
}

void qr_lru_remove_dying(struct qr_lruvec *lruvec, struct qr_frame *const *folios, uint32_t nr)
{
	uint32_t nr_max = lruvec->nr_batches ? QR_LRU_BATCH : 1;
	struct qr_frame *listed[QR_LRU_BATCH];
	uint32_t nr_listed = 0;

	for (uint32_t i = 0; i < nr; i++) {
		if (!qr_folio_test(folios[i], QR_FOLIO_LRU))
			continue;
		listed[nr_listed++] = folios[i];
		if (nr_listed == nr_max) {
			remove_dying(lruvec, listed, nr_listed);
			nr_listed = 0;
		}
	}
	if (nr_listed)
		remove_dying(lruvec, listed, nr_listed);
}

void qr_lru_rescue(struct qr_lruvec *lruvec, struct qr_frame *folio)
{
	if (!qr_folio_test(folio, QR_FOLIO_LRU_UNEVICTABLE))
		return;
	lruvec_lock(lruvec);
	if (qr_folio_test(folio, QR_FOLIO_LRU_UNEVICTABLE)) {
		list_remove_locked(lruvec, folio);
		list_add_locked(lruvec, folio, QR_LRU_ACTIVE, false);
	}
	qr_spin_unlock(&lruvec->lock);
}

void qr_lru_put_back(struct qr_lruvec *lruvec, struct qr_frame *folio, enum qr_lru_list list, bool is_tail)
{
	lruvec_lock(lruvec);
	if (list == QR_LRU_UNEVICTABLE)
		list_add_unevictable_locked(lruvec, folio);
	else
		list_add_locked(lruvec, folio, list, is_tail);
	qr_spin_unlock(&lruvec->lock);
}

uint32_t qr_lru_isolate(struct qr_lruvec *lruvec, enum qr_lru_list list, uint32_t nr, struct qr_frame **folios)
{
	struct qr_frame *folio;
	uint32_t nr_isolated = 0;

	/* An empty list costs no take; an addition that is missed here is as good as later. */
	if (!nr || !qr_load_relaxed(&lruvec->nr_pages[list]))
		return 0;
	lruvec_lock(lruvec);
	folio = qr_frame_list_tail(lruvec->zone, &lruvec->lists[list]);
	while (folio && nr_isolated < nr) {
		uint32_t younger = folio->prev;

		/* Without references it is being freed; whoever does that waits for the lock to take it off. */
		if (qr_folio_try_get(folio)) {
			list_remove_locked(lruvec, folio);
			folios[nr_isolated++] = folio;
		}
		folio = younger == QR_PFN_NONE ? NULL : qr_zone_frame(lruvec->zone, younger);
	}
	qr_spin_unlock(&lruvec->lock);
	return nr_isolated;
}

/* holds: lruvec */
static void list_add_new_locked(struct qr_lruvec *lruvec, struct qr_frame *folio)
{
	if (qr_folio_test(folio, QR_FOLIO_UNEVICTABLE))
		list_add_unevictable_locked(lruvec, folio);
	else
		list_add_locked(lruvec, folio, QR_LRU_ACTIVE, false);
}

static void add_unbatched(struct qr_lruvec *lruvec, struct qr_frame *folio)
{
	lruvec_lock(lruvec);
	list_add_new_locked(lruvec, folio);
	qr_spin_unlock(&lruvec->lock);
}

/* Moves the batch onto the lists. The pins pass to the caller, who drops them without locks: folios[0..result).
 * holds: batch */
static uint32_t batch_flush_locked(struct qr_lruvec *lruvec, struct qr_lru_batch *batch, struct qr_frame **folios)
{
	uint32_t nr = batch->nr;

	if (!nr)
		return 0;
	lruvec_lock(lruvec);
	/* holds: batch, lruvec */
	for (uint32_t i = 0; i < nr; i++) {
		folios[i] = batch->folios[i];
		/* With the batch's pin alone it is as good as free: its mappings went while it waited here. */
		if (qr_load_acquire(&folios[i]->refs) > 1)
			list_add_new_locked(lruvec, folios[i]);
	}
	qr_spin_unlock(&lruvec->lock);
	batch->nr = 0;
	return nr;
}

static void drop_pins(struct qr_lruvec *lruvec, struct qr_frame *const *folios, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		qr_folio_put(lruvec->zone->vmm, folios[i], 1);
}

static void lruvec_lock(struct qr_lruvec *lruvec)
{
	bool had_to_wait = qr_spin_lock_waited(&lruvec->lock);

	qr_store_relaxed(&lruvec->nr_lock_takes, lruvec->nr_lock_takes + 1);
	if (had_to_wait)
		qr_store_relaxed(&lruvec->nr_lock_waits, lruvec->nr_lock_waits + 1);
}

static enum qr_lru_list list_of(const struct qr_frame *folio)
{
	uint32_t flags = qr_load_relaxed(&folio->flags) & LIST_FLAGS;

	if (flags & QR_FOLIO_LRU_UNEVICTABLE)
		return QR_LRU_UNEVICTABLE;
	return flags & QR_FOLIO_ACTIVE ? QR_LRU_ACTIVE : QR_LRU_INACTIVE;
}

/* holds: lruvec */
static void list_add_locked(struct qr_lruvec *lruvec, struct qr_frame *folio, enum qr_lru_list list, bool is_tail)
{
	QR_BUG_ON(qr_folio_test(folio, LIST_FLAGS));
	if (is_tail)
		qr_frame_list_add_tail(lruvec->zone, &lruvec->lists[list], folio);
	else
		qr_frame_list_add_head(lruvec->zone, &lruvec->lists[list], folio);
	qr_store_relaxed(&lruvec->nr_pages[list], lruvec->nr_pages[list] + qr_folio_nr_pages(folio));
	qr_folio_set(folio, list_flags[list]);
}

/* holds: lruvec. The caller saw that the folio is locked in memory. If that ended since, whoever ended it may have
 * looked for the folio on the unevictable list in vain: both change the same word, so one of them sees the other. */
static void list_add_unevictable_locked(struct qr_lruvec *lruvec, struct qr_frame *folio)
{
	list_add_locked(lruvec, folio, QR_LRU_UNEVICTABLE, false);
	if (qr_folio_test(folio, QR_FOLIO_UNEVICTABLE))
		return;
	list_remove_locked(lruvec, folio);
	list_add_locked(lruvec, folio, QR_LRU_ACTIVE, false);
}

/* holds: lruvec */
static void list_remove_locked(struct qr_lruvec *lruvec, struct qr_frame *folio)
{
	enum qr_lru_list list = list_of(folio);

	qr_folio_clear(folio, LIST_FLAGS);
	qr_frame_list_remove(lruvec->zone, &lruvec->lists[list], folio);
	qr_store_relaxed(&lruvec->nr_pages[list], lruvec->nr_pages[list] - qr_folio_nr_pages(folio));
}

/* holds: lruvec */
static bool list_is_valid_locked(struct qr_lruvec *lruvec, enum qr_lru_list list)
{
	const struct qr_frame *folio;
	uint64_t nr_pages = 0;
	uint32_t next;

	if (!qr_frame_list_is_valid(lruvec->zone, &lruvec->lists[list]))
		return false;
	for (next = lruvec->lists[list].head; next != QR_PFN_NONE; next = folio->next) {
		folio = qr_zone_frame(lruvec->zone, next);
		if (qr_frame_kind(folio) != QR_FRAME_FOLIO)
			return false;
		if ((qr_load_relaxed(&folio->flags) & LIST_FLAGS) != list_flags[list])
			return false;
		nr_pages += qr_folio_nr_pages(folio);
	}
	return nr_pages == lruvec->nr_pages[list];
}

bool qr_lru_is_valid(struct qr_lruvec *lruvec)
{
	bool is_valid = true;

	qr_spin_lock(&lruvec->lock);
	for (unsigned list = 0; list < QR_NR_LRU_LISTS; list++)
		is_valid = is_valid && list_is_valid_locked(lruvec, (enum qr_lru_list)list);
	qr_spin_unlock(&lruvec->lock);
	return is_valid;
}
