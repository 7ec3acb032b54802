/*
 * What the compiler calls for each access of instrumented code (-fsanitize=thread), in place of the thread sanitizer's
 * runtime: every load, store and atomic goes through the model of the caches.
 *
 * Orders are those of x86-TSO: acquire loads and release stores are plain ones; sequentially consistent stores, fences
 * and all read-modify-writes are locked operations.
 */
#include <string.h>

#include "directory.h"

#define HOOK __attribute__((visibility("default")))
#define CALLER ((uintptr_t)__builtin_return_address(0))

/* The compiler's names; nothing but compiled code calls them. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wbuiltin-declaration-mismatch"
#endif

#define PLAIN(bytes)                                                                                                   \
	HOOK void __tsan_read##bytes(void *at)                                                                         \
	{                                                                                                              \
		qr_sim_access((uintptr_t)at, bytes, QR_LOAD, CALLER);                                                  \
	}                                                                                                              \
	HOOK void __tsan_write##bytes(void *at)                                                                        \
	{                                                                                                              \
		qr_sim_access((uintptr_t)at, bytes, QR_STORE, CALLER);                                                 \
	}                                                                                                              \
	HOOK void __tsan_unaligned_read##bytes(void *at)                                                               \
	{                                                                                                              \
		qr_sim_access((uintptr_t)at, bytes, QR_LOAD, CALLER);                                                  \
	}                                                                                                              \
	HOOK void __tsan_unaligned_write##bytes(void *at)                                                              \
	{                                                                                                              \
		qr_sim_access((uintptr_t)at, bytes, QR_STORE, CALLER);                                                 \
	}                                                                                                              \
	HOOK void __tsan_volatile_read##bytes(void *at)                                                                \
	{                                                                                                              \
		qr_sim_access((uintptr_t)at, bytes, QR_LOAD, CALLER);                                                  \
	}                                                                                                              \
	HOOK void __tsan_volatile_write##bytes(void *at)                                                               \
	{                                                                                                              \
		qr_sim_access((uintptr_t)at, bytes, QR_STORE, CALLER);                                                 \
	}                                                                                                              \
	HOOK void __tsan_read_write##bytes(void *at)                                                                   \
	{                                                                                                              \
		qr_sim_access((uintptr_t)at, bytes, QR_LOAD, CALLER);                                                  \
		qr_sim_access((uintptr_t)at, bytes, QR_STORE, CALLER);                                                 \
	}
PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)

HOOK void __tsan_read_range(void *at, size_t nr_bytes)
{
	if (nr_bytes)
		qr_sim_access((uintptr_t)at, nr_bytes, QR_LOAD, CALLER);
}

HOOK void __tsan_write_range(void *at, size_t nr_bytes)
{
	if (nr_bytes)
		qr_sim_access((uintptr_t)at, nr_bytes, QR_STORE, CALLER);
}

HOOK void __tsan_init(void)
{
}

HOOK void __tsan_func_entry(void *caller)
{
	struct qr_sim_task *task = qr_sim.running;

	if (!task)
		return;
	task->calls[task->depth++ % QR_SIM_CALL_DEPTH] = (uintptr_t)caller;
	/* Call and return, with what they push. */
	qr_sim_current->clock += 2 * qr_sim.costs.access;
}

HOOK void __tsan_func_exit(void)
{
	if (qr_sim.running)
		qr_sim.running->depth--;
}

/* ---- mem*: core is compiled with these names, so that the compiler puts no others in their place ---- */

#define BULK_BYTES (QR_PAGE_SIZE / 2)

void *qr_sim_memcpy(void *to, const void *from, size_t nr_bytes)
{
	if (nr_bytes >= BULK_BYTES) {
		qr_sim_copy_bulk(to, from, nr_bytes);
		return to;
	}
	if (nr_bytes) {
		qr_sim_access((uintptr_t)from, nr_bytes, QR_LOAD, CALLER);
		qr_sim_access((uintptr_t)to, nr_bytes, QR_STORE, CALLER);
	}
	return memcpy(to, from, nr_bytes);
}

void *qr_sim_memmove(void *to, const void *from, size_t nr_bytes)
{
	if (nr_bytes) {
		qr_sim_access((uintptr_t)from, nr_bytes, QR_LOAD, CALLER);
		qr_sim_access((uintptr_t)to, nr_bytes, QR_STORE, CALLER);
	}
	return memmove(to, from, nr_bytes);
}

void *qr_sim_memset(void *to, int byte, size_t nr_bytes)
{
	if (nr_bytes)
		qr_sim_access((uintptr_t)to, nr_bytes, QR_STORE, CALLER);
	return memset(to, byte, nr_bytes);
}

int qr_sim_memcmp(const void *left, const void *right, size_t nr_bytes)
{
	if (nr_bytes) {
		qr_sim_access((uintptr_t)left, nr_bytes, QR_LOAD, CALLER);
		qr_sim_access((uintptr_t)right, nr_bytes, QR_LOAD, CALLER);
	}
	return memcmp(left, right, nr_bytes);
}

/* What clang makes of the copies and clearings of structs. */
HOOK void *__tsan_memcpy(void *to, const void *from, size_t nr_bytes)
{
	return qr_sim_memcpy(to, from, nr_bytes);
}

HOOK void *__tsan_memmove(void *to, const void *from, size_t nr_bytes)
{
	return qr_sim_memmove(to, from, nr_bytes);
}

HOOK void *__tsan_memset(void *to, int byte, size_t nr_bytes)
{
	return qr_sim_memset(to, byte, nr_bytes);
}

/* ---- Atomics. One CPU runs at a time and none stops between the model's access and the operation. ---- */

#define SEQ_CST 5

#define UPDATE(bits, type, name, value_after)                                                                          \
	HOOK type __tsan_atomic##bits##_##name(volatile type *at, type operand, int order)                             \
	{                                                                                                              \
		type before;                                                                                           \
		(void)order;                                                                                           \
		qr_sim_access((uintptr_t)at, sizeof(type), QR_LOCKED, CALLER);                                         \
		before = *at;                                                                                          \
		*at = (type)(value_after);                                                                             \
		return before;                                                                                         \
	}

#define ATOMIC(bits, type)                                                                                             \
	HOOK type __tsan_atomic##bits##_load(const volatile type *at, int order)                                       \
	{                                                                                                              \
		(void)order;                                                                                           \
		qr_sim_access((uintptr_t)at, sizeof(type), QR_LOAD, CALLER);                                           \
		return *at;                                                                                            \
	}                                                                                                              \
	HOOK void __tsan_atomic##bits##_store(volatile type *at, type value, int order)                                \
	{                                                                                                              \
		qr_sim_access((uintptr_t)at, sizeof(type), order == SEQ_CST ? QR_LOCKED : QR_ATOMIC_STORE, CALLER);    \
		*at = value;                                                                                           \
	}                                                                                                              \
	UPDATE(bits, type, exchange, operand)                                                                          \
	UPDATE(bits, type, fetch_add, before + operand)                                                                \
	UPDATE(bits, type, fetch_sub, before - operand)                                                                \
	UPDATE(bits, type, fetch_and, before &operand)                                                                 \
	UPDATE(bits, type, fetch_or, before | operand)                                                                 \
	UPDATE(bits, type, fetch_xor, before ^ operand)                                                                \
	UPDATE(bits, type, fetch_nand, ~(before & operand))                                                            \
	static int compare_exchange##bits(volatile type *at, type *expected, type desired, uintptr_t site)             \
	{                                                                                                              \
		type before;                                                                                           \
		qr_sim_access((uintptr_t)at, sizeof(type), QR_LOCKED, site);                                           \
		before = *at;                                                                                          \
		if (before == *expected) {                                                                             \
			*at = desired;                                                                                 \
			return 1;                                                                                      \
		}                                                                                                      \
		*expected = before;                                                                                    \
		return 0;                                                                                              \
	}                                                                                                              \
	HOOK int __tsan_atomic##bits##_compare_exchange_strong(volatile type *at, type *expected, type desired,        \
							       int order, int fail_order)                              \
	{                                                                                                              \
		(void)order;                                                                                           \
		(void)fail_order;                                                                                      \
		return compare_exchange##bits(at, expected, desired, CALLER);                                          \
	}                                                                                                              \
	HOOK int __tsan_atomic##bits##_compare_exchange_weak(volatile type *at, type *expected, type desired,          \
							     int order, int fail_order)                                \
	{                                                                                                              \
		(void)order;                                                                                           \
		(void)fail_order;                                                                                      \
		return compare_exchange##bits(at, expected, desired, CALLER);                                          \
	}                                                                                                              \
	HOOK type __tsan_atomic##bits##_compare_exchange_val(volatile type *at, type expected, type desired,           \
							     int order, int fail_order)                                \
	{                                                                                                              \
		(void)order;                                                                                           \
		(void)fail_order;                                                                                      \
		(void)compare_exchange##bits(at, &expected, desired, CALLER);                                          \
		return expected;                                                                                       \
	}
ATOMIC(8, uint8_t)
ATOMIC(16, uint16_t)
ATOMIC(32, uint32_t)
ATOMIC(64, uint64_t)

HOOK void __tsan_atomic_thread_fence(int order)
{
	struct qr_sim_cpu *cpu = qr_sim_current;

	if (!cpu || order != SEQ_CST)
		return;
	cpu->clock = QR_MAX(cpu->clock, cpu->drained) + qr_sim.costs.locked;
}

HOOK void __tsan_atomic_signal_fence(int order)
{
	(void)order;
}
