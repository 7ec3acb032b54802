/*
 * Evicting a folio: unmap, store, replace its PTEs by swap entries, free.
 *
 * The content is stored while no page-table lock is held, so that faults elsewhere in the 2 MiB range go on. The
 * folio lock keeps faults from mapping the folio meanwhile; only an unmap may take its PTEs away, and then the
 * slot that was written goes unused.
 *
 * Locks: folio (trylock), then those of the reverse-mapping walk.
 */
#include "reclaim/reclaim_priv.h"

/* Pages stored at a time: bounds the arrays on the stack. */
#define EVICT_CHUNK 32u
/* Larger folios are split to 64 KiB first. */
#define EVICT_ORDER 4u

/* One chunk of a folio: pages [first, first + nr) and where they were stored. */
struct evict_context {
	struct qr_vmm *vmm;
	uint32_t head_pfn;
	uint32_t first;
	uint32_t nr;
	uint32_t shadow; /* what is known of the folio */
	uint32_t is_mapped[EVICT_CHUNK]; /* PTEs that name the page */
	uint32_t slots[EVICT_CHUNK];     /* QR_SLOT_NONE: not stored */
	uint32_t nr_dropped;             /* folio references to drop */
};

/* Calls back for each idle PTE of the folio's chunk in [va, va + nr), with the page-table page locked. */
static void for_each_idle_pte(struct evict_context *context, struct qr_vma *vma, uint64_t va, uint32_t first,
			      uint32_t nr,
			      void (*act)(struct evict_context *context, struct qr_vma *vma, struct qr_frame *page,
					  qr_pte_t *entry, uint32_t at))
{
	struct qr_pgtable *table = &vma->aspace->pgtable;
	struct qr_frame *page = qr_pgtable_find(table, va);
	uint32_t from = QR_MAX(first, context->first);
	uint32_t to = QR_MIN(first + nr, context->first + context->nr);

	if (!page || from >= to)
		return;
	qr_pt_lock(page);
	for (uint32_t i = from; i < to; i++) {
		qr_pte_t *entry = qr_pt_entry(table, page, va + (i - first) * QR_PAGE_SIZE);
		qr_pte_t pte = qr_pte_read(entry);

		if (qr_pte_is_idle(pte) && qr_pte_pfn(pte).nr == context->head_pfn + i)
			act(context, vma, page, entry, i - context->first);
	}
	qr_pt_unlock(page);
}

static void count_pte(struct evict_context *context, struct qr_vma *vma, struct qr_frame *page, qr_pte_t *entry,
		      uint32_t at)
{
	(void)vma;
	(void)page;
	(void)entry;
	context->is_mapped[at]++;
}

static bool count_in_vma(struct qr_vma *vma, uint64_t va, uint32_t first, uint32_t nr, void *argument)
{
	for_each_idle_pte(argument, vma, va, first, nr, count_pte);
	return true;
}

/* Each PTE holds a slot reference of its own, beside the one that the store returned. */
static void replace_pte(struct evict_context *context, struct qr_vma *vma, struct qr_frame *page, qr_pte_t *entry,
			uint32_t at)
{
	if (context->slots[at] == QR_SLOT_NONE)
		return;
	qr_swap_get(context->vmm->swap, context->slots[at]);
	qr_pte_write(page, entry, qr_pte_swap(context->slots[at]));
	qr_vma_count(vma, 0 - (uint64_t)1, 1);
	context->nr_dropped++;
}

static bool replace_in_vma(struct qr_vma *vma, uint64_t va, uint32_t first, uint32_t nr, void *argument)
{
	for_each_idle_pte(argument, vma, va, first, nr, replace_pte);
	return true;
}

/* Stores the mapped pages of the chunk. Pages that nothing maps any more need no storage. */
static int store_chunk(struct evict_context *context)
{
	void *pages[EVICT_CHUNK];
	uint32_t at[EVICT_CHUNK], slots[EVICT_CHUNK];
	uint32_t nr = 0, nr_stored = 0;
	int err;

	for (uint32_t i = 0; i < context->nr; i++) {
		context->slots[i] = QR_SLOT_NONE;
		if (!context->is_mapped[i])
			continue;
		pages[nr] =
			qr_port_frame_address(context->vmm->port, (qr_pfn_t){context->head_pfn + context->first + i});
		at[nr++] = i;
	}
	err = nr ? qr_swap_store(context->vmm->swap, pages, nr, slots, &nr_stored) : 0;
	qr_swap_set_shadow(context->vmm->swap, slots, nr_stored, context->shadow);
	for (uint32_t i = 0; i < nr_stored; i++)
		context->slots[at[i]] = slots[i];
	return err;
}

static int evict_chunk(struct evict_context *context, struct qr_frame *folio)
{
	int err;

	for (uint32_t i = 0; i < context->nr; i++)
		context->is_mapped[i] = 0;
	context->nr_dropped = 0;
	qr_rmap_walk(folio, count_in_vma, context);
	err = store_chunk(context);
	qr_rmap_walk(folio, replace_in_vma, context);
	for (uint32_t i = 0; i < context->nr; i++)
		if (context->slots[i] != QR_SLOT_NONE)
			qr_swap_put(context->vmm->swap, context->slots[i]);
	/* The caller's pin keeps the folio alive. */
	if (context->nr_dropped)
		qr_folio_put(context->vmm, folio, context->nr_dropped);
	return err;
}

/* Puts an isolated folio back where the scanner will not meet it soon, and drops the pin. */
static void evict_give_up(struct qr_vmm *vmm, struct qr_frame *folio)
{
	qr_lru_put_back(&vmm->lru, folio, QR_LRU_ACTIVE, false);
	qr_folio_put(vmm, folio, 1);
}

/* The folio is locked, pinned and unmapped. Unlocks it and drops the pin. */
static uint32_t evict_locked(struct qr_vmm *vmm, struct qr_frame *folio)
{
	struct evict_context context = {
		.vmm = vmm,
		.head_pfn = qr_zone_pfn(&vmm->zone, folio),
		.shadow = qr_balance_shadow(&vmm->balance, qr_folio_side(folio), folio->private_word),
	};
	uint32_t nr_pages = qr_folio_nr_pages(folio);
	bool is_last;
	int err = 0;

	for (uint32_t first = 0; first < nr_pages && !err; first += EVICT_CHUNK) {
		context.first = first;
		context.nr = QR_MIN(EVICT_CHUNK, nr_pages - first);
		err = evict_chunk(&context, folio);
	}
	/* Only the pin is left: nothing can find the folio any more. */
	is_last = qr_load_acquire(&folio->refs) == 1;
	qr_folio_unlock(folio);
	if (!is_last) {
		evict_give_up(vmm, folio);
		return 0;
	}
	qr_folio_put_cold(vmm, folio, 1);
	qr_stat_add(&vmm->stats, QR_STAT_reclaimed_pages, nr_pages);
	return nr_pages;
}

uint32_t qr_evict_folio(struct qr_vmm *vmm, struct qr_frame *folio)
{
	uint32_t nr_pages = qr_folio_nr_pages(folio);
	uint32_t nr_freed = 0;
	uint32_t step = nr_pages;

	if (!qr_folio_trylock(folio)) {
		evict_give_up(vmm, folio);
		return 0;
	}
	if (qr_folio_test(folio, QR_FOLIO_UNEVICTABLE) || qr_folio_unmap(vmm, folio)) {
		qr_folio_unlock(folio);
		evict_give_up(vmm, folio);
		return 0;
	}
	if (qr_frame_order(folio) > EVICT_ORDER && qr_folio_split(vmm, folio, EVICT_ORDER))
		step = 1u << EVICT_ORDER;
	for (uint32_t first = 0; first < nr_pages; first += step)
		nr_freed += evict_locked(vmm, folio + first);
	return nr_freed;
}
