/*
 * munmap: the VMAs in a range go, those that reach across its ends are cut.
 *
 * Prepare: the tree without the range, as a draft, and the VMA that becomes the rest behind a hole. Commit: each
 * VMA is locked, zapped and cut or retired, then the draft is published. Until then readers find the old VMAs, see
 * that they are gone, and wait for aspace->lock.
 *
 * Locks: aspace->lock, then one VMA at a time.
 */
#include "aspace/aspace_priv.h"

static int prepare(struct qr_aspace *aspace, uint64_t start, uint64_t end, struct qr_vma **tail);
static void take_from(struct qr_vma *vma, uint64_t start, uint64_t end, struct qr_vma *tail, bool is_gone);

int qr_unmap(struct qr_aspace *aspace, uint64_t va, uint64_t len_bytes)
{
	int err;

	if (!qr_range_is_sane(va, len_bytes))
		return QR_EINVAL;
	qr_aspace_lock(aspace);
	err = qr_unmap_locked(aspace, va, va + len_bytes, false);
	qr_aspace_reap(aspace);
	qr_aspace_unlock(aspace);
	return err;
}

int qr_unmap_locked(struct qr_aspace *aspace, uint64_t start, uint64_t end, bool is_gone)
{
	struct qr_vma *vma = qr_vma_tree_find(aspace->tree, start);
	struct qr_vma *tail = NULL;
	int err;

	if (!vma || vma->start >= end)
		return 0;
	err = prepare(aspace, start, end, &tail);
	if (err)
		return err;
	err = is_gone ? 0 : qr_unmap_open(aspace, start, end);
	if (err) {
		qr_vma_tree_abort(aspace->tree);
		if (tail)
			qr_vma_discard(tail);
		return err;
	}
	while (vma && vma->start < end) {
		uint64_t next = vma->end;

		take_from(vma, start, end, tail, is_gone);
		vma = qr_vma_tree_find(aspace->tree, next);
	}
	qr_vma_tree_publish(aspace->tree);
	qr_aspace_free_tables(aspace, start, end);
	return 0;
}

/* The draft without [start, end). */
static int prepare(struct qr_aspace *aspace, uint64_t start, uint64_t end, struct qr_vma **tail)
{
	struct qr_vma_tree *tree = aspace->tree;
	struct qr_vma *vma;
	int err = 0;

	qr_vma_tree_begin(tree);
	for (uint64_t va = start; !err && (vma = qr_vma_tree_find(tree, va)) && vma->start < end; va = vma->end) {
		if (vma->start < start)
			err = qr_vma_tree_replace(tree, vma->start, vma, vma->start, start);
		else if (vma->end > end)
			err = qr_vma_tree_replace(tree, vma->start, vma, end, vma->end);
		else
			err = qr_vma_tree_erase(tree, vma->start);
		if (err || vma->start >= start || vma->end <= end)
			continue;
		*tail = qr_vma_create(aspace, vma->object);
		err = *tail ? qr_vma_tree_insert(tree, *tail, end, vma->end) : QR_ENOMEM;
	}
	if (!err)
		return 0;
	qr_vma_tree_abort(tree);
	if (*tail)
		qr_vma_discard(*tail);
	*tail = NULL;
	return err;
}

/* Takes [start, end) away from one VMA. Cannot fail: where the machine holds on to a page it is waited for, and a
 * range that it will not give up reaches the fault loop, which finds no VMA there. */
static void take_from(struct qr_vma *vma, uint64_t start, uint64_t end, struct qr_vma *tail, bool is_gone)
{
	struct qr_vmm *vmm = vma->aspace->vmm;
	unsigned spins = 0;

	start = QR_MAX(start, vma->start);
	end = QR_MIN(end, vma->end);
	qr_vma_write_lock(vma); /* holds: aspace, vma(W) */
	if (is_gone) {
		qr_zap_gone(vma, start, end);
	} else {
		while (qr_zap_range(vma, start, end) == QR_EBUSY)
			qr_port_cpu_relax(spins++);
		if (qr_port_range_remove(vmm->port, vma->aspace->port_space, start, end - start))
			qr_port_log(vmm->port, QR_LOG_WARN, "an unmapped range stays reserved in the machine");
	}
	if (start == vma->start && end == vma->end)
		qr_vma_retire(vma);
	else if (end == vma->end)
		qr_vma_set_range(vma, vma->start, start, vma->index);
	else if (start == vma->start)
		qr_vma_set_range(vma, end, vma->end, qr_vma_index_of(vma, end));
	else
		qr_vma_cut(vma, tail, start, end);
	qr_vma_write_unlock(vma);
}

/* Gives the machine's ranges of the VMAs without the right to write that right, or takes it again. */
static int set_open(struct qr_aspace *aspace, uint64_t start, uint64_t end, bool is_open)
{
	struct qr_vma *vma;
	int err = 0;

	for (uint64_t va = start; !err && (vma = qr_vma_tree_find(aspace->tree, va)) && vma->start < end;
	     va = vma->end) {
		uint64_t low = QR_MAX(vma->start, start);
		uint32_t prot = is_open ? QR_PROT_READ | QR_PROT_WRITE : vma->prot;

		if (vma->prot & QR_PROT_WRITE)
			continue;
		qr_vma_write_lock(vma); /* holds: aspace, vma(W) */
		err = qr_port_range_protect(aspace->vmm->port, aspace->port_space, low, QR_MIN(vma->end, end) - low,
					    prot);
		qr_vma_write_unlock(vma);
	}
	return err;
}

int qr_unmap_open(struct qr_aspace *aspace, uint64_t start, uint64_t end)
{
	int err = qr_port_is_exclusive(aspace->vmm->port) ? set_open(aspace, start, end, true) : 0;

	if (err)
		qr_unmap_close(aspace, start, end);
	return err;
}

void qr_unmap_close(struct qr_aspace *aspace, uint64_t start, uint64_t end)
{
	/* Merging back what was split just now needs nothing of the machine; if it still fails the pages are writable
	 * for the program, which loses a trap but no content. */
	if (qr_port_is_exclusive(aspace->vmm->port) && set_open(aspace, start, end, false))
		qr_port_log(aspace->vmm->port, QR_LOG_WARN, "a range stays writable");
}
