/*
 * Operations that run out of memory, or whose ranges the machine refuses: a failed one leaves the mappings as they
 * were, and the machine's ranges always agree with them. Nothing is accessed here, so the ranges are a plain array.
 */
#include <stdlib.h>
#include <string.h>

#include "aspace/aspace_priv.h"
#include "machine.h"

#define PAGE QR_PAGE_SIZE
#define BASE ((uint64_t)1 << 32)
#define NR_PAGES 2048u
#define RW (QR_PROT_READ | QR_PROT_WRITE)
#define NOT_ADDED 0xffu

static uint32_t memory_fails_in, range_fails_in; /* the n-th from now on; 0: none */
static uint8_t ranges[NR_PAGES]; /* [page] QR_PROT_* or NOT_ADDED */

void *qr_kmalloc(struct qr_vmm *vmm, uint64_t size_bytes, qr_gfp_t gfp)
{
	(void)vmm;
	(void)gfp;
	return memory_fails_in && --memory_fails_in == 0 ? NULL : calloc(1, size_bytes);
}

void qr_kfree(struct qr_vmm *vmm, void *object)
{
	(void)vmm;
	free(object);
}

static int set_range(uint64_t va, uint64_t len_bytes, uint8_t prot, bool was_added)
{
	/* A range that cannot be removed is left behind and reported; that is not looked at here. */
	if (prot != NOT_ADDED && range_fails_in && --range_fails_in == 0)
		return QR_ENOMEM;
	for (uint32_t i = 0; i < len_bytes / PAGE; i++) {
		uint8_t *page = &ranges[(va - BASE) / PAGE + i];

		tap_check_equal(*page != NOT_ADDED, was_added);
		*page = prot;
	}
	return 0;
}

int qr_port_range_add(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint64_t len_bytes, uint32_t prot)
{
	(void)port;
	(void)space;
	return set_range(va, len_bytes, (uint8_t)prot, false);
}

int qr_port_range_remove(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint64_t len_bytes)
{
	(void)port;
	(void)space;
	return set_range(va, len_bytes, NOT_ADDED, true);
}

int qr_port_range_protect(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint64_t len_bytes,
			  uint32_t prot)
{
	(void)port;
	(void)space;
	return set_range(va, len_bytes, (uint8_t)prot, true);
}

/* What is mapped, page by page: 0 none, else the VMA's prot and flags. */
static void record(struct machine *machine, uint32_t *pages)
{
	memset(pages, 0, NR_PAGES * sizeof(*pages));
	for (uint32_t i = 0; i < NR_PAGES; i++) {
		struct qr_vma *vma = qr_aspace_find_locked(machine->aspace, BASE + i * PAGE);

		if (!vma)
			continue;
		pages[i] = 0x80000000u | vma->flags << 8 | vma->prot;
		qr_vma_unlock(vma);
	}
}

static void check_ranges(const uint32_t *pages)
{
	for (uint32_t i = 0; i < NR_PAGES && !tap_has_failed(); i++)
		tap_check_equal(ranges[i], pages[i] ? pages[i] & 7 : NOT_ADDED);
}

static int random_operation(struct machine *machine, uint64_t *seed, bool *is_atomic)
{
	struct qr_aspace *aspace = machine->aspace;
	uint32_t first = tap_random_below(seed, NR_PAGES);
	uint32_t nr = 1 + tap_random_below(seed, 1u << tap_random_below(seed, 8));
	uint64_t va = BASE + first * PAGE, len_bytes = QR_MIN(nr, NR_PAGES - first) * PAGE, out;

	*is_atomic = true;
	switch (tap_random_below(seed, 8)) {
	case 0:
	case 1:
		return qr_map(aspace, va, len_bytes, PAGE, RW, QR_MAP_FIXED_NOREPLACE, NULL, 0, &out);
	case 2:
		*is_atomic = false; /* what was there is gone first */
		return qr_map(aspace, va, len_bytes, PAGE, RW, QR_MAP_FIXED, NULL, 0, &out);
	case 3:
		return qr_unmap(aspace, va, len_bytes);
	case 4:
		*is_atomic = false; /* a part may be done */
		return qr_protect(aspace, va, len_bytes, tap_random_below(seed, 4));
	case 5:
		*is_atomic = false;
		return qr_advise(aspace, va, len_bytes, (enum qr_advice)tap_random_below(seed, QR_ADVISE_WILLNEED));
	case 6:
		return qr_remap(aspace, va, len_bytes, len_bytes + tap_random_below(seed, 8) * PAGE, QR_REMAP_MAYMOVE,
				0, &out);
	default:
		*is_atomic = false;
		return qr_remap(aspace, va, len_bytes, len_bytes, QR_REMAP_MAYMOVE | QR_REMAP_FIXED,
				BASE + tap_random_below(seed, NR_PAGES) * PAGE, &out);
	}
}

static void run(bool is_range_failing)
{
	static uint32_t before[NR_PAGES], after[NR_PAGES];
	uint64_t seed = tap_seed();
	struct machine machine;
	uint32_t nr_failed = 0;

	memset(ranges, NOT_ADDED, sizeof(ranges));
	machine_open(&machine, 1024, is_range_failing, BASE, BASE + NR_PAGES * PAGE);
	for (uint32_t step = 0; step < 3000 && !tap_has_failed(); step++) {
		bool is_atomic;
		int err;

		record(&machine, before);
		if (is_range_failing)
			range_fails_in = tap_random_below(&seed, 5);
		else
			memory_fails_in = tap_random_below(&seed, 16);
		err = random_operation(&machine, &seed, &is_atomic);
		nr_failed += err == QR_ENOMEM;
		memory_fails_in = range_fails_in = 0;
		tap_check(qr_aspace_is_valid(machine.aspace));
		record(&machine, after);
		if (err && is_atomic)
			tap_check(!memcmp(before, after, sizeof(before)));
		check_ranges(after);
		if (tap_has_failed())
			tap_note("step %u: error %d", step, err);
	}
	tap_check(nr_failed > 100);
	tap_note("%u failures", nr_failed);
	machine_close(&machine);
}

static void test_memory(void)
{
	run(false);
}

static void test_ranges(void)
{
	run(true);
}

static const struct tap_test tests[] = {
	{"aspace_out_of_memory_changes_nothing", test_memory},
	{"aspace_range_failure_changes_nothing", test_ranges},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
