/*
 * The whole of core at work: a program whose data is four times its memory, on the emulated MMU. Every page carries a
 * pattern that tells its number and how often it was written; a model remembers what each must hold.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "aspace/aspace.h"
#include "fault/fault.h"
#include "port_test.h"
#include "tap.h"
#include "vmm/vmm.h"

#define NR_FRAMES 2048u
#define NR_PAGES 6144u
#define SPACE_START ((uint64_t)1 << 32)
#define SPACE_BYTES ((uint64_t)1 << 30)
#define NR_THREADS 4u

struct machine {
	struct qr_port *port;
	struct qr_port_space *space;
	struct qr_vmm *vmm;
	struct qr_aspace *aspace;
	void *metadata;
	uint64_t va;
	uint64_t model[NR_PAGES]; /* times written, 0: never */
};

struct machine_options {
	bool is_shared;
	bool has_file;
	enum qr_codec codec;
	uint32_t chaos;
	bool has_kswapd;
};

static int on_fault(void *context, uint64_t va, uint32_t access)
{
	struct machine *machine = context;

	return qr_fault(machine->aspace, va, access == QR_PROT_WRITE ? QR_FAULT_WRITE : 0);
}

static struct machine *machine_create(const struct machine_options *options)
{
	struct machine *machine = calloc(1, sizeof(*machine));
	struct qr_vmm_config config = {
		.nr_frames = NR_FRAMES,
		.nr_frames_start = NR_FRAMES,
		.swap = {.codec = options->codec, .has_file = options->has_file, .pool_max_percent = 40},
	};

	machine->port = port_test_create(NR_FRAMES);
	port_test_set_exclusive(machine->port, !options->is_shared);
	port_test_set_swap(machine->port, options->has_file ? 4 : 0, (uint64_t)64 << 20, true);
	if (options->chaos)
		port_test_set_chaos(machine->port, options->chaos, tap_seed());
	machine->metadata = aligned_alloc(QR_PAGE_SIZE, QR_ALIGN_UP(qr_vmm_metadata_bytes(NR_FRAMES), QR_PAGE_SIZE));
	memset(machine->metadata, 0, qr_vmm_metadata_bytes(NR_FRAMES));
	config.port = machine->port;
	config.pool_address = qr_port_frame_address(machine->port, (qr_pfn_t){0});
	config.metadata = machine->metadata;
	tap_require(qr_vmm_create(&config, &machine->vmm) == 0);
	machine->space = port_test_space_create(machine->port);
	port_test_set_fault(machine->space, on_fault, machine);
	tap_require(qr_aspace_create(machine->vmm, machine->space, SPACE_START, SPACE_START + SPACE_BYTES,
				     &machine->aspace) == 0);
	if (options->has_kswapd)
		tap_require(qr_kswapd_start(machine->vmm) == 0);
	tap_require(qr_map(machine->aspace, 0, NR_PAGES * QR_PAGE_SIZE, QR_PT_SPAN, QR_PROT_READ | QR_PROT_WRITE, 0,
			   NULL, 0, &machine->va) == 0);
	return machine;
}

static void machine_destroy(struct machine *machine)
{
	qr_kswapd_stop(machine->vmm);
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

/* Word i of a page that was written count times. One page in eight holds one repeated word, one does not compress. */
static uint64_t pattern(uint32_t page, uint64_t count, uint32_t i)
{
	uint64_t state = (uint64_t)page << 32 | count;

	if (page % 8 == 0)
		return state;
	if (page % 8 == 1)
		state += (uint64_t)i << 48;
	else if (i % 512 >= 256)
		return state;
	else
		state ^= (uint64_t)i << 52;
	return tap_random(&state);
}

static void page_write(struct machine *machine, uint32_t page)
{
	uint64_t words[QR_PAGE_SIZE / 8];

	machine->model[page]++;
	for (uint32_t i = 0; i < QR_ARRAY_SIZE(words); i++)
		words[i] = pattern(page, machine->model[page], i);
	tap_check_equal(port_test_write(machine->space, machine->va + page * QR_PAGE_SIZE, words, sizeof(words)), 0);
}

static void page_check(struct machine *machine, uint32_t page)
{
	uint64_t words[QR_PAGE_SIZE / 8];
	uint64_t count = machine->model[page];

	tap_check_equal(port_test_read(machine->space, machine->va + page * QR_PAGE_SIZE, words, sizeof(words)), 0);
	for (uint32_t i = 0; i < QR_ARRAY_SIZE(words); i++) {
		if (words[i] == (count ? pattern(page, count, i) : 0))
			continue;
		tap_note("page %u word %u is %#llx after %llu writes", page, i, (unsigned long long)words[i],
			 (unsigned long long)count);
		tap_check(false);
		return;
	}
}

/* Random reads and writes on pages [first, first + nr), with sequential stretches and advice. */
static void work(struct machine *machine, uint64_t seed, uint32_t first, uint32_t nr, uint32_t nr_steps)
{
	uint64_t state = seed;

	for (uint32_t step = 0; step < nr_steps && !tap_has_failed(); step++) {
		uint32_t page = first + tap_random_below(&state, nr);
		uint32_t run = tap_random_below(&state, 16) ? 1 : tap_random_below(&state, 200) + 1;
		bool is_write = tap_random_below(&state, 2);

		for (; run-- && page < first + nr; page++) {
			if (is_write)
				page_write(machine, page);
			else
				page_check(machine, page);
		}
		page = first + tap_random_below(&state, nr);
		if (!tap_random_below(&state, 64)) {
			tap_check_equal(qr_advise(machine->aspace, machine->va + page * QR_PAGE_SIZE, QR_PAGE_SIZE,
						  QR_ADVISE_DONTNEED),
					0);
			machine->model[page] = 0;
		} else if (!tap_random_below(&state, 64)) {
			int err = qr_advise(machine->aspace, machine->va + page * QR_PAGE_SIZE, QR_PAGE_SIZE,
					    QR_ADVISE_PAGEOUT);
			tap_check_equal(err, 0);
		}
	}
}

static void run_single(const struct machine_options *options)
{
	struct machine *machine = machine_create(options);
	struct port_test_counts counts;

	work(machine, tap_seed(), 0, NR_PAGES, 6000);
	for (uint32_t page = 0; page < NR_PAGES && !tap_has_failed(); page++)
		page_check(machine, page);
	counts = port_test_counts(machine->port);
	tap_check(qr_stat_sum(&machine->vmm->stats, QR_STAT_faults_swapin) > 100);
	tap_note("%llu faults, %llu pages in, %llu out, %llu folios scanned", (unsigned long long)counts.nr_faults,
		 (unsigned long long)qr_stat_sum(&machine->vmm->stats, QR_STAT_swapin_pages),
		 (unsigned long long)qr_stat_sum(&machine->vmm->stats, QR_STAT_swapout_pages),
		 (unsigned long long)qr_stat_sum(&machine->vmm->stats, QR_STAT_scanned_folios));
	machine_destroy(machine);
}

static void test_exclusive(void)
{
	run_single(&(struct machine_options){.has_file = true, .codec = QR_CODEC_LZ4});
}

static void test_shared(void)
{
	run_single(&(struct machine_options){.is_shared = true, .has_file = true, .codec = QR_CODEC_ZSTD});
}

static void test_file_only(void)
{
	run_single(&(struct machine_options){.has_file = true, .codec = QR_CODEC_NONE});
}

static void test_chaos(void)
{
	run_single(&(struct machine_options){.has_file = true, .codec = QR_CODEC_LZ4, .chaos = 7});
}

struct worker {
	pthread_t thread;
	struct machine *machine;
	uint32_t number;
};

/* Threads share page-table pages and folio windows but no page, so that the model needs no lock. */
static void *worker_main(void *argument)
{
	struct worker *worker = argument;
	uint32_t nr = NR_PAGES / NR_THREADS;

	work(worker->machine, tap_seed() + worker->number, worker->number * nr, nr, 1500);
	return NULL;
}

static void run_threads(const struct machine_options *options)
{
	struct machine *machine = machine_create(options);
	struct worker workers[NR_THREADS];

	for (uint32_t i = 0; i < NR_THREADS; i++) {
		workers[i] = (struct worker){.machine = machine, .number = i};
		tap_require(!pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]));
	}
	for (uint32_t i = 0; i < NR_THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	for (uint32_t page = 0; page < NR_PAGES && !tap_has_failed(); page++)
		page_check(machine, page);
	machine_destroy(machine);
}

static void test_threads(void)
{
	run_threads(&(struct machine_options){.has_file = true, .codec = QR_CODEC_LZ4, .has_kswapd = true});
}

static void test_threads_chaos(void)
{
	run_threads(
		&(struct machine_options){.has_file = true, .codec = QR_CODEC_LZ4, .has_kswapd = true, .chaos = 13});
}

static void test_segv(void)
{
	struct machine *machine = machine_create(&(struct machine_options){.codec = QR_CODEC_LZ4});

	tap_check_equal(qr_fault(machine->aspace, SPACE_START + SPACE_BYTES - QR_PAGE_SIZE, 0), QR_EFAULT);
	tap_check_equal(qr_protect(machine->aspace, machine->va, QR_PAGE_SIZE, QR_PROT_READ), 0);
	tap_check_equal(qr_fault(machine->aspace, machine->va, QR_FAULT_WRITE), QR_EACCES);
	tap_check_equal(qr_fault(machine->aspace, machine->va, 0), 0);
	tap_check_equal(qr_protect(machine->aspace, machine->va, QR_PAGE_SIZE, 0), 0);
	tap_check_equal(qr_fault(machine->aspace, machine->va, 0), QR_EACCES);
	machine_destroy(machine);
}

static void test_sequential_grows_window(void)
{
	struct machine *machine = machine_create(&(struct machine_options){.has_file = true, .codec = QR_CODEC_LZ4});
	uint64_t before, random;
	uint64_t state = tap_seed();

	for (uint32_t page = 0; page < NR_PAGES; page++)
		page_write(machine, page);
	before = qr_stat_sum(&machine->vmm->stats, QR_STAT_faults);
	for (uint32_t page = 0; page < NR_PAGES; page++)
		page_check(machine, page);
	before = qr_stat_sum(&machine->vmm->stats, QR_STAT_faults) - before;
	tap_check(before < NR_PAGES / 8);
	random = qr_stat_sum(&machine->vmm->stats, QR_STAT_swapin_pages);
	for (uint32_t i = 0; i < 1000; i++)
		page_check(machine, tap_random_below(&state, NR_PAGES));
	random = qr_stat_sum(&machine->vmm->stats, QR_STAT_swapin_pages) - random;
	tap_note("%llu faults for %u pages in order; %llu pages brought in for 1000 at random",
		 (unsigned long long)before, NR_PAGES, (unsigned long long)random);
	tap_check(random < 1300);
	machine_destroy(machine);
}

/* Touches aligned blocks of 16 pages in random order, nr_touched pages of each, not in order; returns the faults on
 * pages in swap per 100 pages touched. */
static uint64_t swapins_of_blocks(struct machine *machine, uint64_t *state, uint32_t nr_blocks, uint32_t nr_touched)
{
	uint64_t before = qr_stat_sum(&machine->vmm->stats, QR_STAT_faults_swapin);

	for (uint32_t i = 0; i < nr_blocks; i++) {
		uint32_t block = tap_random_below(state, NR_PAGES / 16) * 16;

		for (uint32_t j = 0; j < nr_touched; j++)
			page_check(machine, block + (j * 7 + 3) % 16);
	}
	before = qr_stat_sum(&machine->vmm->stats, QR_STAT_faults_swapin) - before;
	return before * 100 / (nr_blocks * nr_touched);
}

static void test_neighbours(void)
{
	struct machine *machine = machine_create(&(struct machine_options){.has_file = true, .codec = QR_CODEC_LZ4});
	uint64_t state = tap_seed();
	uint64_t local, lone, pages;

	for (uint32_t page = 0; page < NR_PAGES; page++)
		page_write(machine, page);
	(void)swapins_of_blocks(machine, &state, 600, 16);
	local = swapins_of_blocks(machine, &state, 200, 16);
	(void)swapins_of_blocks(machine, &state, 6000, 1);
	pages = qr_stat_sum(&machine->vmm->stats, QR_STAT_swapin_pages);
	lone = swapins_of_blocks(machine, &state, 1000, 1);
	pages = qr_stat_sum(&machine->vmm->stats, QR_STAT_swapin_pages) - pages;
	tap_note("swap-ins for 100 pages touched: %llu in whole blocks, %llu one by one, which brought %llu pages of "
		 "1000",
		 (unsigned long long)local, (unsigned long long)lone, (unsigned long long)pages);
	tap_check(local < 25);
	tap_check(pages < 1300);
	tap_check(qr_stat_sum(&machine->vmm->stats, QR_STAT_probe_hits) > 0);
	tap_check(qr_stat_sum(&machine->vmm->stats, QR_STAT_probe_hits) <=
		  qr_stat_sum(&machine->vmm->stats, QR_STAT_probes));
	machine_destroy(machine);
}

static const struct tap_test tests[] = {
	{"fault_exclusive_port_keeps_every_byte", test_exclusive},
	{"fault_shared_port_keeps_every_byte", test_shared},
	{"fault_file_only_keeps_every_byte", test_file_only},
	{"fault_port_fails_in_part_keeps_every_byte", test_chaos},
	{"fault_threads_keep_every_byte", test_threads},
	{"fault_threads_port_fails_in_part_keep_every_byte", test_threads_chaos},
	{"fault_without_right_is_refused", test_segv},
	{"fault_sequential_grows_window_random_does_not", test_sequential_grows_window},
	{"fault_brings_neighbours_where_they_are_touched", test_neighbours},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
