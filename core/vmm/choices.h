/*
 * Mechanisms with rivals: which one a manager uses. The first value of each is the default and the best one known; the
 * others are the baselines that it is measured against. All of them are fixed when the manager is created.
 *
 * A zeroed struct qr_choices is the default of everything.
 */
#ifndef QR_CORE_CHOICES_H
#define QR_CORE_CHOICES_H

#include "base/base.h"

/* Additions to the LRU lists: gathered per CPU in batches, or each under the lock (L2). */
enum qr_lru_batch_choice { QR_LRU_BATCHED, QR_LRU_UNBATCHED };

/* What has LRU lists of its own (L1): in each memory group the CPUs that share a cache, or those of a node; those of a
 * node, or of a zone, whatever the group; or the whole manager. */
enum qr_lru_scope_choice { QR_LRU_CLUSTER, QR_LRU_NODE, QR_LRU_GLOBAL, QR_LRU_GROUP, QR_LRU_ZONE };

/* Per-CPU lists of single frames: one that adapts its size (A5), a hot and a cold one with fixed marks (A4), none. */
enum qr_pcp_choice { QR_PCP_AUTO, QR_PCP_HOT_COLD, QR_PCP_NONE };

/* In which order an allocation tries the nodes after its own (A7): the nearest first, or upward by number. */
enum qr_node_order_choice { QR_NODE_DISTANCE, QR_NODE_ROUND_ROBIN };

/* What a fault holds: the lock of its VMA, found by RCU (V4), or a reader-writer lock of the address space (V2). */
enum qr_mmap_lock_choice { QR_MMAP_LOCK_VMA, QR_MMAP_LOCK_RWSEM };

/* The lock of page-table entries: one for each page-table page (T2), or one for the address space (T1). */
enum qr_pt_lock_choice { QR_PT_LOCK_SPLIT, QR_PT_LOCK_ASPACE };

/* Which folio is reclaimed (L5): young and protected ones, balanced by what comes back (lru/balance.h), or the one that
 * was mapped longest ago. */
enum qr_reclaim_choice { QR_RECLAIM_BALANCED, QR_RECLAIM_FIFO };

struct qr_choices {
	uint8_t lru_batch; /* enum qr_lru_batch_choice */
	uint8_t lru_scope; /* enum qr_lru_scope_choice */
	uint8_t pcp; /* enum qr_pcp_choice */
	uint8_t node_order; /* enum qr_node_order_choice */
	uint8_t mmap_lock; /* enum qr_mmap_lock_choice */
	uint8_t pt_lock; /* enum qr_pt_lock_choice */
	uint8_t reclaim; /* enum qr_reclaim_choice */
};

/* One mechanism, for command lines. */
#define QR_MAX_CHOICE_VALUES 6u
struct qr_choice {
	char name[16]; /* "mmap-lock" */
	char help[100];
	char values[QR_MAX_CHOICE_VALUES][16]; /* [value], ends with an empty one; values[0] is the default */
	uint8_t offset; /* of its byte in struct qr_choices */
};

/* All mechanisms; *nr: how many. */
const struct qr_choice *qr_choices_list(uint32_t *nr);
/* Sets the mechanism of that name to the value of that name. QR_ENOENT: no such mechanism; QR_EINVAL: no such value of
 * it; then nothing is changed. */
int qr_choices_parse(struct qr_choices *choices, const char *name, const char *value) QR_WARN_UNUSED;
/* The name of the value that a mechanism is set to. */
const char *qr_choices_value(const struct qr_choices *choices, const struct qr_choice *choice);
/* Every byte names a value. */
bool qr_choices_is_valid(const struct qr_choices *choices);

#endif
