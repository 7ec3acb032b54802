/*
 * LRU lists of folios, in one lruvec or several (L1): each serves the CPUs of one node, or of one cluster that shares a
 * cache, and a folio stays with the lruvec of the CPU that added it. With one for all it is the global list. Memory
 * groups may have lruvecs of their own, as many as the memory that is in no group (core/group).
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
struct qr_nodes;

#define QR_LRU_BATCH 14u
/* Folios that leave their lists under one take: more than are added, since those who free many at once wait for none
 * of them, and a take costs more than the folios' lines. */
#define QR_LRU_REMOVAL_BATCH 32u

/* Flag of a folio (L): is on the unevictable list. With QR_FOLIO_LRU and QR_FOLIO_ACTIVE it says which list a folio
 * is on; QR_FOLIO_UNEVICTABLE alone cannot, since it changes while the folio is on another. */
#define QR_FOLIO_LRU_UNEVICTABLE 0x80000000u
/* Flag of a folio (L): is on the protected list; the same way. */
#define QR_FOLIO_LRU_PROTECTED 0x40000000u

/* Active: young, was touched once for all that is known. Protected: was seen to come back (balance.h). */
enum qr_lru_list { QR_LRU_INACTIVE, QR_LRU_ACTIVE, QR_LRU_PROTECTED, QR_LRU_UNEVICTABLE, QR_NR_LRU_LISTS };

struct qr_lru_batch {
	struct qr_spinlock lock; /* QR_RANK_LRU_CPU */
	uint32_t nr;
	struct qr_frame *folios[QR_LRU_BATCH]; /* (lock) each with a pin */
} QR_ALIGNED(QR_CACHE_LINE);

/* All that changes with the lists is in one line: a take costs the lock's, this one and those of the folios. */
struct qr_lruvec {
	/* On a line of its own: who waits reads it, and would take the lists away from who holds it. */
	struct qr_spinlock lock; /* QR_RANK_LRU */
	qr_aligned_u64 nr_lock_takes; /* (A) written under lock: takes of it */
	qr_aligned_u64 nr_lock_waits; /* (A) written under lock: of them, those that had to wait */
	struct qr_frame_list lists[QR_NR_LRU_LISTS] QR_ALIGNED(QR_CACHE_LINE); /* (lock) [list] */
	uint32_t nr_pages[QR_NR_LRU_LISTS]; /* (A) written under lock: pages on each list */
} QR_ALIGNED(QR_CACHE_LINE);
_Static_assert(sizeof(struct qr_lruvec) == 2 * QR_CACHE_LINE, "the lists and their counts fit in a line");

#define QR_MAX_LRUVECS 64u /* of each group */

/* The bits in a folio's flags name its lruvec: the low vec_bits the place in its set, the others the group. */
struct qr_lru {
	struct qr_zone *zone;         /* (I) */
	struct qr_lruvec *vecs;       /* (I) [nr_vecs] of the memory in no group: group 0 */
	uint32_t nr_vecs;             /* (I) */
	uint32_t vec_bits;            /* (I) */
	uint32_t nr_cpus_per_vec;     /* (I) CPU slot c adds to lruvec c / nr_cpus_per_vec of the folio's group */
	struct qr_lru_batch *batches; /* (I) [cpu] */
	uint32_t nr_batches;          /* (I) 0: every change takes the lock (QR_LRU_UNBATCHED) */
	uint32_t nr_groups;           /* (A) groups that have a set, counting 0: sets[0, nr_groups) are there */
	const struct qr_nodes
		*nodes; /* (I) a folio is with the lruvecs of its own memory; NULL: of the CPU that added it */
	uint32_t nr_vecs_per_node;    /* (I) with nodes: those of each, for its CPUs; 0: one for each zone */
	struct qr_lruvec **sets;      /* (I), its entries (A): [group] lruvecs, [nr_vecs] each; NULL: no groups */
};

/* Whose lists to look at. Where groups have none of their own it is those of all. */
#define QR_LRU_ALL_GROUPS UINT32_MAX
struct qr_lru_target {
	uint32_t group; /* its number, 0: the memory in no group; or QR_LRU_ALL_GROUPS */
	uint32_t node;  /* its number + 1; 0: all nodes. Without lists for each node it is all of them */
};

/* How many lruvecs that makes, for so many CPUs to one: at most QR_MAX_LRUVECS; 0: one for all. */
uint32_t qr_lru_nr_vecs(uint32_t nr_cpus_per_vec);
/* vecs: [qr_lru_nr_vecs(nr_cpus_per_vec)]. */
void qr_lru_init(struct qr_lru *lru, struct qr_zone *zone, struct qr_lruvec *vecs, uint32_t nr_cpus_per_vec,
		 struct qr_lru_batch *batches, uint32_t nr_batches);

/* Lists by where a folio's memory is: for each node as many lruvecs as said, among which its CPUs share, or (0) one for
 * each zone. vecs of qr_lru_init() has room for all; before groups and the first folio. */
void qr_lru_init_nodes(struct qr_lru *lru, const struct qr_nodes *nodes, uint32_t nr_vecs_per_node);

/* Lets groups have lists of their own. sets: [qr_lru_max_groups()], zeroed. Before the first folio. */
void qr_lru_init_groups(struct qr_lru *lru, struct qr_lruvec **sets);
/* How many groups a folio's flags can tell apart, counting 0. */
uint32_t qr_lru_max_groups(const struct qr_lru *lru);
/* Gives the next group, number nr_groups, its lists: vecs [nr_vecs], which stay for good. Adders take turns. */
void qr_lru_add_group(struct qr_lru *lru, struct qr_lruvec *vecs);
/* Puts a folio that nobody else can find yet in a group, whose lists it will be on. Without lists per group it does
 * nothing. */
void qr_lru_set_group(const struct qr_lru *lru, struct qr_frame *folio, uint32_t group);

/* Puts a folio at the head of the active list, of the protected one if it is of the working set (QR_FOLIO_WORKINGSET),
 * or of the unevictable one, through the caller's batch, which keeps a
 * pin until it is flushed. The folio is on no list and the caller has a reference. A flush calls qr_folio_put(), which
 * frees the folios whose other references went meanwhile: locks held by the caller must allow that. */
void qr_lru_add(struct qr_lru *lru, struct qr_frame *folio);
/* Takes folios that are being freed (their last reference is gone) off their lists, those that are on one, with a take
 * of the lock for QR_LRU_REMOVAL_BATCH of them, if they are of one lruvec. */
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
/* The same among the target's lruvecs; NULL: all. */
uint32_t qr_lru_isolate_from(struct qr_lru *lru, const struct qr_lru_target *target, enum qr_lru_list list, uint32_t nr,
			     struct qr_frame **folios);
/* Pages on the lists of that kind, of all or of a target (NULL: all); takes of all locks, and those of them that had to
 * wait. O(lruvecs looked at). */
uint64_t qr_lru_nr_pages(const struct qr_lru *lru, enum qr_lru_list list);
uint64_t qr_lru_nr_pages_of(const struct qr_lru *lru, const struct qr_lru_target *target, enum qr_lru_list list);
uint64_t qr_lru_nr_lock_takes(const struct qr_lru *lru);
uint64_t qr_lru_nr_lock_waits(const struct qr_lru *lru);
bool qr_lru_is_valid(struct qr_lru *lru);

#endif
