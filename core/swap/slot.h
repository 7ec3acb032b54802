/*
 * The slot map: for each slot, how many PTEs name it and where its content is.
 *
 * Slots live in leaves of 256 (one frame). A leaf's free slots are chained through their values; its bookkeeping is
 * in the frame's descriptor: refs = slots in use, index = first free slot, owner_word = leaf number, next and prev =
 * the list of leaves with a free slot. An empty leaf goes back to the page allocator, except one.
 *
 * Locks: map->lock (QR_RANK_SWAP) guards free chains and the list of leaves; refs and meta of a slot, and its value
 * while it is in use, are guarded by the shard lock of the slot (same rank, so never both).
 */
#ifndef QR_CORE_SWAP_SLOT_H
#define QR_CORE_SWAP_SLOT_H

#include "swap/sparse.h"

#define QR_SLOT_SHARDS 64u
#define QR_SLOT_LEAF_SHIFT 8u
#define QR_SLOT_LEAF (1u << QR_SLOT_LEAF_SHIFT)

#define QR_SLOT_LEN_MASK 0x1fffu
#define QR_SLOT_SHADOW_SHIFT 17u

enum qr_tier {
	QR_TIER_NONE, /* free, or allocated and not filled yet */
	QR_TIER_SAME, /* value is the repeated word */
	QR_TIER_POOL, /* value is the pool's handle */
	QR_TIER_FILE, /* value: bits 0-31 cluster, 32-63 offset in it in bytes */
	QR_NR_TIERS
};

struct qr_slot {
	uint64_t value;
	uint32_t refs;
	uint32_t meta; /* bits 0-3 tier, 4-16 stored length in bytes; a page that is stored as it is has 4096;
			* 17-31 shadow (lru/balance.h): what reclaim knew of the page */
};
_Static_assert(sizeof(struct qr_slot) << QR_SLOT_LEAF_SHIFT == QR_PAGE_SIZE, "a leaf is one frame");

struct qr_slot_shard {
	struct qr_spinlock lock;
} QR_ALIGNED(QR_CACHE_LINE);

struct qr_slot_map {
	struct qr_vmm *vmm;           /* (I) */
	struct qr_spinlock lock;      /* QR_RANK_SWAP */
	struct qr_sparse leaves;      /* (lock), lookup free */
	struct qr_frame_list partial; /* (lock) leaves with a free slot */
	uint32_t lowest_missing;      /* (lock) no leaf below it is missing */
	uint32_t nr_leaves_end;       /* (lock) one past the highest leaf ever made */
	uint32_t nr_empty;            /* (lock) leaves without a slot in use */
	uint32_t nr_used;             /* (lock) slots in use */
	uint32_t nr_tier[QR_NR_TIERS]; /* (A) slots by tier */
	struct qr_slot_shard shards[QR_SLOT_SHARDS];
};

void qr_slot_map_init(struct qr_slot_map *map, struct qr_vmm *vmm);
void qr_slot_map_destroy(struct qr_slot_map *map);

/* Takes up to nr free slots; returns how many there were frames for. They have no content and no reference until
 * qr_slot_publish(). Never sleeps. */
uint32_t qr_slots_alloc(struct qr_slot_map *map, uint32_t nr, uint32_t *slots);
/* Gives slots back that have no reference. */
void qr_slots_free(struct qr_slot_map *map, uint32_t nr, const uint32_t *slots);

/* Fills a new slot: one reference. Takes the shard lock. */
void qr_slot_publish(struct qr_slot_map *map, uint32_t slot, enum qr_tier tier, uint64_t value, uint32_t len_bytes);
/* Changes where the content is; the shard lock is held. */
void qr_slot_move(struct qr_slot_map *map, struct qr_slot *entry, enum qr_tier tier, uint64_t value,
		  uint32_t len_bytes);

/* What reclaim knew of the page of a slot that the caller holds a reference to; 0: nothing. Takes the shard lock. */
void qr_slot_set_shadow(struct qr_slot_map *map, uint32_t slot, uint32_t shadow);
uint32_t qr_slot_shadow(struct qr_slot_map *map, uint32_t slot);

/* Locks the shard and returns the entry of a slot that the caller holds a reference to. */
struct qr_slot *qr_slot_lock(struct qr_slot_map *map, uint32_t slot);
void qr_slot_unlock(struct qr_slot_map *map, uint32_t slot);
/* Keeps the leaf of a slot that may be free by now, so that qr_slot_lock() is safe; false if it has gone. */
bool qr_slot_pin(struct qr_slot_map *map, uint32_t slot);
void qr_slot_unpin(struct qr_slot_map *map, uint32_t slot);

/* The entry without a lock, NULL where there is none: for qr_swap_is_valid(). */
struct qr_slot *qr_slot_peek(struct qr_slot_map *map, uint32_t slot);
/* Leaf counts and free chains agree; nobody else uses the map. */
bool qr_slot_map_is_valid(struct qr_slot_map *map);

static inline enum qr_tier qr_slot_tier(const struct qr_slot *entry)
{
	return (enum qr_tier)(entry->meta & 15u);
}

static inline uint32_t qr_slot_len(const struct qr_slot *entry)
{
	return entry->meta >> 4 & QR_SLOT_LEN_MASK;
}

#endif
