/* What each operation promises, case by case. */
#include <pthread.h>
#include <string.h>

#include "aspace/aspace_priv.h"
#include "machine.h"

#define PAGE QR_PAGE_SIZE
#define BASE ((uint64_t)1 << 32)
#define END (BASE + ((uint64_t)1 << 30))
#define RW (QR_PROT_READ | QR_PROT_WRITE)

static struct machine machine;

static void open_machine(void)
{
	machine_open(&machine, 1024, true, BASE, END);
}

static void close_machine(void)
{
	tap_check(qr_aspace_is_valid(machine.aspace));
	machine_close(&machine);
}

static uint64_t map(uint64_t va, uint32_t nr_pages, uint32_t prot)
{
	uint64_t out = 0;

	tap_require(qr_map(machine.aspace, va, nr_pages * PAGE, PAGE, prot, va ? QR_MAP_FIXED : 0, NULL, 0, &out) == 0);
	return out;
}

static void write_pages(uint64_t va, uint32_t nr_pages, uint64_t value)
{
	for (uint32_t i = 0; i < nr_pages; i++)
		tap_check_equal(port_test_write_u64(machine.space, va + i * PAGE, value + i), 0);
}

static void check_pages(uint64_t va, uint32_t nr_pages, uint64_t value, uint64_t step)
{
	for (uint32_t i = 0; i < nr_pages; i++) {
		uint64_t read = ~value;

		tap_check_equal(port_test_read_u64(machine.space, va + i * PAGE, &read), 0);
		tap_check_equal(read, value + i * step);
	}
}

static void test_arguments(void)
{
	uint64_t va;

	open_machine();
	tap_check_equal(qr_map(machine.aspace, 0, 0, PAGE, RW, 0, NULL, 0, &va), QR_EINVAL);
	tap_check_equal(qr_map(machine.aspace, 0, PAGE + 1, PAGE, RW, 0, NULL, 0, &va), QR_EINVAL);
	tap_check_equal(qr_map(machine.aspace, BASE + 1, PAGE, PAGE, RW, QR_MAP_FIXED, NULL, 0, &va), QR_EINVAL);
	tap_check_equal(qr_map(machine.aspace, 0, PAGE, 3 * PAGE, RW, 0, NULL, 0, &va), QR_EINVAL);
	tap_check_equal(qr_map(machine.aspace, 0, PAGE, 16, RW, 0, NULL, 0, &va), QR_EINVAL);
	tap_check_equal(qr_map(machine.aspace, 0, PAGE, PAGE, 8, 0, NULL, 0, &va), QR_EINVAL);
	tap_check_equal(qr_map(machine.aspace, 0, PAGE, PAGE, RW, 0x100, NULL, 0, &va), QR_EINVAL);
	tap_check_equal(qr_map(machine.aspace, BASE - PAGE, 2 * PAGE, PAGE, RW, QR_MAP_FIXED, NULL, 0, &va), QR_EINVAL);
	tap_check_equal(qr_map(machine.aspace, END - PAGE, 2 * PAGE, PAGE, RW, QR_MAP_FIXED, NULL, 0, &va), QR_EINVAL);
	tap_check_equal(qr_map(machine.aspace, 0, END, PAGE, RW, 0, NULL, 0, &va), QR_ENOMEM);
	tap_check_equal(qr_unmap(machine.aspace, BASE, 0), QR_EINVAL);
	tap_check_equal(qr_unmap(machine.aspace, BASE + 8, PAGE), QR_EINVAL);
	tap_check_equal(qr_unmap(machine.aspace, BASE, 0 - BASE), QR_EINVAL);
	tap_check_equal(qr_unmap(machine.aspace, BASE, PAGE), 0);
	tap_check_equal(qr_protect(machine.aspace, BASE, PAGE, 8), QR_EINVAL);
	tap_check_equal(qr_protect(machine.aspace, BASE, PAGE, RW), QR_ENOMEM);
	tap_check_equal(qr_advise(machine.aspace, BASE, PAGE, (enum qr_advice)99), QR_EINVAL);
	tap_check_equal(qr_remap(machine.aspace, BASE, PAGE, PAGE, QR_REMAP_FIXED, BASE, &va), QR_EINVAL);
	tap_check_equal(qr_remap(machine.aspace, BASE, PAGE, PAGE, 0, 0, &va), QR_EFAULT);
	close_machine();
}

static void test_merge(void)
{
	uint64_t va;

	open_machine();
	va = map(0, 16, RW);
	for (uint32_t i = 1; i < 32; i++)
		tap_check_equal(map(0, 16, RW), va + i * 16 * PAGE);
	tap_check_equal(machine.aspace->nr_vmas, 1);
	tap_check_equal(machine.aspace->mapped_bytes, 512 * PAGE);
	/* Another protection parts it in three, the old one joins them again. */
	write_pages(va, 512, 1);
	tap_check_equal(qr_protect(machine.aspace, va + 100 * PAGE, 50 * PAGE, QR_PROT_READ), 0);
	tap_check_equal(machine.aspace->nr_vmas, 3);
	tap_check_equal(port_test_write_u64(machine.space, va + 120 * PAGE, 1), QR_EACCES);
	check_pages(va, 512, 1, 1);
	tap_check_equal(qr_protect(machine.aspace, va + 100 * PAGE, 50 * PAGE, RW), 0);
	tap_check_equal(machine.aspace->nr_vmas, 1);
	write_pages(va, 512, 7);
	/* So does advice. */
	tap_check_equal(qr_advise(machine.aspace, va + PAGE, PAGE, QR_ADVISE_RANDOM), 0);
	tap_check_equal(machine.aspace->nr_vmas, 3);
	tap_check_equal(qr_advise(machine.aspace, va, 512 * PAGE, QR_ADVISE_NORMAL), 0);
	tap_check_equal(machine.aspace->nr_vmas, 1);
	check_pages(va, 512, 7, 1);
	/* A hole parts it; new memory in the hole is not the old. */
	tap_check_equal(qr_unmap(machine.aspace, va + 10 * PAGE, 10 * PAGE), 0);
	tap_check_equal(machine.aspace->nr_vmas, 2);
	map(va + 10 * PAGE, 10, RW);
	check_pages(va + 10 * PAGE, 10, 0, 0);
	check_pages(va + 20 * PAGE, 100, 27, 1);
	close_machine();
}

static void test_grow_down(void)
{
	uint64_t va = BASE + 64 * PAGE;

	open_machine();
	map(va, 32, RW);
	tap_check_equal(qr_unmap(machine.aspace, va, 16 * PAGE), 0);
	write_pages(va + 16 * PAGE, 16, 5);
	/* Index 16 leaves room below for 16 pages, not for more. */
	map(va, 16, RW);
	tap_check_equal(machine.aspace->nr_vmas, 1);
	map(va - PAGE, 1, RW);
	tap_check_equal(machine.aspace->nr_vmas, 2);
	check_pages(va - PAGE, 17, 0, 0);
	check_pages(va + 16 * PAGE, 16, 5, 1);
	close_machine();
}

static void test_tables(void)
{
	uint64_t va;

	open_machine();
	va = map(BASE + PAGE, 4 * 512, RW);
	for (uint32_t i = 0; i < 4; i++)
		write_pages(va + i * QR_PT_SPAN, 1, i);
	/* Root, one table of each upper level, four at the bottom. */
	tap_check_equal(machine.aspace->pgtable.nr_tables, 3 + 4);
	tap_check_equal(qr_unmap(machine.aspace, va, QR_PT_SPAN), 0);
	tap_check_equal(machine.aspace->pgtable.nr_tables, 3 + 3);
	tap_check_equal(qr_unmap(machine.aspace, va + QR_PT_SPAN, 3 * QR_PT_SPAN - PAGE), 0);
	tap_check_equal(qr_unmap(machine.aspace, va + 4 * QR_PT_SPAN - PAGE, PAGE), 0);
	tap_check_equal(machine.aspace->pgtable.nr_tables, 1);
	close_machine();
}

static void test_remap_moves(void)
{
	struct port_test_counts before, after;
	uint64_t va, guard, moved = 0;

	open_machine();
	va = map(BASE + 3 * PAGE, 600, RW);
	guard = map(va + 600 * PAGE, 1, QR_PROT_READ);
	write_pages(va, 600, 1000);
	tap_check_equal(qr_advise(machine.aspace, va, 100 * PAGE, QR_ADVISE_PAGEOUT), 0);
	tap_check(qr_aspace_nr_swapped(machine.aspace) >= 100);
	tap_check_equal(qr_remap(machine.aspace, va, 600 * PAGE, 700 * PAGE, 0, 0, &moved), QR_ENOMEM);
	before = port_test_counts(machine.port);
	tap_check_equal(qr_remap(machine.aspace, va, 600 * PAGE, 700 * PAGE, QR_REMAP_MAYMOVE, 0, &moved), 0);
	after = port_test_counts(machine.port);
	tap_check(moved != va && moved > guard);
	tap_check_equal((moved - va) % QR_PT_SPAN, 0);
	tap_check_equal(after.nr_map_calls, before.nr_map_calls);
	tap_check_equal(after.nr_zeroed, before.nr_zeroed);
	tap_check_equal(port_test_read_u64(machine.space, va, &va), QR_EFAULT);
	check_pages(moved, 600, 1000, 1);
	check_pages(moved + 600 * PAGE, 100, 0, 0);
	/* To where it shares no alignment: folios lie across page-table pages, and can still be evicted. */
	va = END - 1000 * PAGE - 5 * PAGE;
	tap_check_equal(
		qr_remap(machine.aspace, moved, 700 * PAGE, 650 * PAGE, QR_REMAP_MAYMOVE | QR_REMAP_FIXED, va, &moved),
		0);
	tap_check_equal(moved, va);
	check_pages(va, 600, 1000, 1);
	tap_check_equal(qr_advise(machine.aspace, va, 650 * PAGE, QR_ADVISE_PAGEOUT), 0);
	tap_check(qr_aspace_nr_resident(machine.aspace) < 32);
	check_pages(va, 600, 1000, 1);
	/* In place, both ways. */
	tap_check_equal(qr_remap(machine.aspace, va, 650 * PAGE, 10 * PAGE, 0, 0, &moved), 0);
	tap_check_equal(qr_remap(machine.aspace, va, 10 * PAGE, 20 * PAGE, 0, 0, &moved), 0);
	tap_check_equal(moved, va);
	check_pages(va, 10, 1000, 1);
	check_pages(va + 10 * PAGE, 10, 0, 0);
	tap_check_equal(machine.aspace->nr_vmas, 2);
	close_machine();
}

static void test_busy(void)
{
	uint64_t va;

	open_machine();
	va = map(0, 64, RW);
	write_pages(va, 64, 1);
	/* Partial progress and passing states are worked through. */
	port_test_fail_translation(machine.port, PORT_TEST_UNMAP, 1, 3, QR_EAGAIN);
	tap_check_equal(qr_advise(machine.aspace, va, 8 * PAGE, QR_ADVISE_DONTNEED), 0);
	check_pages(va, 8, 0, 0);
	port_test_fail_translation(machine.port, PORT_TEST_UNMAP, 1, 5, 0);
	tap_check_equal(qr_advise(machine.aspace, va, 16 * PAGE, QR_ADVISE_DONTNEED), 0);
	port_test_fail_translation(machine.port, PORT_TEST_UNMAP, 1, 5, QR_EBUSY);
	tap_check_equal(qr_unmap(machine.aspace, va + 32 * PAGE, 16 * PAGE), 0);
	check_pages(va, 16, 0, 0);
	check_pages(va + 16 * PAGE, 16, 17, 1);
	check_pages(va + 48 * PAGE, 16, 49, 1);
	close_machine();
}

/* The machine stays busy with every page: advice ends with an error, and without harm. */
static void test_always_busy(void)
{
	uint64_t va;

	open_machine();
	va = map(0, 4, RW);
	write_pages(va, 4, 1);
	port_test_set_chaos(machine.port, 1, 1);
	for (int err = 0; err != QR_EBUSY;)
		err = qr_advise(machine.aspace, va, PAGE, QR_ADVISE_DONTNEED);
	port_test_set_chaos(machine.port, 0, 0);
	tap_check(qr_aspace_is_valid(machine.aspace));
	tap_check_equal(qr_advise(machine.aspace, va, 4 * PAGE, QR_ADVISE_DONTNEED), 0);
	check_pages(va, 4, 0, 0);
	close_machine();
}

static void test_lock_limit(void)
{
	uint64_t va;

	open_machine();
	va = map(0, 1024, RW);
	tap_check_equal(qr_lock(machine.aspace, va, 513 * PAGE), QR_ENOMEM);
	tap_check_equal(machine.aspace->nr_locked, 0);
	tap_check_equal(qr_lock(machine.aspace, va, 300 * PAGE), 0);
	tap_check_equal(qr_lock(machine.aspace, va + 200 * PAGE, 200 * PAGE), 0);
	tap_check_equal(machine.aspace->nr_locked, 400);
	tap_check_equal(qr_lock(machine.aspace, va + 400 * PAGE, 113 * PAGE), QR_ENOMEM);
	tap_check_equal(qr_advise(machine.aspace, va, PAGE, QR_ADVISE_DONTNEED), QR_EINVAL);
	tap_check_equal(qr_advise(machine.aspace, va, PAGE, QR_ADVISE_PAGEOUT), QR_EINVAL);
	tap_check(qr_aspace_nr_resident(machine.aspace) >= 400);
	tap_check_equal(qr_unmap(machine.aspace, va + 100 * PAGE, 100 * PAGE), 0);
	tap_check_equal(machine.aspace->nr_locked, 300);
	tap_check_equal(qr_lock(machine.aspace, va + 1000 * PAGE, 30 * PAGE), QR_ENOMEM); /* a hole at its end */
	tap_check_equal(machine.aspace->nr_locked, 324);
	tap_check_equal(qr_unlock(machine.aspace, va + 200 * PAGE, 824 * PAGE), 0);
	tap_check_equal(machine.aspace->nr_locked, 100);
	tap_check_equal(qr_map(machine.aspace, 0, 500 * PAGE, PAGE, RW, QR_MAP_LOCKED, NULL, 0, &va), QR_ENOMEM);
	tap_check_equal(qr_map(machine.aspace, 0, 50 * PAGE, PAGE, RW, QR_MAP_LOCKED, NULL, 0, &va), 0);
	tap_check_equal(machine.aspace->nr_locked, 150);
	tap_check_equal(qr_remap(machine.aspace, va, 50 * PAGE, 60 * PAGE, QR_REMAP_MAYMOVE, 0, &va), 0);
	tap_check_equal(machine.aspace->nr_locked, 160);
	for (uint32_t i = 0; i < 60; i++) {
		uint8_t is_resident = 0;

		tap_check_equal(qr_mincore(machine.aspace, va + i * PAGE, PAGE, &is_resident), 0);
		tap_check_equal(is_resident, 1);
	}
	close_machine();
}

/* The program unmapped, or dropped, pages by a call that the manager learns of only afterwards. */
static void test_forget(void)
{
	uint64_t va;

	open_machine();
	va = map(0, 64, RW);
	write_pages(va, 64, 1);
	for (uint32_t pass = 0; pass < 2; pass++) {
		for (uint32_t i = 8; i < 40; i++) {
			struct qr_frame *page = qr_pgtable_find(&machine.aspace->pgtable, va + i * PAGE);
			qr_pte_t pte = page ? qr_pte_read(qr_pt_entry(&machine.aspace->pgtable, page, va + i * PAGE))
					    : qr_pte_none();
			uint32_t nr_done;

			if (qr_pte_is_present(pte))
				tap_check_equal(qr_port_unmap(machine.port, machine.space, va + i * PAGE,
							      qr_pte_pfn(pte), 1, RW, &nr_done),
						0);
		}
		if (pass == 1)
			tap_check_equal(qr_port_range_remove(machine.port, machine.space, va + 8 * PAGE, 32 * PAGE), 0);
		tap_check_equal(qr_forget(machine.aspace, va + 8 * PAGE, 32 * PAGE, pass == 1), 0);
		tap_check(qr_aspace_is_valid(machine.aspace));
		if (pass == 0)
			check_pages(va + 8 * PAGE, 32, 0, 0);
	}
	tap_check_equal(machine.aspace->nr_vmas, 2);
	check_pages(va, 8, 1, 1);
	check_pages(va + 40 * PAGE, 24, 41, 1);
	close_machine();
}

static void test_read_only(void)
{
	uint64_t va, moved;

	open_machine();
	va = map(0, 64, RW);
	write_pages(va, 64, 1);
	tap_check_equal(qr_protect(machine.aspace, va, 64 * PAGE, QR_PROT_READ), 0);
	tap_check_equal(qr_advise(machine.aspace, va, 8 * PAGE, QR_ADVISE_DONTNEED), 0);
	tap_check_equal(port_test_write_u64(machine.space, va + 32 * PAGE, 1), QR_EACCES);
	tap_check_equal(port_test_write_u64(machine.space, va, 1), QR_EACCES);
	check_pages(va, 8, 0, 0);
	check_pages(va + 8 * PAGE, 56, 9, 1);
	tap_check_equal(qr_remap(machine.aspace, va, 64 * PAGE, 64 * PAGE, QR_REMAP_MAYMOVE | QR_REMAP_FIXED,
				 BASE + QR_PT_SPAN * 9, &moved),
			0);
	check_pages(moved + 8 * PAGE, 56, 9, 1);
	tap_check_equal(port_test_write_u64(machine.space, moved, 1), QR_EACCES);
	tap_check_equal(qr_protect(machine.aspace, moved, 64 * PAGE, 0), 0);
	tap_check_equal(port_test_read_u64(machine.space, moved, &va), QR_EACCES);
	tap_check_equal(qr_protect(machine.aspace, moved, 64 * PAGE, RW), 0);
	check_pages(moved + 8 * PAGE, 56, 9, 1);
	close_machine();
}

/* Whoever looks for a VMA that is replaced, split, merged or grown finds the old one or the new one. */
static uint32_t is_over; /* atomic */

static void *look(void *argument)
{
	uint64_t va = *(uint64_t *)argument;

	while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED)) {
		struct qr_vma *vma = qr_aspace_find_locked(machine.aspace, va);

		if (!tap_check(vma && vma->start <= va && va < vma->end && !(vma->flags & QR_VMA_GONE)))
			break;
		qr_vma_unlock(vma);
	}
	return NULL;
}

static void test_lookup_while_replacing(void)
{
	uint64_t va = BASE + 8 * PAGE, moved;
	pthread_t threads[2];

	open_machine();
	port_test_set_yield(4);
	is_over = 0;
	map(BASE, 16, RW);
	for (uint32_t i = 0; i < 2; i++)
		tap_require(pthread_create(&threads[i], NULL, look, &va) == 0);
	for (uint32_t i = 0; i < 400; i++) {
		map(va - (i % 3) * PAGE, 1 + i % 4, i % 2 ? RW : QR_PROT_READ);
		tap_check_equal(qr_protect(machine.aspace, BASE, 9 * PAGE, i % 5 ? RW : QR_PROT_READ), 0);
		tap_check_equal(qr_unmap(machine.aspace, va + PAGE, PAGE), 0);
		tap_check_equal(qr_remap(machine.aspace, va, PAGE, 2 * PAGE, 0, 0, &moved), 0);
	}
	__atomic_store_n(&is_over, 1, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	port_test_set_yield(0);
	close_machine();
}

static void test_populate(void)
{
	uint64_t va;

	open_machine();
	va = map(0, 200, RW);
	tap_check_equal(qr_advise(machine.aspace, va, 200 * PAGE, QR_ADVISE_WILLNEED), 0);
	tap_check_equal(qr_aspace_nr_resident(machine.aspace), 0);
	tap_check_equal(qr_advise(machine.aspace, va, 200 * PAGE, QR_ADVISE_POPULATE), 0);
	tap_check_equal(qr_aspace_nr_resident(machine.aspace), 200);
	tap_check_equal(port_test_nr_mapped(machine.space), 200);
	write_pages(va, 200, 1);
	tap_check_equal(qr_advise(machine.aspace, va, 200 * PAGE, QR_ADVISE_PAGEOUT), 0);
	tap_check_equal(qr_aspace_nr_swapped(machine.aspace), 200);
	tap_check_equal(qr_advise(machine.aspace, va, 200 * PAGE, QR_ADVISE_WILLNEED), 0);
	tap_check_equal(qr_aspace_nr_swapped(machine.aspace), 0);
	check_pages(va, 200, 1, 1);
	close_machine();
}

static const struct tap_test tests[] = {
	{"aspace_bad_arguments_are_refused", test_arguments},
	{"map_neighbours_merge", test_merge},
	{"map_grows_down_while_index_allows", test_grow_down},
	{"unmap_frees_empty_tables", test_tables},
	{"remap_moves_without_copying", test_remap_moves},
	{"zap_partial_progress_is_resumed", test_busy},
	{"zap_busy_machine_ends_advice", test_always_busy},
	{"mlock_keeps_to_its_share", test_lock_limit},
	{"forget_changes_the_record_only", test_forget},
	{"read_only_ranges_are_zapped_and_moved", test_read_only},
	{"lookup_sees_replacements_whole", test_lookup_while_replacing},
	{"populate_brings_pages_in", test_populate},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
