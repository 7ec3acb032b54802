/*
 * Frames and translation under userfaultfd.
 *
 * A frame of the pool is moved to the program's address and back (UFFDIO_MOVE, Linux 6.8). Where a move is not
 * possible the page is copied and the slot emptied:
 *   - read-only targets, which the kernel does not move into;
 *   - pages that a forked child still shares (EBUSY): on the way out the sharing is broken first;
 *   - kernels without UFFDIO_MOVE: copied in; on the way out write-protected, copied and dropped.
 * Moves themselves are in move.c.
 */
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "pin.h"
#include "uffd_abi.h"

void *qr_port_frame_address(struct qr_port *port, qr_pfn_t pfn)
{
	return port->pool + ((uint64_t)pfn.nr << QR_PAGE_SHIFT);
}

bool qr_port_is_exclusive(struct qr_port *port)
{
	(void)port;
	return true;
}

/* The memory behind slots goes back to the kernel; they read as zero when next touched. */
static void slot_empty(uint8_t *slot, uint64_t len_bytes)
{
	QR_BUG_ON(qr_kernel_madvise((uint64_t)(uintptr_t)slot, len_bytes, MADV_DONTNEED));
}

void qr_port_frames_zero(struct qr_port *port, qr_pfn_t pfn, uint32_t nr, bool is_fresh)
{
	uint8_t *slot = qr_port_frame_address(port, pfn);
	size_t len_bytes = (size_t)nr << QR_PAGE_SHIFT;

	/* A fresh slot is a hole: the kernel zeroes what it puts there. */
	if (!is_fresh)
		memset(slot, 0, len_bytes);
	else if (nr == 1 || qr_kernel_madvise((uint64_t)(uintptr_t)slot, len_bytes, MADV_POPULATE_WRITE))
		for (uint32_t i = 0; i < nr; i++)
			*(volatile uint8_t *)(slot + i * QR_PAGE_SIZE) = 0;
}

void qr_port_frames_release(struct qr_port *port, qr_pfn_t pfn, uint32_t nr)
{
	slot_empty(qr_port_frame_address(port, pfn), (uint64_t)nr << QR_PAGE_SHIFT);
}

void qr_port_wake_faulters(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint64_t len_bytes)
{
	struct uffdio_range range = {.start = va, .len = len_bytes};

	(void)space;
	(void)ioctl(port->uffd_space, UFFDIO_WAKE, &range);
}

/* Copies one page in and empties its slot. */
static int copy_in(struct qr_port *port, uint64_t va, uint8_t *slot)
{
	struct uffdio_copy copy = {.dst = va, .src = (uint64_t)(uintptr_t)slot, .len = QR_PAGE_SIZE};
	unsigned retries = 0;

	while (ioctl(port->uffd_space, UFFDIO_COPY, &copy))
		if (errno != EAGAIN || !qr_move_backoff(&retries))
			return errno;
	slot_empty(slot, QR_PAGE_SIZE);
	return 0;
}

static int map_error(int error)
{
	switch (error) {
	case 0:
		return 0;
	case EEXIST:
		return QR_EEXIST;
	case ENOMEM:
		return QR_ENOMEM;
	case ENOENT:
	case EINVAL:
	case EFAULT:
	case ESRCH:
		return QR_EFAULT;
	default:
		return QR_EAGAIN;
	}
}

int qr_port_map(struct qr_port *port, struct qr_port_space *space, uint64_t va, qr_pfn_t pfn, uint32_t nr,
		uint32_t prot, uint32_t *nr_done)
{
	uint8_t *slot = qr_port_frame_address(port, pfn);
	uint32_t len_bytes = nr << QR_PAGE_SHIFT;
	uint32_t done = 0;
	unsigned retries = 0;
	int error = 0;

	(void)space;
	while (done < len_bytes && !error) {
		uint32_t moved = 0;

		if (port->has_move && prot & QR_PROT_WRITE)
			error = qr_move(port, port->uffd_space, va + done, (uint64_t)(uintptr_t)slot + done,
					len_bytes - done, &moved);
		else
			error = EBUSY;
		done += moved;
		if (moved)
			retries = 0;
		if (error == EBUSY) {
			error = copy_in(port, va + done, slot + done);
			done += error ? 0 : QR_PAGE_SIZE;
		} else if (error == ENOENT) {
			/* The slot was never touched: there is a page of zeros there afterwards. */
			(void)__atomic_fetch_or(slot + done, 0, __ATOMIC_RELAXED);
			error = qr_move_backoff(&retries) ? 0 : ENOENT;
		} else if (error == EAGAIN && qr_move_backoff(&retries)) {
			error = 0;
		}
	}
	*nr_done = done >> QR_PAGE_SHIFT;
	return map_error(error);
}

/* Makes the first pages of the range this process's own again after a fork: a write fault without a change. Never
 * beyond a hole, whose fault would wait for the very thread that is here. */
static void break_sharing(const struct qr_port *port, uint64_t va, uint32_t len_bytes)
{
	uint32_t nr = qr_pages_there(port, va, len_bytes >> QR_PAGE_SHIFT);

	if (nr)
		(void)qr_kernel_madvise(va, (uint64_t)nr << QR_PAGE_SHIFT, MADV_POPULATE_WRITE);
}

/* A slot whose frame is mapped is empty, unless a stray read left a page of zeros there. Anything else would be a page
 * in two places. */
static void slot_clear_stray(uint8_t *slot)
{
	const uint64_t *words = (const void *)slot;

	for (uint32_t i = 0; i < QR_PAGE_SIZE / sizeof(words[0]); i++)
		QR_BUG_ON(words[i]);
	slot_empty(slot, QR_PAGE_SIZE);
}

static int move_out(struct qr_port *port, uint64_t va, uint8_t *slot, uint32_t len_bytes, uint32_t *done)
{
	unsigned retries = 0;
	int error = 0;

	*done = 0;
	while (*done < len_bytes) {
		uint32_t moved;

		error = qr_move(port, port->uffd_pool, (uint64_t)(uintptr_t)slot + *done, va + *done, len_bytes - *done,
				&moved);
		*done += moved;
		if (error == ENOENT) /* the machine dropped it: the empty slot reads as zero */
			*done += QR_PAGE_SIZE;
		if (moved || error == ENOENT)
			retries = 0;
		if (!error || error == ENOENT)
			continue;
		if (!qr_move_backoff(&retries))
			return error;
		if (error == EBUSY)
			break_sharing(port, va + *done, len_bytes - *done);
		else if (error == EEXIST)
			slot_clear_stray(slot + *done);
		else if (error != EAGAIN)
			return error;
	}
	return 0;
}

/* Without moves: no write gets through from the first step on, so the copy is complete. A thread that writes
 * meanwhile waits for the fault handler, which waits for the page-table lock that our caller holds. */
static int copy_out(struct qr_port *port, uint64_t va, uint8_t *slot, uint32_t len_bytes, uint32_t *done)
{
	struct uffdio_writeprotect protect = {
		.range = {.start = va, .len = len_bytes},
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	unsigned retries = 0;

	*done = 0;
	while (ioctl(port->uffd_space, UFFDIO_WRITEPROTECT, &protect))
		if (errno != EAGAIN || !qr_move_backoff(&retries))
			return errno;
	memcpy(slot, (void *)(uintptr_t)va, len_bytes);
	QR_BUG_ON(qr_kernel_madvise(va, len_bytes, MADV_DONTNEED));
	protect.mode = 0;
	(void)ioctl(port->uffd_space, UFFDIO_WRITEPROTECT, &protect);
	*done = len_bytes;
	return 0;
}

/* Between unmap_begin() and unmap_end(). */
static __thread bool is_unmap_group;

int qr_port_unmap(struct qr_port *port, struct qr_port_space *space, uint64_t va, qr_pfn_t pfn, uint32_t nr,
		  uint32_t prot, uint32_t *nr_done)
{
	uint8_t *slot = qr_port_frame_address(port, pfn);
	uint32_t len_bytes = nr << QR_PAGE_SHIFT;
	uint32_t done = 0;
	int error;

	/* A system call of the program is at it. The program itself may take its pages away all the same. */
	if (!is_unmap_group && qr_pins_meet(va, va + len_bytes)) {
		*nr_done = 0;
		return QR_EBUSY;
	}
	if (!(prot & QR_PROT_WRITE)) {
		/* The kernel moves writable pages only. The caller is about to drop the range or to change it. */
		error = qr_kernel_mprotect(va, len_bytes, PROT_READ | PROT_WRITE) ? errno : 0;
		if (error) {
			*nr_done = 0;
			return QR_EFAULT;
		}
	}
	error = port->has_move ? move_out(port, va, slot, len_bytes, &done)
			       : copy_out(port, va, slot, len_bytes, &done);
	if (!(prot & QR_PROT_WRITE))
		(void)qr_port_range_protect(port, space, va, len_bytes, prot);
	*nr_done = done >> QR_PAGE_SHIFT;
	return error == EBUSY ? QR_EBUSY : map_error(error);
}

/* Each unmap() is whole by itself; what comes in groups is the program's own doing. */
void qr_port_unmap_begin(struct qr_port *port, struct qr_port_space *space)
{
	(void)port;
	(void)space;
	is_unmap_group = true;
}

void qr_port_unmap_end(struct qr_port *port, struct qr_port_space *space)
{
	(void)port;
	(void)space;
	is_unmap_group = false;
}

static int native_prot(uint32_t prot)
{
	return (prot & QR_PROT_READ ? PROT_READ : 0) | (prot & QR_PROT_WRITE ? PROT_WRITE : 0) |
	       (prot & QR_PROT_EXEC ? PROT_EXEC : 0);
}

int qr_port_range_add(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint64_t len_bytes, uint32_t prot)
{
	return qr_port_range_protect(port, space, va, len_bytes, prot);
}

int qr_port_range_remove(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint64_t len_bytes)
{
	return qr_port_range_protect(port, space, va, len_bytes, 0);
}

int qr_port_protect(struct qr_port *port, struct qr_port_space *space, uint64_t va, qr_pfn_t pfn, uint32_t nr,
		    uint32_t prot, uint32_t *nr_done)
{
	/* Frames are exclusive here: none is ever shared, and the kernel does the copy on write of a fork. */
	(void)port;
	(void)space;
	(void)va;
	(void)pfn;
	(void)nr;
	(void)prot;
	*nr_done = 0;
	return QR_ENOSYS;
}

int qr_port_range_protect(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint64_t len_bytes,
			  uint32_t prot)
{
	(void)port;
	(void)space;
	if (!qr_kernel_mprotect(va, len_bytes, native_prot(prot)))
		return 0;
	return errno == ENOMEM ? QR_ENOMEM : QR_EINVAL;
}
