/*
 * Page replacement policies behind one interface: which page leaves when another one comes.
 *
 * A policy arranges entries, which are indices into an array that the caller provides; nothing is allocated later.
 * Pages are any 64-bit numbers. With every touch reported (an accessed bit, or a trace) a policy sees the hits on
 * resident pages. Sampled, as on a machine without an accessed bit, it sees none of them: what it gives up is only
 * unmapped and waits as idle in a second-chance pool, first in first out (segmented FIFO: Turner and Levy, "Segmented
 * FIFO page replacement", SIGMETRICS 1981); a touch there is a cheap fault that gives the page back to the policy,
 * and the pool's oldest page is the one that leaves.
 *
 * Not locked: the caller serializes all calls on one policy.
 */
#ifndef QR_CORE_LRU_POLICY_H
#define QR_CORE_LRU_POLICY_H

#include "base/base.h"

#define QR_POLICY_NONE UINT32_MAX
/* Indices of entries, and twice as many hash buckets, must fit in 32 bits with room for ghosts. */
#define QR_POLICY_MAX_CAPACITY (1u << 28)
#define QR_POLICY_MAX_LISTS 4u

struct qr_policy;

/* What is known of a page that is not resident when it is touched. */
enum qr_policy_why {
	QR_POLICY_NEW,     /* nothing: never seen, or forgotten */
	QR_POLICY_GHOST,   /* it left, and the policy still has its entry on a list */
	QR_POLICY_RESCUED, /* it was idle: the policy gave it up, but it has not left; it may be a ghost as well */
};

struct qr_policy_ops {
	const char *name;
	const char *text; /* what it is, in a line */
	/* Whether it uses the order of touches, which a machine does not report, and not only that there was one. */
	bool needs_order;
	/* The most ghosts, entries of pages that left, that it keeps; NULL: none. */
	uint32_t (*nr_ghosts)(uint32_t capacity);
	/* Bytes of its own that it needs beside the entries, at struct qr_policy's extra; NULL: none. */
	uint64_t (*extra_bytes)(uint32_t capacity);
	/* Sets up what the policy keeps; all of it is zero, but not what extra points to. NULL: nothing. */
	void (*init)(struct qr_policy *policy);
	/* A resident page was touched. */
	void (*touch)(struct qr_policy *policy, uint32_t entry);
	/* A page that is not resident was touched: makes room if the policy is full, then makes the page resident. Its
	 * entry is on a list if it is a ghost. */
	void (*fault)(struct qr_policy *policy, uint32_t entry, enum qr_policy_why why);
};

struct qr_policy_entry {
	uint64_t page;
	uint32_t next, prev; /* towards the tail and the head of the policy's list; next also chains free entries */
	uint32_t idle_next, idle_prev; /* the same in the pool */
	uint32_t hash_next;
	uint32_t stamp; /* the policy's: a time, a generation */
	uint8_t list; /* the policy's list that it is on, QR_POLICY_MAX_LISTS: none */
	uint8_t refs; /* the policy's: touches, or whether there was one */
	bool is_resident;
	bool is_idle;
};

struct qr_policy_list {
	uint32_t head;
	uint32_t tail;
	uint32_t nr;
};

struct qr_policy {
	const struct qr_policy_ops *ops;
	struct qr_policy_entry *entries; /* [nr_entries] */
	uint32_t *buckets; /* [1 << (64 - hash_shift)] first entry of each hash chain */
	uint32_t nr_entries;
	uint32_t hash_shift;
	uint32_t free; /* first free entry */
	uint32_t left; /* what the policy gave up during this call; QR_POLICY_NONE: nothing */
	uint32_t capacity; /* resident pages that the policy arranges: all but the pool */
	uint32_t nr_resident;
	uint32_t pool_capacity;
	bool is_sampled;
	struct qr_policy_list pool; /* idle pages, oldest at the tail */
	struct qr_policy_list lists[QR_POLICY_MAX_LISTS];
	/* What single policies keep. */
	uint32_t hands[3]; /* entries */
	uint32_t target; /* pages */
	uint32_t clock; /* events; wraps */
	uint32_t clock_min;
	uint32_t counts[3];
	void *extra;
};

struct qr_policy_config {
	uint32_t capacity; /* frames, 1 to QR_POLICY_MAX_CAPACITY */
	uint32_t pool_share; /* 0: every touch is reported; n: sampled, with 1/n of the frames as the pool */
	uint32_t nr_pages; /* that there are at all: no more ghosts than that; 0: not known */
};

struct qr_policy_result {
	bool is_hit;
	bool was_idle; /* a hit that cost a fault */
	bool has_victim; /* then this page has left: */
	uint64_t victim;
};

/* The policy of that index, NULL past the last; the one of that name, NULL if there is none. */
const struct qr_policy_ops *qr_policy_at(uint32_t index);
const struct qr_policy_ops *qr_policy_find(const char *name);

/* Bytes that qr_policy_init() needs, 0 if the configuration is out of range. */
uint64_t qr_policy_bytes(const struct qr_policy_ops *ops, const struct qr_policy_config *config);
/* Starts with all frames free. Memory: qr_policy_bytes() bytes, aligned to 8, any content; the caller frees it when
 * the policy is no longer used. Returns 0 or QR_EINVAL. */
QR_WARN_UNUSED int qr_policy_init(struct qr_policy *policy, const struct qr_policy_ops *ops,
				  const struct qr_policy_config *config, void *memory);
/* A page is touched. Expected O(1), but for the scans of the policies that are known for them. */
void qr_policy_access(struct qr_policy *policy, uint64_t page, struct qr_policy_result *result);

/* True if the page is in a frame, idle or not. */
bool qr_policy_is_resident(const struct qr_policy *policy, uint64_t page);
/* O(n): counts, lists and the hash agree. */
bool qr_policy_is_valid(const struct qr_policy *policy);

#endif
