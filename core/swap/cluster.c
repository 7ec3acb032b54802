/*
 * Clusters of the swap file: descriptors, places, live counts, readers. See log.h for the life of a cluster.
 *
 * Slots name a cluster, and the cluster names its place, so that a write which failed can go elsewhere without a slot
 * being changed.
 * Locks: cluster_lock in every function here, except in those that end in _locked.
 */
#include "swap/swap_priv.h"

#include "vmm/vmm.h"

/* Below this many clusters in use the file may grow though it is half empty. */
#define SPARSE_MIN_CLUSTERS 16u

static uint32_t place_take_locked(struct qr_log *log, bool is_reserved);
static uint32_t place_grow_locked(struct qr_log *log);
static void cluster_open_locked(struct qr_log *log, uint32_t id, uint32_t buffer);
static uint32_t cluster_new_locked(struct qr_log *log);
static uint32_t cluster_pop_locked(struct qr_log *log, struct qr_cluster_list *list);
static uint32_t nr_growth_locked(const struct qr_log *log);
static bool list_is_valid(const struct qr_log *log, const struct qr_cluster_list *list, enum qr_cluster_state state);

struct qr_cluster *qr_log_cluster(const struct qr_log *log, uint32_t cluster)
{
	struct qr_cluster *leaf = qr_sparse_leaf(&log->clusters, cluster >> QR_CLUSTER_LEAF_SHIFT);

	/* A slot that names no cluster is corrupt. */
	QR_BUG_ON(!leaf);
	return &leaf[cluster & ((1u << QR_CLUSTER_LEAF_SHIFT) - 1)];
}

uint32_t qr_cluster_take(struct qr_log *log, bool is_reserved, uint32_t buffer)
{
	uint32_t id;

	qr_spin_lock(&log->cluster_lock);
	id = place_take_locked(log, is_reserved);
	cluster_open_locked(log, id, buffer);
	qr_spin_unlock(&log->cluster_lock);
	return id;
}

uint32_t qr_cluster_grow(struct qr_log *log, uint32_t buffer)
{
	uint32_t id = QR_CLUSTER_NONE;

	qr_spin_lock(&log->cluster_lock);
	if (nr_growth_locked(log))
		id = place_grow_locked(log);
	cluster_open_locked(log, id, buffer);
	qr_spin_unlock(&log->cluster_lock);
	return id;
}

bool qr_cluster_replace(struct qr_log *log, uint32_t id, enum qr_cluster_state old_place)
{
	struct qr_cluster *cluster = qr_log_cluster(log, id), *other;
	uint32_t other_id;

	qr_spin_lock(&log->cluster_lock);
	other_id = place_take_locked(log, true);
	if (other_id != QR_CLUSTER_NONE) {
		uint32_t position = cluster->position;

		other = qr_log_cluster(log, other_id);
		cluster->position = other->position;
		other->position = position;
		if (cluster->file != log->file) { /* its place was in the parent's file */
			cluster->file = (uint8_t)log->file;
			log->own_live_bytes += cluster->live_bytes;
			log->nr_disk++;
			qr_cluster_push_locked(log, &log->spare, other_id, QR_CLUSTER_SPARE);
		} else if (old_place == QR_CLUSTER_HOLE) {
			qr_cluster_push_locked(log, &log->holes, other_id, QR_CLUSTER_HOLE);
		} else {
			other->state = QR_CLUSTER_BAD;
		}
	}
	qr_spin_unlock(&log->cluster_lock);
	return other_id != QR_CLUSTER_NONE;
}

void qr_cluster_detach(struct qr_log *log, uint32_t id, enum qr_cluster_state state)
{
	struct qr_cluster *cluster = qr_log_cluster(log, id);

	qr_spin_lock(&log->cluster_lock);
	cluster->buffer = QR_LOG_NO_BUFFER;
	cluster->state = (uint8_t)state;
	if (state == QR_CLUSTER_DISK) {
		qr_cluster_settle_locked(log, id);
	} else if (cluster->file != log->file) {
		qr_cluster_push_locked(log, &log->spare, id, QR_CLUSTER_SPARE);
	} else {
		QR_ASSERT(cluster->live_bytes == 0);
		log->nr_disk--;
		if (state == QR_CLUSTER_HOLE)
			qr_cluster_push_locked(log, &log->holes, id, QR_CLUSTER_HOLE);
	}
	qr_spin_unlock(&log->cluster_lock);
}

void qr_cluster_add_live(struct qr_log *log, uint32_t id, uint32_t nr_bytes)
{
	struct qr_cluster *cluster = qr_log_cluster(log, id);

	qr_spin_lock(&log->cluster_lock);
	cluster->live_bytes += nr_bytes;
	log->live_bytes += nr_bytes;
	log->own_live_bytes += nr_bytes;
	qr_spin_unlock(&log->cluster_lock);
}

void qr_cluster_drop_live(struct qr_log *log, uint32_t id, uint32_t nr_bytes)
{
	struct qr_cluster *cluster = qr_log_cluster(log, id);

	qr_spin_lock(&log->cluster_lock);
	QR_BUG_ON(cluster->live_bytes < nr_bytes);
	cluster->live_bytes -= nr_bytes;
	log->live_bytes -= nr_bytes;
	if (cluster->file == log->file)
		log->own_live_bytes -= nr_bytes;
	qr_cluster_settle_locked(log, id);
	qr_spin_unlock(&log->cluster_lock);
}

uint32_t qr_cluster_live(struct qr_log *log, uint32_t id)
{
	uint32_t live_bytes;

	qr_spin_lock(&log->cluster_lock);
	live_bytes = qr_log_cluster(log, id)->live_bytes;
	qr_spin_unlock(&log->cluster_lock);
	return live_bytes;
}

void qr_cluster_pin(struct qr_log *log, uint32_t id, uint32_t offset_bytes, struct qr_log_place *place)
{
	struct qr_cluster *cluster = qr_log_cluster(log, id);

	qr_spin_lock(&log->cluster_lock);
	place->cluster = id;
	place->file = cluster->file;
	place->generation = cluster->generation;
	place->offset_bytes = (uint64_t)cluster->position * log->cluster_bytes + offset_bytes;
	place->buffer = cluster->buffer;
	if (cluster->buffer != QR_LOG_NO_BUFFER) {
		place->address = log->buffers[cluster->buffer].data + offset_bytes;
		log->buffers[cluster->buffer].nr_readers++;
	} else {
		place->address = NULL;
		cluster->nr_pins++;
	}
	qr_spin_unlock(&log->cluster_lock);
}

void qr_cluster_unpin(struct qr_log *log, const struct qr_log_place *place)
{
	qr_spin_lock(&log->cluster_lock);
	if (place->buffer != QR_LOG_NO_BUFFER) {
		QR_ASSERT(log->buffers[place->buffer].nr_readers > 0);
		log->buffers[place->buffer].nr_readers--;
	} else {
		struct qr_cluster *cluster = qr_log_cluster(log, place->cluster);

		QR_ASSERT(cluster->nr_pins > 0);
		cluster->nr_pins--;
		qr_cluster_settle_locked(log, place->cluster);
	}
	qr_spin_unlock(&log->cluster_lock);
}

bool qr_cluster_is_buffered(struct qr_log *log, uint32_t id)
{
	bool is_buffered;

	qr_spin_lock(&log->cluster_lock);
	is_buffered = qr_log_cluster(log, id)->buffer != QR_LOG_NO_BUFFER;
	qr_spin_unlock(&log->cluster_lock);
	return is_buffered;
}

uint32_t qr_log_nr_places(struct qr_log *log)
{
	uint32_t nr;

	qr_spin_lock(&log->cluster_lock);
	nr = nr_growth_locked(log);
	if (log->free.nr > log->nr_reserve)
		nr += log->free.nr - log->nr_reserve;
	qr_spin_unlock(&log->cluster_lock);
	return nr;
}

bool qr_log_is_sparse(struct qr_log *log)
{
	bool is_sparse;

	qr_spin_lock(&log->cluster_lock);
	is_sparse = log->free.nr <= log->nr_reserve && log->nr_disk >= SPARSE_MIN_CLUSTERS &&
		    log->own_live_bytes * 2 < (uint64_t)log->nr_disk * log->cluster_bytes;
	qr_spin_unlock(&log->cluster_lock);
	return is_sparse;
}

bool qr_log_has_free(struct qr_log *log)
{
	bool has_free;

	qr_spin_lock(&log->cluster_lock);
	has_free = log->free.nr > 0;
	qr_spin_unlock(&log->cluster_lock);
	return has_free;
}

bool qr_log_stop_growth(struct qr_log *log)
{
	uint64_t now_ns = qr_port_now_ns();
	bool was_growing;

	qr_spin_lock(&log->cluster_lock);
	was_growing = now_ns >= log->no_growth_until_ns;
	log->no_growth_until_ns = now_ns + QR_LOG_PAUSE_NS;
	qr_spin_unlock(&log->cluster_lock);
	return was_growing;
}

void qr_cluster_settle_locked(struct qr_log *log, uint32_t id)
{
	struct qr_cluster *cluster = qr_log_cluster(log, id);

	if (cluster->state != QR_CLUSTER_DISK || cluster->live_bytes || cluster->nr_pins || cluster->frozen)
		return;
	if (cluster->file == log->file) {
		log->nr_disk--;
		qr_cluster_push_locked(log, &log->free, id, QR_CLUSTER_FREE);
	} else {
		qr_cluster_push_locked(log, &log->spare, id, QR_CLUSTER_SPARE);
	}
}

void qr_cluster_push_locked(struct qr_log *log, struct qr_cluster_list *list, uint32_t id, enum qr_cluster_state state)
{
	struct qr_cluster *cluster = qr_log_cluster(log, id);

	cluster->state = (uint8_t)state;
	cluster->next = list->head;
	list->head = id;
	list->nr++;
}

void qr_log_begin_check(struct qr_log *log)
{
	for (uint32_t id = 0; id < log->nr_clusters; id++) {
		struct qr_cluster *cluster = qr_log_cluster(log, id);

		if (cluster->state == QR_CLUSTER_OPEN || cluster->state == QR_CLUSTER_DISK)
			cluster->next = 0;
	}
}

bool qr_log_is_valid(struct qr_log *log)
{
	uint32_t nr_places = 0, nr_disk = 0;
	uint64_t live_bytes = 0, own_live_bytes = 0;

	for (uint32_t id = 0; id < log->nr_clusters; id++) {
		const struct qr_cluster *cluster = qr_log_cluster(log, id);
		bool is_used = cluster->state == QR_CLUSTER_OPEN || cluster->state == QR_CLUSTER_DISK;
		bool is_own = cluster->file == log->file && cluster->state != QR_CLUSTER_SPARE;

		if (is_used ? cluster->next != cluster->live_bytes : cluster->live_bytes != 0)
			return false;
		if ((cluster->state == QR_CLUSTER_OPEN) != (cluster->buffer != QR_LOG_NO_BUFFER))
			return false;
		live_bytes += cluster->live_bytes;
		own_live_bytes += is_own ? cluster->live_bytes : 0;
		nr_disk += is_own && is_used;
		nr_places += is_own;
	}
	return live_bytes == log->live_bytes && own_live_bytes == log->own_live_bytes && nr_disk == log->nr_disk &&
	       nr_places == log->end_position && list_is_valid(log, &log->free, QR_CLUSTER_FREE) &&
	       list_is_valid(log, &log->holes, QR_CLUSTER_HOLE) && list_is_valid(log, &log->spare, QR_CLUSTER_SPARE);
}

static bool list_is_valid(const struct qr_log *log, const struct qr_cluster_list *list, enum qr_cluster_state state)
{
	uint32_t nr = 0;

	for (uint32_t id = list->head; id != QR_CLUSTER_NONE; id = qr_log_cluster(log, id)->next) {
		if (nr++ == list->nr || qr_log_cluster(log, id)->state != state)
			return false;
	}
	return nr == list->nr;
}

static void cluster_open_locked(struct qr_log *log, uint32_t id, uint32_t buffer)
{
	struct qr_cluster *cluster;

	if (id == QR_CLUSTER_NONE)
		return;
	cluster = qr_log_cluster(log, id);
	cluster->state = QR_CLUSTER_OPEN;
	cluster->buffer = (uint8_t)buffer;
	cluster->generation++;
	cluster->used_bytes = 0;
	cluster->is_unmovable = false;
	log->nr_disk++;
}

/* A descriptor with a place in the current file: one that is free, else one more. */
static uint32_t place_take_locked(struct qr_log *log, bool is_reserved)
{
	if (log->file == QR_LOG_NO_FILE)
		return QR_CLUSTER_NONE;
	if (log->free.nr > (is_reserved ? 0 : log->nr_reserve))
		return cluster_pop_locked(log, &log->free);
	return nr_growth_locked(log) ? place_grow_locked(log) : QR_CLUSTER_NONE;
}

static uint32_t place_grow_locked(struct qr_log *log)
{
	uint32_t id = cluster_pop_locked(log, &log->holes);
	struct qr_cluster *cluster;

	if (id != QR_CLUSTER_NONE)
		return id;
	id = cluster_pop_locked(log, &log->spare);
	if (id == QR_CLUSTER_NONE)
		id = cluster_new_locked(log);
	if (id == QR_CLUSTER_NONE)
		return id;
	cluster = qr_log_cluster(log, id);
	cluster->position = log->end_position++;
	cluster->file = (uint8_t)log->file;
	return id;
}

static uint32_t cluster_new_locked(struct qr_log *log)
{
	uint32_t id = log->nr_clusters, leaf = id >> QR_CLUSTER_LEAF_SHIFT;
	/* Half a leaf ahead: the file must be able to grow when there is no frame to be had. */
	uint32_t leaf_ahead = (id + (1u << (QR_CLUSTER_LEAF_SHIFT - 1))) >> QR_CLUSTER_LEAF_SHIFT;

	if (leaf_ahead >= QR_SPARSE_MAX_LEAVES)
		return QR_CLUSTER_NONE;
	if (!qr_sparse_leaf(&log->clusters, leaf_ahead) && qr_sparse_add_leaf(&log->clusters, leaf_ahead) &&
	    !qr_sparse_leaf(&log->clusters, leaf))
		return QR_CLUSTER_NONE;
	log->nr_clusters++;
	qr_log_cluster(log, id)->buffer = QR_LOG_NO_BUFFER;
	return id;
}

static uint32_t cluster_pop_locked(struct qr_log *log, struct qr_cluster_list *list)
{
	uint32_t id = list->head;

	if (id != QR_CLUSTER_NONE) {
		list->head = qr_log_cluster(log, id)->next;
		list->nr--;
	}
	return id;
}

/* By how many places the file may grow now. */
static uint32_t nr_growth_locked(const struct qr_log *log)
{
	if (qr_port_now_ns() < log->no_growth_until_ns)
		return 0;
	return log->holes.nr + (log->max_clusters - log->end_position);
}
