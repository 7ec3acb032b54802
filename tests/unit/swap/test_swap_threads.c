/*
 * Several threads store, load, share and drop slots while another moves the pool to the file, freezes and thaws.
 * For the thread sanitizer; each page that comes back is compared in any build.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "swap_fixture.h"

#define NR_FRAMES 2048u
#define NR_WORKERS 3u
#define NR_STEPS 1200u
#define MAX_OWN 700u
#define MAX_BATCH 24u
#define NR_SHARED 64u

struct worker {
	pthread_t thread;
	uint64_t random;
	uint32_t nr;
	uint32_t slots[MAX_OWN];
	uint64_t numbers[MAX_OWN];
	uint64_t pages[MAX_BATCH][PAGE_BYTES / 8];
};

static struct swap_fixture fixture;
static struct worker workers[NR_WORKERS];
static uint32_t shared[NR_SHARED];
static uint32_t is_ending;

static uint32_t below(struct worker *worker, uint32_t bound)
{
	return tap_random_below(&worker->random, bound);
}

static void worker_store(struct worker *worker)
{
	uint32_t nr = 1 + below(worker, MAX_BATCH), nr_stored, slots[MAX_BATCH];
	uint64_t numbers[MAX_BATCH];
	void *pages[MAX_BATCH];

	nr = QR_MIN(nr, MAX_OWN - worker->nr);
	for (uint32_t i = 0; i < nr; i++) {
		pages[i] = worker->pages[i];
		numbers[i] = PAGE_NUMBER(below(worker, NR_PAGE_KINDS), tap_random(&worker->random) >> 8);
		page_fill(pages[i], numbers[i]);
	}
	if (nr == 0)
		return;
	(void)!qr_swap_store(fixture.swap, pages, nr, slots, &nr_stored);
	for (uint32_t i = 0; i < nr_stored; i++) {
		worker->slots[worker->nr] = slots[i];
		worker->numbers[worker->nr++] = numbers[i];
	}
}

static void worker_load(struct worker *worker)
{
	uint32_t nr = 1 + below(worker, MAX_BATCH), slots[MAX_BATCH], first;
	int results[MAX_BATCH];
	void *pages[MAX_BATCH];

	nr = QR_MIN(nr, worker->nr);
	if (nr == 0)
		return;
	first = below(worker, worker->nr - nr + 1);
	for (uint32_t i = 0; i < nr; i++) {
		pages[i] = worker->pages[i];
		slots[i] = worker->slots[first + i];
	}
	tap_check_equal(qr_swap_load(fixture.swap, slots, nr, pages, results), 0);
	for (uint32_t i = 0; i < nr; i++)
		tap_check(page_is(pages[i], worker->numbers[first + i]));
}

static void worker_drop(struct worker *worker)
{
	uint32_t nr = below(worker, 20);

	while (nr-- && worker->nr) {
		uint32_t i = below(worker, worker->nr);

		qr_swap_put(fixture.swap, worker->slots[i]);
		worker->nr--;
		worker->slots[i] = worker->slots[worker->nr];
		worker->numbers[i] = worker->numbers[worker->nr];
	}
}

static void worker_share(struct worker *worker)
{
	uint32_t i = below(worker, NR_SHARED);

	qr_swap_get(fixture.swap, shared[i]);
	tap_check_equal(load_one(fixture.swap, shared[i], PAGE_NUMBER(i % NR_PAGE_KINDS, i)), 0);
	qr_swap_put(fixture.swap, shared[i]);
}

static void *worker_main(void *argument)
{
	struct worker *worker = argument;

	for (uint32_t step = 0; step < NR_STEPS && !tap_has_failed(); step++) {
		uint32_t choice = below(worker, 8);

		if (choice < 2)
			worker_store(worker);
		else if (choice < 4)
			worker_load(worker);
		else if (choice < 6)
			worker_drop(worker);
		else
			worker_share(worker);
	}
	while (worker->nr)
		worker_drop(worker);
	return NULL;
}

/* As kswapd, and as forks of the program. */
static void *mover_main(void *argument)
{
	uint64_t random = tap_seed() + 99;

	(void)argument;
	while (!qr_load_acquire(&is_ending)) {
		struct qr_swap_usage usage;
		int token;

		(void)qr_swap_shrink_pool(fixture.swap, tap_random_below(&random, 200));
		qr_swap_usage(fixture.swap, &usage);
		token = qr_swap_freeze(fixture.swap);
		qr_port_cpu_relax(63);
		if (tap_check(token >= 0))
			qr_swap_thaw(fixture.swap, token);
	}
	return NULL;
}

static void run(const struct qr_swap_config *config)
{
	struct qr_port *port = port_test_create(NR_FRAMES);
	pthread_t mover;

	port_test_set_swap(port, 1, 16 << 20, true);
	port_test_set_yield(20);
	swap_fixture_init(&fixture, port, NR_FRAMES);
	swap_fixture_create(&fixture, config);
	for (uint32_t i = 0; i < NR_SHARED; i++)
		tap_require(store_one(fixture.swap, PAGE_NUMBER(i % NR_PAGE_KINDS, i), &shared[i]) == 0);
	qr_store_release(&is_ending, 0);
	for (uint32_t i = 0; i < NR_WORKERS; i++) {
		workers[i].nr = 0;
		workers[i].random = tap_seed() + i;
		tap_require(!pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]));
	}
	tap_require(!pthread_create(&mover, NULL, mover_main, NULL));
	for (uint32_t i = 0; i < NR_WORKERS; i++)
		pthread_join(workers[i].thread, NULL);
	qr_store_release(&is_ending, 1);
	pthread_join(mover, NULL);
	tap_check(qr_swap_is_valid(fixture.swap));
	for (uint32_t i = 0; i < NR_SHARED; i++) {
		tap_check_equal(load_one(fixture.swap, shared[i], PAGE_NUMBER(i % NR_PAGE_KINDS, i)), 0);
		qr_swap_put(fixture.swap, shared[i]);
	}
	tap_check(qr_swap_is_valid(fixture.swap));
	port_test_set_yield(0);
	swap_fixture_destroy(&fixture);
}

static void test_threads(void)
{
	run(&(struct qr_swap_config){.codec = QR_CODEC_LZ4, .has_file = true, .pool_max_percent = 10});
}

static void test_threads_small_file(void)
{
	run(&(struct qr_swap_config){
		.codec = QR_CODEC_LZ4, .has_file = true, .file_max_bytes = 40 * 65536, .pool_max_percent = 3});
}

static void test_threads_no_pool(void)
{
	run(&(struct qr_swap_config){.codec = QR_CODEC_NONE, .has_file = true, .file_max_bytes = 160 * 65536});
}

static const struct tap_test tests[] = {
	{"swap_threads_agree", test_threads},
	{"swap_threads_collect_small_file", test_threads_small_file},
	{"swap_threads_without_pool", test_threads_no_pool},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
