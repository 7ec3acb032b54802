/*
 * The program's fork handlers. libc would run them between the manager's two fork calls, where no managed memory may
 * be touched; so pthread_atfork()'s entry into libc ends here, and the shim's fork() runs them outside. The
 * order is that of POSIX: prepare handlers from the last registered to the first, the others from first to last.
 * Handlers of a shared object go when it is unloaded, as in libc.
 *
 * Locks: handlers.lock, not held while a handler runs. Entries keep their index while any fork is between its prepare
 * and its other handlers.
 */
#include <string.h>

#include "internal.h"

#define ATFORK_STATIC 48u

struct atfork_entry {
	void (*prepare)(void);
	void (*parent)(void);
	void (*child)(void);
	void *dso;
	bool is_gone;
};

QR_SHIM_EXPORT int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *dso);
QR_SHIM_EXPORT int pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
QR_SHIM_EXPORT void __cxa_finalize(void *dso);

static struct atfork_entry static_entries[ATFORK_STATIC];
static struct {
	struct qr_mutex lock;
	struct atfork_entry *entries; /* (lock) [capacity]; NULL: static_entries */
	size_t nr;      /* (lock) */
	size_t capacity;              /* (lock) */
	uint32_t nr_forks;            /* (lock) between prepare and the end */
} handlers;

/* Entries that existed when this thread ran its prepare handlers. */
static QR_SHIM_TLS size_t atfork_nr;

static bool atfork_reserve_locked(void);
static struct atfork_entry atfork_entry(size_t i);

int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *dso)
{
	int err = ENOMEM;

	qr_mutex_lock(&handlers.lock);
	if (atfork_reserve_locked()) {
		handlers.entries[handlers.nr++] = (struct atfork_entry){prepare, parent, child, dso, false};
		err = 0;
	}
	qr_mutex_unlock(&handlers.lock);
	return err;
}

/* The entry of binaries older than glibc 2.2.5's static one; they do not say which object they are. */
int pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
	return __register_atfork(prepare, parent, child, NULL);
}

/* Every shared object calls it as it goes. */
void __cxa_finalize(void *dso)
{
	static void (*next)(void *);

	qr_mutex_lock(&handlers.lock);
	for (size_t i = 0; dso && i < handlers.nr; i++)
		handlers.entries[i].is_gone |= handlers.entries[i].dso == dso;
	qr_mutex_unlock(&handlers.lock);
	if (!next)
		next = (void (*)(void *))qr_shim_next("__cxa_finalize");
	next(dso);
}

void qr_atfork_run_prepare(void)
{
	qr_mutex_lock(&handlers.lock);
	handlers.nr_forks++;
	atfork_nr = handlers.nr;
	qr_mutex_unlock(&handlers.lock);
	for (size_t i = atfork_nr; i-- > 0;) {
		struct atfork_entry entry = atfork_entry(i);

		if (!entry.is_gone && entry.prepare)
			entry.prepare();
	}
}

void qr_atfork_run_parent(void)
{
	int saved_errno = errno;

	for (size_t i = 0; i < atfork_nr; i++) {
		struct atfork_entry entry = atfork_entry(i);

		if (!entry.is_gone && entry.parent)
			entry.parent();
	}
	qr_mutex_lock(&handlers.lock);
	handlers.nr_forks--;
	qr_mutex_unlock(&handlers.lock);
	errno = saved_errno;
}

void qr_atfork_run_child(void)
{
	for (size_t i = 0; i < atfork_nr; i++) {
		struct atfork_entry entry = atfork_entry(i);

		if (!entry.is_gone && entry.child)
			entry.child();
	}
	handlers.nr_forks = 0; /* the others' forks are the parent's */
}

void qr_atfork_lock(void)
{
	qr_mutex_lock(&handlers.lock);
}

void qr_atfork_unlock(void)
{
	qr_mutex_unlock(&handlers.lock);
}

/* Makes room for one more, first by dropping the entries of objects that are gone. */
static bool atfork_reserve_locked(void)
{
	struct atfork_entry *entries;
	size_t nr = 0;

	if (!handlers.entries) {
		handlers.entries = static_entries;
		handlers.capacity = ATFORK_STATIC;
	}
	for (size_t i = 0; !handlers.nr_forks && i < handlers.nr; i++) {
		if (!handlers.entries[i].is_gone)
			handlers.entries[nr++] = handlers.entries[i];
	}
	if (!handlers.nr_forks)
		handlers.nr = nr;
	if (handlers.nr < handlers.capacity)
		return true;
	entries = qr_raw_alloc(2 * handlers.capacity * sizeof(*entries), sizeof(void *));
	if (!entries)
		return false;
	memcpy(entries, handlers.entries, handlers.nr * sizeof(*entries));
	if (handlers.entries != static_entries)
		qr_raw_free(handlers.entries);
	handlers.entries = entries;
	handlers.capacity *= 2;
	return true;
}

static struct atfork_entry atfork_entry(size_t i)
{
	struct atfork_entry entry;

	qr_mutex_lock(&handlers.lock);
	entry = handlers.entries[i];
	qr_mutex_unlock(&handlers.lock);
	return entry;
}
