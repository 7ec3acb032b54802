/* The compressed pool against a model: what was put in under each handle. And the order in which groups leave. */
#include <stdlib.h>
#include <string.h>

#include "swap_fixture.h"

#define NR_FRAMES 1024u
#define MAX_OBJECTS 3000u
#define NR_STEPS 20000u

struct object {
	uint64_t handle;
	uint32_t slot;
	uint32_t len_bytes;
};

static struct swap_fixture fixture;
static struct qr_zpool pool;
static struct object objects[MAX_OBJECTS];
static uint32_t nr_objects;
static uint64_t random_state;

static uint32_t below(uint32_t bound)
{
	return tap_random_below(&random_state, bound);
}

static void object_fill(uint8_t *bytes, const struct object *object)
{
	uint64_t state = object->slot;

	for (uint32_t i = 0; i < object->len_bytes; i++)
		bytes[i] = (uint8_t)tap_random(&state);
}

static void set_up(void)
{
	swap_fixture_init(&fixture, port_test_create(NR_FRAMES), NR_FRAMES);
	qr_zpool_init(&pool, fixture.vmm);
	nr_objects = 0;
	random_state = tap_seed();
}

static void tear_down(void)
{
	qr_zpool_destroy(&pool);
	swap_fixture_destroy(&fixture);
}

static bool insert(uint32_t slot, uint32_t len_bytes)
{
	struct object *object = &objects[nr_objects];
	uint8_t bytes[PAGE_BYTES];

	object->slot = slot;
	object->len_bytes = len_bytes;
	object_fill(bytes, object);
	if (qr_zpool_insert(&pool, slot, bytes, len_bytes, &object->handle))
		return false;
	nr_objects++;
	return true;
}

static void check_object(const struct object *object)
{
	uint8_t wanted[PAGE_BYTES], bytes[PAGE_BYTES];

	object_fill(wanted, object);
	qr_zpool_copy(&pool, object->handle, object->len_bytes, bytes);
	tap_check(!memcmp(wanted, bytes, object->len_bytes));
}

static uint32_t remove_object(uint32_t i)
{
	uint32_t nr_freed = qr_zpool_free(&pool, objects[i].handle, objects[i].len_bytes);

	objects[i] = objects[--nr_objects];
	return nr_freed;
}

/* Every length, one object each; frames are used and given back as counted. */
static void test_lengths(void)
{
	uint32_t nr_free;

	set_up();
	nr_free = qr_zone_nr_free(&fixture.vmm->zone);
	for (uint32_t len_bytes = 1; len_bytes <= QR_ZPOOL_MAX_OBJECT + 1; len_bytes += 1 + len_bytes / 64) {
		uint32_t len = len_bytes > QR_ZPOOL_MAX_OBJECT ? PAGE_BYTES : len_bytes;

		tap_require(insert(len_bytes, len));
		check_object(&objects[nr_objects - 1]);
		tap_check_equal(qr_zone_nr_free(&fixture.vmm->zone) + pool.nr_frames, nr_free);
	}
	tap_check(qr_zpool_is_valid(&pool));
	for (uint32_t i = 0; i < nr_objects; i++)
		check_object(&objects[i]);
	while (nr_objects)
		(void)remove_object(below(nr_objects));
	tap_check_equal(pool.nr_frames, 0);
	tap_check_equal(pool.nr_bytes, 0);
	tear_down();
}

static void test_model(void)
{
	uint64_t nr_bytes = 0;

	set_up();
	for (uint32_t step = 0; step < NR_STEPS && !tap_has_failed(); step++) {
		bool is_growing = (step >> 12 & 1) == 0;

		if (below(8) < (is_growing ? 5u : 2u) && nr_objects < MAX_OBJECTS) {
			uint32_t len_bytes = below(10) ? 1 + below(QR_ZPOOL_MAX_OBJECT) : PAGE_BYTES;

			if (insert(step, len_bytes))
				nr_bytes += len_bytes;
		} else if (nr_objects) {
			uint32_t i = below(nr_objects);

			check_object(&objects[i]);
			nr_bytes -= objects[i].len_bytes;
			(void)remove_object(i);
		}
		if (step % 1000 == 0)
			tap_check(qr_zpool_is_valid(&pool));
		tap_check_equal(pool.nr_objects, nr_objects);
		tap_check_equal(pool.nr_bytes, nr_bytes);
	}
	while (nr_objects) {
		check_object(&objects[0]);
		(void)remove_object(0);
	}
	tap_check_equal(pool.nr_frames, 0);
	tear_down();
}

/* Random lengths waste little: at most a fifth of the frames with many objects. */
static void test_waste(void)
{
	set_up();
	while (nr_objects < MAX_OBJECTS && insert(nr_objects, 200 + below(2800)))
		;
	tap_note("%u objects, %llu bytes in %u frames", nr_objects, (unsigned long long)pool.nr_bytes, pool.nr_frames);
	tap_check(pool.nr_bytes * 5 >= (uint64_t)pool.nr_frames * PAGE_BYTES * 4);
	while (nr_objects)
		(void)remove_object(below(nr_objects));
	tear_down();
}

/* Objects leave in the order of their groups' making, and no group gains objects while it is emptied. */
static void test_oldest(void)
{
	uint32_t slots[QR_ZGROUP_OBJECTS], nr, next = 0;

	set_up();
	for (uint32_t slot = 0; slot < 500; slot++)
		tap_require(insert(slot, 1000));
	while ((nr = qr_zpool_oldest(&pool, slots)) > 0) {
		uint32_t nr_freed = 0;

		tap_check_equal(slots[0], next);
		if (next == 0) { /* not even where there is room */
			qr_zpool_free(&pool, objects[0].handle, 1000);
			tap_require(insert(1000, 1000));
			tap_check((uint32_t)objects[500].handle != (uint32_t)objects[0].handle);
		}
		for (uint32_t i = next == 0; i < nr; i++)
			nr_freed += qr_zpool_free(&pool, objects[slots[i] < 500 ? slots[i] : 500].handle, 1000);
		tap_check(nr_freed > 0);
		qr_zpool_oldest_done(&pool, true);
		tap_check(qr_zpool_is_valid(&pool));
		next += nr;
	}
	tap_check_equal(pool.nr_objects, 0);
	tear_down();
}

/* A group that was not emptied goes to the end, or keeps its place, and has room again. */
static void test_oldest_kept(void)
{
	uint32_t slots[QR_ZGROUP_OBJECTS], nr;

	set_up();
	for (uint32_t slot = 0; slot < 100; slot++)
		tap_require(insert(slot, 3000));
	nr = qr_zpool_oldest(&pool, slots);
	(void)qr_zpool_free(&pool, objects[0].handle, 3000);
	qr_zpool_oldest_done(&pool, false);
	tap_check(qr_zpool_is_valid(&pool));
	tap_check_equal(qr_zpool_oldest(&pool, slots), nr - 1);
	tap_check_equal(slots[0], 1);
	qr_zpool_oldest_done(&pool, true);
	tap_check(qr_zpool_is_valid(&pool));
	tap_check_equal(qr_zpool_oldest(&pool, slots), nr);
	tap_check_equal(slots[0], nr);
	qr_zpool_oldest_done(&pool, false);
	tear_down(); /* with objects in it */
}

static void test_double_free(void)
{
	set_up();
	tap_require(insert(1, 100) && insert(2, 100));
	(void)qr_zpool_free(&pool, objects[0].handle, 100);
	tap_check(PORT_TEST_PANICS(qr_zpool_free(&pool, objects[0].handle, 100)));
	pool.lock.state = 0;
	tear_down();
}

static const struct tap_test tests[] = {
	{"zpool_every_length_comes_back", test_lengths},
	{"zpool_matches_model", test_model},
	{"zpool_packs_tightly", test_waste},
	{"zpool_oldest_leaves_first", test_oldest},
	{"zpool_oldest_not_emptied_stays", test_oldest_kept},
	{"zpool_double_free_panics", test_double_free},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
