/*
 * Block I/O of the process port. See io.h for who submits and who reaps.
 *
 * request->port_private counts the bytes that were transferred so far, for transfers that the kernel cuts short.
 * Locks: reap_lock, then submit_lock.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "process.h"

#define RING_ENTRIES 128u
/* Completions that the ring holds without spilling: submitters reap from here on. */
#define MAX_UNREAPED (2 * RING_ENTRIES)
#define NR_SUBMIT_TRIES 1000u

static bool io_has_ring(struct qr_io *io);
static void io_set_up_ring(struct qr_io *io);
static void io_queue(struct qr_io *io, struct qr_io_request *request);
static void io_push(struct qr_io *io);
static void io_reap(struct qr_io *io);
static void io_reap_end(struct qr_io *io);
static void io_set_progress(struct qr_io_request *request, uint32_t done_bytes);
static uint32_t io_progress(struct qr_io_request *request);
static bool io_continue(struct qr_io *io, struct qr_io_request *request, int result);
static void io_run(struct qr_io *io, struct qr_io_request *request);
static void io_complete(struct qr_io_request *request, int result);
static void io_leave_direct(struct qr_io *io, uint32_t file);
static long io_futex(uint32_t *word, int operation, uint32_t value);

/* ---- The port's functions ---- */

int qr_port_io_submit(struct qr_port *port, struct qr_io_request *request)
{
	int err;

	if (request->may_block)
		qr_handler_wait_begin();
	err = qr_io_submit(&port->io, request);
	qr_handler_wait_end();
	return err;
}

void qr_port_io_wait(struct qr_port *port, struct qr_io_request *request)
{
	if (!__atomic_load_n(&request->done, __ATOMIC_ACQUIRE))
		qr_handler_wait_begin();
	qr_io_wait(&port->io, request);
	qr_handler_wait_end();
}

int qr_port_swap_open(struct qr_port *port, uint32_t *file)
{
	return qr_io_swap_open(&port->io, file);
}

void qr_port_swap_discard(struct qr_port *port, uint32_t file, uint64_t offset_bytes, uint64_t len_bytes)
{
	qr_io_swap_discard(&port->io, file, offset_bytes, len_bytes);
}

/* ---- Life ---- */

int qr_io_init(struct qr_io *io, const char *swap_dir, uint64_t max_bytes)
{
	memset(io, 0, sizeof(*io));
	if (swap_dir && strlen(swap_dir) >= sizeof(io->swap_dir))
		return QR_EINVAL;
	if (swap_dir)
		(void)snprintf(io->swap_dir, sizeof(io->swap_dir), "%s", swap_dir);
	io->max_bytes = max_bytes;
	if (pthread_mutex_init(&io->submit_lock, NULL) || pthread_mutex_init(&io->reap_lock, NULL))
		return QR_ENOMEM;
	if (io->swap_dir[0])
		io_set_up_ring(io);
	return 0;
}

static void io_close_ring(struct qr_io *io)
{
	qr_unprotect_fd(io->ring.ring_fd);
	io_uring_queue_exit(&io->ring);
}

void qr_io_destroy(struct qr_io *io)
{
	if (io->has_ring)
		io_close_ring(io);
	for (uint32_t i = 0; i < io->nr_files; i++)
		qr_close_fd(io->fds[i]);
	pthread_mutex_destroy(&io->submit_lock);
	pthread_mutex_destroy(&io->reap_lock);
	io->has_ring = false;
	io->nr_files = 0;
}

int qr_io_after_fork_child(struct qr_io *io)
{
	/* The parent's ring is mapped here too: using it would act in the parent's name. */
	if (io->has_ring)
		io_close_ring(io);
	io->has_ring = false;
	io->is_ring_tried = false;
	io->nr_in_flight = 0;
	io->nr_sleepers = 0;
	if (pthread_mutex_init(&io->submit_lock, NULL) || pthread_mutex_init(&io->reap_lock, NULL))
		return QR_ENOMEM;
	return 0;
}

/* ---- Transfers ---- */

int qr_io_submit(struct qr_io *io, struct qr_io_request *request)
{
	int err = io->faults.fail ? io->faults.fail(io->faults.context, request) : 0;

	if (request->file >= __atomic_load_n(&io->nr_files, __ATOMIC_ACQUIRE))
		return QR_EINVAL;
	io_set_progress(request, 0);
	if (!err && request->is_write && io->max_bytes &&
	    (request->offset_bytes > io->max_bytes || request->len_bytes > io->max_bytes - request->offset_bytes))
		err = QR_ENOSPC;
	if (err) {
		io_complete(request, err);
		return 0;
	}
	/* A plain read costs no hand-over to the ring and back. */
	if (request->may_block || !io_has_ring(io)) {
		io_run(io, request);
		return 0;
	}
	if (__atomic_fetch_add(&io->nr_in_flight, 1, __ATOMIC_RELAXED) >= MAX_UNREAPED &&
	    !pthread_mutex_trylock(&io->reap_lock)) {
		io_reap(io);
		io_reap_end(io);
	}
	io_queue(io, request);
	return 0;
}

void qr_io_wait(struct qr_io *io, struct qr_io_request *request)
{
	/* Acquire pairs with the release in io_complete(). */
	while (!__atomic_load_n(&request->done, __ATOMIC_ACQUIRE)) {
		uint32_t seen = __atomic_load_n(&io->event, __ATOMIC_ACQUIRE);

		if (!pthread_mutex_trylock(&io->reap_lock)) {
			/* Nobody else reaps while the lock is held: if it is not done it is still to come. */
			if (!__atomic_load_n(&request->done, __ATOMIC_ACQUIRE)) {
				struct io_uring_cqe *cqe;
				int err;

				io_push(io);
				err = io_uring_wait_cqe(&io->ring, &cqe);
				if (err && err != -EINTR && err != -EAGAIN)
					qr_port_panic(__FILE__, __LINE__, "the io_uring of the swap file is gone");
				io_reap(io);
			}
			io_reap_end(io);
		} else {
			(void)__atomic_fetch_add(&io->nr_sleepers, 1, __ATOMIC_SEQ_CST);
			if (!__atomic_load_n(&request->done, __ATOMIC_ACQUIRE))
				(void)io_futex(&io->event, FUTEX_WAIT_PRIVATE, seen);
			(void)__atomic_fetch_sub(&io->nr_sleepers, 1, __ATOMIC_RELAXED);
		}
	}
}

int qr_io_error(int error)
{
	switch (error) {
	case 0:
		return 0;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return QR_ENOSPC;
	case ENOENT:
	case ENOTDIR:
		return QR_ENOENT;
	case EACCES:
	case EPERM:
	case EROFS:
		return QR_EACCES;
	default:
		return QR_EIO;
	}
}

static bool io_has_ring(struct qr_io *io)
{
	if (io->is_synchronous)
		return false;
	/* Acquire pairs with the release in io_set_up_ring(). */
	if (qr_likely(__atomic_load_n(&io->has_ring, __ATOMIC_ACQUIRE)))
		return true;
	pthread_mutex_lock(&io->submit_lock);
	if (!io->is_ring_tried)
		io_set_up_ring(io);
	pthread_mutex_unlock(&io->submit_lock);
	return __atomic_load_n(&io->has_ring, __ATOMIC_ACQUIRE);
}

static void io_set_up_ring(struct qr_io *io)
{
	bool has_ring = io_uring_queue_init(RING_ENTRIES, &io->ring, 0) == 0;

	if (has_ring) {
		io->ring.ring_fd = qr_adopt_fd(io->ring.ring_fd);
		io->ring.enter_ring_fd = io->ring.ring_fd;
	}
	io->is_ring_tried = true;
	__atomic_store_n(&io->has_ring, has_ring, __ATOMIC_RELEASE);
}

/* Hands what is left of a request to the kernel. */
static void io_queue(struct qr_io *io, struct qr_io_request *request)
{
	uint32_t done_bytes = io_progress(request);
	uint8_t *buffer = (uint8_t *)request->buffer + done_bytes;
	uint64_t offset_bytes = request->offset_bytes + done_bytes;
	struct io_uring_sqe *sqe;

	pthread_mutex_lock(&io->submit_lock);
	/* Each entry is pushed at once, so one is free unless the kernel refused before. */
	while (!(sqe = io_uring_get_sqe(&io->ring))) {
		(void)io_uring_submit(&io->ring);
		sched_yield();
	}
	if (request->is_write)
		io_uring_prep_write(sqe, io->fds[request->file], buffer, request->len_bytes - done_bytes, offset_bytes);
	else
		io_uring_prep_read(sqe, io->fds[request->file], buffer, request->len_bytes - done_bytes, offset_bytes);
	io_uring_sqe_set_data(sqe, request);
	for (uint32_t i = 0; i < NR_SUBMIT_TRIES && io_uring_submit(&io->ring) < 0; i++)
		sched_yield(); /* short of memory for a moment; a waiter pushes it if that lasts */
	pthread_mutex_unlock(&io->submit_lock);
}

/* Entries that the kernel refused when they were queued. */
static void io_push(struct qr_io *io)
{
	pthread_mutex_lock(&io->submit_lock);
	while (io_uring_sq_ready(&io->ring) && io_uring_submit(&io->ring) < 0)
		sched_yield();
	pthread_mutex_unlock(&io->submit_lock);
}

/* Completes what has arrived; reap_lock held. */
static void io_reap(struct qr_io *io)
{
	struct io_uring_cqe *cqe;

	while (!io_uring_peek_cqe(&io->ring, &cqe)) {
		struct qr_io_request *request = io_uring_cqe_get_data(cqe);
		int result = cqe->res;

		io_uring_cqe_seen(&io->ring, cqe);
		if (io_continue(io, request, result))
			io_queue(io, request);
		else
			(void)__atomic_fetch_sub(&io->nr_in_flight, 1, __ATOMIC_RELAXED);
	}
}

/* Lets go of reap_lock and wakes the other waiters: some are done, one of the rest reaps next. */
static void io_reap_end(struct qr_io *io)
{
	pthread_mutex_unlock(&io->reap_lock);
	(void)__atomic_fetch_add(&io->event, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&io->nr_sleepers, __ATOMIC_SEQ_CST))
		(void)io_futex(&io->event, FUTEX_WAKE_PRIVATE, INT_MAX);
}

/* The bytes transferred so far. Release here and acquire there carry the request from the thread that submits to the
 * one that reaps; the kernel between them orders it in fact, but no tool can see that. */
static void io_set_progress(struct qr_io_request *request, uint32_t done_bytes)
{
	__atomic_store_n(&request->port_private, (void *)(uintptr_t)done_bytes, __ATOMIC_RELEASE);
}

static uint32_t io_progress(struct qr_io_request *request)
{
	return (uint32_t)(uintptr_t)__atomic_load_n(&request->port_private, __ATOMIC_ACQUIRE);
}

/* Takes in what the kernel says of a transfer: bytes or -errno. True if there is more to do, else it is completed. */
static bool io_continue(struct qr_io *io, struct qr_io_request *request, int result)
{
	uint32_t before = io_progress(request);
	uint32_t direct = __atomic_load_n(&io->direct_files, __ATOMIC_RELAXED) >> request->file & 1;
	uint32_t done_bytes;

	if (result == -EINTR || result == -EAGAIN)
		return true;
	if (result == -EINVAL && direct) { /* some file systems take the flag and then refuse */
		io_leave_direct(io, request->file);
		return true;
	}
	if (result <= 0) {
		io_complete(request, result ? qr_io_error(-result) : QR_EIO);
		return false;
	}
	done_bytes = before + (uint32_t)result;
	if (done_bytes >= request->len_bytes) {
		io_complete(request, 0);
		return false;
	}
	if (direct) /* goes on at a whole block */
		done_bytes = QR_ALIGN_DOWN(done_bytes, QR_IO_ALIGN);
	if (done_bytes == before) {
		io_complete(request, QR_EIO);
		return false;
	}
	io_set_progress(request, done_bytes);
	return true;
}

/* The transfer without a ring, in the caller's time. */
static void io_run(struct qr_io *io, struct qr_io_request *request)
{
	ssize_t result;

	do {
		uint32_t done_bytes = io_progress(request);
		uint8_t *buffer = (uint8_t *)request->buffer + done_bytes;
		off_t offset_bytes = (off_t)(request->offset_bytes + done_bytes);

		if (request->is_write)
			result = pwrite(io->fds[request->file], buffer, request->len_bytes - done_bytes, offset_bytes);
		else
			result = pread(io->fds[request->file], buffer, request->len_bytes - done_bytes, offset_bytes);
		if (result < 0)
			result = -errno;
	} while (io_continue(io, request, (int)result));
}

/* The request is its owner's again once done is set: only its address is used after that. */
static void io_complete(struct qr_io_request *request, int result)
{
	uint32_t *done = &request->done;

	request->result = result;
	__atomic_store_n(done, 1, __ATOMIC_RELEASE);
	(void)io_futex(done, FUTEX_WAKE_PRIVATE, INT_MAX);
}

static void io_leave_direct(struct qr_io *io, uint32_t file)
{
	int flags = fcntl(io->fds[file], F_GETFL);

	(void)__atomic_fetch_and(&io->direct_files, ~(1u << file), __ATOMIC_RELAXED);
	if (flags >= 0)
		(void)fcntl(io->fds[file], F_SETFL, flags & ~O_DIRECT);
}

static long io_futex(uint32_t *word, int operation, uint32_t value)
{
	int saved = errno;
	long result = syscall(SYS_futex, word, operation, value, NULL, NULL, 0);

	errno = saved; /* this runs inside faults of code that may be looking at errno */
	return result;
}
