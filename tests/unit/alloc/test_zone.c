/*
 * A zone with its buddy system, per-CPU lists and balloon against a model: one state per frame. The zone has no
 * manager and its addresses are made up, so a touch of a free frame's memory would crash.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/alloc_priv.h"
#include "port_test.h"
#include "tap.h"

#define NR_FRAMES (9u * 1024 + 700) /* the last block is not whole */
#define PFN_BASE (5u << QR_MAX_ORDER)
#define NR_STEPS 60000u
#define MAX_BLOCKS NR_FRAMES

enum state { OFFLINE, FREE, TAKEN, BALLOONED };

struct block {
	struct qr_frame *frame;
	unsigned order;
};

struct model {
	uint32_t nr[4]; /* [enum state] */
	uint8_t state[NR_FRAMES];
	bool is_fresh[NR_FRAMES];
	uint32_t nr_blocks;
	struct block blocks[MAX_BLOCKS];
};

static struct qr_frame memmap[NR_FRAMES];
static uint64_t fresh_bits[(NR_FRAMES + 63) / 64];
static struct qr_pcp pcps[PORT_TEST_CPUS];
static struct qr_zone zone;
static struct model model;

static void set_up_with(uint32_t nr_span, uint32_t nr_online, enum qr_pcp_choice pcp)
{
	memset(memmap, 0, sizeof(memmap));
	memset(fresh_bits, 0, sizeof(fresh_bits));
	memset(pcps, 0, sizeof(pcps));
	memset(&model, 0, sizeof(model));
	qr_zone_init(&zone, &(struct qr_zone_config){.memmap = memmap,
						     .fresh_bits = fresh_bits,
						     .base_address = (uint8_t *)0x10000000,
						     .pfn_base = PFN_BASE,
						     .nr_span = nr_span,
						     .pcps = pcps,
						     .nr_pcps = PORT_TEST_CPUS,
						     .pcp = pcp});
	model.nr[OFFLINE] = nr_span;
	tap_check_equal(qr_zone_online(&zone, nr_online), nr_online);
	tap_check(qr_zone_is_valid(&zone));
}

static void set_up(uint32_t nr_span, uint32_t nr_online)
{
	set_up_with(nr_span, nr_online, QR_PCP_AUTO);
}

static void model_set(uint32_t index, uint32_t nr, enum state from, enum state to)
{
	for (uint32_t i = index; i < index + nr; i++) {
		tap_check_equal(model.state[i], from);
		model.state[i] = (uint8_t)to;
	}
	model.nr[from] -= nr;
	model.nr[to] += nr;
}

static uint32_t floor_of(qr_gfp_t gfp)
{
	if (gfp & QR_GFP_RECLAIM)
		return 0;
	if (gfp & QR_GFP_NORETRY)
		return zone.watermark[QR_WMARK_LOW];
	return gfp & QR_GFP_HIGH ? zone.watermark[QR_WMARK_MIN] / 2 : zone.watermark[QR_WMARK_MIN];
}

/* True if the model has an aligned free block of that order. */
static bool model_has_block(unsigned order)
{
	uint32_t nr = 1u << order;

	for (uint32_t i = 0; i + nr <= NR_FRAMES; i += nr) {
		uint32_t j = 0;

		while (j < nr && model.state[i + j] == FREE)
			j++;
		if (j == nr)
			return true;
	}
	return false;
}

static void check_block(struct qr_frame *frame, unsigned order)
{
	uint32_t index = (uint32_t)(frame - memmap);

	tap_require(index < NR_FRAMES && index + (1u << order) <= NR_FRAMES);
	tap_check_equal(index % (1u << order), 0);
	tap_check_equal(qr_frame_kind(frame), QR_FRAME_KERNEL);
	tap_check_equal(qr_frame_order(frame), order);
	tap_check_equal(frame->refs, 0);
	for (uint32_t i = 0; i < 1u << order; i++) {
		tap_check(!i || qr_frame_kind(&frame[i]) == QR_FRAME_TAIL);
		tap_check_equal(!!(frame[i].flags & QR_FRAME_FRESH), model.is_fresh[index + i]);
		model.is_fresh[index + i] = false;
	}
	qr_zone_forget_fresh(frame, order);
	model_set(index, 1u << order, FREE, TAKEN);
}

static void step_alloc(uint64_t *random)
{
	static const qr_gfp_t gfps[] = {0, 0, QR_GFP_HIGH, QR_GFP_RECLAIM, QR_GFP_NORETRY};
	qr_gfp_t gfp = gfps[tap_random_below(random, QR_ARRAY_SIZE(gfps))];
	unsigned order = tap_random_below(random, 4) ? 0 : tap_random_below(random, QR_MAX_ORDER + 1);
	uint32_t nr_free = model.nr[FREE];
	uint32_t nr_wanted = floor_of(gfp) + (1u << order);
	struct qr_frame *frame = qr_zone_take(&zone, order, gfp);

	if (frame) {
		tap_check(nr_free >= nr_wanted);
		check_block(frame, order);
		model.blocks[model.nr_blocks++] = (struct block){frame, order};
		return;
	}
	/* A large block with NORETRY may fail for frames on per-CPU lists; all else needs a reason. */
	if (nr_free >= nr_wanted && !(order && gfp & QR_GFP_NORETRY))
		tap_check(!model_has_block(order));
}

static void step_free(uint64_t *random)
{
	uint32_t at;
	struct block block;

	if (!model.nr_blocks)
		return;
	at = tap_random_below(random, model.nr_blocks);
	block = model.blocks[at];
	model.blocks[at] = model.blocks[--model.nr_blocks];
	model_set((uint32_t)(block.frame - memmap), 1u << block.order, TAKEN, FREE);
	/* The owner may have given the head any kind. */
	if (tap_random_below(random, 2))
		qr_frame_set_kind(block.frame, QR_FRAME_FOLIO, block.order);
	qr_zone_free(&zone, block.frame, block.order);
}

static void step_online(uint64_t *random)
{
	uint32_t nr = 1 + tap_random_below(random, 1500);
	uint32_t start = zone.nr_onlined_span;
	uint32_t nr_done = qr_zone_online(&zone, nr);

	tap_check_equal(nr_done, QR_MIN(nr, model.nr[OFFLINE]));
	model_set(start, nr_done, OFFLINE, FREE);
	memset(&model.is_fresh[start], true, nr_done);
	qr_zone_set_watermarks(&zone);
}

/* After a change of the balloon: its frames are those on its list. */
static void model_follow_balloon(void)
{
	static bool is_in[NR_FRAMES];

	memset(is_in, 0, sizeof(is_in));
	for (uint32_t pfn = zone.balloon.head; pfn != QR_PFN_NONE; pfn = qr_zone_frame(&zone, pfn)->next) {
		uint32_t nr = 1u << qr_frame_order(qr_zone_frame(&zone, pfn));

		memset(&is_in[pfn - PFN_BASE], true, nr);
	}
	for (uint32_t i = 0; i < NR_FRAMES; i++) {
		if (is_in[i] && model.state[i] != BALLOONED) {
			model_set(i, 1, FREE, BALLOONED);
			model.is_fresh[i] = false; /* without a manager nobody releases the memory */
		} else if (!is_in[i] && model.state[i] == BALLOONED) {
			model_set(i, 1, BALLOONED, FREE);
		}
	}
}

static void step_balloon(uint64_t *random)
{
	uint32_t nr = 1 + tap_random_below(random, 3000);
	uint32_t nr_before = model.nr[BALLOONED];
	uint32_t nr_free = model.nr[FREE];
	uint32_t min = zone.watermark[QR_WMARK_MIN];
	uint32_t nr_done;

	if (tap_random_below(random, 2)) {
		nr_done = qr_zone_balloon_inflate(&zone, nr);
		tap_check_equal(nr_done, QR_MIN(nr, nr_free > min ? nr_free - min : 0));
		model_follow_balloon();
		tap_check_equal(model.nr[BALLOONED], nr_before + nr_done);
	} else {
		nr_done = qr_zone_balloon_deflate(&zone, nr);
		tap_check_equal(nr_done, QR_MIN(nr, nr_before));
		model_follow_balloon();
		tap_check_equal(model.nr[BALLOONED], nr_before - nr_done);
	}
	qr_zone_set_watermarks(&zone);
}

static void check_counts(void)
{
	uint32_t step = zone.nr_onlined_span / 64;

	tap_check(qr_zone_is_valid(&zone));
	tap_check_equal(qr_zone_nr_free(&zone), model.nr[FREE]);
	tap_check_equal(zone.nr_online, model.nr[FREE] + model.nr[TAKEN]);
	/* What the quick answers rest on: never too high, and not far too low. */
	tap_check(zone.nr_free_least <= zone.nr_buddy_free && zone.nr_buddy_free - zone.nr_free_least <= 2 * step);
	tap_check(qr_zone_has_free(&zone, model.nr[FREE]) && !qr_zone_has_free(&zone, model.nr[FREE] + 1));
	for (int mark = 0; mark < QR_NR_WMARKS; mark++)
		tap_check_equal(qr_zone_is_above(&zone, (enum qr_watermark)mark, 10),
				model.nr[FREE] >= zone.watermark[mark] + 10);
}

static void run_random(enum qr_pcp_choice pcp)
{
	uint64_t random = tap_seed();
	uint32_t bias = 0;

	set_up_with(NR_FRAMES, 1024, pcp);
	model_set(0, 1024, OFFLINE, FREE);
	memset(model.is_fresh, true, 1024);
	qr_zone_set_watermarks(&zone);
	for (uint32_t step = 0; step < NR_STEPS && !tap_has_failed(); step++) {
		uint32_t what = tap_random_below(&random, 1000);

		/* Phases of growth and of decline, so that both empty and exhausted zones occur. */
		if (step % 5000 == 0)
			bias = 300 + tap_random_below(&random, 400);
		port_test_set_cpu(tap_random_below(&random, PORT_TEST_CPUS));
		if (what < 2)
			step_online(&random);
		else if (what < 5)
			step_balloon(&random);
		else if (what < 6)
			qr_zone_drain_pcps(&zone);
		else if (what < bias)
			step_alloc(&random);
		else
			step_free(&random);
		if (step % 100 == 0)
			check_counts();
	}
	check_counts();
}

static void test_random(void)
{
	run_random(QR_PCP_AUTO);
}

static void test_random_hot_cold(void)
{
	run_random(QR_PCP_HOT_COLD);
}

static void test_random_no_pcps(void)
{
	run_random(QR_PCP_NONE);
}

static void test_merge(void)
{
	static struct qr_frame *frames[4096 + 1];
	uint64_t random = tap_seed();
	uint32_t nr = 0;

	set_up(4096, 4096);
	tap_check_equal(zone.free_area[QR_MAX_ORDER].nr, 4);
	while ((frames[nr] = qr_zone_alloc(&zone, 0, 0)))
		tap_require(++nr <= 4096);
	tap_check_equal(nr, 4096);
	tap_check_equal(qr_zone_nr_free(&zone), 0);
	while (nr) {
		uint32_t at = tap_random_below(&random, nr);

		port_test_set_cpu(at % PORT_TEST_CPUS);
		qr_zone_free(&zone, frames[at], 0);
		frames[at] = frames[--nr];
	}
	qr_zone_drain_pcps(&zone);
	tap_check_equal(zone.free_area[QR_MAX_ORDER].nr, 4);
	tap_check_equal(zone.nr_buddy_free, 4096);
	tap_check(qr_zone_is_valid(&zone));
}

/* The last frames are found although they lie on the lists of other CPUs. */
static void test_other_cpus(void)
{
	struct qr_frame *frames[1024];

	set_up(1024, 1024);
	for (uint32_t i = 0; i < 1024; i++) {
		frames[i] = qr_zone_alloc(&zone, 0, 0);
		tap_require(frames[i] != NULL);
	}
	port_test_set_cpu(1);
	for (uint32_t i = 0; i < 1024; i++)
		qr_zone_free(&zone, frames[i], 0);
	tap_check(pcps[1].nr > 0 && pcps[1].nr <= pcps[1].high);
	tap_check_equal(qr_zone_nr_free(&zone), 1024);
	port_test_set_cpu(2);
	tap_check(!qr_zone_alloc(&zone, QR_MAX_ORDER, QR_GFP_NORETRY));
	tap_check(qr_zone_alloc(&zone, QR_MAX_ORDER, 0) != NULL);
	tap_check_equal(qr_zone_nr_free(&zone), 0);
}

static void test_pcp_bounds(void)
{
	uint32_t nr_idle = 0;

	set_up(NR_FRAMES, NR_FRAMES);
	tap_check_equal(pcps[0].high, 96);
	tap_check_equal(pcps[0].batch, 16);
	set_up(NR_FRAMES, 1000);
	for (uint32_t i = 0; i < PORT_TEST_CPUS; i++)
		nr_idle += pcps[i].high;
	tap_check(nr_idle <= 1000 / 8 && nr_idle > 100);
	set_up(NR_FRAMES, 16);
	tap_check_equal(pcps[0].high, 0);
	for (uint32_t i = 0; i < 16; i++)
		tap_check(qr_zone_alloc(&zone, 0, 0) != NULL);
	tap_check(!qr_zone_alloc(&zone, 0, 0));
}

static void test_batches(void)
{
	uint64_t nr_takes;

	set_up_with(NR_FRAMES, 4096, QR_PCP_HOT_COLD);
	nr_takes = zone.nr_lock_takes;
	for (uint32_t i = 0; i < 1600; i++)
		tap_require(qr_zone_alloc(&zone, 0, 0) != NULL);
	/* Beside the batches, those that fill the list up to its low mark. */
	tap_check_equal(zone.nr_lock_takes - nr_takes, 100 + 2);
}

/* The list as large as it was at first, and the batch doubled up to it as long as nothing comes back. */
static void test_batches_grow(void)
{
	uint64_t nr_takes;

	set_up(NR_FRAMES, 4096);
	nr_takes = zone.nr_lock_takes;
	for (uint32_t i = 0; i < 1600; i++)
		tap_require(qr_zone_alloc(&zone, 0, 0) != NULL);
	/* 16 + 32 + 64, then 96 at a time */
	tap_check_equal(zone.nr_lock_takes - nr_takes, 3 + (1600 - 112 + 95) / 96);
}

/* Takes and gives back a burst of frames some times over; returns the takes of the zone's lock. */
static uint64_t run_bursts(enum qr_pcp_choice pcp, uint32_t nr_frames, uint32_t nr_bursts)
{
	static struct qr_frame *frames[1024];
	uint64_t nr_takes;

	set_up_with(NR_FRAMES, NR_FRAMES, pcp);
	port_test_set_cpu(0);
	nr_takes = zone.nr_lock_takes;
	for (uint32_t burst = 0; burst < nr_bursts; burst++) {
		for (uint32_t i = 0; i < nr_frames; i++) {
			frames[i] = qr_zone_alloc(&zone, 0, 0);
			tap_require(frames[i] != NULL);
		}
		for (uint32_t i = 0; i < nr_frames; i++)
			qr_zone_free(&zone, frames[i], 0);
	}
	nr_takes = zone.nr_lock_takes - nr_takes;
	tap_check(qr_zone_is_valid(&zone));
	return nr_takes;
}

static void test_bursts(void)
{
	uint64_t none = run_bursts(QR_PCP_NONE, 280, 50);
	uint64_t hot_cold = run_bursts(QR_PCP_HOT_COLD, 280, 50);
	uint64_t adaptive = run_bursts(QR_PCP_AUTO, 280, 50);

	tap_note("zone lock takes: %llu without lists, %llu hot and cold, %llu adaptive", (unsigned long long)none,
		 (unsigned long long)hot_cold, (unsigned long long)adaptive);
	tap_check_equal(none, 2 * 280 * 50);
	tap_check(hot_cold * 16 <= none);
	tap_check(adaptive * 5 <= hot_cold);
	/* What was learnt is forgotten when memory is short. */
	tap_check(pcps[0].high > 96 && pcps[0].high <= NR_FRAMES / 8 / PORT_TEST_CPUS);
	qr_zone_drain_pcps(&zone);
	tap_check_equal(pcps[0].high, 96);
}

static void test_hot_cold(void)
{
	struct qr_frame *hot, *cold;

	set_up_with(NR_FRAMES, NR_FRAMES, QR_PCP_HOT_COLD);
	port_test_set_cpu(0);
	tap_check_equal(pcps[0].low, 32);
	tap_check_equal(pcps[0].high, 96);
	tap_check_equal(pcps[0].cold_high, 32);
	tap_check_equal(pcps[0].batch, 16);
	hot = qr_zone_alloc(&zone, 0, 0);
	cold = qr_zone_alloc(&zone, 0, QR_GFP_COLD);
	tap_require(hot && cold);
	qr_zone_free(&zone, hot, 0);
	qr_zone_free_cold(&zone, cold, 0);
	/* Each comes back to whom it suits. */
	tap_check(qr_zone_alloc(&zone, 0, QR_GFP_COLD) == cold);
	tap_check(qr_zone_alloc(&zone, 0, 0) == hot);
	for (uint32_t i = 0; i < 200; i++)
		tap_require(qr_zone_alloc(&zone, 0, 0) != NULL);
	/* At the low mark the hot list is filled up: it never runs empty. */
	tap_check(pcps[0].frames.nr >= 32);
	tap_check(qr_zone_is_valid(&zone));
}

static void test_warm(void)
{
	struct qr_frame *frame, *again;

	/* Without per-CPU lists, whose LIFO order would hide that of the buddy system. */
	set_up_with(4096, 4096, QR_PCP_NONE);
	frame = qr_zone_alloc(&zone, QR_MAX_ORDER, 0);
	qr_zone_free(&zone, frame, QR_MAX_ORDER);
	tap_check(qr_zone_alloc(&zone, QR_MAX_ORDER, 0) == frame);
	qr_zone_free(&zone, frame, QR_MAX_ORDER);
	/* The written block is split rather than a fresh one. */
	again = qr_zone_take(&zone, 3, 0);
	tap_check(again == frame && !(again->flags & QR_FRAME_FRESH));
}

static void test_bad_free(void)
{
	struct qr_frame *block, *single;

	set_up(4096, 4096);
	block = qr_zone_alloc(&zone, 4, 0);
	single = qr_zone_alloc(&zone, 0, 0);
	tap_check(PORT_TEST_PANICS(qr_zone_free(&zone, block, 3)));
	tap_check(PORT_TEST_PANICS(qr_zone_free(&zone, block + 4, 0)));
	qr_zone_free(&zone, block, 4);
	tap_check(PORT_TEST_PANICS(qr_zone_free(&zone, block, 4)));
	qr_zone_free(&zone, single, 0);
	tap_check(PORT_TEST_PANICS(qr_zone_free(&zone, single, 0)));
	/* The upper one of two buddies, after they merged. */
	single = qr_zone_alloc(&zone, 5, 0);
	do {
		block = single;
		single = qr_zone_alloc(&zone, 5, 0);
		tap_require(single != NULL);
	} while (qr_zone_pfn(&zone, block) % 64 || single != block + 32);
	qr_zone_free(&zone, block, 5);
	qr_zone_free(&zone, single, 5);
	tap_check(PORT_TEST_PANICS(qr_zone_free(&zone, single, 5)));
	tap_check(qr_zone_is_valid(&zone));
}

static void test_damaged(void)
{
	struct qr_frame *frame;

	set_up(4096, 4096);
	frame = qr_zone_alloc(&zone, 0, 0);
	zone.nr_buddy_free++;
	tap_check(!qr_zone_is_valid(&zone));
	zone.nr_buddy_free--;
	zone.nr_free_least += zone.nr_onlined_span;
	tap_check(!qr_zone_is_valid(&zone));
	zone.nr_free_least -= zone.nr_onlined_span;
	qr_fresh_set(&zone, frame, 0);
	tap_check(!qr_zone_is_valid(&zone));
	(void)qr_fresh_clear(&zone, frame, 0);
	zone.nr_online--;
	tap_check(!qr_zone_is_valid(&zone));
	zone.nr_online++;
	qr_frame_set_kind(frame, QR_FRAME_FREE, 0);
	tap_check(!qr_zone_is_valid(&zone));
	qr_frame_set_kind(frame, QR_FRAME_KERNEL, 0);
	tap_check(qr_zone_is_valid(&zone));
}

/* ---- Threads ---- */

#define NR_THREADS 4u
#define NR_THREAD_STEPS 6000u
#define MAX_HELD 128u

static uint32_t owners[NR_FRAMES]; /* (A) thread + 1 */

static void thread_own(struct qr_frame *frame, unsigned order, uint32_t from, uint32_t to)
{
	for (uint32_t i = 0; i < 1u << order; i++)
		tap_check_equal(qr_exchange(&owners[frame - memmap + i], to), from);
}

static void *zone_thread(void *argument)
{
	uint32_t self = (uint32_t)(uintptr_t)argument + 1;
	uint64_t random = tap_seed() * self;
	struct block held[MAX_HELD];
	uint32_t nr_held = 0;

	for (uint32_t step = 0; step < NR_THREAD_STEPS + MAX_HELD; step++) {
		bool is_ending = step >= NR_THREAD_STEPS;

		/* A CPU slot is a hint: threads share them. */
		port_test_set_cpu(tap_random_below(&random, 2) + self % 2);
		if (!is_ending && nr_held < MAX_HELD && tap_random_below(&random, 2)) {
			unsigned order = tap_random_below(&random, 3) ? 0 : tap_random_below(&random, 7);
			struct qr_frame *frame = qr_zone_alloc(&zone, order, 0);

			if (frame) {
				thread_own(frame, order, 0, self);
				held[nr_held++] = (struct block){frame, order};
			}
		} else if (nr_held) {
			uint32_t at = tap_random_below(&random, nr_held);
			struct block block = held[at];

			held[at] = held[--nr_held];
			thread_own(block.frame, block.order, self, 0);
			qr_zone_free(&zone, block.frame, block.order);
		}
		if (self == 1 && step % 512 == 0) {
			(void)qr_zone_balloon_inflate(&zone, 300);
			(void)qr_zone_nr_free(&zone);
			(void)qr_zone_balloon_deflate(&zone, 300);
		}
	}
	return NULL;
}

static void test_threads(void)
{
	pthread_t threads[NR_THREADS];

	memset(owners, 0, sizeof(owners));
	set_up(2048, 2048);
	qr_zone_set_watermarks(&zone);
	port_test_set_yield(64);
	for (uintptr_t i = 0; i < NR_THREADS; i++)
		tap_require(!pthread_create(&threads[i], NULL, zone_thread, (void *)i));
	for (uint32_t i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	port_test_set_yield(0);
	(void)qr_zone_balloon_deflate(&zone, 2048);
	tap_check(qr_zone_is_valid(&zone));
	tap_check_equal(qr_zone_nr_free(&zone), 2048);
	qr_zone_drain_pcps(&zone);
	tap_check_equal(zone.free_area[QR_MAX_ORDER].nr, 2);
}

static const struct tap_test tests[] = {
	{"zone_random_operations_match_model", test_random},
	{"zone_random_operations_with_hot_and_cold_lists_match_model", test_random_hot_cold},
	{"zone_random_operations_without_pcps_match_model", test_random_no_pcps},
	{"zone_free_all_merges_to_largest_blocks", test_merge},
	{"zone_alloc_finds_frames_of_other_cpus", test_other_cpus},
	{"pcp_high_stays_below_an_eighth", test_pcp_bounds},
	{"pcp_hot_cold_alloc_takes_zone_lock_once_per_batch", test_batches},
	{"pcp_auto_alloc_in_a_row_doubles_the_batch", test_batches_grow},
	{"pcp_auto_burst_comes_again_takes_no_zone_lock", test_bursts},
	{"pcp_hot_cold_keeps_temperatures_apart", test_hot_cold},
	{"zone_alloc_prefers_warm_blocks", test_warm},
	{"zone_free_wrong_block_panics", test_bad_free},
	{"zone_damaged_is_invalid", test_damaged},
	{"zone_threads_never_share_a_frame", test_threads},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
