/*
 * What each system call points to. Sources: the manual pages of section 2, and the kernel's user-space headers for the
 * sizes of structures.
 *
 * A call that is not in the table passes if it has no pointer to content, or is treated as one whose every argument may
 * point to DEFAULT_BYTES: pinning too much costs time, pinning too little an error that the program would not have had.
 */
#include "guard_code.h"
QR_GUARD_CODE_BEGIN

#include <linux/aio_abi.h>
#include <linux/ioctl.h>
#include <sys/uio.h>

#include "guard.h"

#define DEFAULT_BYTES 65536u
#define IOCTL_BYTES 4096u /* of an argument whose number does not tell its size */

/* A size or a rule in 16 bits: kind << 12 | detail. */
#define KIND(rule) ((rule) >> 12)
#define DETAIL(rule) ((rule) & 0xfffu)
enum { KIND_BYTES, KIND_STRING, KIND_COUNT, KIND_LENGTH_AT, KIND_FD_SET, KIND_IOVEC, KIND_ANY };
#define BYTES(nr) (KIND_BYTES << 12 | (nr))
#define STRING (KIND_STRING << 12)
/* argument j says how many elements of some bytes */
#define COUNT(j, bytes) (KIND_COUNT << 12 | (j) << 8 | (bytes))
/* argument j points to a 32-bit length */
#define LENGTH_AT(j) (KIND_LENGTH_AT << 12 | (j))
#define FD_SET_OF (KIND_FD_SET << 12)
#define IOVEC(j) (KIND_IOVEC << 12 | (j))
#define ANY (KIND_ANY << 12)

#define STAT BYTES(256)
#define TIME BYTES(16)
#define PATH STRING

struct rule {
	uint16_t number;
	uint8_t class;
	uint16_t args[6];
};
static const struct rule rules[] = {
	/* transfers */
	{SYS_read, QR_GUARD_TRANSFER, {0, COUNT(2, 1)}},
	{SYS_write, QR_GUARD_TRANSFER, {0, COUNT(2, 1)}},
	{SYS_pread64, QR_GUARD_TRANSFER, {0, COUNT(2, 1)}},
	{SYS_pwrite64, QR_GUARD_TRANSFER, {0, COUNT(2, 1)}},
	{SYS_recvfrom, QR_GUARD_TRANSFER, {0, COUNT(2, 1), 0, 0, LENGTH_AT(5), BYTES(4)}},
	{SYS_sendto, QR_GUARD_TRANSFER, {0, COUNT(2, 1), 0, 0, COUNT(5, 1)}},
	{SYS_getrandom, QR_GUARD_TRANSFER, {COUNT(1, 1)}},
	{SYS_readv, QR_GUARD_VECTOR, {0}},
	{SYS_writev, QR_GUARD_VECTOR, {0}},
	{SYS_preadv, QR_GUARD_VECTOR, {0}},
	{SYS_pwritev, QR_GUARD_VECTOR, {0}},
	{SYS_preadv2, QR_GUARD_VECTOR, {0}},
	{SYS_pwritev2, QR_GUARD_VECTOR, {0}},
	{SYS_sendmsg, QR_GUARD_MESSAGE, {0}},
	{SYS_recvmsg, QR_GUARD_MESSAGE, {0}},
	{SYS_sendmmsg, QR_GUARD_MESSAGE, {0}},
	{SYS_recvmmsg, QR_GUARD_MESSAGE, {0}},
	{SYS_vmsplice, QR_GUARD_NESTED, {0, IOVEC(2)}},
	{SYS_process_vm_readv, QR_GUARD_NESTED, {0, IOVEC(2), 0, IOVEC(4)}},
	{SYS_process_vm_writev, QR_GUARD_NESTED, {0, IOVEC(2), 0, IOVEC(4)}},
	{SYS_process_madvise, QR_GUARD_PLAIN, {0, COUNT(2, 16)}},
	/* waiting */
	{SYS_poll, QR_GUARD_PLAIN, {COUNT(1, 8)}},
	{SYS_select, QR_GUARD_PLAIN, {0, FD_SET_OF, FD_SET_OF, FD_SET_OF, TIME}},
	{SYS_epoll_ctl, QR_GUARD_PLAIN, {0, 0, 0, BYTES(12)}},
	{SYS_epoll_wait, QR_GUARD_PLAIN, {0, COUNT(2, 12)}},
	{SYS_futex, QR_GUARD_PLAIN, {BYTES(8), 0, 0, TIME, BYTES(8)}},
	{SYS_futex_waitv, QR_GUARD_NESTED, {COUNT(1, 24), 0, 0, TIME}},
	{SYS_nanosleep, QR_GUARD_PLAIN, {TIME, TIME}},
	{SYS_clock_nanosleep, QR_GUARD_PLAIN, {0, 0, TIME, TIME}},
	{SYS_wait4, QR_GUARD_PLAIN, {0, BYTES(4), 0, BYTES(144)}},
	{SYS_waitid, QR_GUARD_PLAIN, {0, 0, BYTES(128), 0, BYTES(144)}},
	{SYS_semop, QR_GUARD_PLAIN, {0, COUNT(2, 6)}},
	{SYS_semtimedop, QR_GUARD_PLAIN, {0, COUNT(2, 6), 0, TIME}},
	{SYS_msgsnd, QR_GUARD_PLAIN, {0, ANY}},
	{SYS_msgrcv, QR_GUARD_PLAIN, {0, ANY}},
	{SYS_mq_open, QR_GUARD_PLAIN, {PATH, 0, 0, BYTES(64)}},
	{SYS_mq_unlink, QR_GUARD_PLAIN, {PATH}},
	{SYS_mq_timedsend, QR_GUARD_PLAIN, {0, COUNT(2, 1), 0, 0, TIME}},
	{SYS_mq_timedreceive, QR_GUARD_PLAIN, {0, COUNT(2, 1), 0, BYTES(4), TIME}},
	/* signals */
	{SYS_rt_sigaction, QR_GUARD_SIGNAL, {0}},
	{SYS_rt_sigprocmask, QR_GUARD_SIGNAL, {0}},
	{SYS_rt_sigsuspend, QR_GUARD_SIGNAL, {0}},
	{SYS_rt_sigpending, QR_GUARD_SIGNAL, {0}},
	{SYS_sigaltstack, QR_GUARD_SIGNAL, {0}},
	{SYS_ppoll, QR_GUARD_SIGNAL, {COUNT(1, 8), 0, TIME}},
	{SYS_pselect6, QR_GUARD_SIGNAL, {0, FD_SET_OF, FD_SET_OF, FD_SET_OF, TIME}},
	{SYS_epoll_pwait, QR_GUARD_SIGNAL, {0, COUNT(2, 12)}},
	{SYS_epoll_pwait2, QR_GUARD_SIGNAL, {0, COUNT(2, 12), 0, TIME}},
	{SYS_rt_sigtimedwait, QR_GUARD_PLAIN, {BYTES(8), BYTES(128), TIME}},
	{SYS_signalfd, QR_GUARD_PLAIN, {0, BYTES(8)}},
	{SYS_signalfd4, QR_GUARD_PLAIN, {0, BYTES(8)}},
	{SYS_rt_sigqueueinfo, QR_GUARD_PLAIN, {0, 0, BYTES(128)}},
	{SYS_rt_tgsigqueueinfo, QR_GUARD_PLAIN, {0, 0, 0, BYTES(128)}},
	{SYS_pidfd_send_signal, QR_GUARD_PLAIN, {0, 0, BYTES(128)}},
	/* sockets */
	{SYS_connect, QR_GUARD_PLAIN, {0, COUNT(2, 1)}},
	{SYS_bind, QR_GUARD_PLAIN, {0, COUNT(2, 1)}},
	{SYS_accept, QR_GUARD_PLAIN, {0, LENGTH_AT(2), BYTES(4)}},
	{SYS_accept4, QR_GUARD_PLAIN, {0, LENGTH_AT(2), BYTES(4)}},
	{SYS_getsockname, QR_GUARD_PLAIN, {0, LENGTH_AT(2), BYTES(4)}},
	{SYS_getpeername, QR_GUARD_PLAIN, {0, LENGTH_AT(2), BYTES(4)}},
	{SYS_setsockopt, QR_GUARD_NESTED, {0, 0, 0, COUNT(4, 1)}},
	{SYS_getsockopt, QR_GUARD_PLAIN, {0, 0, 0, LENGTH_AT(4), BYTES(4)}},
	{SYS_socketpair, QR_GUARD_PLAIN, {0, 0, 0, BYTES(8)}},
	/* files */
	{SYS_open, QR_GUARD_PLAIN, {PATH}},
	{SYS_openat, QR_GUARD_PLAIN, {0, PATH}},
	{SYS_openat2, QR_GUARD_PLAIN, {0, PATH, COUNT(3, 1)}},
	{SYS_creat, QR_GUARD_PLAIN, {PATH}},
	{SYS_stat, QR_GUARD_PLAIN, {PATH, STAT}},
	{SYS_lstat, QR_GUARD_PLAIN, {PATH, STAT}},
	{SYS_fstat, QR_GUARD_PLAIN, {0, STAT}},
	{SYS_newfstatat, QR_GUARD_PLAIN, {0, PATH, STAT}},
	{SYS_statx, QR_GUARD_PLAIN, {0, PATH, 0, 0, STAT}},
	{SYS_statfs, QR_GUARD_PLAIN, {PATH, STAT}},
	{SYS_fstatfs, QR_GUARD_PLAIN, {0, STAT}},
	{SYS_access, QR_GUARD_PLAIN, {PATH}},
	{SYS_faccessat, QR_GUARD_PLAIN, {0, PATH}},
	{SYS_faccessat2, QR_GUARD_PLAIN, {0, PATH}},
	{SYS_readlink, QR_GUARD_PLAIN, {PATH, COUNT(2, 1)}},
	{SYS_readlinkat, QR_GUARD_PLAIN, {0, PATH, COUNT(3, 1)}},
	{SYS_getcwd, QR_GUARD_PLAIN, {COUNT(1, 1)}},
	{SYS_getdents, QR_GUARD_PLAIN, {0, COUNT(2, 1)}},
	{SYS_getdents64, QR_GUARD_PLAIN, {0, COUNT(2, 1)}},
	{SYS_chdir, QR_GUARD_PLAIN, {PATH}},
	{SYS_chroot, QR_GUARD_PLAIN, {PATH}},
	{SYS_mkdir, QR_GUARD_PLAIN, {PATH}},
	{SYS_mkdirat, QR_GUARD_PLAIN, {0, PATH}},
	{SYS_rmdir, QR_GUARD_PLAIN, {PATH}},
	{SYS_unlink, QR_GUARD_PLAIN, {PATH}},
	{SYS_unlinkat, QR_GUARD_PLAIN, {0, PATH}},
	{SYS_rename, QR_GUARD_PLAIN, {PATH, PATH}},
	{SYS_renameat, QR_GUARD_PLAIN, {0, PATH, 0, PATH}},
	{SYS_renameat2, QR_GUARD_PLAIN, {0, PATH, 0, PATH}},
	{SYS_link, QR_GUARD_PLAIN, {PATH, PATH}},
	{SYS_linkat, QR_GUARD_PLAIN, {0, PATH, 0, PATH}},
	{SYS_symlink, QR_GUARD_PLAIN, {PATH, PATH}},
	{SYS_symlinkat, QR_GUARD_PLAIN, {PATH, 0, PATH}},
	{SYS_chmod, QR_GUARD_PLAIN, {PATH}},
	{SYS_fchmodat, QR_GUARD_PLAIN, {0, PATH}},
	{SYS_chown, QR_GUARD_PLAIN, {PATH}},
	{SYS_lchown, QR_GUARD_PLAIN, {PATH}},
	{SYS_fchownat, QR_GUARD_PLAIN, {0, PATH}},
	{SYS_mknod, QR_GUARD_PLAIN, {PATH}},
	{SYS_mknodat, QR_GUARD_PLAIN, {0, PATH}},
	{SYS_truncate, QR_GUARD_PLAIN, {PATH}},
	{SYS_utime, QR_GUARD_PLAIN, {PATH, TIME}},
	{SYS_utimes, QR_GUARD_PLAIN, {PATH, BYTES(32)}},
	{SYS_utimensat, QR_GUARD_PLAIN, {0, PATH, BYTES(32)}},
	{SYS_futimesat, QR_GUARD_PLAIN, {0, PATH, BYTES(32)}},
	{SYS_setxattr, QR_GUARD_PLAIN, {PATH, STRING, COUNT(3, 1)}},
	{SYS_lsetxattr, QR_GUARD_PLAIN, {PATH, STRING, COUNT(3, 1)}},
	{SYS_fsetxattr, QR_GUARD_PLAIN, {0, STRING, COUNT(3, 1)}},
	{SYS_getxattr, QR_GUARD_PLAIN, {PATH, STRING, COUNT(3, 1)}},
	{SYS_lgetxattr, QR_GUARD_PLAIN, {PATH, STRING, COUNT(3, 1)}},
	{SYS_fgetxattr, QR_GUARD_PLAIN, {0, STRING, COUNT(3, 1)}},
	{SYS_listxattr, QR_GUARD_PLAIN, {PATH, COUNT(2, 1)}},
	{SYS_llistxattr, QR_GUARD_PLAIN, {PATH, COUNT(2, 1)}},
	{SYS_flistxattr, QR_GUARD_PLAIN, {0, COUNT(2, 1)}},
	{SYS_removexattr, QR_GUARD_PLAIN, {PATH, STRING}},
	{SYS_lremovexattr, QR_GUARD_PLAIN, {PATH, STRING}},
	{SYS_fremovexattr, QR_GUARD_PLAIN, {0, STRING}},
	{SYS_inotify_add_watch, QR_GUARD_PLAIN, {0, PATH}},
	{SYS_fanotify_mark, QR_GUARD_PLAIN, {0, 0, 0, 0, PATH}},
	{SYS_memfd_create, QR_GUARD_PLAIN, {STRING}},
	{SYS_name_to_handle_at, QR_GUARD_PLAIN, {0, PATH, BYTES(256), BYTES(4)}},
	{SYS_open_by_handle_at, QR_GUARD_PLAIN, {0, BYTES(256)}},
	{SYS_ioctl, QR_GUARD_NESTED, {0}},
	{SYS_fcntl, QR_GUARD_PLAIN, {0, 0, BYTES(64)}},
	{SYS_sendfile, QR_GUARD_PLAIN, {0, 0, BYTES(8)}},
	{SYS_copy_file_range, QR_GUARD_PLAIN, {0, BYTES(8), 0, BYTES(8)}},
	{SYS_splice, QR_GUARD_PLAIN, {0, BYTES(8), 0, BYTES(8)}},
	{SYS_pipe, QR_GUARD_PLAIN, {BYTES(8)}},
	{SYS_pipe2, QR_GUARD_PLAIN, {BYTES(8)}},
	/* programs, time, limits */
	{SYS_execve, QR_GUARD_EXEC, {0}},
	{SYS_execveat, QR_GUARD_EXEC, {0}},
	{SYS_uname, QR_GUARD_PLAIN, {BYTES(390)}},
	{SYS_sysinfo, QR_GUARD_PLAIN, {BYTES(112)}},
	{SYS_times, QR_GUARD_PLAIN, {BYTES(32)}},
	{SYS_time, QR_GUARD_PLAIN, {BYTES(8)}},
	{SYS_gettimeofday, QR_GUARD_PLAIN, {TIME, BYTES(8)}},
	{SYS_settimeofday, QR_GUARD_PLAIN, {TIME, BYTES(8)}},
	{SYS_clock_gettime, QR_GUARD_PLAIN, {0, TIME}},
	{SYS_clock_settime, QR_GUARD_PLAIN, {0, TIME}},
	{SYS_clock_getres, QR_GUARD_PLAIN, {0, TIME}},
	{SYS_clock_adjtime, QR_GUARD_PLAIN, {0, BYTES(208)}},
	{SYS_getitimer, QR_GUARD_PLAIN, {0, BYTES(32)}},
	{SYS_setitimer, QR_GUARD_PLAIN, {0, BYTES(32), BYTES(32)}},
	{SYS_timer_create, QR_GUARD_PLAIN, {0, BYTES(64), BYTES(4)}},
	{SYS_timer_settime, QR_GUARD_PLAIN, {0, 0, BYTES(32), BYTES(32)}},
	{SYS_timer_gettime, QR_GUARD_PLAIN, {0, BYTES(32)}},
	{SYS_timerfd_settime, QR_GUARD_PLAIN, {0, 0, BYTES(32), BYTES(32)}},
	{SYS_timerfd_gettime, QR_GUARD_PLAIN, {0, BYTES(32)}},
	{SYS_getrlimit, QR_GUARD_PLAIN, {0, TIME}},
	{SYS_setrlimit, QR_GUARD_PLAIN, {0, TIME}},
	{SYS_prlimit64, QR_GUARD_PLAIN, {0, 0, TIME, TIME}},
	{SYS_getrusage, QR_GUARD_PLAIN, {0, BYTES(144)}},
	{SYS_getgroups, QR_GUARD_PLAIN, {0, COUNT(0, 4)}},
	{SYS_setgroups, QR_GUARD_PLAIN, {0, COUNT(0, 4)}},
	{SYS_getresuid, QR_GUARD_PLAIN, {BYTES(4), BYTES(4), BYTES(4)}},
	{SYS_getresgid, QR_GUARD_PLAIN, {BYTES(4), BYTES(4), BYTES(4)}},
	{SYS_getcpu, QR_GUARD_PLAIN, {BYTES(4), BYTES(4), BYTES(128)}},
	{SYS_sched_setaffinity, QR_GUARD_PLAIN, {0, 0, COUNT(1, 1)}},
	{SYS_sched_getaffinity, QR_GUARD_PLAIN, {0, 0, COUNT(1, 1)}},
	{SYS_sched_setparam, QR_GUARD_PLAIN, {0, BYTES(4)}},
	{SYS_sched_getparam, QR_GUARD_PLAIN, {0, BYTES(4)}},
	{SYS_sched_setscheduler, QR_GUARD_PLAIN, {0, 0, BYTES(4)}},
	{SYS_sched_rr_get_interval, QR_GUARD_PLAIN, {0, TIME}},
	{SYS_mincore, QR_GUARD_PLAIN, {0, 0, ANY}},
	{SYS_sethostname, QR_GUARD_PLAIN, {COUNT(1, 1)}},
	{SYS_setdomainname, QR_GUARD_PLAIN, {COUNT(1, 1)}},
	{SYS_seccomp, QR_GUARD_NESTED, {0, 0, BYTES(16)}},
	{SYS_prctl, QR_GUARD_NESTED, {0, 0, BYTES(16)}},
	/* asynchronous transfers: what is submitted is done, or held by the kernel, before the call returns */
	{SYS_io_setup, QR_GUARD_PLAIN, {0, BYTES(8)}},
	{SYS_io_submit, QR_GUARD_NESTED, {0}},
	{SYS_io_getevents, QR_GUARD_PLAIN, {0, 0, 0, COUNT(2, 32), TIME}},
	{SYS_io_cancel, QR_GUARD_PLAIN, {0, BYTES(64), BYTES(32)}},
	{SYS_io_uring_setup, QR_GUARD_REFUSE, {0}},
};

/* Calls whose arguments are numbers, or addresses of ranges that are not looked into. */
static const uint16_t passing[] = {
	SYS_close,
	SYS_lseek,
	SYS_mmap,
	SYS_mprotect,
	SYS_munmap,
	SYS_brk,
	SYS_rt_sigreturn,
	SYS_sched_yield,
	SYS_mremap,
	SYS_msync,
	SYS_madvise,
	SYS_shmget,
	SYS_shmat,
	SYS_shmdt,
	SYS_dup,
	SYS_dup2,
	SYS_dup3,
	SYS_pause,
	SYS_alarm,
	SYS_getpid,
	SYS_socket,
	SYS_shutdown,
	SYS_listen,
	SYS_clone,
	SYS_clone3,
	SYS_fork,
	SYS_vfork,
	SYS_exit,
	SYS_kill,
	SYS_semget,
	SYS_msgget,
	SYS_flock,
	SYS_fsync,
	SYS_fdatasync,
	SYS_ftruncate,
	SYS_fchdir,
	SYS_fchmod,
	SYS_fchown,
	SYS_umask,
	SYS_getuid,
	SYS_getgid,
	SYS_setuid,
	SYS_setgid,
	SYS_geteuid,
	SYS_getegid,
	SYS_setpgid,
	SYS_getppid,
	SYS_getpgrp,
	SYS_setsid,
	SYS_setreuid,
	SYS_setregid,
	SYS_setresuid,
	SYS_setresgid,
	SYS_getpgid,
	SYS_setfsuid,
	SYS_setfsgid,
	SYS_getsid,
	SYS_personality,
	SYS_getpriority,
	SYS_setpriority,
	SYS_mlock,
	SYS_munlock,
	SYS_mlockall,
	SYS_munlockall,
	SYS_arch_prctl,
	SYS_sync,
	SYS_gettid,
	SYS_readahead,
	SYS_tkill,
	SYS_tgkill,
	SYS_io_destroy,
	SYS_epoll_create,
	SYS_epoll_create1,
	SYS_remap_file_pages,
	SYS_set_tid_address,
	SYS_restart_syscall,
	SYS_fadvise64,
	SYS_exit_group,
	SYS_timer_delete,
	SYS_timer_getoverrun,
	SYS_ioprio_set,
	SYS_ioprio_get,
	SYS_inotify_init,
	SYS_inotify_init1,
	SYS_inotify_rm_watch,
	SYS_unshare,
	SYS_set_robust_list,
	SYS_tee,
	SYS_sync_file_range,
	SYS_timerfd_create,
	SYS_eventfd,
	SYS_eventfd2,
	SYS_fallocate,
	SYS_syncfs,
	SYS_setns,
	SYS_userfaultfd,
	SYS_membarrier,
	SYS_mlock2,
	SYS_pkey_mprotect,
	SYS_pkey_alloc,
	SYS_pkey_free,
	SYS_rseq,
	SYS_io_uring_enter,
	SYS_io_uring_register,
	SYS_pidfd_open,
	SYS_pidfd_getfd,
	SYS_close_range,
	SYS_process_mrelease,
	SYS_sched_getscheduler,
	SYS_sched_get_priority_max,
	SYS_sched_get_priority_min,
};

/* ioctl(2): numbers of network interfaces have no size in them, but all take a struct ifreq or smaller; quire's own
 * calls of userfaultfd name managed addresses that they do not read. */
#define IOCTL_NETWORK 0x89u
#define IOCTL_NETWORK_BYTES 40u
#define IOCTL_USERFAULTFD 0xaau
#define NESTED_BYTES_MAX 512u
#define PRCTL_SECCOMP 22u /* PR_SET_SECCOMP */
#define FILTER_BYTES 16u /* struct sock_fprog */

uint8_t qr_guard_classes[QR_GUARD_NR_CALLS];
static const struct rule *rule_of[QR_GUARD_NR_CALLS];

static void pin_rule(struct qr_guard_thread *self, const struct qr_guard_call *call, unsigned i, uint16_t rule);
static void pin_nested(struct qr_guard_thread *self, const struct qr_guard_call *call);
static void pin_string(struct qr_guard_thread *self, uintptr_t at);
static void pin_words(struct qr_guard_thread *self, uintptr_t at, size_t length);

void qr_guard_fill_classes(void)
{
	for (unsigned i = 0; i < QR_GUARD_NR_CALLS; i++)
		qr_guard_classes[i] = QR_GUARD_PLAIN;
	for (unsigned i = 0; i < QR_ARRAY_SIZE(passing); i++)
		qr_guard_classes[passing[i]] = QR_GUARD_PASS;
	for (unsigned i = 0; i < QR_ARRAY_SIZE(rules); i++) {
		qr_guard_classes[rules[i].number] = rules[i].class;
		rule_of[rules[i].number] = &rules[i];
	}
}

void qr_guard_pin_args(struct qr_guard_thread *self, const struct qr_guard_call *call)
{
	const struct rule *rule = rule_of[call->number];

	for (unsigned i = 0; i < 6; i++)
		pin_rule(self, call, i, rule ? rule->args[i] : (uint16_t)ANY);
	if (qr_guard_classes[call->number] == QR_GUARD_NESTED)
		pin_nested(self, call);
}

static void pin_rule(struct qr_guard_thread *self, const struct qr_guard_call *call, unsigned i, uint16_t rule)
{
	uintptr_t at = call->args[i];
	uint32_t first = self->pins.nr;

	if (!rule || !at)
		return;
	switch (KIND(rule)) {
	case KIND_BYTES:
		qr_guard_pin(self, at, DETAIL(rule));
		break;
	case KIND_STRING:
		if (qr_guard_is_managed(at))
			pin_string(self, at);
		break;
	case KIND_COUNT:
		qr_guard_pin(self, at, call->args[DETAIL(rule) >> 8] * (DETAIL(rule) & 0xff));
		break;
	case KIND_LENGTH_AT:
		if (!qr_guard_is_managed(at) || !call->args[DETAIL(rule)])
			break;
		qr_guard_pin(self, call->args[DETAIL(rule)], sizeof(uint32_t));
		if (qr_guard_settle(self, first))
			qr_guard_pin(self, at, *(const uint32_t *)call->args[DETAIL(rule)]);
		break;
	case KIND_FD_SET: /* whole words */
		qr_guard_pin(self, at, (call->args[0] + 63) / 64 * 8);
		break;
	case KIND_IOVEC:
		qr_guard_pin(self, at, call->args[DETAIL(rule)] * sizeof(struct iovec));
		if (!qr_guard_settle(self, first))
			break;
		for (size_t k = 0; k < call->args[DETAIL(rule)]; k++) {
			const struct iovec *vector = (const struct iovec *)at + k;

			qr_guard_pin(self, (uintptr_t)vector->iov_base, vector->iov_len);
		}
		break;
	default:
		qr_guard_pin(self, at, DEFAULT_BYTES);
		break;
	}
}

/* Page by page up to its end. */
static void pin_string(struct qr_guard_thread *self, uintptr_t at)
{
	for (;;) {
		uintptr_t end = QR_ALIGN_DOWN(at, QR_PAGE_SIZE) + QR_PAGE_SIZE;
		uint32_t first = self->pins.nr;

		qr_guard_pin(self, at, end - at);
		if (!qr_guard_settle(self, first) || self->pins.nr == first)
			return;
		for (; at < end; at++) {
			if (!*(const volatile char *)at)
				return;
		}
	}
}

/* What looks like a pointer to managed memory in a structure of unknown layout is one. */
static void pin_words(struct qr_guard_thread *self, uintptr_t at, size_t length)
{
	uint32_t first = self->pins.nr;

	if (length > NESTED_BYTES_MAX)
		length = NESTED_BYTES_MAX;
	qr_guard_pin(self, at, length);
	if (!at || !qr_guard_settle(self, first))
		return;
	for (size_t i = 0; i + sizeof(uintptr_t) <= length; i += sizeof(uintptr_t)) {
		uintptr_t word = *(const volatile uintptr_t *)(at + i);

		if (qr_guard_is_managed(word))
			qr_guard_pin(self, word, DEFAULT_BYTES);
	}
}

static void pin_ioctl(struct qr_guard_thread *self, const struct qr_guard_call *call)
{
	uintptr_t request = call->args[1], at = call->args[2];
	size_t length = _IOC_SIZE(request);

	if (_IOC_TYPE(request) == IOCTL_USERFAULTFD)
		return;
	if (_IOC_TYPE(request) == IOCTL_NETWORK && !length)
		length = IOCTL_NETWORK_BYTES;
	if (_IOC_DIR(request) == _IOC_NONE && _IOC_TYPE(request) != IOCTL_NETWORK)
		length = 0;
	if (length)
		pin_words(self, at, length);
	if (length < IOCTL_BYTES)
		qr_guard_pin(self, at, QR_MAX(length, length ? 0 : IOCTL_BYTES));
}

/* struct futex_waitv: value, address, flags. */
static void pin_waitv(struct qr_guard_thread *self, const struct qr_guard_call *call)
{
	for (size_t i = 0; i < call->args[1]; i++)
		qr_guard_pin(self, ((const volatile uintptr_t *)call->args[0])[3 * i + 1], sizeof(uint64_t));
}

static void pin_submission(struct qr_guard_thread *self, const struct qr_guard_call *call)
{
	struct iocb *const *list = (struct iocb *const *)call->args[2];

	qr_guard_pin(self, (uintptr_t)list, call->args[1] * sizeof(*list));
	for (size_t i = 0; i < call->args[1]; i++) {
		const volatile struct iocb *one = list[i];
		bool is_vector = one->aio_lio_opcode == IOCB_CMD_PREADV || one->aio_lio_opcode == IOCB_CMD_PWRITEV;

		qr_guard_pin(self, (uintptr_t)one, sizeof(*one));
		qr_guard_pin(self, one->aio_buf, one->aio_nbytes * (is_vector ? sizeof(struct iovec) : 1));
		for (size_t k = 0; is_vector && k < one->aio_nbytes; k++) {
			const struct iovec *vector = (const struct iovec *)(uintptr_t)one->aio_buf + k;

			qr_guard_pin(self, (uintptr_t)vector->iov_base, vector->iov_len);
		}
	}
}

static void pin_nested(struct qr_guard_thread *self, const struct qr_guard_call *call)
{
	switch (call->number) {
	case SYS_ioctl:
		pin_ioctl(self, call);
		break;
	case SYS_futex_waitv:
		pin_waitv(self, call);
		break;
	case SYS_io_submit:
		pin_submission(self, call);
		break;
	case SYS_setsockopt:
		if (call->args[4] == FILTER_BYTES)
			pin_words(self, call->args[3], FILTER_BYTES);
		break;
	case SYS_seccomp:
		if (call->args[2])
			pin_words(self, call->args[2], FILTER_BYTES);
		break;
	case SYS_prctl:
		if (call->args[0] == PRCTL_SECCOMP && call->args[2])
			pin_words(self, call->args[2], FILTER_BYTES);
		break;
	default:
		break;
	}
}

QR_GUARD_CODE_END
