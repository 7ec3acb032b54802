/*
 * What keeps faults and changes of the shape of an address space apart. One file per rival: lock_vma.c (V4, the
 * default), lock_rwsem.c (V2, the baseline).
 *
 * Whichever it is: a VMA that is locked for reading does not change, aspace->lock of the legends is what lock() takes,
 * and vma->lock what write_lock_vma() takes.
 */
#ifndef QR_CORE_MMAP_LOCK_H
#define QR_CORE_MMAP_LOCK_H

#include "aspace/aspace.h"

struct qr_mmap_lock_ops {
	/* To change the shape of the address space. May sleep. */
	void (*lock)(struct qr_aspace *aspace);
	void (*unlock)(struct qr_aspace *aspace);
	/* The VMA that holds va or the next one above it, locked for reading; NULL if none. May sleep. */
	struct qr_vma *(*next)(struct qr_aspace *aspace, uint64_t va);
	void (*unlock_vma)(struct qr_vma *vma);
	/* For the holder of lock(): keeps readers of one VMA out. May sleep. */
	void (*write_lock_vma)(struct qr_vma *vma);
	void (*write_unlock_vma)(struct qr_vma *vma);
	bool has_rcu_readers; /* next() walks the tree without lock(): what leaves it waits for a grace period */
};
extern const struct qr_mmap_lock_ops qr_mmap_lock_vma;
extern const struct qr_mmap_lock_ops qr_mmap_lock_rwsem;

static inline void qr_aspace_lock(struct qr_aspace *aspace)
{
	aspace->lock_ops->lock(aspace);
}

static inline void qr_aspace_unlock(struct qr_aspace *aspace)
{
	aspace->lock_ops->unlock(aspace);
}

static inline void qr_vma_write_lock(struct qr_vma *vma)
{
	vma->aspace->lock_ops->write_lock_vma(vma);
}

static inline void qr_vma_write_unlock(struct qr_vma *vma)
{
	vma->aspace->lock_ops->write_unlock_vma(vma);
}

#endif
