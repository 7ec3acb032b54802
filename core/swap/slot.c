/*
 * The slot map. See slot.h for the layout and the locks.
 *
 * A free slot's value is the index of the next free slot of its leaf. Fresh slots are handed out in ascending
 * order, so that pages that go out together get neighbouring slots.
 */
#include "swap/slot.h"

#include "vmm/vmm.h"

static struct qr_frame *slot_leaf_with_room(struct qr_slot_map *map);
static struct qr_frame *slot_leaf_create(struct qr_slot_map *map);
static void slot_leaf_drop_use(struct qr_slot_map *map, struct qr_frame *leaf);
static struct qr_frame *slot_leaf_frame(struct qr_slot_map *map, uint32_t slot);
static struct qr_spinlock *slot_shard(struct qr_slot_map *map, uint32_t slot);
static bool slot_leaf_is_valid(struct qr_slot_map *map, struct qr_frame *leaf, uint32_t *nr_used);

void qr_slot_map_init(struct qr_slot_map *map, struct qr_vmm *vmm)
{
	memset(map, 0, sizeof(*map));
	map->vmm = vmm;
	qr_spin_init(&map->lock, QR_RANK_SWAP);
	qr_sparse_init(&map->leaves, vmm);
	qr_frame_list_init(&map->partial);
	for (uint32_t i = 0; i < QR_SLOT_SHARDS; i++)
		qr_spin_init(&map->shards[i].lock, QR_RANK_SWAP);
}

void qr_slot_map_destroy(struct qr_slot_map *map)
{
	qr_sparse_destroy(&map->leaves);
}

uint32_t qr_slots_alloc(struct qr_slot_map *map, uint32_t nr, uint32_t *slots)
{
	uint32_t got = 0;

	qr_spin_lock(&map->lock);
	while (got < nr) {
		struct qr_frame *leaf = slot_leaf_with_room(map);
		struct qr_slot *entries;

		if (!leaf)
			break;
		entries = qr_zone_address(&map->vmm->zone, leaf);
		if (leaf->refs == 0)
			map->nr_empty--;
		while (got < nr && leaf->index < QR_SLOT_LEAF) {
			slots[got++] = ((uint32_t)leaf->owner_word << QR_SLOT_LEAF_SHIFT) + leaf->index;
			leaf->index = (uint32_t)entries[leaf->index].value;
			leaf->refs++;
		}
		if (leaf->index == QR_SLOT_LEAF)
			qr_frame_list_remove(&map->vmm->zone, &map->partial, leaf);
	}
	/* One leaf in stock for the time when there is no frame to be had. */
	if (map->nr_empty == 0)
		(void)slot_leaf_create(map);
	map->nr_used += got;
	qr_spin_unlock(&map->lock);
	return got;
}

void qr_slots_free(struct qr_slot_map *map, uint32_t nr, const uint32_t *slots)
{
	qr_spin_lock(&map->lock);
	for (uint32_t i = 0; i < nr; i++) {
		struct qr_frame *leaf = slot_leaf_frame(map, slots[i]);
		struct qr_slot *entries = qr_zone_address(&map->vmm->zone, leaf);
		uint32_t at = slots[i] & (QR_SLOT_LEAF - 1);

		if (leaf->index == QR_SLOT_LEAF)
			qr_frame_list_add_head(&map->vmm->zone, &map->partial, leaf);
		entries[at].value = leaf->index;
		leaf->index = at;
		map->nr_used--;
		slot_leaf_drop_use(map, leaf);
	}
	qr_spin_unlock(&map->lock);
}

void qr_slot_publish(struct qr_slot_map *map, uint32_t slot, enum qr_tier tier, uint64_t value, uint32_t len_bytes)
{
	struct qr_slot *entry = qr_slot_lock(map, slot);

	QR_ASSERT(entry->refs == 0 && entry->meta == 0);
	entry->refs = 1;
	qr_slot_move(map, entry, tier, value, len_bytes);
	qr_slot_unlock(map, slot);
}

void qr_slot_move(struct qr_slot_map *map, struct qr_slot *entry, enum qr_tier tier, uint64_t value, uint32_t len_bytes)
{
	enum qr_tier old_tier = qr_slot_tier(entry);

	if (old_tier != tier) {
		if (old_tier != QR_TIER_NONE)
			(void)qr_fetch_sub(&map->nr_tier[old_tier], 1);
		if (tier != QR_TIER_NONE)
			(void)qr_fetch_add_relaxed(&map->nr_tier[tier], 1);
	}
	entry->value = value;
	/* A page's shadow goes with it. */
	entry->meta = tier == QR_TIER_NONE ? 0 : entry->meta >> QR_SLOT_SHADOW_SHIFT << QR_SLOT_SHADOW_SHIFT;
	entry->meta |= len_bytes << 4 | (uint32_t)tier;
}

void qr_slot_set_shadow(struct qr_slot_map *map, uint32_t slot, uint32_t shadow)
{
	struct qr_slot *entry = qr_slot_lock(map, slot);

	entry->meta = (entry->meta & ((1u << QR_SLOT_SHADOW_SHIFT) - 1)) | shadow << QR_SLOT_SHADOW_SHIFT;
	qr_slot_unlock(map, slot);
}

uint32_t qr_slot_shadow(struct qr_slot_map *map, uint32_t slot)
{
	uint32_t shadow = qr_slot_lock(map, slot)->meta >> QR_SLOT_SHADOW_SHIFT;

	qr_slot_unlock(map, slot);
	return shadow;
}

struct qr_slot *qr_slot_lock(struct qr_slot_map *map, uint32_t slot)
{
	struct qr_slot *entries = qr_sparse_leaf(&map->leaves, slot >> QR_SLOT_LEAF_SHIFT);

	/* A slot that the map does not know came from a broken page table. */
	QR_BUG_ON(!entries);
	qr_spin_lock(slot_shard(map, slot));
	return &entries[slot & (QR_SLOT_LEAF - 1)];
}

void qr_slot_unlock(struct qr_slot_map *map, uint32_t slot)
{
	qr_spin_unlock(slot_shard(map, slot));
}

bool qr_slot_pin(struct qr_slot_map *map, uint32_t slot)
{
	bool is_there;

	qr_spin_lock(&map->lock);
	is_there = qr_sparse_leaf(&map->leaves, slot >> QR_SLOT_LEAF_SHIFT) != NULL;
	if (is_there) {
		struct qr_frame *leaf = slot_leaf_frame(map, slot);

		if (leaf->refs++ == 0)
			map->nr_empty--;
	}
	qr_spin_unlock(&map->lock);
	return is_there;
}

void qr_slot_unpin(struct qr_slot_map *map, uint32_t slot)
{
	qr_spin_lock(&map->lock);
	slot_leaf_drop_use(map, slot_leaf_frame(map, slot));
	qr_spin_unlock(&map->lock);
}

struct qr_slot *qr_slot_peek(struct qr_slot_map *map, uint32_t slot)
{
	struct qr_slot *entries = qr_sparse_leaf(&map->leaves, slot >> QR_SLOT_LEAF_SHIFT);

	return entries ? &entries[slot & (QR_SLOT_LEAF - 1)] : NULL;
}

bool qr_slot_map_is_valid(struct qr_slot_map *map)
{
	uint32_t nr_used = 0, nr_tiered = 0;

	for (uint32_t i = 0; i < map->nr_leaves_end; i++) {
		void *entries = qr_sparse_leaf(&map->leaves, i);

		if (!entries && i < map->lowest_missing)
			return false;
		if (entries && !slot_leaf_is_valid(map, qr_zone_frame_at(&map->vmm->zone, entries), &nr_used))
			return false;
	}
	for (uint32_t tier = QR_TIER_SAME; tier < QR_NR_TIERS; tier++)
		nr_tiered += map->nr_tier[tier];
	return nr_used == map->nr_used && nr_tiered == nr_used;
}

static bool slot_leaf_is_valid(struct qr_slot_map *map, struct qr_frame *leaf, uint32_t *nr_used)
{
	const struct qr_slot *entries = qr_zone_address(&map->vmm->zone, leaf);
	uint32_t nr_free = 0, nr_in_use = 0;

	for (uint32_t at = leaf->index; at != QR_SLOT_LEAF; at = (uint32_t)entries[at].value) {
		if (at > QR_SLOT_LEAF || nr_free++ == QR_SLOT_LEAF || entries[at].refs || entries[at].meta)
			return false;
	}
	for (uint32_t at = 0; at < QR_SLOT_LEAF; at++) {
		if ((entries[at].refs != 0) != (qr_slot_tier(&entries[at]) != QR_TIER_NONE))
			return false;
		nr_in_use += entries[at].refs != 0;
	}
	*nr_used += nr_in_use;
	return nr_in_use == leaf->refs && nr_in_use + nr_free == QR_SLOT_LEAF;
}

static struct qr_frame *slot_leaf_with_room(struct qr_slot_map *map)
{
	struct qr_frame *leaf = qr_frame_list_head(&map->vmm->zone, &map->partial);

	return leaf ? leaf : slot_leaf_create(map);
}

static struct qr_frame *slot_leaf_create(struct qr_slot_map *map)
{
	uint32_t leaf = map->lowest_missing;
	struct qr_frame *frame;
	struct qr_slot *entries;

	while (leaf < map->nr_leaves_end && qr_sparse_leaf(&map->leaves, leaf))
		leaf++;
	map->lowest_missing = leaf;
	/* The last leaf stays unused: its last slot is QR_SLOT_NONE. */
	if (leaf >= QR_SPARSE_MAX_LEAVES - 1 || qr_sparse_add_leaf(&map->leaves, leaf))
		return NULL;
	map->nr_leaves_end = QR_MAX(map->nr_leaves_end, leaf + 1);
	entries = qr_sparse_leaf(&map->leaves, leaf);
	for (uint32_t i = 0; i < QR_SLOT_LEAF; i++)
		entries[i].value = i + 1;
	frame = qr_zone_frame_at(&map->vmm->zone, entries);
	frame->refs = 0;
	frame->index = 0;
	frame->owner_word = leaf;
	map->nr_empty++;
	/* At the end: those that are in use fill up first. */
	qr_frame_list_add_tail(&map->vmm->zone, &map->partial, frame);
	return frame;
}

/* One use less: a slot was freed or a pin dropped. The second empty leaf goes. */
static void slot_leaf_drop_use(struct qr_slot_map *map, struct qr_frame *leaf)
{
	uint32_t number = (uint32_t)leaf->owner_word;

	QR_BUG_ON(leaf->refs == 0);
	if (--leaf->refs)
		return;
	if (map->nr_empty == 0) {
		map->nr_empty++;
		return;
	}
	qr_frame_list_remove(&map->vmm->zone, &map->partial, leaf);
	leaf->owner_word = 0;
	qr_sparse_free_leaf(&map->leaves, number);
	map->lowest_missing = QR_MIN(map->lowest_missing, number);
}

static struct qr_frame *slot_leaf_frame(struct qr_slot_map *map, uint32_t slot)
{
	return qr_zone_frame_at(&map->vmm->zone, qr_sparse_leaf(&map->leaves, slot >> QR_SLOT_LEAF_SHIFT));
}

static struct qr_spinlock *slot_shard(struct qr_slot_map *map, uint32_t slot)
{
	return &map->shards[slot & (QR_SLOT_SHARDS - 1)].lock;
}
