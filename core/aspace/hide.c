/*
 * Before a VMA loses all rights its present pages are unmapped: their content is in their frames, their entries are
 * idle, and nothing brings them back until there is a right again. So reclaim need not ask the machine for pages of
 * such a VMA, which one that is exclusive (qr_port_is_exclusive) could not take without letting accesses through.
 *
 * A page that the machine does not give up stays present, and in memory as long as the VMA stays without rights.
 *
 * Locks: vma(W), which keeps faults away; takes page-table locks.
 */
#include "aspace/aspace_priv.h"

/* A machine that answers QR_EAGAIN this often at a page is not making progress; QR_EBUSY may be for long. */
#define HIDE_RETRIES 64u
#define HIDE_BUSY_RETRIES 4u

static void hide_table(struct qr_vma *vma, struct qr_frame *page, uint64_t start, uint64_t end);
static int hide_run(struct qr_vma *vma, struct qr_frame *page, uint64_t *va, uint64_t end);

void qr_hide_range(struct qr_vma *vma)
{
	for (uint64_t va = vma->start; va < vma->end;) {
		uint64_t table_end = QR_MIN(QR_ALIGN_DOWN(va, QR_PT_SPAN) + QR_PT_SPAN, vma->end);
		struct qr_frame *page = qr_pgtable_find(&vma->aspace->pgtable, va);

		if (page && qr_load_relaxed(&page->refs) != 0)
			hide_table(vma, page, va, table_end);
		va = table_end;
	}
}

static void hide_table(struct qr_vma *vma, struct qr_frame *page, uint64_t start, uint64_t end)
{
	unsigned nr_retries = 0;

	for (uint64_t va = start; va < end;) {
		uint64_t was_at = va;
		int err = 0;

		qr_pt_lock(page); /* holds: aspace, vma(W), page-table page */
		while (va < end && !err)
			err = hide_run(vma, page, &va, end);
		qr_pt_unlock(page);
		if (va > was_at)
			nr_retries = 0;
		if (err && nr_retries < (err == QR_EAGAIN ? HIDE_RETRIES : HIDE_BUSY_RETRIES)) {
			qr_port_cpu_relax(nr_retries++);
		} else if (err) {
			va += QR_PAGE_SIZE;
			nr_retries = 0;
		}
	}
}

/* holds: page-table page. Passes an entry that is not present, or unmaps the run of present ones with one protection
 * and consecutive PFNs as far as the machine goes. */
static int hide_run(struct qr_vma *vma, struct qr_frame *page, uint64_t *va, uint64_t end)
{
	struct qr_aspace *aspace = vma->aspace;
	qr_pte_t *entry = qr_pt_entry(&aspace->pgtable, page, *va);
	qr_pte_t first = qr_pte_read(entry);
	uint32_t nr_max = (uint32_t)((end - *va) >> QR_PAGE_SHIFT), nr = 1, nr_done = 0;
	int err;

	if (!qr_pte_is_present(first)) {
		*va += QR_PAGE_SIZE;
		return 0;
	}
	for (; nr < nr_max; nr++) {
		qr_pte_t pte = qr_pte_read(entry + nr);

		if (!qr_pte_is_present(pte) || qr_pte_pfn(pte).nr != qr_pte_pfn(first).nr + nr ||
		    qr_pte_prot(pte) != qr_pte_prot(first))
			break;
	}
	err = qr_port_unmap(aspace->vmm->port, aspace->port_space, *va, qr_pte_pfn(first), nr, qr_pte_prot(first),
			    &nr_done);
	for (uint32_t i = 0; i < nr_done; i++)
		qr_pte_write(page, entry + i, qr_pte_to_idle(qr_pte_read(entry + i)));
	qr_stat_add(&aspace->vmm->stats, QR_STAT_pages_unmapped, nr_done);
	*va += nr_done * QR_PAGE_SIZE;
	return err;
}
