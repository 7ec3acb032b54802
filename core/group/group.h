/*
 * Memory groups: parts of a manager's memory with limits, accounts and LRU lists of their own.
 *
 * A group has whole objects (what VMAs map): every page of them is charged to it before it is allocated, and stays
 * charged until its frame is free. Groups are flat, and a mapping stays in the group that it was made in.
 *
 * Charges are counted in stocks of QR_GROUP_STOCK pages per CPU (A6 with N = 1), so that CPUs share a line once per
 * stock. What is in stocks counts as charged: max holds exactly, and a group may be found full while other CPUs have
 * pages in stock, which are then taken from them.
 *
 * Lock legend: (I) immutable  (A) atomic
 */
#ifndef QR_CORE_GROUP_H
#define QR_CORE_GROUP_H

#include "alloc/alloc.h"

struct qr_lru_target;
struct qr_lruvec;
struct qr_vmm;

#define QR_GROUP_NO_LIMIT UINT32_MAX
#define QR_GROUP_STOCK 32u /* pages; a CPU holds less than three of them */

/* In pages. */
struct qr_group_limits {
	/* A charge that would exceed it reclaims from the group first; where that cannot be done it ends as a manager
	 * out of memory does. Large folios and prefetch do without instead. */
	uint32_t max; /* QR_GROUP_NO_LIMIT: none */
	/* Who charges above it reclaims from the group first, and waits where that is not enough. */
	uint32_t high; /* QR_GROUP_NO_LIMIT: none */
	/* Reclaim for the manager as a whole leaves groups at or below it alone, unless nothing else can be freed. */
	uint32_t low; /* 0: none */
};

/* The shares of one CPU; differences may be negative, modulo 2^32 or 2^64. */
struct qr_group_cpu {
	uint32_t nr_stock; /* (A) pages that are charged and in no folio */
	uint32_t nr_swapped; /* (A) */
	qr_aligned_u64 slab_bytes; /* (A) */
} QR_ALIGNED(QR_CACHE_LINE);

struct qr_group {
	struct qr_vmm *vmm; /* (I) */
	uint32_t number; /* (I) place in the table, and of its lists; 0 is the memory in no group */
	uint32_t refs; /* (A) the creator and each object; 0: free for the next one */
	uint32_t nr_cpus; /* (I) */
	struct qr_group_cpu *cpus; /* (I) [nr_cpus] */
	struct qr_lruvec *vecs; /* (I) */
	uint32_t max; /* (A) as in struct qr_group_limits */
	uint32_t high; /* (A) */
	uint32_t low; /* (A) */
	uint32_t is_oom; /* (A) the last resort failed once: keep failing quickly */
	/* Written once per stock. */
	uint32_t nr_charged QR_ALIGNED(QR_CACHE_LINE); /* (A) pages, with all stocks */
	uint32_t nr_peak; /* (A) the most that nr_charged was */
	qr_aligned_u64 nr_max_events; /* (A) charges that found the group full */
	qr_aligned_u64 nr_high_events; /* (A) charges that found it above high */
	qr_aligned_u64 stalled_ns; /* (A) time that charges took over both */
};

/* The groups of a manager. */
struct qr_groups {
	struct qr_mutex lock; /* one qr_group_create() at a time; outermost, rank not checked */
	struct qr_group **table; /* (I) [qr_lru_max_groups()], entries (A): set once */
	uint32_t nr; /* (A) entries [1, nr) are there; 1: there never was a group */
	uint32_t ticket; /* (A) of the next qr_group_pick() */
};

struct qr_group_usage {
	uint64_t nr_pages; /* in folios; charges under way on other CPUs may be missed */
	uint64_t nr_peak; /* the most that was charged, with stocks */
	uint64_t nr_swapped; /* entries of page tables that name a swap slot */
	uint64_t slab_bytes; /* VMAs and objects */
	uint64_t nr_max_events, nr_high_events, stalled_ns;
};

/* table: [qr_lru_max_groups()], zeroed. */
void qr_groups_init(struct qr_groups *groups, struct qr_group **table);
/* Ends all groups' memory; nothing is in any group. */
void qr_groups_destroy(struct qr_vmm *vmm);

/* Makes a group without limits and with one reference. Returns 0, QR_ENOSPC (as many groups as folios can tell apart),
 * QR_ENOMEM. May sleep; no lock held. O(groups). */
int qr_group_create(struct qr_vmm *vmm, struct qr_group **group) QR_WARN_UNUSED;
/* Sets all limits; lowering max reclaims what is above it, as far as that goes. Returns 0, QR_EINVAL (low above max),
 * QR_ENOSYS (the LRU lists are not the group's own, see enum qr_lru_scope_choice), QR_EBUSY (more than max is still in
 * use; the limits hold for what comes). May sleep; no lock held. */
int qr_group_set_limits(struct qr_group *group, const struct qr_group_limits *limits) QR_WARN_UNUSED;
void qr_group_limits(const struct qr_group *group, struct qr_group_limits *limits);
/* O(CPUs). */
void qr_group_usage(const struct qr_group *group, struct qr_group_usage *usage);
/* Lifts the limits and drops the creator's reference. Pages stay charged to the group until they go; the last one makes
 * its number free. */
void qr_group_destroy(struct qr_group *group);

/* References of objects. */
void qr_group_get(struct qr_group *group);
void qr_group_put(struct qr_group *group);

/* A block as from qr_alloc_pages(), charged to a group (NULL: none); NULL when it cannot be charged or there is none.
 * With QR_GFP_WAIT and without QR_GFP_NORETRY it may reclaim from the group and sleep; then the locks that
 * qr_alloc_pages() allows. */
struct qr_frame *qr_group_alloc_pages(struct qr_vmm *vmm, struct qr_group *group, unsigned order, qr_gfp_t gfp);
/* Frees a block that did not become a folio. */
void qr_group_free_pages(struct qr_vmm *vmm, struct qr_group *group, struct qr_frame *frame, unsigned order);
/* Sees to it that nr pages can be charged without waiting: reclaims from the group once if they could not. May
 * sleep. */
void qr_group_make_room(struct qr_group *group, uint32_t nr);
/* Takes back the charge of pages whose frames are being freed. Any context. */
void qr_group_uncharge(struct qr_group *group, uint32_t nr);
/* Adds to the accounts; differences may be negative, modulo 2^32 and 2^64. Any context. */
void qr_group_count_swapped(struct qr_group *group, uint32_t nr);
void qr_group_count_slab(struct qr_group *group, uint64_t bytes);

/* For reclaim on behalf of the whole manager: a group to reclaim from, each in proportion to its pages above its low
 * mark. False if there are no groups, or none is above its mark: then all lists are as good. O(groups). */
bool qr_group_pick(struct qr_vmm *vmm, struct qr_lru_target *target);

#endif
