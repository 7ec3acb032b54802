/*
 * The file tier: garbage collection.
 *
 * Of a window of clusters the one with the least live bytes is read back, and its live records are appended to the
 * log as they are, check word included, so that damage is not covered up. The cluster is free after that. Greedy
 * choice within a window, as in log-structured file systems (Rosenblum and Ousterhout 1992, section 3).
 * Locks: log->lock is held throughout.
 */
#include "swap/swap_priv.h"

#include "vmm/vmm.h"

#define WINDOW_CLUSTERS 4096u

static uint32_t gc_pick(struct qr_log *log, uint32_t max_live_bytes);
static bool gc_is_candidate(const struct qr_log *log, const struct qr_cluster *cluster);
static int gc_cluster(struct qr_log *log, uint32_t victim);
static int gc_move_records(struct qr_log *log, uint32_t victim);
static void gc_move_record(struct qr_log *log, uint32_t victim, uint32_t offset_bytes);

uint32_t qr_log_collect(struct qr_log *log, uint32_t nr, uint32_t max_live_bytes)
{
	uint32_t nr_done = 0;

	while (nr_done < nr) {
		uint32_t victim = gc_pick(log, max_live_bytes);

		if (victim == QR_CLUSTER_NONE || gc_cluster(log, victim))
			break;
		nr_done++;
	}
	return nr_done;
}

/* The emptiest cluster of the window, pinned; QR_CLUSTER_NONE: none is worth it. */
static uint32_t gc_pick(struct qr_log *log, uint32_t max_live_bytes)
{
	uint32_t best = QR_CLUSTER_NONE, best_live = max_live_bytes + 1;

	qr_spin_lock(&log->cluster_lock);
	for (uint32_t i = 0; i < QR_MIN(WINDOW_CLUSTERS, log->nr_clusters); i++) {
		const struct qr_cluster *cluster;

		if (log->collect_cursor >= log->nr_clusters)
			log->collect_cursor = 0;
		cluster = qr_log_cluster(log, log->collect_cursor);
		if (gc_is_candidate(log, cluster) && cluster->live_bytes < best_live) {
			best = log->collect_cursor;
			best_live = cluster->live_bytes;
		}
		log->collect_cursor++;
	}
	if (best != QR_CLUSTER_NONE)
		qr_log_cluster(log, best)->nr_pins++;
	qr_spin_unlock(&log->cluster_lock);
	return best;
}

static bool gc_is_candidate(const struct qr_log *log, const struct qr_cluster *cluster)
{
	return cluster->state == QR_CLUSTER_DISK && cluster->file == log->file && cluster->live_bytes &&
	       !cluster->frozen && !cluster->is_unmovable;
}

/* Moves what is live in a pinned cluster and unpins it. Returns 0, or an error when there is no room to go on. */
static int gc_cluster(struct qr_log *log, uint32_t victim)
{
	struct qr_cluster *cluster = qr_log_cluster(log, victim);
	struct qr_io_request *request = &log->collector.request;
	int err = 0;

	memset(request, 0, sizeof(*request));
	request->file = cluster->file;
	request->buffer = log->collector.data;
	request->len_bytes = QR_ALIGN_UP(cluster->used_bytes, QR_IO_ALIGN);
	request->offset_bytes = (uint64_t)cluster->position * log->cluster_bytes;
	if (qr_log_read_sync(log, request, QR_READ_TRIES) == 0)
		err = gc_move_records(log, victim);
	qr_spin_lock(&log->cluster_lock);
	/* What is still live could not be read: whoever loads it gets the error. */
	cluster->is_unmovable = !err && cluster->live_bytes;
	cluster->nr_pins--;
	qr_cluster_settle_locked(log, victim);
	qr_spin_unlock(&log->cluster_lock);
	return err;
}

static int gc_move_records(struct qr_log *log, uint32_t victim)
{
	const struct qr_cluster *cluster = qr_log_cluster(log, victim);
	uint32_t offset_bytes = 0;

	while (offset_bytes + sizeof(struct qr_record) <= cluster->used_bytes) {
		const struct qr_record *record = (const void *)(log->collector.data + offset_bytes);
		uint32_t size = qr_record_size(record->len_bytes);

		if (record->len_bytes == 0 || record->len_bytes > QR_PAGE_SIZE ||
		    record->generation != cluster->generation || offset_bytes + size > cluster->used_bytes)
			break;
		if (!qr_log_has_room(log)) {
			int err = qr_log_open_next(log, true);

			if (err)
				return err;
		}
		gc_move_record(log, victim, offset_bytes);
		offset_bytes += size;
	}
	return 0;
}

static void gc_move_record(struct qr_log *log, uint32_t victim, uint32_t offset_bytes)
{
	struct qr_slot_map *slots = &log->swap->slots;
	const struct qr_record *record = (const void *)(log->collector.data + offset_bytes);
	uint32_t size = qr_record_size(record->len_bytes);
	uint64_t value = qr_log_next_value(log);
	struct qr_slot *entry;
	bool is_live;

	if (!qr_slot_pin(slots, record->slot))
		return;
	entry = qr_slot_lock(slots, record->slot); /* holds: log, shard */
	is_live = qr_slot_tier(entry) == QR_TIER_FILE && entry->value == qr_log_value(victim, offset_bytes) &&
		  qr_slot_len(entry) == record->len_bytes;
	if (is_live) {
		memcpy(qr_log_next_record(log) + 1, record + 1, record->len_bytes);
		qr_cluster_add_live(log, (uint32_t)value, size);
		qr_slot_move(slots, entry, QR_TIER_FILE, value, record->len_bytes);
		qr_cluster_drop_live(log, victim, size);
	}
	qr_slot_unlock(slots, record->slot);
	qr_slot_unpin(slots, record->slot);
	if (is_live)
		qr_log_seal_record(log, record->slot, record->len_bytes, record->check);
}
