/*
 * Copy on write: a write to a page whose entry forbids it although the VMA allows it. The page was shared by a fork,
 * and may still be.
 *
 * If nobody else has the folio any more its entries get the right to write. Otherwise the page is copied, with no
 * page-table lock held. That is sound because nobody writes to it as long as this entry names it, and an entry that is
 * the same at the end was so throughout: only fork and mprotect, which take vma->lock for writing, could bring it back.
 * A pin keeps the frame from other uses meanwhile.
 *
 * The replaced page keeps its references until the machine has unmapped it everywhere.
 *
 * Locks: vma(R) throughout, the page-table page's lock at both ends.
 */
#include "fault/fault_priv.h"

static int cow_reuse(struct fault *fault, const struct qr_folio_part *part);
static int cow_copy(struct fault *fault, qr_pte_t pte, struct qr_frame *folio);
static int cow_replace(struct fault *fault, qr_pte_t pte, uint32_t pfn);

int qr_fault_cow(struct fault *fault)
{
	struct qr_vmm *vmm = fault->aspace->vmm;
	struct qr_folio_part part;
	struct qr_frame *folio;
	qr_pte_t pte;
	int err;

	qr_pt_lock(fault->page); /* holds: vma(R), page-table page */
	pte = qr_pte_read(fault_entry(fault, fault->va));
	if (qr_pte_is_writable(pte) || !(qr_pte_is_present(pte) || qr_pte_is_idle(pte))) {
		qr_pt_unlock(fault->page);
		return QR_ERETRY;
	}
	if (qr_folio_is_private(fault->vma, fault->page, fault->va, &part)) {
		err = cow_reuse(fault, &part);
		qr_pt_unlock(fault->page);
		qr_stat_add(&vmm->stats, QR_STAT_faults_reuse, 1);
		return err;
	}
	folio = qr_folio_of_pfn(&vmm->zone, qr_pte_pfn(pte).nr);
	qr_folio_get(folio, 1);
	qr_pt_unlock(fault->page); /* holds: vma(R) */
	err = cow_copy(fault, pte, folio);
	qr_folio_put(vmm, folio, 1);
	return err;
}

/* holds: page-table page. All entries of the folio's part, each of which names a page that nobody else has, may be
 * written through from now on. */
static int cow_reuse(struct fault *fault, const struct qr_folio_part *part)
{
	struct qr_aspace *aspace = fault->aspace;
	uint32_t prot = fault->vma->prot;

	for (uint32_t i = 0; i < part->nr; i++) {
		uint64_t va = part->va + i * QR_PAGE_SIZE;
		qr_pte_t *entry = fault_entry(fault, va);
		qr_pte_t pte = qr_pte_read(entry);
		uint32_t done = 0;

		if (!qr_folio_part_has(part, i, pte) || qr_pte_is_writable(pte))
			continue;
		if (qr_pte_is_present(pte)) {
			int err = qr_port_protect(aspace->vmm->port, aspace->port_space, va, qr_pte_pfn(pte), 1, prot,
						  &done);

			if (!done)
				return err == QR_EAGAIN ? QR_ERETRY : err;
		}
		qr_pte_write(fault->page, entry, qr_pte_with_prot(pte, prot));
	}
	/* An idle page has to be mapped yet. */
	if (qr_pte_is_idle(qr_pte_read(fault_entry(fault, fault->va))))
		return QR_ERETRY;
	qr_port_wake_faulters(aspace->vmm->port, aspace->port_space, fault->va, QR_PAGE_SIZE);
	return 0;
}

/* The folio is pinned. Gives the fault's page a copy of its own, if its entry is still what it was. */
static int cow_copy(struct fault *fault, qr_pte_t pte, struct qr_frame *folio)
{
	struct qr_vmm *vmm = fault->aspace->vmm;
	struct qr_frame *copy = qr_fault_alloc(fault, 0, QR_GFP_USER);
	uint32_t pfn;
	qr_pte_t now;
	int err = QR_ERETRY;

	if (!copy)
		return QR_ENOMEM;
	pfn = qr_zone_pfn(&vmm->zone, copy);
	memcpy(qr_port_frame_address(vmm->port, (qr_pfn_t){pfn}), qr_port_frame_address(vmm->port, qr_pte_pfn(pte)),
	       QR_PAGE_SIZE);
	qr_fault_adopt(fault, copy, 0, fault->va);
	qr_pt_lock(fault->page); /* holds: vma(R), page-table page */
	now = qr_pte_read(fault_entry(fault, fault->va));
	/* Reclaim may have unmapped it meanwhile, or another touch mapped it: it is the same page all the same. */
	if ((qr_pte_is_present(now) || qr_pte_is_idle(now)) && qr_pte_pfn(now).nr == qr_pte_pfn(pte).nr &&
	    !qr_pte_is_writable(now))
		err = cow_replace(fault, now, pfn);
	now = qr_pte_read(fault_entry(fault, fault->va));
	qr_pt_unlock(fault->page); /* holds: vma(R) */
	if ((qr_pte_is_present(now) || qr_pte_is_idle(now)) && qr_pte_pfn(now).nr == pfn) {
		qr_stat_add(&vmm->stats, QR_STAT_faults_cow, 1);
		qr_fault_publish(fault, copy);
		qr_folio_put(vmm, folio, 1); /* the reference of the entry */
	} else {
		qr_folio_put(vmm, copy, 2);
	}
	return err;
}

/* holds: page-table page. */
static int cow_replace(struct fault *fault, qr_pte_t pte, uint32_t pfn)
{
	struct qr_aspace *aspace = fault->aspace;
	uint32_t prot = fault->vma->prot;
	uint32_t done = 0;

	if (qr_pte_is_present(pte)) {
		int err = qr_port_unmap(aspace->vmm->port, aspace->port_space, fault->va, qr_pte_pfn(pte), 1,
					qr_pte_prot(pte), &done);

		if (!done)
			return err == QR_EAGAIN || err == QR_EBUSY ? QR_ERETRY : err;
	}
	qr_pte_write(fault->page, fault_entry(fault, fault->va), qr_pte_idle((qr_pfn_t){pfn}, prot));
	return qr_fault_map_run(fault, fault->va, pfn, 1, prot);
}
