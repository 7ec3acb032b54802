/* Shared by the files of the process port; not seen by the shim or the command line. */
#ifndef QR_PROCESS_INTERNAL_H
#define QR_PROCESS_INTERNAL_H

#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "process.h"

/* Exit statuses of a program that quire had to end; documented in quire-run(1). */
#define QR_EXIT_NO_MEMORY 120 /* budget and swap are exhausted */
#define QR_EXIT_LOST 121      /* content of a page cannot be read back */

/* Writes "quire: ..." to stderr and ends the process at once. */
void qr_die(int status, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));

/* The preload library replaces malloc and mmap: sections between these calls, and quire's own threads, get plain
 * memory from it. Weak: absent where the program's own malloc is in force. */
void qr_shim_internal_enter(void) __attribute__((weak));
void qr_shim_internal_leave(void) __attribute__((weak));

/* The preload library keeps quire's descriptors out of the program's reach: adopt moves one to a high number, which it
 * returns, and protects it from close and dup2; unprotect comes before quire closes it. */
int qr_shim_adopt_fd(int fd) __attribute__((weak));
void qr_shim_unprotect_fd(int fd) __attribute__((weak));
/* Runs function(argument) on a stack of quire's own, where the preload library has one for the thread; in a signal
 * handler. */
void qr_shim_run_apart(void (*function)(void *argument), void *argument) __attribute__((weak));
/* The program was sent a SIGBUS that it has blocked: true, and the preload library keeps it. */
bool qr_shim_defer_sigbus(void) __attribute__((weak));
/* From now on the preload library makes the program's system calls right with delivery by signals: 0, or an error with
 * a text. No thread of quire's runs yet. */
int qr_shim_guard_calls(struct qr_manager *manager, const char **error_text) __attribute__((weak));
/* Mappings that went to the kernel untouched, their bytes, and bytes of the preload library's own memory. */
void qr_shim_passed(uint64_t *nr_maps, uint64_t *map_bytes, uint64_t *raw_bytes) __attribute__((weak));

/* Negative values pass through, so that the result of open(2) can be adopted as it is. */
static inline int qr_adopt_fd(int fd)
{
	return fd >= 0 && qr_shim_adopt_fd ? qr_shim_adopt_fd(fd) : fd;
}

static inline void qr_unprotect_fd(int fd)
{
	if (qr_shim_unprotect_fd)
		qr_shim_unprotect_fd(fd);
}

static inline void qr_close_fd(int fd)
{
	qr_unprotect_fd(fd);
	close(fd);
}

static inline void qr_internal_enter(void)
{
	if (qr_shim_internal_enter)
		qr_shim_internal_enter();
}

static inline void qr_internal_leave(void)
{
	if (qr_shim_internal_leave)
		qr_shim_internal_leave();
}

/* The system calls themselves: in the preload library the libc's names are quire's own wrappers. */
static inline int qr_kernel_madvise(uint64_t va, uint64_t len_bytes, int advice)
{
	return (int)syscall(SYS_madvise, va, len_bytes, advice);
}

static inline int qr_kernel_mprotect(uint64_t va, uint64_t len_bytes, int prot)
{
	return (int)syscall(SYS_mprotect, va, len_bytes, prot);
}

/* MAP_FAILED on error, as mmap(2). */
static inline void *qr_kernel_mmap(uint64_t va, uint64_t len_bytes, int prot, int flags)
{
	return (void *)syscall(SYS_mmap, va, len_bytes, prot, flags, -1, 0L);
}

static inline int qr_kernel_munmap(uint64_t va, uint64_t len_bytes)
{
	return (int)syscall(SYS_munmap, va, len_bytes);
}

static inline struct qr_manager *qr_manager_of(struct qr_port *port)
{
	return QR_CONTAINER_OF(port, struct qr_manager, port);
}

/* Entry into core by a thread of the program: signals are blocked, so that no handler of the program can touch
 * managed memory while locks are held, and fork waits. */
struct qr_entry {
	sigset_t old_mask;
};
void qr_manager_enter(struct qr_manager *manager, struct qr_entry *entry);
void qr_manager_leave(struct qr_manager *manager, const struct qr_entry *entry);

/* ---- userfaultfd.c ---- */
#define QR_FEATURE_TEXT_MAX 256
int qr_uffd_open(struct qr_manager *manager, const char **error_text);
int qr_uffd_register(struct qr_manager *manager, const char **error_text);
void qr_uffd_close(struct qr_manager *manager);
int qr_uffd_register_range(int uffd, uint64_t start, uint64_t len_bytes, uint64_t mode);

/* ---- delivery.c ---- */
/* Which delivery the manager is to use, for the one that was asked for. */
enum qr_delivery qr_delivery_choose(enum qr_delivery wanted);

/* ---- inject.c: failures on purpose ---- */
void qr_inject_read_hooks(struct qr_manager *manager);
/* After qr_io_init(). */
void qr_inject_into_io(struct qr_port *port);
/* Whether this time is one that fails; *nr_hits: how many were before. */
bool qr_inject_hits(struct qr_inject_point *point, uint32_t *nr_hits);

/* ---- move.c ---- */
int qr_move_open(struct qr_port *port);
void qr_move_close(struct qr_port *port);
/* Moves a run of pages. Returns 0 or an errno, *moved_bytes says how far it went in any case. EEXIST: both ends of the
 * next page have one; ENOENT: neither has; EAGAIN: to be tried again. */
int qr_move(struct qr_port *port, int uffd, uint64_t dst, uint64_t src, uint32_t len_bytes, uint32_t *moved_bytes);
/* How many of the nr pages from va on the kernel has, up to the first that it has not. */
uint32_t qr_pages_there(const struct qr_port *port, uint64_t va, uint32_t nr);
/* Waits a little before the next attempt at a page; false when it has been tried often enough. */
bool qr_move_backoff(unsigned *retries);

/* ---- translate.c, unmap.c ---- */
/* Ranges that the kernel moves pages into and out of. */
static inline bool qr_prot_is_movable(uint32_t prot)
{
	return (prot & (QR_PROT_WRITE | QR_PROT_EXEC)) == QR_PROT_WRITE;
}

/* The memory behind slots goes back to the kernel; they read as zero when next touched. */
void qr_slot_empty(uint8_t *slot, uint64_t len_bytes);
/* The error of the port contract for one of the kernel's. */
int qr_map_error(int error);
/* Gives a range that was opened the protection back that core knows of. */
void qr_range_restore(struct qr_port *port, uint64_t va, uint64_t len_bytes, uint32_t prot);
/* Lets the pages of a range that becomes writable be written, if an unmap() that could not finish left some
 * write-protected. The range's protection is held. */
void qr_guard_forget(struct qr_port *port, uint64_t va, uint64_t len_bytes);
/* The same for the page of a write that found it present. No locks held. */
void qr_guard_resolve(struct qr_manager *manager, uint64_t va);

/* ---- handler.c, signal.c ---- */
int qr_handlers_start(struct qr_manager *manager);
void qr_handlers_stop(struct qr_manager *manager);
/* Around a wait for a device: if the thread is the handler that leads it may hand over. */
void qr_handler_wait_begin(void);
void qr_handler_wait_end(void);
int qr_signal_install(void);
/* Runs the fault loop for one fault and deals with its errors; never fails to the caller. */
void qr_handle_fault(struct qr_manager *manager, uint64_t va, bool is_write);

/* ---- events.c: what the kernel did behind the manager's back ---- */
struct uffd_msg;
void qr_handle_event(struct qr_manager *manager, const struct uffd_msg *message);

/* ---- budget.c ---- */
/* With a domain: maps it and replaces the options by those that the whole tree was started with. */
int qr_budget_attach(struct qr_manager *manager, struct qr_options *options, const char **error_text);
int qr_budget_join(struct qr_manager *manager, const char **error_text);
int qr_budget_start(struct qr_manager *manager);
void qr_budget_stop(struct qr_manager *manager);
/* What the pool may have at first: the quota, less what is resident before there is a pool. */
uint32_t qr_budget_start_frames(const struct qr_manager *manager);
/* Frames in use, free and ballooned ones excluded. */
uint64_t qr_budget_used_frames(const struct qr_manager *manager);
/* Brings the limit down to nr_frames, reclaiming; returns the limit reached. */
uint32_t qr_budget_shrink(struct qr_manager *manager, uint32_t nr_frames);
void qr_budget_publish(struct qr_manager *manager);
/* What the kernel counts as this process's resident set. */
uint64_t qr_budget_resident_frames(void);
/* Gives quota beyond nr_needed frames (and some slack) back to the domain; returns how much. Holds budget_lock. */
uint64_t qr_budget_return_unused(struct qr_manager *manager, uint64_t nr_needed);
/* Waits for other processes to give back what is above their share, as long as this one has less than its own;
 * false when there is nothing to wait for. */
bool qr_budget_wait_for_share(struct qr_manager *manager);

/* ---- usage.c ---- */
#define QR_VERSION_TEXT "0.1.0"
/* Publishes counters now; the preload library calls it when the program exits. */
void qr_manager_flush(struct qr_manager *manager);

/* ---- fork.c ---- */
/* Thaws the swap of children that are gone. */
void qr_fork_tick(struct qr_manager *manager);

/* ---- manager.c: all open managers, for the signal handler ---- */
struct qr_manager *qr_manager_at(uint64_t va);
/* Starts handlers, kswapd and the budget thread; at open and in a forked child. */
int qr_manager_start_threads(struct qr_manager *manager);

#endif
