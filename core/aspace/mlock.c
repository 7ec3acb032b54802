/*
 * mlock and munlock: the VMA's flag is what counts, and what reclaim asks for; the folios' flag spares it the
 * question. Pages are brought in after the flag is set, so none can be evicted behind the fault.
 *
 * Locks: aspace->lock for the flag; none while pages are brought in.
 */
#include "aspace/aspace_priv.h"

/* Pages of [start, end) in VMAs that are not locked yet. */
static uint64_t nr_unlocked_pages(struct qr_aspace *aspace, uint64_t start, uint64_t end)
{
	uint64_t nr_pages = 0;
	struct qr_vma *vma;

	for (uint64_t va = start; (vma = qr_vma_tree_find(aspace->tree, va)) && vma->start < end; va = vma->end) {
		if (!(vma->flags & QR_VMA_LOCKED))
			nr_pages += (QR_MIN(vma->end, end) - QR_MAX(vma->start, start)) >> QR_PAGE_SHIFT;
	}
	return nr_pages;
}

int qr_lock(struct qr_aspace *aspace, uint64_t va, uint64_t len_bytes)
{
	int err, populate_err;

	if (!qr_range_is_sane(va, len_bytes))
		return QR_EINVAL;
	qr_aspace_lock(aspace);
	if (qr_aspace_may_lock(aspace, nr_unlocked_pages(aspace, va, va + len_bytes)))
		err = qr_vma_change_flags(aspace, va, va + len_bytes, 0, QR_VMA_LOCKED);
	else
		err = QR_ENOMEM;
	qr_aspace_reap(aspace);
	qr_aspace_unlock(aspace);
	if (err)
		return err;
	populate_err = qr_populate(aspace, va, va + len_bytes, QR_POPULATE_ALL);
	qr_mark_unevictable(aspace, va, va + len_bytes, true);
	return populate_err;
}

int qr_unlock(struct qr_aspace *aspace, uint64_t va, uint64_t len_bytes)
{
	int err;

	if (!qr_range_is_sane(va, len_bytes))
		return QR_EINVAL;
	qr_aspace_lock(aspace);
	err = qr_vma_change_flags(aspace, va, va + len_bytes, QR_VMA_LOCKED, 0);
	qr_aspace_reap(aspace);
	qr_aspace_unlock(aspace);
	qr_mark_unevictable(aspace, va, va + len_bytes, false);
	return err;
}
