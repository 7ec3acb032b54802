/* mincore. Locks: one VMA at a time, for reading; entries are read without the page-table lock, since the answer
 * is out of date when it arrives. */
#include "aspace/aspace_priv.h"

int qr_mincore(struct qr_aspace *aspace, uint64_t va, uint64_t len_bytes, uint8_t *out)
{
	uint64_t end = va + len_bytes;

	if (!qr_range_is_sane(va, len_bytes))
		return QR_EINVAL;
	while (va < end) {
		struct qr_vma *vma = qr_aspace_find_locked(aspace, va);
		uint64_t vma_end;

		if (!vma)
			return QR_ENOMEM;
		vma_end = QR_MIN(vma->end, end);
		for (; va < vma_end; va += QR_PAGE_SIZE) {
			struct qr_frame *page = qr_pgtable_find(&aspace->pgtable, va);
			qr_pte_t pte = page ? qr_pte_read(qr_pt_entry(&aspace->pgtable, page, va)) : qr_pte_none();

			*out++ = qr_pte_is_present(pte) || qr_pte_is_idle(pte);
		}
		qr_vma_unlock(vma);
	}
	return 0;
}
