/*
 * UFFDIO_MOVE, and what to believe of its answers.
 *
 * An error does not mean that nothing was moved. Seen on Linux 6.18: a call that meets a passing obstacle tries again
 * inside the kernel, moves the page, remembers the old error all the same, tries once more, finds the target taken
 * and reports EEXIST with nothing moved. So when the answer is EEXIST or ENOENT the page tables are asked, at both
 * ends, through /proc/self/pagemap.
 *
 * Moves never allow holes in the source: with the error above the kernel would not come back from one.
 *
 * Locks: the caller holds the page-table lock of the program's end; the slot is its own. So nobody else changes what
 * is at either end, except the kernel when a program drops memory behind the manager's back.
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "uffd_abi.h"

/* Passing errors of one page before the caller hears of them. */
#define MOVE_RETRIES 200u
#define MOVE_SPINS 8u

/* Entries of the pagemap that are read at a time. */
#define PAGEMAP_BATCH 64u
/* Bits of an entry of /proc/PID/pagemap; proc_pid_pagemap(5). */
#define PAGEMAP_SWAPPED (UINT64_C(1) << 62)
#define PAGEMAP_PRESENT (UINT64_C(1) << 63)

static bool move_injected(struct qr_port *port, uint32_t *len_bytes, bool *is_denied);

int qr_move_open(struct qr_port *port)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	port->pagemap_fd = fd < 0 ? -1 : qr_adopt_fd(fd);
	return fd < 0 ? -errno : 0;
}

void qr_move_close(struct qr_port *port)
{
	if (port->pagemap_fd >= 0)
		qr_close_fd(port->pagemap_fd);
	port->pagemap_fd = -1;
}

bool qr_move_backoff(unsigned *retries)
{
	if (++*retries > MOVE_RETRIES)
		return false;
	if (*retries > MOVE_SPINS)
		sched_yield();
	return true;
}

/* One ioctl. Returns 0 or its errno; *moved_bytes tells how far it went by its own account in any case.
 * The kernel moves within one of its own VMAs at each end. What is one VMA to core may be several there, since the
 * kernel joins only neighbours that share their anon_vma; a run across such a border fails with EINVAL and is
 * halved. */
static int move_once(struct qr_port *port, int uffd, uint64_t dst, uint64_t src, uint32_t len_bytes,
		     uint32_t *moved_bytes)
{
	struct uffdio_move move = {.dst = dst, .src = src};
	bool is_denied = false;

	*moved_bytes = 0;
	if (move_injected(port, &len_bytes, &is_denied))
		return errno;
	for (;;) {
		move.len = len_bytes;
		move.move = 0;
		if (!ioctl(uffd, UFFDIO_MOVE, &move)) {
			*moved_bytes = is_denied ? 0 : len_bytes;
			return is_denied ? EEXIST : 0;
		}
		if (errno != EINVAL || len_bytes == QR_PAGE_SIZE)
			break;
		len_bytes = QR_ALIGN_UP(len_bytes / 2, (uint32_t)QR_PAGE_SIZE);
	}
	*moved_bytes = move.move > 0 ? (uint32_t)move.move : 0;
	return errno;
}

int qr_move(struct qr_port *port, int uffd, uint64_t dst, uint64_t src, uint32_t len_bytes, uint32_t *moved_bytes)
{
	int error = move_once(port, uffd, dst, src, len_bytes, moved_bytes);
	bool has_dst, has_src;

	if (error != EEXIST && error != ENOENT && error != EBUSY)
		return error;
	has_dst = qr_pages_there(port, dst + *moved_bytes, 1);
	has_src = qr_pages_there(port, src + *moved_bytes, 1);
	if (has_dst && !has_src) {
		struct uffdio_range range = {.start = dst + *moved_bytes, .len = QR_PAGE_SIZE};

		/* It was moved after all, and nobody was woken. */
		(void)ioctl(uffd, UFFDIO_WAKE, &range);
		*moved_bytes += QR_PAGE_SIZE;
		return *moved_bytes < len_bytes ? EAGAIN : 0;
	}
	if (has_dst)
		return EEXIST;
	if (!has_src)
		return ENOENT;
	return error == EBUSY ? EBUSY : EAGAIN;
}

uint32_t qr_pages_there(const struct qr_port *port, uint64_t va, uint32_t nr)
{
	uint64_t entries[PAGEMAP_BATCH];
	uint32_t nr_there = 0;

	while (nr_there < nr) {
		uint32_t nr_read = QR_MIN(nr - nr_there, PAGEMAP_BATCH);
		size_t wanted = nr_read * sizeof(entries[0]);
		off_t offset = (off_t)(((va >> QR_PAGE_SHIFT) + nr_there) * sizeof(entries[0]));

		/* Without an answer no page could be told from a hole. */
		QR_BUG_ON(pread(port->pagemap_fd, entries, wanted, offset) != (ssize_t)wanted);
		for (uint32_t i = 0; i < nr_read; i++, nr_there++) {
			if (!(entries[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)))
				return nr_there;
		}
	}
	return nr_there;
}

/* Test hook: every n-th move is cut short, fails for a passing reason, or succeeds and is denied. True: it is not to
 * be made, errno is set. */
static bool move_injected(struct qr_port *port, uint32_t *len_bytes, bool *is_denied)
{
	uint32_t nr_hits;

	if (!qr_inject_hits(&port->inject.moves, &nr_hits))
		return false;
	switch (nr_hits % 5) {
	case 0:
		errno = EAGAIN;
		return true;
	case 1:
		errno = EBUSY;
		return true;
	case 2:
		errno = ENOENT;
		return true;
	case 3:
		/* As the kernel does it: of one page, the first that it has not accounted for. */
		*is_denied = true;
		*len_bytes = QR_PAGE_SIZE;
		return false;
	default:
		*len_bytes = QR_ALIGN_UP(*len_bytes / 2, (uint32_t)QR_PAGE_SIZE);
		return false;
	}
}
