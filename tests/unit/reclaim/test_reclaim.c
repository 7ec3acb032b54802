/*
 * Which pages reclaim takes, on the emulated MMU: a hot set of half of memory beside a stream of ten times memory, with
 * the balanced lists and with one.
 */
#include <stdlib.h>
#include <string.h>

#include "aspace/aspace.h"
#include "fault/fault.h"
#include "port_test.h"
#include "tap.h"
#include "vmm/vmm.h"

#define NR_FRAMES 2048u
#define NR_HOT (NR_FRAMES / 2)
#define NR_STREAM (10 * NR_FRAMES)
#define NR_PAGES (NR_HOT + NR_STREAM)
/* Touches of hot pages for each page of a stream. */
#define HOT_TOUCHES 8u
#define SPACE_START ((uint64_t)1 << 32)
#define SPACE_BYTES ((uint64_t)1 << 30)

struct machine {
	struct qr_port *port;
	struct qr_port_space *space;
	struct qr_vmm *vmm;
	struct qr_aspace *aspace;
	void *metadata;
	uint64_t va;
	bool is_written[NR_PAGES];
};

static int on_fault(void *context, uint64_t va, uint32_t access)
{
	struct machine *machine = context;

	return qr_fault(machine->aspace, va, access == QR_PROT_WRITE ? QR_FAULT_WRITE : 0);
}

static struct machine *machine_create(enum qr_reclaim_choice choice)
{
	uint64_t nr_bytes = QR_ALIGN_UP(qr_vmm_metadata_bytes(NR_FRAMES), QR_PAGE_SIZE);
	struct machine *machine = calloc(1, sizeof(*machine));
	struct qr_vmm_config config = {
		.nr_frames = NR_FRAMES,
		.nr_frames_start = NR_FRAMES,
		.swap = {.codec = QR_CODEC_NONE, .has_file = true},
		.choices = {.reclaim = (uint8_t)choice},
	};

	machine->port = port_test_create(NR_FRAMES);
	port_test_set_swap(machine->port, 4, (uint64_t)256 << 20, false);
	machine->metadata = aligned_alloc(QR_PAGE_SIZE, nr_bytes);
	memset(machine->metadata, 0, nr_bytes);
	config.port = machine->port;
	config.pool_address = qr_port_frame_address(machine->port, (qr_pfn_t){0});
	config.metadata = machine->metadata;
	tap_require(qr_vmm_create(&config, &machine->vmm) == 0);
	machine->space = port_test_space_create(machine->port);
	port_test_set_fault(machine->space, on_fault, machine);
	tap_require(qr_aspace_create(machine->vmm, machine->space, SPACE_START, SPACE_START + SPACE_BYTES,
				     &machine->aspace) == 0);
	tap_require(qr_map(machine->aspace, 0, NR_PAGES * QR_PAGE_SIZE, QR_PT_SPAN, QR_PROT_READ | QR_PROT_WRITE, 0,
			   NULL, 0, &machine->va) == 0);
	return machine;
}

static void machine_destroy(struct machine *machine)
{
	tap_check(qr_aspace_is_valid(machine->aspace));
	tap_check(qr_lru_is_valid(&machine->vmm->lru));
	tap_check(qr_swap_is_valid(machine->vmm->swap));
	qr_aspace_destroy(machine->aspace);
	qr_lru_drain(&machine->vmm->lru);
	tap_check(qr_zone_is_valid(&machine->vmm->zone));
	port_test_space_destroy(machine->space);
	qr_vmm_destroy(machine->vmm);
	port_test_destroy(machine->port);
	free(machine->metadata);
	free(machine);
}

/* Writes the page's number at the first touch and checks it at all others. Returns whether it had to come from swap. */
static bool touch(struct machine *machine, uint32_t page)
{
	uint64_t before = qr_stat_sum(&machine->vmm->stats, QR_STAT_faults_swapin);
	uint64_t va = machine->va + page * QR_PAGE_SIZE, word = page;

	if (!machine->is_written[page]) {
		tap_check_equal(port_test_write(machine->space, va, &word, sizeof(word)), 0);
		machine->is_written[page] = true;
	} else {
		tap_check_equal(port_test_read(machine->space, va, &word, sizeof(word)), 0);
		tap_check_equal(word, page);
	}
	return qr_stat_sum(&machine->vmm->stats, QR_STAT_faults_swapin) != before;
}

/* A stream over pages [first, first + nr) beside random touches of the hot set; returns the refaults of the latter. */
static uint32_t stream(struct machine *machine, uint32_t first, uint32_t nr, uint32_t nr_touches, uint64_t *seed)
{
	uint32_t nr_refaults = 0;

	for (uint32_t i = 0; i < nr && !tap_has_failed(); i++) {
		(void)touch(machine, NR_HOT + (first + i) % NR_STREAM);
		for (uint32_t k = 0; k < nr_touches; k++)
			nr_refaults += touch(machine, tap_random_below(seed, NR_HOT));
	}
	return nr_refaults;
}

/* Refaults of the hot set beside a stream of ten times memory: new pages the first time, from swap the second. */
static void stream_twice(enum qr_reclaim_choice choice, uint32_t nr_touches, uint32_t *nr_fresh, uint32_t *nr_again)
{
	struct machine *machine = machine_create(choice);
	uint64_t seed = tap_seed();

	for (uint32_t page = 0; page < NR_HOT; page++)
		(void)touch(machine, page);
	(void)stream(machine, 0, NR_FRAMES, nr_touches, &seed);
	*nr_fresh = stream(machine, NR_FRAMES, NR_STREAM, nr_touches, &seed);
	*nr_again = stream(machine, NR_FRAMES, NR_STREAM, nr_touches, &seed);
	machine_destroy(machine);
}

/* L5: under 1 % of the touches, and of the hot pages for each time that memory was streamed through. */
static void test_stream_leaves_hot_set(void)
{
	uint32_t nr_fresh, nr_again, nr_fresh_fifo, nr_again_fifo;

	stream_twice(QR_RECLAIM_BALANCED, HOT_TOUCHES, &nr_fresh, &nr_again);
	stream_twice(QR_RECLAIM_FIFO, HOT_TOUCHES, &nr_fresh_fifo, &nr_again_fifo);
	tap_note("%u touches of hot pages: %u and %u refaults; with one list %u and %u", NR_STREAM * HOT_TOUCHES,
		 nr_fresh, nr_again, nr_fresh_fifo, nr_again_fifo);
	tap_check(nr_fresh < NR_STREAM * HOT_TOUCHES / 100);
	tap_check(nr_again < NR_STREAM * HOT_TOUCHES / 100);
}

/* A page of the hot set is touched as seldom as half of memory is replaced: LRU loses a third of them. While the lists
 * learn some are lost; once they know the set nothing of the stream may take its place, however long it lasts. */
static void test_stream_leaves_seldom_touched(void)
{
	uint32_t nr_fresh, nr_again, nr_fresh_fifo, nr_again_fifo;

	stream_twice(QR_RECLAIM_BALANCED, 1, &nr_fresh, &nr_again);
	stream_twice(QR_RECLAIM_FIFO, 1, &nr_fresh_fifo, &nr_again_fifo);
	tap_note("%u touches of hot pages: %u and %u refaults; with one list %u and %u", NR_STREAM, nr_fresh, nr_again,
		 nr_fresh_fifo, nr_again_fifo);
	tap_check(nr_fresh < nr_fresh_fifo / 2);
	tap_check(nr_again < NR_STREAM / 100);
}

static uint64_t nr_in_range(const struct machine *machine, enum qr_stat stat)
{
	return qr_stat_sum(&machine->vmm->stats, stat);
}

/* Pages that are younger than others but advised to be cold are evicted before those; one that is touched stays. */
static void test_cold_goes_first(void)
{
	struct machine *machine = machine_create(QR_RECLAIM_BALANCED);
	uint64_t cold = machine->va + NR_HOT / 2 * QR_PAGE_SIZE, before;

	/* Folios of one page, so that a touch says nothing of others. */
	tap_check_equal(qr_advise(machine->aspace, machine->va, NR_HOT * QR_PAGE_SIZE, QR_ADVISE_NOHUGE), 0);
	for (uint32_t page = 0; page < NR_HOT; page++)
		(void)touch(machine, page);
	tap_check_equal(qr_advise(machine->aspace, cold, NR_HOT / 2 * QR_PAGE_SIZE, QR_ADVISE_COLD), 0);
	tap_check_equal(qr_aspace_nr_resident(machine->aspace), NR_HOT);
	(void)touch(machine, NR_HOT - 1);
	tap_check(qr_reclaim(machine->vmm, NR_HOT / 8) > 0);
	before = nr_in_range(machine, QR_STAT_swapout_pages);
	tap_check(before >= NR_HOT / 8);
	for (uint32_t page = 0; page < NR_HOT / 2; page++)
		tap_check(!touch(machine, page));
	tap_check(!touch(machine, NR_HOT - 1));
	tap_check(nr_in_range(machine, QR_STAT_faults_swapin) == 0);
	for (uint32_t page = NR_HOT / 2; page < NR_HOT; page++)
		(void)touch(machine, page);
	tap_check(nr_in_range(machine, QR_STAT_faults_swapin) > 0);
	machine_destroy(machine);
}

/* One touch brings a whole unit where huge pages were asked for, and a part of one elsewhere. */
static void test_huge_comes_whole(void)
{
	struct machine *machine = machine_create(QR_RECLAIM_BALANCED);
	uint64_t unit = machine->va + QR_PT_SPAN;

	tap_check_equal(qr_advise(machine->aspace, unit, QR_PT_SPAN, QR_ADVISE_HUGE), 0);
	(void)touch(machine, QR_PT_ENTRIES + 5);
	tap_check_equal(qr_aspace_nr_resident(machine->aspace), QR_PT_ENTRIES);
	(void)touch(machine, 5);
	tap_check(qr_aspace_nr_resident(machine->aspace) < QR_PT_ENTRIES + QR_PT_ENTRIES / 2);
	machine_destroy(machine);
}

static const struct tap_test tests[] = {
	{"reclaim_stream_beside_hot_set_leaves_it", test_stream_leaves_hot_set},
	{"reclaim_stream_beside_seldom_touched_set_leaves_it", test_stream_leaves_seldom_touched},
	{"reclaim_cold_advice_goes_first", test_cold_goes_first},
	{"fill_huge_advice_comes_whole", test_huge_comes_whole},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
