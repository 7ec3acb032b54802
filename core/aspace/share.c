/*
 * Which pages are shared between address spaces. An entry of a shared page never allows writing; one that forbids it in
 * a VMA that allows it may be of a shared page or of one that was.
 *
 * References tell them apart: a folio's are its entries and its pins. If as many entries of one page-table page name it
 * as it has references, nobody else has it, and since references are only taken through entries, nobody can get it
 * while the caller holds the page-table lock and keeps forks away. A pin makes a folio look shared, which costs a copy.
 */
#include "aspace/aspace_priv.h"

static void shield_table(struct qr_vma *vma, struct qr_frame *page, uint64_t start, uint64_t end);

bool qr_folio_part_has(const struct qr_folio_part *part, uint32_t i, qr_pte_t pte)
{
	return (qr_pte_is_present(pte) || qr_pte_is_idle(pte)) && qr_pte_pfn(pte).nr == part->pfn + i;
}

bool qr_folio_is_private(struct qr_vma *vma, struct qr_frame *page, uint64_t va, struct qr_folio_part *part)
{
	struct qr_pgtable *table = &vma->aspace->pgtable;
	const struct qr_zone *zone = &vma->aspace->vmm->zone;
	uint32_t pfn = qr_pte_pfn(qr_pte_read(qr_pt_entry(table, page, va))).nr;
	const struct qr_frame *folio = qr_folio_of_pfn(zone, pfn);
	uint32_t head_pfn = qr_zone_pfn(zone, folio);
	uint64_t floor = QR_MAX(vma->start, QR_ALIGN_DOWN(va, QR_PT_SPAN));
	uint64_t ceiling = QR_MIN(vma->end, QR_ALIGN_DOWN(va, QR_PT_SPAN) + QR_PT_SPAN);
	uint64_t nr_below = QR_MIN((uint64_t)(pfn - head_pfn), (va - floor) >> QR_PAGE_SHIFT);
	uint64_t nr_above =
		QR_MIN((uint64_t)(head_pfn + qr_folio_nr_pages(folio) - pfn), (ceiling - va) >> QR_PAGE_SHIFT);
	uint32_t nr_entries = 0;

	part->va = va - (nr_below << QR_PAGE_SHIFT);
	part->pfn = pfn - (uint32_t)nr_below;
	part->nr = (uint32_t)(nr_below + nr_above);
	for (uint32_t i = 0; i < part->nr; i++)
		nr_entries +=
			qr_folio_part_has(part, i, qr_pte_read(qr_pt_entry(table, page, part->va + i * QR_PAGE_SIZE)));
	/* Acquire pairs with the release of whoever dropped its reference: its accesses are over. */
	return qr_load_acquire(&folio->refs) == nr_entries;
}

void qr_shield_shared(struct qr_vma *vma)
{
	struct qr_pgtable *table = &vma->aspace->pgtable;

	for (uint64_t va = vma->start; va < vma->end;) {
		uint64_t table_end = QR_MIN(QR_ALIGN_DOWN(va, QR_PT_SPAN) + QR_PT_SPAN, vma->end);
		struct qr_frame *page = qr_pgtable_find(table, va);

		if (page && qr_load_relaxed(&page->refs) != 0)
			shield_table(vma, page, va, table_end);
		va = table_end;
	}
}

/* holds: page-table page. Takes the present page of va out of the hardware's tables if it may be shared. */
static int shield_page(struct qr_vma *vma, struct qr_frame *page, uint64_t va)
{
	struct qr_aspace *aspace = vma->aspace;
	qr_pte_t *entry = qr_pt_entry(&aspace->pgtable, page, va);
	qr_pte_t pte = qr_pte_read(entry);
	struct qr_folio_part part;
	uint32_t done = 0;
	int err;

	if (!qr_pte_is_present(pte) || qr_pte_is_writable(pte) || qr_folio_is_private(vma, page, va, &part))
		return 0;
	err = qr_port_unmap(aspace->vmm->port, aspace->port_space, va, qr_pte_pfn(pte), 1, qr_pte_prot(pte), &done);
	if (err == QR_EFAULT)
		done = 1; /* the machine has no such range any more: this page is off its hands */
	if (done)
		qr_pte_write(page, entry, qr_pte_to_idle(pte));
	return done ? 0 : err;
}

static void shield_table(struct qr_vma *vma, struct qr_frame *page, uint64_t start, uint64_t end)
{
	unsigned spins = 0;

	for (uint64_t va = start; va < end;) {
		int err = 0;

		qr_pt_lock(page); /* holds: aspace, vma(W), page-table page */
		while (va < end && !err) {
			err = shield_page(vma, page, va);
			va += err ? 0 : QR_PAGE_SIZE;
		}
		qr_pt_unlock(page);
		/* Pages are pinned for a while only; the machine sees to that. */
		if (err)
			qr_port_cpu_relax(spins++);
	}
}
