/*
 * Freeze, thaw and the child's side of a fork.
 *
 * The child is played by the same process: after qr_swap_after_fork_child() the swap must serve all that is in the
 * parent's file, and leave every byte of it alone.
 */
#include <stdlib.h>
#include <string.h>

#include "swap_fixture.h"

#define NR_FRAMES 2048u
#define NR_PAGES 600u
#define NR_MORE 4000u
#define CLUSTER_BYTES 65536u
#define FILE_BYTES (64u * CLUSTER_BYTES)

static struct swap_fixture fixture;
static uint32_t slots[NR_PAGES], more[NR_MORE];
static uint8_t snapshot[FILE_BYTES] QR_ALIGNED(4096), now[FILE_BYTES] QR_ALIGNED(4096);

static void set_up(void)
{
	struct qr_port *port = port_test_create(NR_FRAMES);

	port_test_set_swap(port, 4, FILE_BYTES, true);
	swap_fixture_init(&fixture, port, NR_FRAMES);
	swap_fixture_create(&fixture, &(struct qr_swap_config){.codec = QR_CODEC_LZ4,
							       .has_file = true,
							       .file_max_bytes = FILE_BYTES,
							       .pool_max_percent = 5});
}

static void store_all(uint64_t salt)
{
	for (uint32_t i = 0; i < NR_PAGES; i++)
		tap_require(store_one(fixture.swap, PAGE_NUMBER(i % NR_PAGE_KINDS, salt + i), &slots[i]) == 0);
}

static void load_all(uint64_t salt)
{
	for (uint32_t i = 0; i < NR_PAGES; i++)
		tap_check_equal(load_one(fixture.swap, slots[i], PAGE_NUMBER(i % NR_PAGE_KINDS, salt + i)), 0);
}

static void put_all(void)
{
	for (uint32_t i = 0; i < NR_PAGES; i++)
		qr_swap_put(fixture.swap, slots[i]);
}

static void read_file(uint32_t file, uint8_t *out)
{
	struct qr_io_request request = {.file = file, .buffer = out, .len_bytes = FILE_BYTES};

	tap_require(qr_port_io_submit(fixture.port, &request) == 0);
	qr_port_io_wait(fixture.port, &request);
	tap_check_equal(request.result, 0);
}

/* Whether all file records of the snapshot's time are still as they were: uses what the slots said then. */
struct record_place {
	uint64_t offset_bytes;
	uint32_t len_bytes;
};
static struct record_place places[NR_PAGES];

static uint32_t note_places(void)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < NR_PAGES; i++) {
		struct qr_slot *entry = qr_slot_peek(&fixture.swap->slots, slots[i]);

		if (qr_slot_tier(entry) != QR_TIER_FILE)
			continue;
		places[nr].offset_bytes =
			(uint64_t)qr_log_cluster(&fixture.swap->log, (uint32_t)entry->value)->position * CLUSTER_BYTES +
			(entry->value >> 32);
		places[nr++].len_bytes = qr_record_size(qr_slot_len(entry));
	}
	return nr;
}

/* The parent goes on after a freeze: nothing that the child may read is written over, until the thaw. */
static void test_freeze(void)
{
	uint32_t nr, nr_changed = 0;
	int token;

	set_up();
	store_all(0);
	token = qr_swap_freeze(fixture.swap);
	tap_check_equal(token, 0);
	nr = note_places();
	tap_check(nr > NR_PAGES / 4);
	read_file(0, snapshot);
	load_all(0);
	for (uint32_t round = 1; round <= 6; round++) {
		put_all();
		store_all(round * 1000);
		load_all(round * 1000);
		tap_check(qr_swap_is_valid(fixture.swap));
	}
	tap_check_equal(qr_swap_freeze(fixture.swap), 1); /* all is written */
	qr_swap_thaw(fixture.swap, 1);
	read_file(0, now);
	for (uint32_t i = 0; i < nr; i++)
		tap_check(
			!memcmp(&snapshot[places[i].offset_bytes], &now[places[i].offset_bytes], places[i].len_bytes));
	qr_swap_thaw(fixture.swap, token);
	tap_check(qr_swap_is_valid(fixture.swap));
	/* More than was there at any time before, so that no free place is left out. */
	for (uint32_t i = 0; i < NR_MORE; i++)
		tap_require(!store_one(fixture.swap, PAGE_NUMBER(PAGE_HALF, 20000 + i), &more[i]));
	tap_check_equal(qr_swap_freeze(fixture.swap), 0); /* all is written */
	read_file(0, now);
	for (uint32_t i = 0; i < nr; i++)
		nr_changed += memcmp(&snapshot[places[i].offset_bytes], &now[places[i].offset_bytes],
				     places[i].len_bytes) != 0;
	tap_check(nr_changed > 0); /* the places are used again */
	for (uint32_t i = 0; i < NR_MORE; i++)
		qr_swap_put(fixture.swap, more[i]);
	put_all();
	tap_check(qr_swap_is_valid(fixture.swap));
	swap_fixture_destroy(&fixture);
}

static void test_tokens(void)
{
	set_up();
	for (int i = 0; i < QR_LOG_TOKENS; i++)
		tap_check_equal(qr_swap_freeze(fixture.swap), i);
	tap_check_equal(qr_swap_freeze(fixture.swap), QR_EAGAIN);
	qr_swap_thaw(fixture.swap, 17);
	tap_check_equal(qr_swap_freeze(fixture.swap), 17);
	swap_fixture_destroy(&fixture);
}

static void test_child(void)
{
	struct qr_swap_usage usage;

	set_up();
	store_all(0);
	tap_check_equal(qr_swap_freeze(fixture.swap), 0);
	read_file(0, snapshot);
	tap_check_equal(qr_swap_after_fork_child(fixture.swap), 0);
	tap_check(qr_swap_is_valid(fixture.swap));
	qr_swap_usage(fixture.swap, &usage);
	tap_check_equal(usage.file_size_bytes, 0);
	load_all(0);
	for (uint32_t i = 0; i < NR_PAGES; i += 2) {
		qr_swap_put(fixture.swap, slots[i]);
		tap_require(store_one(fixture.swap, PAGE_NUMBER(i % NR_PAGE_KINDS, i), &slots[i]) == 0);
	}
	load_all(0);
	tap_check(qr_swap_is_valid(fixture.swap));
	tap_check_equal(fixture.swap->log.file, 1);
	read_file(0, now);
	tap_check(!memcmp(snapshot, now, FILE_BYTES));
	put_all();
	tap_check(qr_swap_is_valid(fixture.swap));
	swap_fixture_destroy(&fixture);
}

/* A cluster that is still in a buffer at the fork is written to the child's own file. */
static void test_child_with_buffer(bool is_frozen_first)
{
	static uint32_t old_slots[NR_PAGES];
	struct qr_log *log;

	set_up();
	log = &fixture.swap->log;
	store_all(0);
	qr_mutex_lock(&log->lock);
	tap_check(log->open != QR_LOG_NO_BUFFER);
	for (uint32_t i = 0; i < QR_LOG_BUFFERS; i++) {
		if (log->buffers[i].state == QR_BUFFER_FLIGHT)
			qr_port_io_wait(fixture.port, &log->buffers[i].request);
	}
	qr_mutex_unlock(&log->lock);
	tap_check_equal(qr_swap_after_fork_child(fixture.swap), 0);
	tap_check(qr_swap_is_valid(fixture.swap));
	read_file(0, snapshot);
	load_all(0);
	if (is_frozen_first) { /* the child forks before it stores anything */
		tap_check_equal(qr_swap_freeze(fixture.swap), 0);
		qr_swap_thaw(fixture.swap, 0);
		tap_check(qr_swap_is_valid(fixture.swap));
	}
	memcpy(old_slots, slots, sizeof(slots));
	store_all(5000);
	tap_check_equal(log->file, 1);
	tap_check_equal(qr_swap_freeze(fixture.swap), 0);
	load_all(5000);
	put_all();
	memcpy(slots, old_slots, sizeof(slots));
	load_all(0);
	tap_check(qr_swap_is_valid(fixture.swap));
	read_file(0, now);
	tap_check(!memcmp(snapshot, now, FILE_BYTES));
	put_all();
	swap_fixture_destroy(&fixture);
}

static void test_child_writes_buffer(void)
{
	test_child_with_buffer(false);
}

static void test_child_forks_with_buffer(void)
{
	test_child_with_buffer(true);
}

static const struct tap_test tests[] = {
	{"swap_freeze_keeps_records_until_thaw", test_freeze},
	{"swap_freeze_tokens_run_out", test_tokens},
	{"swap_child_reads_and_never_writes_parents_file", test_child},
	{"swap_child_writes_inherited_buffers", test_child_writes_buffer},
	{"swap_child_with_buffers_forks", test_child_forks_with_buffer},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
