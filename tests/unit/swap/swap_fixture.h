/* A manager with a zone and a swap and nothing else, and pages whose content follows from a number. */
#ifndef QR_TEST_SWAP_FIXTURE_H
#define QR_TEST_SWAP_FIXTURE_H

#include "port_test.h"
#include "swap/swap_priv.h"
#include "tap.h"
#include "vmm/vmm.h"

#define PAGE_BYTES 4096u

struct swap_fixture {
	struct qr_port *port;
	struct qr_vmm *vmm;
	struct qr_swap *swap;
	struct qr_frame *memmap;
	struct qr_pcp *pcps;
	uint32_t nr_free_start; /* free frames without a swap */
};

/* port may have been set up already; the fixture destroys it. */
void swap_fixture_init(struct swap_fixture *fixture, struct qr_port *port, uint32_t nr_frames);
void swap_fixture_create(struct swap_fixture *fixture, const struct qr_swap_config *config);
/* Checks that every frame came back. */
void swap_fixture_destroy(struct swap_fixture *fixture);

/* Kinds of pages, chosen by the number. */
enum page_kind { PAGE_ZERO, PAGE_SAME, PAGE_TEXT, PAGE_HALF, PAGE_RANDOM, NR_PAGE_KINDS };
#define PAGE_NUMBER(kind, n) ((uint64_t)(n) * NR_PAGE_KINDS + (kind))
void page_fill(void *page, uint64_t number);
bool page_is(const void *page, uint64_t number);

/* Stores and loads one page each; the results. */
int store_one(struct qr_swap *swap, uint64_t number, uint32_t *slot);
int load_one(struct qr_swap *swap, uint32_t slot, uint64_t number);

#endif
