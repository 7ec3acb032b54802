/* Slab caches against a model that holds every object's address and fill byte. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "port_test.h"
#include "slab/slab.h"
#include "tap.h"

#define NR_FRAMES 4096u
#define MAX_OBJECTS 3000u
#define NR_STEPS 12000u

struct held {
	uint8_t *bytes;
	uint8_t fill;
};

static struct qr_frame memmap[NR_FRAMES];
static struct qr_pcp pcps[PORT_TEST_CPUS];
static struct qr_slab_cpu cpus[PORT_TEST_CPUS];
static struct qr_zone zone;
static struct qr_slab_cache cache;
static uint8_t *memory;
static struct held held[MAX_OBJECTS];
static uint32_t nr_held;

/* The zone has no manager, so that nobody may ask one. */
struct qr_frame *qr_alloc_pages(struct qr_vmm *vmm, unsigned order, qr_gfp_t gfp)
{
	(void)vmm;
	(void)order;
	(void)gfp;
	abort();
}

static void zone_set_up(uint32_t nr_online)
{
	memset(memmap, 0, sizeof(memmap));
	memset(pcps, 0, sizeof(pcps));
	memset(cpus, 0, sizeof(cpus));
	nr_held = 0;
	memory = aligned_alloc(QR_PAGE_SIZE, NR_FRAMES * QR_PAGE_SIZE);
	tap_require(memory != NULL);
	qr_zone_init(&zone, &(struct qr_zone_config){.memmap = memmap,
						     .base_address = memory,
						     .nr_span = NR_FRAMES,
						     .pcps = pcps,
						     .nr_pcps = PORT_TEST_CPUS});
	tap_check_equal(qr_zone_online(&zone, nr_online), nr_online);
}

static void zone_tear_down(void)
{
	tap_check(qr_zone_is_valid(&zone));
	tap_check_equal(qr_zone_nr_free(&zone), zone.nr_online);
	free(memory);
}

static bool is_filled(const uint8_t *bytes, uint64_t nr, uint8_t fill)
{
	for (uint64_t i = 0; i < nr; i++) {
		if (bytes[i] != fill)
			return false;
	}
	return true;
}

static void model_add(void *object, uint64_t *random)
{
	struct held *slot = &held[nr_held++];

	slot->bytes = object;
	slot->fill = (uint8_t)tap_random(random);
	tap_check_equal((uintptr_t)object % cache.align, 0);
	memset(object, slot->fill, cache.object_size);
}

/* Takes a random object out of the model, with its content checked. */
static void *model_remove(uint64_t *random)
{
	uint32_t at = tap_random_below(random, nr_held);
	struct held slot = held[at];

	tap_check(is_filled(slot.bytes, cache.object_size, slot.fill));
	held[at] = held[--nr_held];
	return slot.bytes;
}

static int compare_held(const void *left, const void *right)
{
	const struct held *a = left, *b = right;

	return a->bytes < b->bytes ? -1 : a->bytes > b->bytes;
}

static void check_all(void)
{
	tap_check(qr_slab_cache_is_valid(&cache));
	tap_check_equal(qr_slab_nr_in_use(&cache), nr_held);
	qsort(held, nr_held, sizeof(*held), compare_held);
	for (uint32_t i = 0; i < nr_held; i++) {
		tap_check(!i || held[i].bytes >= held[i - 1].bytes + cache.object_size);
		tap_check(qr_slab_cache_of(&zone, held[i].bytes + cache.object_size - 1) == &cache);
		tap_check(qr_slab_object_of(&zone, held[i].bytes + cache.object_size / 2) == held[i].bytes);
	}
}

static void step(uint64_t *random, uint32_t max, uint32_t percent_alloc)
{
	void *objects[64];
	uint32_t nr = 1 + tap_random_below(random, 64);
	bool is_bulk = !tap_random_below(random, 20);

	port_test_set_cpu(tap_random_below(random, PORT_TEST_CPUS));
	if (!tap_random_below(random, 500)) {
		(void)qr_slab_shrink(&cache);
		tap_check_equal(cache.nr_empty, 0);
	} else if (tap_random_below(random, 100) < percent_alloc) {
		nr = is_bulk ? QR_MIN(nr, max - nr_held) : nr_held < max;
		if (is_bulk)
			nr = qr_slab_alloc_bulk(&cache, 0, nr, objects);
		else if (nr)
			nr = (objects[0] = qr_slab_alloc(&cache, 0)) != NULL;
		for (uint32_t i = 0; i < nr; i++)
			model_add(objects[i], random);
	} else {
		nr = QR_MIN(is_bulk ? nr : 1, nr_held);
		for (uint32_t i = 0; i < nr; i++)
			objects[i] = model_remove(random);
		if (is_bulk)
			qr_slab_free_bulk(&cache, nr, objects);
		else if (nr)
			qr_slab_free(&cache, objects[0]);
	}
}

static void run_random(uint32_t size, uint32_t align, bool has_cpus, uint32_t nr_online)
{
	uint64_t random = tap_seed() + size;
	uint32_t max = QR_MIN(MAX_OBJECTS, (2u << 20) / size);
	uint32_t percent = 50;

	zone_set_up(nr_online);
	tap_check_equal(
		qr_slab_cache_init(&cache, &zone, "test", size, align, NULL, has_cpus ? cpus : NULL, PORT_TEST_CPUS),
		0);
	tap_check(cache.object_size >= size && cache.object_size % align == 0);
	for (uint32_t i = 0; i < NR_STEPS && !tap_has_failed(); i++) {
		if (i % 3000 == 0)
			percent = i % 6000 ? 30 : 70;
		step(&random, max, percent);
		if (i % 500 == 0)
			check_all();
	}
	while (nr_held)
		qr_slab_free(&cache, model_remove(&random));
	check_all();
	qr_slab_cache_destroy(&cache);
	tap_check_equal(cache.nr_slabs, 0);
	zone_tear_down();
}

static void test_random_sizes(void)
{
	static const uint32_t sizes[][2] = {{8, 8},     {24, 8},      {100, 4},   {192, 64},   {520, 8},
					    {1000, 16}, {4096, 4096}, {5000, 16}, {12288, 64}, {65536, 4096}};

	for (uint32_t i = 0; i < QR_ARRAY_SIZE(sizes); i++)
		run_random(sizes[i][0], sizes[i][1], i % 3 != 0, NR_FRAMES);
}

/* So little memory that the zone is fragmented and runs out. */
static void test_random_tight(void)
{
	run_random(3000, 8, true, 150);
	run_random(200, 8, true, 20);
	run_random(24000, 8, false, 200);
}

static void test_geometry(void)
{
	zone_set_up(NR_FRAMES);
	for (uint32_t size = 8; size <= 65536; size += size < 300 ? 1 : 97) {
		uint32_t block;

		tap_check_equal(qr_slab_cache_init(&cache, &zone, "test", size, 1, NULL, NULL, 0), 0);
		block = (uint32_t)(QR_PAGE_SIZE << cache.order);
		tap_check(cache.objects_per_slab >= 8);
		tap_check(block - cache.objects_per_slab * cache.stride <= block / 8);
		tap_check(cache.order <= (size <= QR_PAGE_SIZE ? 3u : 7u));
	}
	tap_check_equal(qr_slab_cache_init(&cache, &zone, "test", 7, 1, NULL, NULL, 0), QR_EINVAL);
	tap_check_equal(qr_slab_cache_init(&cache, &zone, "test", 65537, 1, NULL, NULL, 0), QR_EINVAL);
	tap_check_equal(qr_slab_cache_init(&cache, &zone, "test", 64, 24, NULL, NULL, 0), QR_EINVAL);
	tap_check_equal(qr_slab_cache_init(&cache, &zone, "test", 64, 8192, NULL, NULL, 0), QR_EINVAL);
	tap_check_equal(qr_slab_cache_init(&cache, &zone, "test", 64, 0, NULL, NULL, 0), QR_EINVAL);
	zone_tear_down();
}

static void construct(void *object)
{
	memset(object, 0xC5, 40);
}

static void test_constructor(void)
{
	uint8_t *objects[300];
	uint64_t random = tap_seed();

	zone_set_up(NR_FRAMES);
	tap_check_equal(qr_slab_cache_init(&cache, &zone, "test", 40, 8, construct, cpus, PORT_TEST_CPUS), 0);
	tap_check_equal(cache.stride, 48);
	for (uint32_t i = 0; i < 300; i++)
		objects[i] = qr_slab_alloc(&cache, 0);
	for (uint32_t round = 0; round < 5000 && !tap_has_failed(); round++) {
		uint32_t at = tap_random_below(&random, 300);

		tap_check(is_filled(objects[at], 40, 0xC5));
		/* The user brings the object back to its constructed state before it frees it. */
		objects[at][3] = 1;
		objects[at][3] = 0xC5;
		qr_slab_free(&cache, objects[at]);
		objects[at] = qr_slab_alloc(&cache, 0);
	}
	tap_check(qr_slab_cache_is_valid(&cache));
	/* Freed twice is seen in all builds; so is a write behind the object. */
	qr_slab_free(&cache, objects[0]);
	tap_check(PORT_TEST_PANICS(qr_slab_free(&cache, objects[0])));
	objects[1][40] ^= 1;
	tap_check(PORT_TEST_PANICS(qr_slab_free(&cache, objects[1])));
	objects[1][40] ^= 1;
	for (uint32_t i = 1; i < 300; i++)
		qr_slab_free(&cache, objects[i]);
	qr_slab_cache_destroy(&cache);
	zone_tear_down();
}

static void **objects_to_free;

/* Stands for other threads on this CPU, which free while a slab is made. */
static void construct_and_free(void *object)
{
	void **objects = objects_to_free;

	memset(object, 0xC5, 40);
	objects_to_free = NULL;
	for (uint32_t i = 0; objects && i < QR_SLAB_CPU_OBJECTS; i++)
		qr_slab_free(&cache, objects[i]);
}

static void test_refill_full(void)
{
	static void *objects[256];
	uint32_t nr;

	zone_set_up(NR_FRAMES);
	port_test_set_cpu(0);
	tap_check_equal(qr_slab_cache_init(&cache, &zone, "test", 40, 8, construct_and_free, cpus, PORT_TEST_CPUS), 0);
	nr = 2 * cache.objects_per_slab;
	tap_check_equal(qr_slab_alloc_bulk(&cache, 0, nr, objects), nr);
	tap_check_equal(cache.full.nr, 2);
	objects_to_free = objects;
	objects[0] = qr_slab_alloc(&cache, 0);
	tap_check(!objects_to_free);
	/* Nothing that was taken out for the array is lost. */
	tap_check_equal(cpus[0].nr, QR_SLAB_CPU_OBJECTS);
	tap_check_equal(qr_slab_nr_in_use(&cache), nr - QR_SLAB_CPU_OBJECTS + 1);
	tap_check(qr_slab_cache_is_valid(&cache));
	qr_slab_free(&cache, objects[0]);
	qr_slab_free_bulk(&cache, nr - QR_SLAB_CPU_OBJECTS, objects + QR_SLAB_CPU_OBJECTS);
	qr_slab_cache_destroy(&cache);
	zone_tear_down();
}

static void test_zeroed(void)
{
	uint8_t *object;

	zone_set_up(NR_FRAMES);
	tap_check_equal(qr_slab_cache_init(&cache, &zone, "test", 256, 8, NULL, cpus, PORT_TEST_CPUS), 0);
	for (uint32_t round = 0; round < 2; round++) {
		object = qr_slab_alloc(&cache, QR_GFP_ZERO);
		tap_check(is_filled(object, 256, 0));
		memset(object, 0x99, 256);
		qr_slab_free(&cache, object);
	}
	qr_slab_cache_destroy(&cache);
	zone_tear_down();
}

static void test_bad_free(void)
{
	struct qr_slab_cache other;
	uint8_t *object;

	zone_set_up(NR_FRAMES);
	tap_check_equal(qr_slab_cache_init(&cache, &zone, "test", 96, 8, NULL, cpus, PORT_TEST_CPUS), 0);
	tap_check_equal(qr_slab_cache_init(&other, &zone, "other", 96, 8, NULL, NULL, 0), 0);
	object = qr_slab_alloc(&cache, 0);
	memset(object, 1, 96);
	tap_check(PORT_TEST_PANICS(qr_slab_free(&cache, object + 8)));
	tap_check(PORT_TEST_PANICS(qr_slab_free(&other, object)));
	tap_check(PORT_TEST_PANICS(qr_slab_free(&cache, &other)));
	tap_check(PORT_TEST_PANICS(qr_slab_free(&cache, memory + 2000 * QR_PAGE_SIZE)));
	qr_slab_free(&cache, object);
	if (QR_DEBUG) {
		tap_check(PORT_TEST_PANICS(qr_slab_free(&cache, object)));
		(void)qr_slab_shrink(&cache);
		object = qr_slab_alloc(&cache, 0);
		qr_slab_free(&cache, object);
		object[50] = 7;
		tap_check(PORT_TEST_PANICS((void)qr_slab_alloc(&cache, 0)));
		tap_note("the object is lost with its CPU array");
	}
	free(memory);
}

static void test_lookup(void)
{
	struct qr_frame *block;
	uint8_t *object;

	zone_set_up(NR_FRAMES);
	/* Whose refills would write over the traces of freed blocks. */
	zone.nr_pcps = 0;
	tap_check_equal(qr_slab_cache_init(&cache, &zone, "test", 3000, 8, NULL, NULL, 0), 0);
	tap_check(cache.order > 0);
	object = qr_slab_alloc(&cache, 0);
	tap_check(qr_slab_object_of(&zone, object + 2999) == object);
	/* Behind the last object. */
	tap_check(!qr_slab_object_of(&zone, object + (QR_PAGE_SIZE << cache.order) - 1));
	tap_check(qr_slab_cache_of(&zone, object + (QR_PAGE_SIZE << cache.order) - 1) == &cache);
	tap_check(!qr_slab_cache_of(&zone, &block));
	tap_check(!qr_slab_cache_of(&zone, memory - 1));
	tap_check(!qr_slab_cache_of(&zone, memory + NR_FRAMES * QR_PAGE_SIZE));
	block = qr_zone_alloc(&zone, 2, 0);
	tap_check(!qr_slab_cache_of(&zone, qr_zone_address(&zone, block + 1)));
	qr_zone_free(&zone, block, 2);
	qr_slab_free(&cache, object);
	qr_slab_cache_destroy(&cache);
	tap_check(!qr_slab_cache_of(&zone, object));
	/* A single-frame slab at the place of a freed block does not claim the block's old tails. */
	tap_check_equal(qr_slab_cache_init(&cache, &zone, "test", 64, 8, NULL, NULL, 0), 0);
	object = qr_slab_alloc(&cache, 0);
	for (uint32_t i = 0; i < NR_FRAMES; i++)
		tap_check_equal(qr_slab_cache_of(&zone, memory + i * QR_PAGE_SIZE) != NULL,
				memory + i * QR_PAGE_SIZE == object);
	qr_slab_free(&cache, object);
	qr_slab_cache_destroy(&cache);
	zone_tear_down();
}

/* A slab that nobody has used yet costs no memory but that of its used objects. */
static void test_untouched(void)
{
	uint8_t *object;

	if (QR_DEBUG)
		tap_skip("debug builds poison new slabs");
	zone_set_up(NR_FRAMES);
	memset(memory, 0xEE, NR_FRAMES * QR_PAGE_SIZE);
	tap_check_equal(qr_slab_cache_init(&cache, &zone, "test", 4096, 4096, NULL, NULL, 0), 0);
	object = qr_slab_alloc(&cache, 0);
	tap_check(is_filled(memory, NR_FRAMES * QR_PAGE_SIZE, 0xEE));
	qr_slab_free(&cache, object);
	qr_slab_cache_destroy(&cache);
	zone_tear_down();
}

static void test_batches(void)
{
	uint64_t nr_takes;
	static void *objects[1600];

	zone_set_up(NR_FRAMES);
	tap_check_equal(qr_slab_cache_init(&cache, &zone, "test", 64, 8, NULL, cpus, PORT_TEST_CPUS), 0);
	port_test_set_cpu(0);
	tap_check_equal(qr_slab_alloc_bulk(&cache, 0, 1600, objects), 1600);
	qr_slab_free_bulk(&cache, 1600, objects);
	nr_takes = cache.nr_lock_takes;
	for (uint32_t i = 0; i < 1600; i++)
		objects[i] = qr_slab_alloc(&cache, 0);
	/* 100 batches, and a second take after each of the 25 new slabs. */
	tap_check(cache.nr_lock_takes - nr_takes <= 100 + 25);
	for (uint32_t i = 0; i < 1600; i++)
		qr_slab_free(&cache, objects[i]);
	tap_check_equal(cache.nr_empty, 1);
	qr_slab_cache_destroy(&cache);
	zone_tear_down();
}

/* ---- Threads ---- */

#define NR_THREADS 4u
#define NR_THREAD_STEPS 5000u
#define MAX_MAILS 64u

/* Objects that one thread allocated and another frees. */
static uint64_t *mails[MAX_MAILS]; /* (A) */

static void *slab_thread(void *argument)
{
	uint64_t self = (uintptr_t)argument + 1;
	uint64_t random = tap_seed() * self;
	uint64_t *mine[100];
	uint32_t nr_mine = 0;

	for (uint32_t i = 0; i < NR_THREAD_STEPS; i++) {
		port_test_set_cpu(tap_random_below(&random, PORT_TEST_CPUS));
		if (nr_mine < 100 && tap_random_below(&random, 2)) {
			uint64_t *object = qr_slab_alloc(&cache, 0);

			tap_check(object != NULL);
			object[0] = object[7] = (uintptr_t)object ^ 0xabcdef;
			mine[nr_mine++] = object;
		} else if (nr_mine) {
			uint64_t *object = qr_exchange(&mails[tap_random_below(&random, MAX_MAILS)], mine[--nr_mine]);

			if (object) {
				tap_check(object[0] == ((uintptr_t)object ^ 0xabcdef) && object[7] == object[0]);
				qr_slab_free(&cache, object);
			}
		}
		if (self == 1 && i % 1000 == 0)
			(void)qr_slab_shrink(&cache);
	}
	while (nr_mine)
		qr_slab_free(&cache, mine[--nr_mine]);
	return NULL;
}

static void test_threads(void)
{
	pthread_t threads[NR_THREADS];

	zone_set_up(NR_FRAMES);
	tap_check_equal(qr_slab_cache_init(&cache, &zone, "test", 64, 8, NULL, cpus, PORT_TEST_CPUS), 0);
	memset(mails, 0, sizeof(mails));
	port_test_set_yield(64);
	for (uintptr_t i = 0; i < NR_THREADS; i++)
		tap_require(!pthread_create(&threads[i], NULL, slab_thread, (void *)i));
	for (uint32_t i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	port_test_set_yield(0);
	tap_check(qr_slab_cache_is_valid(&cache));
	for (uint32_t i = 0; i < MAX_MAILS; i++) {
		if (mails[i])
			qr_slab_free(&cache, mails[i]);
	}
	tap_check_equal(qr_slab_nr_in_use(&cache), 0);
	qr_slab_cache_destroy(&cache);
	zone_tear_down();
}

static const struct tap_test tests[] = {
	{"slab_random_operations_match_model", test_random_sizes},
	{"slab_random_operations_tight_match_model", test_random_tight},
	{"slab_geometry_wastes_an_eighth_at_most", test_geometry},
	{"slab_constructor_state_survives", test_constructor},
	{"slab_refill_full_array_loses_nothing", test_refill_full},
	{"slab_alloc_zero_is_zero", test_zeroed},
	{"slab_free_wrong_object_panics", test_bad_free},
	{"slab_lookup_any_address", test_lookup},
	{"slab_new_is_not_touched", test_untouched},
	{"slab_cpu_arrays_take_lock_once_per_batch", test_batches},
	{"slab_threads_exchange_objects", test_threads},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
