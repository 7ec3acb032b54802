/*
 * The freestanding ground that core stands on: integer types, page geometry, error codes, assertions, bit helpers.
 * Nothing here needs a libc.
 */
#ifndef QR_CORE_BASE_H
#define QR_CORE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <quire/err.h>

#define QR_PAGE_SHIFT 12u
#define QR_PAGE_SIZE ((uint64_t)1 << QR_PAGE_SHIFT)
#define QR_PAGE_MASK (~(QR_PAGE_SIZE - 1))
/* Largest block of the page allocator: 4 MiB. Folios stop at order 9 (2 MiB), one page-table page. */
#define QR_MAX_ORDER 10u
#define QR_FOLIO_MAX_ORDER 9u

#define QR_WARN_UNUSED __attribute__((warn_unused_result))
#define QR_PRINTF(fmt_at, args_at) __attribute__((format(printf, fmt_at, args_at)))
#define QR_NORETURN __attribute__((noreturn))
#define QR_ALIGNED(n) __attribute__((aligned(n)))
#define QR_CACHE_LINE 64

#define QR_ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define QR_MIN(a, b) ((a) < (b) ? (a) : (b))
#define QR_MAX(a, b) ((a) > (b) ? (a) : (b))
#define QR_ALIGN_DOWN(x, align) ((x) & ~((__typeof__(x))(align) - 1))
#define QR_ALIGN_UP(x, align) QR_ALIGN_DOWN((x) + ((__typeof__(x))(align) - 1), align)
#define QR_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

#define qr_likely(x) __builtin_expect(!!(x), 1)
#define qr_unlikely(x) __builtin_expect(!!(x), 0)

/* Libc's four, which any compiler may call on its own; every port supplies them. */
void *memcpy(void *restrict dst, const void *restrict src, size_t nr_bytes);
void *memmove(void *dst, const void *src, size_t nr_bytes);
void *memset(void *dst, int byte, size_t nr_bytes);
int memcmp(const void *left, const void *right, size_t nr_bytes);

/* Prints where a broken invariant was seen and stops the machine: corruption must not spread. */
QR_NORETURN void qr_port_panic(const char *file, int line, const char *what);

/* QR_BUG_ON: corruption, always checked. QR_ASSERT: O(1), debug builds. QR_ASSERT_SLOW: O(n), full-debug builds. */
#define QR_BUG_ON(condition)                                                                                           \
	do {                                                                                                           \
		if (qr_unlikely(condition))                                                                            \
			qr_port_panic(__FILE__, __LINE__, #condition);                                                 \
	} while (0)
#ifndef QR_DEBUG
#define QR_DEBUG 0 /* 0 release, 1 debug, 2 full debug; set by the build */
#endif
#define QR_ASSERT(condition)                                                                                           \
	do {                                                                                                           \
		if (QR_DEBUG >= 1)                                                                                     \
			QR_BUG_ON(!(condition));                                                                       \
	} while (0)
#define QR_ASSERT_SLOW(condition)                                                                                      \
	do {                                                                                                           \
		if (QR_DEBUG >= 2)                                                                                     \
			QR_BUG_ON(!(condition));                                                                       \
	} while (0)

/* Index of the highest set bit; value must not be 0. */
static inline unsigned qr_log2_u64(uint64_t value)
{
	return 63u - (unsigned)__builtin_clzll(value);
}

static inline bool qr_is_power_of_2(uint64_t value)
{
	return value && !(value & (value - 1));
}

static inline uint64_t qr_pages_up(uint64_t len_bytes)
{
	return (len_bytes + QR_PAGE_SIZE - 1) >> QR_PAGE_SHIFT;
}

#endif
