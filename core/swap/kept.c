/*
 * Kept slots: a page that was read back from the file and is put out again unchanged need not be written again.
 *
 * There is no dirty bit for a page that moves (docs/adr/0003). So the slot outlives the page's return, known by a
 * digest of the content; a page that is put out is digested again, and if a kept slot has that digest it is the page's.
 * Nothing has to be said of pages that change or go: a slot that nobody asks for is displaced by the next ones.
 *
 * Only pages that are stored as they are: of the others the pool is to have a copy while they are warm, and the file
 * is written when they are cold.
 *
 * The table is a hash table of buckets of four entries, a cache line each, on frames that are made when they are first
 * needed; as many entries as there were frames online when the first page was kept.
 * Locks: kept->lock guards all of it; no other is taken under it but the allocator's.
 */
#include "swap/swap_priv.h"

#include "vmm/vmm.h"

#define BUCKET_ENTRIES 4u
#define LEAF_BUCKETS ((uint32_t)(QR_PAGE_SIZE / sizeof(struct bucket)))

/* 96 bits of a digest, and the slot; QR_SLOT_NONE - slot is stored, so that zeroed memory is empty. */
struct entry {
	uint64_t word;
	uint32_t half;
	uint32_t slot_inverse;
};

struct bucket {
	struct entry entries[BUCKET_ENTRIES];
};
_Static_assert(sizeof(struct bucket) == 64, "a bucket is a cache line");

static struct bucket *bucket_at(struct qr_kept *kept, uint32_t index, bool may_add);
static uint32_t kept_swap_in(struct qr_kept *kept, const struct qr_digest *digest, uint32_t slot);
static uint32_t kept_pop(struct qr_kept *kept);

void qr_kept_init(struct qr_kept *kept, struct qr_vmm *vmm)
{
	memset(kept, 0, sizeof(*kept));
	qr_sparse_init(&kept->leaves, vmm);
	qr_spin_init(&kept->lock, QR_RANK_ZPOOL);
}

void qr_kept_destroy(struct qr_kept *kept)
{
	qr_sparse_destroy(&kept->leaves);
}

bool qr_swap_digest(struct qr_swap *swap, uint32_t slot, const void *page, struct qr_digest *digest)
{
	struct qr_slot *entry = qr_slot_lock(&swap->slots, slot);
	bool is_raw = qr_slot_tier(entry) == QR_TIER_FILE && qr_slot_len(entry) == QR_PAGE_SIZE;

	qr_slot_unlock(&swap->slots, slot);
	return is_raw && qr_port_digest(swap->vmm->port, page, digest);
}

void qr_swap_keep(struct qr_swap *swap, uint32_t slot, const struct qr_digest *digest)
{
	struct qr_slot *entry = qr_slot_lock(&swap->slots, slot);
	bool is_last = entry->refs == 1;

	qr_slot_unlock(&swap->slots, slot);
	/* Nobody can find a slot whose only reference is the caller's. */
	if (is_last)
		slot = kept_swap_in(&swap->kept, digest, slot);
	if (slot != QR_SLOT_NONE)
		qr_swap_put(swap, slot);
}

bool qr_kept_take(struct qr_swap *swap, const void *page, uint32_t *slot)
{
	struct qr_kept *kept = &swap->kept;
	struct qr_digest digest;
	struct bucket *bucket;

	if (!qr_load_relaxed(&kept->nr) || !qr_port_digest(swap->vmm->port, page, &digest))
		return false;
	*slot = QR_SLOT_NONE;
	qr_spin_lock(&kept->lock);
	bucket = bucket_at(kept, (uint32_t)(digest.words[1] >> 32) & kept->mask, false);
	for (uint32_t i = 0; bucket && i < BUCKET_ENTRIES; i++) {
		struct entry *entry = &bucket->entries[i];

		if (!entry->slot_inverse || entry->word != digest.words[0] || entry->half != (uint32_t)digest.words[1])
			continue;
		*slot = QR_SLOT_NONE - entry->slot_inverse;
		*entry = (struct entry){0};
		qr_store_relaxed(&kept->nr, kept->nr - 1);
		break;
	}
	qr_spin_unlock(&kept->lock);
	return *slot != QR_SLOT_NONE;
}

bool qr_kept_drop(struct qr_swap *swap)
{
	bool has_dropped = false;
	uint32_t slot;

	while ((slot = kept_pop(&swap->kept)) != QR_SLOT_NONE) {
		qr_swap_put(swap, slot);
		has_dropped = true;
	}
	return has_dropped;
}

/* The bucket of that index; NULL if its frame is missing and cannot be had, or is not to be added. Lock held. */
static struct bucket *bucket_at(struct qr_kept *kept, uint32_t index, bool may_add)
{
	uint32_t leaf = index / LEAF_BUCKETS;
	struct bucket *buckets = qr_sparse_leaf(&kept->leaves, leaf);

	if (!buckets && may_add && !qr_sparse_add_leaf(&kept->leaves, leaf))
		buckets = qr_sparse_leaf(&kept->leaves, leaf);
	return buckets ? &buckets[index % LEAF_BUCKETS] : NULL;
}

/* Puts a slot in; returns one to let go of: that of an older entry, the new one without memory, or QR_SLOT_NONE. */
static uint32_t kept_swap_in(struct qr_kept *kept, const struct qr_digest *digest, uint32_t slot)
{
	struct entry new = {
		.word = digest->words[0],
		.half = (uint32_t)digest->words[1],
		.slot_inverse = QR_SLOT_NONE - slot,
	};
	uint32_t online = qr_vmm_nr_online(kept->leaves.vmm), at = 0;
	struct bucket *bucket;

	qr_spin_lock(&kept->lock);
	while (!kept->nr && (kept->mask + 1) * BUCKET_ENTRIES < online)
		kept->mask = 2 * kept->mask + 1;
	bucket = bucket_at(kept, (uint32_t)(digest->words[1] >> 32) & kept->mask, true);
	if (bucket) {
		while (at < BUCKET_ENTRIES && bucket->entries[at].slot_inverse)
			at++;
		if (at == BUCKET_ENTRIES)
			at = kept->turn++ % BUCKET_ENTRIES;
		else
			qr_store_relaxed(&kept->nr, kept->nr + 1);
		slot = QR_SLOT_NONE - bucket->entries[at].slot_inverse;
		bucket->entries[at] = new;
	}
	qr_spin_unlock(&kept->lock);
	return slot;
}

/* Takes any slot out; QR_SLOT_NONE: there is none. Goes on where the last call found one. */
static uint32_t kept_pop(struct qr_kept *kept)
{
	uint32_t slot = QR_SLOT_NONE;

	qr_spin_lock(&kept->lock);
	while (kept->nr && slot == QR_SLOT_NONE) {
		struct bucket *bucket = bucket_at(kept, kept->cursor & kept->mask, false);

		for (uint32_t i = 0; bucket && i < BUCKET_ENTRIES && slot == QR_SLOT_NONE; i++) {
			struct entry *entry = &bucket->entries[i];

			if (!entry->slot_inverse)
				continue;
			slot = QR_SLOT_NONE - entry->slot_inverse;
			*entry = (struct entry){0};
			qr_store_relaxed(&kept->nr, kept->nr - 1);
		}
		kept->cursor += slot == QR_SLOT_NONE;
	}
	qr_spin_unlock(&kept->lock);
	return slot;
}

bool qr_kept_is_valid(struct qr_swap *swap)
{
	struct qr_kept *kept = &swap->kept;
	uint32_t nr = 0;

	for (uint32_t i = 0; i <= kept->mask; i++) {
		struct bucket *bucket = bucket_at(kept, i, false);

		for (uint32_t j = 0; bucket && j < BUCKET_ENTRIES; j++) {
			uint32_t slot = QR_SLOT_NONE - bucket->entries[j].slot_inverse;
			struct qr_slot *entry = slot == QR_SLOT_NONE ? NULL : qr_slot_peek(&swap->slots, slot);

			if (slot == QR_SLOT_NONE)
				continue;
			if (!entry || entry->refs != 1 || qr_slot_tier(entry) != QR_TIER_FILE)
				return false;
			nr++;
		}
	}
	return nr == kept->nr;
}
