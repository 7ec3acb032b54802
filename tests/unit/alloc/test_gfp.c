/* The manager's allocator with a reclaim of the test's own: watermarks, reclaim, out of memory, zeroing, limits. */
#include <stdlib.h>
#include <string.h>

#include "port_test.h"
#include "tap.h"
#include "vmm/vmm.h"

#define NR_SPAN 8192u
#define NR_START 4096u

static struct qr_frame memmap[NR_SPAN];
static uint64_t fresh_bits[NR_SPAN / 64];
static struct qr_pcp pcps[PORT_TEST_CPUS];
static struct qr_stat_cpu stat_cpus[PORT_TEST_CPUS];
static struct qr_vmm vmm;
static struct qr_port *port;

/* What the fakes saw, and what reclaim does: frees frames from the stock, per call at most nr_per_call. */
static uint32_t nr_wakes, nr_reclaims, nr_asked;
static uint32_t nr_per_call, nr_barren;
static struct qr_frame *stock[NR_SPAN];
static uint32_t nr_stock;

void qr_kswapd_wake(struct qr_vmm *of)
{
	tap_check(of == &vmm);
	nr_wakes++;
}

uint32_t qr_reclaim(struct qr_vmm *of, uint32_t nr)
{
	uint32_t nr_freed = 0;

	tap_check(of == &vmm);
	nr_reclaims++;
	nr_asked = nr;
	if (nr_barren) {
		nr_barren--;
		return 0;
	}
	while (nr_stock && nr_freed < QR_MIN(nr, nr_per_call)) {
		qr_free_pages(&vmm, stock[--nr_stock], 0);
		nr_freed++;
	}
	return nr_freed;
}

static void set_up(uint32_t nr_online)
{
	port = port_test_create(NR_SPAN);
	memset(memmap, 0, sizeof(memmap));
	memset(fresh_bits, 0, sizeof(fresh_bits));
	memset(pcps, 0, sizeof(pcps));
	memset(stat_cpus, 0, sizeof(stat_cpus));
	memset(&vmm, 0, sizeof(vmm));
	vmm.port = port;
	vmm.stats = (struct qr_stats){PORT_TEST_CPUS, stat_cpus};
	qr_zone_init(&vmm.zone, &(struct qr_zone_config){.vmm = &vmm,
							 .memmap = memmap,
							 .fresh_bits = fresh_bits,
							 .base_address = qr_port_frame_address(port, (qr_pfn_t){0}),
							 .nr_span = NR_SPAN,
							 .pcps = pcps,
							 .nr_pcps = PORT_TEST_CPUS});
	nr_wakes = nr_reclaims = nr_asked = nr_stock = nr_barren = 0;
	nr_per_call = NR_SPAN;
	tap_check_equal(qr_vmm_set_limit(&vmm, nr_online), nr_online);
}

static void tear_down(void)
{
	tap_check(qr_zone_is_valid(&vmm.zone));
	port_test_destroy(port);
}

/* Takes single frames until nr are free. */
static void use_up(uint32_t nr_left)
{
	while (qr_zone_nr_free(&vmm.zone) > nr_left) {
		struct qr_frame *frame = qr_zone_alloc(&vmm.zone, 0, QR_GFP_RECLAIM);

		tap_require(frame != NULL);
		stock[nr_stock++] = frame;
	}
}

static uint64_t *words_of(struct qr_frame *frame)
{
	return qr_zone_address(&vmm.zone, frame);
}

static bool is_zero(struct qr_frame *frame, unsigned order)
{
	for (uint64_t i = 0; i < QR_PAGE_SIZE / 8 << order; i++) {
		if (words_of(frame)[i])
			return false;
	}
	return true;
}

static void test_watermarks(void)
{
	set_up(NR_START);
	tap_check_equal(vmm.zone.watermark[QR_WMARK_MIN], 64);
	use_up(129);
	tap_check(qr_alloc_pages(&vmm, 0, QR_GFP_USER) != NULL);
	tap_check_equal(nr_wakes, 0);
	tap_check(qr_alloc_pages(&vmm, 0, QR_GFP_USER) != NULL);
	tap_check_equal(nr_wakes, 1);
	use_up(64);
	tap_check(!qr_alloc_pages(&vmm, 0, 0));
	for (uint32_t i = 64; i > 32; i--)
		tap_check(qr_alloc_pages(&vmm, 0, QR_GFP_ATOMIC) != NULL);
	tap_check(!qr_alloc_pages(&vmm, 0, QR_GFP_ATOMIC));
	tap_check_equal(nr_reclaims, 0);
	nr_wakes = 0;
	for (uint32_t i = 32; i > 0; i--)
		tap_check(qr_alloc_pages(&vmm, 0, QR_GFP_RECLAIM | QR_GFP_WAIT) != NULL);
	tap_check(!qr_alloc_pages(&vmm, 0, QR_GFP_RECLAIM | QR_GFP_WAIT));
	tap_check_equal(nr_wakes + nr_reclaims, 0);
	tear_down();
}

static void test_noretry(void)
{
	set_up(NR_START);
	use_up(128 + 16);
	/* All that is left is in single frames or small blocks; what matters is that nothing is reclaimed. */
	tap_check(!qr_alloc_pages(&vmm, 5, QR_GFP_USER | QR_GFP_NORETRY));
	tap_check(!qr_alloc_pages(&vmm, 9, QR_GFP_USER | QR_GFP_NORETRY));
	tap_check_equal(nr_reclaims, 0);
	use_up(128);
	tap_check(!qr_alloc_pages(&vmm, 0, QR_GFP_USER | QR_GFP_NORETRY));
	tap_check(qr_alloc_pages(&vmm, 0, QR_GFP_USER) != NULL);
	tap_check_equal(nr_reclaims, 0);
	tear_down();
}

static void test_noretry_low(void)
{
	struct qr_frame *block;

	set_up(1024);
	block = qr_alloc_pages(&vmm, 9, QR_GFP_USER | QR_GFP_NORETRY);
	tap_check(block != NULL);
	/* 512 are left in one block, but the zone would not stay above low. */
	tap_check(!qr_alloc_pages(&vmm, 9, QR_GFP_USER | QR_GFP_NORETRY));
	tap_check(qr_alloc_pages(&vmm, 8, QR_GFP_USER | QR_GFP_NORETRY) != NULL);
	tap_check_equal(nr_reclaims + nr_wakes, 0);
	tear_down();
}

static void test_reclaim(void)
{
	set_up(NR_START);
	use_up(64);
	nr_barren = 3;
	nr_per_call = 1;
	tap_check(qr_alloc_pages(&vmm, 0, QR_GFP_USER) != NULL);
	tap_check_equal(nr_reclaims, 4);
	tap_check_equal(nr_asked, 32);
	tap_check(nr_wakes > 0);
	tap_check_equal(qr_stat_sum(&vmm.stats, QR_STAT_direct_reclaims), 1);
	/* Three pauses of 1, 2 and 4 ms. */
	tap_check(qr_stat_sum(&vmm.stats, QR_STAT_stalled_ns) >= 7000000);
	tap_check_equal(port_test_counts(port).nr_out_of_memory, 0);
	nr_per_call = NR_SPAN;
	tap_check(qr_alloc_pages(&vmm, 7, QR_GFP_USER) != NULL);
	tap_check_equal(nr_asked, 128);
	tap_check_equal(qr_stat_sum(&vmm.stats, QR_STAT_direct_reclaims), 2);
	tear_down();
}

static void test_out_of_memory(void)
{
	struct qr_frame *last;

	set_up(NR_START);
	use_up(64);
	last = stock[nr_stock - 1];
	nr_stock = 0;
	tap_check(!qr_alloc_pages(&vmm, 0, QR_GFP_USER));
	tap_check_equal(nr_reclaims, 8);
	tap_check_equal(port_test_counts(port).nr_out_of_memory, 1);
	tap_check(vmm.is_oom);
	/* Quickly now, and nobody is asked again. */
	tap_check(!qr_alloc_pages(&vmm, 0, QR_GFP_USER));
	tap_check_equal(nr_reclaims, 9);
	tap_check_equal(port_test_counts(port).nr_out_of_memory, 1);
	/* A block is no reason to end the program. */
	vmm.is_oom = 0;
	tap_check(!qr_alloc_pages(&vmm, 3, QR_GFP_USER));
	tap_check_equal(port_test_counts(port).nr_out_of_memory, 1);
	vmm.is_oom = 1;
	stock[nr_stock++] = last;
	tap_check(qr_alloc_pages(&vmm, 0, QR_GFP_USER) == last);
	tap_check(!vmm.is_oom);
	tear_down();
}

/* Frames are freed all the time, but no two neighbours: the allocation ends. */
static void test_fragmented(void)
{
	uint32_t nr = 0;

	set_up(NR_START);
	use_up(64);
	for (uint32_t i = 0; i < NR_START; i++) {
		if (i % 2 && qr_frame_kind(&memmap[i]) == QR_FRAME_KERNEL)
			stock[nr++] = &memmap[i];
	}
	nr_stock = nr;
	nr_per_call = 4;
	tap_check(!qr_alloc_pages(&vmm, 8, QR_GFP_USER));
	tap_check_equal(nr_reclaims, 16);
	tap_check_equal(port_test_counts(port).nr_out_of_memory, 0);
	tear_down();
}

static void test_zero(void)
{
	struct qr_frame *frame, *block;

	set_up(NR_START);
	frame = qr_alloc_pages(&vmm, 0, QR_GFP_USER | QR_GFP_ZERO);
	tap_check_equal(port_test_counts(port).nr_zeroed_fresh, 1);
	memset(words_of(frame), 0x77, QR_PAGE_SIZE);
	qr_free_pages(&vmm, frame, 0);
	tap_check(qr_alloc_pages(&vmm, 0, QR_GFP_USER | QR_GFP_ZERO) == frame);
	tap_check(is_zero(frame, 0));
	tap_check_equal(port_test_counts(port).nr_zeroed, 1);
	tap_check_equal(qr_stat_sum(&vmm.stats, QR_STAT_pages_zeroed), 2);
	/* Handed out and never written counts as written. */
	block = qr_alloc_pages(&vmm, 6, QR_GFP_USER);
	qr_free_pages(&vmm, block, 6);
	tap_check(qr_alloc_pages(&vmm, 6, QR_GFP_USER | QR_GFP_ZERO) == block);
	tap_check_equal(port_test_counts(port).nr_zeroed, 1 + 64);
	memset(words_of(block), 0x55, QR_PAGE_SIZE << 6);
	qr_free_pages(&vmm, block, 6);
	tap_check(qr_alloc_pages(&vmm, 6, QR_GFP_ATOMIC | QR_GFP_ZERO) == block);
	tap_check(is_zero(block, 6));
	tear_down();
}

/* A block that is fresh in part is zeroed in two runs; all of it reads as zero. */
static void test_zero_runs(void)
{
	struct qr_frame *low;

	set_up(QR_MIN(NR_START, 1024u));
	low = qr_zone_alloc(&vmm.zone, 7, QR_GFP_RECLAIM);
	memset(words_of(low), 0x33, QR_PAGE_SIZE << 7);
	qr_free_pages(&vmm, low, 7);
	tap_check(qr_alloc_pages(&vmm, QR_MAX_ORDER, QR_GFP_RECLAIM | QR_GFP_WAIT | QR_GFP_ZERO) == memmap);
	tap_check_equal(port_test_counts(port).nr_zeroed, 128);
	tap_check_equal(port_test_counts(port).nr_zeroed_fresh, 1024 - 128);
	tap_check(is_zero(memmap, QR_MAX_ORDER));
	tear_down();
}

static void test_limit(void)
{
	struct qr_frame *frame;
	uint32_t nr_limit;

	set_up(NR_START);
	tap_check_equal(vmm.nr_limit, NR_START);
	use_up(1000);
	for (uint32_t i = 0; i < nr_stock; i++)
		memset(words_of(stock[i]), 0x11, QR_PAGE_SIZE);
	/* As far as free frames go, leaving the min watermark. */
	tap_check_equal(qr_vmm_set_limit(&vmm, 2048), NR_START - 1000 + 64);
	tap_check_equal(vmm.nr_limit, NR_START - 1000 + 64);
	tap_check_equal(qr_reclaim(&vmm, 2000), 2000);
	tap_check_equal(qr_vmm_set_limit(&vmm, 2048), 2048);
	tap_check_equal(vmm.zone.nr_online, 2048);
	tap_check(qr_zone_is_valid(&vmm.zone));
	/* Only what was written needed to be given back. */
	tap_check(port_test_counts(port).nr_released >= 2048 - 1000 - 64);
	tap_check(port_test_counts(port).nr_released <= 2048);
	/* Grows out of the balloon first, then out of the span. */
	tap_check_equal(qr_vmm_set_limit(&vmm, 4000), 4000);
	tap_check_equal(vmm.zone.nr_onlined_span, NR_START);
	tap_check_equal(qr_vmm_set_limit(&vmm, 5001), 5001);
	tap_check_equal(vmm.zone.nr_onlined_span, 5001);
	tap_check_equal(vmm.zone.balloon.nr, 0);
	nr_limit = qr_vmm_set_limit(&vmm, UINT32_MAX);
	tap_check_equal(nr_limit, NR_SPAN);
	/* What comes back reads as zero: the port checks it. */
	while ((frame = qr_alloc_pages(&vmm, 0, QR_GFP_RECLAIM | QR_GFP_WAIT | QR_GFP_ZERO)))
		tap_check(is_zero(frame, 0));
	tap_check(port_test_counts(port).nr_zeroed_fresh > NR_SPAN - NR_START);
	tear_down();
}

static const struct tap_test tests[] = {
	{"alloc_watermarks_stop_each_class", test_watermarks},
	{"alloc_noretry_never_reclaims", test_noretry},
	{"alloc_noretry_block_stays_above_low", test_noretry_low},
	{"alloc_below_min_reclaims", test_reclaim},
	{"alloc_exhausted_asks_port_once", test_out_of_memory},
	{"alloc_block_fragmented_ends", test_fragmented},
	{"alloc_zero_reads_as_zero", test_zero},
	{"alloc_zero_partly_fresh_in_runs", test_zero_runs},
	{"limit_shrink_and_grow_is_exact", test_limit},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
