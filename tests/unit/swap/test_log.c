/* The file tier by itself: what readers hold on to stays, and what is collected is the emptiest. */
#include <string.h>

#include "swap_fixture.h"

#define NR_FRAMES 1024u
#define CLUSTER_BYTES 65536u
#define PER_CLUSTER (CLUSTER_BYTES / QR_RECORD_MAX) /* pages that do not compress */
#define NR_PAGES (12 * PER_CLUSTER)

static struct swap_fixture fixture;
static uint32_t slots[NR_PAGES];

static void set_up(uint64_t file_max_bytes)
{
	swap_fixture_init(&fixture, port_test_create(NR_FRAMES), NR_FRAMES);
	swap_fixture_create(
		&fixture,
		&(struct qr_swap_config){.codec = QR_CODEC_NONE, .has_file = true, .file_max_bytes = file_max_bytes});
}

static void store(uint32_t first, uint32_t nr)
{
	for (uint32_t i = first; i < first + nr; i++)
		tap_require(store_one(fixture.swap, PAGE_NUMBER(PAGE_RANDOM, i), &slots[i]) == 0);
}

static void put(uint32_t first, uint32_t nr)
{
	for (uint32_t i = first; i < first + nr; i++)
		qr_swap_put(fixture.swap, slots[i]);
}

static uint64_t value_of(uint32_t i)
{
	return qr_slot_peek(&fixture.swap->slots, slots[i])->value;
}

/* A pinned place is not written over though its slot has gone; after the unpin it is. */
static void test_pin_keeps_place(void)
{
	struct qr_log *log;
	struct qr_log_place place;
	uint32_t cluster;

	set_up(0);
	log = &fixture.swap->log;
	store(0, PER_CLUSTER);
	tap_check_equal(qr_swap_freeze(fixture.swap), 0);
	qr_swap_thaw(fixture.swap, 0);
	cluster = (uint32_t)value_of(0);
	qr_cluster_pin(log, cluster, (uint32_t)(value_of(0) >> 32), &place);
	tap_check(place.address == NULL);
	put(0, PER_CLUSTER);
	tap_check_equal(qr_log_cluster(log, cluster)->state, QR_CLUSTER_DISK);
	tap_check_equal(qr_cluster_live(log, cluster), 0);
	store(0, NR_PAGES);
	tap_check_equal(qr_log_cluster(log, cluster)->state, QR_CLUSTER_DISK);
	qr_cluster_unpin(log, &place);
	tap_check_equal(qr_log_cluster(log, cluster)->state, QR_CLUSTER_FREE);
	tap_check(qr_swap_is_valid(fixture.swap));
	put(0, NR_PAGES);
	swap_fixture_destroy(&fixture);
}

/* A buffer that is read from is not filled again, though its cluster is written. */
static void test_reader_keeps_buffer(void)
{
	struct qr_log *log;
	struct qr_log_place place;

	set_up(0);
	log = &fixture.swap->log;
	store(0, 1);
	tap_check(qr_swap_is_fast(fixture.swap, slots[0]));
	qr_cluster_pin(log, (uint32_t)value_of(0), (uint32_t)(value_of(0) >> 32), &place);
	tap_require(place.address != NULL);
	store(1, NR_PAGES - 1);
	tap_check(!qr_swap_is_fast(fixture.swap, slots[0]));
	tap_check(page_is(place.address + sizeof(struct qr_record), PAGE_NUMBER(PAGE_RANDOM, 0)));
	qr_cluster_unpin(log, &place);
	put(0, NR_PAGES);
	tap_check(qr_swap_is_valid(fixture.swap));
	swap_fixture_destroy(&fixture);
}

/* With every cluster partly dead the full file takes new pages, and none of the old is lost. */
static void test_full_file_is_collected(void)
{
	uint32_t nr = 0;

	set_up(12 * CLUSTER_BYTES);
	while (nr < NR_PAGES && store_one(fixture.swap, PAGE_NUMBER(PAGE_RANDOM, nr), &slots[nr]) == 0)
		nr++;
	tap_note("%u pages of %u filled the file", nr, 12 * PER_CLUSTER);
	tap_check(nr >= 7 * PER_CLUSTER && nr < 12 * PER_CLUSTER); /* the reserve is kept */
	for (uint32_t i = 0; i < nr; i += 2)
		put(i, 1);
	for (uint32_t i = 0; i + PER_CLUSTER < nr; i += 2)
		store(i, 1);
	for (uint32_t i = 1; i < nr; i += 2)
		tap_check_equal(load_one(fixture.swap, slots[i], PAGE_NUMBER(PAGE_RANDOM, i)), 0);
	for (uint32_t i = 0; i + PER_CLUSTER < nr; i += 2)
		tap_check_equal(load_one(fixture.swap, slots[i], PAGE_NUMBER(PAGE_RANDOM, i)), 0);
	tap_check(qr_swap_is_valid(fixture.swap));
	swap_fixture_destroy(&fixture);
}

/* A file of which less than half is live does not grow. */
static void test_sparse_file_is_collected(void)
{
	struct qr_swap_usage usage;

	set_up(0);
	for (uint32_t round = 0; round < 40; round++) {
		/* Some rounds leave one page in each of its clusters behind, for collection to bring together. */
		store(0, NR_PAGES);
		for (uint32_t i = 0; i < NR_PAGES; i++) {
			if (i % PER_CLUSTER || round % 4)
				put(i, 1);
		}
	}
	qr_swap_usage(fixture.swap, &usage);
	tap_note("%llu KiB live in %llu KiB", (unsigned long long)usage.file_bytes >> 10,
		 (unsigned long long)usage.file_size_bytes >> 10);
	tap_check(usage.file_size_bytes <= 48 * CLUSTER_BYTES);
	tap_check(qr_swap_is_valid(fixture.swap));
	swap_fixture_destroy(&fixture);
}

/* What collection cannot read stays where it is and is not tried for ever; the rest goes on. */
static void test_unreadable_cluster(void)
{
	uint32_t nr = 0, nr_left = 0;

	set_up(12 * CLUSTER_BYTES);
	while (nr < NR_PAGES && store_one(fixture.swap, PAGE_NUMBER(PAGE_RANDOM, nr), &slots[nr]) == 0)
		nr++;
	for (uint32_t i = 0; i < nr; i += 2)
		put(i, 1);
	port_test_fail_io(fixture.port, 1, 2, false, QR_EIO); /* three tries of the first cluster */
	for (uint32_t i = 0; i + 2 * PER_CLUSTER < nr; i += 2)
		store(i, 1);
	for (uint32_t i = 1; i < nr; i += 2)
		tap_check_equal(load_one(fixture.swap, slots[i], PAGE_NUMBER(PAGE_RANDOM, i)), 0);
	for (uint32_t id = 0; id < fixture.swap->log.nr_clusters; id++)
		nr_left += qr_log_cluster(&fixture.swap->log, id)->is_unmovable;
	tap_check_equal(nr_left, 1);
	tap_check(qr_swap_is_valid(fixture.swap));
	swap_fixture_destroy(&fixture);
}

static const struct tap_test tests[] = {
	{"log_pin_keeps_place", test_pin_keeps_place},
	{"log_reader_keeps_buffer", test_reader_keeps_buffer},
	{"log_full_file_is_collected", test_full_file_is_collected},
	{"log_sparse_file_is_collected", test_sparse_file_is_collected},
	{"log_unreadable_cluster_is_left", test_unreadable_cluster},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
