/*
 * The file tier: appending records, and moving pool content into the log. See log.h.
 *
 * A record's bytes are copied to the open buffer and the slot changed under the slot's shard lock; the buffer serves
 * loads from then on. The record's head is only needed in the file and is written after that.
 */
#include "swap/swap_priv.h"

#include "vmm/vmm.h"

/* Collect at most this many clusters per cluster that is opened, when the file is full and when it is half empty. */
#define COLLECT_FULL 8u
#define COLLECT_SPARSE 2u

static int log_alloc_buffers(struct qr_log *log);
static uint32_t log_move_from_pool(struct qr_log *log, uint32_t slot);

int qr_log_init(struct qr_log *log, struct qr_swap *swap, uint32_t cluster_bytes, uint64_t max_bytes)
{
	uint64_t max_clusters;

	memset(log, 0, sizeof(*log));
	log->swap = swap;
	qr_mutex_init(&log->lock, QR_RANK_SWAP_IO);
	qr_spin_init(&log->cluster_lock, QR_RANK_ZPOOL);
	qr_sparse_init(&log->clusters, swap->vmm);
	log->file = QR_LOG_NO_FILE;
	log->open = QR_LOG_NO_BUFFER;
	log->spare.head = log->free.head = log->holes.head = QR_CLUSTER_NONE;
	log->cluster_bytes = cluster_bytes;
	log->is_disabled = !swap->config.has_file;
	if (log->is_disabled)
		return 0;
	max_clusters = max_bytes ? max_bytes >> qr_log2_u64(cluster_bytes) : UINT32_MAX;
	log->max_clusters = (uint32_t)QR_MIN(max_clusters, QR_SPARSE_MAX_LEAVES << QR_CLUSTER_LEAF_SHIFT);
	log->nr_reserve = QR_MIN(QR_LOG_RESERVE, log->max_clusters / 3);
	return log_alloc_buffers(log);
}

void qr_log_destroy(struct qr_log *log)
{
	struct qr_vmm *vmm = log->swap->vmm;

	qr_mutex_lock(&log->lock);
	qr_log_abandon(log);
	qr_mutex_unlock(&log->lock);
	for (uint32_t i = 0; i < QR_LOG_BUFFERS; i++) {
		if (log->buffers[i].frames)
			qr_free_pages(vmm, log->buffers[i].frames, log->buffer_order);
	}
	if (log->collector.frames)
		qr_free_pages(vmm, log->collector.frames, log->buffer_order);
	qr_sparse_destroy(&log->clusters);
}

int qr_log_append(struct qr_log *log, uint32_t slot, const void *data, uint32_t len_bytes)
{
	int err;

	qr_mutex_lock(&log->lock);
	err = qr_log_prepare(log);
	if (!err) {
		uint64_t value = qr_log_next_value(log);

		memcpy(qr_log_next_record(log) + 1, data, len_bytes);
		qr_log_seal_record(log, slot, len_bytes, qr_port_checksum(data, len_bytes));
		qr_cluster_add_live(log, (uint32_t)value, qr_record_size(len_bytes));
		qr_slot_publish(&log->swap->slots, slot, QR_TIER_FILE, value, len_bytes);
	}
	qr_mutex_unlock(&log->lock);
	return err;
}

uint32_t qr_log_take_from_pool(struct qr_log *log, uint32_t nr_frames)
{
	struct qr_zpool *pool = &log->swap->pool;
	/* A group of another thread's unfinished stores gives nothing back; do not run in circles over those. */
	uint32_t nr_rounds = 2 * nr_frames + QR_ZGROUP_FRAMES;
	uint32_t nr_freed = 0;
	int err = 0;

	qr_mutex_lock(&log->lock);
	while (nr_freed < nr_frames && nr_rounds-- && !err) {
		uint32_t slots[QR_ZGROUP_OBJECTS], nr = qr_zpool_oldest(pool, slots);

		if (nr == 0)
			break;
		for (uint32_t i = 0; i < nr; i++) {
			err = qr_log_prepare(log);
			if (err)
				break;
			nr_freed += log_move_from_pool(log, slots[i]);
		}
		qr_zpool_oldest_done(pool, !err);
	}
	qr_mutex_unlock(&log->lock);
	return nr_freed;
}

int qr_log_prepare(struct qr_log *log)
{
	int err;

	if (qr_log_has_room(log))
		return 0;
	err = qr_log_open_file(log);
	if (err)
		return err;
	if (qr_log_nr_places(log) > 0 && qr_log_is_sparse(log))
		(void)qr_log_collect(log, COLLECT_SPARSE, log->cluster_bytes / 4 * 3);
	for (uint32_t i = 0; i < COLLECT_FULL && qr_log_nr_places(log) == 0; i++) {
		if (qr_log_collect(log, 1, log->cluster_bytes / 8 * 7) == 0)
			break;
	}
	return qr_log_has_room(log) ? 0 : qr_log_open_next(log, false);
}

bool qr_log_has_room(const struct qr_log *log)
{
	return log->open != QR_LOG_NO_BUFFER &&
	       log->buffers[log->open].used_bytes + QR_RECORD_MAX <= log->cluster_bytes;
}

struct qr_record *qr_log_next_record(struct qr_log *log)
{
	struct qr_log_buffer *buffer = &log->buffers[log->open];

	return (struct qr_record *)(void *)(buffer->data + buffer->used_bytes);
}

uint64_t qr_log_next_value(struct qr_log *log)
{
	struct qr_log_buffer *buffer = &log->buffers[log->open];

	return qr_log_value(buffer->cluster, buffer->used_bytes);
}

void qr_log_seal_record(struct qr_log *log, uint32_t slot, uint32_t len_bytes, uint64_t check)
{
	struct qr_log_buffer *buffer = &log->buffers[log->open];
	struct qr_cluster *cluster = qr_log_cluster(log, buffer->cluster);
	struct qr_record *record = qr_log_next_record(log);

	record->slot = slot;
	record->len_bytes = (uint16_t)len_bytes;
	record->generation = cluster->generation;
	record->check = check;
	buffer->used_bytes += qr_record_size(len_bytes);
	cluster->used_bytes = buffer->used_bytes;
}

/* Moves one slot's content, unless the slot has gone meanwhile. Returns the number of frames given back. */
static uint32_t log_move_from_pool(struct qr_log *log, uint32_t slot)
{
	struct qr_swap *swap = log->swap;
	uint8_t *payload = (uint8_t *)(qr_log_next_record(log) + 1);
	uint64_t value = qr_log_next_value(log);
	uint32_t nr_freed = 0, len_bytes = 0;
	struct qr_slot *entry;

	if (!qr_slot_pin(&swap->slots, slot))
		return 0;
	entry = qr_slot_lock(&swap->slots, slot); /* holds: log, shard */
	if (qr_slot_tier(entry) == QR_TIER_POOL) {
		uint64_t handle = entry->value;

		len_bytes = qr_slot_len(entry);
		qr_zpool_copy(&swap->pool, handle, len_bytes, payload);
		qr_cluster_add_live(log, (uint32_t)value, qr_record_size(len_bytes));
		qr_slot_move(&swap->slots, entry, QR_TIER_FILE, value, len_bytes);
		nr_freed = qr_zpool_free(&swap->pool, handle, len_bytes);
	}
	qr_slot_unlock(&swap->slots, slot);
	qr_slot_unpin(&swap->slots, slot);
	if (len_bytes)
		qr_log_seal_record(log, slot, len_bytes, qr_port_checksum(payload, len_bytes));
	return nr_freed;
}

static int log_alloc_buffers(struct qr_log *log)
{
	struct qr_vmm *vmm = log->swap->vmm;

	for (uint32_t i = 0; i <= QR_LOG_BUFFERS; i++) {
		struct qr_log_buffer *buffer = i < QR_LOG_BUFFERS ? &log->buffers[i] : &log->collector;

		buffer->data = qr_swap_block_alloc(vmm, log->cluster_bytes, &buffer->frames, &log->buffer_order);
		if (!buffer->data)
			return QR_ENOMEM;
		/* Touched now: the device may be the first to write to it, and cannot take a fault of the pool. */
		memset(buffer->data, 0, log->cluster_bytes);
	}
	/* The first descriptors; cluster.c stays ahead of the need from here on. */
	return qr_sparse_add_leaf(&log->clusters, 0);
}
