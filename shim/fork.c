/*
 * fork() and what libc builds on it. From qr_manager_fork_prepare() on until the matching call in parent and child
 * no managed memory may be touched by this thread, so the window holds libc's fork() and nothing else:
 *   - the program's own fork handlers run before and after it (atfork.c keeps them);
 *   - signals are blocked;
 *   - objects that libc itself touches inside fork() are raw memory (libc.c);
 *   - libc takes the lock of its list of streams inside; somebody may hold it while it waits for a page that is
 *     not served before the window closes. So the lock is taken first; it nests.
 * The gate keeps the shim's own locks free, see gate.c.
 *
 * vfork() and posix_spawn() share the parent's memory until exec and need nothing. A child of the bare system call
 * is the port's to notice.
 */
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <utmp.h>

#include "guard.h"
#include "heap.h"

#define FORK_EXIT_STATUS 125

QR_SHIM_EXPORT pid_t fork(void);
QR_SHIM_EXPORT pid_t __fork(void);
QR_SHIM_EXPORT pid_t _Fork(void);
QR_SHIM_EXPORT int daemon(int no_chdir, int no_close);
QR_SHIM_EXPORT int forkpty(int *master, char *name, const struct termios *mode, const struct winsize *size);

/* glibc's lock of the list of open streams; absent elsewhere. */
extern void _IO_list_lock(void) __attribute__((weak));
extern void _IO_list_unlock(void) __attribute__((weak));

static pid_t fork_managed(pid_t (*next)(void));
static pid_t fork_in_window(pid_t (*next)(void));

pid_t fork(void)
{
	static pid_t (*next)(void);
	bool has_list_lock = false;
	pid_t pid;

	if (!next)
		next = (pid_t(*)(void))qr_shim_next("fork");
	qr_atfork_run_prepare();
	if (qr_shim_serves_caller() && _IO_list_lock && _IO_list_unlock) {
		_IO_list_lock();
		has_list_lock = true;
	}
	pid = qr_shim_serves_caller() ? fork_managed(next) : next();
	/* In the child libc has reset the lock. */
	if (has_list_lock && pid)
		_IO_list_unlock();
	if (pid)
		qr_atfork_run_parent();
	else
		qr_atfork_run_child();
	return pid;
}

pid_t __fork(void)
{
	return fork();
}

/* Runs no handlers. */
pid_t _Fork(void)
{
	static pid_t (*next)(void);

	if (!next)
		next = (pid_t(*)(void))qr_shim_next("_Fork");
	return qr_shim_serves_caller() ? fork_managed(next) : next();
}

/* libc's own calls its fork() without coming through here. */
int daemon(int no_chdir, int no_close)
{
	pid_t pid = fork();
	int fd;

	if (pid < 0)
		return -1;
	if (pid)
		_exit(0);
	if (setsid() < 0 || (!no_chdir && chdir("/")))
		return -1;
	if (no_close)
		return 0;
	fd = open("/dev/null", O_RDWR);
	if (fd < 0)
		return -1;
	for (int standard = 0; standard <= 2; standard++) {
		if (dup2(fd, standard) < 0)
			return -1;
	}
	if (fd > 2)
		(void)close(fd);
	return 0;
}

/* As daemon(). */
int forkpty(int *master, char *name, const struct termios *mode, const struct winsize *size)
{
	int ends[2];
	pid_t pid;

	if (openpty(&ends[0], &ends[1], name, mode, size))
		return -1;
	pid = fork();
	if (!pid) {
		(void)close(ends[0]);
		if (login_tty(ends[1]))
			_exit(1);
		return 0;
	}
	(void)close(ends[1]);
	if (pid < 0)
		(void)close(ends[0]);
	else
		*master = ends[0];
	return pid;
}

static pid_t fork_managed(pid_t (*next)(void))
{
	sigset_t all, old;
	pid_t pid;
	int saved_errno;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	qr_gate_close();
	qr_shim_internal_enter();
	pid = fork_in_window(next);
	saved_errno = errno;
	qr_shim_internal_leave();
	if (pid) {
		qr_gate_open();
	} else {
		qr_heap_thread_fork_child();
		qr_guard_fork_child();
		qr_gate_open_child();
	}
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = saved_errno;
	return pid;
}

static pid_t fork_in_window(pid_t (*next)(void))
{
	int err = qr_manager_fork_prepare(qr_shim.manager), saved_errno;
	pid_t pid;

	if (err)
		return qr_shim_fail(err);
	qr_atfork_lock();
	qr_raw_lock();
	pid = next();
	saved_errno = errno;
	qr_raw_unlock();
	qr_atfork_unlock();
	if (pid) {
		qr_manager_fork_parent(qr_shim.manager, pid);
	} else {
		err = qr_manager_fork_child(qr_shim.manager);
		if (err) {
			qr_shim_say("the child of fork() cannot have its memory: ", qr_strerror(err), NULL);
			_exit(FORK_EXIT_STATUS);
		}
	}
	errno = saved_errno;
	return pid;
}
