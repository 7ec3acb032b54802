/*
 * Objects of libc that must not be managed, because libc touches them while fork() holds the manager still: in the
 * child it resets the lock of every open stream, clears what the lost threads had stored under keys, and takes
 * over their stacks with the tables of thread-local storage. The calls that allocate those objects are internal
 * sections.
 */
/* Both the plain names and those with 64 are defined here; libc's headers must not rename the former. */
#undef _FILE_OFFSET_BITS
#include <pthread.h>
#include <stdio.h>
#include <threads.h>

#include "guard.h"
#include "internal.h"

/* Keys below this one are kept in the thread's own descriptor (glibc, PTHREAD_KEY_2NDLEVEL_SIZE). */
#define LIBC_KEYS_INLINE 32u

QR_SHIM_EXPORT FILE *fopen(const char *path, const char *mode);
QR_SHIM_EXPORT FILE *fopen64(const char *path, const char *mode);
QR_SHIM_EXPORT FILE *fdopen(int fd, const char *mode);
QR_SHIM_EXPORT FILE *popen(const char *command, const char *mode);
QR_SHIM_EXPORT FILE *tmpfile(void);
QR_SHIM_EXPORT FILE *tmpfile64(void);
QR_SHIM_EXPORT FILE *fmemopen(void *buffer, size_t size, const char *mode);
QR_SHIM_EXPORT FILE *open_memstream(char **buffer, size_t *size);
QR_SHIM_EXPORT FILE *open_wmemstream(wchar_t **buffer, size_t *size);
QR_SHIM_EXPORT FILE *fopencookie(void *cookie, const char *mode, cookie_io_functions_t functions);
QR_SHIM_EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*entry)(void *),
				  void *argument);
QR_SHIM_EXPORT int thrd_create(thrd_t *thread, thrd_start_t entry, void *argument);
QR_SHIM_EXPORT int pthread_setspecific(pthread_key_t key, const void *value);
QR_SHIM_EXPORT int tss_set(tss_t key, void *value);

/* Calls libc's definition of the enclosing function in an internal section. */
#define libc_call(name, ...)                                                                                           \
	({                                                                                                             \
		static __typeof__(&name) next_;                                                                        \
		__typeof__(name(__VA_ARGS__)) result_;                                                                 \
		if (!next_)                                                                                            \
			next_ = (__typeof__(&name))qr_shim_next(#name);                                                \
		qr_shim_internal_enter();                                                                              \
		result_ = next_(__VA_ARGS__);                                                                          \
		qr_shim_internal_leave();                                                                              \
		result_;                                                                                               \
	})

FILE *fopen(const char *path, const char *mode)
{
	return libc_call(fopen, path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
	return libc_call(fopen64, path, mode);
}

FILE *fdopen(int fd, const char *mode)
{
	return libc_call(fdopen, fd, mode);
}

FILE *popen(const char *command, const char *mode)
{
	return libc_call(popen, command, mode);
}

FILE *tmpfile(void)
{
	return libc_call(tmpfile);
}

FILE *tmpfile64(void)
{
	return libc_call(tmpfile64);
}

FILE *fmemopen(void *buffer, size_t size, const char *mode)
{
	return libc_call(fmemopen, buffer, size, mode);
}

FILE *open_memstream(char **buffer, size_t *size)
{
	return libc_call(open_memstream, buffer, size);
}

FILE *open_wmemstream(wchar_t **buffer, size_t *size)
{
	return libc_call(open_wmemstream, buffer, size);
}

FILE *fopencookie(void *cookie, const char *mode, cookie_io_functions_t functions)
{
	return libc_call(fopencookie, cookie, mode, functions);
}

/* With delivery by signals a thread begins and ends with the guard's record of it. */
struct libc_start {
	void *(*entry)(void *);
	thrd_start_t entry_of_c;
	void *argument;
};

static struct libc_start start_take(void *start)
{
	struct libc_start taken = *(struct libc_start *)start;

	qr_raw_free(start);
	qr_guard_thread_start();
	return taken;
}

static void *start_thread(void *start)
{
	struct libc_start taken = start_take(start);

	return taken.entry(taken.argument);
}

static int start_thread_of_c(void *start)
{
	struct libc_start taken = start_take(start);

	return taken.entry_of_c(taken.argument);
}

/* NULL: the thread starts as it is. */
static struct libc_start *start_prepare(const struct libc_start *start)
{
	struct libc_start *prepared = qr_guard_is_on() ? qr_raw_alloc(sizeof(*start), sizeof(void *)) : NULL;

	if (prepared)
		*prepared = *start;
	return prepared;
}

/* The kernel writes to the stack of a thread at any time: its signal frames and what is kept at its top. */
static void start_lock_stack(const pthread_attr_t *attributes)
{
	void *address = NULL;
	size_t length = 0;

	if (!attributes || pthread_attr_getstack(attributes, &address, &length) || !length)
		return;
	if (qr_shim_is_managed(address))
		qr_guard_lock((uintptr_t)address, length);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*entry)(void *), void *argument)
{
	struct libc_start *start = start_prepare(&(struct libc_start){.entry = entry, .argument = argument});
	int err;

	if (!start)
		return libc_call(pthread_create, thread, attributes, entry, argument);
	start_lock_stack(attributes);
	err = libc_call(pthread_create, thread, attributes, start_thread, start);
	if (err)
		qr_raw_free(start);
	return err;
}

int thrd_create(thrd_t *thread, thrd_start_t entry, void *argument)
{
	struct libc_start *start = start_prepare(&(struct libc_start){.entry_of_c = entry, .argument = argument});
	int err;

	if (!start)
		return libc_call(thrd_create, thread, entry, argument);
	err = libc_call(thrd_create, thread, start_thread_of_c, start);
	if (err != thrd_success)
		qr_raw_free(start);
	return err;
}

int pthread_setspecific(pthread_key_t key, const void *value)
{
	static int (*next)(pthread_key_t, const void *);

	if (!next)
		next = (int (*)(pthread_key_t, const void *))qr_shim_next("pthread_setspecific");
	if (key < LIBC_KEYS_INLINE)
		return next(key, value);
	return libc_call(pthread_setspecific, key, value);
}

int tss_set(tss_t key, void *value)
{
	return libc_call(tss_set, key, value);
}
