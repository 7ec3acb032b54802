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

static uint32_t batch_flush_locked(struct qr_lru *lru, struct qr_lru_batch *batch, struct qr_frame **folios);
static void drop_pins(struct qr_lru *lru, struct qr_frame *const *folios, uint32_t nr);
static void add_unbatched(struct qr_lru *lru, struct qr_frame *folio);
static struct qr_lruvec *vec_of_cpu(struct qr_lru *lru, uint32_t cpu);
static struct qr_lruvec *vec_of_folio(struct qr_lru *lru, const struct qr_frame *folio);
static void set_vec(struct qr_lru *lru, struct qr_frame *folio, const struct qr_lruvec *vec);
static void vec_lock(struct qr_lruvec *vec);
static struct qr_lruvec *folio_vec_lock(struct qr_lru *lru, const struct qr_frame *folio);
static void list_add_locked(struct qr_lru *lru, struct qr_lruvec *vec, struct qr_frame *folio, enum qr_lru_list list,
			    bool is_tail);
static void list_add_unevictable_locked(struct qr_lru *lru, struct qr_lruvec *vec, struct qr_frame *folio);
static void list_remove_locked(struct qr_lru *lru, struct qr_lruvec *vec, struct qr_frame *folio);

uint32_t qr_lru_nr_vecs(uint32_t nr_cpus_per_vec)
{
	uint32_t nr_cpus = qr_port_nr_cpus();

	return nr_cpus_per_vec ? QR_MIN((nr_cpus - 1) / nr_cpus_per_vec + 1, QR_MAX_LRUVECS) : 1;
}

void qr_lru_init(struct qr_lru *lru, struct qr_zone *zone, struct qr_lruvec *vecs, uint32_t nr_cpus_per_vec,
		 struct qr_lru_batch *batches, uint32_t nr_batches)
{
	lru->zone = zone;
	lru->vecs = vecs;
	lru->nr_vecs = qr_lru_nr_vecs(nr_cpus_per_vec);
	lru->nr_cpus_per_vec = nr_cpus_per_vec ? nr_cpus_per_vec : UINT32_MAX;
	lru->batches = batches;
	lru->nr_batches = nr_batches;
	for (uint32_t i = 0; i < lru->nr_vecs; i++) {
		memset(&vecs[i], 0, sizeof(vecs[i]));
		qr_spin_init(&vecs[i].lock, QR_RANK_LRU);
		for (unsigned list = 0; list < QR_NR_LRU_LISTS; list++)
			qr_frame_list_init(&vecs[i].lists[list]);
	}
	for (uint32_t cpu = 0; cpu < nr_batches; cpu++) {
		qr_spin_init(&batches[cpu].lock, QR_RANK_LRU_CPU);
		batches[cpu].nr = 0;
	}
}

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
		struct qr_lruvec *own = vec_of_folio(lru, folios[i]);

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
	uint32_t nr_max = lru->nr_batches ? QR_LRU_BATCH : 1;
	struct qr_frame *listed[QR_LRU_BATCH];
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
	struct qr_lruvec *vec = vec_of_folio(lru, folio);

	vec_lock(vec);
	if (list == QR_LRU_UNEVICTABLE)
		list_add_unevictable_locked(lru, vec, folio);
	else
		list_add_locked(lru, vec, folio, list, is_tail);
	qr_spin_unlock(&vec->lock);
}

/* Where the list is longest: CPUs that add at equal rates have their oldest folios there. Reads without locks. */
static struct qr_lruvec *longest(struct qr_lru *lru, enum qr_lru_list list)
{
	struct qr_lruvec *found = &lru->vecs[0];
	uint32_t nr_most = qr_load_relaxed(&found->nr_pages[list]);

	for (uint32_t i = 1; i < lru->nr_vecs; i++) {
		uint32_t nr = qr_load_relaxed(&lru->vecs[i].nr_pages[list]);

		if (nr > nr_most) {
			found = &lru->vecs[i];
			nr_most = nr;
		}
	}
	return found;
}

uint32_t qr_lru_isolate(struct qr_lru *lru, enum qr_lru_list list, uint32_t nr, struct qr_frame **folios)
{
	struct qr_lruvec *vec = longest(lru, list);
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
	struct qr_lruvec *vec = vec_of_cpu(lru, qr_port_cpu());

	set_vec(lru, folio, vec);
	vec_lock(vec);
	if (qr_folio_test(folio, QR_FOLIO_UNEVICTABLE))
		list_add_unevictable_locked(lru, vec, folio);
	else
		list_add_locked(lru, vec, folio, QR_LRU_ACTIVE, false);
	qr_spin_unlock(&vec->lock);
}

/* What a flush puts on the active list: linked before the lock is taken, so that under it the chain is put in front. */
struct flush {
	struct qr_frame_list chain;
	uint32_t nr_pages;
	uint32_t nr_locked; /* folios that go to the unevictable list */
	struct qr_frame *locked[QR_LRU_BATCH];
};

/* holds: batch. Links the batch's folios to each other; nobody else finds them before they have QR_FOLIO_LRU. */
static void flush_prepare(struct qr_lru *lru, const struct qr_lruvec *vec, const struct qr_lru_batch *batch,
			  struct flush *flush)
{
	qr_frame_list_init(&flush->chain);
	flush->nr_pages = 0;
	flush->nr_locked = 0;
	for (uint32_t i = 0; i < batch->nr; i++) {
		struct qr_frame *folio = batch->folios[i];

		/* With the batch's pin alone it is as good as free: its mappings went while it waited here. */
		if (qr_load_acquire(&folio->refs) == 1)
			continue;
		set_vec(lru, folio, vec);
		if (qr_folio_test(folio, QR_FOLIO_UNEVICTABLE)) {
			flush->locked[flush->nr_locked++] = folio;
			continue;
		}
		QR_BUG_ON(qr_folio_test(folio, LIST_FLAGS));
		qr_frame_list_add_head(lru->zone, &flush->chain, folio);
		flush->nr_pages += qr_folio_nr_pages(folio);
	}
}

/* Moves the batch onto the lists. The pins pass to the caller, who drops them without locks: folios[0..result).
 * holds: batch */
static uint32_t batch_flush_locked(struct qr_lru *lru, struct qr_lru_batch *batch, struct qr_frame **folios)
{
	struct qr_lruvec *vec = vec_of_cpu(lru, (uint32_t)(batch - lru->batches));
	uint32_t *nr_active = &vec->nr_pages[QR_LRU_ACTIVE];
	uint32_t nr = batch->nr;
	struct flush flush;

	if (!nr)
		return 0;
	flush_prepare(lru, vec, batch, &flush);
	vec_lock(vec);
	/* holds: batch, lruvec */
	for (uint32_t pfn = flush.chain.head; pfn != QR_PFN_NONE; pfn = qr_zone_frame(lru->zone, pfn)->next)
		qr_folio_set(qr_zone_frame(lru->zone, pfn), list_flags[QR_LRU_ACTIVE]);
	qr_frame_list_splice_head(lru->zone, &vec->lists[QR_LRU_ACTIVE], &flush.chain);
	qr_store_relaxed(nr_active, *nr_active + flush.nr_pages);
	for (uint32_t i = 0; i < flush.nr_locked; i++)
		list_add_unevictable_locked(lru, vec, flush.locked[i]);
	qr_spin_unlock(&vec->lock);
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

static struct qr_lruvec *vec_of_cpu(struct qr_lru *lru, uint32_t cpu)
{
	return &lru->vecs[QR_MIN(cpu / lru->nr_cpus_per_vec, lru->nr_vecs - 1)];
}

/* Of a folio that is on a list, or was. */
static struct qr_lruvec *vec_of_folio(struct qr_lru *lru, const struct qr_frame *folio)
{
	uint32_t flags = qr_load_relaxed(&folio->flags);

	return &lru->vecs[(flags & QR_FOLIO_LRUVEC_MASK) >> QR_FOLIO_LRUVEC_SHIFT];
}

/* The folio is on no list, and nobody else can put it on one. */
static void set_vec(struct qr_lru *lru, struct qr_frame *folio, const struct qr_lruvec *vec)
{
	uint32_t wanted = (uint32_t)(vec - lru->vecs) << QR_FOLIO_LRUVEC_SHIFT;
	uint32_t now = qr_load_relaxed(&folio->flags) & QR_FOLIO_LRUVEC_MASK;

	if (now & ~wanted)
		qr_folio_clear(folio, now & ~wanted);
	if (wanted & ~now)
		qr_folio_set(folio, wanted & ~now);
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
		struct qr_lruvec *vec = vec_of_folio(lru, folio);

		vec_lock(vec);
		if (vec == vec_of_folio(lru, folio))
			return vec;
		qr_spin_unlock(&vec->lock);
	}
}

static enum qr_lru_list list_of(const struct qr_frame *folio)
{
	uint32_t flags = qr_load_relaxed(&folio->flags) & LIST_FLAGS;

	if (flags & QR_FOLIO_LRU_UNEVICTABLE)
		return QR_LRU_UNEVICTABLE;
	return flags & QR_FOLIO_ACTIVE ? QR_LRU_ACTIVE : QR_LRU_INACTIVE;
}

/* holds: lruvec */
static void list_add_locked(struct qr_lru *lru, struct qr_lruvec *vec, struct qr_frame *folio, enum qr_lru_list list,
			    bool is_tail)
{
	QR_BUG_ON(qr_folio_test(folio, LIST_FLAGS));
	if (is_tail)
		qr_frame_list_add_tail(lru->zone, &vec->lists[list], folio);
	else
		qr_frame_list_add_head(lru->zone, &vec->lists[list], folio);
	qr_store_relaxed(&vec->nr_pages[list], vec->nr_pages[list] + qr_folio_nr_pages(folio));
	qr_folio_set(folio, list_flags[list]);
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

	qr_folio_clear(folio, LIST_FLAGS);
	qr_frame_list_remove(lru->zone, &vec->lists[list], folio);
	qr_store_relaxed(&vec->nr_pages[list], vec->nr_pages[list] - qr_folio_nr_pages(folio));
}

/* ---- Counts and validity ---- */

uint64_t qr_lru_nr_pages(const struct qr_lru *lru, enum qr_lru_list list)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < lru->nr_vecs; i++)
		sum += qr_load_relaxed(&lru->vecs[i].nr_pages[list]);
	return sum;
}

uint64_t qr_lru_nr_lock_takes(const struct qr_lru *lru)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < lru->nr_vecs; i++)
		sum += qr_load_relaxed(&lru->vecs[i].nr_lock_takes);
	return sum;
}

uint64_t qr_lru_nr_lock_waits(const struct qr_lru *lru)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < lru->nr_vecs; i++)
		sum += qr_load_relaxed(&lru->vecs[i].nr_lock_waits);
	return sum;
}

/* holds: lruvec */
static bool list_is_valid_locked(struct qr_lru *lru, struct qr_lruvec *vec, enum qr_lru_list list)
{
	const struct qr_frame *folio;
	uint64_t nr_pages = 0;
	uint32_t next;

	if (!qr_frame_list_is_valid(lru->zone, &vec->lists[list]))
		return false;
	for (next = vec->lists[list].head; next != QR_PFN_NONE; next = folio->next) {
		folio = qr_zone_frame(lru->zone, next);
		if (qr_frame_kind(folio) != QR_FRAME_FOLIO || vec_of_folio(lru, folio) != vec)
			return false;
		if ((qr_load_relaxed(&folio->flags) & LIST_FLAGS) != list_flags[list])
			return false;
		nr_pages += qr_folio_nr_pages(folio);
	}
	return nr_pages == vec->nr_pages[list];
}

bool qr_lru_is_valid(struct qr_lru *lru)
{
	bool is_valid = true;

	for (uint32_t i = 0; i < lru->nr_vecs; i++) {
		qr_spin_lock(&lru->vecs[i].lock);
		for (unsigned list = 0; list < QR_NR_LRU_LISTS; list++)
			is_valid = is_valid && list_is_valid_locked(lru, &lru->vecs[i], (enum qr_lru_list)list);
		qr_spin_unlock(&lru->vecs[i].lock);
	}
	return is_valid;
}
