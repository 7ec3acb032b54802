/*
 * Frames and translation under userfaultfd.
 *
 * A frame of the pool is moved to the program's address (UFFDIO_MOVE, Linux 6.8). Where a move is not possible the page
 * is copied and the slot emptied:
 *   - targets that are not readable and writable, or executable, which the kernel does not move into;
 *   - pages that a forked child still shares (EBUSY);
 *   - kernels without UFFDIO_MOVE.
 * Moves themselves are in move.c, the way back is in unmap.c.
 */
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "uffd_abi.h"

/* Pages that are copied at a time; while they are, each is there twice. */
#define COPY_BATCH 16u

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
void qr_slot_empty(uint8_t *slot, uint64_t len_bytes)
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
	qr_slot_empty(qr_port_frame_address(port, pfn), (uint64_t)nr << QR_PAGE_SHIFT);
}

void qr_port_wake_faulters(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint64_t len_bytes)
{
	struct uffdio_range range = {.start = va, .len = len_bytes};

	(void)space;
	(void)ioctl(port->uffd_space, UFFDIO_WAKE, &range);
}

/* Copies pages in and empties their slots, as many as *copied_bytes tells also on error. The kernel copies within one
 * of its own VMAs, of which one of core's may be several (move.c): a run across such a border is halved. */
static int copy_in(struct qr_port *port, uint64_t va, uint8_t *slot, uint32_t len_bytes, uint32_t *copied_bytes)
{
	struct uffdio_copy copy = {.dst = va, .src = (uint64_t)(uintptr_t)slot, .len = len_bytes};
	unsigned retries = 0;

	while (ioctl(port->uffd_space, UFFDIO_COPY, &copy)) {
		int error = errno;

		*copied_bytes = copy.copy > 0 ? (uint32_t)copy.copy : 0;
		if (*copied_bytes)
			break; /* a beginning: the caller comes again for the rest */
		if (error == ENOENT && copy.len > QR_PAGE_SIZE)
			copy.len = QR_ALIGN_UP(copy.len / 2, QR_PAGE_SIZE);
		else if (error != EAGAIN || !qr_move_backoff(&retries))
			return error;
	}
	*copied_bytes = (uint32_t)copy.copy;
	qr_slot_empty(slot, *copied_bytes);
	return 0;
}

int qr_map_error(int error)
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
	bool can_move = port->has_move && qr_prot_is_movable(prot);
	uint32_t done = 0;
	unsigned retries = 0;
	int error = 0;

	(void)space;
	while (done < len_bytes && !error) {
		uint32_t rest = len_bytes - done, moved = 0;

		if (can_move)
			error = qr_move(port, port->uffd_space, va + done, (uint64_t)(uintptr_t)slot + done, rest,
					&moved);
		else
			error = copy_in(port, va + done, slot + done, QR_MIN(rest, COPY_BATCH * QR_PAGE_SIZE), &moved);
		done += moved;
		if (moved)
			retries = 0;
		if (!can_move)
			continue;
		if (error == EBUSY) {
			error = copy_in(port, va + done, slot + done, QR_PAGE_SIZE, &moved);
			done += moved;
		} else if (error == ENOENT) {
			/* The slot was never touched: there is a page of zeros there afterwards. */
			(void)__atomic_fetch_or(slot + done, 0, __ATOMIC_RELAXED);
			error = qr_move_backoff(&retries) ? 0 : ENOENT;
		} else if (error == EAGAIN && qr_move_backoff(&retries)) {
			error = 0;
		}
	}
	*nr_done = done >> QR_PAGE_SHIFT;
	return qr_map_error(error);
}

/* x86 has no memory that may be written and not read, and the kernel moves pages of such ranges as little as of those
 * that may only be read. */
static int native_prot(uint32_t prot)
{
	return (prot & (QR_PROT_READ | QR_PROT_WRITE) ? PROT_READ : 0) | (prot & QR_PROT_WRITE ? PROT_WRITE : 0) |
	       (prot & QR_PROT_EXEC ? PROT_EXEC : 0);
}

void qr_range_restore(struct qr_port *port, uint64_t va, uint64_t len_bytes, uint32_t prot)
{
	if (qr_kernel_mprotect(va, len_bytes, native_prot(prot)))
		qr_port_log(port, QR_LOG_WARN, "a range of %llu bytes stays writable", (unsigned long long)len_bytes);
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
	(void)space;
	if (prot & QR_PROT_WRITE)
		qr_guard_forget(port, va, len_bytes);
	if (!qr_kernel_mprotect(va, len_bytes, native_prot(prot)))
		return 0;
	return errno == ENOMEM ? QR_ENOMEM : QR_EINVAL;
}
