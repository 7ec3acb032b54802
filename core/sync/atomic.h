/*
 * Atomics: thin names over the compiler's C11 built-ins, so that each use states its order.
 * Every use names its pairing site in a comment where it is not a counter.
 */
#ifndef QR_CORE_ATOMIC_H
#define QR_CORE_ATOMIC_H

#include "base/base.h"

typedef struct {
	uint32_t value;
} qr_atomic32_t;

typedef struct {
	uint64_t value QR_ALIGNED(8);
} qr_atomic64_t;

/* For fields that are accessed atomically: on i386 a plain uint64_t in a struct is aligned to 4 bytes only. */
typedef uint64_t qr_aligned_u64 QR_ALIGNED(8);

#define qr_load_relaxed(ptr) __atomic_load_n((ptr), __ATOMIC_RELAXED)
#define qr_load_acquire(ptr) __atomic_load_n((ptr), __ATOMIC_ACQUIRE)
#define qr_store_relaxed(ptr, val) __atomic_store_n((ptr), (val), __ATOMIC_RELAXED)
#define qr_store_release(ptr, val) __atomic_store_n((ptr), (val), __ATOMIC_RELEASE)
#define qr_exchange_acquire(ptr, val) __atomic_exchange_n((ptr), (val), __ATOMIC_ACQUIRE)
#define qr_exchange_release(ptr, val) __atomic_exchange_n((ptr), (val), __ATOMIC_RELEASE)
#define qr_exchange(ptr, val) __atomic_exchange_n((ptr), (val), __ATOMIC_ACQ_REL)
#define qr_fetch_add_relaxed(ptr, val) __atomic_fetch_add((ptr), (val), __ATOMIC_RELAXED)
#define qr_fetch_add(ptr, val) __atomic_fetch_add((ptr), (val), __ATOMIC_ACQ_REL)
#define qr_fetch_sub(ptr, val) __atomic_fetch_sub((ptr), (val), __ATOMIC_ACQ_REL)
#define qr_fetch_or(ptr, val) __atomic_fetch_or((ptr), (val), __ATOMIC_ACQ_REL)
#define qr_fetch_and(ptr, val) __atomic_fetch_and((ptr), (val), __ATOMIC_ACQ_REL)
/* On failure *expected holds the value seen. */
#define qr_cas_acquire(ptr, expected, desired)                                                                         \
	__atomic_compare_exchange_n((ptr), (expected), (desired), false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)
#define qr_cas(ptr, expected, desired)                                                                                 \
	__atomic_compare_exchange_n((ptr), (expected), (desired), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
#define qr_fence() __atomic_thread_fence(__ATOMIC_SEQ_CST)

#endif
