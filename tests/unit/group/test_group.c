/*
 * Memory groups in a whole manager: limits, accounts and lists after each of many random operations, against the
 * frames themselves; then each limit's promise.
 *
 * Each group has an address space of its own, all of whose mappings are in the group, so that the address space's
 * counts say what the group's must be.
 */
#include "fixture.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NR_GROUPS 3u
#define NR_PAGES 1024u /* of each address space */
#define NR_FRAMES 2048u
#define NR_STEPS 1500u
#define NR_THREADS 4u
#define THREAD_STEPS 2500u

/* Address space 0 is in no group. */
static struct {
	struct space spaces[1 + NR_GROUPS];
	uint64_t content[1 + NR_GROUPS][NR_PAGES];
	bool is_mapped[1 + NR_GROUPS][NR_PAGES];
	uint64_t stamp;
	uint64_t seed;
} model;

static uint32_t below(uint32_t bound)
{
	return tap_random_below(&model.seed, bound);
}

/* ---- Random operations ---- */

/* What a group's accounts must be, from the frames and the address space. */
static void check_accounts(const struct world *world, const struct space *space)
{
	struct qr_lru_target target = {.group = space->group->number};
	struct qr_group_limits limits;
	struct qr_group_usage usage;
	uint64_t nr_pages = nr_folio_pages(world, space->group), nr_listed = 0;

	qr_group_usage(space->group, &usage);
	qr_group_limits(space->group, &limits);
	tap_check_equal(usage.nr_pages, nr_pages);
	tap_check_equal(usage.nr_swapped, qr_aspace_nr_swapped(space->aspace));
	tap_check(usage.slab_bytes >= space->aspace->nr_vmas * sizeof(struct qr_vma));
	tap_check(qr_load_relaxed(&space->group->nr_charged) <= limits.max);
	tap_check(usage.nr_pages + 2 * PORT_TEST_CPUS * QR_GROUP_STOCK >= space->group->nr_charged);
	qr_lru_drain(&world->vmm->lru);
	for (unsigned list = 0; list < QR_NR_LRU_LISTS; list++)
		nr_listed += qr_lru_nr_pages_of(&world->vmm->lru, &target, (enum qr_lru_list)list);
	/* A drain frees what lost its last mapping while it was in a batch. */
	tap_check_equal(nr_listed, nr_folio_pages(world, space->group));
}

static void choose_range(uint32_t *first, uint32_t *nr)
{
	*first = below(NR_PAGES);
	*nr = 1 + below(1u << below(9));
	*nr = QR_MIN(*nr, NR_PAGES - *first);
}

static void write_pages(unsigned at, uint32_t first, uint32_t nr)
{
	for (uint32_t i = first; i < first + nr; i++) {
		int err;

		if (!model.is_mapped[at][i])
			continue;
		err = port_test_write_u64(model.spaces[at].port_space, page_va(i), ++model.stamp);
		tap_check_equal(err, 0);
		model.content[at][i] = model.stamp;
	}
}

static void read_pages(unsigned at, uint32_t first, uint32_t nr)
{
	for (uint32_t i = first; i < first + nr; i++) {
		uint64_t value = 0;

		if (!model.is_mapped[at][i])
			continue;
		tap_check_equal(port_test_read_u64(model.spaces[at].port_space, page_va(i), &value), 0);
		tap_check_equal(value, model.content[at][i]);
	}
}

static void map_pages(unsigned at, uint32_t first, uint32_t nr)
{
	space_map(&model.spaces[at], page_va(first), nr);
	for (uint32_t i = first; i < first + nr; i++) {
		model.is_mapped[at][i] = true;
		model.content[at][i] = 0;
	}
}

static void drop_pages(unsigned at, uint32_t first, uint32_t nr, bool is_unmap)
{
	if (is_unmap)
		tap_check_equal(qr_unmap(model.spaces[at].aspace, page_va(first), nr * QR_PAGE_SIZE), 0);
	else
		(void)!qr_advise(model.spaces[at].aspace, page_va(first), nr * QR_PAGE_SIZE, QR_ADVISE_DONTNEED);
	for (uint32_t i = first; i < first + nr && !is_unmap; i++) {
		/* It stops at the first hole, after which nothing is dropped. */
		uint64_t value = 0;

		if (model.is_mapped[at][i] && !port_test_read_u64(model.spaces[at].port_space, page_va(i), &value)) {
			tap_check(!value || value == model.content[at][i]);
			model.content[at][i] = value;
		}
	}
	for (uint32_t i = first; i < first + nr && is_unmap; i++)
		model.is_mapped[at][i] = false;
}

static void change_limits(unsigned at)
{
	struct qr_group_limits limits = {QR_GROUP_NO_LIMIT, QR_GROUP_NO_LIMIT, 0};

	if (below(4))
		limits.max = 64 + below(NR_PAGES);
	if (below(2))
		limits.high = 32 + below(NR_PAGES);
	if (below(2))
		limits.low = below(QR_MIN(limits.max, NR_PAGES));
	tap_check_equal(qr_group_set_limits(model.spaces[at].group, &limits), 0);
}

static void step(struct world *world)
{
	unsigned at = below(1 + NR_GROUPS);
	uint32_t first, nr;

	choose_range(&first, &nr);
	port_test_set_cpu(below(PORT_TEST_CPUS));
	switch (below(10)) {
	case 0:
		map_pages(at, first, nr);
		break;
	case 1:
		drop_pages(at, first, QR_MIN(nr, 64u), below(2));
		break;
	case 2:
		(void)!qr_advise(model.spaces[at].aspace, page_va(first), nr * QR_PAGE_SIZE, QR_ADVISE_PAGEOUT);
		break;
	case 3:
		if (at)
			change_limits(at);
		break;
	case 4:
		(void)qr_reclaim(world->vmm, 1 + below(64));
		break;
	case 5:
	case 6:
	case 7:
		write_pages(at, first, nr);
		break;
	default:
		read_pages(at, first, nr);
		break;
	}
	for (unsigned i = 1; i <= NR_GROUPS; i++)
		check_accounts(world, &model.spaces[i]);
}

static void test_model(void)
{
	struct world world;

	memset(&model, 0, sizeof(model));
	model.seed = tap_seed();
	world_open(&world, NR_FRAMES, NULL);
	for (unsigned i = 0; i <= NR_GROUPS; i++) {
		space_open(&world, &model.spaces[i], i > 0);
		map_pages(i, 0, NR_PAGES);
	}
	for (unsigned i = 0; i < NR_STEPS && !tap_has_failed(); i++)
		step(&world);
	for (unsigned i = 0; i <= NR_GROUPS; i++) {
		read_pages(i, 0, NR_PAGES);
		space_close(&model.spaces[i]);
	}
	tap_check(qr_lru_is_valid(&world.vmm->lru));
	port_test_set_cpu(0);
	world_close(&world);
}

/* ---- Fork: parent and child share the group ---- */

static void check_family(const struct world *world, const struct space *parent, const struct qr_aspace *child)
{
	struct qr_group_usage usage;

	qr_lru_drain(&world->vmm->lru);
	qr_group_usage(parent->group, &usage);
	tap_check_equal(usage.nr_pages, nr_folio_pages(world, parent->group));
	tap_check_equal(usage.nr_swapped,
			qr_aspace_nr_swapped(parent->aspace) + (child ? qr_aspace_nr_swapped(child) : 0));
}

static void test_fork(void)
{
	struct qr_group_limits limits = {.max = 300, .high = QR_GROUP_NO_LIMIT};
	struct qr_port_space *child_space;
	struct qr_aspace *child;
	struct space parent;
	struct world world;

	world_open(&world, NR_FRAMES, NULL);
	port_test_set_exclusive(world.port, false);
	space_open(&world, &parent, true);
	space_map(&parent, page_va(0), 512);
	tap_check_equal(qr_group_set_limits(parent.group, &limits), 0);
	for (uint32_t i = 0; i < 512; i++)
		tap_check_equal(port_test_write_u64(parent.port_space, page_va(i), i + 1), 0);
	check_family(&world, &parent, NULL);
	child_space = port_test_space_create(world.port);
	tap_require(qr_aspace_fork(parent.aspace, child_space, &child) == 0);
	space_set_fault(child_space, child);
	check_family(&world, &parent, child);
	/* Copies are charged as well. */
	for (uint32_t i = 0; i < 512; i += 2) {
		tap_check_equal(port_test_write_u64(child_space, page_va(i), i + 1001), 0);
		tap_check(parent.group->nr_charged <= limits.max);
	}
	check_family(&world, &parent, child);
	for (uint32_t i = 0; i < 512; i++) {
		uint64_t mine = 0, its = 0;

		tap_check_equal(port_test_read_u64(parent.port_space, page_va(i), &mine), 0);
		tap_check_equal(port_test_read_u64(child_space, page_va(i), &its), 0);
		tap_check_equal(mine, i + 1);
		tap_check_equal(its, i % 2 ? i + 1 : i + 1001);
	}
	qr_aspace_destroy(child);
	port_test_space_destroy(child_space);
	check_family(&world, &parent, NULL);
	space_close(&parent);
	world_close(&world);
}

/* ---- Threads ---- */

struct thread {
	struct space *space;
	unsigned number;
};

static void *thread_main(void *argument)
{
	struct thread *thread = argument;
	uint64_t seed = tap_seed() + thread->number;
	uint32_t base = thread->number * NR_PAGES;

	port_test_set_cpu(thread->number % PORT_TEST_CPUS);
	for (uint32_t i = 0; i < THREAD_STEPS; i++) {
		uint32_t page = base + tap_random_below(&seed, NR_PAGES);
		uint64_t wanted = page + 1, value = 0;

		tap_check_equal(port_test_read_u64(thread->space->port_space, page_va(page), &value), 0);
		tap_check(!value || value == wanted);
		tap_check_equal(port_test_write_u64(thread->space->port_space, page_va(page), wanted), 0);
		if (tap_random_below(&seed, 200) == 0)
			(void)!qr_advise(thread->space->aspace, page_va(page), QR_PAGE_SIZE, QR_ADVISE_PAGEOUT);
	}
	return NULL;
}

/* Two groups, two threads in each, both too small for what their threads touch. */
static void test_threads(void)
{
	struct qr_group_limits limits[2] = {{600, 500, 100}, {700, QR_GROUP_NO_LIMIT, 0}};
	struct thread threads[NR_THREADS];
	pthread_t handles[NR_THREADS];
	struct space spaces[2];
	struct qr_group_usage usage;
	struct world world;

	world_open(&world, NR_FRAMES, NULL);
	for (unsigned i = 0; i < 2; i++) {
		space_open(&world, &spaces[i], true);
		space_map(&spaces[i], page_va(0), NR_THREADS * NR_PAGES);
		tap_check_equal(qr_group_set_limits(spaces[i].group, &limits[i]), 0);
	}
	for (unsigned i = 0; i < NR_THREADS; i++) {
		threads[i] = (struct thread){&spaces[i % 2], i};
		tap_require(!pthread_create(&handles[i], NULL, thread_main, &threads[i]));
	}
	for (unsigned i = 0; i < NR_THREADS; i++)
		pthread_join(handles[i], NULL);
	for (unsigned i = 0; i < 2; i++) {
		check_accounts(&world, &spaces[i]);
		qr_group_usage(spaces[i].group, &usage);
		tap_check(usage.nr_peak <= limits[i].max && usage.nr_max_events + usage.nr_high_events > 0);
		space_close(&spaces[i]);
	}
	world_close(&world);
}

static const struct tap_test tests[] = {
	{"group_random_operations_match_frames", test_model},
	{"group_is_shared_by_a_forked_child", test_fork},
	{"group_threads_in_two_groups_keep_accounts", test_threads},
};

int main(int argc, char **argv)
{
	return tap_run(tests, QR_ARRAY_SIZE(tests), argc, argv);
}
