/*
 * Zapping: taking the pages of a range away. Page-table page by page-table page, mapped runs are unmapped under the
 * page's lock, entries become none, and the folios' references are dropped when the lock is released, because the
 * last one frees the folio.
 *
 * Locks: the VMA is locked by the caller; takes page-table locks.
 */
#include "aspace/aspace_priv.h"

/* Folios whose references are gathered under one hold of a page-table lock; a full table of small ones takes 8. */
#define ZAP_BATCH 64u
/* How often a page that the machine holds on to is tried before it is passed over. The transfers that pin pages
 * take microseconds; a turn of cpu_relax is one at least. */
#define BUSY_RETRIES 128u

struct zap {
	struct qr_vma *vma;
	struct qr_frame *page;  /* page-table page */
	bool is_gone;           /* the machine has dropped the pages already */
	int stall;              /* why the machine stopped at a page: QR_EAGAIN or QR_EBUSY */
	uint64_t nr_resident;   /* pages taken away in this batch */
	uint64_t nr_swapped;
	uint32_t nr_folios;
	struct qr_folio_refs folios[ZAP_BATCH];
};

static int zap(struct qr_vma *vma, uint64_t start, uint64_t end, bool is_gone);
static int zap_table(struct zap *zap, uint64_t start, uint64_t end);
static uint64_t zap_entries(struct zap *zap, uint64_t va, uint64_t end);
static uint32_t zap_run(struct zap *zap, uint64_t va, uint64_t end);
static bool gather(struct zap *zap, uint32_t pfn);
static void release(struct zap *zap);

int qr_zap_range(struct qr_vma *vma, uint64_t start, uint64_t end)
{
	return zap(vma, start, end, false);
}

void qr_zap_gone(struct qr_vma *vma, uint64_t start, uint64_t end)
{
	int err = zap(vma, start, end, true);

	QR_BUG_ON(err); /* the machine is not asked */
}

static int zap(struct qr_vma *vma, uint64_t start, uint64_t end, bool is_gone)
{
	struct zap zap = {.vma = vma, .is_gone = is_gone};
	int err = 0;

	QR_ASSERT(vma->start <= start && start <= end && end <= vma->end);
	for (uint64_t va = start; va < end;) {
		uint64_t table_end = QR_MIN(QR_ALIGN_DOWN(va, QR_PT_SPAN) + QR_PT_SPAN, end);

		zap.page = qr_pgtable_find(&vma->aspace->pgtable, va);
		if (zap.page && qr_load_relaxed(&zap.page->refs) != 0 && zap_table(&zap, va, table_end))
			err = QR_EBUSY;
		va = table_end;
	}
	return err;
}

/* The part of the range in one page-table page. */
static int zap_table(struct zap *zap, uint64_t start, uint64_t end)
{
	unsigned spins = 0, nr_busy = 0;
	int err = 0;

	for (uint64_t va = start; va < end;) {
		uint64_t stopped_at;

		qr_pt_lock(zap->page); /* holds: vma, page-table page */
		qr_port_unmap_begin(zap->vma->aspace->vmm->port, zap->vma->aspace->port_space);
		stopped_at = zap_entries(zap, va, end);
		/* From here on nobody can reach the pages. */
		qr_port_unmap_end(zap->vma->aspace->vmm->port, zap->vma->aspace->port_space);
		qr_pt_unlock(zap->page); /* holds: vma */
		if (stopped_at > va)
			spins = nr_busy = 0;
		va = stopped_at;
		release(zap);
		if (!zap->stall)
			continue;
		if (zap->stall == QR_EBUSY && ++nr_busy > BUSY_RETRIES) {
			err = QR_EBUSY;
			va += QR_PAGE_SIZE;
		}
		zap->stall = 0;
		qr_port_cpu_relax(spins++);
	}
	return err;
}

/* holds: page-table page. Returns where it stopped: at the end, with the batch full, or at a stall. */
static uint64_t zap_entries(struct zap *zap, uint64_t va, uint64_t end)
{
	struct qr_aspace *aspace = zap->vma->aspace;

	while (va < end && zap->nr_folios < ZAP_BATCH && !zap->stall) {
		qr_pte_t *entry = qr_pt_entry(&aspace->pgtable, zap->page, va);
		qr_pte_t pte = qr_pte_read(entry);

		if (qr_pte_is_present(pte) && !zap->is_gone) {
			va += zap_run(zap, va, end) * QR_PAGE_SIZE;
			continue;
		}
		if (qr_pte_is_swap(pte)) {
			qr_swap_put(aspace->vmm->swap, qr_pte_swap_slot(pte));
			zap->nr_swapped++;
		} else if (!qr_pte_is_none(pte)) {
			(void)gather(zap, qr_pte_pfn(pte).nr);
			zap->nr_resident++;
		}
		if (!qr_pte_is_none(pte))
			qr_pte_write(zap->page, entry, qr_pte_none());
		va += QR_PAGE_SIZE;
	}
	return va;
}

/* The number of consecutive entries from va on that are present, with one protection and consecutive PFNs. */
static uint32_t run_length(struct zap *zap, uint64_t va, uint64_t end)
{
	struct qr_pgtable *table = &zap->vma->aspace->pgtable;
	qr_pte_t first = qr_pte_read(qr_pt_entry(table, zap->page, va));
	uint32_t nr = 0;

	for (; va < end; va += QR_PAGE_SIZE, nr++) {
		qr_pte_t pte = qr_pte_read(qr_pt_entry(table, zap->page, va));

		if (!qr_pte_is_present(pte) || qr_pte_pfn(pte).nr != qr_pte_pfn(first).nr + nr ||
		    qr_pte_prot(pte) != qr_pte_prot(first))
			break;
	}
	return nr;
}

/* holds: page-table page. Unmaps a run as far as the machine goes and the batch has room; returns the pages done. */
static uint32_t zap_run(struct zap *zap, uint64_t va, uint64_t end)
{
	struct qr_aspace *aspace = zap->vma->aspace;
	qr_pte_t first = qr_pte_read(qr_pt_entry(&aspace->pgtable, zap->page, va));
	uint32_t nr = 0, nr_run = run_length(zap, va, end);
	uint32_t nr_done = 0;
	int err;

	/* References are noted before the pages are unmapped, as many as the batch takes. */
	while (nr < nr_run && gather(zap, qr_pte_pfn(first).nr + nr))
		nr++;
	err = qr_port_unmap(aspace->vmm->port, aspace->port_space, va, qr_pte_pfn(first), nr, qr_pte_prot(first),
			    &nr_done);
	if (err == QR_EFAULT && nr_done < nr) {
		nr_done++; /* the machine has no such range any more: this page is off its hands */
		err = 0;
	}
	for (uint32_t i = nr; i > nr_done; i--) {
		if (--zap->folios[zap->nr_folios - 1].nr == 0)
			zap->nr_folios--;
	}
	for (uint32_t i = 0; i < nr_done; i++)
		qr_pte_write(zap->page, qr_pt_entry(&aspace->pgtable, zap->page, va + i * QR_PAGE_SIZE), qr_pte_none());
	zap->nr_resident += nr_done;
	zap->stall = err;
	return nr_done;
}

/* Notes one reference to drop; false when the batch is full. */
static bool gather(struct zap *zap, uint32_t pfn)
{
	struct qr_frame *folio = qr_folio_of_pfn(&zap->vma->aspace->vmm->zone, pfn);

	if (zap->nr_folios && zap->folios[zap->nr_folios - 1].folio == folio) {
		zap->folios[zap->nr_folios - 1].nr++;
		return true;
	}
	if (zap->nr_folios == ZAP_BATCH)
		return false;
	zap->folios[zap->nr_folios].folio = folio;
	zap->folios[zap->nr_folios++].nr = 1;
	return true;
}

/* No page-table lock is held: drops what was gathered. */
static void release(struct zap *zap)
{
	struct qr_aspace *aspace = zap->vma->aspace;

	/* If part of a folio stays mapped elsewhere, reclaim finds out whether that is locked, too. */
	for (uint32_t i = 0; i < zap->nr_folios && zap->vma->flags & QR_VMA_LOCKED; i++)
		qr_mark_evictable(aspace->vmm, zap->folios[i].folio);
	qr_folio_put_many(aspace->vmm, zap->folios, zap->nr_folios);
	zap->nr_folios = 0;
	qr_vma_count(zap->vma, 0 - zap->nr_resident, 0 - zap->nr_swapped);
	zap->nr_resident = 0;
	zap->nr_swapped = 0;
}
