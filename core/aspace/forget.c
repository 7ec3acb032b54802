/* What the machine did behind the manager's back: only the record follows. Locks: aspace->lock for an unmap, else
 * one VMA at a time for reading. */
#include "aspace/aspace_priv.h"

int qr_forget(struct qr_aspace *aspace, uint64_t va, uint64_t len_bytes, bool is_unmap)
{
	uint64_t end = va + len_bytes;
	struct qr_vma *vma;
	int err;

	if (!qr_range_is_sane(va, len_bytes))
		return QR_EINVAL;
	if (is_unmap) {
		qr_aspace_lock(aspace);
		err = qr_unmap_locked(aspace, va, end, true);
		qr_aspace_reap(aspace);
		qr_aspace_unlock(aspace);
		return err;
	}
	while (va < end && (vma = qr_aspace_next_locked(aspace, va))) {
		uint64_t start = QR_MAX(va, vma->start);

		va = QR_MIN(vma->end, end);
		if (start < va)
			qr_zap_gone(vma, start, va);
		qr_vma_unlock(vma);
		if (start >= end)
			break;
	}
	return 0;
}
