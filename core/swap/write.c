/*
 * The file tier: cluster buffers and the device.
 *
 * A full buffer is submitted and the next one filled; the writer waits only when all are in flight. A write that
 * fails is tried once more, then at another place. Where no place is to be had the buffer is stuck: it keeps its
 * data, serves loads, and is tried again whenever a buffer is wanted.
 * Locks: log->lock is held throughout.
 */
#include "swap/swap_priv.h"

#include "vmm/vmm.h"

/* How many places one buffer may spoil before it waits for better times. */
#define MAX_PLACES 2u

static void log_close_open(struct qr_log *log);
static struct qr_log_buffer *log_idle_buffer(struct qr_log *log);
static void log_write_reserve(struct qr_log *log);
static void buffer_submit(struct qr_log *log, struct qr_log_buffer *buffer);
static void buffer_complete(struct qr_log *log, struct qr_log_buffer *buffer);
static void buffer_move_away(struct qr_log *log, struct qr_log_buffer *buffer, enum qr_cluster_state old_place);
static void buffer_unstick(struct qr_log *log, struct qr_log_buffer *buffer);
static bool buffer_is_read(struct qr_log *log, struct qr_log_buffer *buffer);

int qr_log_open_next(struct qr_log *log, bool is_reserved)
{
	struct qr_log_buffer *buffer;
	uint32_t index;

	log_close_open(log);
	buffer = log_idle_buffer(log);
	if (!buffer)
		return QR_ENOSPC;
	index = (uint32_t)(buffer - log->buffers);
	buffer->cluster = qr_cluster_take(log, is_reserved, index);
	if (buffer->cluster == QR_CLUSTER_NONE)
		return QR_ENOSPC;
	buffer->state = QR_BUFFER_FILLING;
	buffer->used_bytes = 0;
	buffer->nr_retries = 0;
	buffer->nr_places = 0;
	log->open = index;
	return 0;
}

int qr_log_open_file(struct qr_log *log)
{
	struct qr_vmm *vmm = log->swap->vmm;
	uint32_t file;
	int err;

	if (log->file != QR_LOG_NO_FILE)
		return 0;
	if (log->is_disabled || log->max_clusters == 0 || qr_port_now_ns() < log->no_open_until_ns)
		return QR_ENOSPC;
	err = qr_port_swap_open(vmm->port, &file);
	if (err) {
		qr_store_relaxed(&log->is_disabled, err == QR_ENOSYS);
		log->no_open_until_ns = qr_port_now_ns() + QR_LOG_PAUSE_NS;
		if (!log->is_disabled)
			qr_port_log(vmm->port, QR_LOG_WARN, "cannot open a swap file (error %d)", -err);
		return QR_ENOSPC;
	}
	qr_spin_lock(&log->cluster_lock);
	log->file = file;
	qr_spin_unlock(&log->cluster_lock);
	log_write_reserve(log);
	return 0;
}

int qr_log_flush(struct qr_log *log)
{
	int err = 0;

	log_close_open(log);
	/* What a forked process inherited in buffers needs a file of its own. */
	for (uint32_t i = 0; i < QR_LOG_BUFFERS; i++) {
		if (log->buffers[i].state == QR_BUFFER_STUCK && qr_log_open_file(log))
			return QR_ENOSPC;
	}
	for (uint32_t i = 0; i < QR_LOG_BUFFERS; i++) {
		struct qr_log_buffer *buffer = &log->buffers[i];

		log->no_place_until_ns = 0;
		if (buffer->state == QR_BUFFER_STUCK)
			buffer_unstick(log, buffer);
		while (buffer->state == QR_BUFFER_FLIGHT) {
			qr_port_io_wait(log->swap->vmm->port, &buffer->request);
			buffer_complete(log, buffer);
		}
		if (buffer->state == QR_BUFFER_STUCK)
			err = buffer->request.result == QR_ENOSPC ? QR_ENOSPC : QR_EIO;
	}
	return err;
}

void qr_log_abandon(struct qr_log *log)
{
	for (uint32_t i = 0; i < QR_LOG_BUFFERS; i++) {
		struct qr_log_buffer *buffer = &log->buffers[i];

		if (buffer->state == QR_BUFFER_FLIGHT)
			qr_port_io_wait(log->swap->vmm->port, &buffer->request);
		buffer->state = QR_BUFFER_IDLE;
	}
	log->open = QR_LOG_NO_BUFFER;
}

int qr_log_read_sync(struct qr_log *log, struct qr_io_request *request, uint32_t nr_tries)
{
	struct qr_vmm *vmm = log->swap->vmm;
	int err = QR_EIO;

	for (uint32_t i = 0; i < nr_tries; i++) {
		request->done = 0;
		request->result = 0;
		err = qr_port_io_submit(vmm->port, request);
		if (!err) {
			qr_port_io_wait(vmm->port, request);
			err = request->result;
		}
		if (!err) {
			qr_stat_add(&vmm->stats, QR_STAT_file_read_bytes, request->len_bytes);
			return 0;
		}
		qr_stat_add(&vmm->stats, QR_STAT_io_errors, 1);
	}
	qr_port_log(vmm->port, QR_LOG_ERROR, "reading %u bytes from the swap file failed (error %d)",
		    (unsigned)request->len_bytes, -err);
	return err;
}

/* Starts the write of the buffer that is being filled. One that was opened and got nothing, since what was to go there
 * was dropped meanwhile, gives its place back. */
static void log_close_open(struct qr_log *log)
{
	struct qr_log_buffer *buffer;

	if (log->open == QR_LOG_NO_BUFFER)
		return;
	buffer = &log->buffers[log->open];
	log->open = QR_LOG_NO_BUFFER;
	if (buffer->used_bytes) {
		buffer_submit(log, buffer);
		return;
	}
	qr_cluster_detach(log, buffer->cluster, QR_CLUSTER_HOLE);
	buffer->state = QR_BUFFER_IDLE;
}

/* A buffer to fill, NULL when all hold data that no place takes. Waits for writes in flight. */
static struct qr_log_buffer *log_idle_buffer(struct qr_log *log)
{
	for (unsigned spins = 0;; spins++) {
		struct qr_log_buffer *flight = NULL;
		bool is_read = false;

		for (uint32_t i = 0; i < QR_LOG_BUFFERS; i++) {
			struct qr_log_buffer *buffer = &log->buffers[i];

			/* Acquire pairs with the port's release when the transfer ends. */
			if (buffer->state == QR_BUFFER_FLIGHT && qr_load_acquire(&buffer->request.done))
				buffer_complete(log, buffer);
			if (buffer->state == QR_BUFFER_STUCK)
				buffer_unstick(log, buffer);
			if (buffer->state == QR_BUFFER_FLIGHT && !flight)
				flight = buffer;
			if (buffer->state != QR_BUFFER_IDLE)
				continue;
			if (!buffer_is_read(log, buffer))
				return buffer;
			is_read = true;
		}
		if (is_read) /* a loader expands a page from it: that takes microseconds */
			qr_port_cpu_relax(spins);
		else if (flight)
			qr_port_io_wait(log->swap->vmm->port, &flight->request);
		else
			return NULL;
	}
}

/* Writes the clusters of the reserve once, so that the device has room for them when it has none for others. */
static void log_write_reserve(struct qr_log *log)
{
	for (uint32_t i = 0; i < log->nr_reserve; i++) {
		struct qr_log_buffer *buffer = log_idle_buffer(log);
		uint32_t cluster;

		if (!buffer)
			return;
		/* Those written already are on the free list now; growth is wanted here. */
		cluster = qr_cluster_grow(log, (uint32_t)(buffer - log->buffers));
		if (cluster == QR_CLUSTER_NONE)
			return;
		buffer->cluster = cluster;
		buffer->nr_retries = 0;
		buffer->nr_places = 0;
		buffer->used_bytes = log->cluster_bytes;
		memset(buffer->data, 0, log->cluster_bytes);
		buffer_submit(log, buffer);
	}
}

/* Starts the write of what the buffer holds. An error shows when it is completed. */
static void buffer_submit(struct qr_log *log, struct qr_log_buffer *buffer)
{
	const struct qr_cluster *cluster = qr_log_cluster(log, buffer->cluster);
	struct qr_io_request *request = &buffer->request;
	uint32_t len_bytes = QR_ALIGN_UP(buffer->used_bytes, QR_IO_ALIGN);
	int err;

	/* A request that is under way is the port's. */
	QR_BUG_ON(buffer->state == QR_BUFFER_FLIGHT && !qr_load_acquire(&request->done));
	/* A head of zero length ends the records. */
	memset(buffer->data + buffer->used_bytes, 0, len_bytes - buffer->used_bytes);
	memset(request, 0, sizeof(*request));
	request->file = cluster->file;
	request->is_write = true;
	request->buffer = buffer->data;
	request->len_bytes = len_bytes;
	request->offset_bytes = (uint64_t)cluster->position * log->cluster_bytes;
	buffer->state = QR_BUFFER_FLIGHT;
	err = qr_port_io_submit(log->swap->vmm->port, request);
	if (err) {
		request->result = err;
		qr_store_release(&request->done, 1); /* as the port would */
	}
}

static void buffer_complete(struct qr_log *log, struct qr_log_buffer *buffer)
{
	struct qr_vmm *vmm = log->swap->vmm;
	int err = buffer->request.result;

	if (!err) {
		qr_stat_add(&vmm->stats, QR_STAT_file_written_bytes, buffer->request.len_bytes);
		qr_cluster_detach(log, buffer->cluster, QR_CLUSTER_DISK);
		buffer->state = QR_BUFFER_IDLE;
		return;
	}
	qr_stat_add(&vmm->stats, QR_STAT_io_errors, 1);
	if (err == QR_ENOSPC) {
		if (qr_log_stop_growth(log))
			qr_port_log(vmm->port, QR_LOG_WARN, "the swap file's device is full: using the room there is");
		buffer_move_away(log, buffer, QR_CLUSTER_HOLE);
	} else if (buffer->nr_retries++ == 0) {
		buffer_submit(log, buffer);
	} else {
		qr_port_log(vmm->port, QR_LOG_WARN,
			    "writing to the swap file failed twice (error %d): trying elsewhere", -err);
		buffer_move_away(log, buffer, QR_CLUSTER_BAD);
	}
}

static void buffer_move_away(struct qr_log *log, struct qr_log_buffer *buffer, enum qr_cluster_state old_place)
{
	if (qr_cluster_live(log, buffer->cluster) == 0) {
		qr_cluster_detach(log, buffer->cluster, old_place);
		buffer->state = QR_BUFFER_IDLE;
	} else if (buffer->nr_places < MAX_PLACES && qr_cluster_replace(log, buffer->cluster, old_place)) {
		buffer->nr_places++;
		buffer->nr_retries = 0;
		buffer_submit(log, buffer);
	} else {
		buffer->state = QR_BUFFER_STUCK;
		log->no_place_until_ns = qr_port_now_ns() + QR_LOG_PAUSE_NS;
	}
}

/* Tries again: at another place if one was missing before and is there now, else at the same after a pause. */
static void buffer_unstick(struct qr_log *log, struct qr_log_buffer *buffer)
{
	bool is_own = qr_log_cluster(log, buffer->cluster)->file == log->file;
	bool is_pause_over = qr_port_now_ns() >= log->no_place_until_ns;

	if (qr_cluster_live(log, buffer->cluster) == 0) {
		qr_cluster_detach(log, buffer->cluster, QR_CLUSTER_HOLE);
		buffer->state = QR_BUFFER_IDLE;
		return;
	}
	if (!is_pause_over && (buffer->nr_places >= MAX_PLACES || !qr_log_has_free(log)))
		return;
	buffer->nr_retries = 0;
	if (is_pause_over)
		buffer->nr_places = 0;
	if (qr_log_has_free(log) || !is_own)
		buffer_move_away(log, buffer, QR_CLUSTER_HOLE);
	else
		buffer_submit(log, buffer);
}

static bool buffer_is_read(struct qr_log *log, struct qr_log_buffer *buffer)
{
	bool is_read;

	qr_spin_lock(&log->cluster_lock);
	is_read = buffer->nr_readers != 0;
	qr_spin_unlock(&log->cluster_lock);
	return is_read;
}
