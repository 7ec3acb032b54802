/*
 * First touch: a folio of zeros, or of the file's content, as large as the stream, the VMA and free memory allow.
 */
#include "fault/fault_priv.h"

/* How much a first touch brings: 256 KiB while more than a quarter of the frames is free, or for a stream, which makes
 * the way to the handler and back small beside the work; 64 KiB, whose move costs little more than that of a single
 * page, while more than 1/8 is free; else one page. A stream gets more than that while memory is plentiful, and so
 * does a first touch where huge pages are advised. */
#define FILL_STREAM_ORDER 6u
#define FILL_LARGE_ORDER 4u
#define FILL_AMPLE_SHARE 4u
#define FILL_PLENTY_SHARE 8u

/* More than one part in so many is free. */
static bool fill_has_share(const struct qr_zone *zone, uint32_t share)
{
	return qr_zone_has_free(zone, qr_load_relaxed(&zone->nr_online) / share + 1);
}

static unsigned fill_initial_order(const struct qr_zone *zone)
{
	if (fill_has_share(zone, FILL_AMPLE_SHARE))
		return FILL_STREAM_ORDER;
	return fill_has_share(zone, FILL_PLENTY_SHARE) ? FILL_LARGE_ORDER : 0;
}

static unsigned fill_max_order(const struct fault *fault)
{
	const struct qr_zone *zone = qr_vmm_local_zone(fault->aspace->vmm);
	unsigned max = fault->max_order;

	if (fault->vma->flags & (QR_VMA_RANDOM | QR_VMA_NOHUGE) || fault->flags & QR_FAULT_PREFETCH)
		return 0;
	return fill_has_share(zone, FILL_PLENTY_SHARE) ? max : QR_MIN(max, FILL_STREAM_ORDER);
}

/* The largest order whose aligned block around va is free of anything else. Reads PTEs without the lock: a hint. */
static unsigned fill_order(struct fault *fault)
{
	unsigned max = fill_max_order(fault);
	unsigned initial, order;

	if (!max)
		return 0;
	initial = QR_MIN(fill_initial_order(qr_vmm_local_zone(fault->aspace->vmm)), max);
	if (fault->vma->flags & QR_VMA_HUGE)
		initial = max;
	order = qr_stream_order(fault, initial, max);
	for (; order > 0; order--) {
		uint64_t start = QR_ALIGN_DOWN(fault->va, QR_PAGE_SIZE << order);
		uint64_t va = start;

		if (!qr_fault_window_fits(fault, start, order))
			continue;
		while (va < start + (QR_PAGE_SIZE << order) && qr_pte_is_none(qr_pte_read(fault_entry(fault, va))))
			va += QR_PAGE_SIZE;
		if (va == start + (QR_PAGE_SIZE << order))
			break;
	}
	return order;
}

static struct qr_frame *fill_alloc(struct fault *fault, unsigned *order)
{
	qr_gfp_t zero = fault->vma->object->is_file ? QR_GFP_COLD : QR_GFP_ZERO;

	if (*order > 0)
		qr_fault_make_room(fault, 1u << *order);
	for (; *order > 0; (*order)--) {
		struct qr_frame *folio = qr_fault_alloc(fault, *order, QR_GFP_USER | QR_GFP_NORETRY | zero);

		if (folio)
			return folio;
	}
	if (fault->flags & QR_FAULT_PREFETCH)
		return qr_fault_alloc(fault, 0, QR_GFP_USER | QR_GFP_NORETRY | zero);
	return qr_fault_alloc(fault, 0, QR_GFP_USER | zero);
}

static int fill_from_file(struct fault *fault, struct qr_frame *folio, unsigned order, uint64_t va)
{
	struct qr_vmm *vmm = fault->aspace->vmm;
	const struct qr_vma *vma = fault->vma;
	uint64_t index = vma->index + ((va - vma->start) >> QR_PAGE_SHIFT);
	void *slot = qr_port_frame_address(vmm->port, (qr_pfn_t){qr_zone_pfn(&vmm->zone, folio)});

	qr_stat_add(&vmm->stats, QR_STAT_faults_file, 1);
	return qr_port_file_read(vmm->port, vma->object->file, index << QR_PAGE_SHIFT, slot,
				 (uint32_t)QR_PAGE_SIZE << order);
}

/* holds: page-table page. All entries of the block are still none: they become idle. */
static bool fill_claim(struct fault *fault, uint64_t va, uint32_t pfn, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		if (!qr_pte_is_none(qr_pte_read(fault_entry(fault, va + i * QR_PAGE_SIZE))))
			return false;
	for (uint32_t i = 0; i < nr; i++)
		qr_pte_write(fault->page, fault_entry(fault, va + i * QR_PAGE_SIZE),
			     qr_pte_idle((qr_pfn_t){pfn + i}, fault->vma->prot));
	return true;
}

int qr_fault_fill(struct fault *fault)
{
	struct qr_vmm *vmm = fault->aspace->vmm;
	unsigned order = fill_order(fault);
	struct qr_frame *folio = fill_alloc(fault, &order);
	uint64_t va = QR_ALIGN_DOWN(fault->va, QR_PAGE_SIZE << order);
	uint32_t pfn;
	int err;

	if (!folio)
		return QR_ENOMEM;
	err = fault->vma->object->is_file ? fill_from_file(fault, folio, order, va) : 0;
	if (err) {
		qr_fault_free(fault, folio, order);
		return err;
	}
	pfn = qr_zone_pfn(&vmm->zone, folio);
	qr_fault_adopt(fault, folio, order, va);
	qr_pt_lock(fault->page); /* holds: vma(R), page-table page */
	if (!fill_claim(fault, va, pfn, 1u << order)) {
		qr_pt_unlock(fault->page);
		qr_folio_put(vmm, folio, (1u << order) + 1);
		fault->max_order = 0;
		return QR_ERETRY;
	}
	qr_vma_count(fault->vma, (uint64_t)1 << order, 0);
	err = qr_fault_map_run(fault, va, pfn, 1u << order, fault->vma->prot);
	qr_pt_unlock(fault->page); /* holds: vma(R) */
	/* Where every touch gets one page it matters to nobody whether they make a stream. */
	if (!(fault->vma->flags & (QR_VMA_RANDOM | QR_VMA_NOHUGE)))
		qr_stream_note(fault, va + (QR_PAGE_SIZE << order), order);
	qr_stat_add(&vmm->stats, QR_STAT_faults_zero, 1);
	qr_fault_publish(fault, folio);
	return err;
}
