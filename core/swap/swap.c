/*
 * Swap: creation, storing, references. See swap.h for the tiers.
 *
 * Locks, outermost first: reader, workspace (not ranked), log->lock, then either a slot's shard lock or the slot
 * map's lock, then either the pool's or the clusters' lock.
 */
#include "swap/swap_priv.h"

#include "vmm/vmm.h"

#define DEFAULT_CLUSTER_BYTES (256u << 10)
#define SMALL_CLUSTER_BYTES (64u << 10)
#define MAX_CLUSTER_BYTES (1u << 20)
#define SMALL_BUDGET_FRAMES (64u << (20 - QR_PAGE_SHIFT))
/* How much goes to the file at a time when the pool is full: its lock is taken once for that. */
#define MOVE_FRAMES 16u
/* Stores that do not try to make room in the pool after one that could not. */
#define SKIPS_WHEN_FULL 64u

static int swap_init(struct qr_swap *swap, const struct qr_swap_config *config);
static int swap_store_page(struct qr_swap *swap, const void *page, uint32_t *slot);
static int swap_store_compressed(struct qr_swap *swap, uint32_t slot, const void *data, uint32_t len_bytes);
static int swap_append(struct qr_swap *swap, uint32_t slot, const void *data, uint32_t len_bytes);
static int swap_store_raw(struct qr_swap *swap, uint32_t slot, const void *page);
static bool swap_has_file(struct qr_swap *swap);
static bool swap_undo_useless(struct qr_swap *swap, const uint32_t *slots, uint32_t nr);
static void swap_make_pool_room(struct qr_swap *swap);
static void swap_free_content(struct qr_swap *swap, struct qr_slot *entry);
static bool swap_sum_up(struct qr_swap *swap);

int qr_swap_create(struct qr_vmm *vmm, const struct qr_swap_config *config, struct qr_swap **out)
{
	struct qr_frame *frames;
	struct qr_swap *swap;
	uint32_t order;
	int err;

	if (config->codec > QR_CODEC_ZSTD || config->pool_max_percent > 100)
		return QR_EINVAL;
	if (config->cluster_bytes &&
	    (!qr_is_power_of_2(config->cluster_bytes) || config->cluster_bytes < SMALL_CLUSTER_BYTES ||
	     config->cluster_bytes > MAX_CLUSTER_BYTES))
		return QR_EINVAL;
	swap = qr_swap_block_alloc(vmm, sizeof(*swap), &frames, &order);
	if (!swap)
		return QR_ENOMEM;
	memset(swap, 0, sizeof(*swap));
	swap->vmm = vmm;
	swap->frames = frames;
	swap->order = order;
	err = swap_init(swap, config);
	if (err) {
		qr_swap_destroy(swap);
		return err;
	}
	*out = swap;
	return 0;
}

void qr_swap_destroy(struct qr_swap *swap)
{
	struct qr_slot_map *slots = &swap->slots;

	/* Frames of pages that were kept as they are have no list: their slots name them. */
	for (uint32_t slot = 0; slot < slots->nr_leaves_end << QR_SLOT_LEAF_SHIFT; slot++) {
		struct qr_slot *entry = qr_slot_peek(slots, slot);

		if (entry && qr_slot_tier(entry) == QR_TIER_POOL && qr_slot_len(entry) == QR_PAGE_SIZE)
			(void)qr_zpool_free(&swap->pool, entry->value, (uint32_t)QR_PAGE_SIZE);
	}
	qr_log_destroy(&swap->log);
	qr_kept_destroy(&swap->kept);
	qr_zpool_destroy(&swap->pool);
	qr_slot_map_destroy(slots);
	qr_swap_scratch_destroy(swap);
	qr_free_pages(swap->vmm, swap->frames, swap->order);
}

int qr_swap_store(struct qr_swap *swap, void *const *pages, uint32_t nr, uint32_t *slots, uint32_t *nr_stored)
{
	uint32_t nr_slots = qr_slots_alloc(&swap->slots, nr, slots), nr_done = 0;
	int err = 0;

	while (nr_done < nr_slots) {
		err = swap_store_page(swap, pages[nr_done], &slots[nr_done]);
		if (err)
			break;
		nr_done++;
	}
	if (nr_done < nr_slots)
		qr_slots_free(&swap->slots, nr_slots - nr_done, &slots[nr_done]);
	else if (nr_slots < nr)
		err = QR_ENOMEM;
	if (nr_done && !swap_has_file(swap) && swap_undo_useless(swap, slots, nr_done)) {
		nr_done = 0;
		err = QR_ENOSPC;
	}
	qr_stat_add(&swap->vmm->stats, QR_STAT_swapout_pages, nr_done);
	*nr_stored = nr_done;
	return err;
}

void qr_swap_get(struct qr_swap *swap, uint32_t slot)
{
	struct qr_slot *entry = qr_slot_lock(&swap->slots, slot);

	QR_BUG_ON(entry->refs == 0 || entry->refs == UINT32_MAX);
	entry->refs++;
	qr_slot_unlock(&swap->slots, slot);
}

void qr_swap_put(struct qr_swap *swap, uint32_t slot)
{
	struct qr_slot *entry = qr_slot_lock(&swap->slots, slot);
	bool is_last;

	QR_BUG_ON(entry->refs == 0);
	is_last = --entry->refs == 0;
	if (is_last)
		swap_free_content(swap, entry);
	qr_slot_unlock(&swap->slots, slot);
	if (is_last)
		qr_slots_free(&swap->slots, 1, &slot);
}

void qr_swap_set_shadow(struct qr_swap *swap, const uint32_t *slots, uint32_t nr, uint32_t shadow)
{
	for (uint32_t i = 0; i < nr; i++)
		qr_slot_set_shadow(&swap->slots, slots[i], shadow);
}

uint32_t qr_swap_shadow(struct qr_swap *swap, uint32_t slot)
{
	return qr_slot_shadow(&swap->slots, slot);
}

bool qr_swap_is_fast(struct qr_swap *swap, uint32_t slot)
{
	struct qr_slot *entry = qr_slot_lock(&swap->slots, slot);
	bool is_fast =
		qr_slot_tier(entry) != QR_TIER_FILE || qr_cluster_is_buffered(&swap->log, (uint32_t)entry->value);

	qr_slot_unlock(&swap->slots, slot);
	return is_fast;
}

uint32_t qr_swap_shrink_pool(struct qr_swap *swap, uint32_t max_frames)
{
	uint32_t nr_freed = 0;

	while (swap_has_file(swap)) {
		uint32_t nr_frames = qr_load_relaxed(&swap->pool.nr_frames), nr;

		if (nr_frames <= max_frames)
			break;
		/* In portions, so that others get at the log in between. */
		nr = qr_log_take_from_pool(&swap->log, QR_MIN(nr_frames - max_frames, MOVE_FRAMES));
		if (nr == 0)
			break;
		nr_freed += nr;
	}
	return nr_freed;
}

int qr_swap_after_fork_child(struct qr_swap *swap)
{
	qr_swap_scratch_reset(swap);
	qr_log_after_fork_child(&swap->log);
	return 0;
}

int qr_swap_freeze(struct qr_swap *swap)
{
	return qr_log_freeze(&swap->log);
}

void qr_swap_thaw(struct qr_swap *swap, int token)
{
	qr_log_thaw(&swap->log, token);
}

void qr_swap_usage(struct qr_swap *swap, struct qr_swap_usage *usage)
{
	usage->nr_same_filled = qr_load_relaxed(&swap->slots.nr_tier[QR_TIER_SAME]);
	usage->nr_pool = qr_load_relaxed(&swap->slots.nr_tier[QR_TIER_POOL]);
	usage->nr_kept = qr_load_relaxed(&swap->kept.nr);
	usage->nr_file = qr_load_relaxed(&swap->slots.nr_tier[QR_TIER_FILE]);
	usage->nr_file -= QR_MIN(usage->nr_file, usage->nr_kept);
	usage->nr_slots = usage->nr_same_filled + usage->nr_pool + usage->nr_file;
	qr_spin_lock(&swap->pool.lock);
	usage->pool_frames = swap->pool.nr_frames;
	usage->pool_bytes = swap->pool.nr_bytes;
	qr_spin_unlock(&swap->pool.lock);
	qr_spin_lock(&swap->log.cluster_lock);
	usage->file_bytes = swap->log.live_bytes;
	usage->file_size_bytes = (uint64_t)swap->log.end_position * swap->log.cluster_bytes;
	qr_spin_unlock(&swap->log.cluster_lock);
}

bool qr_swap_is_valid(struct qr_swap *swap)
{
	bool is_valid = qr_slot_map_is_valid(&swap->slots) && qr_zpool_is_valid(&swap->pool);

	if (!is_valid)
		return false;
	qr_mutex_lock(&swap->log.lock);
	qr_spin_lock(&swap->log.cluster_lock);
	qr_log_begin_check(&swap->log);
	is_valid = qr_kept_is_valid(swap) && swap_sum_up(swap) && qr_log_is_valid(&swap->log);
	qr_spin_unlock(&swap->log.cluster_lock);
	qr_mutex_unlock(&swap->log.lock);
	return is_valid;
}

/* Adds each file slot's record to its cluster's sum; compares tiers with the pool. */
static bool swap_sum_up(struct qr_swap *swap)
{
	uint32_t nr_tier[QR_NR_TIERS] = {0};
	uint64_t pool_bytes = 0;

	for (uint32_t slot = 0; slot < swap->slots.nr_leaves_end << QR_SLOT_LEAF_SHIFT; slot++) {
		struct qr_slot *entry = qr_slot_peek(&swap->slots, slot);

		if (!entry)
			continue;
		nr_tier[qr_slot_tier(entry)]++;
		if (qr_slot_tier(entry) == QR_TIER_POOL)
			pool_bytes += qr_slot_len(entry);
		if (qr_slot_tier(entry) == QR_TIER_FILE)
			qr_log_cluster(&swap->log, (uint32_t)entry->value)->next += qr_record_size(qr_slot_len(entry));
	}
	for (uint32_t tier = QR_TIER_SAME; tier < QR_NR_TIERS; tier++) {
		if (nr_tier[tier] != swap->slots.nr_tier[tier])
			return false;
	}
	return nr_tier[QR_TIER_POOL] == swap->pool.nr_objects && pool_bytes == swap->pool.nr_bytes;
}

static int swap_init(struct qr_swap *swap, const struct qr_swap_config *config)
{
	struct qr_vmm *vmm = swap->vmm;
	uint32_t cluster_bytes = config->cluster_bytes;
	int err;

	swap->config = *config;
	if (!cluster_bytes)
		cluster_bytes =
			qr_vmm_nr_online(vmm) < SMALL_BUDGET_FRAMES ? SMALL_CLUSTER_BYTES : DEFAULT_CLUSTER_BYTES;
	qr_slot_map_init(&swap->slots, vmm);
	qr_zpool_init(&swap->pool, vmm);
	qr_kept_init(&swap->kept, vmm);
	qr_share_init(swap);
	err = qr_log_init(&swap->log, swap, cluster_bytes, config->file_max_bytes);
	if (err)
		return err;
	return qr_swap_scratch_init(swap);
}

/* *slot is a free slot to fill; it is given back for another that has the content already. */
static int swap_store_page(struct qr_swap *swap, const void *page, uint32_t *slot)
{
	struct qr_stats *stats = &swap->vmm->stats;
	struct qr_workspace *workspace;
	uint32_t len_bytes, kept;
	uint64_t word;
	int err;

	if (qr_same_test(page, &word)) {
		qr_slot_publish(&swap->slots, *slot, QR_TIER_SAME, word, 0);
		qr_stat_add(stats, QR_STAT_swapout_zero, 1);
		return 0;
	}
	if (qr_kept_take(swap, page, &kept)) {
		qr_slots_free(&swap->slots, 1, slot);
		*slot = kept;
		qr_stat_add(stats, QR_STAT_swapout_clean, 1);
		return 0;
	}
	if (swap->config.codec == QR_CODEC_NONE)
		return swap_store_raw(swap, *slot, page);
	workspace = qr_workspace_take(swap);
	len_bytes = qr_port_compress(swap->config.codec, page, workspace->page, QR_ZPOOL_MAX_OBJECT, workspace->codec);
	err = len_bytes ? swap_store_compressed(swap, *slot, workspace->page, len_bytes) : 0;
	qr_workspace_give(workspace);
	if (len_bytes == 0)
		return swap_store_raw(swap, *slot, page);
	if (!err) { /* both of the same pages, so that their quotient is a ratio */
		qr_stat_add(stats, QR_STAT_compressed_in_bytes, QR_PAGE_SIZE);
		qr_stat_add(stats, QR_STAT_compressed_out_bytes, len_bytes);
	}
	return err;
}

static int swap_store_compressed(struct qr_swap *swap, uint32_t slot, const void *data, uint32_t len_bytes)
{
	uint64_t handle;
	int err = QR_ENOMEM;

	if (swap->config.pool_max_percent || !swap_has_file(swap)) {
		swap_make_pool_room(swap);
		err = qr_zpool_insert(&swap->pool, slot, data, len_bytes, &handle);
		if (err && swap_has_file(swap) && qr_log_take_from_pool(&swap->log, MOVE_FRAMES))
			err = qr_zpool_insert(&swap->pool, slot, data, len_bytes, &handle);
	}
	if (!err)
		qr_slot_publish(&swap->slots, slot, QR_TIER_POOL, handle, len_bytes);
	else if (swap_has_file(swap))
		err = swap_append(swap, slot, data, len_bytes);
	return err ? QR_ENOSPC : 0;
}

/* In a full file what is only kept makes room. */
static int swap_append(struct qr_swap *swap, uint32_t slot, const void *data, uint32_t len_bytes)
{
	int err = qr_log_append(&swap->log, slot, data, len_bytes);

	if (err && qr_kept_drop(swap))
		err = qr_log_append(&swap->log, slot, data, len_bytes);
	return err;
}

/* A page that does not compress: as it is, to the file. Without one the pool keeps it, so that a folio of which only
 * some pages do not compress can go. */
static int swap_store_raw(struct qr_swap *swap, uint32_t slot, const void *page)
{
	uint64_t handle;
	int err = QR_ENOSPC;

	if (swap_has_file(swap))
		err = swap_append(swap, slot, page, (uint32_t)QR_PAGE_SIZE);
	if (!err)
		qr_stat_add(&swap->vmm->stats, QR_STAT_incompressible_pages, 1);
	if (!err || swap_has_file(swap))
		return err;
	if (qr_zpool_insert(&swap->pool, slot, page, (uint32_t)QR_PAGE_SIZE, &handle))
		return QR_ENOSPC;
	qr_slot_publish(&swap->slots, slot, QR_TIER_POOL, handle, (uint32_t)QR_PAGE_SIZE);
	return 0;
}

/* False from the start, or since the port said that there is none. */
static bool swap_has_file(struct qr_swap *swap)
{
	return !qr_load_relaxed(&swap->log.is_disabled);
}

/* Without a file, pages of which none compresses take as many frames as they free: reclaim would go round for ever
 * and think that it makes progress. Drops them again and returns true. */
static bool swap_undo_useless(struct qr_swap *swap, const uint32_t *slots, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		struct qr_slot *entry = qr_slot_lock(&swap->slots, slots[i]);
		bool is_raw = qr_slot_len(entry) == QR_PAGE_SIZE;

		qr_slot_unlock(&swap->slots, slots[i]);
		if (!is_raw)
			return false;
	}
	for (uint32_t i = 0; i < nr; i++)
		qr_swap_put(swap, slots[i]);
	return true;
}

/* Above its share the pool's oldest content goes to the file. When the file is full the pool grows on. */
static void swap_make_pool_room(struct qr_swap *swap)
{
	if (!swap_has_file(swap) || qr_load_relaxed(&swap->pool.nr_frames) < qr_share_frames(swap))
		return;
	/* A full file is not asked again for each page. The count is a hint: a lost update does no harm. */
	if (qr_load_relaxed(&swap->nr_skips)) {
		qr_store_relaxed(&swap->nr_skips, qr_load_relaxed(&swap->nr_skips) - 1);
		return;
	}
	if (qr_log_take_from_pool(&swap->log, MOVE_FRAMES) == 0 && !qr_kept_drop(swap))
		qr_store_relaxed(&swap->nr_skips, SKIPS_WHEN_FULL);
}

/* The last reference went; the shard lock is held, so that whoever moves content sees the slot before or after. */
static void swap_free_content(struct qr_swap *swap, struct qr_slot *entry)
{
	uint32_t len_bytes = qr_slot_len(entry);

	if (qr_slot_tier(entry) == QR_TIER_POOL)
		(void)qr_zpool_free(&swap->pool, entry->value, len_bytes);
	else if (qr_slot_tier(entry) == QR_TIER_FILE)
		qr_cluster_drop_live(&swap->log, (uint32_t)entry->value, qr_record_size(len_bytes));
	qr_slot_move(&swap->slots, entry, QR_TIER_NONE, 0, 0);
}
