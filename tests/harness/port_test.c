/*
 * The test port: life, processor, waiting, read-copy-update, threads, frames, reports.
 *
 * Read-copy-update: a reader publishes the epoch in which it began in a slot of its thread; synchronize advances the
 * epoch and waits until no slot holds an older one. Both sides use read-modify-write operations on the slot, which
 * order them in either direction without fences, so that the thread sanitizer understands it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "port_test.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "port_test_priv.h"
#include "sync/lock.h"
#include "tap.h"

#define MAX_READERS 256u
#define NS_PER_SECOND 1000000000u

/* What the port knows of a thread; belongs to no manager. */
struct thread_state {
	bool has_cpu;
	unsigned cpu;
	struct qr_held_locks held;
	uint32_t reader;       /* index in readers[] plus 1; 0: none yet */
	uint32_t nr_nested;    /* depth of read sections */
	uint64_t random;
	bool expects_panic;
	uint32_t nr_held_before;
	pthread_mutex_t *locked; /* a mutex of the port that a panic has to release */
	const char *panic_text;
	jmp_buf panic_end;
};

struct reader {
	uint32_t is_used;
	uint64_t epoch; /* in which its read section began; 0: in none */
} QR_ALIGNED(QR_CACHE_LINE);

static _Thread_local struct thread_state self;
static unsigned next_cpu;
static struct reader readers[MAX_READERS];
static uint64_t current_epoch = 1;
static pthread_key_t reader_key;
static pthread_once_t reader_once = PTHREAD_ONCE_INIT;
static uint32_t yield_one_in, spurious_one_in;
static uint64_t nr_parks;

static void *map_memory(uint64_t nr_bytes);

/* ---- Life ---- */

struct qr_port *port_test_create(uint32_t nr_frames)
{
	struct qr_port *port = calloc(1, sizeof(*port));

	if (!port)
		abort();
	port->nr_frames = nr_frames;
	port->pool = map_memory((uint64_t)nr_frames << QR_PAGE_SHIFT);
	port->aside = map_memory((uint64_t)nr_frames << QR_PAGE_SHIFT);
	port->nr_mappings = map_memory((uint64_t)nr_frames * sizeof(*port->nr_mappings));
	port->is_exclusive = true;
	pthread_mutex_init(&port->mmu, NULL);
	pthread_mutex_init(&port->threads_lock, NULL);
	port_test_io_init(port);
	return port;
}

void port_test_destroy(struct qr_port *port)
{
	port_test_must(!port->nr_spaces);
	for (uint32_t i = 0; i < PORT_TEST_THREADS; i++)
		port_test_must(!port->threads[i].is_used);
	port_test_io_destroy(port);
	pthread_mutex_destroy(&port->mmu);
	pthread_mutex_destroy(&port->threads_lock);
	munmap(port->pool, (uint64_t)port->nr_frames << QR_PAGE_SHIFT);
	munmap(port->aside, (uint64_t)port->nr_frames << QR_PAGE_SHIFT);
	munmap(port->nr_mappings, (uint64_t)port->nr_frames * sizeof(*port->nr_mappings));
	free(port);
}

static void *map_memory(uint64_t nr_bytes)
{
	void *memory = mmap(NULL, nr_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		abort();
	return memory;
}

void port_test_set_exclusive(struct qr_port *port, bool is_exclusive)
{
	port->is_exclusive = is_exclusive;
}

struct port_test_counts port_test_counts(struct qr_port *port)
{
	struct port_test_counts copy;
	uint64_t *to = (uint64_t *)&copy;
	const uint64_t *from = (const uint64_t *)&port->counts;

	for (size_t i = 0; i < sizeof(copy) / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	return copy;
}

bool port_test_strikes(struct port_test_injection *injection)
{
	return injection->countdown && !--injection->countdown;
}

void port_test_lock(pthread_mutex_t *mutex)
{
	pthread_mutex_lock(mutex);
	self.locked = mutex;
}

void port_test_unlock(pthread_mutex_t *mutex)
{
	self.locked = NULL;
	pthread_mutex_unlock(mutex);
}

/* ---- Processor ---- */

unsigned qr_port_nr_cpus(void)
{
	return PORT_TEST_CPUS;
}

unsigned qr_port_cpu(void)
{
	if (!self.has_cpu)
		port_test_set_cpu(__atomic_fetch_add(&next_cpu, 1, __ATOMIC_RELAXED) % PORT_TEST_CPUS);
	return self.cpu;
}

void port_test_set_cpu(unsigned cpu)
{
	port_test_must(cpu < PORT_TEST_CPUS);
	self.cpu = cpu;
	self.has_cpu = true;
}

/* One draw in one_in of the thread's own stream. */
static bool is_drawn(const uint32_t *one_in)
{
	uint32_t bound = __atomic_load_n(one_in, __ATOMIC_RELAXED);

	if (!self.random)
		self.random = tap_seed() + (uint64_t)syscall(SYS_gettid);
	return bound && !tap_random_below(&self.random, bound);
}

void qr_port_cpu_relax(unsigned nr_spins)
{
	if (nr_spins % 64 == 63 || is_drawn(&yield_one_in))
		sched_yield();
}

void port_test_set_yield(uint32_t one_in)
{
	__atomic_store_n(&yield_one_in, one_in, __ATOMIC_RELAXED);
}

void port_test_set_spurious(uint32_t one_in)
{
	__atomic_store_n(&spurious_one_in, one_in, __ATOMIC_RELAXED);
}

uint64_t port_test_nr_parks(void)
{
	return __atomic_load_n(&nr_parks, __ATOMIC_RELAXED);
}

struct qr_held_locks *qr_port_held_locks(void)
{
	return &self.held;
}

/* Sleeping under a spin lock stops a machine whose CPUs do not sleep. */
static void must_be_able_to_sleep(void)
{
	port_test_must_at(!self.nr_nested, "sleeps in a read section");
	for (uint32_t i = 0; i < self.held.nr; i++) {
		enum qr_lock_rank rank = (enum qr_lock_rank)self.held.rank[i];

		port_test_must_at(rank == QR_RANK_ASPACE || rank == QR_RANK_VMA || rank == QR_RANK_FOLIO ||
					  rank == QR_RANK_OBJECT || rank == QR_RANK_PT || rank == QR_RANK_SWAP_IO,
				  "sleeps under a spin lock");
	}
}

/* ---- Waiting ---- */

static long futex(uint32_t *word, int operation, uint32_t value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, timeout, NULL, 0);
}

void qr_port_wait(uint32_t *word, uint32_t expected)
{
	must_be_able_to_sleep();
	if (is_drawn(&spurious_one_in))
		return;
	__atomic_fetch_add(&nr_parks, 1, __ATOMIC_RELAXED);
	(void)futex(word, FUTEX_WAIT, expected, NULL);
}

bool qr_port_wait_timeout(uint32_t *word, uint32_t expected, uint64_t timeout_ns)
{
	struct timespec timeout = {(time_t)(timeout_ns / NS_PER_SECOND), (long)(timeout_ns % NS_PER_SECOND)};

	must_be_able_to_sleep();
	if (is_drawn(&spurious_one_in))
		return true;
	__atomic_fetch_add(&nr_parks, 1, __ATOMIC_RELAXED);
	return !(futex(word, FUTEX_WAIT, expected, &timeout) == -1 && errno == ETIMEDOUT);
}

void qr_port_wake(uint32_t *word, uint32_t nr_waiters)
{
	(void)futex(word, FUTEX_WAKE, nr_waiters > INT_MAX ? INT_MAX : nr_waiters, NULL);
}

uint64_t qr_port_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/* ---- Read-copy-update ---- */

static void reader_release(void *slot)
{
	struct reader *reader = slot;

	__atomic_store_n(&reader->is_used, 0, __ATOMIC_RELEASE);
}

static void reader_create_key(void)
{
	pthread_key_create(&reader_key, reader_release);
}

/* The calling thread's slot; the thread's end gives it back. */
static struct reader *reader_self(void)
{
	if (self.reader)
		return &readers[self.reader - 1];
	pthread_once(&reader_once, reader_create_key);
	for (uint32_t i = 0; i < MAX_READERS; i++) {
		if (__atomic_exchange_n(&readers[i].is_used, 1, __ATOMIC_ACQUIRE))
			continue;
		pthread_setspecific(reader_key, &readers[i]);
		self.reader = i + 1;
		return &readers[i];
	}
	qr_port_panic(__FILE__, __LINE__, "more threads than reader slots");
}

void qr_port_rcu_read_lock(void)
{
	if (self.nr_nested++)
		return;
	/* Acquire pairs with the read-modify-write of synchronize, release with its load of the epoch. */
	(void)__atomic_exchange_n(&reader_self()->epoch, __atomic_load_n(&current_epoch, __ATOMIC_SEQ_CST),
				  __ATOMIC_SEQ_CST);
}

void qr_port_rcu_read_unlock(void)
{
	port_test_must(self.nr_nested > 0);
	if (!--self.nr_nested)
		__atomic_store_n(&reader_self()->epoch, 0, __ATOMIC_RELEASE);
}

void qr_port_rcu_synchronize(void)
{
	uint64_t epoch = __atomic_add_fetch(&current_epoch, 1, __ATOMIC_SEQ_CST);

	must_be_able_to_sleep();
	for (uint32_t i = 0; i < MAX_READERS; i++) {
		for (;;) {
			uint64_t began = __atomic_fetch_or(&readers[i].epoch, 0, __ATOMIC_SEQ_CST);

			if (!began || began >= epoch)
				break;
			sched_yield();
		}
	}
}

/* ---- Kernel threads ---- */

static void *thread_main(void *argument)
{
	struct port_test_thread *thread = argument;

	pthread_setname_np(pthread_self(), thread->name);
	thread->entry(thread->argument);
	port_test_must_at(!self.held.nr, "a thread ends with locks held");
	return NULL;
}

int qr_port_thread_start(struct qr_port *port, const char *name, unsigned near_cpu, void (*entry)(void *argument),
			 void *argument)
{
	int handle = QR_EAGAIN;

	port_test_must(near_cpu < qr_port_nr_cpus());
	port_test_must(strlen(name) <= 15);
	port_test_lock(&port->threads_lock);
	for (uint32_t i = 0; i < PORT_TEST_THREADS && handle < 0; i++) {
		struct port_test_thread *thread = &port->threads[i];

		if (thread->is_used)
			continue;
		thread->entry = entry;
		thread->argument = argument;
		snprintf(thread->name, sizeof(thread->name), "%s", name);
		if (pthread_create(&thread->thread, NULL, thread_main, thread))
			break;
		thread->is_used = true;
		handle = (int)i;
	}
	port_test_unlock(&port->threads_lock);
	return handle;
}

void qr_port_thread_join(struct qr_port *port, int handle)
{
	pthread_t thread;

	must_be_able_to_sleep();
	port_test_must(handle >= 0 && handle < (int)PORT_TEST_THREADS);
	port_test_lock(&port->threads_lock);
	port_test_must_at(port->threads[handle].is_used, "join of a thread that does not run");
	thread = port->threads[handle].thread;
	port_test_unlock(&port->threads_lock);
	pthread_join(thread, NULL);
	port_test_lock(&port->threads_lock);
	port->threads[handle].is_used = false;
	port_test_unlock(&port->threads_lock);
}

/* ---- Frames ---- */

/* The slots of an unmapped run; panics when one of its frames is mapped. */
static uint8_t *unmapped_slots(struct qr_port *port, qr_pfn_t pfn, uint32_t nr)
{
	port_test_must(pfn.nr < port->nr_frames && nr <= port->nr_frames - pfn.nr);
	for (uint32_t i = 0; i < nr; i++)
		port_test_must_at(!port_test_is_frame_mapped(port, (qr_pfn_t){pfn.nr + i}), "zeroes a mapped frame");
	return port->pool + ((uint64_t)pfn.nr << QR_PAGE_SHIFT);
}

void *qr_port_frame_address(struct qr_port *port, qr_pfn_t pfn)
{
	port_test_must(pfn.nr < port->nr_frames);
	return port->pool + ((uint64_t)pfn.nr << QR_PAGE_SHIFT);
}

void qr_port_frames_zero(struct qr_port *port, qr_pfn_t pfn, uint32_t nr, bool is_fresh)
{
	uint64_t nr_bytes = (uint64_t)nr << QR_PAGE_SHIFT;
	uint8_t *slots = unmapped_slots(port, pfn, nr);

	must_be_able_to_sleep();
	if (is_fresh) {
		for (uint64_t i = 0; i < nr_bytes; i += sizeof(uint64_t))
			port_test_must_at(!*(uint64_t *)(void *)(slots + i), "a fresh frame was written to");
		count_add(port, nr_zeroed_fresh, nr);
		return;
	}
	memset(slots, 0, nr_bytes);
	count_add(port, nr_zeroed, nr);
}

void qr_port_frames_release(struct qr_port *port, qr_pfn_t pfn, uint32_t nr)
{
	must_be_able_to_sleep();
	memset(unmapped_slots(port, pfn, nr), 0, (uint64_t)nr << QR_PAGE_SHIFT);
	count_add(port, nr_released, nr);
}

/* ---- Reports ---- */

void qr_port_log(struct qr_port *port, enum qr_log_level level, const char *format, ...)
{
	va_list arguments;
	char line[512];

	(void)port;
	if (level > QR_LOG_WARN && !getenv("QR_TEST_VERBOSE"))
		return;
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	fprintf(stderr, "# log %d: %s\n", (int)level, line);
}

bool qr_port_out_of_memory(struct qr_port *port, const char *why)
{
	qr_port_log(port, QR_LOG_INFO, "out of memory: %s", why);
	count_add(port, nr_out_of_memory, 1);
	return false;
}

void qr_port_panic(const char *file, int line, const char *what)
{
	if (self.expects_panic) {
		self.panic_text = what;
		if (self.locked)
			port_test_unlock(self.locked);
		longjmp(self.panic_end, 1);
	}
	fprintf(stderr, "# panic: %s:%d: %s\n", file, line, what);
	abort();
}

jmp_buf *port_test_expect_panic(void)
{
	self.expects_panic = true;
	self.panic_text = NULL;
	self.nr_held_before = self.held.nr;
	return &self.panic_end;
}

void port_test_expect_no_panic(void)
{
	self.expects_panic = false;
	self.held.nr = self.nr_held_before;
}

const char *port_test_panic_text(void)
{
	return self.panic_text ? self.panic_text : "";
}
