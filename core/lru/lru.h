/*
 * LRU lists of folios, in one lruvec or several (L1): each serves the CPUs of one node, or of one cluster that shares a
 * cache, and a folio stays with the lruvec of the CPU that added it. With one for all it is the global list.
 *
 * A process has no accessed bit, so recency is sampled (L-rows of the design): new folios enter the active list
 * at its head; the scanner takes the oldest, unmaps them (their content stays in their frames) and puts them on
 * the inactive list as idle; a touch faults, maps the folio again and marks it referenced; an idle folio that
 * reaches the inactive tail untouched is evicted. Ports with an accessed bit may skip the unmapping.
 *
 * Additions go through per-CPU batches of 14 (L2), and folios that are freed together leave their lists together, so
 * that the lruvec lock is taken once per batch. Without batches (the baseline) it is taken for each folio.
 */
#ifndef QR_CORE_LRU_H
#define QR_CORE_LRU_H

#include "page/frame.h"

struct qr_vmm;

#define QR_LRU_BATCH 14u

/* Flag of a folio (L): is on the unevictable list. With QR_FOLIO_LRU and QR_FOLIO_ACTIVE it says which list a folio
 * is on; QR_FOLIO_UNEVICTABLE alone cannot, since it changes while the folio is on another. */
#define QR_FOLIO_LRU_UNEVICTABLE 0x80000000u

enum qr_lru_list { QR_LRU_INACTIVE, QR_LRU_ACTIVE, QR_LRU_UNEVICTABLE, QR_NR_LRU_LISTS };

struct qr_lru_batch {
	struct qr_spinlock lock; /* QR_RANK_LRU_CPU */
	uint32_t nr;
	struct qr_frame *folios[QR_LRU_BATCH]; /* (lock) each with a pin */
} QR_ALIGNED(QR_CACHE_LINE);

/* All that changes under the lock is in one line: a take costs the lock's, this one and those of the folios. */
struct qr_lruvec {
	/* On a line of its own: who waits reads it, and would take the lists away from who holds it. */
	struct qr_spinlock lock; /* QR_RANK_LRU */
	struct qr_frame_list lists[QR_NR_LRU_LISTS] QR_ALIGNED(QR_CACHE_LINE); /* (lock) [list] */
	uint32_t nr_pages[QR_NR_LRU_LISTS]; /* (A) written under lock: pages on each list */
	qr_aligned_u64 nr_lock_takes; /* (A) written under lock: takes of it */
	qr_aligned_u64 nr_lock_waits; /* (A) written under lock: of them, those that had to wait */
} QR_ALIGNED(QR_CACHE_LINE);
_Static_assert(sizeof(struct qr_lruvec) == 2 * QR_CACHE_LINE, "the lists and their counts fit in a line");

#define QR_MAX_LRUVECS 64u /* as many as the bits in a folio's flags name */

struct qr_lru {
	struct qr_zone *zone;         /* (I) */
	struct qr_lruvec *vecs;       /* (I) [nr_vecs] */
	uint32_t nr_vecs;             /* (I) */
	uint32_t nr_cpus_per_vec;     /* (I) CPU slot c adds to lruvec c / nr_cpus_per_vec */
	struct qr_lru_batch *batches; /* (I) [cpu] */
	uint32_t nr_batches;          /* (I) 0: every change takes the lock (QR_LRU_UNBATCHED) */
};

/* How many lruvecs that makes, for so many CPUs to one: at most QR_MAX_LRUVECS; 0: one for all. */
uint32_t qr_lru_nr_vecs(uint32_t nr_cpus_per_vec);
/* vecs: [qr_lru_nr_vecs(nr_cpus_per_vec)]. */
void qr_lru_init(struct qr_lru *lru, struct qr_zone *zone, struct qr_lruvec *vecs, uint32_t nr_cpus_per_vec,
		 struct qr_lru_batch *batches, uint32_t nr_batches);

/* Puts a folio at the head of the active list, or of the unevictable one, through the caller's batch, which keeps a
 * pin until it is flushed. The folio is on no list and the caller has a reference. A flush calls qr_folio_put(), which
 * frees the folios whose other references went meanwhile: locks held by the caller must allow that. */
void qr_lru_add(struct qr_lru *lru, struct qr_frame *folio);
/* Takes folios that are being freed (their last reference is gone) off their lists, those that are on one, with a take
 * of the lock for QR_LRU_BATCH of them, if they are of one lruvec. */
void qr_lru_remove_dying(struct qr_lru *lru, struct qr_frame *const *folios, uint32_t nr);
/* Puts a folio that is on the unevictable list and is locked in memory no more on the active one. */
void qr_lru_rescue(struct qr_lru *lru, struct qr_frame *folio);
/* Empties all batches onto the lists. */
void qr_lru_drain(struct qr_lru *lru);
/* Takes the folio off its list; false if it is on none (then somebody else isolated it, or it is in a batch). */
bool qr_lru_remove(struct qr_lru *lru, struct qr_frame *folio);
/* Puts an isolated folio back: at the head (young) or the tail (next to go) of a list. One for the unevictable list
 * that is locked in memory no more (QR_FOLIO_UNEVICTABLE) goes to the active one. */
void qr_lru_put_back(struct qr_lru *lru, struct qr_frame *folio, enum qr_lru_list list, bool is_tail);
/* Takes up to nr folios, oldest first, off the list of the lruvec in which it is longest, each with a pin (refs + 1);
 * returns how many. Folios that are being freed are skipped. */
uint32_t qr_lru_isolate(struct qr_lru *lru, enum qr_lru_list list, uint32_t nr, struct qr_frame **folios);
/* Pages on the lists of that kind; takes of all locks, and those of them that had to wait. */
uint64_t qr_lru_nr_pages(const struct qr_lru *lru, enum qr_lru_list list);
uint64_t qr_lru_nr_lock_takes(const struct qr_lru *lru);
uint64_t qr_lru_nr_lock_waits(const struct qr_lru *lru);
bool qr_lru_is_valid(struct qr_lru *lru);

#endif
