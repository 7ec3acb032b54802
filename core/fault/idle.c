/*
 * A touch of an idle folio: it goes back into the hardware's tables and counts as recently used. No content moves
 * through memory and nothing is allocated.
 */
#include "fault/fault_priv.h"

/* holds: page-table page, folio. Maps the run of idle entries of this folio around va. */
static int idle_map(struct fault *fault, struct qr_frame *folio)
{
	const struct qr_zone *zone = &fault->aspace->vmm->zone;
	uint32_t head_pfn = qr_zone_pfn(zone, folio);
	uint32_t nr_pages = qr_folio_nr_pages(folio);
	uint64_t low = fault->va, high = fault->va;
	uint32_t pfn = qr_pte_pfn(qr_pte_read(fault_entry(fault, fault->va))).nr;
	uint64_t floor = QR_MAX(fault->vma->start, QR_ALIGN_DOWN(fault->va, QR_PT_SPAN));
	uint64_t ceiling = QR_MIN(fault->vma->end, QR_ALIGN_DOWN(fault->va, QR_PT_SPAN) + QR_PT_SPAN);

	while (low > floor && pfn > head_pfn) {
		qr_pte_t pte = qr_pte_read(fault_entry(fault, low - QR_PAGE_SIZE));

		if (!qr_pte_is_idle(pte) || qr_pte_pfn(pte).nr != pfn - 1)
			break;
		low -= QR_PAGE_SIZE;
		pfn--;
	}
	do
		high += QR_PAGE_SIZE;
	while (high < ceiling && pfn + (high - low) / QR_PAGE_SIZE < head_pfn + nr_pages &&
	       qr_pte_is_idle(qr_pte_read(fault_entry(fault, high))) &&
	       qr_pte_pfn(qr_pte_read(fault_entry(fault, high))).nr == pfn + (high - low) / QR_PAGE_SIZE);
	return qr_fault_map_run(fault, low, pfn, (uint32_t)((high - low) / QR_PAGE_SIZE));
}

int qr_fault_idle(struct fault *fault)
{
	struct qr_vmm *vmm = fault->aspace->vmm;
	struct qr_frame *folio;
	qr_pte_t pte;
	int err;

	qr_pt_lock(fault->page); /* holds: vma(R), page-table page */
	pte = qr_pte_read(fault_entry(fault, fault->va));
	if (!qr_pte_is_idle(pte)) {
		qr_pt_unlock(fault->page);
		return QR_ERETRY;
	}
	folio = qr_folio_of_pfn(&vmm->zone, qr_pte_pfn(pte).nr);
	qr_folio_get(folio, 1);
	if (!qr_folio_trylock(folio)) {
		/* Reclaim is storing it: wait for the outcome. */
		qr_pt_unlock(fault->page);
		qr_folio_lock(folio);
		qr_folio_unlock(folio);
		qr_folio_put(vmm, folio, 1);
		return QR_ERETRY;
	}
	err = idle_map(fault, folio);
	qr_folio_clear(folio, QR_FOLIO_IDLE);
	qr_folio_set(folio, QR_FOLIO_REFERENCED);
	qr_folio_unlock(folio);
	qr_pt_unlock(fault->page); /* holds: vma(R) */
	qr_folio_put(vmm, folio, 1);
	qr_stat_add(&vmm->stats, QR_STAT_faults_idle, 1);
	return err;
}
