/*
 * The file tier: a log of records in clusters.
 *
 * A cluster has a place in a swap file. It is filled in a memory buffer, written in one transfer, and free again when
 * its last live record is gone. The record of a slot never moves by itself; garbage collection copies it to the end
 * of the log. All memory that writing needs is set aside at the start.
 *
 *   NONE -> (place taken) -> OPEN: in a buffer, being filled, in flight or waiting for a place that works
 *        -> DISK -> FREE (place reusable) -> OPEN ...
 *   HOLE: a place that the device had no room for      BAD: a place that fails
 *
 * Locks: log->lock (QR_RANK_SWAP_IO, a mutex, may wait for the device) for whoever appends; log->cluster_lock (spin,
 * QR_RANK_ZPOOL) for clusters and the readers of buffers, so that slots are dropped and loaded without the mutex.
 * (M) mutex  (C) cluster_lock  (I) immutable  (A) atomic  (M)(C) either to read, both to write
 */
#ifndef QR_CORE_SWAP_LOG_H
#define QR_CORE_SWAP_LOG_H

#include <quire/port.h>

#include "swap/sparse.h"

struct qr_swap;

#define QR_LOG_BUFFERS 4u
#define QR_LOG_NO_FILE 255u
#define QR_LOG_NO_BUFFER 255u
#define QR_CLUSTER_NONE UINT32_MAX
#define QR_CLUSTER_LEAF_SHIFT 7u
#define QR_LOG_TOKENS 64
/* Free clusters kept for writes that failed elsewhere and for garbage collection: each buffer may need one. */
#define QR_LOG_RESERVE (QR_LOG_BUFFERS + 1)
#define QR_READ_TRIES 3u
/* After the device was full or failed: how long until it is tried again. */
#define QR_LOG_PAUSE_NS 1000000000ull

/* As it is in the file, 16-byte aligned; the payload follows. */
struct qr_record {
	uint32_t slot;
	uint16_t len_bytes;  /* of the payload; 0 ends the cluster */
	uint16_t generation; /* of the cluster: tells a record of an earlier life of the place */
	uint64_t check;      /* qr_port_checksum() of the payload */
};
#define QR_RECORD_ALIGN 16u
_Static_assert(sizeof(struct qr_record) == QR_RECORD_ALIGN, "format of the swap file");

enum qr_cluster_state {
	QR_CLUSTER_SPARE, /* descriptor without a place */
	QR_CLUSTER_FREE,
	QR_CLUSTER_HOLE,
	QR_CLUSTER_OPEN,
	QR_CLUSTER_DISK,
	QR_CLUSTER_BAD,
};

struct qr_cluster {
	uint64_t frozen;     /* (C) bit i: freeze token i needs the content */
	uint32_t live_bytes; /* (C) of records that slots refer to */
	uint32_t next;       /* (C) of the list of its state; else scratch of qr_log_is_valid() */
	uint32_t position;   /* (C) in the file, in clusters; changes only while OPEN, by the holder of (M) */
	uint32_t used_bytes; /* (M) records, live or not */
	uint16_t generation; /* (C) */
	uint16_t nr_pins;    /* (C) readers of the place: it is not reused under them */
	uint8_t file;        /* (C) */
	uint8_t state;       /* (C) enum qr_cluster_state */
	uint8_t buffer;      /* (C) index while OPEN, else QR_LOG_NO_BUFFER */
	bool is_unmovable;   /* (C) could not be read back: not collected again */
};
_Static_assert(sizeof(struct qr_cluster) << QR_CLUSTER_LEAF_SHIFT == QR_PAGE_SIZE, "a leaf is one frame");

enum qr_buffer_state {
	QR_BUFFER_IDLE,
	QR_BUFFER_FILLING,
	QR_BUFFER_FLIGHT,
	QR_BUFFER_STUCK, /* no place takes it now; the data stays */
};

struct qr_log_buffer {
	struct qr_frame *frames; /* (I) */
	uint8_t *data;           /* (I) */
	uint32_t cluster;        /* (M) */
	uint32_t used_bytes;     /* (M) */
	uint32_t nr_readers;     /* (C) */
	enum qr_buffer_state state; /* (M) */
	uint32_t nr_retries;     /* (M) at this place */
	uint32_t nr_places;      /* (M) tried since it was last stuck */
	struct qr_io_request request; /* (M) */
};

struct qr_cluster_list {
	uint32_t head; /* QR_CLUSTER_NONE ends */
	uint32_t nr;
};

struct qr_log {
	struct qr_swap *swap;        /* (I) */
	struct qr_mutex lock;
	struct qr_spinlock cluster_lock;
	uint32_t cluster_bytes;      /* (I) */
	uint32_t buffer_order;       /* (I) */
	uint32_t max_clusters;       /* (I) of the current file */
	uint32_t nr_reserve;         /* (I) */
	uint32_t file;               /* (M)(C) the one written, QR_LOG_NO_FILE: not opened yet */
	bool is_disabled;            /* (A) written under (M): there is no file to be had, ever */
	struct qr_sparse clusters;   /* (C) */
	uint32_t nr_clusters;        /* (C) descriptors */
	uint32_t end_position;       /* (C) places of the current file that were ever taken */
	uint32_t nr_disk;            /* (C) clusters in use in the current file */
	uint64_t live_bytes;         /* (C) all files */
	uint64_t own_live_bytes;     /* (C) current file */
	struct qr_cluster_list spare, free, holes; /* (C) */
	uint64_t no_growth_until_ns; /* (C) the device was full */
	uint64_t no_place_until_ns;  /* (M) writes failed everywhere */
	uint64_t no_open_until_ns;   /* (M) */
	struct qr_log_buffer buffers[QR_LOG_BUFFERS];
	uint32_t open;               /* (M) buffer being filled, QR_LOG_NO_BUFFER: none */
	struct qr_log_buffer collector; /* (M) for garbage collection: data and request only */
	uint32_t collect_cursor;     /* (M) */
	uint64_t tokens;             /* (C) freeze tokens given out */
};

/* Where a record can be read: at address, if not NULL (in a buffer), else in the file. */
struct qr_log_place {
	const uint8_t *address;
	uint64_t offset_bytes; /* of the record in the file */
	uint32_t cluster;
	uint32_t file;
	uint32_t buffer;
	uint16_t generation;
};

/* log.c: life, appending */
int qr_log_init(struct qr_log *log, struct qr_swap *swap, uint32_t cluster_bytes, uint64_t max_bytes) QR_WARN_UNUSED;
void qr_log_destroy(struct qr_log *log);
/* Appends one record for a new slot and publishes it. Returns 0 or QR_ENOSPC. May sleep. */
int qr_log_append(struct qr_log *log, uint32_t slot, const void *data, uint32_t len_bytes) QR_WARN_UNUSED;
/* Moves the oldest pool content to the log until nr_frames were given back; returns how many. May sleep. */
uint32_t qr_log_take_from_pool(struct qr_log *log, uint32_t nr_frames);
/* Makes room for one record of any size in the open buffer; log->lock held. Returns 0 or QR_ENOSPC. May sleep. */
int qr_log_prepare(struct qr_log *log) QR_WARN_UNUSED;
bool qr_log_has_room(const struct qr_log *log);
/* Where the next record goes, and the slot value that says so; log->lock held, there is room. */
struct qr_record *qr_log_next_record(struct qr_log *log);
uint64_t qr_log_next_value(struct qr_log *log);
/* Writes the head of the next record, whose payload is in place, and steps behind it. */
void qr_log_seal_record(struct qr_log *log, uint32_t slot, uint32_t len_bytes, uint64_t check);

/* write.c: buffers and the device; log->lock held, may sleep */
/* Closes the open buffer and opens another. is_reserved: may use the reserve. Returns 0 or QR_ENOSPC. */
int qr_log_open_next(struct qr_log *log, bool is_reserved) QR_WARN_UNUSED;
/* Opens the swap file if there is none yet. Returns 0 or QR_ENOSPC. */
int qr_log_open_file(struct qr_log *log) QR_WARN_UNUSED;
/* Writes out what is in buffers. Returns 0, QR_ENOSPC or QR_EIO if some could not be written. */
int qr_log_flush(struct qr_log *log) QR_WARN_UNUSED;
/* Waits for what is in flight; what fails is lost: for the end of the swap. */
void qr_log_abandon(struct qr_log *log);
/* One transfer, awaited, tried up to nr_tries times. Needs no lock. Returns 0 or an error. */
int qr_log_read_sync(struct qr_log *log, struct qr_io_request *request, uint32_t nr_tries) QR_WARN_UNUSED;

/* cluster.c: descriptors and places; cluster_lock is taken inside */
struct qr_cluster *qr_log_cluster(const struct qr_log *log, uint32_t cluster);
/* A cluster with a place in the current file; QR_CLUSTER_NONE: none. It is OPEN with the buffer attached. */
uint32_t qr_cluster_take(struct qr_log *log, bool is_reserved, uint32_t buffer);
/* The same at a place that was never written, or where the device had no room. */
uint32_t qr_cluster_grow(struct qr_log *log, uint32_t buffer);
/* The place failed: gives the cluster another one and files the old one as HOLE or BAD. False: there is none. */
bool qr_cluster_replace(struct qr_log *log, uint32_t cluster, enum qr_cluster_state old_place);
/* The buffer was written (or had nothing live): the cluster is on DISK from now on, or its place is a HOLE or BAD. */
void qr_cluster_detach(struct qr_log *log, uint32_t cluster, enum qr_cluster_state state);
void qr_cluster_add_live(struct qr_log *log, uint32_t cluster, uint32_t nr_bytes);
void qr_cluster_drop_live(struct qr_log *log, uint32_t cluster, uint32_t nr_bytes);
uint32_t qr_cluster_live(struct qr_log *log, uint32_t cluster);
/* Finds where the record at offset can be read and keeps it there until qr_cluster_unpin(). */
void qr_cluster_pin(struct qr_log *log, uint32_t cluster, uint32_t offset_bytes, struct qr_log_place *place);
void qr_cluster_unpin(struct qr_log *log, const struct qr_log_place *place);
bool qr_cluster_is_buffered(struct qr_log *log, uint32_t cluster);
/* Number of places that may be taken without the reserve. */
uint32_t qr_log_nr_places(struct qr_log *log);
/* True when the file would grow although less than half of it is live. */
bool qr_log_is_sparse(struct qr_log *log);
bool qr_log_has_free(struct qr_log *log);
/* The device has no room: takes no new places for a while. False if that was so already. */
bool qr_log_stop_growth(struct qr_log *log);
/* Files a cluster that nobody needs any more; cluster_lock held. */
void qr_cluster_settle_locked(struct qr_log *log, uint32_t cluster);
void qr_cluster_push_locked(struct qr_log *log, struct qr_cluster_list *list, uint32_t cluster,
			    enum qr_cluster_state state);
/* Descriptors, lists and places agree; live_bytes is compared with what the caller summed up in next. */
bool qr_log_is_valid(struct qr_log *log);
/* Sets that sum to 0 for every cluster that may have live records. */
void qr_log_begin_check(struct qr_log *log);

/* gc.c: frees up to nr clusters that have at most max_live bytes live by copying those to the end of the log;
 * log->lock held; returns how many. May sleep. */
uint32_t qr_log_collect(struct qr_log *log, uint32_t nr, uint32_t max_live_bytes);

/* freeze.c */
int qr_log_freeze(struct qr_log *log) QR_WARN_UNUSED;
void qr_log_thaw(struct qr_log *log, int token);
void qr_log_after_fork_child(struct qr_log *log);

static inline uint32_t qr_record_size(uint32_t len_bytes)
{
	return (uint32_t)sizeof(struct qr_record) + QR_ALIGN_UP(len_bytes, QR_RECORD_ALIGN);
}

#define QR_RECORD_MAX ((uint32_t)sizeof(struct qr_record) + (uint32_t)QR_PAGE_SIZE)

static inline uint64_t qr_log_value(uint32_t cluster, uint32_t offset_bytes)
{
	return cluster | (uint64_t)offset_bytes << 32;
}

#endif
