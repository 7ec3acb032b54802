/*
 * The page fault loop: find the VMA, look at the PTE, run the case that it calls for, and begin again where the
 * world changed meanwhile. The VMA stays read-locked through a round; frames are allocated and content is loaded
 * with no page-table lock held, and what was prepared is checked again under the lock before it is installed.
 *
 * Locks: vma(R), then whatever the case takes. No aspace lock (V4).
 */
#include "fault/fault_priv.h"

static int fault_round(struct fault *fault);
static int fault_check_access(const struct fault *fault);

int qr_fault(struct qr_aspace *aspace, uint64_t va, uint32_t flags)
{
	struct fault fault = {
		.aspace = aspace,
		.va = va & QR_PAGE_MASK,
		.flags = flags,
		.max_order = QR_FOLIO_MAX_ORDER,
	};
	struct qr_stats *stats = &aspace->vmm->stats;
	uint64_t start_ns = qr_port_now_ns();
	int err;

	qr_stat_add(stats, QR_STAT_faults, 1);
	for (;;) {
		fault.vma = qr_aspace_find_locked(aspace, fault.va); /* holds: vma(R) */
		err = fault.vma ? fault_check_access(&fault) : QR_EFAULT;
		if (!err)
			err = fault_round(&fault);
		if (fault.vma)
			qr_vma_unlock(fault.vma); /* holds: nothing */
		if (err != QR_ERETRY)
			break;
		qr_stat_add(stats, QR_STAT_faults_retried, 1);
	}
	if (err == QR_EFAULT || err == QR_EACCES)
		qr_stat_add(stats, QR_STAT_faults_segv, 1);
	qr_stat_add(stats, QR_STAT_fault_ns, qr_port_now_ns() - start_ns);
	return err;
}

static int fault_check_access(const struct fault *fault)
{
	uint32_t need = QR_PROT_READ;

	if (fault->flags & QR_FAULT_WRITE)
		need = QR_PROT_WRITE;
	else if (fault->flags & QR_FAULT_EXEC)
		need = QR_PROT_EXEC;
	/* x86 has no write-only or execute-only page: any right lets the processor read. */
	if (need == QR_PROT_READ)
		return fault->vma->prot ? 0 : QR_EACCES;
	return fault->vma->prot & need ? 0 : QR_EACCES;
}

static int fault_round(struct fault *fault)
{
	qr_pte_t pte;
	int err = qr_pgtable_populate(&fault->aspace->pgtable, fault->va, &fault->page);

	if (err)
		return err;
	pte = qr_pte_read(fault_entry(fault, fault->va));
	if (qr_pte_is_none(pte))
		return qr_fault_fill(fault);
	if (qr_pte_is_swap(pte))
		return qr_fault_swapin(fault);
	if (fault->flags & QR_FAULT_WRITE && !qr_pte_is_writable(pte))
		return qr_fault_cow(fault);
	if (qr_pte_is_idle(pte))
		return qr_fault_idle(fault);
	return qr_fault_present(fault);
}

int qr_fault_present(struct fault *fault)
{
	/* Another thread resolved it first: the access is tried again. */
	qr_stat_add(&fault->aspace->vmm->stats, QR_STAT_faults_spurious, 1);
	qr_port_wake_faulters(fault->aspace->vmm->port, fault->aspace->port_space, fault->va, QR_PAGE_SIZE);
	return 0;
}

bool qr_fault_window_fits(const struct fault *fault, uint64_t va, unsigned order)
{
	uint64_t end = va + (QR_PAGE_SIZE << order);

	return va >= fault->vma->start && end <= fault->vma->end &&
	       QR_ALIGN_DOWN(va, QR_PT_SPAN) == QR_ALIGN_DOWN(end - 1, QR_PT_SPAN);
}

void qr_fault_make_room(struct fault *fault, uint32_t nr)
{
	struct qr_vmm *vmm = fault->aspace->vmm;
	uint64_t start_ns;

	if (fault->vma->object->group)
		qr_group_make_room(fault->vma->object->group, nr);
	qr_kswapd_run_ahead(vmm, nr);
	if (qr_vmm_is_above(vmm, QR_WMARK_LOW, nr))
		return;
	start_ns = qr_port_now_ns();
	(void)qr_reclaim(vmm, nr);
	qr_stat_add(&vmm->stats, QR_STAT_direct_reclaims, 1);
	qr_stat_add(&vmm->stats, QR_STAT_stalled_ns, qr_port_now_ns() - start_ns);
}

void qr_fault_adopt(struct fault *fault, struct qr_frame *folio, unsigned order, uint64_t va)
{
	struct qr_vma *vma = fault->vma;

	qr_frame_set_kind(folio, QR_FRAME_FOLIO, order);
	folio->owner = vma->object;
	folio->index = vma->index + (uint32_t)((va - vma->start) >> QR_PAGE_SHIFT);
	folio->private_word = qr_balance_now(&fault->aspace->vmm->balance);
	qr_object_get(vma->object);
	if (qr_unlikely(vma->object->group != NULL))
		qr_lru_set_group(&fault->aspace->vmm->lru, folio, vma->object->group->number);
	if (vma->flags & QR_VMA_LOCKED)
		qr_folio_set(folio, QR_FOLIO_UNEVICTABLE);
	/* Release pairs with the acquire in qr_folio_try_get: whoever pins the folio sees it whole. */
	qr_store_release(&folio->refs, (1u << order) + 1);
}

int qr_fault_map_run(struct fault *fault, uint64_t va, uint32_t pfn, uint32_t nr, uint32_t prot)
{
	struct qr_aspace *aspace = fault->aspace;
	uint32_t done = 0;
	int err = qr_port_map(aspace->vmm->port, aspace->port_space, va, (qr_pfn_t){pfn}, nr, prot, &done);

	for (uint32_t i = 0; i < done; i++)
		qr_pte_write(fault->page, fault_entry(fault, va + i * QR_PAGE_SIZE),
			     qr_pte_present((qr_pfn_t){pfn + i}, prot));
	qr_stat_add(&aspace->vmm->stats, QR_STAT_pages_mapped, done);
	return err == QR_EAGAIN ? QR_ERETRY : err;
}

void qr_fault_publish(struct fault *fault, struct qr_frame *folio)
{
	struct qr_vmm *vmm = fault->aspace->vmm;

	qr_lru_add(&vmm->lru, folio);
	qr_folio_put(vmm, folio, 1);
}
