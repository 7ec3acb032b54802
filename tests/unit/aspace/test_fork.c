/*
 * Address spaces that fork, write, unmap, swap and exit at random, against one plain array of pages each. Memory is
 * smaller than what they map, so that shared pages go to swap and come back; translations fail at random.
 */
#include "family.h"
#include "reclaim/reclaim_priv.h"

static void run(const struct qr_choices *choices, uint32_t nr_steps, uint32_t chaos)
{
	struct machine machine;
	struct world *world = family_open(&machine, choices);

	port_test_set_chaos(machine.port, chaos, world->seed);
	for (uint32_t step = 0; step < nr_steps && !tap_has_failed(); step++) {
		world_step(world, step);
		if (step % 5 == 0)
			check_sharing(&world, 1);
		if (step % 200 == 199)
			check_content(world);
	}
	check_content(world);
	tap_note("%llu forks, %llu exits, %llu pages copied, %llu found private, %llu stored",
		 (unsigned long long)world->nr_forks, (unsigned long long)world->nr_exits,
		 (unsigned long long)qr_vmm_stat(machine.vmm, QR_STAT_faults_cow),
		 (unsigned long long)qr_vmm_stat(machine.vmm, QR_STAT_faults_reuse),
		 (unsigned long long)qr_vmm_stat(machine.vmm, QR_STAT_swapout_pages));
	port_test_set_chaos(machine.port, 0, 0);
	world_free(world);
	machine_close(&machine);
}

static void test_model(void)
{
	struct qr_choices choices = {0};

	run(&choices, 3000, 0);
}

static void test_model_chaos(void)
{
	struct qr_choices choices = {0};

	run(&choices, 3000, 40);
}

static void test_model_baselines(void)
{
	struct qr_choices choices = {
		.lru_batch = QR_LRU_UNBATCHED,
		.pcp = QR_PCP_HOT_COLD,
		.mmap_lock = QR_MMAP_LOCK_RWSEM,
		.pt_lock = QR_PT_LOCK_ASPACE,
	};

	run(&choices, 2000, 40);
}

/* ---- Single properties ---- */

static void test_exclusive(void)
{
	struct qr_port_space *space;
	struct qr_aspace *child;
	struct machine machine;

	machine_open(&machine, NR_FRAMES, true, BASE, BASE + NR_PAGES * PAGE);
	space = port_test_space_create(machine.port);
	tap_check_equal(qr_aspace_fork(machine.aspace, space, &child), QR_ENOSYS);
	port_test_space_destroy(space);
	machine_close(&machine);
}

/* A machine with one VMA of nr pages, in which page i holds i. */
static void open_filled(struct machine *machine, uint32_t nr)
{
	uint64_t va;

	machine_open(machine, NR_FRAMES, false, BASE, BASE + NR_PAGES * PAGE);
	tap_require(qr_map(machine->aspace, BASE, nr * PAGE, PAGE, RW, QR_MAP_FIXED, NULL, 0, &va) == 0);
	for (uint32_t i = 0; i < nr; i++)
		tap_check_equal(port_test_write_u64(machine->space, va_of(i), i), 0);
	qr_lru_drain(&machine->vmm->lru);
}

static struct qr_aspace *fork_from(struct machine *machine, struct qr_port_space **space)
{
	struct qr_aspace *child;

	*space = port_test_space_create(machine->port);
	tap_require(qr_aspace_fork(machine->aspace, *space, &child) == 0);
	port_test_set_fault(*space, family_fault, child);
	return child;
}

static void check_values(struct qr_port_space *space, uint32_t first, uint32_t nr, uint64_t base)
{
	for (uint32_t i = first; i < first + nr; i++) {
		uint64_t value = 0;

		tap_check_equal(port_test_read_u64(space, va_of(i), &value), 0);
		tap_check_equal(value, base + i);
	}
}

/* What is shared costs no frame, a write costs one, and the last owner writes for nothing. */
static void test_frames(void)
{
	struct qr_port_space *space;
	struct port_test_counts counts;
	struct qr_aspace *child;
	struct machine machine;
	uint32_t nr_free;

	open_filled(&machine, 128);
	child = fork_from(&machine, &space);
	nr_free = qr_zone_nr_free(&machine.vmm->zone);
	counts = port_test_counts(machine.port);
	check_values(space, 0, 128, 0);
	tap_check_equal(qr_zone_nr_free(&machine.vmm->zone), nr_free);
	tap_check_equal(port_test_counts(machine.port).nr_faults, counts.nr_faults);
	for (uint32_t i = 0; i < 10; i++)
		tap_check_equal(port_test_write_u64(space, va_of(i), 1000 + i), 0);
	tap_check_equal(qr_vmm_stat(machine.vmm, QR_STAT_faults_cow), 10);
	qr_aspace_destroy(child);
	port_test_space_destroy(space);
	qr_lru_drain(&machine.vmm->lru);
	for (uint32_t i = 0; i < 128; i++)
		tap_check_equal(port_test_write_u64(machine.space, va_of(i), i), 0);
	tap_check_equal(qr_vmm_stat(machine.vmm, QR_STAT_faults_cow), 10);
	machine_close(&machine);
}

/* A range that becomes writable again does not make shared pages writable: present ones, nor those that are idle since
 * the first time. */
static void test_protect(void)
{
	struct qr_port_space *space;
	struct qr_aspace *child;
	struct machine machine;

	open_filled(&machine, 64);
	child = fork_from(&machine, &space);
	for (uint64_t round = 1; round <= 3; round++) {
		tap_check_equal(qr_protect(machine.aspace, BASE, 64 * PAGE, QR_PROT_READ), 0);
		tap_check_equal(qr_protect(machine.aspace, BASE, 64 * PAGE, RW), 0);
		/* Present in the first round, idle in the next. */
		for (uint32_t i = 0; i < 64; i += 8)
			tap_check_equal(port_test_write_u64(machine.space, va_of(i) + 8 * round, i), 0);
		check_values(machine.space, 0, round == 2 ? 32 : 0, 0);
	}
	for (uint32_t i = 0; i < 64; i++)
		tap_check_equal(port_test_write_u64(machine.space, va_of(i), 1000 + i), 0);
	check_values(machine.space, 0, 64, 1000);
	check_values(space, 0, 64, 0);
	qr_aspace_destroy(child);
	port_test_space_destroy(space);
	machine_close(&machine);
}

/* Of one idle folio the pages that a child has stay protected when a touch maps those that it has not. */
static void test_mixed_folio(void)
{
	struct qr_port_space *space;
	struct qr_aspace *child;
	struct machine machine;

	open_filled(&machine, 16);
	tap_check_equal(qr_advise(machine.aspace, va_of(8), 8 * PAGE, QR_ADVISE_DONTFORK), 0);
	child = fork_from(&machine, &space);
	tap_check_equal(qr_advise(machine.aspace, va_of(8), 8 * PAGE, QR_ADVISE_DOFORK), 0);
	tap_check_equal(machine.aspace->nr_vmas, 1);
	tap_check(qr_age_active(machine.vmm, NULL, 16) >= 16);
	tap_check_equal(port_test_nr_mapped(machine.space), 0);
	for (uint32_t i = 16; i-- > 0;)
		tap_check_equal(port_test_write_u64(machine.space, va_of(i), 1000 + i), 0);
	check_values(machine.space, 0, 16, 1000);
	check_values(space, 0, 8, 0);
	qr_aspace_destroy(child);
	port_test_space_destroy(space);
	machine_close(&machine);
}

/* A page that several have goes to swap once and comes back to each. */
static void test_swap(void)
{
	struct qr_swap_usage usage;
	struct qr_port_space *spaces[3];
	struct qr_aspace *children[3];
	struct machine machine;

	open_filled(&machine, 64);
	for (uint32_t n = 0; n < 3; n++)
		children[n] = fork_from(&machine, &spaces[n]);
	tap_check_equal(qr_advise(machine.aspace, BASE, 64 * PAGE, QR_ADVISE_PAGEOUT), 0);
	qr_swap_usage(machine.vmm->swap, &usage);
	tap_check_equal(usage.nr_slots, 64);
	for (uint32_t n = 0; n < 3; n++) {
		tap_check_equal(qr_aspace_nr_swapped(children[n]), 64);
		tap_check_equal(qr_aspace_nr_resident(children[n]), 0);
	}
	for (uint32_t i = 0; i < 64; i++)
		tap_check_equal(port_test_write_u64(spaces[1], va_of(i), 2000 + i), 0);
	check_values(spaces[0], 0, 64, 0);
	check_values(spaces[1], 0, 64, 2000);
	check_values(machine.space, 0, 64, 0);
	qr_swap_usage(machine.vmm->swap, &usage);
	tap_check_equal(usage.nr_slots, 64);
	for (uint32_t n = 0; n < 3; n++) {
		qr_aspace_destroy(children[n]);
		port_test_space_destroy(spaces[n]);
	}
	qr_swap_usage(machine.vmm->swap, &usage);
	tap_check_equal(usage.nr_slots, 0);
	machine_close(&machine);
}

/* A page that one of its owners locked is not evicted, and is when it unlocks it; the other's own pages at the same
 * place are none of its business. */
static void test_locked(void)
{
	struct qr_port_space *space;
	struct qr_aspace *child;
	struct machine machine;

	open_filled(&machine, 16);
	child = fork_from(&machine, &space);
	for (uint32_t i = 0; i < 8; i++)
		tap_check_equal(port_test_write_u64(space, va_of(i), 3000 + i), 0);
	tap_check_equal(qr_lock(machine.aspace, BASE, 16 * PAGE), 0);
	qr_lru_drain(&machine.vmm->lru);
	tap_check_equal(qr_advise(child, BASE, 16 * PAGE, QR_ADVISE_PAGEOUT), 0);
	tap_check_equal(qr_aspace_nr_resident(machine.aspace), 16);
	tap_check_equal(qr_aspace_nr_swapped(child), 8);
	/* An unlock by somebody else changes nothing. */
	tap_check_equal(qr_lock(child, BASE, 16 * PAGE), 0);
	tap_check_equal(qr_unlock(child, BASE, 16 * PAGE), 0);
	(void)qr_reclaim(machine.vmm, 64);
	tap_check_equal(qr_aspace_nr_resident(machine.aspace), 16);
	tap_check_equal(qr_unlock(machine.aspace, BASE, 16 * PAGE), 0);
	for (uint32_t round = 0; round < 8; round++)
		(void)qr_reclaim(machine.vmm, 64);
	tap_check_equal(qr_aspace_nr_resident(machine.aspace), 0);
	check_values(machine.space, 0, 16, 0);
	check_values(space, 0, 8, 3000);
	check_values(space, 8, 8, 0);
	qr_aspace_destroy(child);
	port_test_space_destroy(space);
	machine_close(&machine);
}

static const struct tap_test tests[] = {
	{"fork_protect_keeps_shared_pages_protected", test_protect},
	{"fork_folio_shared_in_part_keeps_that_part_protected", test_mixed_folio},
	{"fork_shared_page_is_stored_once", test_swap},
	{"fork_locked_by_one_owner_stays", test_locked},
	{"fork_exclusive_frames_is_refused", test_exclusive},
	{"fork_shares_until_somebody_writes", test_frames},
	{"fork_random_operations_match_model", test_model},
	{"fork_random_operations_on_a_failing_machine_match_model", test_model_chaos},
	{"fork_random_operations_with_baselines_match_model", test_model_baselines},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
