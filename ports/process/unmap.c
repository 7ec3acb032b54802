/*
 * Taking pages from the program's addresses back to their slots.
 *
 * Pages of readable and writable ranges are moved. The kernel moves no other pages, so a range that may only be read is
 * opened for the time of the move: its pages are write-protected by userfaultfd, then the range becomes writable, the
 * pages are moved, and the range gets its protection back. A write meanwhile reaches the fault loop, which has no such
 * right to give and sends the thread back to try again, until it meets the protection; a read finds the page, or
 * waits as for any page that is gone. docs/adr/0009 says why that loses neither a byte nor a trap.
 *
 * Not for reclaim to take: pages of ranges with the right to execute, which an open range would not have, and of ranges
 * without any right, which could be read. The program's own unmapping opens those as well: it gives up the range.
 *
 * Locks: the caller holds the page-table lock, and keeps the range's protection as it is (object->lock or vma->lock).
 */
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "pin.h"
#include "uffd_abi.h"

/* Pages that one call looks at when sharing is broken. */
#define UNSHARE_BATCH 64u

/* One unmap. */
struct takeout {
	struct qr_port *port;
	uint64_t va;
	uint8_t *slot;
	uint32_t len_bytes;
	uint32_t done;    /* bytes, from the front */
	uint32_t prot;    /* QR_PROT_* of the range */
	bool is_guarded;  /* the range has to be opened for each attempt */
};

/* Between unmap_begin() and unmap_end(). */
static __thread bool is_unmap_group;

static int take_out(struct takeout *take);
static int take_out_of_closed(struct takeout *take);
static int move_out(struct takeout *take);
static int move_stretch(struct takeout *take);
static int copy_out(struct takeout *take);

int qr_port_unmap(struct qr_port *port, struct qr_port_space *space, uint64_t va, qr_pfn_t pfn, uint32_t nr,
		  uint32_t prot, uint32_t *nr_done)
{
	struct takeout take = {
		.port = port,
		.va = va,
		.slot = qr_port_frame_address(port, pfn),
		.len_bytes = nr << QR_PAGE_SHIFT,
		.prot = prot,
	};
	int error;

	(void)space;
	*nr_done = 0;
	/* A system call of the program is at it. The program itself may take its pages away all the same. */
	if (!is_unmap_group && qr_pins_meet(va, va + take.len_bytes))
		return QR_EBUSY;
	error = take_out(&take);
	*nr_done = take.done >> QR_PAGE_SHIFT;
	return error == EBUSY ? QR_EBUSY : qr_map_error(error);
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

static int take_out(struct takeout *take)
{
	bool has_move = take->port->has_move;

	if (qr_prot_is_movable(take->prot))
		return has_move ? move_out(take) : copy_out(take);
	if (!has_move && take->prot & QR_PROT_READ)
		return copy_out(take);
	if (is_unmap_group)
		return take_out_of_closed(take);
	if (take->prot != QR_PROT_READ)
		return EBUSY;
	take->is_guarded = true;
	return move_out(take);
}

/* The program drops the range or changes it: what it writes meanwhile goes the way of the rest. */
static int take_out_of_closed(struct takeout *take)
{
	struct qr_port *port = take->port;
	int error;

	/* ENOMEM is a range that is not there, or one mapping too many for the process. */
	if (qr_kernel_mprotect(take->va, take->len_bytes, PROT_READ | PROT_WRITE))
		return qr_pages_there(port, take->va, 1) ? EBUSY : EFAULT;
	error = port->has_move ? move_out(take) : copy_out(take);
	qr_range_restore(port, take->va, take->len_bytes, take->prot);
	return error;
}

/* ---- The guard ---- */

static int guard_set(struct qr_port *port, uint64_t va, uint64_t len_bytes, bool is_on)
{
	struct uffdio_writeprotect protect = {
		.range = {.start = va, .len = len_bytes},
		.mode = is_on ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};
	unsigned retries = 0;

	while (ioctl(port->uffd_space, UFFDIO_WRITEPROTECT, &protect))
		if (errno != EAGAIN || !qr_move_backoff(&retries))
			return errno;
	return 0;
}

/* Takes the guard from pages that stay where they are. While an event is pending the kernel refuses, and the reader of
 * events may be this thread: then it stays, and harms nobody until the range is writable again. */
static int guard_lift(struct qr_port *port, uint64_t va, uint64_t len_bytes)
{
	uint32_t nr_hits;
	int error = qr_inject_hits(&port->inject.lifts, &nr_hits) ? EAGAIN : guard_set(port, va, len_bytes, false);

	if (error)
		qr_store_release(&port->has_leftover_guards, true);
	return error;
}

/* Makes the rest of the range movable. */
static int guard_open(const struct takeout *take)
{
	uint64_t va = take->va + take->done;
	uint32_t len_bytes = take->len_bytes - take->done;
	int error = guard_set(take->port, va, len_bytes, true);

	if (error || !qr_kernel_mprotect(va, len_bytes, PROT_READ | PROT_WRITE))
		return error;
	(void)guard_lift(take->port, va, len_bytes);
	return qr_pages_there(take->port, va, 1) ? EBUSY : EFAULT;
}

/* The range gets its protection back before the guard goes; [was_done, done) was moved. */
static void guard_close(const struct takeout *take, uint32_t was_done)
{
	struct qr_port *port = take->port;
	struct uffdio_writeprotect unprotect = {
		.range = {.start = (uint64_t)(uintptr_t)take->slot + was_done, .len = take->done - was_done},
	};
	unsigned retries = 0;

	qr_range_restore(port, take->va + was_done, take->len_bytes - was_done, take->prot);
	if (take->done < take->len_bytes)
		(void)guard_lift(port, take->va + take->done, take->len_bytes - take->done);
	/* A page that the kernel itself had swapped out may take its guard along. */
	while (take->done > was_done && ioctl(port->uffd_pool, UFFDIO_WRITEPROTECT, &unprotect))
		QR_BUG_ON(errno != EAGAIN || !qr_move_backoff(&retries));
}

void qr_guard_forget(struct qr_port *port, uint64_t va, uint64_t len_bytes)
{
	if (qr_unlikely(qr_load_acquire(&port->has_leftover_guards)))
		(void)guard_lift(port, va, len_bytes);
}

void qr_guard_resolve(struct qr_manager *manager, uint64_t va)
{
	struct qr_vma *vma;
	struct qr_frame *page;

	if (qr_likely(!qr_load_acquire(&manager->port.has_leftover_guards)))
		return;
	vma = qr_aspace_find_locked(manager->aspace, va); /* holds: vma(R) */
	if (!vma)
		return;
	page = qr_pgtable_find(&manager->aspace->pgtable, va);
	if (page) {
		qr_pte_t pte;

		/* Nobody takes pages out under this lock but who holds it, so this guard is a leftover. */
		qr_pt_lock(page);
		pte = qr_pte_read(qr_pt_entry(&manager->aspace->pgtable, page, va));
		if (qr_pte_is_present(pte) && qr_pte_is_writable(pte))
			(void)guard_lift(&manager->port, va & QR_PAGE_MASK, QR_PAGE_SIZE);
		qr_pt_unlock(page);
	}
	qr_vma_unlock(vma);
}

/* ---- Moves ---- */

/* Makes the first pages of the range this process's own again after a fork: a write fault without a change. Never
 * beyond a hole, whose fault would wait for the very thread that is here. */
static void break_sharing(struct qr_port *port, uint64_t va, uint32_t len_bytes)
{
	uint32_t nr = qr_pages_there(port, va, len_bytes >> QR_PAGE_SHIFT);

	/* Nor at a page that is still guarded. */
	if (qr_load_acquire(&port->has_leftover_guards) && guard_lift(port, va, len_bytes))
		return;
	if (nr)
		(void)qr_kernel_madvise(va, (uint64_t)nr << QR_PAGE_SHIFT, MADV_POPULATE_WRITE);
}

/* process_vm_readv(2) by its own instruction: what the preload library's guard makes of a program's call, which is to
 * bring the pages in, is not for quire. */
static void read_own(const struct iovec *local, const struct iovec *remote, unsigned long nr)
{
	long pid = getpid(); /* a call, which would not keep what is in the registers below */
	register const struct iovec *r10 __asm__("r10") = remote;
	register unsigned long r8 __asm__("r8") = nr;
	register unsigned long r9 __asm__("r9") = 0;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(SYS_process_vm_readv), "D"(pid), "S"(local), "d"(1), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	(void)result; /* the next attempt shows */
}

/* The same where nothing may be written: the kernel gives a process pages of its own before it lends them for reading
 * to another, which may be itself. A byte of each is enough. */
static void break_sharing_closed(const struct qr_port *port, uint64_t va, uint32_t len_bytes)
{
	uint32_t nr = qr_pages_there(port, va, QR_MIN(len_bytes >> QR_PAGE_SHIFT, UNSHARE_BATCH));
	struct iovec remote[UNSHARE_BATCH];
	uint8_t bytes[UNSHARE_BATCH];
	struct iovec local = {bytes, nr};

	for (uint32_t i = 0; i < nr; i++)
		remote[i] = (struct iovec){(void *)(uintptr_t)(va + i * QR_PAGE_SIZE), 1};
	if (nr)
		read_own(&local, remote, nr);
}

/* Moves what it can in one go, of a closed range with the range open. *is_last: more attempts are of no use. */
static int move_attempt(struct takeout *take, bool *is_last)
{
	uint32_t was_done = take->done, nr_hits;
	int error;

	*is_last = false;
	if (!take->is_guarded)
		return move_stretch(take);
	error = guard_open(take);
	if (error) {
		*is_last = true;
		return error;
	}
	/* Test hooks: a range that is open for long, and a page that somebody pins for long. */
	if (take->port->inject.guard_us)
		usleep(take->port->inject.guard_us);
	*is_last = qr_inject_hits(&take->port->inject.guards, &nr_hits);
	error = *is_last ? EBUSY : move_stretch(take);
	guard_close(take, was_done);
	return error;
}

static int move_out(struct takeout *take)
{
	unsigned retries = 0;

	for (;;) {
		uint32_t was_done = take->done;
		bool is_last;
		int error = move_attempt(take, &is_last);

		if (take->done > was_done)
			retries = 0;
		if (is_last || (error != EBUSY && error != EAGAIN) || !qr_move_backoff(&retries))
			return error;
		if (error == EBUSY && take->is_guarded)
			break_sharing_closed(take->port, take->va + take->done, take->len_bytes - take->done);
		else if (error == EBUSY)
			break_sharing(take->port, take->va + take->done, take->len_bytes - take->done);
	}
}

/* A slot whose frame is mapped is empty, unless a stray read left a page of zeros there. Anything else would be a page
 * in two places. */
static void slot_clear_stray(uint8_t *slot)
{
	const uint64_t *words = (const void *)slot;

	for (uint32_t i = 0; i < QR_PAGE_SIZE / sizeof(words[0]); i++)
		QR_BUG_ON(words[i]);
	qr_slot_empty(slot, QR_PAGE_SIZE);
}

/* Moves up to the first obstacle: EBUSY, EAGAIN, or what is no passing matter. */
static int move_stretch(struct takeout *take)
{
	unsigned retries = 0;

	while (take->done < take->len_bytes) {
		uint32_t moved;
		int error = qr_move(take->port, take->port->uffd_pool, (uint64_t)(uintptr_t)take->slot + take->done,
				    take->va + take->done, take->len_bytes - take->done, &moved);

		take->done += moved;
		if (error == ENOENT) { /* the machine dropped it: the empty slot reads as zero */
			take->done += QR_PAGE_SIZE;
			error = 0;
		}
		if (error == EEXIST && qr_move_backoff(&retries)) {
			slot_clear_stray(take->slot + take->done);
			error = 0;
		}
		if (error)
			return error;
	}
	return 0;
}

/* Without moves: no write gets through from the first step on, so the copy is complete. A thread that writes
 * meanwhile waits for the fault handler, which waits for the page-table lock that our caller holds. */
static int copy_out(struct takeout *take)
{
	struct qr_port *port = take->port;
	int error = guard_set(port, take->va, take->len_bytes, true);

	if (error)
		return error;
	memcpy(take->slot, (void *)(uintptr_t)take->va, take->len_bytes);
	QR_BUG_ON(qr_kernel_madvise(take->va, take->len_bytes, MADV_DONTNEED));
	(void)guard_set(port, take->va, take->len_bytes, false);
	take->done = take->len_bytes;
	return 0;
}
