/*
 * The file tier across fork: the parent keeps what the child will read, the child writes to a file of its own.
 *
 * freeze: everything is written out, and each cluster with live records is marked with the token; a marked cluster is
 * not reused, even when the parent has dropped all its records. In the child the parent's files are only read.
 */
#include "swap/swap_priv.h"

#include "vmm/vmm.h"

int qr_log_freeze(struct qr_log *log)
{
	int token, err;

	qr_mutex_lock(&log->lock);
	err = qr_log_flush(log);
	qr_spin_lock(&log->cluster_lock);
	if (!err && ~log->tokens == 0)
		err = QR_EAGAIN;
	if (!err) {
		token = (int)qr_low_bit_u64(~log->tokens);
		log->tokens |= (uint64_t)1 << token;
		for (uint32_t id = 0; id < log->nr_clusters; id++) {
			struct qr_cluster *cluster = qr_log_cluster(log, id);

			if (cluster->state == QR_CLUSTER_DISK && cluster->live_bytes)
				cluster->frozen |= (uint64_t)1 << token;
		}
	}
	qr_spin_unlock(&log->cluster_lock);
	qr_mutex_unlock(&log->lock);
	return err ? err : token;
}

void qr_log_thaw(struct qr_log *log, int token)
{
	uint64_t bit = (uint64_t)1 << token;

	QR_ASSERT(token >= 0 && token < QR_LOG_TOKENS);
	qr_spin_lock(&log->cluster_lock);
	log->tokens &= ~bit;
	for (uint32_t id = 0; id < log->nr_clusters; id++) {
		struct qr_cluster *cluster = qr_log_cluster(log, id);

		if (cluster->frozen & bit) {
			cluster->frozen &= ~bit;
			qr_cluster_settle_locked(log, id);
		}
	}
	qr_spin_unlock(&log->cluster_lock);
}

/* A cluster that was not written out before the fork stays in the child's copy of its buffer, and is written to the
 * child's file when there is one. */
void qr_log_after_fork_child(struct qr_log *log)
{
	qr_mutex_lock(&log->lock);
	qr_spin_lock(&log->cluster_lock);
	log->file = QR_LOG_NO_FILE;
	log->tokens = 0;
	log->end_position = 0;
	log->nr_disk = 0;
	log->own_live_bytes = 0;
	log->no_growth_until_ns = 0;
	log->spare.head = log->free.head = log->holes.head = QR_CLUSTER_NONE;
	log->spare.nr = log->free.nr = log->holes.nr = 0;
	for (uint32_t id = 0; id < log->nr_clusters; id++) {
		struct qr_cluster *cluster = qr_log_cluster(log, id);

		cluster->frozen = 0;
		cluster->nr_pins = 0;
		if (cluster->state == QR_CLUSTER_DISK)
			qr_cluster_settle_locked(log, id);
		else if (cluster->state != QR_CLUSTER_OPEN)
			qr_cluster_push_locked(log, &log->spare, id, QR_CLUSTER_SPARE);
	}
	log->open = QR_LOG_NO_BUFFER;
	for (uint32_t i = 0; i < QR_LOG_BUFFERS; i++) {
		log->buffers[i].nr_readers = 0;
		if (log->buffers[i].state != QR_BUFFER_IDLE)
			log->buffers[i].state = QR_BUFFER_STUCK;
	}
	qr_spin_unlock(&log->cluster_lock);
	log->no_open_until_ns = 0;
	log->no_place_until_ns = 0;
	qr_mutex_unlock(&log->lock);
}
