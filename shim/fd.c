/*
 * Descriptors that quire holds open in the program: the userfaultfd, the swap file, the domain. Programs close what
 * they did not open: daemons all descriptors from 3 on, children of fork() the same before exec, while they still
 * use their memory. Without the userfaultfd missing pages would silently read as zero. So to close(), close_range(),
 * closefrom(), dup2() and dup3() these descriptors do not exist, and they are out of the way of the low numbers that
 * programs choose for themselves (exec 3>file).
 *
 * Locks: none; a table of atomics. The port registers descriptors before the program runs, and around fork.
 */
#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/resource.h>

#include "internal.h"

#define FD_PROTECTED 64u
/* Where they are moved: above what shell scripts name and select() loops count on, and within the smallest table that
 * the kernel grows to. Of a limit below 1024 the last quarter. */
#define FD_HIGH 960u

QR_SHIM_EXPORT int close(int fd);
QR_SHIM_EXPORT int close_range(unsigned int first, unsigned int last, int flags);
QR_SHIM_EXPORT void closefrom(int first);
QR_SHIM_EXPORT int dup2(int from, int to);
QR_SHIM_EXPORT int dup3(int from, int to, int flags);

static uint32_t protected_fds[FD_PROTECTED]; /* (A) descriptor + 1; 0: empty */
static uint32_t nr_protected;                /* (A) slots ever used */

static bool fd_is_hidden(int fd);
static int fail_badf(void);
static unsigned int fd_next_protected(unsigned int first, unsigned int last);

int qr_shim_adopt_fd(int fd)
{
	struct rlimit limit = {.rlim_cur = 0};
	rlim_t from;
	int moved;

	if (fd < 0)
		return fd;
	(void)getrlimit(RLIMIT_NOFILE, &limit);
	from = limit.rlim_cur >= 1024 ? FD_HIGH : limit.rlim_cur / 4 * 3;
	moved = fcntl(fd, F_DUPFD_CLOEXEC, (int)from);
	if (moved >= 0) {
		(void)syscall(SYS_close, (long)fd);
		fd = moved;
	}
	qr_shim_protect_fd(fd);
	return fd;
}

void qr_shim_protect_fd(int fd)
{
	for (uint32_t i = 0; fd >= 0 && i < FD_PROTECTED; i++) {
		uint32_t empty = 0, nr = qr_load_relaxed(&nr_protected);

		if (!qr_cas(&protected_fds[i], &empty, (uint32_t)fd + 1))
			continue;
		while (nr <= i && !qr_cas(&nr_protected, &nr, i + 1))
			;
		return;
	}
}

void qr_shim_unprotect_fd(int fd)
{
	for (uint32_t i = 0; i < qr_load_acquire(&nr_protected); i++) {
		uint32_t seen = (uint32_t)fd + 1;

		if (fd >= 0 && qr_cas(&protected_fds[i], &seen, 0))
			return;
	}
}

int close(int fd)
{
	static int (*next)(int);

	if (qr_unlikely(fd_is_hidden(fd)))
		return fail_badf();
	if (qr_unlikely(!next))
		next = (int (*)(int))qr_shim_next("close");
	return next(fd);
}

int close_range(unsigned int first, unsigned int last, int flags)
{
	bool can_split = !qr_shim_internal_depth && !((unsigned int)flags & CLOSE_RANGE_CLOEXEC) && first <= last;

	while (can_split) {
		unsigned int hidden = fd_next_protected(first, last);

		if (hidden > last)
			break;
		if (hidden > first && syscall(SYS_close_range, first, hidden - 1, (long)flags))
			return -1;
		if (hidden == last)
			return 0;
		first = hidden + 1;
	}
	return (int)syscall(SYS_close_range, first, last, (long)flags);
}

void closefrom(int first)
{
	unsigned int from = first > 0 ? (unsigned int)first : 0;

	if (!close_range(from, UINT32_MAX, 0))
		return;
	/* A kernel older than 5.9 has no such call. */
	for (long fd = from, nr = sysconf(_SC_OPEN_MAX); fd < nr; fd++)
		(void)close((int)fd);
}

int dup2(int from, int to)
{
	static int (*next)(int, int);

	if (qr_unlikely(fd_is_hidden(to) || fd_is_hidden(from)))
		return fail_badf();
	if (qr_unlikely(!next))
		next = (int (*)(int, int))qr_shim_next("dup2");
	return next(from, to);
}

int dup3(int from, int to, int flags)
{
	static int (*next)(int, int, int);

	if (qr_unlikely(fd_is_hidden(to) || fd_is_hidden(from)))
		return fail_badf();
	if (qr_unlikely(!next))
		next = (int (*)(int, int, int))qr_shim_next("dup3");
	return next(from, to, flags);
}

/* Quire itself may do with them what it likes. */
static bool fd_is_hidden(int fd)
{
	return !qr_shim_internal_depth && fd >= 0 &&
	       fd_next_protected((unsigned int)fd, (unsigned int)fd) == (unsigned int)fd;
}

static int fail_badf(void)
{
	errno = EBADF;
	return -1;
}

/* The lowest protected descriptor in [first, last]; UINT32_MAX if there is none. */
static unsigned int fd_next_protected(unsigned int first, unsigned int last)
{
	unsigned int lowest = UINT32_MAX;

	for (uint32_t i = 0; i < qr_load_acquire(&nr_protected); i++) {
		uint32_t fd = qr_load_relaxed(&protected_fds[i]) - 1; /* an empty slot becomes UINT32_MAX */

		if (fd >= first && fd <= last && fd < lowest)
			lowest = fd;
	}
	return lowest;
}
