/*
 * madvise. Advice about the future changes a VMA's flags; advice about the pages acts on them, VMA by VMA, and
 * passes over holes, of which the result tells (QR_ENOMEM), as madvise(2) does.
 *
 * Locks: aspace->lock for flags; for pages one VMA at a time, and none while folios are evicted or faults taken.
 */
#include "aspace/aspace_priv.h"
#include "reclaim/reclaim.h"

/* Folios that are looked at between two holds of a VMA's lock. */
#define ADVISE_BATCH 32u

static int advise_flags(struct qr_aspace *aspace, uint64_t start, uint64_t end, uint32_t clear, uint32_t set);
static int drop(struct qr_aspace *aspace, uint64_t start, uint64_t end);
static int age(struct qr_aspace *aspace, uint64_t start, uint64_t end, bool is_eviction);
static int bring_in(struct qr_aspace *aspace, uint64_t start, uint64_t end, enum qr_populate what);

int qr_advise(struct qr_aspace *aspace, uint64_t va, uint64_t len_bytes, enum qr_advice advice)
{
	static const struct {
		uint32_t clear, set;
	} flags[] = {
		[QR_ADVISE_NORMAL] = {QR_VMA_SEQUENTIAL | QR_VMA_RANDOM, 0},
		[QR_ADVISE_RANDOM] = {QR_VMA_SEQUENTIAL, QR_VMA_RANDOM},
		[QR_ADVISE_SEQUENTIAL] = {QR_VMA_RANDOM, QR_VMA_SEQUENTIAL},
		[QR_ADVISE_HUGE] = {QR_VMA_NOHUGE, QR_VMA_HUGE},
		[QR_ADVISE_NOHUGE] = {QR_VMA_HUGE, QR_VMA_NOHUGE},
		[QR_ADVISE_DONTFORK] = {0, QR_VMA_DONTFORK},
		[QR_ADVISE_DOFORK] = {QR_VMA_DONTFORK, 0},
		[QR_ADVISE_WIPEONFORK] = {0, QR_VMA_WIPEONFORK},
		[QR_ADVISE_KEEPONFORK] = {QR_VMA_WIPEONFORK, 0},
	};
	uint64_t end = va + len_bytes;

	if (!qr_range_is_sane(va, len_bytes))
		return QR_EINVAL;
	switch (advice) {
	case QR_ADVISE_DONTNEED:
	case QR_ADVISE_FREE:
		return drop(aspace, va, end);
	case QR_ADVISE_COLD:
	case QR_ADVISE_PAGEOUT:
		return age(aspace, va, end, advice == QR_ADVISE_PAGEOUT);
	case QR_ADVISE_WILLNEED:
		return bring_in(aspace, va, end, QR_POPULATE_STORED);
	case QR_ADVISE_POPULATE:
		return bring_in(aspace, va, end, QR_POPULATE_ALL);
	default:
		if ((unsigned)advice >= QR_ARRAY_SIZE(flags))
			return QR_EINVAL;
		return advise_flags(aspace, va, end, flags[advice].clear, flags[advice].set);
	}
}

static int advise_flags(struct qr_aspace *aspace, uint64_t start, uint64_t end, uint32_t clear, uint32_t set)
{
	int err;

	qr_aspace_lock(aspace);
	err = qr_vma_change_flags(aspace, start, end, clear, set);
	qr_aspace_reap(aspace);
	qr_aspace_unlock(aspace);
	return err;
}

/* The VMA of *va or the next one below end, locked for reading, with *va moved into it; NULL if there is none.
 * *result becomes QR_ENOMEM when a hole was passed over. */
static struct qr_vma *next_vma(struct qr_aspace *aspace, uint64_t *va, uint64_t end, int *result)
{
	struct qr_vma *vma = *va < end ? qr_aspace_next_locked(aspace, *va) : NULL;

	if (*va < end && (!vma || vma->start > *va))
		*result = QR_ENOMEM;
	if (vma && vma->start >= end) {
		qr_vma_unlock(vma);
		return NULL;
	}
	if (vma)
		*va = QR_MAX(*va, vma->start);
	return vma;
}

/* A machine that takes back pages of writable ranges only has to be asked with the shape of the address space held
 * still. */
static int drop_read_only(struct qr_aspace *aspace, uint64_t start, uint64_t end)
{
	struct qr_vma *vma;
	int err;

	qr_aspace_lock(aspace);
	err = qr_unmap_open(aspace, start, end);
	for (uint64_t va = start; !err && (vma = qr_vma_tree_find(aspace->tree, va)) && vma->start < end;
	     va = vma->end) {
		qr_vma_write_lock(vma); /* holds: aspace, vma(W) */
		err = qr_zap_range(vma, QR_MAX(vma->start, start), QR_MIN(vma->end, end));
		qr_vma_write_unlock(vma);
	}
	qr_unmap_close(aspace, start, end);
	qr_aspace_unlock(aspace);
	return err;
}

static int drop(struct qr_aspace *aspace, uint64_t start, uint64_t end)
{
	bool is_exclusive = qr_port_is_exclusive(aspace->vmm->port);
	struct qr_vma *vma;
	int result = 0, err = 0;

	for (uint64_t va = start; !err && (vma = next_vma(aspace, &va, end, &result));) {
		uint64_t vma_end = QR_MIN(vma->end, end);
		bool is_read_only = is_exclusive && !(vma->prot & QR_PROT_WRITE);

		if (vma->flags & QR_VMA_LOCKED)
			err = QR_EINVAL;
		else if (!is_read_only)
			err = qr_zap_range(vma, va, vma_end);
		qr_vma_unlock(vma);
		if (!err && is_read_only)
			err = drop_read_only(aspace, va, vma_end);
		va = vma_end;
	}
	return err ? err : result;
}

static int bring_in(struct qr_aspace *aspace, uint64_t start, uint64_t end, enum qr_populate what)
{
	struct qr_vma *vma;
	int err, result = 0;

	for (uint64_t va = start; (vma = next_vma(aspace, &va, end, &result));) {
		va = QR_MIN(vma->end, end);
		qr_vma_unlock(vma);
	}
	err = qr_populate(aspace, start, end, what);
	/* What could not be prefetched comes when it is touched. */
	return err && what != QR_POPULATE_STORED ? err : result;
}

/* Pins up to nr evictable folios of the VMA from *va on, which moves on to where it stopped. */
static uint32_t pin_folios(struct qr_vma *vma, uint64_t *va, uint64_t end, struct qr_frame **folios, uint32_t nr)
{
	struct qr_aspace *aspace = vma->aspace;
	uint32_t nr_pinned = 0;

	while (*va < end && nr_pinned < nr) {
		uint64_t table_end = QR_MIN(QR_ALIGN_DOWN(*va, QR_PT_SPAN) + QR_PT_SPAN, end);
		struct qr_frame *page = qr_pgtable_find(&aspace->pgtable, *va);

		if (!page) {
			*va = table_end;
			continue;
		}
		qr_pt_lock(page); /* holds: vma(R), page-table page */
		for (; *va < table_end && nr_pinned < nr; *va += QR_PAGE_SIZE) {
			qr_pte_t pte = qr_pte_read(qr_pt_entry(&aspace->pgtable, page, *va));
			struct qr_frame *folio;

			if (!qr_pte_is_present(pte) && !qr_pte_is_idle(pte))
				continue;
			folio = qr_folio_of_pfn(&aspace->vmm->zone, qr_pte_pfn(pte).nr);
			if ((nr_pinned && folios[nr_pinned - 1] == folio) || qr_folio_test(folio, QR_FOLIO_UNEVICTABLE))
				continue;
			/* A PTE holds a reference, so this succeeds. */
			if (qr_folio_try_get(folio))
				folios[nr_pinned++] = folio;
		}
		qr_pt_unlock(page);
	}
	return nr_pinned;
}

/* No lock is held. Evicts a pinned folio or makes it the next to go; drops the pin. */
static void age_folio(struct qr_vmm *vmm, struct qr_frame *folio, bool is_eviction)
{
	if (!qr_lru_remove(&vmm->lru, folio)) {
		qr_folio_put(vmm, folio, 1); /* somebody else is at it */
	} else if (is_eviction) {
		(void)qr_evict_folio(vmm, folio);
	} else {
		qr_age_cold(vmm, folio);
	}
}

static int age(struct qr_aspace *aspace, uint64_t start, uint64_t end, bool is_eviction)
{
	struct qr_frame *folios[ADVISE_BATCH];
	struct qr_vma *vma;
	int result = 0;

	qr_lru_drain(&aspace->vmm->lru);
	for (uint64_t va = start; (vma = next_vma(aspace, &va, end, &result));) {
		bool is_locked = vma->flags & QR_VMA_LOCKED;
		uint32_t nr = 0;

		if (!is_locked)
			nr = pin_folios(vma, &va, QR_MIN(vma->end, end), folios, ADVISE_BATCH);
		qr_vma_unlock(vma);
		if (is_locked)
			return QR_EINVAL;
		for (uint32_t i = 0; i < nr; i++)
			age_folio(aspace->vmm, folios[i], is_eviction);
	}
	return result;
}
