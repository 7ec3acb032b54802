/* Shared by the files of core/aspace. Unless a function says otherwise, its caller holds aspace->lock. */
#ifndef QR_CORE_ASPACE_PRIV_H
#define QR_CORE_ASPACE_PRIV_H

#include "aspace/mmap_lock.h"
#include "aspace/vma_tree.h"
#include "vmm/vmm.h"

static inline uint64_t qr_vma_nr_pages(const struct qr_vma *vma)
{
	return (vma->end - vma->start) >> QR_PAGE_SHIFT;
}

/* The index in the VMA's object of the page of va. */
static inline uint32_t qr_vma_index_of(const struct qr_vma *vma, uint64_t va)
{
	return vma->index + (uint32_t)((va - vma->start) >> QR_PAGE_SHIFT);
}

/* va and len as the operations want them. */
static inline bool qr_range_is_sane(uint64_t va, uint64_t len_bytes)
{
	return len_bytes > 0 && !(va & ~QR_PAGE_MASK) && !(len_bytes & ~QR_PAGE_MASK) && va < QR_VA_END &&
	       len_bytes <= QR_VA_END - va;
}

/* ---- aspace.c ---- */

/* The VMA that holds va or the next one above it, locked for reading; NULL if none. Takes aspace->lock at most for a
 * moment; the caller does not hold it. */
struct qr_vma *qr_aspace_next_locked(struct qr_aspace *aspace, uint64_t va);
/* Puts a VMA that is QR_VMA_GONE on the list of those to be freed. */
void qr_aspace_retire_vma(struct qr_aspace *aspace, struct qr_vma *vma);
/* At the end of an operation: waits for a grace period and frees what is retired, when there is much of it. No VMA
 * lock is held. */
void qr_aspace_reap(struct qr_aspace *aspace);
/* Frees the empty page tables of [start, end), in which there is no VMA. */
void qr_aspace_free_tables(struct qr_aspace *aspace, uint64_t start, uint64_t end);
/* Whether nothing is mapped in the range, and it lies where mappings may. */
bool qr_aspace_is_free(struct qr_aspace *aspace, uint64_t va, uint64_t len_bytes);
/* Whether so many more pages can be locked. */
bool qr_aspace_may_lock(struct qr_aspace *aspace, uint64_t nr_pages);

/* ---- vma.c ---- */

/* A VMA that is not in the tree nor linked to the object, of which it takes a reference. NULL: out of memory. */
struct qr_vma *qr_vma_create(struct qr_aspace *aspace, struct qr_object *object);
/* Undoes it. */
void qr_vma_discard(struct qr_vma *vma);
/* Write-locked or not published: changes what rmap walks look at. */
void qr_vma_set_range(struct qr_vma *vma, uint64_t start, uint64_t end, uint32_t index);
/* The same with object->lock held for writing. */
void qr_vma_set_range_locked(struct qr_vma *vma, uint64_t start, uint64_t end, uint32_t index);
void qr_vma_set_flags(struct qr_vma *vma, uint32_t flags);
/* Puts a new VMA, its range set, on its object's list and counts it. */
void qr_vma_link(struct qr_vma *vma);
/* Write-locked: cuts [start, end) out of the middle; tail, fresh from qr_vma_create(), becomes what is behind it.
 * start == end splits. */
void qr_vma_cut(struct qr_vma *vma, struct qr_vma *tail, uint64_t start, uint64_t end);
/* Write-locked: off its object, gone and retired. */
void qr_vma_retire(struct qr_vma *vma);
/* If a VMA reaches across va, makes it two. */
int qr_vma_split_at(struct qr_aspace *aspace, uint64_t va) QR_WARN_UNUSED;
/* Merges neighbours that have become alike, from the one before start to the one behind end. Best effort. */
void qr_vma_merge_range(struct qr_aspace *aspace, uint64_t start, uint64_t end);
/* For each VMA in [start, end), split at its ends where flags change: clears and sets flags. QR_ENOMEM for a hole
 * (the mapped parts are done all the same) or when out of memory. */
int qr_vma_change_flags(struct qr_aspace *aspace, uint64_t start, uint64_t end, uint32_t clear,
			uint32_t set) QR_WARN_UNUSED;

/* ---- map.c ---- */

/* Makes the VMA [start, end) with that index, which is more than it was by [added, added + len). Errors change
 * nothing. */
int qr_vma_grow(struct qr_vma *vma, uint64_t start, uint64_t end, uint32_t index, uint64_t added,
		uint64_t len_bytes) QR_WARN_UNUSED;

/* ---- unmap.c ---- */

/* is_gone: the machine dropped the pages and the range already. */
int qr_unmap_locked(struct qr_aspace *aspace, uint64_t start, uint64_t end, bool is_gone) QR_WARN_UNUSED;
/* Where the machine can take back only pages of writable ranges (qr_port_is_exclusive), makes the VMAs in
 * [start, end) writable for the machine, ahead of unmapping, or undoes it. */
int qr_unmap_open(struct qr_aspace *aspace, uint64_t start, uint64_t end) QR_WARN_UNUSED;
void qr_unmap_close(struct qr_aspace *aspace, uint64_t start, uint64_t end);

/* ---- zap.c; vma is locked ---- */

/* As qr_zap_range(), for a machine that dropped the pages already. */
void qr_zap_gone(struct qr_vma *vma, uint64_t start, uint64_t end);

/* ---- share.c; vma is locked for writing ---- */

/* Before the VMA's range becomes writable in the machine, with all that is mapped in it: takes present pages that may
 * be shared out of the hardware's tables. Their entries become idle and keep forbidding writes. */
void qr_shield_shared(struct qr_vma *vma);

/* ---- hide.c; vma is locked for writing ---- */

/* Before the VMA loses all rights in a machine whose frames are exclusive: makes its present pages idle, as far as the
 * machine gives them up. */
void qr_hide_range(struct qr_vma *vma);

/* ---- populate.c; no lock is held ---- */

enum qr_populate {
	QR_POPULATE_ALL, /* every page that may be accessed */
	QR_POPULATE_STORED, /* pages whose content is somewhere: in swap, in a file, or idle; prefetch */
};
/* Makes pages of [start, end) present by faults. Holes and VMAs without rights are passed over. Returns 0 or the
 * first error of a fault, which ends it. */
int qr_populate(struct qr_aspace *aspace, uint64_t start, uint64_t end, enum qr_populate what) QR_WARN_UNUSED;
/* Sets or clears QR_FOLIO_UNEVICTABLE on the folios of [start, end). */
void qr_mark_unevictable(struct qr_aspace *aspace, uint64_t start, uint64_t end, bool is_unevictable);
/* Clears the flag of one folio, which the caller has a reference to. A page-table lock may be held. */
void qr_mark_evictable(struct qr_vmm *vmm, struct qr_frame *folio);

#endif
