/*
 * The preload shim's own ground: its state, system calls that bypass its wrappers, and who may get managed memory.
 *
 * The shim is in one of three states. EARLY: before the constructor ran; memory comes from the raw arena.
 * ACTIVE: the manager is open. PASS: there is no QUIRE_DOMAIN; every call goes to libc or the kernel.
 */
#ifndef QR_SHIM_INTERNAL_H
#define QR_SHIM_INTERNAL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <quire/quire.h>

#include "sync/lock.h"

/* A name that the library exports: a libc function that it replaces, or the shim's service to the process port. */
#define QR_SHIM_EXPORT __attribute__((visibility("default")))
/* Initial-exec: reached without a call, hence without an allocation. */
#define QR_SHIM_TLS __thread __attribute__((tls_model("initial-exec")))

enum qr_shim_state { QR_SHIM_EARLY, QR_SHIM_ACTIVE, QR_SHIM_PASS };

struct qr_shim {
	uint32_t state;             /* (A) enum qr_shim_state; release: the rest is set */
	struct qr_manager *manager; /* (I) from ACTIVE on */
	uintptr_t start;            /* (I) the manager's range */
	uintptr_t length;           /* (I) 0 unless ACTIVE */
};
extern struct qr_shim qr_shim;

static inline bool qr_shim_is_active(void)
{
	/* Acquire pairs with the release in the constructor. */
	return qr_load_acquire(&qr_shim.state) == QR_SHIM_ACTIVE;
}

static inline bool qr_shim_is_managed(const void *address)
{
	return (uintptr_t)address - qr_shim.start < qr_shim.length;
}

/* ---- Internal sections: code of quire itself, and threads of quire. Memory that is allocated or mapped there is
 * not managed: serving a fault must never cause one. Sections nest. ---- */
QR_SHIM_EXPORT void qr_shim_internal_enter(void);
QR_SHIM_EXPORT void qr_shim_internal_leave(void);
extern QR_SHIM_TLS uint32_t qr_shim_internal_depth;

/* May the caller use managed memory? */
static inline bool qr_shim_serves_caller(void)
{
	return qr_shim_is_active() && !qr_shim_internal_depth;
}

/* Calls of the manager are internal sections. */
#define qr_shim_manager(function, ...)                                                                                 \
	({                                                                                                             \
		int result_;                                                                                           \
		qr_shim_internal_enter();                                                                              \
		result_ = function(qr_shim.manager, __VA_ARGS__);                                                      \
		qr_shim_internal_leave();                                                                              \
		result_;                                                                                               \
	})

/* ---- Counters that the domain publishes ---- */

/* Notes a mapping that went to the kernel untouched. */
QR_SHIM_EXPORT void qr_shim_count_passed(uint64_t nr_bytes);
/* The sums since the start, and what the raw arena holds of the machine's memory, outside of the budget. */
QR_SHIM_EXPORT void qr_shim_passed(uint64_t *nr_maps, uint64_t *nr_bytes, uint64_t *raw_bytes);

/* ---- Descriptors of quire itself: the program's close() and dup2() leave them alone. ---- */

/* Moves a descriptor to a high number, close-on-exec, and protects it; returns the new number, or fd itself where no
 * higher one is free. */
QR_SHIM_EXPORT int qr_shim_adopt_fd(int fd);
QR_SHIM_EXPORT void qr_shim_protect_fd(int fd);
QR_SHIM_EXPORT void qr_shim_unprotect_fd(int fd);

/* ---- System calls that bypass the wrappers; results as of the libc functions, errno is set ---- */
static inline void *qr_shim_sys_mmap(void *address, size_t length, int prot, int flags, int fd, int64_t offset)
{
	return (void *)syscall(SYS_mmap, address, length, (long)prot, (long)flags, (long)fd, offset);
}

static inline int qr_shim_sys_munmap(void *address, size_t length)
{
	return (int)syscall(SYS_munmap, address, length);
}

static inline int qr_shim_sys_mprotect(void *address, size_t length, int prot)
{
	return (int)syscall(SYS_mprotect, address, length, (long)prot);
}

static inline int qr_shim_sys_madvise(void *address, size_t length, int advice)
{
	return (int)syscall(SYS_madvise, address, length, (long)advice);
}

/* Sets errno from an error of the manager and returns -1. */
static inline int qr_shim_fail(int error)
{
	errno = error < 0 && error > -4096 && error != QR_ERETRY ? -error : EINVAL;
	return -1;
}

/* ---- mmap.c: ranges ---- */
typedef int qr_shim_part_fn(void *address, size_t length, int argument);
/* Does [start, start + length) touch the manager's range? */
bool qr_shim_overlaps(uintptr_t start, size_t length);
/* Calls managed (returns an error code) for the managed part of a range of pages and kernel (returns -1 and sets
 * errno) for what lies before and behind it, in the order of addresses, and stops at the first error. */
int qr_shim_each_part(void *address, size_t length, int argument, qr_shim_part_fn *managed, qr_shim_part_fn *kernel);

/* Writes "quire: " and the parts up to NULL to stderr, without a buffer and without allocating. */
void qr_shim_say(const char *text, ...) __attribute__((sentinel));
/* The same, then abort(): the heap is corrupt. */
QR_NORETURN void qr_shim_die(const char *text);

/* The next definition of a libc function, which this library hides; ends the program if there is none. */
void *qr_shim_next(const char *name);

/* ---- raw.c: unmanaged memory ---- */
void *qr_raw_alloc(size_t size_bytes, size_t align);
void qr_raw_free(void *object);
size_t qr_raw_usable_size(const void *object);
bool qr_raw_owns(const void *address);
/* Address space without memory; NULL when there is none. */
void *qr_raw_reserve(size_t length);
/* Makes [address, address + length) of a reservation usable. */
bool qr_raw_commit(void *address, size_t length);
uint64_t qr_raw_bytes(void);
/* Around fork: no other thread is inside. */
void qr_raw_lock(void);
void qr_raw_unlock(void);

/* ---- gate.c: keeps threads out of the shim's locks while the process forks ---- */
void qr_gate_enter(void);
void qr_gate_leave(void);
/* Waits until no thread is inside, and keeps them out; the caller may enter. One at a time. */
void qr_gate_close(void);
void qr_gate_open(void);
/* The same in the child, where the other threads are gone. */
void qr_gate_open_child(void);

/* ---- atfork.c: the program's fork handlers ---- */
void qr_atfork_run_prepare(void);
void qr_atfork_run_parent(void);
void qr_atfork_run_child(void);
void qr_atfork_lock(void);
void qr_atfork_unlock(void);

#endif
