/*
 * Per-VMA locks (V4): faults take no lock of the address space.
 *
 * Lookup: a walk of the VMA tree under RCU, then a try at the VMA's own lock inside the read section, in which the VMA
 * cannot be freed. Whoever fails, or finds nothing, looks again under aspace->lock, where no VMA is on its way out: so
 * nobody waits on the lock of a VMA that may go, and an operation that replaces a mapping is seen whole.
 *
 * Source of the lock-free walk: A. Clements and others, "Scalable Address Spaces Using RCU Balanced Trees",
 * ASPLOS 2012.
 */
#include "aspace/aspace_priv.h"

static struct qr_vma *find_fast(struct qr_aspace *aspace, uint64_t va);

static void vma_lock(struct qr_aspace *aspace)
{
	qr_mutex_lock(&aspace->lock);
	qr_stat_add(&aspace->vmm->stats, QR_STAT_mmap_lock_takes, 1);
}

static void vma_unlock(struct qr_aspace *aspace)
{
	qr_mutex_unlock(&aspace->lock);
}

static struct qr_vma *vma_next(struct qr_aspace *aspace, uint64_t va)
{
	struct qr_vma *vma = find_fast(aspace, va);

	if (vma)
		return vma;
	vma_lock(aspace);
	vma = qr_vma_tree_find(aspace->tree, va);
	if (vma)
		qr_rwsem_read_lock(&vma->lock); /* writers hold aspace->lock first: only readers are waited for */
	vma_unlock(aspace);
	return vma;
}

/* The VMA that holds va, if it is there for the taking. */
static struct qr_vma *find_fast(struct qr_aspace *aspace, uint64_t va)
{
	struct qr_vma *vma;

	qr_port_rcu_read_lock();
	vma = qr_vma_tree_find(aspace->tree, va);
	if (vma && !qr_rwsem_read_trylock(&vma->lock))
		vma = NULL;
	/* The tree may have been an old one: only what the VMA itself says under its lock counts. */
	if (vma && (vma->flags & QR_VMA_GONE || va < vma->start || va >= vma->end)) {
		qr_rwsem_read_unlock(&vma->lock);
		vma = NULL;
	}
	qr_port_rcu_read_unlock();
	return vma;
}

static void vma_unlock_vma(struct qr_vma *vma)
{
	/* Once the count is down a writer may retire the VMA while this thread still looks at the lock's word. */
	qr_port_rcu_read_lock();
	qr_rwsem_read_unlock(&vma->lock);
	qr_port_rcu_read_unlock();
}

static void vma_write_lock_vma(struct qr_vma *vma)
{
	qr_rwsem_write_lock(&vma->lock);
}

static void vma_write_unlock_vma(struct qr_vma *vma)
{
	qr_rwsem_write_unlock(&vma->lock);
}

const struct qr_mmap_lock_ops qr_mmap_lock_vma = {
	.lock = vma_lock,
	.unlock = vma_unlock,
	.next = vma_next,
	.unlock_vma = vma_unlock_vma,
	.write_lock_vma = vma_write_lock_vma,
	.write_unlock_vma = vma_write_unlock_vma,
	.has_rcu_readers = true,
};
