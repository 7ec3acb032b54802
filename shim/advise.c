/*
 * Advice, locking and residency: madvise, posix_madvise, msync, mlock and its relatives, mincore.
 * Ranges that are partly managed are split, as in mmap.c.
 */
#include <string.h>
#include <sys/mman.h>

#include "internal.h"

/* Values that older headers lack; linux/mman-common.h. */
#define ADVICE_COLLAPSE 25
#define ADVICE_DONTNEED_LOCKED 24
#define VEC_PAGES 256u

QR_SHIM_EXPORT int madvise(void *address, size_t length, int advice);
QR_SHIM_EXPORT int posix_madvise(void *address, size_t length, int advice);
QR_SHIM_EXPORT int msync(void *address, size_t length, int flags);
QR_SHIM_EXPORT int mlock(const void *address, size_t length);
QR_SHIM_EXPORT int mlock2(const void *address, size_t length, unsigned int flags);
QR_SHIM_EXPORT int munlock(const void *address, size_t length);
QR_SHIM_EXPORT int mlockall(int flags);
QR_SHIM_EXPORT int munlockall(void);
QR_SHIM_EXPORT int mincore(void *address, size_t length, unsigned char *resident);

static int resident_of_range(uintptr_t start, size_t length, unsigned char *resident);

static int advise_managed(void *address, size_t length, int advice)
{
	switch (advice) {
	case MADV_MERGEABLE:   /* hints about machinery that managed memory does not go through */
	case MADV_UNMERGEABLE:
	case MADV_DONTDUMP:
	case MADV_DODUMP:
	case ADVICE_COLLAPSE:
		return 0;
	case ADVICE_DONTNEED_LOCKED:
		advice = MADV_DONTNEED;
		break;
	default:
		break;
	}
	return qr_shim_manager(qr_manager_advise, address, length, advice);
}

/* Nothing to write back; all that is left is to report holes, by which programs probe addresses. */
static int sync_managed(void *address, size_t length, int flags)
{
	(void)flags;
	return resident_of_range((uintptr_t)address, length, NULL);
}

static int sync_kernel(void *address, size_t length, int flags)
{
	return (int)syscall(SYS_msync, address, length, (long)flags);
}

/* MLOCK_ONFAULT locks more than was asked for here: the pages are brought in at once. */
static int lock_managed(void *address, size_t length, int flags)
{
	(void)flags;
	return qr_shim_manager(qr_manager_lock, address, length);
}

static int lock_kernel(void *address, size_t length, int flags)
{
	return flags ? (int)syscall(SYS_mlock2, address, length, (long)flags)
		     : (int)syscall(SYS_mlock, address, length);
}

static int unlock_managed(void *address, size_t length, int unused)
{
	(void)unused;
	return qr_shim_manager(qr_manager_unlock, address, length);
}

static int unlock_kernel(void *address, size_t length, int unused)
{
	(void)unused;
	return (int)syscall(SYS_munlock, address, length);
}

int madvise(void *address, size_t length, int advice)
{
	if (!qr_shim_serves_caller())
		return qr_shim_sys_madvise(address, length, advice);
	return qr_shim_each_part(address, length, advice, advise_managed, qr_shim_sys_madvise);
}

/* Returns the error. POSIX_MADV_DONTNEED must not lose content, so that, as in glibc, it does nothing. */
int posix_madvise(void *address, size_t length, int advice)
{
	int saved_errno = errno, err;

	if (advice == POSIX_MADV_DONTNEED)
		return 0;
	err = madvise(address, length, advice) ? errno : 0;
	errno = saved_errno;
	return err;
}

int msync(void *address, size_t length, int flags)
{
	if (!qr_shim_serves_caller())
		return sync_kernel(address, length, flags);
	if ((flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) || (flags & (MS_ASYNC | MS_SYNC)) == (MS_ASYNC | MS_SYNC)) {
		errno = EINVAL;
		return -1;
	}
	return qr_shim_each_part(address, length, flags, sync_managed, sync_kernel);
}

int mlock(const void *address, size_t length)
{
	return mlock2(address, length, 0);
}

int mlock2(const void *address, size_t length, unsigned int flags)
{
	uintptr_t start = QR_ALIGN_DOWN((uintptr_t)address, QR_PAGE_SIZE);

	if (!qr_shim_serves_caller() || (flags & ~1u)) /* MLOCK_ONFAULT is the only flag */
		return lock_kernel((void *)(uintptr_t)address, length, (int)flags);
	return qr_shim_each_part((void *)start, length + ((uintptr_t)address - start), (int)flags, lock_managed,
				 lock_kernel);
}

int munlock(const void *address, size_t length)
{
	uintptr_t start = QR_ALIGN_DOWN((uintptr_t)address, QR_PAGE_SIZE);

	if (!qr_shim_serves_caller())
		return unlock_kernel((void *)(uintptr_t)address, length, 0);
	return qr_shim_each_part((void *)start, length + ((uintptr_t)address - start), 0, unlock_managed,
				 unlock_kernel);
}

/*
 * The kernel's mlockall() would bring in every managed page at once and keep it, pool and program, which no budget
 * survives; failing ends programs that call it only to run more evenly. So nothing is locked, the call succeeds
 * and the user is told, once per process. mlock() of a range works, up to half of the budget.
 */
int mlockall(int flags)
{
	static uint32_t has_warned;

	if (!qr_shim_serves_caller())
		return (int)syscall(SYS_mlockall, (long)flags);
	if (!flags || (flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) || flags == MCL_ONFAULT) {
		errno = EINVAL;
		return -1;
	}
	if (!qr_exchange(&has_warned, 1))
		qr_shim_say("warning: mlockall() locks nothing under a RAM budget; mlock() a range instead", NULL);
	return 0;
}

int munlockall(void)
{
	if (qr_shim_serves_caller())
		(void)qr_shim_manager(qr_manager_unlock, (void *)qr_shim.start, qr_shim.length);
	return (int)syscall(SYS_munlockall);
}

int mincore(void *address, size_t length, unsigned char *resident)
{
	uintptr_t start = (uintptr_t)address, end = start + QR_ALIGN_UP(length, QR_PAGE_SIZE);

	if (!qr_shim_serves_caller() || end < start || !qr_shim_overlaps(start, end - start))
		return (int)syscall(SYS_mincore, address, length, resident);
	if (start & (QR_PAGE_SIZE - 1)) {
		errno = EINVAL;
		return -1;
	}
	while (start < end) {
		bool is_managed = qr_shim_is_managed((void *)start);
		uintptr_t limit = is_managed              ? qr_shim.start + qr_shim.length
				  : start < qr_shim.start ? qr_shim.start
							  : UINTPTR_MAX;
		size_t part = QR_MIN(end, limit) - start;
		int err = is_managed ? resident_of_range(start, part, resident) : 0;

		if (err)
			return qr_shim_fail(err);
		if (!is_managed && syscall(SYS_mincore, start, part, resident))
			return -1;
		start += part;
		resident += part >> QR_PAGE_SHIFT;
	}
	return 0;
}

/* The manager's answer in pieces; its array is on the stack, since the program's may be managed memory, which must
 * not fault inside the manager. resident NULL: only whether all is mapped. */
static int resident_of_range(uintptr_t start, size_t length, unsigned char *resident)
{
	unsigned char piece[VEC_PAGES];

	while (length) {
		size_t part = QR_MIN(length, (size_t)VEC_PAGES << QR_PAGE_SHIFT);
		int err = qr_shim_manager(qr_manager_resident, (void *)start, part, piece);

		if (err)
			return err;
		if (resident) {
			memcpy(resident, piece, part >> QR_PAGE_SHIFT);
			resident += part >> QR_PAGE_SHIFT;
		}
		start += part;
		length -= part;
	}
	return 0;
}
