/*
 * Swap-in: the page of the fault, the swapped pages that follow when it continues a stream, and else those around it
 * that are worth it (locality.c).
 *
 * The slots are pinned under the page-table lock, loaded with no lock but the VMA's held, and installed if their
 * PTEs still name them. The pin keeps a slot's number from being reused meanwhile, so an equal PTE means equal
 * content.
 *
 * Locks: vma(R) throughout, the page-table page's lock at both ends.
 */
#include "fault/fault_priv.h"

#define NO_ITEM UINT32_MAX

/* A block of frames for consecutive pages. */
struct swapin_folio {
	struct qr_frame *folio;
	uint32_t first; /* item of its first page */
	unsigned order;
};

/* Pages that come together, the items, in the order of their addresses; not all pages between them need be in swap. */
struct swapin {
	struct fault *fault;
	uint64_t start, end; /* where the window lies */
	unsigned order;      /* of the window that was wanted */
	bool is_block;       /* it lies around the fault; else from the fault on */
	uint64_t probe_va;   /* the page to load and not to map; 0: none */
	unsigned probe_class;
	uint32_t nr;         /* items */
	uint32_t wanted;     /* item of the fault */
	uint64_t vas[FAULT_SWAPIN_PAGES];
	uint32_t slots[FAULT_SWAPIN_PAGES];   /* pinned */
	void *pages[FAULT_SWAPIN_PAGES];      /* where they are loaded to */
	int results[FAULT_SWAPIN_PAGES];
	uint64_t has_digest; /* bit i: item i's slot is worth keeping */
	struct qr_digest digests[FAULT_SWAPIN_PAGES];
	uint32_t nr_folios;
	struct swapin_folio folios[FAULT_SWAPIN_PAGES];
};

static void swapin_plan(struct swapin *in);
static bool swapin_pin(struct swapin *in);
static int swapin_alloc(struct swapin *in);
static int swapin_load(struct swapin *in);
static int swapin_install(struct swapin *in);

int qr_fault_swapin(struct fault *fault)
{
	struct swapin in = {.fault = fault};
	struct qr_vmm *vmm = fault->aspace->vmm;
	int err;

	swapin_plan(&in);
	if (!swapin_pin(&in))
		return QR_ERETRY;
	err = swapin_alloc(&in);
	if (!err)
		err = swapin_load(&in);
	if (!err) {
		err = swapin_install(&in);
		qr_stream_note(fault, in.is_block ? in.end : in.vas[in.nr - 1] + QR_PAGE_SIZE, in.order);
		qr_locality_note_pages(fault, in.nr);
		qr_stat_add(&vmm->stats, QR_STAT_faults_swapin, 1);
	}
	for (uint32_t i = 0; i < in.nr; i++) {
		if (!err && in.has_digest >> i & 1)
			qr_swap_keep(vmm->swap, in.slots[i], &in.digests[i]);
		else
			qr_swap_put(vmm->swap, in.slots[i]);
	}
	return err;
}

/* A probe lies in the VMA and in the page-table page. */
static void swapin_plan_probe(struct swapin *in)
{
	struct fault *fault = in->fault;

	in->probe_class = qr_locality_probe(fault, in->order, &in->probe_va);
	if (in->probe_class == QR_LOCALITY_NONE || in->probe_va < fault->vma->start ||
	    in->probe_va >= fault->vma->end ||
	    QR_ALIGN_DOWN(in->probe_va, QR_PT_SPAN) != QR_ALIGN_DOWN(fault->va, QR_PT_SPAN))
		in->probe_va = 0;
}

/* The window: for a stream from the fault on, to the end of the aligned block of the stream's order; else the aligned
 * block around it of the order that is worth it, and the page that follows if that is. */
static void swapin_plan(struct swapin *in)
{
	struct fault *fault = in->fault;
	unsigned max = QR_MIN(FAULT_SWAPIN_ORDER, fault->max_order), near = 0;
	bool is_alone, takes_next = false;

	if (fault->vma->flags & (QR_VMA_RANDOM | QR_VMA_NOHUGE))
		max = 0;
	is_alone = !max || fault->flags & QR_FAULT_PREFETCH;
	in->order = qr_stream_order(fault, fault->vma->flags & QR_VMA_SEQUENTIAL ? max : 0, max);
	if (!is_alone)
		near = QR_MIN(qr_locality_order(fault, &takes_next), max);
	in->is_block = near >= in->order;
	in->order = QR_MAX(near, in->order);
	in->start = QR_ALIGN_DOWN(fault->va, QR_PAGE_SIZE << in->order);
	in->end = in->start + (QR_PAGE_SIZE << in->order);
	if (takes_next && in->is_block && in->end == fault->va + QR_PAGE_SIZE)
		in->end += QR_PAGE_SIZE;
	in->end = QR_MIN(in->end, QR_MIN(fault->vma->end, QR_ALIGN_DOWN(fault->va, QR_PT_SPAN) + QR_PT_SPAN));
	in->start = in->is_block ? QR_MAX(in->start, fault->vma->start) : fault->va;
	if (in->is_block && !is_alone)
		swapin_plan_probe(in);
}

/* Whether the page of a slot comes along. What needs the device does not hold up a page that does not. */
static bool swapin_takes(const struct swapin *in, uint32_t slot, bool is_fast)
{
	return !in->is_block || !is_fast || qr_swap_is_fast(in->fault->aspace->vmm->swap, slot);
}

/* holds: page-table page. Adds the page as an item if it is in swap. */
static void swapin_pin_page(struct swapin *in, uint64_t va, bool is_fast)
{
	qr_pte_t pte = qr_pte_read(fault_entry(in->fault, va));
	uint32_t slot;

	if (!qr_pte_is_swap(pte))
		return;
	slot = qr_pte_swap_slot(pte);
	if (va == in->fault->va)
		in->wanted = in->nr;
	else if (!swapin_takes(in, slot, is_fast))
		return;
	qr_swap_get(in->fault->aspace->vmm->swap, slot);
	in->vas[in->nr] = va;
	in->slots[in->nr++] = slot;
}

/* False: the page of the fault is not in swap any more. */
static bool swapin_pin(struct swapin *in)
{
	struct fault *fault = in->fault;
	uint64_t start = in->probe_va ? QR_MIN(in->start, in->probe_va) : in->start;
	uint64_t end = QR_MAX(in->end, in->probe_va + QR_PAGE_SIZE);
	bool is_fast;
	qr_pte_t pte;

	in->wanted = NO_ITEM;
	qr_pt_lock(fault->page); /* holds: vma(R), page-table page */
	pte = qr_pte_read(fault_entry(fault, fault->va));
	if (qr_pte_is_swap(pte)) {
		is_fast = qr_swap_is_fast(fault->aspace->vmm->swap, qr_pte_swap_slot(pte));
		for (uint64_t va = start; va < end; va += QR_PAGE_SIZE) {
			if ((va >= in->start && va < in->end) || va == in->probe_va)
				swapin_pin_page(in, va, is_fast);
			/* A stream that meets something else than swap has come to its end. */
			if (!in->is_block && (!in->nr || in->vas[in->nr - 1] != va))
				break;
		}
	}
	qr_pt_unlock(fault->page);
	return in->wanted != NO_ITEM;
}

/* The largest folio that may start at that item: naturally aligned, its pages all there. */
static unsigned swapin_folio_order(const struct swapin *in, uint32_t first)
{
	uint32_t page = (uint32_t)(in->vas[first] >> QR_PAGE_SHIFT);
	unsigned order = (unsigned)__builtin_ctz(page | FAULT_SWAPIN_PAGES);

	for (; order > 0; order--) {
		uint32_t last = first + (1u << order) - 1;

		if (last < in->nr && in->vas[last] - in->vas[first] == (QR_PAGE_SIZE << order) - QR_PAGE_SIZE)
			break;
	}
	return order;
}

static void swapin_add_folio(struct swapin *in, struct qr_frame *folio, uint32_t first, unsigned order)
{
	struct qr_vmm *vmm = in->fault->aspace->vmm;
	uint32_t pfn = qr_zone_pfn(&vmm->zone, folio);

	for (uint32_t i = 0; i < 1u << order; i++)
		in->pages[first + i] = qr_port_frame_address(vmm->port, (qr_pfn_t){pfn + i});
	in->folios[in->nr_folios++] = (struct swapin_folio){folio, first, order};
}

static void swapin_drop_item(struct swapin *in, uint32_t item)
{
	qr_swap_put(in->fault->aspace->vmm->swap, in->slots[item]);
	in->nr--;
	if (in->wanted > item)
		in->wanted--;
	for (uint32_t i = item; i < in->nr; i++) {
		in->vas[i] = in->vas[i + 1];
		in->slots[i] = in->slots[i + 1];
	}
}

/* Gives back frames that were not adopted. */
static void swapin_free(struct swapin *in)
{
	for (uint32_t i = 0; i < in->nr_folios; i++)
		qr_fault_free(in->fault, in->folios[i].folio, in->folios[i].order);
	in->nr_folios = 0;
}

/* Frames for the items, in as large blocks as there are. What there is no memory for does not come along. */
static int swapin_alloc(struct swapin *in)
{
	bool may_fail = in->fault->flags & QR_FAULT_PREFETCH;
	uint32_t first = 0;

	if (in->nr > 1)
		qr_fault_make_room(in->fault, in->nr);
	while (first < in->nr) {
		unsigned order = swapin_folio_order(in, first);
		bool is_needed = first == in->wanted && !may_fail;
		struct qr_frame *folio = NULL;

		for (; order > 0 && !folio; order -= !folio)
			folio = qr_fault_alloc(in->fault, order, QR_GFP_MOVABLE | QR_GFP_NORETRY);
		if (!folio)
			folio = qr_fault_alloc(in->fault, 0, is_needed ? QR_GFP_USER : QR_GFP_MOVABLE | QR_GFP_NORETRY);
		if (!folio && first == in->wanted)
			break;
		if (!folio) {
			swapin_drop_item(in, first);
			continue;
		}
		swapin_add_folio(in, folio, first, order);
		first += 1u << order;
	}
	if (first == in->nr)
		return 0;
	swapin_free(in);
	return QR_ENOMEM;
}

/* Fills the frames. If a page beside that of the fault cannot be had the fault is tried again alone: whoever wants that
 * page will report it. */
static int swapin_load(struct swapin *in)
{
	struct qr_vmm *vmm = in->fault->aspace->vmm;

	if (!qr_swap_load(vmm->swap, in->slots, in->nr, in->pages, in->results)) {
		for (uint32_t i = 0; i < in->nr; i++)
			in->has_digest |=
				(uint64_t)qr_swap_digest(vmm->swap, in->slots[i], in->pages[i], &in->digests[i]) << i;
		return 0;
	}
	for (uint32_t i = 0; i < in->nr_folios; i++)
		qr_free_pages(vmm, in->folios[i].folio, in->folios[i].order);
	in->fault->max_order = 0;
	return in->results[0] ? in->results[0] : QR_ERETRY;
}

/* holds: page-table page. True if all PTEs of the folio still name their slots. */
static bool swapin_matches(struct swapin *in, const struct swapin_folio *item)
{
	for (uint32_t i = item->first; i < item->first + (1u << item->order); i++) {
		qr_pte_t pte = qr_pte_read(fault_entry(in->fault, in->vas[i]));

		if (!qr_pte_is_swap(pte) || qr_pte_swap_slot(pte) != in->slots[i])
			return false;
	}
	return true;
}

/* holds: page-table page. Maps the folio's pages but for a probe. */
static int swapin_map(struct swapin *in, const struct swapin_folio *item, uint32_t pfn)
{
	struct fault *fault = in->fault;
	uint64_t va = in->vas[item->first];
	uint32_t nr = 1u << item->order, nr_before = nr;
	int err = 0;

	if (in->probe_va >= va && in->probe_va < va + nr * QR_PAGE_SIZE)
		nr_before = (uint32_t)((in->probe_va - va) >> QR_PAGE_SHIFT);
	if (nr_before)
		err = qr_fault_map_run(fault, va, pfn, nr_before, fault->vma->prot);
	if (nr_before == nr)
		return err;
	qr_locality_note_probe(fault, in->probe_va, in->probe_class);
	if (nr_before + 1 < nr && !err)
		err = qr_fault_map_run(fault, in->probe_va + QR_PAGE_SIZE, pfn + nr_before + 1, nr - nr_before - 1,
				       fault->vma->prot);
	return err;
}

/* holds: page-table page. The folio is adopted. */
static int swapin_install_folio(struct swapin *in, const struct swapin_folio *item)
{
	struct fault *fault = in->fault;
	struct qr_vmm *vmm = fault->aspace->vmm;
	uint64_t va = in->vas[item->first];
	uint32_t pfn = qr_zone_pfn(&vmm->zone, item->folio);
	uint32_t nr = 1u << item->order;

	for (uint32_t i = 0; i < nr; i++) {
		qr_pte_write(fault->page, fault_entry(fault, va + i * QR_PAGE_SIZE),
			     qr_pte_idle((qr_pfn_t){pfn + i}, fault->vma->prot));
		qr_swap_put(vmm->swap, in->slots[item->first + i]); /* the PTE's reference; the pin remains */
	}
	qr_vma_count(fault->vma, nr, 0 - (uint64_t)nr);
	return swapin_map(in, item, pfn);
}

/* The folio that has the page of the fault. */
static uint32_t swapin_wanted_folio(const struct swapin *in)
{
	uint32_t i = 0;

	while (in->folios[i].first + (1u << in->folios[i].order) <= in->wanted)
		i++;
	return i;
}

/* Puts an installed folio on the list that its past calls for; the neighbours of the fault's page were only brought
 * along. */
static void swapin_publish(struct swapin *in, const struct swapin_folio *item, bool is_wanted)
{
	struct qr_vmm *vmm = in->fault->aspace->vmm;
	uint32_t shadow = qr_swap_shadow(vmm->swap, in->slots[item->first]);

	if (vmm->choices.reclaim == QR_RECLAIM_BALANCED &&
	    qr_balance_return(&vmm->balance, shadow, 1u << item->order, is_wanted) == QR_BALANCE_PROTECTED)
		qr_folio_set(item->folio, QR_FOLIO_WORKINGSET);
	qr_fault_publish(in->fault, item->folio);
}

/* That of the fault goes first: if it cannot be installed the others wait as well. A neighbour that cannot be mapped
 * stays unmapped, in memory. */
static int swapin_install(struct swapin *in)
{
	struct fault *fault = in->fault;
	struct qr_vmm *vmm = fault->aspace->vmm;
	uint64_t is_installed = 0; /* bit i: folio i */
	uint32_t wanted = swapin_wanted_folio(in);
	int err = QR_ERETRY;

	for (uint32_t i = 0; i < in->nr_folios; i++)
		qr_fault_adopt(fault, in->folios[i].folio, in->folios[i].order, in->vas[in->folios[i].first]);
	qr_pt_lock(fault->page); /* holds: vma(R), page-table page */
	if (swapin_matches(in, &in->folios[wanted])) {
		is_installed = (uint64_t)1 << wanted;
		err = swapin_install_folio(in, &in->folios[wanted]);
	}
	for (uint32_t i = 0; i < in->nr_folios && !err; i++) {
		if (i == wanted || !swapin_matches(in, &in->folios[i]))
			continue;
		is_installed |= (uint64_t)1 << i;
		(void)swapin_install_folio(in, &in->folios[i]);
	}
	qr_pt_unlock(fault->page); /* holds: vma(R) */
	for (uint32_t i = 0; i < in->nr_folios; i++) {
		if (is_installed >> i & 1)
			swapin_publish(in, &in->folios[i], i == wanted);
		else
			qr_folio_put(vmm, in->folios[i].folio, (1u << in->folios[i].order) + 1);
	}
	return err;
}
