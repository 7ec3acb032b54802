/* What each limit of a memory group promises, whose turn it is to be reclaimed from, and the life of a group. */
#include "fixture.h"

#include <string.h>

#define NR_FRAMES 2048u

static uint64_t nr_pages(const struct qr_group *group)
{
	struct qr_group_usage usage;

	qr_group_usage(group, &usage);
	return usage.nr_pages;
}

static int fill(struct space *space, uint32_t first, uint32_t nr)
{
	int err = 0;

	for (uint32_t i = first; i < first + nr && !err; i++)
		err = port_test_write_u64(space->port_space, page_va(i), i * 0x100000001u + 1);
	return err;
}

static void verify(struct space *space, uint32_t first, uint32_t nr)
{
	for (uint32_t i = first; i < first + nr; i++) {
		uint64_t value = 0;

		tap_check_equal(port_test_read_u64(space->port_space, page_va(i), &value), 0);
		tap_check_equal(value, i * 0x100000001u + 1);
	}
}

static void set(struct space *space, uint32_t max, uint32_t high, uint32_t low)
{
	struct qr_group_limits limits = {.max = max, .high = high, .low = low};

	tap_check_equal(qr_group_set_limits(space->group, &limits), 0);
}

static void test_max(void)
{
	struct qr_group_usage usage;
	struct space small, other;
	struct world world;

	world_open(&world, NR_FRAMES, NULL);
	space_open(&world, &small, true);
	space_open(&world, &other, false);
	space_map(&small, page_va(0), 1024);
	space_map(&other, page_va(0), 256);
	set(&small, 128, QR_GROUP_NO_LIMIT, 0);
	tap_check_equal(fill(&other, 0, 256), 0);
	tap_check_equal(fill(&small, 0, 1024), 0);
	qr_group_usage(small.group, &usage);
	tap_check(usage.nr_pages <= 128 && usage.nr_peak <= 128 && usage.nr_max_events > 0);
	tap_check(usage.nr_swapped >= 1024 - 128);
	/* The group paid for itself. */
	tap_check_equal(qr_aspace_nr_swapped(other.aspace), 0);
	verify(&small, 0, 1024);
	tap_check(nr_pages(small.group) <= 128);
	/* A smaller max holds at once. */
	set(&small, 32, QR_GROUP_NO_LIMIT, 0);
	tap_check(nr_pages(small.group) <= 32);
	verify(&small, 0, 1024);
	space_close(&small);
	space_close(&other);
	world_close(&world);
}

static void test_exhausted(void)
{
	struct qr_group_limits least = {.max = 16, .high = QR_GROUP_NO_LIMIT};
	struct space space;
	struct world world;

	world_open(&world, NR_FRAMES, NULL);
	space_open(&world, &space, true);
	space_map(&space, page_va(0), 256);
	set(&space, 64, QR_GROUP_NO_LIMIT, 0);
	tap_check_equal(qr_lock(space.aspace, page_va(0), 64 * QR_PAGE_SIZE), 0);
	tap_check_equal(fill(&space, 0, 64), 0);
	tap_check_equal(fill(&space, 64, 1), QR_ENOMEM);
	tap_check_equal(port_test_counts(world.port).nr_out_of_memory, 1);
	/* The rest fail without asking again. */
	tap_check_equal(fill(&space, 64, 1), QR_ENOMEM);
	tap_check_equal(port_test_counts(world.port).nr_out_of_memory, 1);
	tap_check_equal(qr_group_set_limits(space.group, &least), QR_EBUSY);
	set(&space, 64, QR_GROUP_NO_LIMIT, 0);
	tap_check_equal(qr_unlock(space.aspace, page_va(0), 64 * QR_PAGE_SIZE), 0);
	tap_check_equal(fill(&space, 64, 128), 0);
	verify(&space, 0, 192);
	space_close(&space);
	world_close(&world);
}

static void test_high(void)
{
	struct qr_group_usage usage;
	struct space space;
	struct world world;

	world_open(&world, NR_FRAMES, NULL);
	space_open(&world, &space, true);
	space_map(&space, page_va(0), 1024);
	set(&space, QR_GROUP_NO_LIMIT, 128, 0);
	tap_check_equal(fill(&space, 0, 1024), 0);
	qr_group_usage(space.group, &usage);
	tap_check(usage.nr_high_events > 0 && usage.nr_max_events == 0);
	tap_check(usage.nr_peak <= 128 + 1);
	/* Above it nobody fails: locked pages cannot be reclaimed. */
	tap_check_equal(qr_lock(space.aspace, page_va(0), 160 * QR_PAGE_SIZE), 0);
	qr_group_usage(space.group, &usage);
	tap_check(usage.nr_pages >= 160);
	verify(&space, 0, 1024);
	space_close(&space);
	world_close(&world);
}

static void test_low(void)
{
	struct space kept, other;
	struct world world;

	world_open(&world, NR_FRAMES, NULL);
	space_open(&world, &kept, true);
	space_open(&world, &other, false);
	space_map(&kept, page_va(0), 2048);
	space_map(&other, page_va(0), 4096);
	set(&kept, QR_GROUP_NO_LIMIT, QR_GROUP_NO_LIMIT, 512);
	tap_check_equal(fill(&kept, 0, 256), 0);
	tap_check_equal(fill(&other, 0, 4096), 0);
	tap_check_equal(qr_aspace_nr_swapped(kept.aspace), 0);
	tap_check(qr_aspace_nr_swapped(other.aspace) > 2048);
	/* Alone it has to give all the same. */
	set(&kept, QR_GROUP_NO_LIMIT, QR_GROUP_NO_LIMIT, 2048);
	tap_check_equal(qr_unmap(other.aspace, page_va(0), 4096 * QR_PAGE_SIZE), 0);
	tap_check_equal(fill(&kept, 0, 2048), 0);
	tap_check(qr_aspace_nr_swapped(kept.aspace) > 0);
	verify(&kept, 0, 2048);
	space_close(&kept);
	space_close(&other);
	world_close(&world);
}

/* 100, 200 and 400 pages above the marks: 1, 2 and 4 of seven turns. */
static void test_pick(void)
{
	static const uint32_t sizes[] = {100, 300, 400};
	static const uint32_t lows[] = {0, 100, 0};
	struct space spaces[4];
	uint32_t turns[5] = {0};
	struct world world;

	world_open(&world, NR_FRAMES, NULL);
	for (unsigned i = 0; i < 4; i++) {
		space_open(&world, &spaces[i], true);
		space_map(&spaces[i], page_va(0), 1024);
	}
	for (unsigned i = 0; i < 3; i++) {
		set(&spaces[i], QR_GROUP_NO_LIMIT, QR_GROUP_NO_LIMIT, lows[i]);
		tap_check_equal(fill(&spaces[i], 0, sizes[i]), 0);
	}
	for (unsigned i = 0; i < 7000; i++) {
		struct qr_lru_target target = {.group = UINT32_MAX};

		tap_check(qr_group_pick(world.vmm, &target));
		tap_require(target.group < 5);
		turns[target.group]++;
	}
	/* Charges include up to two stocks, and folios may be larger than what was touched. */
	for (unsigned i = 0; i < 3; i++) {
		uint64_t above = spaces[i].group->nr_charged - lows[i];
		uint64_t total = spaces[0].group->nr_charged + spaces[1].group->nr_charged - lows[1] +
				 spaces[2].group->nr_charged + spaces[3].group->nr_charged;
		uint64_t wanted = 7000 * above / total;

		tap_check(turns[spaces[i].group->number] + 20 >= wanted);
		tap_check(turns[spaces[i].group->number] <= wanted + 20);
	}
	tap_check_equal(turns[0], 0);
	for (unsigned i = 0; i < 4; i++)
		space_close(&spaces[i]);
	world_close(&world);
}

static void test_end(void)
{
	struct qr_group *again;
	struct space space;
	struct world world;
	uint32_t number;

	world_open(&world, NR_FRAMES, NULL);
	space_open(&world, &space, true);
	number = space.group->number;
	space_map(&space, page_va(0), 256);
	set(&space, 64, QR_GROUP_NO_LIMIT, 0);
	tap_check_equal(fill(&space, 0, 64), 0);
	qr_group_destroy(space.group);
	/* Its pages stay its own, and nothing limits them any more. */
	tap_check_equal(fill(&space, 0, 256), 0);
	tap_check(nr_pages(space.group) >= 256);
	tap_check_equal(qr_group_create(world.vmm, &again), 0);
	tap_check(again->number != number);
	qr_group_destroy(again);
	tap_check_equal(qr_unmap(space.aspace, page_va(0), 256 * QR_PAGE_SIZE), 0);
	qr_lru_drain(&world.vmm->lru);
	tap_check_equal(qr_group_create(world.vmm, &again), 0);
	tap_check_equal(again->number, number);
	tap_check_equal(nr_pages(again), 0);
	qr_group_destroy(again);
	space.group = NULL;
	space_close(&space);
	world_close(&world);
}

static void test_many(void)
{
	static struct qr_group *groups[1u << QR_FOLIO_LRUVEC_BITS];
	struct qr_group *one_more;
	struct world world;
	uint32_t max;

	world_open(&world, NR_FRAMES, NULL);
	max = qr_lru_max_groups(&world.vmm->lru);
	for (uint32_t i = 1; i < max; i++)
		tap_require(qr_group_create(world.vmm, &groups[i]) == 0);
	tap_check_equal(qr_group_create(world.vmm, &one_more), QR_ENOSPC);
	for (uint32_t i = 1; i < max; i++)
		qr_group_destroy(groups[i]);
	world_close(&world);
}

static void test_limits_refused(void)
{
	struct qr_group_limits low_above_max = {.max = 10, .high = QR_GROUP_NO_LIMIT, .low = 11};
	struct qr_group_limits plain = {.max = 100, .high = QR_GROUP_NO_LIMIT};
	struct qr_choices choices = {.lru_scope = QR_LRU_GLOBAL};
	struct space space;
	struct world world;

	world_open(&world, NR_FRAMES, NULL);
	space_open(&world, &space, true);
	tap_check_equal(qr_group_set_limits(space.group, &low_above_max), QR_EINVAL);
	space_close(&space);
	world_close(&world);
	world_open(&world, NR_FRAMES, &choices);
	space_open(&world, &space, true);
	tap_check_equal(qr_group_set_limits(space.group, &plain), QR_ENOSYS);
	/* Accounts are kept all the same. */
	space_map(&space, page_va(0), 4096);
	tap_check_equal(fill(&space, 0, 4096), 0);
	tap_check_equal(nr_pages(space.group), nr_folio_pages(&world, space.group));
	verify(&space, 0, 4096);
	space_close(&space);
	world_close(&world);
}

static const struct tap_test tests[] = {
	{"group_at_max_reclaims_from_itself", test_max},
	{"group_full_of_locked_pages_is_out_of_memory", test_exhausted},
	{"group_above_high_is_held_back", test_high},
	{"group_below_low_is_left_alone", test_low},
	{"group_pick_is_in_proportion_to_size_above_low", test_pick},
	{"group_destroyed_keeps_its_pages_until_they_go", test_end},
	{"group_too_many_is_an_error", test_many},
	{"group_limits_out_of_range_or_without_lists_are_refused", test_limits_refused},
};

int main(int argc, char **argv)
{
	return tap_run(tests, QR_ARRAY_SIZE(tests), argc, argv);
}
