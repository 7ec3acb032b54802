/*
 * The caches ("sheaves") of threads: one struct per thread, found through initial-exec thread-local storage.
 *
 * It is made on the thread's first allocation, in raw memory, and given back to a pool by a pthread key's destructor
 * when the thread ends. What other destructors and libc allocate and free after that goes to the slabs directly.
 *
 * Locks: threads.lock guards the pool and the list of all caches. It is taken inside the gate only.
 */
#include <pthread.h>
#include <string.h>

#include "heap.h"

static struct {
	struct qr_mutex lock;
	struct qr_heap_thread *all;  /* (lock) every cache there ever was, through next_all */
	struct qr_heap_thread *pool; /* (lock) those without a thread, through next_pool */
	pthread_key_t key;           /* (I) */
} threads;

static QR_SHIM_TLS bool thread_is_ending;

static void thread_end(void *self);
static struct qr_heap_thread *thread_take_pooled(void);
static struct qr_heap_thread *thread_create(void);

int qr_heap_thread_init(void)
{
	return pthread_key_create(&threads.key, thread_end) ? QR_EAGAIN : 0;
}

struct qr_heap_thread *qr_heap_cache_of_thread(void)
{
	return qr_heap_self ? qr_heap_self : qr_heap_saved_self;
}

struct qr_heap_thread *qr_heap_first_cache(void)
{
	return threads.all;
}

struct qr_heap_thread *qr_heap_thread_get(void)
{
	struct qr_heap_thread *self = qr_heap_self;

	if (self || thread_is_ending || qr_shim_internal_depth)
		return self;
	self = thread_take_pooled();
	if (!self)
		self = thread_create();
	if (!self)
		return NULL;
	qr_heap_self = self;
	/* Allocates for keys from 32 on; what it allocates is served, since qr_heap_self is set. */
	(void)pthread_setspecific(threads.key, self);
	return self;
}

void qr_heap_thread_flush(struct qr_heap_thread *self)
{
	void *objects[QR_HEAP_SHEAF_OBJECTS];

	for (uint32_t class = 0; class < QR_HEAP_NR_CLASSES; class ++) {
		struct qr_heap_sheaf *sheaf = &self->sheaves[class];
		uint32_t nr = sheaf->nr;

		if (!nr)
			continue;
		memcpy(objects, sheaf->objects, nr * sizeof(void *));
		sheaf->nr = 0;
		qr_heap_free_bulk(class, nr, objects);
	}
}

void qr_heap_thread_fork_child(void)
{
	struct qr_heap_thread *self = qr_heap_cache_of_thread();

	/* In the parent nobody was inside the gate, so every sheaf is whole. */
	threads.pool = NULL;
	for (struct qr_heap_thread *thread = threads.all; thread; thread = thread->next_all) {
		if (thread == self)
			continue;
		thread->next_pool = threads.pool;
		threads.pool = thread;
	}
}

static void thread_end(void *argument)
{
	struct qr_heap_thread *self = argument;

	qr_gate_enter();
	thread_is_ending = true;
	qr_heap_thread_flush(self);
	qr_heap_self = NULL;
	qr_mutex_lock(&threads.lock);
	self->next_pool = threads.pool;
	threads.pool = self;
	qr_mutex_unlock(&threads.lock);
	qr_gate_leave();
}

static struct qr_heap_thread *thread_take_pooled(void)
{
	struct qr_heap_thread *self;

	qr_mutex_lock(&threads.lock);
	self = threads.pool;
	if (self)
		threads.pool = self->next_pool;
	qr_mutex_unlock(&threads.lock);
	return self;
}

static struct qr_heap_thread *thread_create(void)
{
	struct qr_heap_thread *self = qr_raw_alloc(sizeof(*self), QR_CACHE_LINE);

	if (!self)
		return NULL;
	memset(self, 0, sizeof(*self));
	for (uint32_t class = 0; class < QR_HEAP_NR_CLASSES; class ++) {
		uint32_t nr = QR_HEAP_SHEAF_BYTES / qr_heap_class_size[class];

		self->sheaves[class].limit = QR_MAX(QR_MIN(nr, QR_HEAP_SHEAF_OBJECTS), 2u);
	}
	qr_mutex_lock(&threads.lock);
	self->next_all = threads.all;
	threads.all = self;
	qr_mutex_unlock(&threads.lock);
	return self;
}
