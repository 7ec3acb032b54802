/*
 * The whole swap against a plain model: for each slot the number that its page follows from, and its references.
 * One walk of random operations under many set-ups: codecs, no file, small and full files, a device that fails.
 */
#include <stdlib.h>
#include <string.h>

#include "swap_fixture.h"

#define MAX_ENTRIES 6000u
#define MAX_BATCH 48u
#define NR_STEPS 2500u

struct entry {
	uint32_t slot;
	uint32_t refs;
	uint64_t number;
};

struct model {
	struct swap_fixture fixture;
	uint64_t random;
	uint32_t nr;
	uint32_t max_entries;
	uint64_t next_page;
	bool has_errors; /* reads may fail */
	uint64_t returned[MAX_BATCH]; /* numbers of pages that came back, to be stored again */
	uint32_t nr_returned;
	uint32_t nr_full;
	struct entry entries[MAX_ENTRIES];
	uint64_t pages[MAX_BATCH][PAGE_BYTES / 8];
};

static struct model model;

static uint32_t below(uint32_t bound)
{
	return tap_random_below(&model.random, bound);
}

static void model_store(void)
{
	uint32_t nr = 1 + below(below(4) ? 8 : MAX_BATCH), nr_stored, slots[MAX_BATCH];
	void *pages[MAX_BATCH];
	uint64_t numbers[MAX_BATCH];
	int err;

	nr = QR_MIN(nr, model.max_entries - model.nr);
	for (uint32_t i = 0; i < nr; i++) {
		if (model.nr_returned && below(2))
			numbers[i] = model.returned[--model.nr_returned];
		else
			numbers[i] = PAGE_NUMBER(below(NR_PAGE_KINDS), model.next_page++);
		page_fill(model.pages[i], numbers[i]);
		pages[i] = model.pages[i];
	}
	if (nr == 0)
		return;
	err = qr_swap_store(model.fixture.swap, pages, nr, slots, &nr_stored);
	tap_check(err == 0 || err == QR_ENOSPC || err == QR_ENOMEM);
	tap_check(err ? nr_stored < nr : nr_stored == nr);
	model.nr_full += err != 0;
	for (uint32_t i = 0; i < nr_stored; i++)
		model.entries[model.nr++] = (struct entry){slots[i], 1, numbers[i]};
}

static void model_load(void)
{
	uint32_t nr = 1 + below(MAX_BATCH), first = below(model.nr ? model.nr : 1), slots[MAX_BATCH];
	bool is_sequential = below(2);
	struct entry *chosen[MAX_BATCH];
	void *pages[MAX_BATCH];
	int results[MAX_BATCH], err;

	if (model.nr == 0)
		return;
	for (uint32_t i = 0; i < nr; i++) {
		chosen[i] = &model.entries[is_sequential ? (first + i) % model.nr : below(model.nr)];
		slots[i] = chosen[i]->slot;
		pages[i] = model.pages[i];
		(void)qr_swap_is_fast(model.fixture.swap, slots[i]);
	}
	memset(model.pages, 0xee, sizeof(model.pages));
	err = qr_swap_load(model.fixture.swap, slots, nr, pages, results);
	if (!model.has_errors)
		tap_check_equal(err, 0);
	for (uint32_t i = 0; i < nr; i++) {
		if (results[i] == 0)
			tap_check(page_is(pages[i], chosen[i]->number));
		else
			tap_check(model.has_errors && results[i] == QR_EIO);
	}
}

/* A page comes back to memory; what is stored of it later is the same, or changed. */
static void model_return(void)
{
	struct entry *entry = &model.entries[below(model.nr ? model.nr : 1)];
	void *pages[1] = {model.pages[0]};
	struct qr_digest digest;
	int result;

	if (model.nr == 0 || entry->refs != 1 || model.nr_returned == MAX_BATCH ||
	    qr_swap_load(model.fixture.swap, &entry->slot, 1, pages, &result))
		return;
	if (qr_swap_digest(model.fixture.swap, entry->slot, pages[0], &digest))
		qr_swap_keep(model.fixture.swap, entry->slot, &digest);
	else
		qr_swap_put(model.fixture.swap, entry->slot);
	model.returned[model.nr_returned++] = entry->number + (below(4) ? 0 : NR_PAGE_KINDS << 20);
	*entry = model.entries[--model.nr];
}

static void model_put(uint32_t nr)
{
	while (nr-- && model.nr) {
		struct entry *entry = &model.entries[below(model.nr)];

		qr_swap_put(model.fixture.swap, entry->slot);
		if (--entry->refs == 0)
			*entry = model.entries[--model.nr];
	}
}

static void model_get(void)
{
	struct entry *entry = &model.entries[below(model.nr ? model.nr : 1)];

	if (model.nr == 0)
		return;
	qr_swap_get(model.fixture.swap, entry->slot);
	entry->refs++;
}

static void model_check(void)
{
	struct qr_swap_usage usage;

	tap_check(qr_swap_is_valid(model.fixture.swap));
	qr_swap_usage(model.fixture.swap, &usage);
	tap_check_equal(usage.nr_slots, model.nr);
	tap_check_equal(usage.nr_same_filled + usage.nr_pool + usage.nr_file, model.nr);
	for (uint32_t i = 0; i < model.nr; i++) {
		int err = load_one(model.fixture.swap, model.entries[i].slot, model.entries[i].number);

		tap_check(err == 0 || (model.has_errors && err == QR_EIO));
	}
}

static void model_walk(uint32_t nr_steps)
{
	for (uint32_t step = 0; step < nr_steps && !tap_has_failed(); step++) {
		switch (below(13)) {
		case 0:
		case 1:
		case 2:
		case 3:
			model_store();
			break;
		case 4:
		case 5:
		case 6:
			model_load();
			break;
		case 7:
		case 8:
		case 9:
			model_put(below(14));
			break;
		case 10:
			model_get();
			break;
		case 11:
			for (uint32_t i = below(14); i > 0; i--)
				model_return();
			break;
		default:
			if (below(8) == 0)
				(void)qr_swap_shrink_pool(model.fixture.swap, below(400));
			if (model.nr > model.max_entries / 10 * 9 && below(2) == 0)
				model_put(model.nr / 2);
		}
		if (step % 500 == 499)
			tap_check(qr_swap_is_valid(model.fixture.swap));
	}
}

static void model_begin(struct qr_port *port, uint32_t nr_frames, const struct qr_swap_config *config, uint64_t salt)
{
	memset(&model, 0, sizeof(model));
	model.random = tap_seed() + salt;
	model.max_entries = MAX_ENTRIES;
	swap_fixture_init(&model.fixture, port, nr_frames);
	swap_fixture_create(&model.fixture, config);
}

static void model_end(void)
{
	struct qr_swap_usage usage;

	model_check();
	qr_swap_usage(model.fixture.swap, &usage);
	tap_note("%u slots: %llu same, %llu pool in %llu frames, %llu file, %llu KiB of %llu; %u stores found it full",
		 model.nr, (unsigned long long)usage.nr_same_filled, (unsigned long long)usage.nr_pool,
		 (unsigned long long)usage.pool_frames, (unsigned long long)usage.nr_file,
		 (unsigned long long)usage.file_bytes >> 10, (unsigned long long)usage.file_size_bytes >> 10,
		 model.nr_full);
	while (model.nr)
		model_put(1);
	tap_check(qr_swap_is_valid(model.fixture.swap));
	(void)qr_kept_drop(model.fixture.swap);
	qr_swap_usage(model.fixture.swap, &usage);
	tap_check_equal(usage.pool_frames, 0);
	tap_check_equal(usage.file_bytes, 0);
	swap_fixture_destroy(&model.fixture);
}

static void walk(struct qr_port *port, uint32_t nr_frames, const struct qr_swap_config *config, uint64_t salt)
{
	model_begin(port, nr_frames, config, salt);
	model_walk(NR_STEPS);
	model_end();
}

static void test_no_file(void)
{
	walk(port_test_create(4096), 4096, &(struct qr_swap_config){.codec = QR_CODEC_LZ4}, 1);
}

static void test_no_file_zstd(void)
{
	walk(port_test_create(2048), 2048, &(struct qr_swap_config){.codec = QR_CODEC_ZSTD}, 2);
}

static void test_file(void)
{
	walk(port_test_create(4096), 4096,
	     &(struct qr_swap_config){.codec = QR_CODEC_LZ4, .has_file = true, .pool_max_percent = 20}, 3);
}

static void test_file_async(void)
{
	struct qr_port *port = port_test_create(4096);

	port_test_set_swap(port, 4, 64 << 20, true);
	walk(port, 4096, &(struct qr_swap_config){.codec = QR_CODEC_ZSTD, .has_file = true, .pool_max_percent = 10}, 4);
}

static void test_file_without_pool(void)
{
	struct qr_port *port = port_test_create(4096);

	port_test_set_swap(port, 4, 64 << 20, true);
	walk(port, 4096, &(struct qr_swap_config){.codec = QR_CODEC_NONE, .has_file = true}, 5);
}

static void test_small_file(void)
{
	/* 24 clusters: collection runs all the time, and it is full now and then. */
	struct qr_port *port = port_test_create(2048);

	port_test_set_swap(port, 4, 64 << 20, true);
	walk(port, 2048,
	     &(struct qr_swap_config){
		     .codec = QR_CODEC_LZ4, .has_file = true, .file_max_bytes = 24 * 65536, .pool_max_percent = 5},
	     6);
	tap_check(model.nr_full > 0);
}

static void test_full_device(void)
{
	/* The device ends before the file does: the growth of the log meets QR_ENOSPC. */
	struct qr_port *port = port_test_create(2048);

	port_test_set_swap(port, 4, 40 * 65536, true);
	walk(port, 2048, &(struct qr_swap_config){.codec = QR_CODEC_LZ4, .has_file = true, .pool_max_percent = 5}, 7);
	tap_check(model.nr_full > 0);
}

static void test_no_file_to_open(void)
{
	struct qr_port *port = port_test_create(2048);

	port_test_set_swap(port, 0, 1 << 20, false);
	walk(port, 2048, &(struct qr_swap_config){.codec = QR_CODEC_LZ4, .has_file = true, .pool_max_percent = 5}, 8);
}

/* Writes fail now and then, once or twice in a row, with either error; nothing may be lost. */
static void test_write_errors(void)
{
	struct qr_port *port = port_test_create(4096);

	port_test_set_swap(port, 4, 64 << 20, true);
	model_begin(port, 4096,
		    &(struct qr_swap_config){.codec = QR_CODEC_LZ4, .has_file = true, .pool_max_percent = 5}, 9);
	for (uint32_t round = 0; round < 60 && !tap_has_failed(); round++) {
		int error = round % 20 == 19 ? QR_ENOSPC : QR_EIO; /* that stops growth for a second */

		if (below(4) == 0)
			port_test_fail_submit(port, 1 + below(20), QR_EAGAIN);
		else
			port_test_fail_io(port, 1 + below(10), below(4), true, error);
		model_walk(50);
	}
	tap_check(qr_stat_sum(&model.fixture.vmm->stats, QR_STAT_io_errors) > 0);
	port_test_fail_io(port, 0, 0, true, 0);
	port_test_fail_submit(port, 0, 0);
	model_end();
}

static uint32_t nr_in_state(enum qr_cluster_state state)
{
	struct qr_log *log = &model.fixture.swap->log;
	uint32_t nr = 0;

	for (uint32_t id = 0; id < log->nr_clusters; id++)
		nr += qr_log_cluster(log, id)->state == state;
	return nr;
}

/* A write that fails once is tried again at its place; the second time the place is given up; a full device keeps it
 * for later. */
static void test_write_retry(void)
{
	static const struct {
		uint32_t nr_more;
		int error;
		uint32_t nr_bad, nr_holes;
	} cases[] = {{0, QR_EIO, 0, 0}, {1, QR_EIO, 1, 0}, {0, QR_ENOSPC, 0, 1}};

	for (uint32_t i = 0; i < QR_ARRAY_SIZE(cases); i++) {
		uint32_t slots[2];

		model_begin(port_test_create(1024), 1024,
			    &(struct qr_swap_config){.codec = QR_CODEC_NONE, .has_file = true}, 15);
		tap_require(store_one(model.fixture.swap, PAGE_NUMBER(PAGE_RANDOM, 1), &slots[0]) == 0);
		tap_check_equal(qr_swap_freeze(model.fixture.swap), 0);
		tap_require(store_one(model.fixture.swap, PAGE_NUMBER(PAGE_RANDOM, 2), &slots[1]) == 0);
		port_test_fail_io(model.fixture.port, 1, cases[i].nr_more, true, cases[i].error);
		tap_check_equal(qr_swap_freeze(model.fixture.swap), 1);
		tap_check(!qr_swap_is_fast(model.fixture.swap, slots[1]));
		tap_check_equal(nr_in_state(QR_CLUSTER_BAD), cases[i].nr_bad);
		tap_check_equal(nr_in_state(QR_CLUSTER_HOLE), cases[i].nr_holes);
		tap_check_equal(load_one(model.fixture.swap, slots[0], PAGE_NUMBER(PAGE_RANDOM, 1)), 0);
		tap_check_equal(load_one(model.fixture.swap, slots[1], PAGE_NUMBER(PAGE_RANDOM, 2)), 0);
		tap_check(qr_swap_is_valid(model.fixture.swap));
		swap_fixture_destroy(&model.fixture);
	}
}

/* The device is gone for a while: stores end in QR_ENOSPC at worst, and all is there again afterwards. */
static void test_dead_device(void)
{
	struct qr_port *port = port_test_create(4096);

	port_test_set_swap(port, 4, 64 << 20, true);
	model_begin(port, 4096,
		    &(struct qr_swap_config){.codec = QR_CODEC_LZ4, .has_file = true, .pool_max_percent = 5}, 10);
	model_walk(300);
	port_test_fail_io(port, 1, UINT32_MAX, true, QR_EIO);
	model_walk(200);
	port_test_fail_io(port, 0, 0, true, 0);
	model_walk(200);
	model_end();
}

/* Reads fail: up to two failures in a row are made good, more are QR_EIO for the pages concerned only. */
static void test_read_errors(void)
{
	struct qr_port *port = port_test_create(4096);
	uint32_t slots[8];
	void *pages[8];
	int results[8], err;

	model_begin(port, 4096, &(struct qr_swap_config){.codec = QR_CODEC_NONE, .has_file = true}, 11);
	model.has_errors = true;
	for (uint32_t round = 0; round < 60 && !tap_has_failed(); round++) {
		port_test_fail_io(port, 1 + below(10), below(4), false, QR_EIO);
		model_walk(50);
	}
	port_test_fail_io(port, 0, 0, false, 0);
	model.has_errors = false;
	model_check();
	while (model.nr)
		model_put(1);
	tap_check(qr_swap_freeze(model.fixture.swap) == 0); /* the next record begins a cluster */
	for (uint32_t i = 0; i < 8; i++) {
		pages[i] = model.pages[i];
		tap_require(store_one(model.fixture.swap, PAGE_NUMBER(PAGE_RANDOM, i), &slots[i]) == 0);
	}
	tap_check(qr_swap_freeze(model.fixture.swap) == 1);
	/* The whole run three times and one record three times. */
	port_test_fail_io(port, 1, 5, false, QR_EIO);
	err = qr_swap_load(model.fixture.swap, slots, 8, pages, results);
	tap_check_equal(err, QR_EIO);
	for (uint32_t i = 0; i < 8; i++) {
		tap_check_equal(results[i], i == 0 ? QR_EIO : 0);
		tap_check(i == 0 || page_is(pages[i], PAGE_NUMBER(PAGE_RANDOM, i)));
		qr_swap_put(model.fixture.swap, slots[i]);
	}
	swap_fixture_destroy(&model.fixture);
}

/* Neighbours in the file come back with one read. */
static void test_sequential(void)
{
	struct port_test_counts before;
	uint32_t slots[32];
	void *pages[32];
	int results[32];

	model_begin(port_test_create(4096), 4096,
		    &(struct qr_swap_config){.codec = QR_CODEC_LZ4, .has_file = true, .pool_max_percent = 50}, 12);
	for (uint32_t i = 0; i < 32; i++) {
		pages[i] = model.pages[i];
		tap_require(store_one(model.fixture.swap, PAGE_NUMBER(PAGE_TEXT, i), &slots[i]) == 0);
		tap_check(qr_swap_is_fast(model.fixture.swap, slots[i]));
	}
	tap_check(qr_swap_shrink_pool(model.fixture.swap, 0) > 0);
	tap_check(qr_swap_is_fast(model.fixture.swap, slots[0]));
	tap_check(qr_swap_freeze(model.fixture.swap) == 0);
	tap_check(!qr_swap_is_fast(model.fixture.swap, slots[0]));
	before = port_test_counts(model.fixture.port);
	tap_check(qr_swap_load(model.fixture.swap, slots, 32, pages, results) == 0);
	tap_check(port_test_counts(model.fixture.port).nr_reads - before.nr_reads <= 2);
	for (uint32_t i = 0; i < 32; i++) {
		tap_check(page_is(pages[i], PAGE_NUMBER(PAGE_TEXT, i)));
		qr_swap_put(model.fixture.swap, slots[i]);
	}
	swap_fixture_destroy(&model.fixture);
}

/* A flipped bit is found, and harms no other page. */
static void test_corruption(void)
{
	uint32_t slots[8];
	void *pages[8];
	int results[8];
	uint64_t value;

	model_begin(port_test_create(4096), 4096, &(struct qr_swap_config){.codec = QR_CODEC_NONE, .has_file = true},
		    13);
	for (uint32_t i = 0; i < 8; i++) {
		pages[i] = model.pages[i];
		tap_require(store_one(model.fixture.swap, PAGE_NUMBER(PAGE_RANDOM, i), &slots[i]) == 0);
	}
	tap_check(qr_swap_freeze(model.fixture.swap) == 0);
	value = qr_slot_peek(&model.fixture.swap->slots, slots[5])->value;
	port_test_corrupt(model.fixture.port, 0,
			  (uint64_t)qr_log_cluster(&model.fixture.swap->log, (uint32_t)value)->position * 65536 +
				  (value >> 32) + 2000);
	tap_check_equal(qr_swap_load(model.fixture.swap, slots, 8, pages, results), QR_EILSEQ);
	for (uint32_t i = 0; i < 8; i++) {
		tap_check_equal(results[i], i == 5 ? QR_EILSEQ : 0);
		tap_check(i == 5 || page_is(pages[i], PAGE_NUMBER(PAGE_RANDOM, i)));
		qr_swap_put(model.fixture.swap, slots[i]);
	}
	swap_fixture_destroy(&model.fixture);
}

/* No frame is left: the pool's content makes room for itself, then pages go straight to the file. */
static void test_out_of_frames(void)
{
	static struct qr_frame *taken[2048];
	enum { NR = 200 };
	uint32_t slots[NR], nr_taken = 0, nr = 0;

	model_begin(port_test_create(2048), 2048,
		    &(struct qr_swap_config){.codec = QR_CODEC_LZ4, .has_file = true, .pool_max_percent = 100}, 16);
	while (nr < 40)
		tap_require(store_one(model.fixture.swap, PAGE_NUMBER(PAGE_HALF, nr), &slots[nr]) == 0), nr++;
	while ((taken[nr_taken] = qr_alloc_pages(model.fixture.vmm, 0, QR_GFP_RECLAIM)))
		nr_taken++;
	for (; nr < 120; nr++)
		tap_require(store_one(model.fixture.swap, PAGE_NUMBER(PAGE_HALF, nr), &slots[nr]) == 0);
	(void)qr_swap_shrink_pool(model.fixture.swap, 0);
	while ((taken[nr_taken] = qr_alloc_pages(model.fixture.vmm, 0, QR_GFP_RECLAIM)))
		nr_taken++;
	for (; nr < NR; nr++)
		tap_require(store_one(model.fixture.swap, PAGE_NUMBER(PAGE_HALF, nr), &slots[nr]) == 0);
	for (uint32_t i = 0; i < NR; i++)
		tap_check_equal(load_one(model.fixture.swap, slots[i], PAGE_NUMBER(PAGE_HALF, i)), 0);
	tap_check(qr_swap_is_valid(model.fixture.swap));
	while (nr_taken)
		qr_free_pages(model.fixture.vmm, taken[--nr_taken], 0);
	swap_fixture_destroy(&model.fixture);
}

/* All buffers hold what no place takes: stores are refused, loads and puts go on, fork is told. When the device works
 * again so does all. */
static void test_stuck_buffers(void)
{
	enum { NR = 400 };
	uint32_t slots[NR], nr = 0, never_changes = 0;

	model_begin(port_test_create(2048), 2048, &(struct qr_swap_config){.codec = QR_CODEC_NONE, .has_file = true},
		    17);
	for (; nr < 40; nr++)
		tap_require(store_one(model.fixture.swap, PAGE_NUMBER(PAGE_RANDOM, nr), &slots[nr]) == 0);
	port_test_fail_io(model.fixture.port, 1, UINT32_MAX, true, QR_EIO);
	while (nr < NR && store_one(model.fixture.swap, PAGE_NUMBER(PAGE_RANDOM, nr), &slots[nr]) == 0)
		nr++;
	tap_check(nr < NR);
	tap_check_equal(qr_swap_freeze(model.fixture.swap), QR_EIO);
	tap_check(qr_swap_is_valid(model.fixture.swap));
	for (uint32_t i = 0; i < nr; i++)
		tap_check_equal(load_one(model.fixture.swap, slots[i], PAGE_NUMBER(PAGE_RANDOM, i)), 0);
	for (uint32_t i = 0; i < 20; i++)
		qr_swap_put(model.fixture.swap, slots[i]);
	port_test_fail_io(model.fixture.port, 0, 0, true, 0);
	/* The pause must be over. */
	while (qr_port_now_ns() < model.fixture.swap->log.no_place_until_ns)
		(void)qr_port_wait_timeout(&never_changes, 0, 50000000);
	for (uint32_t i = 0; i < 20; i++)
		tap_check_equal(store_one(model.fixture.swap, PAGE_NUMBER(PAGE_RANDOM, i), &slots[i]), 0);
	tap_check_equal(qr_swap_freeze(model.fixture.swap), 0);
	for (uint32_t i = 0; i < nr; i++) {
		tap_check(!qr_swap_is_fast(model.fixture.swap, slots[i]));
		tap_check_equal(load_one(model.fixture.swap, slots[i], PAGE_NUMBER(PAGE_RANDOM, i)), 0);
	}
	tap_check(qr_swap_is_valid(model.fixture.swap));
	swap_fixture_destroy(&model.fixture);
}

/* Without a file, pages of which none compresses are refused; among others they are kept. */
static void test_useless(void)
{
	uint32_t slots[2], nr_stored;
	void *pages[2] = {model.pages[0], model.pages[1]};
	struct qr_swap_usage usage;

	model_begin(port_test_create(1024), 1024, &(struct qr_swap_config){.codec = QR_CODEC_LZ4}, 14);
	page_fill(pages[0], PAGE_NUMBER(PAGE_RANDOM, 1));
	page_fill(pages[1], PAGE_NUMBER(PAGE_RANDOM, 2));
	tap_check_equal(qr_swap_store(model.fixture.swap, pages, 2, slots, &nr_stored), QR_ENOSPC);
	tap_check_equal(nr_stored, 0);
	page_fill(pages[1], PAGE_NUMBER(PAGE_TEXT, 2));
	tap_check_equal(qr_swap_store(model.fixture.swap, pages, 2, slots, &nr_stored), 0);
	tap_check_equal(nr_stored, 2);
	tap_check_equal(load_one(model.fixture.swap, slots[0], PAGE_NUMBER(PAGE_RANDOM, 1)), 0);
	tap_check_equal(load_one(model.fixture.swap, slots[1], PAGE_NUMBER(PAGE_TEXT, 2)), 0);
	qr_swap_usage(model.fixture.swap, &usage);
	tap_check_equal(usage.nr_pool, 2);
	tap_check(qr_swap_is_valid(model.fixture.swap));
	/* destroyed with both in it */
	swap_fixture_destroy(&model.fixture);
}

static void test_bad_config(void)
{
	struct swap_fixture fixture;

	swap_fixture_init(&fixture, port_test_create(1024), 1024);
	tap_check_equal(qr_swap_create(fixture.vmm, &(struct qr_swap_config){.cluster_bytes = 65537}, &fixture.swap),
			QR_EINVAL);
	tap_check_equal(qr_swap_create(fixture.vmm, &(struct qr_swap_config){.pool_max_percent = 101}, &fixture.swap),
			QR_EINVAL);
	/* Buffers for clusters of 1 MiB do not fit in 4 MiB of frames: all is undone. */
	tap_check_equal(qr_swap_create(fixture.vmm,
				       &(struct qr_swap_config){.has_file = true, .cluster_bytes = 1 << 20},
				       &fixture.swap),
			QR_ENOMEM);
	tap_check(!fixture.swap);
	swap_fixture_destroy(&fixture);
}

static const struct tap_test tests[] = {
	{"swap_no_file_matches_model", test_no_file},
	{"swap_no_file_zstd_matches_model", test_no_file_zstd},
	{"swap_file_matches_model", test_file},
	{"swap_file_async_zstd_matches_model", test_file_async},
	{"swap_file_without_pool_matches_model", test_file_without_pool},
	{"swap_small_file_is_collected", test_small_file},
	{"swap_full_device_loses_nothing", test_full_device},
	{"swap_no_file_to_open_uses_pool", test_no_file_to_open},
	{"swap_write_errors_lose_nothing", test_write_errors},
	{"swap_failed_write_is_tried_again", test_write_retry},
	{"swap_out_of_frames_uses_file", test_out_of_frames},
	{"swap_stuck_buffers_recover", test_stuck_buffers},
	{"swap_dead_device_loses_nothing", test_dead_device},
	{"swap_read_errors_hit_their_pages_only", test_read_errors},
	{"swap_sequential_load_reads_once", test_sequential},
	{"swap_corrupt_record_is_found", test_corruption},
	{"swap_useless_store_is_refused", test_useless},
	{"swap_create_bad_config_is_refused", test_bad_config},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
