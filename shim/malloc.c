/*
 * The malloc family as libc exports it; semantics are those of malloc(3), posix_memalign(3) and glibc where the
 * manual leaves a choice: malloc(0) and calloc(0, n) return a pointer of their own, realloc(p, 0) frees p and
 * returns NULL, free() keeps errno.
 *
 * The quick paths are in heap.h. The others ask first who serves the caller: the heap; the raw arena, before the
 * manager is open and in internal sections; or libc itself, when the program runs without a domain. A pointer is
 * given back to the one that its address names.
 */
#include <string.h>

#include "heap.h"

/* glibc's own, for programs without a domain; absent elsewhere. */
extern void *__libc_malloc(size_t size) __attribute__((weak));
extern void *__libc_calloc(size_t nr, size_t size) __attribute__((weak));
extern void *__libc_realloc(void *object, size_t size) __attribute__((weak));
extern void *__libc_memalign(size_t align, size_t size) __attribute__((weak));
extern void __libc_free(void *object) __attribute__((weak));

/* Exported under libc's names; libc's headers declare them with attributes that differ between versions. */
QR_SHIM_EXPORT void *malloc(size_t size);
QR_SHIM_EXPORT void *calloc(size_t nr, size_t size);
QR_SHIM_EXPORT void *realloc(void *object, size_t size);
QR_SHIM_EXPORT void *reallocarray(void *object, size_t nr, size_t size);
QR_SHIM_EXPORT void free(void *object);
QR_SHIM_EXPORT void cfree(void *object);
QR_SHIM_EXPORT int posix_memalign(void **object, size_t align, size_t size);
QR_SHIM_EXPORT void *aligned_alloc(size_t align, size_t size);
QR_SHIM_EXPORT void *memalign(size_t align, size_t size);
QR_SHIM_EXPORT void *valloc(size_t size);
QR_SHIM_EXPORT void *pvalloc(size_t size);
QR_SHIM_EXPORT size_t malloc_usable_size(void *object);

static void *alloc_slow(size_t size, size_t align, bool is_zeroed);
static void free_slow(void *object);
static void *realloc_slow(void *object, size_t size);
static void *realloc_copy(void *object, size_t old_size, size_t size);

static inline bool is_passing(void)
{
	return qr_load_acquire(&qr_shim.state) == QR_SHIM_PASS && __libc_malloc;
}

void *malloc(size_t size)
{
	void *object = qr_heap_pop(size);

	return qr_likely(object) ? object : alloc_slow(size, QR_HEAP_ALIGN, false);
}

void free(void *object)
{
	if (qr_unlikely(!qr_heap_push(object)))
		free_slow(object);
}

void cfree(void *object)
{
	free(object);
}

void *calloc(size_t nr, size_t size)
{
	size_t total;
	void *object;

	if (__builtin_mul_overflow(nr, size, &total)) {
		errno = ENOMEM;
		return NULL;
	}
	object = qr_heap_pop(total);
	return qr_likely(object) ? memset(object, 0, total) : alloc_slow(total, QR_HEAP_ALIGN, true);
}

void *realloc(void *object, size_t size)
{
	if (!object)
		return malloc(size);
	return realloc_slow(object, size);
}

void *reallocarray(void *object, size_t nr, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(nr, size, &total)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(object, total);
}

int posix_memalign(void **object, size_t align, size_t size)
{
	int saved_errno = errno;
	void *result;

	if (align % sizeof(void *) || !qr_is_power_of_2(align))
		return EINVAL;
	result = alloc_slow(size, align, false);
	errno = saved_errno; /* the result is the return value */
	if (!result)
		return ENOMEM;
	*object = result;
	return 0;
}

/* glibc rounds an alignment that is no power of two up, here and in aligned_alloc(); one beyond half of the address
 * space is EINVAL. */
void *memalign(size_t align, size_t size)
{
	if (align > SIZE_MAX / 2 + 1) {
		errno = EINVAL;
		return NULL;
	}
	if (align && !qr_is_power_of_2(align))
		align = (size_t)1 << (qr_log2_u64(align) + 1);
	return alloc_slow(size, align, false);
}

void *aligned_alloc(size_t align, size_t size)
{
	return memalign(align, size);
}

void *valloc(size_t size)
{
	return alloc_slow(size, QR_PAGE_SIZE, false);
}

void *pvalloc(size_t size)
{
	if (size > SIZE_MAX - QR_PAGE_SIZE) {
		errno = ENOMEM;
		return NULL;
	}
	return alloc_slow(QR_ALIGN_UP(size, QR_PAGE_SIZE), QR_PAGE_SIZE, false);
}

size_t malloc_usable_size(void *object)
{
	if (!object)
		return 0;
	if (qr_shim_is_managed(object))
		return qr_heap_usable_size(object);
	if (is_passing() && !qr_raw_owns(object)) {
		static size_t (*next)(void *);

		if (!next)
			next = (size_t (*)(void *))qr_shim_next("malloc_usable_size");
		return next(object);
	}
	return qr_raw_usable_size(object);
}

/* Whoever serves the caller; errno is ENOMEM on failure. */
static void *alloc_slow(size_t size, size_t align, bool is_zeroed)
{
	int saved_errno = errno;
	void *object = NULL;
	bool is_zero = false;

	align = QR_MAX(align, (size_t)QR_HEAP_ALIGN);
	if (is_passing() && !qr_shim_internal_depth) {
		if (align > QR_HEAP_ALIGN)
			return __libc_memalign(align, size);
		return is_zeroed ? __libc_calloc(1, size) : __libc_malloc(size);
	}
	if (size <= PTRDIFF_MAX)
		object = qr_shim_serves_caller() ? qr_heap_alloc(size, align, &is_zero) : qr_raw_alloc(size, align);
	if (!object) {
		errno = ENOMEM;
		return NULL;
	}
	errno = saved_errno;
	return is_zeroed && !is_zero ? memset(object, 0, size) : object;
}

static void free_slow(void *object)
{
	int saved_errno = errno;

	if (!object)
		return;
	if (qr_shim_is_managed(object)) {
		if (qr_shim_internal_depth)
			qr_heap_free_deferred(object);
		else
			qr_heap_free(object);
	} else if (qr_raw_owns(object)) {
		qr_raw_free(object);
	} else if (is_passing()) {
		__libc_free(object);
	} else {
		qr_shim_die("free of a pointer that no allocation returned");
	}
	errno = saved_errno;
}

static void *realloc_slow(void *object, size_t size)
{
	bool is_managed = qr_shim_is_managed(object), is_raw = qr_raw_owns(object);
	size_t old_size;
	void *moved;

	if (!is_managed && !is_raw && is_passing())
		return __libc_realloc(object, size);
	if (!size) {
		free(object);
		return NULL;
	}
	if (!is_managed && !is_raw)
		qr_shim_die("realloc of a pointer that no allocation returned");
	old_size = is_managed ? qr_heap_usable_size(object) : qr_raw_usable_size(object);
	if (qr_heap_fits(old_size, size))
		return object;
	if (is_managed && !qr_shim_internal_depth && size <= PTRDIFF_MAX) {
		moved = qr_heap_realloc_large(object, size);
		if (moved)
			return moved;
	}
	return realloc_copy(object, old_size, size);
}

static void *realloc_copy(void *object, size_t old_size, size_t size)
{
	void *moved = malloc(size);

	if (!moved) {
		/* A smaller size that could not be had: the object still serves. */
		return size <= old_size ? object : NULL;
	}
	memcpy(moved, object, QR_MIN(old_size, size));
	free(object);
	return moved;
}
