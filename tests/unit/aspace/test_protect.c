/* What mprotect means for eviction, where frames are exclusive and where they are not. */
#include "aspace/aspace_priv.h"
#include "machine.h"

#define PAGE QR_PAGE_SIZE
#define BASE ((uint64_t)1 << 32)
#define END (BASE + ((uint64_t)1 << 30))
#define RW (QR_PROT_READ | QR_PROT_WRITE)
/* More than one page-table page. */
#define NR_PAGES 700u

static struct machine machine;

static uint64_t open_filled(bool is_exclusive)
{
	uint64_t va;

	machine_open(&machine, 2048, is_exclusive, BASE, END);
	tap_require(qr_map(machine.aspace, 0, NR_PAGES * PAGE, PAGE, RW, 0, NULL, 0, &va) == 0);
	for (uint32_t i = 0; i < NR_PAGES; i++)
		tap_check_equal(port_test_write_u64(machine.space, va + i * PAGE, 1000 + i), 0);
	tap_check_equal(port_test_nr_mapped(machine.space), NR_PAGES);
	return va;
}

static void check_and_close(uint64_t va, uint32_t prot)
{
	tap_check_equal(qr_protect(machine.aspace, va, NR_PAGES * PAGE, prot), 0);
	for (uint32_t i = 0; i < NR_PAGES; i++) {
		uint64_t value = 0;

		tap_check_equal(port_test_read_u64(machine.space, va + i * PAGE, &value), 0);
		tap_check_equal(value, 1000 + i);
		tap_check_equal(port_test_write_u64(machine.space, va + i * PAGE, value),
				prot & QR_PROT_WRITE ? 0 : QR_EACCES);
	}
	tap_check(qr_aspace_is_valid(machine.aspace));
	machine_close(&machine);
}

static void test_read_only_evicted(void)
{
	uint64_t va = open_filled(true);

	tap_check_equal(qr_protect(machine.aspace, va, NR_PAGES * PAGE, QR_PROT_READ), 0);
	tap_check_equal(port_test_nr_mapped(machine.space), NR_PAGES);
	tap_check_equal(qr_advise(machine.aspace, va, NR_PAGES * PAGE, QR_ADVISE_PAGEOUT), 0);
	tap_check_equal(qr_aspace_nr_swapped(machine.aspace), NR_PAGES);
	tap_check_equal(qr_aspace_nr_resident(machine.aspace), 0);
	check_and_close(va, QR_PROT_READ);
}

static void test_hidden_evicted(void)
{
	uint64_t va = open_filled(true), value;
	uint32_t first = 40, nr = 600;

	/* Part of it was read-only before. */
	tap_check_equal(qr_protect(machine.aspace, va + 100 * PAGE, 50 * PAGE, QR_PROT_READ), 0);
	tap_check_equal(qr_protect(machine.aspace, va + first * PAGE, nr * PAGE, 0), 0);
	/* The pages are in memory, and nowhere mapped. */
	tap_check_equal(port_test_nr_mapped(machine.space), NR_PAGES - nr);
	tap_check_equal(qr_aspace_nr_resident(machine.aspace), NR_PAGES);
	tap_check_equal(port_test_read_u64(machine.space, va + first * PAGE, &value), QR_EACCES);
	tap_check_equal(qr_populate(machine.aspace, va, va + NR_PAGES * PAGE, QR_POPULATE_ALL), 0);
	tap_check_equal(port_test_nr_mapped(machine.space), NR_PAGES - nr);
	tap_check_equal(qr_advise(machine.aspace, va, NR_PAGES * PAGE, QR_ADVISE_PAGEOUT), 0);
	tap_check_equal(qr_aspace_nr_swapped(machine.aspace), NR_PAGES);
	check_and_close(va, RW);
}

/* Without exclusive frames reclaim can take pages out of any range, so mprotect leaves them. */
static void test_hidden_shared_stays_mapped(void)
{
	uint64_t va = open_filled(false);

	tap_check_equal(qr_protect(machine.aspace, va, NR_PAGES * PAGE, 0), 0);
	tap_check_equal(port_test_nr_mapped(machine.space), NR_PAGES);
	tap_check_equal(qr_advise(machine.aspace, va, NR_PAGES * PAGE, QR_ADVISE_PAGEOUT), 0);
	tap_check_equal(qr_aspace_nr_swapped(machine.aspace), NR_PAGES);
	check_and_close(va, QR_PROT_READ);
}

static void test_locked_stays_mapped(void)
{
	uint64_t va = open_filled(true);

	tap_check_equal(qr_lock(machine.aspace, va, NR_PAGES * PAGE), 0);
	tap_check_equal(qr_protect(machine.aspace, va, NR_PAGES * PAGE, 0), 0);
	tap_check_equal(port_test_nr_mapped(machine.space), NR_PAGES);
	tap_check_equal(qr_protect(machine.aspace, va, NR_PAGES * PAGE, RW), 0);
	tap_check_equal(qr_unlock(machine.aspace, va, NR_PAGES * PAGE), 0);
	check_and_close(va, RW);
}

/* Partial progress and passing states are worked through; what the machine does not give up stays. */
static void test_hide_busy(void)
{
	uint64_t va = open_filled(true);

	port_test_fail_translation(machine.port, PORT_TEST_UNMAP, 1, 3, QR_EAGAIN);
	tap_check_equal(qr_protect(machine.aspace, va, 8 * PAGE, 0), 0);
	tap_check_equal(port_test_nr_mapped(machine.space), NR_PAGES - 8);
	port_test_fail_translation(machine.port, PORT_TEST_UNMAP, 1, 5, QR_EBUSY);
	tap_check_equal(qr_protect(machine.aspace, va + 16 * PAGE, 8 * PAGE, 0), 0);
	tap_check_equal(port_test_nr_mapped(machine.space), NR_PAGES - 16);
	port_test_fail_translation(machine.port, PORT_TEST_UNMAP, 1, 2, QR_EFAULT);
	tap_check_equal(qr_protect(machine.aspace, va + 32 * PAGE, 8 * PAGE, 0), 0);
	port_test_set_chaos(machine.port, 1, tap_seed());
	tap_check_equal(qr_protect(machine.aspace, va + 200 * PAGE, 16 * PAGE, 0), 0);
	port_test_set_chaos(machine.port, 0, 0);
	tap_check(qr_aspace_is_valid(machine.aspace));
	tap_check_equal(qr_protect(machine.aspace, va, NR_PAGES * PAGE, 0), 0);
	tap_check_equal(qr_advise(machine.aspace, va, NR_PAGES * PAGE, QR_ADVISE_PAGEOUT), 0);
	check_and_close(va, RW);
}

static void test_executable_stays(void)
{
	uint64_t va = open_filled(true);

	tap_check_equal(qr_protect(machine.aspace, va, 64 * PAGE, QR_PROT_READ | QR_PROT_EXEC), 0);
	tap_check_equal(qr_advise(machine.aspace, va, NR_PAGES * PAGE, QR_ADVISE_PAGEOUT), 0);
	tap_check(qr_aspace_nr_resident(machine.aspace) >= 64);
	check_and_close(va, QR_PROT_READ);
}

static const struct tap_test tests[] = {
	{"protect_read_only_pages_are_evicted", test_read_only_evicted},
	{"protect_without_rights_makes_pages_idle_and_evictable", test_hidden_evicted},
	{"protect_without_rights_shared_frames_stay_mapped", test_hidden_shared_stays_mapped},
	{"protect_without_rights_locked_pages_stay_mapped", test_locked_stays_mapped},
	{"protect_without_rights_busy_machine_does_no_harm", test_hide_busy},
	{"protect_executable_pages_stay", test_executable_stays},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
