/*
 * mprotect: VMAs are split at the ends of the range; each part's machine range, PTEs and prot change under its
 * object's lock, so that reclaim, which comes through the reverse mapping, never sees them disagree.
 *
 * Locks: aspace->lock, vma->lock (W), object->lock (W), page-table locks.
 */
#include "aspace/aspace_priv.h"

static int protect_part(struct qr_aspace *aspace, uint64_t start, uint64_t end, uint32_t prot);
static void rewrite_entries(struct qr_vma *vma, uint32_t prot);

int qr_protect(struct qr_aspace *aspace, uint64_t va, uint64_t len_bytes, uint32_t prot)
{
	uint64_t end = va + len_bytes;
	int err = 0;

	if (!qr_range_is_sane(va, len_bytes) || prot & ~(QR_PROT_READ | QR_PROT_WRITE | QR_PROT_EXEC))
		return QR_EINVAL;
	qr_aspace_lock(aspace);
	for (uint64_t at = va; at < end && !err;) {
		struct qr_vma *vma = qr_vma_tree_find(aspace->tree, at);
		uint64_t part_end = vma ? QR_MIN(vma->end, end) : end;

		if (!vma || vma->start > at)
			err = QR_ENOMEM;
		else if (vma->prot != prot)
			err = protect_part(aspace, at, part_end, prot);
		at = part_end;
	}
	qr_vma_merge_range(aspace, va, end);
	qr_aspace_reap(aspace);
	qr_aspace_unlock(aspace);
	return err;
}

/* [start, end) lies in one VMA. */
static int protect_part(struct qr_aspace *aspace, uint64_t start, uint64_t end, uint32_t prot)
{
	struct qr_vma *vma;
	int err = qr_vma_split_at(aspace, start);

	if (!err)
		err = qr_vma_split_at(aspace, end);
	if (err)
		return err;
	vma = qr_vma_tree_find(aspace->tree, start);
	qr_vma_write_lock(vma);
	if (prot & QR_PROT_WRITE && qr_load_relaxed(&vma->object->is_forked))
		qr_shield_shared(vma);
	if (!prot && !(vma->flags & QR_VMA_LOCKED) && qr_port_is_exclusive(aspace->vmm->port))
		qr_hide_range(vma);
	qr_rwsem_write_lock(&vma->object->lock); /* holds: aspace, vma(W), object(W) */
	err = qr_port_range_protect(aspace->vmm->port, aspace->port_space, start, end - start, prot);
	if (!err) {
		rewrite_entries(vma, prot);
		vma->prot = prot;
	}
	qr_rwsem_write_unlock(&vma->object->lock);
	qr_vma_write_unlock(vma);
	return err;
}

/* What is present by now belongs to this VMA alone; an idle page may be shared, and a write to it has to ask. */
static qr_pte_t with_prot(const struct qr_vma *vma, qr_pte_t pte, uint32_t prot)
{
	if (qr_pte_is_idle(pte) && !qr_pte_is_writable(pte) && qr_load_relaxed(&vma->object->is_forked))
		prot &= ~QR_PROT_WRITE;
	return qr_pte_with_prot(pte, prot);
}

static void rewrite_entries(struct qr_vma *vma, uint32_t prot)
{
	struct qr_pgtable *table = &vma->aspace->pgtable;

	for (uint64_t va = vma->start; va < vma->end;) {
		uint64_t table_end = QR_MIN(QR_ALIGN_DOWN(va, QR_PT_SPAN) + QR_PT_SPAN, vma->end);
		struct qr_frame *page = qr_pgtable_find(table, va);

		if (!page || qr_load_relaxed(&page->refs) == 0) {
			va = table_end;
			continue;
		}
		qr_pt_lock(page);
		for (; va < table_end; va += QR_PAGE_SIZE) {
			qr_pte_t *entry = qr_pt_entry(table, page, va);
			qr_pte_t pte = qr_pte_read(entry);

			if (qr_pte_is_present(pte) || qr_pte_is_idle(pte))
				qr_pte_write(page, entry, with_prot(vma, pte, prot));
		}
		qr_pt_unlock(page);
	}
}
