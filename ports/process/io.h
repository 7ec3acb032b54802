/*
 * Block I/O of the process port: io_uring on swap files that are open with O_DIRECT where the file system takes it;
 * pread and pwrite where io_uring is not permitted.
 *
 * One ring per manager. Any thread submits; whoever waits reaps completions for all: one waiter at a time blocks in
 * the kernel, the others on io->event. After qr_io_init() nothing here allocates from the heap.
 *
 * Legend: (I) immutable  (S) submit_lock  (R) reap_lock  (A) atomic
 */
#ifndef QR_PROCESS_IO_H
#define QR_PROCESS_IO_H

#include <limits.h>
#include <pthread.h>

#include <liburing.h>

#include <quire/port.h>

/* A layer under which tests put failures: called for each transfer before it starts. */
struct qr_io_faults {
	/* 0: go on; else the transfer ends with that error. NULL: none. */
	int (*fail)(void *context, const struct qr_io_request *request);
	void *context;
};

struct qr_io {
	pthread_mutex_t submit_lock;
	pthread_mutex_t reap_lock;   /* outside of submit_lock */
	struct io_uring ring;        /* submission side (S), completion side (R) */
	bool is_ring_tried;          /* (S) the ring was set up, or the system forbids it */
	bool has_ring;               /* (A) written under (S) */
	bool is_synchronous;         /* (I) set by tests right after qr_io_init(): no ring */
	uint32_t nr_in_flight;       /* (A) */
	uint32_t event;              /* (A) futex word: bumped when completions were reaped */
	uint32_t nr_sleepers;        /* (A) on event */
	uint32_t nr_files;           /* (A) written under (S) */
	int fds[QR_MAX_SWAP_FILES];  /* (S) [file], set before nr_files counts it */
	uint32_t direct_files;       /* (A) bit i: file i is open with O_DIRECT */
	uint64_t max_bytes;          /* (I) bound of a swap file, 0: none */
	char swap_dir[PATH_MAX];     /* (I) empty: no swap files */
	struct qr_io_faults faults;  /* (I) after setup */
};

/* swap_dir NULL or empty: no swap files. Returns 0, QR_EINVAL (the path is too long) or QR_ENOMEM. A ring that is
 * not permitted is no error: io->has_ring tells. */
int qr_io_init(struct qr_io *io, const char *swap_dir, uint64_t max_bytes);
/* No transfer is in flight. */
void qr_io_destroy(struct qr_io *io);
/* In the child of a fork that happened with no transfer in flight: a ring of its own, made at its first transfer.
 * The parent's swap files stay open for reading. */
int qr_io_after_fork_child(struct qr_io *io);

/* As the functions of port.h with the same names. */
int qr_io_submit(struct qr_io *io, struct qr_io_request *request);
void qr_io_wait(struct qr_io *io, struct qr_io_request *request);
/* swapfile.c; QR_ENOSYS without a directory, QR_EAGAIN when QR_MAX_SWAP_FILES are open, QR_ENOENT, QR_EACCES,
 * QR_ENOSPC, QR_EIO. */
int qr_io_swap_open(struct qr_io *io, uint32_t *file);
void qr_io_swap_discard(struct qr_io *io, uint32_t file, uint64_t offset_bytes, uint64_t len_bytes);
/* Opens an unlinked file in a directory: a descriptor >= 0 or an error. *is_direct: with O_DIRECT. */
int qr_swapfile_create(const char *dir, bool *is_direct);
/* The error code of port.h for an errno of file and device calls. */
int qr_io_error(int error);

#endif
