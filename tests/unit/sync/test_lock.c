/*
 * Spin lock, mutex, rwsem and folio lock under threads: mutual exclusion, progress, and the rank checker. A hang is
 * ended by SIGALRM.
 *
 * Links: core/sync/lock.c, core/page/folio.c, the harness. Run it under the thread sanitizer as well.
 */
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "page/frame.h"
#include "port_test.h"
#include "sync/lock.h"
#include "tap.h"

#define NR_THREADS 4u
#define NR_SECTIONS 3000u
#define NR_HANDOVERS 1500u
#define NR_WRITES 200u
#define HANG_SECONDS 60u

static struct qr_port *port;

/* ---- One critical section for all four locks ---- */

static struct qr_spinlock spin;
static struct qr_mutex mutex;
static struct qr_rwsem rwsem;
static struct qr_frame folio;

struct lock_kind {
	void (*lock)(void);
	bool (*trylock)(void);
	void (*unlock)(void);
};

static void spin_lock(void)
{
	qr_spin_lock(&spin);
}
static bool spin_trylock(void)
{
	return qr_spin_trylock(&spin);
}
static void spin_unlock(void)
{
	qr_spin_unlock(&spin);
}
static void mutex_lock(void)
{
	qr_mutex_lock(&mutex);
}
static bool mutex_trylock(void)
{
	return qr_mutex_trylock(&mutex);
}
static void mutex_unlock(void)
{
	qr_mutex_unlock(&mutex);
}
static void rwsem_lock(void)
{
	qr_rwsem_write_lock(&rwsem);
}
static void rwsem_unlock(void)
{
	qr_rwsem_write_unlock(&rwsem);
}
static void folio_lock(void)
{
	qr_folio_lock(&folio);
}
static bool folio_trylock(void)
{
	return qr_folio_trylock(&folio);
}
static void folio_unlock(void)
{
	qr_folio_unlock(&folio);
}

static const struct lock_kind spin_kind = {spin_lock, spin_trylock, spin_unlock};
static const struct lock_kind mutex_kind = {mutex_lock, mutex_trylock, mutex_unlock};
static const struct lock_kind rwsem_kind = {rwsem_lock, NULL, rwsem_unlock};
static const struct lock_kind folio_kind = {folio_lock, folio_trylock, folio_unlock};

static const struct lock_kind *kind;
static uint64_t shared_left, shared_right; /* guarded by the lock under test, no atomics on purpose */
static uint32_t section_us; /* how long every 16th section lasts, so that others park */
static uint32_t is_stopping;

static void setup(void)
{
	port = port_test_create(1);
	qr_spin_init(&spin, QR_RANK_ZONE);
	qr_mutex_init(&mutex, QR_RANK_ASPACE);
	qr_rwsem_init(&rwsem, QR_RANK_OBJECT);
	qr_frame_set_kind(&folio, QR_FRAME_FOLIO, 0);
	shared_left = shared_right = 0;
	section_us = 0;
	is_stopping = 0;
	alarm(HANG_SECONDS);
}

static void teardown(void)
{
	alarm(0);
	port_test_set_yield(0);
	port_test_set_spurious(0);
	port_test_destroy(port);
}

static void run_threads(uint32_t nr_threads, void (*entry)(void *))
{
	int handles[NR_THREADS];

	for (uintptr_t i = 0; i < nr_threads; i++) {
		handles[i] = qr_port_thread_start(port, "lock", 0, entry, (void *)i);
		tap_check(handles[i] >= 0);
	}
	for (uint32_t i = 0; i < nr_threads; i++)
		qr_port_thread_join(port, handles[i]);
}

static void section(uint32_t number)
{
	uint64_t left = shared_left;

	tap_check(shared_left == shared_right);
	if (number % 8 == 0)
		sched_yield();
	if (section_us && number % 16 == 0)
		usleep(section_us);
	shared_left = left + 1;
	shared_right = left + 1;
}

static void enter_sections(void *argument)
{
	uint64_t random = tap_seed() + (uintptr_t)argument;

	for (uint32_t i = 0; i < NR_SECTIONS;) {
		if (kind->trylock && !tap_random_below(&random, 4)) {
			if (!kind->trylock())
				continue;
		} else {
			kind->lock();
		}
		section(i++);
		kind->unlock();
	}
}

static void exclude(const struct lock_kind *which, uint32_t sleep_us, uint32_t spurious_one_in)
{
	setup();
	kind = which;
	section_us = sleep_us;
	port_test_set_yield(16);
	port_test_set_spurious(spurious_one_in);
	run_threads(NR_THREADS, enter_sections);
	tap_check_equal(shared_left, NR_THREADS * NR_SECTIONS);
	teardown();
}

/* The same with sections long enough that the others park, and with parks that end early for no reason. */
static void exclude_parked(const struct lock_kind *which)
{
	uint64_t before = port_test_nr_parks();

	exclude(which, 100, 0);
	tap_note("%llu parks", (unsigned long long)(port_test_nr_parks() - before));
	tap_check(port_test_nr_parks() > before);
	exclude(which, 20, 3);
}

static void test_spin_excludes(void)
{
	exclude(&spin_kind, 0, 0);
}
static void test_mutex_excludes(void)
{
	exclude(&mutex_kind, 0, 0);
}
static void test_mutex_parked(void)
{
	exclude_parked(&mutex_kind);
}
static void test_rwsem_excludes(void)
{
	exclude(&rwsem_kind, 0, 0);
}
static void test_rwsem_parked(void)
{
	exclude_parked(&rwsem_kind);
}
static void test_folio_excludes(void)
{
	exclude(&folio_kind, 0, 0);
}
static void test_folio_parked(void)
{
	exclude_parked(&folio_kind);
}

/* ---- Trylock ---- */

static void test_trylock(void)
{
	setup();
	tap_check(qr_spin_trylock(&spin) && !qr_spin_trylock(&spin));
	qr_spin_unlock(&spin);
	tap_check(qr_mutex_trylock(&mutex) && !qr_mutex_trylock(&mutex));
	qr_mutex_unlock(&mutex);
	tap_check(qr_folio_trylock(&folio) && !qr_folio_trylock(&folio));
	qr_folio_unlock(&folio);
	tap_check(qr_rwsem_read_trylock(&rwsem) && qr_rwsem_read_trylock(&rwsem));
	qr_rwsem_read_unlock(&rwsem);
	qr_rwsem_read_unlock(&rwsem);
	qr_rwsem_write_lock(&rwsem);
	tap_check(!qr_rwsem_read_trylock(&rwsem));
	qr_rwsem_write_unlock(&rwsem);
	tap_check(qr_rwsem_read_trylock(&rwsem));
	qr_rwsem_read_unlock(&rwsem);
	tap_check_equal(rwsem.state, 0);
	teardown();
}

/* ---- Readers and writers ---- */

static uint32_t nr_readers_inside, max_readers_inside;

static void read_or_write(void *argument)
{
	uint64_t random = tap_seed() + (uintptr_t)argument;

	for (uint32_t i = 0; i < NR_SECTIONS; i++) {
		if (!tap_random_below(&random, 4)) {
			qr_rwsem_write_lock(&rwsem);
			tap_check_equal(qr_load_relaxed(&nr_readers_inside), 0);
			section(i);
			qr_rwsem_write_unlock(&rwsem);
			continue;
		}
		if (tap_random_below(&random, 2) || !qr_rwsem_read_trylock(&rwsem))
			qr_rwsem_read_lock(&rwsem);
		uint32_t inside = qr_fetch_add(&nr_readers_inside, 1) + 1;

		if (inside > qr_load_relaxed(&max_readers_inside))
			qr_store_relaxed(&max_readers_inside, inside);
		tap_check(shared_left == shared_right);
		if (i % 4 == 0)
			sched_yield();
		(void)qr_fetch_sub(&nr_readers_inside, 1);
		qr_rwsem_read_unlock(&rwsem);
	}
}

static void test_rwsem_readers(void)
{
	setup();
	max_readers_inside = 0;
	port_test_set_yield(16);
	port_test_set_spurious(5);
	run_threads(NR_THREADS, read_or_write);
	tap_note("up to %u readers at a time", max_readers_inside);
	tap_check(max_readers_inside > 1);
	tap_check_equal(rwsem.state, 0);
	teardown();
}

/* Readers overlap all the time; without the bar on new readers the writer would never find the lock free. */
static void read_until_stopped(void *argument)
{
	if (!argument) {
		for (uint32_t i = 0; i < NR_WRITES; i++) {
			qr_rwsem_write_lock(&rwsem);
			shared_left++;
			qr_rwsem_write_unlock(&rwsem);
		}
		qr_store_relaxed(&is_stopping, 1);
		return;
	}
	while (!qr_load_relaxed(&is_stopping)) {
		qr_rwsem_read_lock(&rwsem);
		(void)qr_fetch_add(&nr_readers_inside, 1);
		/* Leave only once another reader is inside, or after a while: a writer may bar the others. */
		for (uint32_t i = 0; i < 50 && qr_load_relaxed(&nr_readers_inside) < 2; i++)
			sched_yield();
		(void)qr_fetch_sub(&nr_readers_inside, 1);
		qr_rwsem_read_unlock(&rwsem);
	}
}

static void test_rwsem_writer_progress(void)
{
	setup();
	nr_readers_inside = 0;
	run_threads(NR_THREADS, read_until_stopped);
	tap_check_equal(shared_left, NR_WRITES);
	teardown();
}

/* ---- The next holder may free the lock at once: releases must not touch it afterwards ---- */

struct guarded {
	struct qr_rwsem rwsem;
	struct qr_mutex mutex;
	uint32_t value;
};

static struct guarded *handed;
static uint32_t nr_handed; /* odd: the first holder has it locked; the parity is the turn */

static void hand_over(void *argument)
{
	if (argument) {
		for (uint32_t turn = 0; turn < NR_HANDOVERS; turn++) {
			struct guarded *mine;

			while (qr_load_acquire(&nr_handed) != 2 * turn + 1)
				sched_yield();
			mine = handed;
			qr_mutex_lock(&mine->mutex);
			qr_mutex_unlock(&mine->mutex);
			qr_rwsem_write_lock(&mine->rwsem);
			mine->value = turn;
			qr_rwsem_write_unlock(&mine->rwsem);
			free(mine);
			qr_store_release(&nr_handed, 2 * turn + 2);
		}
		return;
	}
	for (uint32_t turn = 0; turn < NR_HANDOVERS; turn++) {
		struct guarded *mine = calloc(1, sizeof(*mine));

		tap_check(mine != NULL);
		qr_rwsem_init(&mine->rwsem, QR_RANK_OBJECT);
		qr_mutex_init(&mine->mutex, QR_RANK_ASPACE);
		qr_mutex_lock(&mine->mutex);
		qr_rwsem_read_lock(&mine->rwsem);
		handed = mine;
		qr_store_release(&nr_handed, 2 * turn + 1);
		for (uint32_t i = 0; i < turn % 4; i++)
			sched_yield();
		qr_mutex_unlock(&mine->mutex);
		for (uint32_t i = 0; i < turn % 64; i++)
			sched_yield();
		qr_rwsem_read_unlock(&mine->rwsem);
		while (qr_load_acquire(&nr_handed) != 2 * turn + 2)
			sched_yield();
	}
}

static void test_release_is_last_access(void)
{
	setup();
	nr_handed = 0;
	/* Parks that end at once make the second holder take the lock in the middle of the first one's release. */
	port_test_set_yield(2);
	port_test_set_spurious(1);
	run_threads(2, hand_over);
	teardown();
}

/* ---- Ranks ---- */

static void test_ranks(void)
{
	struct qr_mutex outer, inner;
	struct qr_rwsem vmas[2];

	if (!QR_DEBUG)
		tap_skip("release build");
	setup();
	qr_mutex_init(&outer, QR_RANK_ASPACE);
	qr_mutex_init(&inner, QR_RANK_PT);
	qr_rwsem_init(&vmas[0], QR_RANK_VMA);
	qr_rwsem_init(&vmas[1], QR_RANK_VMA);
	qr_mutex_lock(&outer);
	qr_rwsem_read_lock(&vmas[0]);
	qr_rwsem_write_lock(&vmas[1]);
	qr_mutex_lock(&inner);
	tap_check_equal(qr_port_held_locks()->nr, 4);
	qr_mutex_unlock(&outer); /* releases come in any order */
	tap_check(PORT_TEST_PANICS(qr_mutex_lock(&outer)));
	tap_check(qr_mutex_trylock(&outer)); /* a try cannot deadlock, so its order is free */
	qr_mutex_unlock(&outer);
	tap_check(PORT_TEST_PANICS(qr_mutex_lock(&inner)));
	tap_check(PORT_TEST_PANICS(qr_rwsem_read_lock(&vmas[0])));
	tap_check(PORT_TEST_PANICS(qr_rwsem_write_lock(&rwsem)));
	tap_check(PORT_TEST_PANICS(qr_mutex_unlock(&mutex)));
	qr_mutex_unlock(&inner);
	qr_rwsem_write_unlock(&vmas[1]);
	qr_rwsem_read_unlock(&vmas[0]);
	tap_check_equal(qr_port_held_locks()->nr, 0);
	teardown();
}

static void test_equal_ranks(void)
{
	struct qr_spinlock other;

	if (!QR_DEBUG)
		tap_skip("release build");
	setup();
	qr_spin_init(&other, QR_RANK_ZONE);
	qr_spin_lock(&spin);
	tap_check(PORT_TEST_PANICS(qr_spin_lock(&other)));
	tap_check(PORT_TEST_PANICS(qr_spin_lock(&spin)));
	/* The park that a contended mutex would need, with a spin lock held. */
	tap_check(PORT_TEST_PANICS(qr_port_wait(&(uint32_t){0}, 1)));
	qr_spin_unlock(&spin);
	qr_spin_lock(&other);
	qr_spin_unlock(&other);
	teardown();
}

static const struct tap_test tests[] = {
	{"spin_threads_exclude", test_spin_excludes},
	{"mutex_threads_exclude", test_mutex_excludes},
	{"mutex_parked_loses_no_wakeup", test_mutex_parked},
	{"rwsem_writers_exclude", test_rwsem_excludes},
	{"rwsem_parked_loses_no_wakeup", test_rwsem_parked},
	{"rwsem_readers_share_writers_exclude", test_rwsem_readers},
	{"rwsem_overlapping_readers_writer_progresses", test_rwsem_writer_progress},
	{"folio_lock_threads_exclude", test_folio_excludes},
	{"folio_lock_parked_loses_no_wakeup", test_folio_parked},
	{"locks_trylock_held_fails", test_trylock},
	{"locks_release_is_last_access", test_release_is_last_access},
	{"ranks_wrong_order_panics", test_ranks},
	{"ranks_equal_rank_panics", test_equal_ranks},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
