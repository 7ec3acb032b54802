/*
 * The heap through its public names: random operations against a model that knows what every object holds, argument
 * checks of the manual pages, threads that free each other's objects, and what is given back to the manager.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/tap.h"
#include "heap.h"

#define NR_OBJECTS 2000u
#define NR_OPERATIONS 60000u
#define NR_THREADS 4u
#define NR_MAILBOXES 256u

/* What the model knows of one object: byte i is (uint8_t)(seed + i * 7). */
struct object {
	uint8_t *data;
	size_t size;
	uint8_t seed;
};

static void fill(struct object *object)
{
	/* Large ones at both ends and on every page. */
	for (size_t i = 0; i < object->size;
	     i += object->size > 65536 && i > 4096 && i + 4096 < object->size ? 4096 : 1)
		object->data[i] = (uint8_t)(object->seed + i * 7);
}

static bool holds(const struct object *object, size_t size)
{
	size_t nr = size < object->size ? size : object->size;

	for (size_t i = 0; i < nr; i += object->size > 65536 && i > 4096 && i + 4096 < object->size ? 4096 : 1) {
		if (object->data[i] != (uint8_t)(object->seed + i * 7))
			return false;
	}
	return true;
}

static size_t random_size(uint64_t *state)
{
	uint32_t kind = tap_random_below(state, 100);

	if (kind < 60)
		return tap_random_below(state, 600);
	if (kind < 90)
		return tap_random_below(state, 40000);
	if (kind < 99)
		return tap_random_below(state, 1 << 20);
	return tap_random_below(state, 6 << 20);
}

static bool is_zero(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (data[i])
			return false;
	}
	return true;
}

static void object_make(struct object *object, uint64_t *state)
{
	size_t size = random_size(state), align = (size_t)16 << tap_random_below(state, 10);
	uint32_t how = tap_random_below(state, 4);

	object->size = size;
	object->seed = (uint8_t)tap_random(state);
	if (how == 0) {
		object->data = calloc(1, size);
		tap_check(object->data && is_zero(object->data, size));
	} else if (how == 1) {
		if (tap_random_below(state, 50) == 0)
			align = (size_t)16 << tap_random_below(state, 20);
		object->data = NULL;
		tap_check_equal(posix_memalign((void **)&object->data, align, size), 0);
		tap_check_equal((uintptr_t)object->data % align, 0);
	} else {
		object->data = malloc(size);
	}
	tap_check(object->data && (uintptr_t)object->data % 16 == 0);
	tap_check(malloc_usable_size(object->data) >= size);
	fill(object);
}

static void object_resize(struct object *object, uint64_t *state)
{
	size_t size = random_size(state) + 1;
	struct object old = *object;

	tap_check(holds(object, old.size));
	object->data = realloc(object->data, size);
	tap_check(object->data && holds(object, size));
	object->size = size;
	fill(object);
}

static void object_drop(struct object *object)
{
	tap_check(holds(object, object->size));
	free(object->data);
	memset(object, 0, sizeof(*object));
}

/* Nothing is in use any more, and every structure is whole. */
static void check_heap_is_empty(uint64_t used_before)
{
	struct qr_heap_usage usage;

	(void)malloc_trim(0);
	qr_heap_usage(&usage);
	tap_check_equal(usage.used_bytes, used_before);
	tap_check_equal(usage.nr_large, 0);
	tap_check_equal(usage.large_bytes, 0);
	tap_check(qr_zone_is_valid(&qr_heap.zone));
	for (uint32_t class = 0; class < QR_HEAP_NR_CLASSES; class ++)
		tap_check(qr_slab_cache_is_valid(&qr_heap.caches[class]));
}

static uint64_t used_bytes(void)
{
	struct qr_heap_usage usage;

	(void)malloc_trim(0);
	qr_heap_usage(&usage);
	return usage.used_bytes;
}

static void test_model(void)
{
	static struct object objects[NR_OBJECTS];
	uint64_t state = tap_seed(), used = used_bytes();

	for (uint32_t i = 0; i < NR_OPERATIONS && !tap_has_failed(); i++) {
		struct object *object = &objects[tap_random_below(&state, NR_OBJECTS)];

		if (!object->data)
			object_make(object, &state);
		else if (tap_random_below(&state, 3) == 0)
			object_resize(object, &state);
		else
			object_drop(object);
		if (i % 20000 == 0)
			(void)malloc_trim(0);
	}
	tap_check(qr_zone_is_valid(&qr_heap.zone));
	for (uint32_t i = 0; i < NR_OBJECTS; i++) {
		if (objects[i].data)
			object_drop(&objects[i]);
	}
	check_heap_is_empty(used);
}

static void test_classes(void)
{
	for (uint32_t size = 1; size <= QR_HEAP_SMALL_MAX; size++) {
		uint32_t class = qr_heap_class_of[(size + 15) / 16];

		tap_check(class < QR_HEAP_NR_CLASSES && qr_heap_class_size[class] >= size);
		tap_check(!class || qr_heap_class_size[class - 1] < size);
		tap_check(size < 128 || qr_heap_class_size[class] - size <= size / 4);
	}
	tap_check_equal(qr_heap_class_size[QR_HEAP_NR_CLASSES - 1], QR_HEAP_SMALL_MAX);
}

static void test_arguments(void)
{
	/* A compiler that saw the value would refuse it. */
	volatile size_t odd_alignment = 100;
	volatile size_t half = SIZE_MAX / 2, all = SIZE_MAX; /* not constants: the compiler warns of such sizes */
	void *volatile huge = NULL;
	void *one, *two;

	one = malloc(0);
	two = malloc(0);
	tap_check(one && two && one != two);
	free(one);
	tap_check(realloc(two, 0) == NULL);
	free(NULL);
	errno = 0;
	huge = malloc(all - 100);
	tap_check(!huge && errno == ENOMEM);
	errno = 0;
	huge = calloc(half, 3);
	tap_check(!huge && errno == ENOMEM);
	errno = 0;
	huge = reallocarray(NULL, half, 3);
	tap_check(!huge && errno == ENOMEM);
	errno = 0;
	huge = pvalloc(SIZE_MAX - 5);
	tap_check(!huge && errno == ENOMEM);
	one = (void *)16;
	errno = 7;
	tap_check_equal(posix_memalign(&one, 24, 10), EINVAL);
	tap_check_equal(posix_memalign(&one, 4, 10), EINVAL);
	tap_check_equal(posix_memalign(&one, 0, 10), EINVAL);
	tap_check_equal(posix_memalign(&one, 64, SIZE_MAX - 100), ENOMEM);
	tap_check(one == (void *)16 && errno == 7);
	one = pvalloc(1);
	tap_check(one && (uintptr_t)one % 4096 == 0 && malloc_usable_size(one) >= 4096);
	free(one);
	one = memalign(odd_alignment, 10);
	tap_check(one && (uintptr_t)one % 128 == 0);
	errno = 7;
	free(one);
	tap_check_equal(errno, 7);
	tap_check_equal(mallopt(M_MMAP_THRESHOLD, 1), 1);
	tap_check_equal(malloc_usable_size(NULL), 0);
}

static void test_failed_realloc_keeps(void)
{
	char *volatile text = malloc(100);
	void *volatile bigger;

	memcpy(text, "kept", 5);
	bigger = realloc(text, SIZE_MAX / 2 - 100);
	tap_check(!bigger && errno == ENOMEM);
	tap_check(!memcmp(text, "kept", 5));
	free(text);
	text = malloc(3 << 20);
	memcpy(text, "kept", 5);
	bigger = realloc(text, (size_t)1 << 45);
	tap_check(!bigger && !memcmp(text, "kept", 5));
	text = realloc(text, 40 << 20);
	tap_check(!memcmp(text, "kept", 5));
	text = realloc(text, 100);
	tap_check(!memcmp(text, "kept", 5) && malloc_usable_size(text) < 4096);
	free(text);
}

/* Blocks that come and go are zero when calloc says so, whoever had the pages before. */
static void test_calloc_after_reuse(void)
{
	uint64_t state = tap_seed();

	for (uint32_t i = 0; i < 400 && !tap_has_failed(); i++) {
		size_t size = 33000 + tap_random_below(&state, 900000), small = 5000 + tap_random_below(&state, 25000);
		void *others[64];
		uint8_t *block;

		for (uint32_t j = 0; j < 64; j++) {
			others[j] = malloc(small);
			memset(others[j], 0xff, small);
		}
		block = calloc(1, size);
		tap_check(block && is_zero(block, size));
		memset(block, 0xee, size);
		for (uint32_t j = 0; j < 64; j++)
			free(others[j]);
		free(block);
		if (i % 10 == 0)
			(void)malloc_trim(0);
	}
}

static void test_memory_goes_back(void)
{
	static void *objects[200000];
	struct qr_heap_usage usage;
	uint64_t used = used_bytes();

	for (uint32_t i = 0; i < 200000; i++) {
		objects[i] = malloc(400);
		memset(objects[i], 1, 400);
	}
	qr_heap_usage(&usage);
	tap_check(usage.used_bytes >= 200000 * 400);
	for (uint32_t i = 0; i < 200000; i++)
		free(objects[i]);
	/* Without malloc_trim(): frees themselves give back what exceeds the cushion (4 MiB) and its slack. */
	qr_heap_usage(&usage);
	tap_note("%lu bytes free and in memory", (unsigned long)usage.dirty_free_bytes);
	tap_check(usage.dirty_free_bytes <= 9 << 20);
	for (uint32_t i = 0; i < 64; i++) {
		objects[i] = malloc(1 << 20);
		memset(objects[i], 1, 1 << 20);
	}
	for (uint32_t i = 0; i < 64; i++)
		free(objects[i]);
	qr_heap_usage(&usage);
	tap_check(usage.dirty_free_bytes <= 9 << 20);
	check_heap_is_empty(used);
	qr_heap_usage(&usage);
	tap_check(usage.dirty_free_bytes < 1 << 20);
}

/* Small memory that is allocated while internal is raw, and goes back from anywhere. */
static void test_internal_sections(void)
{
	void *outside = malloc(100), *inside, *large, *from_cache;

	qr_shim_internal_enter();
	qr_shim_internal_enter();
	inside = malloc(100);
	large = calloc(1, 3 << 20);
	tap_check(!qr_shim_is_managed(inside) && qr_raw_owns(inside) && qr_raw_owns(large));
	tap_check(is_zero(large, 3 << 20));
	free(outside);
	qr_shim_internal_leave();
	large = realloc(large, 5 << 20);
	tap_check(qr_raw_owns(large));
	qr_shim_internal_leave();
	/* What was freed inside is in the cache. */
	from_cache = malloc(100);
	tap_check(from_cache == outside);
	free(from_cache);
	inside = realloc(inside, 200);
	tap_check(qr_shim_is_managed(inside));
	free(inside);
	free(large);
}

static void test_raw_model(void)
{
	static struct object objects[200];
	uint64_t state = tap_seed() ^ 5;

	for (uint32_t i = 0; i < 20000 && !tap_has_failed(); i++) {
		struct object *object = &objects[tap_random_below(&state, 200)];
		size_t align = (size_t)1 << tap_random_below(&state, 14);

		if (object->data) {
			tap_check(holds(object, object->size));
			qr_raw_free(object->data);
			object->data = NULL;
			continue;
		}
		object->size = tap_random_below(&state, tap_random_below(&state, 20) ? 3000 : 400000);
		object->seed = (uint8_t)i;
		object->data = qr_raw_alloc(object->size, align);
		tap_check(object->data && (uintptr_t)object->data % align == 0 && qr_raw_owns(object->data));
		tap_check(qr_raw_usable_size(object->data) >= object->size);
		fill(object);
	}
	for (uint32_t i = 0; i < 200; i++) {
		if (objects[i].data)
			qr_raw_free(objects[i].data);
	}
	tap_check(!qr_raw_alloc(SIZE_MAX - 8, 16));
	tap_check(!qr_raw_alloc(SIZE_MAX / 2, 16));
}

static void test_large_model(void)
{
	static struct object objects[700];
	uint64_t state = tap_seed() ^ 9, nr = 0, nr_bytes = 0, nr_seen, bytes_seen;

	for (uint32_t i = 0; i < 6000 && !tap_has_failed(); i++) {
		struct object *object = &objects[tap_random_below(&state, 700)];
		size_t align = tap_random_below(&state, 4) ? 16 : (size_t)4096 << tap_random_below(&state, 12);

		if (object->data && tap_random_below(&state, 3) == 0) {
			size_t size = 1 + tap_random_below(&state, 300000);
			uint8_t *moved = qr_large_realloc(object->data, size);

			tap_require(moved != NULL);
			nr_bytes += QR_ALIGN_UP(size, 4096);
			nr_bytes -= QR_ALIGN_UP(object->size, 4096);
			object->data = moved;
			object->size = size;
			tap_check_equal(moved[0], object->seed);
		} else if (object->data) {
			tap_check_equal(object->data[0], object->seed);
			tap_check_equal(qr_large_size(object->data), QR_ALIGN_UP(object->size, 4096));
			tap_check(!qr_large_size(object->data + 4096) || object->size <= 4096);
			tap_check(qr_large_free(object->data));
			tap_check(!qr_large_free(object->data));
			nr--;
			nr_bytes -= QR_ALIGN_UP(object->size, 4096);
			object->data = NULL;
		} else {
			object->size = 1 + tap_random_below(&state, 300000);
			object->seed = (uint8_t)i;
			object->data = qr_large_alloc(object->size, align);
			tap_require(object->data != NULL);
			tap_check_equal((uintptr_t)object->data % align, 0);
			object->data[0] = object->seed;
			nr++;
			nr_bytes += QR_ALIGN_UP(object->size, 4096);
		}
		qr_large_usage(&nr_seen, &bytes_seen);
		tap_check(nr == nr_seen && nr_bytes == bytes_seen);
	}
	for (uint32_t i = 0; i < 700; i++) {
		if (objects[i].data)
			tap_check(qr_large_free(objects[i].data));
	}
}

/* ---- Threads ---- */

static struct object *mailboxes[NR_MAILBOXES]; /* objects on their way to whoever takes them */

static void *thread_work(void *argument)
{
	uint64_t state = tap_seed() + (uintptr_t)argument * 77;

	for (uint32_t i = 0; i < 15000 && !tap_has_failed(); i++) {
		struct object *object = malloc(sizeof(*object));

		object->size = tap_random_below(&state, tap_random_below(&state, 50) ? 300 : 60000);
		object->seed = (uint8_t)tap_random(&state);
		object->data = malloc(object->size);
		fill(object);
		object = qr_exchange(&mailboxes[tap_random_below(&state, NR_MAILBOXES)], object);
		if (object) {
			if (i % 7 == 0)
				object_resize(object, &state);
			object_drop(object);
			free(object);
		}
	}
	return NULL;
}

static void test_threads(void)
{
	pthread_t threads[NR_THREADS];
	uint64_t used = used_bytes();

	for (uint32_t round = 0; round < 3; round++) {
		for (uintptr_t i = 0; i < NR_THREADS; i++)
			tap_require(!pthread_create(&threads[i], NULL, thread_work, (void *)(i + NR_THREADS * round)));
		for (uint32_t i = 0; i < NR_THREADS; i++)
			(void)pthread_join(threads[i], NULL);
	}
	for (uint32_t i = 0; i < NR_MAILBOXES; i++) {
		struct object *object = mailboxes[i];

		if (object) {
			object_drop(object);
			free(object);
		}
		mailboxes[i] = NULL;
	}
	/* The caches of the threads were emptied as they ended. */
	check_heap_is_empty(used);
}

static const struct tap_test tests[] = {
	{"heap_classes_are_tight", test_classes},
	{"heap_arguments_follow_manual", test_arguments},
	{"heap_failed_realloc_keeps_object", test_failed_realloc_keeps},
	{"heap_random_ops_match_model", test_model},
	{"heap_calloc_of_reused_pages_is_zero", test_calloc_after_reuse},
	{"heap_free_gives_memory_back", test_memory_goes_back},
	{"heap_internal_sections_get_raw_memory", test_internal_sections},
	{"raw_random_ops_match_model", test_raw_model},
	{"large_random_ops_match_model", test_large_model},
	{"heap_threads_free_each_others_objects", test_threads},
};

int main(int argc, char **argv)
{
	if (!getenv("QUIRE_DOMAIN")) { /* the constructor looks for it */
		(void)setenv("QUIRE_DOMAIN", "test", 1);
		(void)execv("/proc/self/exe", argv);
		return 1;
	}
	return TAP_RUN(tests, argc, argv);
}
