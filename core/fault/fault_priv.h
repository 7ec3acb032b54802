/* The state of one fault, shared by the loop and its cases. */
#ifndef QR_CORE_FAULT_PRIV_H
#define QR_CORE_FAULT_PRIV_H

#include "fault/fault.h"
#include "vmm/vmm.h"

/* Pages brought back from swap at a time, at most: 256 KiB. */
#define FAULT_SWAPIN_ORDER 6u
#define FAULT_SWAPIN_PAGES (1u << FAULT_SWAPIN_ORDER)

struct fault {
	struct qr_aspace *aspace;
	uint64_t va;            /* page-aligned */
	uint32_t flags;         /* QR_FAULT_* */
	struct qr_vma *vma;     /* read-locked, or NULL */
	struct qr_frame *page;  /* page-table page of va */
	unsigned max_order;     /* of the folios to try; lowered when a window turned out to be taken */
};

/* One case each. Entered with the VMA read-locked and the page-table page there but not locked; left in the same
 * state. Return 0 when the page of va is mapped, QR_ERETRY to look again, or the error of qr_fault(). */
int qr_fault_fill(struct fault *fault);    /* nothing there: zeros, or the file's content */
int qr_fault_swapin(struct fault *fault);  /* content is in swap */
int qr_fault_idle(struct fault *fault);    /* folio in memory, taken out of the hardware's tables */
int qr_fault_present(struct fault *fault); /* mapped already */
int qr_fault_cow(struct fault *fault);     /* a write to a page that may be shared, present or idle */

/* Streams: the order of the window that the fault should bring in, and the note of what it brought.
 * initial: the order for a fault that continues no stream. */
unsigned qr_stream_order(const struct fault *fault, unsigned initial, unsigned max);
void qr_stream_note(const struct fault *fault, uint64_t end_va, unsigned order);

/* Neighbours of pages that come back from swap, locality.c. The order of the aligned block around the fault that is
 * worth bringing in, at most QR_LOCALITY_MAX_ORDER, and whether the page that follows is. */
unsigned qr_locality_order(const struct fault *fault, bool *takes_next);
/* Whether this fault should make a probe: its class, with the page that it would be, which is not that of the fault and
 * need not be in the VMA; else QR_LOCALITY_NONE. order: of the block that is brought in. */
#define QR_LOCALITY_NONE UINT32_MAX
unsigned qr_locality_probe(const struct fault *fault, unsigned order, uint64_t *probe_va);
/* The probe is in memory, not mapped. */
void qr_locality_note_probe(const struct fault *fault, uint64_t probe_va, unsigned class);
/* So many pages came back from swap. */
void qr_locality_note_pages(const struct fault *fault, uint32_t nr);
/* The fault was at a page that was in memory and not mapped. */
void qr_locality_touched(const struct fault *fault);

/* Sees to it that a window of nr pages can be allocated: reclaims if free memory is low. A stream would evict as much
 * page by page; at once it gets large blocks. May sleep; no page-table lock held. */
void qr_fault_make_room(struct fault *fault, uint32_t nr);

/* Frames for the fault's page, charged to its group, if it is in one: see qr_group_alloc_pages(). */
static inline struct qr_frame *qr_fault_alloc(struct fault *fault, unsigned order, qr_gfp_t gfp)
{
	return qr_group_alloc_pages(fault->aspace->vmm, fault->vma->object->group, order, gfp);
}

/* Gives back a block that was not adopted. */
static inline void qr_fault_free(struct fault *fault, struct qr_frame *frame, unsigned order)
{
	qr_group_free_pages(fault->aspace->vmm, fault->vma->object->group, frame, order);
}

/* Makes a freshly allocated block a folio of the VMA's object at va, with nr references and one pin. */
void qr_fault_adopt(struct fault *fault, struct qr_frame *folio, unsigned order, uint64_t va);
/* holds: page-table page. Maps [va, va + nr), whose PTEs are idle, name consecutive PFNs from pfn and have that
 * protection; they become present as far as the machine went. Returns 0 or the port's error, QR_ERETRY for a passing
 * one. */
int qr_fault_map_run(struct fault *fault, uint64_t va, uint32_t pfn, uint32_t nr, uint32_t prot);
/* Puts an adopted folio on the LRU and drops the pin. Page-table page not locked. */
void qr_fault_publish(struct fault *fault, struct qr_frame *folio);

/* The part of [va, va + 2^order pages) that lies in the VMA and in the page-table page; order 0 always does. */
bool qr_fault_window_fits(const struct fault *fault, uint64_t va, unsigned order);

static inline qr_pte_t *fault_entry(struct fault *fault, uint64_t va)
{
	return qr_pt_entry(&fault->aspace->pgtable, fault->page, va);
}

#endif
