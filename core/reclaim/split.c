/*
 * Splitting a large folio before it is evicted, so that its frames come free as its pages are stored and not only when
 * the last one is: reclaim needs free frames to store into.
 *
 * The references of a folio are its PTEs and its pins. All of its PTEs lie in one page-table page, and both PTEs and
 * pins that are taken through PTEs change under that page's lock only; so under the lock the PTEs can be counted, and
 * if nothing but them and the caller's pin is left, the references can be dealt out to the parts.
 *
 * Locks: the folio lock is held, the folio is on no LRU list; the parts come out locked, pinned and on no list.
 */
#include "reclaim/reclaim_priv.h"

struct split_context {
	struct qr_vmm *vmm;
	struct qr_frame *folio;
	unsigned order;
	uint32_t nr_visits; /* mappings of the folio */
	bool is_split;
};

/* holds: page-table page. How many of the nr entries from va on name the pages from pfn on. */
static uint32_t count_ptes(struct qr_pgtable *table, struct qr_frame *page, uint64_t va, uint32_t pfn, uint32_t nr)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < nr; i++) {
		qr_pte_t pte = qr_pte_read(qr_pt_entry(table, page, va + i * QR_PAGE_SIZE));

		count += qr_pte_is_idle(pte) && qr_pte_pfn(pte).nr == pfn + i;
	}
	return count;
}

static void make_part(struct qr_frame *folio, uint32_t first, unsigned order, uint32_t nr_ptes)
{
	struct qr_frame *part = folio + first;

	for (uint32_t i = 1; i < 1u << order; i++)
		qr_frame_set_kind(part + i, QR_FRAME_TAIL, order);
	if (first) {
		uint32_t kept = qr_load_relaxed(&folio->flags) & (QR_FOLIO_LRUVEC_MASK | QR_FOLIO_WORKINGSET);

		part->owner = folio->owner;
		part->index = folio->index + first;
		part->private_word = folio->private_word;
		qr_object_get(folio->owner);
		qr_store_relaxed(&part->flags, QR_FRAME_FOLIO | (uint32_t)order << QR_FRAME_ORDER_SHIFT |
						       QR_FOLIO_LOCKED | QR_FOLIO_IDLE | kept);
		qr_lock_note_take(part, QR_RANK_FOLIO, true);
	} else {
		/* The head keeps its flags: somebody may be parked on the lock. */
		(void)qr_fetch_and(&part->flags, ~QR_FRAME_ORDER_MASK);
		(void)qr_fetch_or(&part->flags, (uint32_t)order << QR_FRAME_ORDER_SHIFT);
	}
	qr_store_release(&part->refs, nr_ptes + 1);
}

/* holds: folio, object(R), page-table page. Deals the references out if all are known. */
static bool split_locked(struct split_context *context, struct qr_pgtable *table, struct qr_frame *page, uint64_t va)
{
	uint32_t nr_parts = qr_folio_nr_pages(context->folio) >> context->order;
	uint32_t nr_each = 1u << context->order;
	uint32_t pfn = qr_zone_pfn(&context->vmm->zone, context->folio);
	uint32_t total = count_ptes(table, page, va, pfn, nr_parts * nr_each);

	if (qr_load_acquire(&context->folio->refs) != total + 1)
		return false;
	for (uint32_t part = nr_parts; part-- > 0;)
		make_part(context->folio, part * nr_each, context->order,
			  count_ptes(table, page, va + part * nr_each * QR_PAGE_SIZE, pfn + part * nr_each, nr_each));
	return true;
}

static bool split_in_vma(struct qr_vma *vma, uint64_t va, uint32_t first, uint32_t nr, void *argument)
{
	struct split_context *context = argument;
	struct qr_pgtable *table = &vma->aspace->pgtable;
	struct qr_frame *page = qr_pgtable_find(table, va);

	/* Only the plain case: one mapping of the whole folio. */
	if (context->nr_visits++ || first || nr != qr_folio_nr_pages(context->folio) || !page)
		return false;
	qr_pt_lock(page);
	context->is_split = split_locked(context, table, page, va);
	qr_pt_unlock(page);
	return false;
}

bool qr_folio_split(struct qr_vmm *vmm, struct qr_frame *folio, unsigned order)
{
	struct split_context context = {.vmm = vmm, .folio = folio, .order = order};

	if (!qr_port_is_exclusive(vmm->port))
		return false;
	qr_rmap_walk(folio, split_in_vma, &context);
	return context.is_split;
}
