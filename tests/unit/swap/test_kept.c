/* Slots that outlive the return of their pages. The walks of test_swap.c mix them with everything else. */
#include <string.h>

#include "swap_fixture.h"

#define NR_FRAMES 1024u

static struct swap_fixture fixture;
static uint64_t page[PAGE_BYTES / 8];

static void setup(uint64_t file_bytes)
{
	struct qr_port *port = port_test_create(NR_FRAMES);

	port_test_set_swap(port, 4, 64 << 20, false);
	swap_fixture_init(&fixture, port, NR_FRAMES);
	swap_fixture_create(&fixture, &(struct qr_swap_config){.codec = QR_CODEC_LZ4,
							       .has_file = true,
							       .file_max_bytes = file_bytes,
							       .pool_max_percent = 20});
}

static void teardown(void)
{
	struct qr_swap_usage usage;

	tap_check(qr_swap_is_valid(fixture.swap));
	(void)qr_kept_drop(fixture.swap);
	qr_swap_usage(fixture.swap, &usage);
	tap_check_equal(usage.nr_slots, 0);
	tap_check_equal(usage.file_bytes, 0);
	swap_fixture_destroy(&fixture);
}

static uint64_t count(enum qr_stat stat)
{
	return qr_stat_sum(&fixture.vmm->stats, stat);
}

/* The page of the slot comes back to memory. True if its slot is kept. */
static bool bring_back(uint32_t slot, uint64_t number)
{
	struct qr_digest digest;

	tap_check_equal(load_one(fixture.swap, slot, number), 0);
	page_fill(page, number);
	if (!qr_swap_digest(fixture.swap, slot, page, &digest)) {
		qr_swap_put(fixture.swap, slot);
		return false;
	}
	qr_swap_keep(fixture.swap, slot, &digest);
	return true;
}

static void test_unchanged(void)
{
	uint64_t number = PAGE_NUMBER(PAGE_RANDOM, 1);
	struct qr_swap_usage usage;
	uint32_t first, again;

	setup(0);
	tap_require(store_one(fixture.swap, number, &first) == 0);
	for (uint32_t i = 1; i <= 3; i++) {
		tap_check(bring_back(first, number));
		qr_swap_usage(fixture.swap, &usage);
		tap_check_equal(usage.nr_slots, 0);
		tap_check_equal(usage.nr_kept, 1);
		tap_require(store_one(fixture.swap, number, &again) == 0);
		tap_check_equal(again, first);
		tap_check_equal(count(QR_STAT_swapout_clean), i);
	}
	tap_check_equal(count(QR_STAT_incompressible_pages), 1);
	tap_check_equal(load_one(fixture.swap, first, number), 0);
	qr_swap_put(fixture.swap, first);
	teardown();
}

static void test_changed(void)
{
	uint64_t number = PAGE_NUMBER(PAGE_RANDOM, 2);
	uint32_t first, other, nr_stored;
	void *pages[1] = {page};

	setup(0);
	tap_require(store_one(fixture.swap, number, &first) == 0);
	tap_check(bring_back(first, number));
	/* One bit anywhere makes another page. */
	for (uint32_t bit = 0; bit < 8 * PAGE_BYTES; bit += 997) {
		page_fill(page, number);
		page[bit / 64] ^= (uint64_t)1 << bit % 64;
		tap_require(qr_swap_store(fixture.swap, pages, 1, &other, &nr_stored) == 0);
		tap_check(other != first);
		qr_swap_put(fixture.swap, other);
	}
	tap_check_equal(count(QR_STAT_swapout_clean), 0);
	teardown();
}

/* What the pool may have, and what somebody else still has in swap, is not kept. */
static void test_not_kept(void)
{
	uint64_t number = PAGE_NUMBER(PAGE_TEXT, 3), random = PAGE_NUMBER(PAGE_RANDOM, 3);
	struct qr_swap_usage usage;
	uint32_t slot;

	setup(0);
	tap_require(store_one(fixture.swap, number, &slot) == 0);
	tap_check(!bring_back(slot, number));
	tap_require(store_one(fixture.swap, random, &slot) == 0);
	qr_swap_get(fixture.swap, slot);
	tap_check(bring_back(slot, random));
	qr_swap_usage(fixture.swap, &usage);
	tap_check_equal(usage.nr_kept, 0);
	tap_check_equal(usage.nr_slots, 1);
	tap_check_equal(load_one(fixture.swap, slot, random), 0);
	qr_swap_put(fixture.swap, slot);
	teardown();
}

/* More than there are entries for: the oldest go, their room in the file with them. */
static void test_displaced(void)
{
	struct qr_swap_usage usage;
	uint32_t slot;

	setup(0);
	for (uint32_t i = 0; i < 4 * NR_FRAMES; i++) {
		tap_require(store_one(fixture.swap, PAGE_NUMBER(PAGE_RANDOM, i), &slot) == 0);
		tap_check(bring_back(slot, PAGE_NUMBER(PAGE_RANDOM, i)));
	}
	qr_swap_usage(fixture.swap, &usage);
	tap_check(usage.nr_kept > NR_FRAMES / 2 && usage.nr_kept <= NR_FRAMES);
	tap_check_equal(usage.file_bytes / usage.nr_kept / PAGE_BYTES, 1);
	teardown();
}

/* A full file: kept slots make room before anybody is told so. */
static void test_full_file(void)
{
	uint32_t slots[200], nr = 0;

	setup(16 * 65536);
	while (nr < 150) {
		tap_require(store_one(fixture.swap, PAGE_NUMBER(PAGE_RANDOM, nr), &slots[nr]) == 0);
		nr++;
	}
	for (uint32_t i = 0; i < 150; i++)
		tap_check(bring_back(slots[i], PAGE_NUMBER(PAGE_RANDOM, i)));
	for (nr = 0; nr < 150; nr++)
		tap_require(store_one(fixture.swap, PAGE_NUMBER(PAGE_RANDOM, 1000 + nr), &slots[nr]) == 0);
	for (uint32_t i = 0; i < nr; i++) {
		tap_check_equal(load_one(fixture.swap, slots[i], PAGE_NUMBER(PAGE_RANDOM, 1000 + i)), 0);
		qr_swap_put(fixture.swap, slots[i]);
	}
	teardown();
}

static const struct tap_test tests[] = {
	{"kept_unchanged_page_gets_its_slot_back", test_unchanged},
	{"kept_changed_page_gets_another", test_changed},
	{"kept_only_raw_and_last", test_not_kept},
	{"kept_bounded_by_the_table", test_displaced},
	{"kept_makes_room_in_a_full_file", test_full_file},
};

int main(int argc, char **argv)
{
	return tap_run(tests, QR_ARRAY_SIZE(tests), argc, argv);
}
