/* General sizes against a model, on a manager that is no more than its zone. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "port_test.h"
#include "tap.h"
#include "vmm/vmm.h"

#define NR_FRAMES 8192u
#define MAX_HELD 400u
#define NR_STEPS 20000u

struct held {
	uint8_t *bytes;
	uint32_t size;
	uint8_t fill;
};

static struct qr_frame memmap[NR_FRAMES];
static uint64_t fresh_bits[NR_FRAMES / 64];
static struct qr_pcp pcps[PORT_TEST_CPUS];
static struct qr_stat_cpu stat_cpus[PORT_TEST_CPUS];
static struct qr_vmm vmm;
static struct qr_port *port;

uint32_t qr_reclaim(struct qr_vmm *of, uint32_t nr)
{
	(void)of;
	(void)nr;
	return 0;
}

void qr_kswapd_wake(struct qr_vmm *of)
{
	(void)of;
}

static void set_up(uint32_t nr_frames)
{
	port = port_test_create(NR_FRAMES);
	memset(memmap, 0, sizeof(memmap));
	memset(fresh_bits, 0, sizeof(fresh_bits));
	memset(pcps, 0, sizeof(pcps));
	memset(&vmm, 0, sizeof(vmm));
	vmm.port = port;
	vmm.stats = (struct qr_stats){PORT_TEST_CPUS, stat_cpus};
	qr_zone_init(&vmm.zone, &(struct qr_zone_config){.vmm = &vmm,
							 .memmap = memmap,
							 .fresh_bits = fresh_bits,
							 .base_address = qr_port_frame_address(port, (qr_pfn_t){0}),
							 .nr_span = NR_FRAMES,
							 .pcps = pcps,
							 .nr_pcps = PORT_TEST_CPUS});
	tap_check_equal(qr_vmm_set_limit(&vmm, nr_frames), nr_frames);
	tap_check_equal(qr_kmalloc_init(&vmm.kmalloc, &vmm.zone), 0);
}

static void tear_down(void)
{
	for (unsigned i = 0; i < QR_NR_KMALLOC; i++) {
		tap_check(qr_slab_cache_is_valid(&vmm.kmalloc.caches[i]));
		qr_slab_cache_destroy(&vmm.kmalloc.caches[i]);
	}
	tap_check(qr_zone_is_valid(&vmm.zone));
	tap_check_equal(qr_zone_nr_free(&vmm.zone), vmm.zone.nr_online);
	port_test_destroy(port);
}

static bool is_filled(const uint8_t *bytes, uint64_t nr, uint8_t fill)
{
	for (uint64_t i = 0; i < nr; i++) {
		if (bytes[i] != fill)
			return false;
	}
	return true;
}

static uint32_t random_size(uint64_t *random)
{
	switch (tap_random_below(random, 20)) {
	case 0:
		return 1 + tap_random_below(random, 100000);
	case 1:
		return 1 + tap_random_below(random, 9000);
	default:
		return tap_random_below(random, 600);
	}
}

static void held_alloc(struct held *slot, uint64_t *random)
{
	uint64_t usable;

	slot->size = random_size(random);
	slot->fill = (uint8_t)tap_random(random);
	slot->bytes = qr_kmalloc(&vmm, slot->size, QR_GFP_KERNEL);
	tap_require(slot->bytes != NULL);
	usable = qr_ksize(&vmm, slot->bytes);
	tap_check(usable >= slot->size);
	tap_check_equal((uintptr_t)slot->bytes % 8, 0);
	tap_check(is_filled(slot->bytes, slot->size <= 8192 ? usable : slot->size, 0));
	memset(slot->bytes, slot->fill, usable);
}

static void held_free(struct held *slot)
{
	tap_check(is_filled(slot->bytes, qr_ksize(&vmm, slot->bytes), slot->fill));
	qr_kfree(&vmm, slot->bytes);
	slot->bytes = NULL;
}

static void test_random(void)
{
	static struct held held[MAX_HELD];
	uint64_t random = tap_seed();

	set_up(NR_FRAMES);
	for (uint32_t step = 0; step < NR_STEPS && !tap_has_failed(); step++) {
		struct held *slot = &held[tap_random_below(&random, MAX_HELD)];

		if (slot->bytes)
			held_free(slot);
		else
			held_alloc(slot, &random);
	}
	for (uint32_t i = 0; i < MAX_HELD; i++) {
		if (held[i].bytes)
			held_free(&held[i]);
	}
	tear_down();
}

static void test_sizes(void)
{
	set_up(NR_FRAMES);
	for (uint64_t size = 0; size <= 8200; size++) {
		void *object = qr_kmalloc(&vmm, size, QR_GFP_KERNEL);
		uint64_t usable = qr_ksize(&vmm, object);

		tap_check(usable >= QR_MAX(size, 16u));
		/* At most a third is lost: usable <= size * 3 / 2 from 17 bytes on. */
		tap_check(size <= 16 || size > 8192 || usable * 2 <= size * 3 + 2);
		/* A type that is aligned to cache lines has a size that is a multiple of them. */
		tap_check(size % QR_CACHE_LINE || !size || (uintptr_t)object % QR_CACHE_LINE == 0);
		qr_kfree(&vmm, object);
	}
	qr_kfree(&vmm, NULL);
	tear_down();
}

static void test_large(void)
{
	uint64_t largest = QR_PAGE_SIZE << QR_MAX_ORDER;
	uint8_t *object, *second;

	set_up(NR_FRAMES);
	object = qr_kmalloc(&vmm, largest, QR_GFP_KERNEL);
	tap_require(object != NULL);
	tap_check_equal(qr_ksize(&vmm, object), largest);
	tap_check(is_filled(object, largest, 0));
	tap_check(!qr_kmalloc(&vmm, largest + 1, QR_GFP_KERNEL));
	second = qr_kmalloc(&vmm, 3 * QR_PAGE_SIZE, QR_GFP_KERNEL);
	tap_check_equal(qr_ksize(&vmm, second), 4 * QR_PAGE_SIZE);
	tap_check(PORT_TEST_PANICS(qr_kfree(&vmm, second + QR_PAGE_SIZE)));
	tap_check(PORT_TEST_PANICS(qr_kfree(&vmm, second + 16)));
	tap_check(PORT_TEST_PANICS(qr_kfree(&vmm, &object)));
	qr_kfree(&vmm, object);
	qr_kfree(&vmm, second);
	tap_check(PORT_TEST_PANICS(qr_kfree(&vmm, second)));
	tear_down();
}

/* Single frames are enough for small objects when no larger block is left; the reserve stays. */
static void test_fragmented(void)
{
	static struct qr_frame *frames[2048];
	void *object;
	uint32_t nr = 0;

	set_up(2048);
	while (qr_zone_nr_free(&vmm.zone) > 70)
		frames[nr++] = qr_zone_alloc(&vmm.zone, 0, QR_GFP_RECLAIM);
	object = qr_kmalloc(&vmm, 3000, 0);
	tap_check(object != NULL);
	tap_check_equal(qr_frame_order(qr_zone_frame_at(&vmm.zone, object)), 0);
	qr_kfree(&vmm, object);
	while (nr)
		qr_free_pages(&vmm, frames[--nr], 0);
	tear_down();
}

static void *kmalloc_thread(void *argument)
{
	uint64_t random = tap_seed() + (uintptr_t)argument;
	struct held held[32];

	memset(held, 0, sizeof(held));
	for (uint32_t step = 0; step < 2000; step++) {
		struct held *slot = &held[tap_random_below(&random, 32)];

		if (slot->bytes) {
			held_free(slot);
			continue;
		}
		slot->size = random_size(&random) % 20000;
		slot->fill = (uint8_t)step;
		slot->bytes = qr_kmalloc(&vmm, slot->size, QR_GFP_KERNEL);
		if (tap_check(slot->bytes != NULL))
			memset(slot->bytes, slot->fill, qr_ksize(&vmm, slot->bytes));
	}
	for (uint32_t i = 0; i < 32; i++) {
		if (held[i].bytes)
			held_free(&held[i]);
	}
	return NULL;
}

static void test_threads(void)
{
	pthread_t threads[4];

	set_up(NR_FRAMES);
	for (uintptr_t i = 0; i < 4; i++)
		tap_require(!pthread_create(&threads[i], NULL, kmalloc_thread, (void *)i));
	for (uint32_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	tear_down();
}

static const struct tap_test tests[] = {
	{"kmalloc_random_operations_match_model", test_random},
	{"kmalloc_sizes_fit_closely", test_sizes},
	{"kmalloc_large_is_a_block", test_large},
	{"kmalloc_fragmented_uses_single_frames", test_fragmented},
	{"kmalloc_threads_keep_content", test_threads},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
