/*
 * One reader-writer lock for the address space (V2, the baseline): every fault holds it for reading, from the lookup of
 * its VMA to the end of the round, and every change of the shape for writing. VMAs need no lock of their own.
 */
#include "aspace/aspace_priv.h"

static void rwsem_lock(struct qr_aspace *aspace)
{
	qr_rwsem_write_lock(&aspace->rwsem);
	qr_stat_add(&aspace->vmm->stats, QR_STAT_mmap_lock_takes, 1);
}

static void rwsem_unlock(struct qr_aspace *aspace)
{
	qr_rwsem_write_unlock(&aspace->rwsem);
}

static struct qr_vma *rwsem_next(struct qr_aspace *aspace, uint64_t va)
{
	struct qr_vma *vma;

	qr_rwsem_read_lock(&aspace->rwsem);
	qr_stat_add(&aspace->vmm->stats, QR_STAT_mmap_lock_takes, 1);
	vma = qr_vma_tree_find(aspace->tree, va);
	if (!vma)
		qr_rwsem_read_unlock(&aspace->rwsem);
	return vma;
}

static void rwsem_unlock_vma(struct qr_vma *vma)
{
	qr_rwsem_read_unlock(&vma->aspace->rwsem);
}

/* Whoever changes a VMA holds the lock for writing already. */
static void rwsem_write_lock_vma(struct qr_vma *vma)
{
	(void)vma;
}

const struct qr_mmap_lock_ops qr_mmap_lock_rwsem = {
	.lock = rwsem_lock,
	.unlock = rwsem_unlock,
	.next = rwsem_next,
	.unlock_vma = rwsem_unlock_vma,
	.write_lock_vma = rwsem_write_lock_vma,
	.write_unlock_vma = rwsem_write_lock_vma,
};
