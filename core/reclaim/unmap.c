/*
 * Unmapping a folio through its reverse mapping: present PTEs become idle, page by page, in runs. A VMA that covers the
 * folio's index may map something else there, so only entries that name the folio count.
 *
 * Locks: the caller holds the folio lock; the walk holds object->lock (R) and each page-table page's lock in turn.
 */
#include "reclaim/reclaim_priv.h"

/* A machine that answers QR_EAGAIN this often is not making progress. */
#define UNMAP_RETRIES 64u

struct unmap_context {
	struct qr_vmm *vmm;
	struct qr_frame *folio;
	uint32_t head_pfn;
	int err;
};

/* The number of consecutive entries from i on that are present, with one protection, and name consecutive PFNs of the
 * folio. */
static uint32_t present_run(struct qr_pgtable *table, struct qr_frame *page, uint64_t va, uint32_t pfn, uint32_t nr)
{
	uint32_t prot = qr_pte_prot(qr_pte_read(qr_pt_entry(table, page, va)));
	uint32_t run = 0;

	while (run < nr) {
		qr_pte_t pte = qr_pte_read(qr_pt_entry(table, page, va + run * QR_PAGE_SIZE));

		if (!qr_pte_is_present(pte) || qr_pte_pfn(pte).nr != pfn + run || qr_pte_prot(pte) != prot)
			break;
		run++;
	}
	return run;
}

static bool is_idle_page(struct qr_pgtable *table, struct qr_frame *page, uint64_t va, uint32_t pfn)
{
	qr_pte_t pte = qr_pte_read(qr_pt_entry(table, page, va));

	return qr_pte_is_idle(pte) && qr_pte_pfn(pte).nr == pfn;
}

/* holds: page-table page. Unmaps one run; as much as was done becomes idle. */
static int unmap_run(struct qr_vma *vma, struct qr_frame *page, uint64_t va, uint32_t pfn, uint32_t nr)
{
	struct qr_aspace *aspace = vma->aspace;
	uint32_t prot = qr_pte_prot(qr_pte_read(qr_pt_entry(&aspace->pgtable, page, va)));
	unsigned retries = 0;
	int err = 0;

	while (nr && !err) {
		uint32_t done = 0;

		err = qr_port_unmap(aspace->vmm->port, aspace->port_space, va, (qr_pfn_t){pfn}, nr, prot, &done);
		for (uint32_t i = 0; i < done; i++)
			qr_pte_write(page, qr_pt_entry(&aspace->pgtable, page, va + i * QR_PAGE_SIZE),
				     qr_pte_idle((qr_pfn_t){pfn + i}, prot));
		qr_stat_add(&aspace->vmm->stats, QR_STAT_pages_unmapped, done);
		va += done * QR_PAGE_SIZE;
		pfn += done;
		nr -= done;
		if (err == QR_EAGAIN && retries++ < UNMAP_RETRIES) {
			qr_port_cpu_relax(retries);
			err = 0;
		}
	}
	return err;
}

/* A page of the folio is mapped, or idle, in a VMA that is locked in memory. */
static void give_up(struct unmap_context *context)
{
	context->err = QR_EBUSY;
	/* Another VMA that was unlocked had it marked as evictable. Whoever unlocks this one, under object->lock (W),
	 * takes the mark away again. */
	qr_folio_set(context->folio, QR_FOLIO_UNEVICTABLE);
}

static bool unmap_in_vma(struct qr_vma *vma, uint64_t va, uint32_t first, uint32_t nr, void *argument)
{
	struct unmap_context *context = argument;
	struct qr_pgtable *table = &vma->aspace->pgtable;
	struct qr_frame *page = qr_pgtable_find(table, va);
	uint32_t pfn = context->head_pfn + first;
	bool has_to_stay = vma->flags & QR_VMA_LOCKED;

	if (!page)
		return true;
	qr_pt_lock(page);
	for (uint32_t i = 0; i < nr && !context->err;) {
		uint64_t at = va + i * QR_PAGE_SIZE;
		uint32_t run = present_run(table, page, at, pfn + i, nr - i);

		if (has_to_stay && (run || is_idle_page(table, page, at, pfn + i)))
			give_up(context);
		else if (run)
			context->err = unmap_run(vma, page, at, pfn + i, run);
		i += run ? run : 1;
	}
	qr_pt_unlock(page);
	return !context->err;
}

int qr_folio_unmap(struct qr_vmm *vmm, struct qr_frame *folio)
{
	struct unmap_context context = {.vmm = vmm, .folio = folio, .head_pfn = qr_zone_pfn(&vmm->zone, folio)};

	qr_rmap_walk(folio, unmap_in_vma, &context);
	if (context.err)
		return QR_EBUSY;
	qr_folio_set(folio, QR_FOLIO_IDLE);
	return 0;
}
