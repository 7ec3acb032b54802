/*
 * Clauses of port.h on frames and translation. The last tests compare random runs with a model: what each page
 * should read, which frame it has, and what each unmapped frame holds.
 */
#include <string.h>

#include "contract.h"
#include "sync/atomic.h"

#define RW (QR_PROT_READ | QR_PROT_WRITE)
#define PT_PAGES 512u /* pages of one page-table page: a run stays within */
#define NR_STEPS 1500u

static void open_with_range(uint32_t prot)
{
	if (!contract_open(&machine))
		tap_skip("the port cannot be opened here");
	tap_require(machine.nr_frames >= CONTRACT_MIN_FRAMES);
	if (prot)
		tap_require(!qr_port_range_add(machine.port, machine.space, machine.va_start, CONTRACT_VA_BYTES, prot));
}

static void close_with_range(void)
{
	tap_check_equal(qr_port_range_remove(machine.port, machine.space, machine.va_start, CONTRACT_VA_BYTES), 0);
	contract_close(&machine);
}

static bool is_zero(uint32_t pfn)
{
	const uint64_t *words = contract_slot(pfn);

	for (uint32_t i = 0; i < QR_PAGE_SIZE / sizeof(*words); i++) {
		if (words[i])
			return false;
	}
	return true;
}

static uint64_t page_va(uint32_t page)
{
	return machine.va_start + page * QR_PAGE_SIZE;
}

/* ---- Frames ---- */

static void test_slots_consecutive(void)
{
	uint8_t *base;

	open_with_range(0);
	base = qr_port_frame_address(machine.port, (qr_pfn_t){0});
	tap_check(base && !((uintptr_t)base % QR_PAGE_SIZE));
	for (uint32_t pfn = 0; pfn < machine.nr_frames; pfn++)
		tap_check(qr_port_frame_address(machine.port, (qr_pfn_t){pfn}) == base + pfn * QR_PAGE_SIZE);
	contract_close(&machine);
}

static void test_fresh_frames_zero(void)
{
	open_with_range(0);
	qr_port_frames_zero(machine.port, (qr_pfn_t){3}, 5, true);
	for (uint32_t pfn = 3; pfn < 8; pfn++)
		tap_check(is_zero(pfn));
	contract_close(&machine);
}

static void test_used_frames_zero(void)
{
	open_with_range(0);
	for (uint32_t pfn = 0; pfn < 34; pfn++)
		memset(contract_slot(pfn), 0x5a, QR_PAGE_SIZE);
	qr_port_frames_zero(machine.port, (qr_pfn_t){1}, 32, false);
	for (uint32_t pfn = 1; pfn < 33; pfn++)
		tap_check(is_zero(pfn));
	tap_check_equal(*contract_slot(0), 0x5a5a5a5a5a5a5a5a);
	tap_check_equal(*contract_slot(33), 0x5a5a5a5a5a5a5a5a);
	contract_close(&machine);
}

static void test_released_frames_zero(void)
{
	open_with_range(0);
	for (uint32_t pfn = 0; pfn < 18; pfn++)
		memset(contract_slot(pfn), 0x5a, QR_PAGE_SIZE);
	qr_port_frames_release(machine.port, (qr_pfn_t){1}, 16);
	for (uint32_t pfn = 1; pfn < 17; pfn++)
		tap_check(is_zero(pfn));
	tap_check(!is_zero(0) && !is_zero(17));
	/* Released frames are fresh again, and can be used again. */
	qr_port_frames_release(machine.port, (qr_pfn_t){1}, 16);
	qr_port_frames_zero(machine.port, (qr_pfn_t){1}, 16, true);
	*contract_slot(2) = 1;
	tap_check(is_zero(1) && !is_zero(2));
	contract_close(&machine);
}

/* ---- Translation ---- */

static void test_map_shows_content(void)
{
	uint64_t value = 0;

	open_with_range(RW);
	for (uint32_t i = 0; i < 64; i++)
		*contract_slot(100 + i) = 1000 + i;
	tap_check_equal(contract_map(page_va(3), 100, 64, RW), 0);
	for (uint32_t i = 0; i < 64; i++)
		tap_check(contract_load(page_va(3 + i), &value) && value == 1000 + i);
	tap_check(!contract_load(page_va(2), &value) && !contract_load(page_va(67), &value));
	for (uint32_t i = 0; i < 64; i++)
		tap_check(contract_store(page_va(3 + i) + 2048, i));
	tap_check_equal(contract_unmap(page_va(3), 100, 64, RW), 0);
	for (uint32_t i = 0; i < 64; i++) {
		tap_check_equal(contract_slot(100 + i)[0], 1000 + i);
		tap_check_equal(contract_slot(100 + i)[256], i);
		tap_check(!contract_load(page_va(3 + i), &value));
	}
	close_with_range();
}

static void test_map_whole_table(void)
{
	uint64_t value = 0;

	open_with_range(RW);
	for (uint32_t i = 0; i < PT_PAGES; i++)
		*contract_slot(i) = ~(uint64_t)i;
	tap_check_equal(contract_map(page_va(PT_PAGES), 0, PT_PAGES, RW), 0);
	for (uint32_t i = 0; i < PT_PAGES; i++)
		tap_check(contract_load(page_va(PT_PAGES + i), &value) && value == ~(uint64_t)i);
	tap_check_equal(contract_unmap(page_va(PT_PAGES), 0, PT_PAGES, RW), 0);
	for (uint32_t i = 0; i < PT_PAGES; i++)
		tap_check_equal(*contract_slot(i), ~(uint64_t)i);
	close_with_range();
}

/* Between begin and end the machine may put off what it likes; afterwards all is as with single unmaps. */
static void test_unmap_gathered(void)
{
	uint64_t value = 0;

	open_with_range(RW);
	tap_check_equal(contract_map(page_va(3), 100, 8, RW), 0);
	for (uint32_t i = 0; i < 8; i++)
		tap_check(contract_store(page_va(3 + i), 500 + i));
	qr_port_unmap_begin(machine.port, machine.space);
	for (uint32_t i = 0; i < 8; i += 2)
		tap_check_equal(contract_unmap(page_va(3 + i), 100 + i, 1, RW), 0);
	qr_port_unmap_end(machine.port, machine.space);
	for (uint32_t i = 0; i < 8; i++) {
		tap_check_equal(contract_load(page_va(3 + i), &value), i % 2 == 1);
		tap_check(i % 2 == 1 ? value == 500 + i : *contract_slot(100 + i) == 500 + i);
	}
	qr_port_unmap_begin(machine.port, machine.space);
	qr_port_unmap_end(machine.port, machine.space);
	for (uint32_t i = 1; i < 8; i += 2)
		tap_check_equal(contract_unmap(page_va(3 + i), 100 + i, 1, RW), 0);
	close_with_range();
}

static void test_unmap_middle(void)
{
	uint64_t value = 0;

	open_with_range(RW);
	for (uint32_t i = 0; i < 9; i++)
		*contract_slot(i) = i + 1;
	tap_check_equal(contract_map(page_va(0), 0, 9, RW), 0);
	tap_check_equal(contract_unmap(page_va(3), 3, 3, RW), 0);
	for (uint32_t i = 0; i < 9; i++)
		tap_check_equal(contract_load(page_va(i), &value), i < 3 || i >= 6);
	/* The hole takes other frames. */
	*contract_slot(20) = 77;
	tap_check_equal(contract_map(page_va(4), 20, 1, RW), 0);
	tap_check(contract_load(page_va(4), &value) && value == 77);
	tap_check_equal(contract_unmap(page_va(4), 20, 1, RW), 0);
	tap_check_equal(contract_unmap(page_va(0), 0, 3, RW), 0);
	tap_check_equal(contract_unmap(page_va(6), 6, 3, RW), 0);
	for (uint32_t i = 0; i < 9; i++)
		tap_check_equal(*contract_slot(i), i + 1);
	close_with_range();
}

static void test_map_outside_range(void)
{
	uint64_t value;
	uint32_t nr_done = 9;
	int error = QR_EAGAIN;

	open_with_range(0);
	tap_check(!contract_load(page_va(0), &value));
	tap_require(!qr_port_range_add(machine.port, machine.space, machine.va_start, 4 * QR_PAGE_SIZE, RW));
	for (uint32_t round = 0; round < 1000 && error == QR_EAGAIN; round++)
		error = qr_port_map(machine.port, machine.space, page_va(4), (qr_pfn_t){0}, 1, RW, &nr_done);
	tap_check_equal(error, QR_EFAULT);
	tap_check_equal(nr_done, 0);
	/* A run that leaves the range is mapped up to its end. */
	*contract_slot(0) = 5;
	error = contract_map(page_va(3), 0, 2, RW);
	tap_check_equal(error, QR_EFAULT);
	tap_check(contract_load(page_va(3), &value) && value == 5);
	tap_check_equal(contract_unmap(page_va(3), 0, 1, RW), 0);
	tap_check_equal(qr_port_range_remove(machine.port, machine.space, machine.va_start, 4 * QR_PAGE_SIZE), 0);
	tap_check(!contract_load(page_va(0), &value));
	contract_close(&machine);
}

static void test_protection(void)
{
	uint64_t value = 0;

	open_with_range(QR_PROT_READ);
	*contract_slot(0) = 1;
	*contract_slot(1) = 2;
	tap_check_equal(contract_map(page_va(0), 0, 2, QR_PROT_READ), 0);
	tap_check(contract_load(page_va(0), &value) && value == 1);
	tap_check(!contract_store(page_va(0), 9));
	tap_check_equal(qr_port_range_protect(machine.port, machine.space, page_va(1), QR_PAGE_SIZE, RW), 0);
	tap_check(!contract_store(page_va(0), 9) && contract_store(page_va(1), 9));
	tap_check_equal(qr_port_range_protect(machine.port, machine.space, page_va(1), QR_PAGE_SIZE, 0), 0);
	tap_check(!contract_load(page_va(1), &value) && !contract_store(page_va(1), 10));
	tap_check_equal(qr_port_range_protect(machine.port, machine.space, page_va(1), QR_PAGE_SIZE, QR_PROT_READ), 0);
	tap_check(contract_load(page_va(1), &value) && value == 9);
	tap_check_equal(contract_unmap(page_va(0), 0, 2, QR_PROT_READ), 0);
	tap_check_equal(*contract_slot(0), 1);
	tap_check_equal(*contract_slot(1), 9);
	close_with_range();
}

static void test_shared_frame(void)
{
	uint64_t value = 0;

	open_with_range(RW);
	if (qr_port_is_exclusive(machine.port)) {
		close_with_range();
		tap_skip("a frame has one mapping at most");
	}
	tap_check_equal(contract_map(page_va(0), 7, 1, RW), 0);
	tap_check_equal(contract_map(page_va(9), 7, 1, QR_PROT_READ), 0);
	tap_check(contract_store(page_va(0), 42) && contract_load(page_va(9), &value) && value == 42);
	tap_check(!contract_store(page_va(9), 43));
	tap_check_equal(*contract_slot(7), 42);
	tap_check_equal(contract_unmap(page_va(0), 7, 1, RW), 0);
	tap_check(contract_load(page_va(9), &value) && value == 42);
	tap_check_equal(contract_unmap(page_va(9), 7, 1, QR_PROT_READ), 0);
	close_with_range();
}

/* The rights of single mappings change; the range and the other mappings of the frame stay as they are. */
static void test_protect_run(void)
{
	uint64_t value = 0;
	uint32_t done = 99;

	open_with_range(RW);
	tap_check_equal(contract_map(page_va(0), 3, 2, RW), 0);
	if (qr_port_is_exclusive(machine.port)) {
		tap_check_equal(
			qr_port_protect(machine.port, machine.space, page_va(0), (qr_pfn_t){3}, 2, QR_PROT_READ, &done),
			QR_ENOSYS);
		tap_check_equal(done, 0);
		tap_check_equal(contract_unmap(page_va(0), 3, 2, RW), 0);
		close_with_range();
		return;
	}
	tap_check_equal(contract_map(page_va(9), 3, 1, RW), 0);
	tap_check(contract_store(page_va(0), 1) && contract_store(page_va(1), 2));
	tap_check_equal(qr_port_protect(machine.port, machine.space, page_va(0), (qr_pfn_t){3}, 1, QR_PROT_READ, &done),
			0);
	tap_check_equal(done, 1);
	tap_check(!contract_store(page_va(0), 7) && contract_load(page_va(0), &value) && value == 1);
	tap_check(contract_store(page_va(1), 3) && contract_store(page_va(9), 4));
	tap_check_equal(qr_port_protect(machine.port, machine.space, page_va(0), (qr_pfn_t){3}, 2, RW, &done), 0);
	tap_check_equal(done, 2);
	tap_check(contract_store(page_va(0), 5) && contract_load(page_va(9), &value) && value == 5);
	tap_check_equal(contract_unmap(page_va(0), 3, 2, RW), 0);
	tap_check_equal(contract_unmap(page_va(9), 3, 1, RW), 0);
	close_with_range();
}

static void test_wake_faulters_any_time(void)
{
	open_with_range(RW);
	qr_port_wake_faulters(machine.port, machine.space, page_va(0), 16 * QR_PAGE_SIZE);
	close_with_range();
}

/* ---- Random runs against a model ---- */

static struct {
	uint32_t pfn[2 * PT_PAGES];      /* [page] QR_PFN of what is mapped there, UNMAPPED */
	uint64_t value[CONTRACT_MIN_FRAMES]; /* [frame] its first word */
	bool is_mapped[CONTRACT_MIN_FRAMES];
	uint64_t random;
} model;
#define UNMAPPED UINT32_MAX

/* The longest run from here, up to limit, of pages and frames that are free. */
static uint32_t free_run(uint32_t page, uint32_t pfn, uint32_t limit)
{
	uint32_t nr = 0;

	while (nr < limit && pfn + nr < CONTRACT_MIN_FRAMES && model.pfn[page + nr] == UNMAPPED &&
	       !model.is_mapped[pfn + nr])
		nr++;
	return nr;
}

static uint32_t mapped_run(uint32_t page, uint32_t limit)
{
	uint32_t nr = 0;

	while (nr < limit && model.pfn[page + nr] != UNMAPPED && model.pfn[page + nr] == model.pfn[page] + nr)
		nr++;
	return nr;
}

/* Does one call and records what it says it did, whatever it returns. */
static void model_call(uint32_t page, uint32_t pfn, uint32_t nr, bool is_map)
{
	uint32_t nr_done = UINT32_MAX;
	int error;

	if (is_map)
		error = qr_port_map(machine.port, machine.space, page_va(page), (qr_pfn_t){pfn}, nr, RW, &nr_done);
	else
		error = qr_port_unmap(machine.port, machine.space, page_va(page), (qr_pfn_t){pfn}, nr, RW, &nr_done);
	tap_check(!error || error == QR_EAGAIN || (error == QR_EBUSY && !is_map));
	tap_require(nr_done <= nr && (error || nr_done == nr));
	for (uint32_t i = 0; i < nr_done; i++) {
		model.pfn[page + i] = is_map ? pfn + i : UNMAPPED;
		model.is_mapped[pfn + i] = is_map;
	}
}

static void model_step(void)
{
	uint32_t page = tap_random_below(&model.random, 2 * PT_PAGES);
	uint32_t pfn = tap_random_below(&model.random, CONTRACT_MIN_FRAMES);
	uint32_t wanted = 1 + tap_random_below(&model.random, 40);
	uint32_t limit = QR_MIN(wanted, PT_PAGES - page % PT_PAGES);
	uint64_t value = tap_random(&model.random);

	if (model.pfn[page] == UNMAPPED) {
		uint32_t nr = free_run(page, pfn, limit);

		if (nr)
			model_call(page, pfn, nr, true);
	} else if (tap_random_below(&model.random, 3)) {
		tap_check(contract_store(page_va(page), value));
		model.value[model.pfn[page]] = value;
	} else {
		model_call(page, model.pfn[page], mapped_run(page, limit), false);
	}
}

static void model_compare(void)
{
	for (uint32_t page = 0; page < 2 * PT_PAGES && !tap_has_failed(); page++) {
		uint64_t value = 0;
		bool is_mapped = contract_load(page_va(page), &value);

		tap_check_equal(is_mapped, model.pfn[page] != UNMAPPED);
		if (is_mapped && model.pfn[page] != UNMAPPED)
			tap_check_equal(value, model.value[model.pfn[page]]);
	}
	for (uint32_t pfn = 0; pfn < CONTRACT_MIN_FRAMES && !tap_has_failed(); pfn++) {
		if (!model.is_mapped[pfn])
			tap_check_equal(*contract_slot(pfn), model.value[pfn]);
	}
}

static void test_random_runs(void)
{
	open_with_range(RW);
	model.random = tap_seed();
	memset(model.pfn, 0xff, sizeof(model.pfn));
	memset(model.is_mapped, 0, sizeof(model.is_mapped));
	for (uint32_t pfn = 0; pfn < CONTRACT_MIN_FRAMES; pfn++)
		model.value[pfn] = *contract_slot(pfn) = tap_random(&model.random);
	for (uint32_t step = 0; step < NR_STEPS && !tap_has_failed(); step++) {
		model_step();
		if (step % 100 == 0)
			model_compare();
	}
	model_compare();
	for (uint32_t page = 0; page < 2 * PT_PAGES; page++) {
		if (model.pfn[page] != UNMAPPED)
			tap_check_equal(contract_unmap(page_va(page), model.pfn[page], 1, RW), 0);
	}
	close_with_range();
}

/* ---- Unmap against a writer ---- */

static uint64_t last_written; /* (A) the newest value whose store succeeded */
static uint32_t is_ending;    /* (A) */

static void write_upwards(void *argument)
{
	(void)argument;
	for (uint64_t value = 1; !qr_load_relaxed(&is_ending); value++) {
		if (!contract_store(page_va(1), value))
			return;
		qr_store_release(&last_written, value);
	}
}

static void test_unmap_stops_writer(void)
{
	open_with_range(RW);
	for (uint32_t round = 0; round < 50 && !tap_has_failed(); round++) {
		int writer;
		uint64_t in_slot, acknowledged;

		last_written = 0;
		is_ending = 0;
		*contract_slot(1) = 0;
		tap_check_equal(contract_map(page_va(0), 0, 4, RW), 0);
		writer = qr_port_thread_start(machine.port, "writer", 0, write_upwards, NULL);
		for (uint32_t i = 0; writer >= 0 && i < 1000000 && qr_load_acquire(&last_written) < 20; i++)
			qr_port_cpu_relax(i);
		tap_check_equal(contract_unmap(page_va(0), 0, 4, RW), 0);
		in_slot = *contract_slot(1);
		acknowledged = qr_load_acquire(&last_written);
		qr_store_relaxed(&is_ending, 1);
		if (writer < 0)
			break;
		qr_port_thread_join(machine.port, writer);
		/* Nothing that was written before is lost, nothing is written after. */
		tap_check(in_slot >= acknowledged);
		tap_check_equal(*contract_slot(1), in_slot);
		tap_check(last_written <= in_slot);
	}
	close_with_range();
}

static const struct tap_test tests[] = {
	{"frames_slots_are_consecutive", test_slots_consecutive},
	{"frames_fresh_read_as_zero", test_fresh_frames_zero},
	{"frames_zeroed_read_as_zero", test_used_frames_zero},
	{"frames_released_read_as_zero", test_released_frames_zero},
	{"map_shows_content_unmap_keeps_it", test_map_shows_content},
	{"map_takes_a_whole_table", test_map_whole_table},
	{"unmap_gathered_keeps_content_of_each", test_unmap_gathered},
	{"unmap_middle_leaves_the_rest", test_unmap_middle},
	{"map_outside_of_ranges_is_efault", test_map_outside_range},
	{"protection_holds_and_changes", test_protection},
	{"map_shared_frame_has_two_mappings", test_shared_frame},
	{"protect_run_changes_rights_of_those_mappings_only", test_protect_run},
	{"wake_faulters_without_any_is_harmless", test_wake_faulters_any_time},
	{"translation_random_runs_match_model", test_random_runs},
	{"unmap_stops_a_writer_and_loses_nothing", test_unmap_stops_writer},
};

const struct contract_group contract_memory_group = {tests, QR_ARRAY_SIZE(tests)};
