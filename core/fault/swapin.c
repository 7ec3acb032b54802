/*
 * Swap-in: the page of the fault and, when it continues a stream, the swapped pages that follow.
 *
 * The slots are pinned under the page-table lock, loaded with no lock but the VMA's held, and installed if their
 * PTEs still name them. The pin keeps a slot's number from being reused meanwhile, so an equal PTE means equal
 * content.
 *
 * Locks: vma(R) throughout, the page-table page's lock at both ends.
 */
#include "fault/fault_priv.h"

struct swapin_folio {
	struct qr_frame *folio;
	uint32_t first; /* page of the window */
	unsigned order;
};

struct swapin {
	struct fault *fault;
	uint64_t va;     /* of the window's first page, the page of the fault */
	uint32_t nr;     /* pages in the window */
	unsigned order;                       /* of the window that was wanted */
	uint32_t slots[FAULT_SWAPIN_PAGES];   /* pinned */
	void *pages[FAULT_SWAPIN_PAGES];      /* where they are loaded to */
	int results[FAULT_SWAPIN_PAGES];
	uint32_t nr_folios;
	struct swapin_folio folios[FAULT_SWAPIN_PAGES];
};

static bool swapin_pin(struct swapin *in);
static int swapin_alloc(struct swapin *in);
static int swapin_load(struct swapin *in);
static int swapin_install(struct swapin *in);

int qr_fault_swapin(struct fault *fault)
{
	struct swapin in = {.fault = fault, .va = fault->va};
	struct qr_vmm *vmm = fault->aspace->vmm;
	int err;

	if (!swapin_pin(&in))
		return QR_ERETRY;
	err = swapin_alloc(&in);
	if (!err)
		err = swapin_load(&in);
	if (!err) {
		err = swapin_install(&in);
		qr_stream_note(fault, in.va + in.nr * QR_PAGE_SIZE, in.order);
		qr_stat_add(&vmm->stats, QR_STAT_faults_swapin, 1);
	}
	for (uint32_t i = 0; i < in.nr; i++)
		qr_swap_put(vmm->swap, in.slots[i]);
	return err;
}

/* The window: from the fault on, to the end of the aligned block of the stream's order, while PTEs are swap. */
static bool swapin_pin(struct swapin *in)
{
	struct fault *fault = in->fault;
	struct qr_vmm *vmm = fault->aspace->vmm;
	unsigned max = QR_MIN(FAULT_SWAPIN_ORDER, fault->max_order);
	uint64_t end;

	if (fault->vma->flags & (QR_VMA_RANDOM | QR_VMA_NOHUGE))
		max = 0;
	in->order = qr_stream_order(fault, fault->vma->flags & QR_VMA_SEQUENTIAL ? max : 0, max);
	end = QR_ALIGN_DOWN(in->va, QR_PAGE_SIZE << in->order) + (QR_PAGE_SIZE << in->order);
	end = QR_MIN(end, fault->vma->end);
	qr_pt_lock(fault->page); /* holds: vma(R), page-table page */
	for (uint64_t va = in->va; va < end; va += QR_PAGE_SIZE) {
		qr_pte_t pte = qr_pte_read(fault_entry(fault, va));

		if (!qr_pte_is_swap(pte))
			break;
		in->slots[in->nr] = qr_pte_swap_slot(pte);
		qr_swap_get(vmm->swap, in->slots[in->nr++]);
	}
	qr_pt_unlock(fault->page);
	return in->nr > 0;
}

/* The largest folio that may start at page first of the window: naturally aligned and within it. */
static unsigned swapin_folio_order(const struct swapin *in, uint32_t first)
{
	uint32_t page = (uint32_t)(in->va >> QR_PAGE_SHIFT) + first;
	unsigned by_length = qr_log2_u64(in->nr - first);
	unsigned by_alignment = (unsigned)__builtin_ctz(page | FAULT_SWAPIN_PAGES);

	return QR_MIN(by_length, by_alignment);
}

static void swapin_add_folio(struct swapin *in, struct qr_frame *folio, uint32_t first, unsigned order)
{
	struct qr_vmm *vmm = in->fault->aspace->vmm;
	uint32_t pfn = qr_zone_pfn(&vmm->zone, folio);

	for (uint32_t i = 0; i < 1u << order; i++)
		in->pages[first + i] = qr_port_frame_address(vmm->port, (qr_pfn_t){pfn + i});
	in->folios[in->nr_folios++] = (struct swapin_folio){folio, first, order};
}

/* Frames for the window, in as large blocks as there are. Where memory is tight all the same the window ends early. */
static int swapin_alloc(struct swapin *in)
{
	struct qr_vmm *vmm = in->fault->aspace->vmm;
	uint32_t first = 0;

	if (in->nr > 1)
		qr_fault_make_room(in->fault, in->nr);
	while (first < in->nr) {
		unsigned order = swapin_folio_order(in, first);
		struct qr_frame *folio = NULL;

		for (;; order--) {
			bool is_needed = first == 0 && order == 0 && !(in->fault->flags & QR_FAULT_PREFETCH);

			folio = qr_alloc_pages(vmm, order, is_needed ? QR_GFP_USER : QR_GFP_NORETRY);
			if (folio || order == 0)
				break;
		}
		if (!folio)
			break;
		swapin_add_folio(in, folio, first, order);
		first += 1u << order;
	}
	for (uint32_t i = QR_MAX(first, 1u); i < in->nr; i++)
		qr_swap_put(vmm->swap, in->slots[i]);
	in->nr = QR_MAX(first, 1u);
	return first ? 0 : QR_ENOMEM;
}

/* Fills the frames. If a page behind the first cannot be had the fault is tried again alone: whoever wants that
 * page will report it. */
static int swapin_load(struct swapin *in)
{
	struct qr_vmm *vmm = in->fault->aspace->vmm;

	if (!qr_swap_load(vmm->swap, in->slots, in->nr, in->pages, in->results))
		return 0;
	for (uint32_t i = 0; i < in->nr_folios; i++)
		qr_free_pages(vmm, in->folios[i].folio, in->folios[i].order);
	in->fault->max_order = 0;
	return in->results[0] ? in->results[0] : QR_ERETRY;
}

/* holds: page-table page. True if all PTEs of the folio still name their slots. */
static bool swapin_matches(struct swapin *in, const struct swapin_folio *item)
{
	for (uint32_t i = item->first; i < item->first + (1u << item->order); i++) {
		qr_pte_t pte = qr_pte_read(fault_entry(in->fault, in->va + i * QR_PAGE_SIZE));

		if (!qr_pte_is_swap(pte) || qr_pte_swap_slot(pte) != in->slots[i])
			return false;
	}
	return true;
}

/* holds: page-table page. The folio is adopted. */
static int swapin_install_folio(struct swapin *in, const struct swapin_folio *item)
{
	struct fault *fault = in->fault;
	struct qr_vmm *vmm = fault->aspace->vmm;
	uint64_t va = in->va + item->first * QR_PAGE_SIZE;
	uint32_t pfn = qr_zone_pfn(&vmm->zone, item->folio);
	uint32_t nr = 1u << item->order;

	for (uint32_t i = 0; i < nr; i++) {
		qr_pte_write(fault->page, fault_entry(fault, va + i * QR_PAGE_SIZE),
			     qr_pte_idle((qr_pfn_t){pfn + i}, fault->vma->prot));
		qr_swap_put(vmm->swap, in->slots[item->first + i]); /* the PTE's reference; the pin remains */
	}
	qr_aspace_count(fault->aspace, nr, 0 - (uint64_t)nr);
	return qr_fault_map_run(fault, va, pfn, nr, fault->vma->prot);
}

static int swapin_install(struct swapin *in)
{
	struct fault *fault = in->fault;
	struct qr_vmm *vmm = fault->aspace->vmm;
	uint64_t is_installed = 0; /* bit i: folio i */
	int err = 0;

	for (uint32_t i = 0; i < in->nr_folios; i++)
		qr_fault_adopt(fault, in->folios[i].folio, in->folios[i].order,
			       in->va + in->folios[i].first * QR_PAGE_SIZE);
	qr_pt_lock(fault->page); /* holds: vma(R), page-table page */
	for (uint32_t i = 0; i < in->nr_folios && !err; i++) {
		if (swapin_matches(in, &in->folios[i])) {
			is_installed |= (uint64_t)1 << i;
			err = swapin_install_folio(in, &in->folios[i]);
		} else if (i == 0) {
			err = QR_ERETRY;
		}
	}
	qr_pt_unlock(fault->page); /* holds: vma(R) */
	for (uint32_t i = 0; i < in->nr_folios; i++) {
		if (is_installed >> i & 1)
			qr_fault_publish(fault, in->folios[i].folio);
		else
			qr_folio_put(vmm, in->folios[i].folio, (1u << in->folios[i].order) + 1);
	}
	return err;
}
