/* Page tables against an array of entries, the encoding of entries, and threads that fill in the same tables. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "pgtable/pgtable.h"
#include "port_test.h"
#include "tap.h"
#include "vmm/vmm.h"

#define NR_FRAMES 4096u
#define NR_THREADS 4u

/* A manager with nothing but a zone of frames that are handed out one by one. */
static struct {
	struct qr_vmm vmm;
	struct qr_frame memmap[NR_FRAMES];
	uint8_t (*pool)[QR_PAGE_SIZE];
	uint32_t free[NR_FRAMES];
	uint32_t nr_free;
	uint32_t fail_in; /* the n-th allocation from now on fails; 0: none */
	pthread_mutex_t lock;
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct qr_frame *qr_alloc_pages(struct qr_vmm *vmm, unsigned order, qr_gfp_t gfp)
{
	struct qr_frame *frame = NULL;

	sched_yield(); /* as a reclaiming allocation does: others fill in the same entry meanwhile */
	pthread_mutex_lock(&fake.lock);
	if (!(fake.fail_in && --fake.fail_in == 0) && fake.nr_free) {
		frame = qr_zone_frame(&vmm->zone, fake.free[--fake.nr_free]);
		qr_frame_set_kind(frame, QR_FRAME_KERNEL, order);
		if (gfp & QR_GFP_ZERO)
			memset(qr_zone_address(&vmm->zone, frame), 0, QR_PAGE_SIZE);
	}
	pthread_mutex_unlock(&fake.lock);
	return frame;
}

void qr_free_pages(struct qr_vmm *vmm, struct qr_frame *frame, unsigned order)
{
	pthread_mutex_lock(&fake.lock);
	qr_frame_set_kind(frame, QR_FRAME_FREE, order);
	memset(qr_zone_address(&vmm->zone, frame), 0x55, QR_PAGE_SIZE);
	fake.free[fake.nr_free++] = qr_zone_pfn(&vmm->zone, frame);
	pthread_mutex_unlock(&fake.lock);
}

static void fake_open(struct qr_pgtable *table)
{
	fake.pool = aligned_alloc(QR_PAGE_SIZE, NR_FRAMES * QR_PAGE_SIZE);
	tap_require(fake.pool);
	memset(fake.memmap, 0, sizeof(fake.memmap));
	fake.vmm.zone = (struct qr_zone){.memmap = fake.memmap, .base_address = fake.pool[0], .nr_span = NR_FRAMES};
	for (fake.nr_free = 0; fake.nr_free < NR_FRAMES; fake.nr_free++)
		fake.free[fake.nr_free] = fake.nr_free;
	tap_require(qr_pgtable_init(table, &fake.vmm) == 0);
}

static void fake_close(struct qr_pgtable *table)
{
	qr_pgtable_destroy(table);
	tap_check_equal(fake.nr_free, NR_FRAMES);
	tap_check_equal(table->nr_tables, 0);
	free(fake.pool);
}

static void test_encoding(void)
{
	uint64_t seed = tap_seed();

	tap_check(qr_pte_is_none(qr_pte_none()));
	for (uint32_t i = 0; i < 10000; i++) {
		uint32_t number = (uint32_t)tap_random(&seed);
		uint32_t prot = tap_random_below(&seed, 8), other = tap_random_below(&seed, 8);
		/* The processor lets read who may write or execute. */
		uint32_t effective = prot ? prot | QR_PROT_READ : 0;
		qr_pte_t present = qr_pte_present((qr_pfn_t){number}, prot);
		qr_pte_t idle = qr_pte_idle((qr_pfn_t){number}, prot);
		qr_pte_t swap = qr_pte_swap(number);

		tap_check(qr_pte_is_present(present) && !qr_pte_is_idle(present) && !qr_pte_is_swap(present) &&
			  !qr_pte_is_none(present));
		tap_check(!qr_pte_is_present(idle) && qr_pte_is_idle(idle) && !qr_pte_is_swap(idle) &&
			  !qr_pte_is_none(idle));
		tap_check(!qr_pte_is_present(swap) && !qr_pte_is_idle(swap) && qr_pte_is_swap(swap) &&
			  !qr_pte_is_none(swap) && !qr_pte_is_writable(swap));
		tap_check_equal(qr_pte_pfn(present).nr, number);
		tap_check_equal(qr_pte_pfn(idle).nr, number);
		tap_check_equal(qr_pte_swap_slot(swap), number);
		tap_check_equal(qr_pte_prot(present), effective);
		tap_check_equal(qr_pte_prot(idle), effective);
		tap_check_equal(qr_pte_is_writable(idle), !!(prot & QR_PROT_WRITE));
		tap_check_equal(qr_pte_to_idle(present).raw, idle.raw);
		tap_check_equal(qr_pte_with_prot(present, other).raw, qr_pte_present((qr_pfn_t){number}, other).raw);
	}
	/* SDM volume 3A, table 4-20: P, R/W, U/S, XD and the frame's address. */
	tap_check_equal(qr_pte_present((qr_pfn_t){0x12345}, QR_PROT_READ | QR_PROT_WRITE).raw, 0x8000000012345007u);
	tap_check_equal(qr_pt_index(0x00007fffffffffff, 3), 255);
	tap_check_equal(qr_pt_index(0x0000008040201000, 3), 1);
	tap_check_equal(qr_pt_index(0x0000008040201000, 2), 1);
	tap_check_equal(qr_pt_index(0x0000008040201000, 1), 1);
	tap_check_equal(qr_pt_index(0x0000008040201000, 0), 1);
}

/* Pages of the reference: clusters at the borders of tables of all levels. */
#define NR_CLUSTERS 10u
#define CLUSTER_PAGES 1536u

static uint64_t va_of(uint32_t i)
{
	static const uint64_t clusters[NR_CLUSTERS] = {
		0,
		(uint64_t)1 << 23,
		((uint64_t)1 << 30) - ((uint64_t)1 << 21),
		((uint64_t)1 << 31) - ((uint64_t)1 << 21),
		((uint64_t)1 << 39) - ((uint64_t)1 << 21),
		(uint64_t)1 << 40,
		(uint64_t)3 << 40,
		(uint64_t)1 << 45,
		((uint64_t)1 << 46) + ((uint64_t)5 << 21),
		QR_VA_END - CLUSTER_PAGES * QR_PAGE_SIZE,
	};

	return clusters[i / CLUSTER_PAGES] + (i % CLUSTER_PAGES) * QR_PAGE_SIZE;
}

static void write_entry(struct qr_pgtable *table, uint32_t i, qr_pte_t pte)
{
	struct qr_frame *page = qr_pgtable_find(table, va_of(i));

	if (!page && qr_pte_is_none(pte))
		return;
	if (!page)
		tap_require(qr_pgtable_populate(table, va_of(i), &page) == 0);
	qr_pt_lock(page);
	qr_pte_write(page, qr_pt_entry(table, page, va_of(i)), pte);
	qr_pt_unlock(page);
}

static void check_entry(struct qr_pgtable *table, uint32_t i, qr_pte_t expected)
{
	struct qr_frame *page = qr_pgtable_find(table, va_of(i));

	if (!page)
		tap_check_equal(expected.raw, 0);
	else
		tap_check_equal(qr_pte_read(qr_pt_entry(table, page, va_of(i))).raw, expected.raw);
}

/* Frees the empty tables of a range: those with an entry and those that reach out of it stay. */
static void free_empty(struct qr_pgtable *table, const qr_pte_t *model, uint64_t floor, uint64_t ceiling)
{
	uint64_t first = QR_ALIGN_DOWN(floor, QR_PT_SPAN), last = QR_ALIGN_DOWN(ceiling, QR_PT_SPAN);
	bool has_first = first != floor && qr_pgtable_find(table, first);
	bool has_last = last != ceiling && qr_pgtable_find(table, last);

	(void)qr_pgtable_free_range(table, floor, ceiling);
	tap_check(!has_first || qr_pgtable_find(table, first));
	tap_check(!has_last || qr_pgtable_find(table, last));
	for (uint32_t i = 0; i < NR_CLUSTERS * CLUSTER_PAGES; i++)
		check_entry(table, i, model[i]);
}

/* Empties the tables of a range and frees them; then there must be none wholly inside. */
static void free_range(struct qr_pgtable *table, qr_pte_t *model, uint64_t floor, uint64_t ceiling)
{
	uint64_t nr_tables, nr_freed;

	free_empty(table, model, floor, ceiling);
	nr_tables = table->nr_tables;
	for (uint32_t i = 0; i < NR_CLUSTERS * CLUSTER_PAGES; i++) {
		if (va_of(i) >= floor && va_of(i) < ceiling) {
			write_entry(table, i, qr_pte_none());
			model[i] = qr_pte_none();
		}
	}
	nr_freed = qr_pgtable_free_range(table, floor, ceiling);
	tap_check_equal(nr_freed, nr_tables - table->nr_tables);
	for (uint64_t va = QR_ALIGN_UP(floor, QR_PT_SPAN); va + QR_PT_SPAN <= ceiling; va += QR_PT_SPAN) {
		if (qr_pgtable_find(table, va)) {
			tap_check(!"a table of the range is left");
			return;
		}
		if (va - floor > 8 * QR_PT_SPAN)
			break;
	}
}

static void test_random(void)
{
	static qr_pte_t model[NR_CLUSTERS * CLUSTER_PAGES];
	struct qr_pgtable table;
	uint64_t seed = tap_seed();

	fake_open(&table);
	memset(model, 0, sizeof(model));
	for (uint32_t step = 0; step < 60000 && !tap_has_failed(); step++) {
		uint32_t i = tap_random_below(&seed, NR_CLUSTERS * CLUSTER_PAGES);
		uint32_t number = tap_random_below(&seed, 1u << 31);

		switch (tap_random_below(&seed, 5)) {
		case 0:
			model[i] = qr_pte_none();
			break;
		case 1:
			model[i] = qr_pte_swap(number);
			break;
		case 2:
			model[i] = qr_pte_idle((qr_pfn_t){number}, QR_PROT_READ);
			break;
		default:
			model[i] = qr_pte_present((qr_pfn_t){number}, QR_PROT_READ | QR_PROT_WRITE);
		}
		write_entry(&table, i, model[i]);
		i = tap_random_below(&seed, NR_CLUSTERS * CLUSTER_PAGES);
		check_entry(&table, i, model[i]);
		if (step % 500 == 499) {
			uint64_t floor = va_of(tap_random_below(&seed, NR_CLUSTERS * CLUSTER_PAGES));

			uint64_t ceiling = floor + (QR_PAGE_SIZE << tap_random_below(&seed, 34));

			free_range(&table, model, floor, QR_MIN(ceiling, QR_VA_END));
			tap_check(qr_pgtable_is_valid(&table));
		}
	}
	for (uint32_t i = 0; i < NR_CLUSTERS * CLUSTER_PAGES; i++)
		check_entry(&table, i, model[i]);
	free_range(&table, model, 0, QR_VA_END);
	tap_check_equal(table.nr_tables, 1);
	fake_close(&table);
}

static void test_borders(void)
{
	uint64_t va = (uint64_t)7 << 30;
	struct qr_pgtable table;
	struct qr_frame *page;

	fake_open(&table);
	tap_require(qr_pgtable_populate(&table, va, &page) == 0);
	tap_check_equal(qr_pgtable_free_range(&table, va + QR_PAGE_SIZE, va + 2 * QR_PT_SPAN), 0);
	tap_check_equal(qr_pgtable_free_range(&table, va - QR_PT_SPAN, va + QR_PT_SPAN - QR_PAGE_SIZE), 0);
	tap_check(qr_pgtable_find(&table, va) == page);
	/* The table itself, but none of those above, which map more. */
	tap_check_equal(qr_pgtable_free_range(&table, va, va + QR_PT_SPAN), 1);
	tap_check_equal(table.nr_tables, 3);
	tap_check_equal(qr_pgtable_free_range(&table, va, va + ((uint64_t)1 << 30)), 1);
	tap_check_equal(qr_pgtable_free_range(&table, 0, (uint64_t)1 << 39), 1);
	fake_close(&table);
}

static void test_no_memory(void)
{
	struct qr_pgtable table;
	struct qr_frame *page = NULL;

	fake_open(&table);
	for (uint32_t nth = 1; nth <= 3; nth++) {
		fake.fail_in = nth;
		tap_check_equal(qr_pgtable_populate(&table, (uint64_t)nth << 40, &page), QR_ENOMEM);
		tap_check(page == NULL && qr_pgtable_is_valid(&table));
		tap_check(qr_pgtable_find(&table, (uint64_t)nth << 40) == NULL);
	}
	fake.fail_in = 0;
	fake_close(&table);
}

/* Counts up entries under their table's lock: none is lost if all threads see the same tables. */
static void *race_main(void *argument)
{
	struct qr_pgtable *table = argument;
	uint64_t seed = tap_seed();

	for (uint32_t step = 0; step < 4000; step++) {
		uint64_t va =
			((uint64_t)tap_random_below(&seed, 300) << 29) + tap_random_below(&seed, 4) * QR_PAGE_SIZE;
		struct qr_frame *page;
		qr_pte_t *entry;

		if (qr_pgtable_populate(table, va, &page)) {
			tap_check(!"out of memory");
			return NULL;
		}
		if (step % 3 || !qr_pt_trylock(page))
			qr_pt_lock(page);
		entry = qr_pt_entry(table, page, va);
		qr_pte_write(
			page, entry,
			qr_pte_swap(qr_pte_is_none(qr_pte_read(entry)) ? 1 : qr_pte_swap_slot(qr_pte_read(entry)) + 1));
		qr_pt_unlock(page);
	}
	return NULL;
}

static void test_threads(void)
{
	struct qr_pgtable table;
	pthread_t threads[NR_THREADS];
	uint64_t sum = 0;

	fake_open(&table);
	port_test_set_yield(4);
	for (uint32_t i = 0; i < NR_THREADS; i++)
		tap_require(pthread_create(&threads[i], NULL, race_main, &table) == 0);
	for (uint32_t i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	tap_check(qr_pgtable_is_valid(&table));
	for (uint32_t i = 0; i < 300 * 4; i++) {
		uint64_t va = ((uint64_t)(i / 4) << 29) + (i % 4) * QR_PAGE_SIZE;
		struct qr_frame *page = qr_pgtable_find(&table, va);
		qr_pte_t *entry = page ? qr_pt_entry(&table, page, va) : NULL;

		if (!entry || qr_pte_is_none(*entry))
			continue;
		sum += qr_pte_swap_slot(*entry);
		qr_pt_lock(page);
		qr_pte_write(page, entry, qr_pte_none());
		qr_pt_unlock(page);
	}
	tap_check_equal(sum, NR_THREADS * 4000);
	fake_close(&table);
}

static const struct tap_test tests[] = {
	{"pte_encoding_round_trips", test_encoding},
	{"pgtable_random_entries_match_model", test_random},
	{"pgtable_free_range_keeps_to_its_borders", test_borders},
	{"pgtable_populate_without_memory_fails_whole", test_no_memory},
	{"pgtable_threads_fill_the_same_tables", test_threads},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
