/* A manager with a zone and a swap and nothing else. Reclaim is never wanted: every allocation is its own. */
#include "swap_fixture.h"

#include <stdlib.h>
#include <string.h>

void qr_kswapd_wake(struct qr_vmm *vmm)
{
	(void)vmm;
}

uint32_t qr_reclaim(struct qr_vmm *vmm, uint32_t nr)
{
	(void)vmm;
	(void)nr;
	return 0;
}

void swap_fixture_init(struct swap_fixture *fixture, struct qr_port *port, uint32_t nr_frames)
{
	memset(fixture, 0, sizeof(*fixture));
	fixture->port = port;
	fixture->vmm = calloc(1, sizeof(*fixture->vmm));
	fixture->memmap = calloc(nr_frames, sizeof(*fixture->memmap));
	fixture->pcps = aligned_alloc(QR_CACHE_LINE, PORT_TEST_CPUS * sizeof(*fixture->pcps));
	memset(fixture->pcps, 0, PORT_TEST_CPUS * sizeof(*fixture->pcps));
	fixture->vmm->port = port;
	fixture->vmm->stats.nr_cpus = PORT_TEST_CPUS;
	fixture->vmm->stats.cpus = aligned_alloc(QR_CACHE_LINE, PORT_TEST_CPUS * sizeof(struct qr_stat_cpu));
	memset(fixture->vmm->stats.cpus, 0, PORT_TEST_CPUS * sizeof(struct qr_stat_cpu));
	qr_zone_init(&fixture->vmm->zone,
		     &(struct qr_zone_config){.vmm = fixture->vmm,
					      .memmap = fixture->memmap,
					      .base_address = qr_port_frame_address(port, (qr_pfn_t){0}),
					      .nr_span = nr_frames,
					      .pcps = fixture->pcps,
					      .nr_pcps = PORT_TEST_CPUS});
	tap_require(qr_zone_online(&fixture->vmm->zone, nr_frames) == nr_frames);
	qr_zone_set_watermarks(&fixture->vmm->zone);
	fixture->nr_free_start = qr_zone_nr_free(&fixture->vmm->zone);
}

void swap_fixture_create(struct swap_fixture *fixture, const struct qr_swap_config *config)
{
	tap_require(qr_swap_create(fixture->vmm, config, &fixture->swap) == 0);
	fixture->vmm->swap = fixture->swap;
}

void swap_fixture_destroy(struct swap_fixture *fixture)
{
	if (fixture->swap)
		qr_swap_destroy(fixture->swap);
	tap_check_equal(qr_zone_nr_free(&fixture->vmm->zone), fixture->nr_free_start);
	tap_check(qr_zone_is_valid(&fixture->vmm->zone));
	port_test_destroy(fixture->port);
	free(fixture->vmm->stats.cpus);
	free(fixture->vmm);
	free(fixture->memmap);
	free(fixture->pcps);
}

void page_fill(void *page, uint64_t number)
{
	uint64_t state = number, *words = page;
	enum page_kind kind = (enum page_kind)(number % NR_PAGE_KINDS);
	uint64_t word = kind == PAGE_SAME ? tap_random(&state) | 1 : 0;
	/* Random words from the end on: the more there are the less the page compresses. */
	uint32_t nr_random = 0;

	if (kind == PAGE_TEXT)
		nr_random = 1 + tap_random_below(&state, 150);
	else if (kind == PAGE_HALF)
		nr_random = 150 + tap_random_below(&state, 230);
	else if (kind == PAGE_RANDOM)
		nr_random = PAGE_BYTES / 8;
	for (uint32_t i = 0; i < PAGE_BYTES / 8; i++)
		words[i] = i < PAGE_BYTES / 8 - nr_random ? word : tap_random(&state);
	if (kind != PAGE_ZERO && kind != PAGE_SAME)
		words[0] = number;
}

bool page_is(const void *page, uint64_t number)
{
	uint64_t wanted[PAGE_BYTES / 8];

	page_fill(wanted, number);
	return !memcmp(page, wanted, PAGE_BYTES);
}

int store_one(struct qr_swap *swap, uint64_t number, uint32_t *slot)
{
	uint64_t page[PAGE_BYTES / 8];
	void *pages[1] = {page};
	uint32_t nr_stored;

	page_fill(page, number);
	return qr_swap_store(swap, pages, 1, slot, &nr_stored);
}

int load_one(struct qr_swap *swap, uint32_t slot, uint64_t number)
{
	uint64_t page[PAGE_BYTES / 8];
	void *pages[1] = {page};
	int result, err;

	memset(page, 0x5a, sizeof(page));
	err = qr_swap_load(swap, &slot, 1, pages, &result);
	if (!err)
		tap_check(page_is(page, number));
	tap_check_equal(err, result);
	return err;
}
