/* The slot map against a model: which slots are in use, and what they say. */
#include <stdlib.h>
#include <string.h>

#include "swap_fixture.h"

#define NR_FRAMES 512u
#define MAX_SLOTS 20000u
#define NR_STEPS 3000u

static struct swap_fixture fixture;
static struct qr_slot_map map;
static uint32_t slots[MAX_SLOTS];
static uint64_t values[MAX_SLOTS];
static uint8_t is_used[NR_FRAMES * QR_SLOT_LEAF];
static uint32_t nr_slots;
static uint64_t random_state;

static uint32_t below(uint32_t bound)
{
	return tap_random_below(&random_state, bound);
}

static void set_up(void)
{
	swap_fixture_init(&fixture, port_test_create(NR_FRAMES), NR_FRAMES);
	qr_slot_map_init(&map, fixture.vmm);
	memset(is_used, 0, sizeof(is_used));
	nr_slots = 0;
	random_state = tap_seed();
}

static void tear_down(void)
{
	qr_slot_map_destroy(&map);
	swap_fixture_destroy(&fixture);
}

static void take(uint32_t nr)
{
	uint32_t got = qr_slots_alloc(&map, nr, &slots[nr_slots]);

	tap_check_equal(got, nr);
	for (uint32_t i = 0; i < got; i++, nr_slots++) {
		uint32_t slot = slots[nr_slots];

		tap_require(slot < sizeof(is_used));
		tap_check(!is_used[slot]);
		is_used[slot] = 1;
		values[nr_slots] = tap_random(&random_state);
		qr_slot_publish(&map, slot, QR_TIER_SAME, values[nr_slots], 0);
	}
}

static void drop(uint32_t i)
{
	struct qr_slot *entry = qr_slot_lock(&map, slots[i]);

	tap_check_equal(entry->value, values[i]);
	tap_check_equal(entry->refs, 1);
	entry->refs = 0;
	qr_slot_move(&map, entry, QR_TIER_NONE, 0, 0);
	qr_slot_unlock(&map, slots[i]);
	qr_slots_free(&map, 1, &slots[i]);
	is_used[slots[i]] = 0;
	nr_slots--;
	slots[i] = slots[nr_slots];
	values[i] = values[nr_slots];
}

static void test_model(void)
{
	set_up();
	for (uint32_t step = 0; step < NR_STEPS && !tap_has_failed(); step++) {
		uint32_t nr = 1 + below(60);

		if (below(8) < ((step >> 9 & 1) ? 3u : 5u) && nr_slots + nr <= MAX_SLOTS) {
			take(nr);
		} else {
			while (nr-- && nr_slots)
				drop(below(nr_slots));
		}
		if (step % 100 == 0)
			tap_check(qr_slot_map_is_valid(&map));
	}
	tap_note("%u slots in use, highest leaf %u", nr_slots, map.nr_leaves_end);
	while (nr_slots)
		drop(below(nr_slots));
	tap_check(qr_slot_map_is_valid(&map));
	/* One empty leaf stays, with the directories above it. */
	tap_check(qr_zone_nr_free(&fixture.vmm->zone) + 4 >= fixture.nr_free_start);
	tear_down();
}

/* Fresh slots are neighbours in ascending order. */
static void test_order(void)
{
	set_up();
	take(700);
	for (uint32_t i = 0; i < 700; i++)
		tap_check_equal(slots[i], i);
	tear_down();
}

/* The last leaf's place is used again, lowest first, and a pin keeps a leaf. */
static void test_pin(void)
{
	set_up();
	take(3 * QR_SLOT_LEAF);
	tap_check(qr_slot_pin(&map, 0));
	tap_check(!qr_slot_pin(&map, 4 * QR_SLOT_LEAF));
	tap_check(!qr_slot_pin(&map, QR_SLOT_NONE));
	while (nr_slots)
		drop(nr_slots - 1);
	tap_check(qr_slot_peek(&map, 0) != NULL);
	tap_check(qr_slot_peek(&map, QR_SLOT_LEAF) == NULL);
	qr_slot_unpin(&map, 0);
	tap_check(qr_slot_map_is_valid(&map));
	take(3 * QR_SLOT_LEAF);
	tap_check_equal(map.nr_leaves_end, 4);
	tap_check(qr_slot_map_is_valid(&map));
	tear_down();
}

/* Without frames it hands out what it has. */
static void test_no_memory(void)
{
	static struct qr_frame *taken[NR_FRAMES];
	uint32_t nr = 0;

	set_up();
	take(10);
	while ((taken[nr] = qr_alloc_pages(fixture.vmm, 0, QR_GFP_RECLAIM)))
		nr++;
	tap_check_equal(qr_slots_alloc(&map, 600, &slots[nr_slots]), 2 * QR_SLOT_LEAF - 10); /* one in stock */
	qr_slots_free(&map, 2 * QR_SLOT_LEAF - 10, &slots[nr_slots]);
	while (nr)
		qr_free_pages(fixture.vmm, taken[--nr], 0);
	take(300);
	tap_check(qr_slot_map_is_valid(&map));
	tear_down();
}

static void test_same(void)
{
	uint64_t page[PAGE_BYTES / 8], word;

	qr_same_fill(page, 0x0123456789abcdefu);
	tap_check(qr_same_test(page, &word) && word == 0x0123456789abcdefu);
	for (uint32_t i = 0; i < PAGE_BYTES / 8; i++) {
		page[i] ^= 1;
		tap_check(!qr_same_test(page, &word));
		page[i] ^= 1;
	}
	qr_same_fill(page, 0);
	tap_check(qr_same_test(page, &word) && word == 0);
}

static const struct tap_test tests[] = {
	{"slot_map_matches_model", test_model},     {"slot_fresh_ones_ascend", test_order},
	{"slot_pin_keeps_leaf", test_pin},          {"slot_alloc_without_memory_is_partial", test_no_memory},
	{"same_filled_pages_are_found", test_same},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
