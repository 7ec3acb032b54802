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
#include "lru/lru_priv.h"
#include "reclaim/reclaim.h"

static uint32_t batch_flush_locked(struct qr_lru *lru, struct qr_lru_batch *batch, struct qr_frame **folios);
static void drop_pins(struct qr_lru *lru, struct qr_frame *const *folios, uint32_t nr);
static void add_unbatched(struct qr_lru *lru, struct qr_frame *folio);
static uint32_t vec_of_cpu(const struct qr_lru *lru, uint32_t cpu);
static uint32_t vec_of_memory(const struct qr_lru *lru, const struct qr_frame *folio, uint32_t vec);
static struct qr_lruvec *set_vec(struct qr_lru *lru, struct qr_frame *folio, uint32_t vec);
static void vec_lock(struct qr_lruvec *vec);
static struct qr_lruvec *folio_vec_lock(struct qr_lru *lru, const struct qr_frame *folio);
static void list_add_locked(struct qr_lru *lru, struct qr_lruvec *vec, struct qr_frame *folio, enum qr_lru_list list,
			    bool is_tail);
static void list_add_new_locked(struct qr_lru *lru, struct qr_lruvec *vec, struct qr_frame *folio);
static void list_add_unevictable_locked(struct qr_lru *lru, struct qr_lruvec *vec, struct qr_frame *folio);
static void list_remove_locked(struct qr_lru *lru, struct qr_lruvec *vec, struct qr_frame *folio);

void qr_lru_add(struct qr_lru *lru, struct qr_frame *folio)
{
	struct qr_lru_batch *batch;
	struct qr_frame *folios[QR_LRU_BATCH];
	uint32_t nr_flushed = 0;

	QR_ASSERT(!qr_folio_test(folio, QR_FOLIO_LRU));
	if (qr_unlikely(!lru->nr_batches)) {
		add_unbatched(lru, folio);
		return;
	}
	batch = &lru->batches[qr_port_cpu() % lru->nr_batches];
	qr_folio_get(folio, 1);
	qr_spin_lock(&batch->lock);
	/* holds: batch */
	batch->folios[batch->nr++] = folio;
	if (batch->nr == QR_LRU_BATCH)
		nr_flushed = batch_flush_locked(lru, batch, folios);
	qr_spin_unlock(&batch->lock);
	drop_pins(lru, folios, nr_flushed);
}

void qr_lru_drain(struct qr_lru *lru)
{
	for (uint32_t cpu = 0; cpu < lru->nr_batches; cpu++) {
		struct qr_lru_batch *batch = &lru->batches[cpu];
		struct qr_frame *folios[QR_LRU_BATCH];
		uint32_t nr_flushed;

		qr_spin_lock(&batch->lock);
		nr_flushed = batch_flush_locked(lru, batch, folios);
		qr_spin_unlock(&batch->lock);
		drop_pins(lru, folios, nr_flushed);
	}
}

bool qr_lru_remove(struct qr_lru *lru, struct qr_frame *folio)
{
	struct qr_lruvec *vec;
	bool was_on_list;

	if (!qr_folio_test(folio, QR_FOLIO_LRU))
		return false;
	vec = folio_vec_lock(lru, folio);
	/* Somebody may have isolated it since. */
	was_on_list = qr_folio_test(folio, QR_FOLIO_LRU);
	if (was_on_list)
		list_remove_locked(lru, vec, folio);
	qr_spin_unlock(&vec->lock);
	return was_on_list;
}

/* One take of the lock as long as the folios are of one lruvec. A folio without references changes it no more. */
static void remove_dying(struct qr_lru *lru, struct qr_frame *const *folios, uint32_t nr)
{
	struct qr_lruvec *vec = NULL;

	for (uint32_t i = 0; i < nr; i++) {
		struct qr_lruvec *own = qr_lru_vec_of(lru, folios[i]);

		if (own != vec) {
			if (vec)
				qr_spin_unlock(&vec->lock);
			vec = own;
			vec_lock(vec);
		}
		/* Reclaim found it without references and left it where it is, or had it isolated. */
		if (qr_folio_test(folios[i], QR_FOLIO_LRU))
			list_remove_locked(lru, vec, folios[i]);
	}
	qr_spin_unlock(&vec->lock);
}

void qr_lru_remove_dying(struct qr_lru *lru, struct qr_frame *const *folios, uint32_t nr)
{
	uint32_t nr_max = lru->nr_batches ? QR_LRU_REMOVAL_BATCH : 1;
	struct qr_frame *listed[QR_LRU_REMOVAL_BATCH];
	uint32_t nr_listed = 0;

	for (uint32_t i = 0; i < nr; i++) {
		if (!qr_folio_test(folios[i], QR_FOLIO_LRU))
			continue;
		listed[nr_listed++] = folios[i];
		if (nr_listed == nr_max) {
			remove_dying(lru, listed, nr_listed);
			nr_listed = 0;
		}
	}
	if (nr_listed)
		remove_dying(lru, listed, nr_listed);
}

void qr_lru_rescue(struct qr_lru *lru, struct qr_frame *folio)
{
	struct qr_lruvec *vec;

	if (!qr_folio_test(folio, QR_FOLIO_LRU_UNEVICTABLE))
		return;
	vec = folio_vec_lock(lru, folio);
	if (qr_folio_test(folio, QR_FOLIO_LRU_UNEVICTABLE)) {
		list_remove_locked(lru, vec, folio);
		list_add_locked(lru, vec, folio, QR_LRU_ACTIVE, false);
	}
	qr_spin_unlock(&vec->lock);
}

void qr_lru_put_back(struct qr_lru *lru, struct qr_frame *folio, enum qr_lru_list list, bool is_tail)
{
	struct qr_lruvec *vec = qr_lru_vec_of(lru, folio);

	vec_lock(vec);
	if (list == QR_LRU_UNEVICTABLE)
		list_add_unevictable_locked(lru, vec, folio);
	else
		list_add_locked(lru, vec, folio, list, is_tail);
	qr_spin_unlock(&vec->lock);
}

/* Where the list is longest: CPUs that add at equal rates have their oldest folios there. Reads without locks. */
static struct qr_lruvec *longest(struct qr_lru *lru, const struct qr_lru_target *target, enum qr_lru_list list)
{
	struct qr_lruvec *found = NULL;
	uint32_t group, end, first_vec, end_vec, nr_most = 0;

	qr_lru_groups_of(lru, target, &group, &end);
	qr_lru_vecs_of(lru, target, &first_vec, &end_vec);
	for (; group < end; group++) {
		struct qr_lruvec *vecs = qr_lru_set_of(lru, group);

		for (uint32_t i = first_vec; i < end_vec; i++) {
			uint32_t nr = qr_load_relaxed(&vecs[i].nr_pages[list]);

			if (found && nr <= nr_most)
				continue;
			found = &vecs[i];
			nr_most = nr;
		}
	}
	return found;
}

uint32_t qr_lru_isolate(struct qr_lru *lru, enum qr_lru_list list, uint32_t nr, struct qr_frame **folios)
{
	return qr_lru_isolate_from(lru, NULL, list, nr, folios);
}

uint32_t qr_lru_isolate_from(struct qr_lru *lru, const struct qr_lru_target *target, enum qr_lru_list list, uint32_t nr,
			     struct qr_frame **folios)
{
	struct qr_lruvec *vec = longest(lru, target, list);
	struct qr_frame *folio;
	uint32_t nr_isolated = 0;

	/* An empty list costs no take; an addition that is missed here is as good as later. */
	if (!nr || !qr_load_relaxed(&vec->nr_pages[list]))
		return 0;
	vec_lock(vec);
	folio = qr_frame_list_tail(lru->zone, &vec->lists[list]);
	while (folio && nr_isolated < nr) {
		uint32_t younger = folio->prev;

		/* Without references it is being freed; whoever does that waits for the lock to take it off. */
		if (qr_folio_try_get(folio)) {
			list_remove_locked(lru, vec, folio);
			folios[nr_isolated++] = folio;
		}
		folio = younger == QR_PFN_NONE ? NULL : qr_zone_frame(lru->zone, younger);
	}
	qr_spin_unlock(&vec->lock);
	return nr_isolated;
}

static void add_unbatched(struct qr_lru *lru, struct qr_frame *folio)
{
	struct qr_lruvec *vec = set_vec(lru, folio, vec_of_cpu(lru, qr_port_cpu()));

	vec_lock(vec);
	list_add_new_locked(lru, vec, folio);
	qr_spin_unlock(&vec->lock);
}

/* What a flush puts on the lists of one lruvec: linked before the lock is taken, so that under it the chain is put in
 * front. */
struct flush {
	struct qr_lruvec *vec;
	struct qr_frame_list chain; /* for the active list */
	uint32_t nr_pages;
	uint32_t nr_others; /* folios that go to other lists */
	struct qr_frame *others[QR_LRU_BATCH];
};

/* holds: batch. Links folios to each other as long as they are of one lruvec; nobody else finds them before they have
 * QR_FOLIO_LRU. Returns how many of the nr it took. */
static uint32_t flush_prepare(struct qr_lru *lru, uint32_t nr_vec, struct qr_frame *const *folios, uint32_t nr,
			      struct flush *flush)
{
	flush->vec = NULL;
	qr_frame_list_init(&flush->chain);
	flush->nr_pages = 0;
	flush->nr_others = 0;
	for (uint32_t i = 0; i < nr; i++) {
		struct qr_frame *folio = folios[i];
		struct qr_lruvec *vec;

		/* With the batch's pin alone it is as good as free: its mappings went while it waited here. */
		if (qr_load_acquire(&folio->refs) == 1)
			continue;
		vec = set_vec(lru, folio, nr_vec);
		if (flush->vec && flush->vec != vec)
			return i;
		flush->vec = vec;
		if (qr_folio_test(folio, QR_FOLIO_UNEVICTABLE | QR_FOLIO_WORKINGSET)) {
			flush->others[flush->nr_others++] = folio;
			continue;
		}
		QR_BUG_ON(qr_folio_test(folio, QR_LRU_LIST_FLAGS));
		qr_frame_list_add_head(lru->zone, &flush->chain, folio);
		flush->nr_pages += qr_folio_nr_pages(folio);
	}
	return nr;
}

/* holds: batch */
static void flush_one_vec(struct qr_lru *lru, struct flush *flush)
{
	struct qr_lruvec *vec = flush->vec;
	uint32_t *nr_active = &vec->nr_pages[QR_LRU_ACTIVE];

	vec_lock(vec);
	/* holds: batch, lruvec */
	for (uint32_t pfn = flush->chain.head; pfn != QR_PFN_NONE; pfn = qr_zone_frame(lru->zone, pfn)->next)
		qr_folio_set(qr_zone_frame(lru->zone, pfn), qr_lru_list_flags(QR_LRU_ACTIVE));
	qr_frame_list_splice_head(lru->zone, &vec->lists[QR_LRU_ACTIVE], &flush->chain);
	qr_store_relaxed(nr_active, *nr_active + flush->nr_pages);
	for (uint32_t i = 0; i < flush->nr_others; i++)
		list_add_new_locked(lru, vec, flush->others[i]);
	qr_spin_unlock(&vec->lock);
}

/* Moves the batch onto the lists, with a take of the lock for each run of folios of one group: a CPU seldom works for
 * two at a time. The pins pass to the caller, who drops them without locks: folios[0..result).
 * holds: batch */
static uint32_t batch_flush_locked(struct qr_lru *lru, struct qr_lru_batch *batch, struct qr_frame **folios)
{
	uint32_t nr_vec = vec_of_cpu(lru, (uint32_t)(batch - lru->batches));
	uint32_t nr = batch->nr;
	struct flush flush;

	for (uint32_t i = 0; i < nr;) {
		i += flush_prepare(lru, nr_vec, batch->folios + i, nr - i, &flush);
		if (flush.vec)
			flush_one_vec(lru, &flush);
	}
	memcpy(folios, batch->folios, nr * sizeof(*folios));
	batch->nr = 0;
	return nr;
}

static void drop_pins(struct qr_lru *lru, struct qr_frame *const *folios, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		qr_folio_put(lru->zone->vmm, folios[i], 1);
}

/* ---- Lruvecs ---- */

static uint32_t vec_of_cpu(const struct qr_lru *lru, uint32_t cpu)
{
	return QR_MIN(cpu / lru->nr_cpus_per_vec, lru->nr_vecs - 1);
}

/* vec: that of the CPU, which says which of the node's it is. */
static uint32_t vec_of_memory(const struct qr_lru *lru, const struct qr_frame *folio, uint32_t vec)
{
	uint32_t pfn = qr_zone_pfn(lru->zone, folio);

	if (!lru->nr_vecs_per_node)
		return qr_nodes_zone_of(lru->nodes, pfn)->number;
	return qr_nodes_of_pfn(lru->nodes, pfn) * lru->nr_vecs_per_node + vec % lru->nr_vecs_per_node;
}

/* The folio is on no list, and nobody else can put it on one. Its group stays. */
static struct qr_lruvec *set_vec(struct qr_lru *lru, struct qr_frame *folio, uint32_t vec)
{
	uint32_t mask = ((1u << lru->vec_bits) - 1) << QR_FOLIO_LRUVEC_SHIFT;
	uint32_t now = qr_load_relaxed(&folio->flags) & mask;
	uint32_t wanted;

	if (lru->nodes)
		vec = vec_of_memory(lru, folio, vec);
	wanted = vec << QR_FOLIO_LRUVEC_SHIFT;
	if (now & ~wanted)
		qr_folio_clear(folio, now & ~wanted);
	if (wanted & ~now)
		qr_folio_set(folio, wanted & ~now);
	return qr_lru_vec_of(lru, folio);
}

static void vec_lock(struct qr_lruvec *vec)
{
	bool had_to_wait = qr_spin_lock_waited(&vec->lock);

	qr_store_relaxed(&vec->nr_lock_takes, vec->nr_lock_takes + 1);
	if (had_to_wait)
		qr_store_relaxed(&vec->nr_lock_waits, vec->nr_lock_waits + 1);
}

/* Locks the lruvec of a folio that is on a list, which it may leave, and join another one, until the lock is held. */
static struct qr_lruvec *folio_vec_lock(struct qr_lru *lru, const struct qr_frame *folio)
{
	for (;;) {
		struct qr_lruvec *vec = qr_lru_vec_of(lru, folio);

		vec_lock(vec);
		if (vec == qr_lru_vec_of(lru, folio))
			return vec;
		qr_spin_unlock(&vec->lock);
	}
}

static enum qr_lru_list list_of(const struct qr_frame *folio)
{
	uint32_t flags = qr_load_relaxed(&folio->flags) & QR_LRU_LIST_FLAGS;

	if (flags & QR_FOLIO_LRU_UNEVICTABLE)
		return QR_LRU_UNEVICTABLE;
	if (flags & QR_FOLIO_LRU_PROTECTED)
		return QR_LRU_PROTECTED;
	return flags & QR_FOLIO_ACTIVE ? QR_LRU_ACTIVE : QR_LRU_INACTIVE;
}

/* holds: lruvec */
static void list_add_locked(struct qr_lru *lru, struct qr_lruvec *vec, struct qr_frame *folio, enum qr_lru_list list,
			    bool is_tail)
{
	QR_BUG_ON(qr_folio_test(folio, QR_LRU_LIST_FLAGS));
	if (is_tail)
		qr_frame_list_add_tail(lru->zone, &vec->lists[list], folio);
	else
		qr_frame_list_add_head(lru->zone, &vec->lists[list], folio);
	qr_store_relaxed(&vec->nr_pages[list], vec->nr_pages[list] + qr_folio_nr_pages(folio));
	qr_folio_set(folio, qr_lru_list_flags(list));
}

/* holds: lruvec. A folio that was on no list yet. */
static void list_add_new_locked(struct qr_lru *lru, struct qr_lruvec *vec, struct qr_frame *folio)
{
	bool is_protected = qr_folio_test(folio, QR_FOLIO_WORKINGSET);

	if (qr_folio_test(folio, QR_FOLIO_UNEVICTABLE))
		list_add_unevictable_locked(lru, vec, folio);
	else
		list_add_locked(lru, vec, folio, is_protected ? QR_LRU_PROTECTED : QR_LRU_ACTIVE, false);
}

/* holds: lruvec. The caller saw that the folio is locked in memory. If that ended since, whoever ended it may have
 * looked for the folio on the unevictable list in vain: both change the same word, so one of them sees the other. */
static void list_add_unevictable_locked(struct qr_lru *lru, struct qr_lruvec *vec, struct qr_frame *folio)
{
	list_add_locked(lru, vec, folio, QR_LRU_UNEVICTABLE, false);
	if (qr_folio_test(folio, QR_FOLIO_UNEVICTABLE))
		return;
	list_remove_locked(lru, vec, folio);
	list_add_locked(lru, vec, folio, QR_LRU_ACTIVE, false);
}

/* holds: lruvec. The folio keeps the number of its lruvec, for qr_lru_put_back(). */
static void list_remove_locked(struct qr_lru *lru, struct qr_lruvec *vec, struct qr_frame *folio)
{
	enum qr_lru_list list = list_of(folio);

	qr_folio_clear(folio, QR_LRU_LIST_FLAGS);
	qr_frame_list_remove(lru->zone, &vec->lists[list], folio);
	qr_store_relaxed(&vec->nr_pages[list], vec->nr_pages[list] - qr_folio_nr_pages(folio));
}
