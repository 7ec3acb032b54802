/* The pool's share: which way it goes after a window of loads, its bounds, and products beyond 64 bits. */
#include "swap_fixture.h"

#define WINDOW 1024u
#define MAX_PERCENT 85u
#define STEP 3u
#define MIN_PERCENT 10u

static struct swap_fixture fixture;

static void set_up(void)
{
	swap_fixture_init(&fixture, port_test_create(4096), 4096);
	swap_fixture_create(&fixture, &(struct qr_swap_config){.codec = QR_CODEC_LZ4,
							       .has_file = true,
							       .pool_max_percent = MAX_PERCENT,
							       .delivery_ns = 1000});
}

/* What the tiers would hold; undone before the fixture checks its books. */
static void set_tiers(uint32_t nr_file, uint32_t nr_pool, uint32_t pool_frames)
{
	fixture.swap->slots.nr_tier[QR_TIER_FILE] = nr_file;
	fixture.swap->slots.nr_tier[QR_TIER_POOL] = nr_pool;
	fixture.swap->pool.nr_frames = pool_frames;
}

/* A window of loads: of the file, and the faults meanwhile. Returns the share after it. */
static uint32_t pass(uint32_t nr_file, uint64_t file_ns, uint64_t nr_faults, uint64_t fault_ns, uint64_t nr_idle)
{
	qr_stat_add(&fixture.vmm->stats, QR_STAT_faults, nr_faults);
	qr_stat_add(&fixture.vmm->stats, QR_STAT_fault_ns, fault_ns);
	qr_stat_add(&fixture.vmm->stats, QR_STAT_faults_idle, nr_idle);
	qr_share_note_loads(fixture.swap, nr_file, WINDOW - nr_file, file_ns);
	return fixture.swap->share.percent;
}

static void test_directions(void)
{
	uint32_t before;

	set_up();
	tap_check(fixture.swap->share.percent == QR_SHARE_START_PERCENT);
	/* The file is slow and nobody touches idle folios: up, to the maximum and no further. */
	set_tiers(1000, 2000, 1000);
	for (uint32_t want = QR_SHARE_START_PERCENT; want < MAX_PERCENT; want = QR_MIN(want + STEP, MAX_PERCENT))
		tap_check(pass(500, 50000000, 1000, 60000000, 0) == QR_MIN(want + STEP, MAX_PERCENT));
	tap_check(pass(500, 50000000, 1000, 60000000, 0) == MAX_PERCENT);
	tap_check(qr_share_frames(fixture.swap) == 4096 / 100 * MAX_PERCENT);
	/* Nothing comes from the file, and idle folios are wanted: down, to the minimum. */
	for (before = MAX_PERCENT; before > MIN_PERCENT; before = QR_MAX(before - QR_MIN(before, STEP), MIN_PERCENT))
		tap_check(pass(0, 0, 1000, 10000000, 800) < before);
	tap_check(pass(0, 0, 1000, 10000000, 800) == MIN_PERCENT);
	set_tiers(0, 0, 0);
	swap_fixture_destroy(&fixture);
}

static void test_balance(void)
{
	set_up();
	set_tiers(1 << 20, 1 << 20, 1 << 20);
	/* A page of the file costs 10,000 ns more in the window, and so does an idle page, touched once: 9,000,000 ns
	 * / 1000 faults + delivery. One part in a hundred more or less tips it. */
	tap_check(pass(1000, (uint64_t)10100 << 20, 1000, ((uint64_t)10100 << 20) + 9000000, 1) ==
		  QR_SHARE_START_PERCENT + STEP);
	tap_check(pass(1000, (uint64_t)9900 << 20, 1000, ((uint64_t)9900 << 20) + 9000000, 1) ==
		  QR_SHARE_START_PERCENT);
	/* No fault: no rate, no change. */
	tap_check(pass(1000, 1000, 0, 0, 0) == QR_SHARE_START_PERCENT);
	set_tiers(0, 0, 0);
	swap_fixture_destroy(&fixture);
}

static const struct tap_test tests[] = {
	{"share_follows_what_pays", test_directions},
	{"share_weighs_one_part_in_a_hundred", test_balance},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
