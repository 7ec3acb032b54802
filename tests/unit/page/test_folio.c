/* The folio lock and references, under threads that change other flags of the same word. */
#include <pthread.h>
#include <string.h>

#include "page/frame.h"
#include "port_test.h"
#include "tap.h"

#define NR_THREADS 4u
#define NR_ROUNDS 4000u

static struct qr_frame folio;
static uint64_t nr_inside; /* plain: the lock guards it */
static uint32_t nr_holders;
static uint32_t nr_trylocked;

static void folio_set_up(void)
{
	memset(&folio, 0, sizeof(folio));
	qr_frame_set_kind(&folio, QR_FRAME_FOLIO, 2);
	folio.refs = 1;
	nr_inside = 0;
	nr_holders = 0;
	nr_trylocked = 0;
}

static void inside(uint64_t *random)
{
	tap_check_equal(qr_fetch_add(&nr_holders, 1), 0);
	nr_inside++;
	for (uint32_t spins = tap_random_below(random, 300); spins; spins--)
		qr_port_cpu_relax(spins);
	(void)qr_fetch_sub(&nr_holders, 1);
}

static void *lock_thread(void *argument)
{
	uint64_t random = tap_seed() + (uintptr_t)argument;

	for (uint32_t i = 0; i < NR_ROUNDS; i++) {
		if (tap_random_below(&random, 8)) {
			qr_folio_lock(&folio);
		} else if (qr_folio_trylock(&folio)) {
			(void)qr_fetch_add(&nr_trylocked, 1);
		} else {
			qr_folio_set(&folio, QR_FOLIO_REFERENCED);
			(void)qr_fetch_add(&nr_holders, 0);
			qr_folio_clear(&folio, QR_FOLIO_REFERENCED);
			qr_folio_lock(&folio);
		}
		inside(&random);
		qr_folio_unlock(&folio);
	}
	return NULL;
}

static void run_threads(void *(*entry)(void *))
{
	pthread_t threads[NR_THREADS];

	for (uintptr_t i = 0; i < NR_THREADS; i++)
		tap_require(!pthread_create(&threads[i], NULL, entry, (void *)i));
	for (uint32_t i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void test_lock_threads(void)
{
	folio_set_up();
	port_test_set_yield(16);
	port_test_set_spurious(4);
	run_threads(lock_thread);
	port_test_set_yield(0);
	port_test_set_spurious(0);
	tap_check_equal(nr_inside, NR_THREADS * NR_ROUNDS);
	tap_check(!qr_folio_test(&folio, QR_FOLIO_LOCKED | QR_FOLIO_WAITERS));
	tap_check_equal(qr_frame_kind(&folio), QR_FRAME_FOLIO);
	tap_check_equal(qr_frame_order(&folio), 2);
	tap_note("%u taken at the first try, %llu parks", nr_trylocked, (unsigned long long)port_test_nr_parks());
}

static void test_trylock(void)
{
	folio_set_up();
	tap_check(qr_folio_trylock(&folio));
	tap_check(!qr_folio_trylock(&folio));
	qr_folio_set(&folio, QR_FOLIO_DIRTY);
	qr_folio_unlock(&folio);
	tap_check(qr_folio_test(&folio, QR_FOLIO_DIRTY));
	tap_check(qr_folio_trylock(&folio));
	qr_folio_unlock(&folio);
}

static void test_unlock_unlocked(void)
{
	folio_set_up();
	tap_check(PORT_TEST_PANICS(qr_folio_unlock(&folio)));
}

static void *sleeper_thread(void *argument)
{
	(void)argument;
	qr_folio_lock(&folio);
	nr_inside++;
	qr_folio_unlock(&folio);
	return NULL;
}

/* All waiters are woken in turn although each unlock wakes one. */
static void test_waiters(void)
{
	pthread_t threads[NR_THREADS];
	uint64_t nr_parks = port_test_nr_parks();

	folio_set_up();
	qr_folio_lock(&folio);
	for (uint32_t i = 0; i < NR_THREADS; i++)
		tap_require(!pthread_create(&threads[i], NULL, sleeper_thread, NULL));
	while (port_test_nr_parks() < nr_parks + NR_THREADS)
		qr_port_cpu_relax(63);
	tap_check(qr_folio_test(&folio, QR_FOLIO_WAITERS));
	qr_folio_unlock(&folio);
	for (uint32_t i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	tap_check_equal(nr_inside, NR_THREADS);
}

static void *get_thread(void *argument)
{
	(void)argument;
	for (uint32_t i = 0; i < NR_ROUNDS; i++) {
		if (qr_folio_try_get(&folio))
			(void)qr_fetch_sub(&folio.refs, 1);
	}
	return NULL;
}

static void test_try_get(void)
{
	folio_set_up();
	tap_check(qr_folio_try_get(&folio));
	tap_check_equal(folio.refs, 2);
	qr_folio_get(&folio, 3);
	tap_check_equal(folio.refs, 5);
	folio.refs = 0;
	tap_check(!qr_folio_try_get(&folio));
	tap_check_equal(folio.refs, 0);
	folio.refs = 1;
	run_threads(get_thread);
	tap_check_equal(folio.refs, 1);
}

static const struct tap_test tests[] = {
	{"folio_trylock_held_fails", test_trylock},           {"folio_unlock_unlocked_panics", test_unlock_unlocked},
	{"folio_lock_contended_excludes", test_lock_threads}, {"folio_lock_parked_waiters_all_wake", test_waiters},
	{"folio_try_get_freed_fails", test_try_get},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
