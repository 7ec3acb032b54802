/*
 * Bringing pages in ahead of their use, by the fault loop itself, and marking folios as locked in memory.
 *
 * The next page that needs a fault is looked for under the VMA's lock; the fault is taken without it. A fault often
 * brings in a window of pages, which are then passed over.
 *
 * Locks: one VMA at a time, for reading.
 */
#include "aspace/aspace_priv.h"

#include "fault/fault.h"

/* What the fault of a page needs. */
struct need {
	uint64_t va;
	uint32_t flags; /* QR_FAULT_* */
};

static bool is_needed(const struct qr_vma *vma, qr_pte_t pte, enum qr_populate what)
{
	if (qr_pte_is_present(pte))
		return false;
	return what == QR_POPULATE_ALL || !qr_pte_is_none(pte) || vma->object->is_file;
}

/* The first page of the VMA in [va, end) that needs a fault; end if none does. */
static uint64_t next_in_vma(struct qr_vma *vma, uint64_t va, uint64_t end, enum qr_populate what)
{
	struct qr_pgtable *table = &vma->aspace->pgtable;

	while (va < end) {
		struct qr_frame *page = qr_pgtable_find(table, va);
		uint64_t table_end = QR_MIN(QR_ALIGN_DOWN(va, QR_PT_SPAN) + QR_PT_SPAN, end);

		if (!page && is_needed(vma, qr_pte_none(), what))
			return va;
		for (; page && va < table_end; va += QR_PAGE_SIZE) {
			if (is_needed(vma, qr_pte_read(qr_pt_entry(table, page, va)), what))
				return va;
		}
		va = table_end;
	}
	return end;
}

/* The next page in [need->va, end) that needs a fault; false if none does. */
static bool find_need(struct qr_aspace *aspace, struct need *need, uint64_t end, enum qr_populate what)
{
	struct qr_vma *vma;

	while (need->va < end && (vma = qr_aspace_next_locked(aspace, need->va))) {
		uint64_t vma_end = QR_MIN(vma->end, end);
		uint64_t va = QR_MIN(QR_MAX(need->va, vma->start), end);
		bool has_rights = vma->prot != 0;

		need->flags = vma->prot & QR_PROT_WRITE ? QR_FAULT_WRITE : 0;
		if (what == QR_POPULATE_STORED)
			need->flags = QR_FAULT_PREFETCH;
		need->va = has_rights ? next_in_vma(vma, va, vma_end, what) : vma_end;
		qr_vma_unlock(vma);
		if (need->va < vma_end)
			return true;
	}
	return false;
}

int qr_populate(struct qr_aspace *aspace, uint64_t start, uint64_t end, enum qr_populate what)
{
	struct need need = {.va = start};

	while (find_need(aspace, &need, end, what)) {
		int err = qr_fault(aspace, need.va, need.flags);

		/* The VMA may have gone meanwhile: no fault of the caller's. */
		if (err && err != QR_EFAULT && err != QR_EACCES)
			return err;
		need.va += QR_PAGE_SIZE;
	}
	return 0;
}

void qr_mark_evictable(struct qr_vmm *vmm, struct qr_frame *folio)
{
	qr_folio_clear(folio, QR_FOLIO_UNEVICTABLE);
	qr_lru_rescue(&vmm->lru, folio);
}

/* One page-table page's part of a VMA. */
static void mark_table(struct qr_vma *vma, struct qr_frame *page, uint64_t va, uint64_t end, bool is_unevictable)
{
	struct qr_aspace *aspace = vma->aspace;
	struct qr_frame *last = NULL;

	qr_pt_lock(page);
	for (; va < end; va += QR_PAGE_SIZE) {
		qr_pte_t pte = qr_pte_read(qr_pt_entry(&aspace->pgtable, page, va));
		struct qr_frame *folio;

		if (!qr_pte_is_present(pte) && !qr_pte_is_idle(pte))
			continue;
		folio = qr_folio_of_pfn(&aspace->vmm->zone, qr_pte_pfn(pte).nr);
		if (folio != last && is_unevictable)
			qr_folio_set(folio, QR_FOLIO_UNEVICTABLE);
		else if (folio != last)
			qr_mark_evictable(aspace->vmm, folio);
		last = folio;
	}
	qr_pt_unlock(page);
}

void qr_mark_unevictable(struct qr_aspace *aspace, uint64_t start, uint64_t end, bool is_unevictable)
{
	struct qr_vma *vma;

	for (uint64_t va = start; va < end && (vma = qr_aspace_next_locked(aspace, va));) {
		uint64_t vma_end = QR_MIN(vma->end, end);

		va = QR_MAX(va, vma->start);
		/* Another thread may have changed its mind in between. */
		if (!!(vma->flags & QR_VMA_LOCKED) != is_unevictable)
			va = QR_MAX(va, vma_end);
		while (va < vma_end) {
			struct qr_frame *page = qr_pgtable_find(&aspace->pgtable, va);
			uint64_t table_end = QR_MIN(QR_ALIGN_DOWN(va, QR_PT_SPAN) + QR_PT_SPAN, vma_end);

			if (page)
				mark_table(vma, page, va, table_end, is_unevictable);
			va = table_end;
		}
		qr_vma_unlock(vma);
	}
}
