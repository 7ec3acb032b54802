/*
 * Page tables of one address space: a radix tree of frames, 512 entries each, in the format of arch/.../pte.h.
 *
 * Upper levels are filled in without a lock: whoever finds an entry empty brings a zeroed frame and puts it in with
 * compare-and-swap; who loses the race gives the frame back. Entries of the bottom level are written under the lock
 * of their page (pt_lock.c). A table's descriptor counts its entries in use in refs, so that an empty table is known
 * as such without a look at its 512 entries.
 *
 * Tables are freed only by qr_pgtable_free_range(), for ranges that nobody else can reach.
 */
#include "pgtable/pgtable.h"

#include "vmm/vmm.h"

static struct qr_frame *table_alloc(struct qr_pgtable *table);
static void table_free(struct qr_pgtable *table, struct qr_frame *page);
static int table_child(struct qr_pgtable *table, struct qr_frame *parent, qr_pte_t *entry, struct qr_frame **child);
static uint64_t free_level(struct qr_pgtable *table, struct qr_frame *page, unsigned level, uint64_t base,
			   uint64_t floor, uint64_t ceiling);
static bool level_is_valid(struct qr_pgtable *table, struct qr_frame *page, unsigned level, uint64_t *nr_tables);

int qr_pgtable_init(struct qr_pgtable *table, struct qr_vmm *vmm)
{
	table->vmm = vmm;
	table->nr_tables = 0;
	table->is_lock_shared = vmm->choices.pt_lock == QR_PT_LOCK_ASPACE;
	table->lock = 0;
	table->root = table_alloc(table);
	return table->root ? 0 : QR_ENOMEM;
}

void qr_pgtable_destroy(struct qr_pgtable *table)
{
	(void)qr_pgtable_free_range(table, 0, QR_VA_END);
	QR_BUG_ON(qr_load_relaxed(&table->root->refs) != 0);
	table_free(table, table->root);
	table->root = NULL;
}

static qr_pte_t *table_entries(struct qr_pgtable *table, const struct qr_frame *page)
{
	return qr_zone_address(&table->vmm->zone, page);
}

static struct qr_frame *table_of(struct qr_pgtable *table, qr_pte_t pte)
{
	return qr_zone_frame(&table->vmm->zone, qr_pte_pfn(pte).nr);
}

qr_pte_t qr_pte_read(const qr_pte_t *entry)
{
	/* Acquire pairs with the release in qr_pte_write and table_child: the frame behind the entry is ready. */
	return (qr_pte_t){qr_load_acquire(&entry->raw)};
}

void qr_pte_write(struct qr_frame *page, qr_pte_t *entry, qr_pte_t pte)
{
	bool was_used = !qr_pte_is_none((qr_pte_t){qr_load_relaxed(&entry->raw)});
	bool is_used = !qr_pte_is_none(pte);

	QR_ASSERT(qr_frame_kind(page) == QR_FRAME_PT);
	QR_ASSERT(qr_pt_is_locked(page));
	if (was_used != is_used)
		qr_store_relaxed(&page->refs, qr_load_relaxed(&page->refs) + (is_used ? 1u : UINT32_MAX));
	qr_store_release(&entry->raw, pte.raw); /* pairs with qr_pte_read */
}

qr_pte_t *qr_pt_entry(struct qr_pgtable *table, struct qr_frame *page, uint64_t va)
{
	return &table_entries(table, page)[qr_pt_index(va, 0)];
}

struct qr_frame *qr_pgtable_find(struct qr_pgtable *table, uint64_t va)
{
	struct qr_frame *page = table->root;

	QR_ASSERT(va < QR_VA_END);
	for (unsigned level = QR_PT_LEVELS - 1; level > 0; level--) {
		qr_pte_t pte = qr_pte_read(&table_entries(table, page)[qr_pt_index(va, level)]);

		if (!qr_pte_is_table(pte))
			return NULL;
		page = table_of(table, pte);
	}
	return page;
}

int qr_pgtable_populate(struct qr_pgtable *table, uint64_t va, struct qr_frame **page)
{
	struct qr_frame *at = table->root;

	QR_ASSERT(va < QR_VA_END);
	for (unsigned level = QR_PT_LEVELS - 1; level > 0; level--) {
		int err = table_child(table, at, &table_entries(table, at)[qr_pt_index(va, level)], &at);

		if (err)
			return err;
	}
	*page = at;
	return 0;
}

/* The table that an entry of an upper level names, made if missing. */
static int table_child(struct qr_pgtable *table, struct qr_frame *parent, qr_pte_t *entry, struct qr_frame **child)
{
	qr_pte_t pte = qr_pte_read(entry);
	uint64_t seen = 0;
	struct qr_frame *page;

	if (qr_pte_is_table(pte)) {
		*child = table_of(table, pte);
		return 0;
	}
	page = table_alloc(table);
	if (!page)
		return QR_ENOMEM;
	pte = qr_pte_table((qr_pfn_t){qr_zone_pfn(&table->vmm->zone, page)});
	/* Release publishes the zeroed table; pairs with qr_pte_read. */
	if (qr_cas(&entry->raw, &seen, pte.raw)) {
		(void)qr_fetch_add_relaxed(&parent->refs, 1);
		*child = page;
	} else {
		table_free(table, page);
		*child = table_of(table, (qr_pte_t){seen});
	}
	return 0;
}

static struct qr_frame *table_alloc(struct qr_pgtable *table)
{
	struct qr_frame *page = qr_alloc_pages(table->vmm, 0, QR_GFP_KERNEL | QR_GFP_ZERO);

	if (!page)
		return NULL;
	qr_frame_set_kind(page, QR_FRAME_PT, 0);
	qr_store_relaxed(&page->refs, 0);
	qr_store_relaxed(&page->pt_lock, 0);
	page->owner = table->is_lock_shared ? table : NULL;
	(void)qr_fetch_add_relaxed(&table->nr_tables, 1);
	return page;
}

static void table_free(struct qr_pgtable *table, struct qr_frame *page)
{
	QR_ASSERT(qr_load_relaxed(&page->pt_lock) == 0);
	qr_frame_set_kind(page, QR_FRAME_KERNEL, 0);
	qr_free_pages(table->vmm, page, 0);
	(void)qr_fetch_sub(&table->nr_tables, 1);
}

uint64_t qr_pgtable_free_range(struct qr_pgtable *table, uint64_t floor, uint64_t ceiling)
{
	return free_level(table, table->root, QR_PT_LEVELS - 1, 0, floor, QR_MIN(ceiling, QR_VA_END));
}

/* Frees the empty tables below page, which starts at base, that lie wholly in [floor, ceiling). */
static uint64_t free_level(struct qr_pgtable *table, struct qr_frame *page, unsigned level, uint64_t base,
			   uint64_t floor, uint64_t ceiling)
{
	uint64_t span = qr_pt_entry_span(level);
	uint64_t start = QR_MAX(base, QR_ALIGN_DOWN(floor, span));
	uint64_t end = QR_MIN(base + span * QR_PT_ENTRIES, ceiling);
	uint64_t nr_freed = 0;

	for (uint64_t va = start; va < end; va += span) {
		qr_pte_t *entry = &table_entries(table, page)[qr_pt_index(va, level)];
		qr_pte_t pte = qr_pte_read(entry);
		struct qr_frame *child;

		if (!qr_pte_is_table(pte))
			continue;
		child = table_of(table, pte);
		if (level > 1)
			nr_freed += free_level(table, child, level - 1, va, floor, ceiling);
		if (va < floor || va + span > ceiling || qr_load_relaxed(&child->refs) != 0)
			continue;
		qr_store_relaxed(&entry->raw, 0);
		(void)qr_fetch_sub(&page->refs, 1);
		table_free(table, child);
		nr_freed++;
	}
	return nr_freed;
}

/* O(tables). Nobody changes the tables meanwhile. */
bool qr_pgtable_is_valid(struct qr_pgtable *table)
{
	uint64_t nr_tables = 0;

	return level_is_valid(table, table->root, QR_PT_LEVELS - 1, &nr_tables) &&
	       nr_tables == qr_load_relaxed(&table->nr_tables);
}

static bool level_is_valid(struct qr_pgtable *table, struct qr_frame *page, unsigned level, uint64_t *nr_tables)
{
	uint32_t nr_used = 0;

	if (qr_frame_kind(page) != QR_FRAME_PT)
		return false;
	++*nr_tables;
	for (unsigned i = 0; i < QR_PT_ENTRIES; i++) {
		qr_pte_t pte = qr_pte_read(&table_entries(table, page)[i]);

		if (qr_pte_is_none(pte))
			continue;
		nr_used++;
		if (level > 0 && !level_is_valid(table, table_of(table, pte), level - 1, nr_tables))
			return false;
	}
	return nr_used == qr_load_relaxed(&page->refs);
}
