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

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*entry)(void *), void *argument)
{
	return libc_call(pthread_create, thread, attributes, entry, argument);
}

int thrd_create(thrd_t *thread, thrd_start_t entry, void *argument)
{
	return libc_call(thrd_create, thread, entry, argument);
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
