/*
 * A touch of an idle folio: it goes back into the hardware's tables and counts as recently used. No content moves
 * through memory and nothing is allocated.
 */
#include "fault/fault_priv.h"

/* holds: page-table page. The entry of va is idle, with that protection, and names that PFN. */
static bool is_idle_page(struct fault *fault, uint64_t va, uint32_t pfn, uint32_t prot)
{
	qr_pte_t pte = qr_pte_read(fault_entry(fault, va));

	return qr_pte_is_idle(pte) && qr_pte_pfn(pte).nr == pfn && qr_pte_prot(pte) == prot;
}

/* holds: page-table page, folio. Maps the run of idle entries of this folio around va that are like the one of va: an
 * entry without the right to write stays so, since the page may be shared. */
static int idle_map(struct fault *fault, struct qr_frame *folio)
{
	const struct qr_zone *zone = &fault->aspace->vmm->zone;
	uint32_t head_pfn = qr_zone_pfn(zone, folio);
	uint32_t end_pfn = head_pfn + qr_folio_nr_pages(folio);
	uint64_t low = fault->va, high = fault->va + QR_PAGE_SIZE;
	qr_pte_t pte = qr_pte_read(fault_entry(fault, fault->va));
	uint32_t pfn = qr_pte_pfn(pte).nr, next_pfn = pfn + 1;
	uint32_t prot = qr_pte_prot(pte);
	uint64_t floor = QR_MAX(fault->vma->start, QR_ALIGN_DOWN(fault->va, QR_PT_SPAN));
	uint64_t ceiling = QR_MIN(fault->vma->end, QR_ALIGN_DOWN(fault->va, QR_PT_SPAN) + QR_PT_SPAN);

	while (low > floor && pfn > head_pfn && is_idle_page(fault, low - QR_PAGE_SIZE, pfn - 1, prot)) {
		low -= QR_PAGE_SIZE;
		pfn--;
	}
	while (high < ceiling && next_pfn < end_pfn && is_idle_page(fault, high, next_pfn, prot)) {
		high += QR_PAGE_SIZE;
		next_pfn++;
	}
	return qr_fault_map_run(fault, low, pfn, next_pfn - pfn, prot);
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
	qr_locality_touched(fault);
	qr_stat_add(&vmm->stats, QR_STAT_faults_idle, 1);
	return err;
}
