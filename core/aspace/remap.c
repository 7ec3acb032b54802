/*
 * mremap: shrinks, grows in place, or moves. A move copies nothing: mapped pages are unmapped, so that their content
 * is in their frames, and the entries change place as idle ones. The VMA keeps its object and index, so the folios
 * stay as they are. The new address is congruent to the old one modulo 2 MiB where there is room for that: then
 * folios stay within one page-table page, and runs stay whole.
 *
 * Locks: aspace->lock, vma->lock (W), object->lock (W), the page-table pages of both addresses.
 */
#include "aspace/aspace_priv.h"

struct move {
	struct qr_aspace *aspace;
	struct qr_vma *vma;
	uint64_t va;
	uint64_t old_len;
	uint64_t new_va;
	uint64_t new_len;
	uint32_t flags; /* QR_REMAP_* */
};

static bool is_sane(const struct move *move);
static int remap_locked(struct move *move);
static bool grow_in_place(struct move *move, int *err);
static int move_vma(struct move *move);
static int find_destination(struct move *move);
static int prepare(struct move *move);
static void commit(struct move *move);
static int move_entries(struct move *move, bool is_prepare);
static void move_part(struct move *move, struct qr_frame *from, struct qr_frame *to, uint64_t va, uint64_t end);

int qr_remap(struct qr_aspace *aspace, uint64_t va, uint64_t old_len, uint64_t new_len, uint32_t flags, uint64_t new_va,
	     uint64_t *out_va)
{
	struct move move = {
		.aspace = aspace,
		.va = va,
		.old_len = old_len,
		.new_va = flags & QR_REMAP_FIXED ? new_va : va,
		.new_len = new_len,
		.flags = flags,
	};
	bool is_locked;
	int err;

	if (!is_sane(&move))
		return QR_EINVAL;
	qr_aspace_lock(aspace);
	err = remap_locked(&move);
	is_locked = !err && move.vma->flags & QR_VMA_LOCKED;
	qr_aspace_reap(aspace);
	qr_aspace_unlock(aspace);
	if (err)
		return err;
	if (is_locked && new_len > old_len) {
		/* The mapping stands even if not all of it could be brought in. */
		(void)!qr_populate(aspace, move.new_va + old_len, move.new_va + new_len, QR_POPULATE_ALL);
		qr_mark_unevictable(aspace, move.new_va + old_len, move.new_va + new_len, true);
	}
	*out_va = move.new_va;
	return 0;
}

static bool is_sane(const struct move *move)
{
	const struct qr_aspace *aspace = move->aspace;

	if (!qr_range_is_sane(move->va, move->old_len) || move->new_len == 0 || move->new_len & ~QR_PAGE_MASK ||
	    move->flags & ~(QR_REMAP_MAYMOVE | QR_REMAP_FIXED))
		return false;
	if (!(move->flags & QR_REMAP_FIXED))
		return true;
	return move->flags & QR_REMAP_MAYMOVE && qr_range_is_sane(move->new_va, move->new_len) &&
	       move->new_va >= aspace->va_start && move->new_va + move->new_len <= aspace->va_end &&
	       (move->new_va + move->new_len <= move->va || move->va + move->old_len <= move->new_va);
}

/* The VMA that holds all of the old range; NULL if none does. */
static struct qr_vma *find_source(const struct move *move)
{
	struct qr_vma *vma = qr_vma_tree_find(move->aspace->tree, move->va);

	return vma && vma->start <= move->va && vma->end >= move->va + move->old_len ? vma : NULL;
}

static int remap_locked(struct move *move)
{
	struct qr_aspace *aspace = move->aspace;
	uint64_t nr_more;
	int err = 0;

	move->vma = find_source(move);
	if (!move->vma)
		return QR_EFAULT;
	if (move->new_len < move->old_len) {
		err = qr_unmap_locked(aspace, move->va + move->new_len, move->va + move->old_len, false);
		move->old_len = move->new_len;
		move->vma = find_source(move);
	}
	nr_more = (move->new_len - move->old_len) >> QR_PAGE_SHIFT;
	if (err)
		return err;
	if (qr_vma_index_of(move->vma, move->va) + (move->new_len >> QR_PAGE_SHIFT) > UINT32_MAX ||
	    (move->vma->flags & QR_VMA_LOCKED && !qr_aspace_may_lock(aspace, nr_more)))
		return QR_ENOMEM;
	if (move->flags & QR_REMAP_FIXED)
		return move_vma(move);
	if (nr_more == 0 || grow_in_place(move, &err))
		return err;
	return move->flags & QR_REMAP_MAYMOVE ? move_vma(move) : QR_ENOMEM;
}

static bool grow_in_place(struct move *move, int *err)
{
	struct qr_vma *vma = move->vma;
	uint64_t len_more = move->new_len - move->old_len;

	if (vma->end != move->va + move->old_len || !qr_aspace_is_free(move->aspace, vma->end, len_more))
		return false;
	*err = qr_vma_grow(vma, vma->start, vma->end + len_more, vma->index, vma->end, len_more);
	return true;
}

/* Moves the pages of the old range, which lies in one VMA. */
static int move_vma(struct move *move)
{
	struct qr_aspace *aspace = move->aspace;
	uint64_t old_end = move->va + move->old_len;
	int err = find_destination(move);

	if (!err)
		err = qr_vma_split_at(aspace, move->va);
	if (!err)
		err = qr_vma_split_at(aspace, old_end);
	if (!err)
		err = qr_unmap_open(aspace, move->va, old_end);
	if (err) {
		qr_vma_merge_range(aspace, move->va, old_end);
		return err;
	}
	move->vma = find_source(move);
	qr_vma_write_lock(move->vma); /* holds: aspace, vma(W) */
	err = prepare(move);
	if (!err)
		commit(move);
	qr_vma_write_unlock(move->vma); /* holds: aspace */
	if (!err) {
		qr_aspace_free_tables(aspace, move->va, old_end);
		return 0;
	}
	qr_unmap_close(aspace, move->va, old_end);
	qr_aspace_free_tables(aspace, move->new_va, move->new_va + move->new_len);
	qr_vma_merge_range(aspace, move->va, old_end);
	return err;
}

static int find_destination(struct move *move)
{
	struct qr_aspace *aspace = move->aspace;
	struct qr_vma_gap gap = {
		.floor = aspace->va_start,
		.limit = aspace->va_end,
		.len_bytes = move->new_len,
		.align = QR_PT_SPAN,
		.offset = move->va & (QR_PT_SPAN - 1),
	};

	if (move->flags & QR_REMAP_FIXED)
		return qr_unmap_locked(aspace, move->new_va, move->new_va + move->new_len, false);
	if (qr_vma_tree_find_gap(aspace->tree, &gap, &move->new_va) == 0)
		return 0;
	gap.align = QR_PAGE_SIZE;
	gap.offset = 0;
	return qr_vma_tree_find_gap(aspace->tree, &gap, &move->new_va);
}

/* holds: vma(W). All that can fail. */
static int prepare(struct move *move)
{
	struct qr_aspace *aspace = move->aspace;
	struct qr_vma *vma = move->vma;
	int err;

	qr_vma_tree_begin(aspace->tree);
	err = qr_vma_tree_erase(aspace->tree, move->va);
	if (!err)
		err = qr_vma_tree_insert(aspace->tree, vma, move->new_va, move->new_va + move->new_len);
	if (!err)
		err = move_entries(move, true);
	if (!err)
		err = qr_port_range_add(aspace->vmm->port, aspace->port_space, move->new_va, move->new_len, vma->prot);
	if (err)
		qr_vma_tree_abort(aspace->tree);
	return err;
}

/* holds: vma(W). Cannot fail. */
static void commit(struct move *move)
{
	struct qr_aspace *aspace = move->aspace;
	struct qr_vma *vma = move->vma;
	int err;

	qr_rwsem_write_lock(&vma->object->lock); /* holds: aspace, vma(W), object(W) */
	err = move_entries(move, false);
	QR_BUG_ON(err); /* the tables are there */
	qr_vma_set_range_locked(vma, move->new_va, move->new_va + move->new_len, vma->index);
	qr_rwsem_write_unlock(&vma->object->lock); /* holds: aspace, vma(W) */
	qr_vma_tree_publish(aspace->tree);
	if (qr_port_range_remove(aspace->vmm->port, aspace->port_space, move->va, move->old_len))
		qr_port_log(aspace->vmm->port, QR_LOG_WARN,
			    "a range that was moved away stays reserved in the machine");
}

/* Goes over the old range in parts that lie in one page-table page at either address. is_prepare: makes the tables
 * at the new one; else moves the entries. */
static int move_entries(struct move *move, bool is_prepare)
{
	struct qr_pgtable *table = &move->aspace->pgtable;
	uint64_t old_end = move->va + move->old_len;

	for (uint64_t va = move->va; va < old_end;) {
		uint64_t new_va = va - move->va + move->new_va;
		uint64_t nr_old = QR_PT_SPAN - (va & (QR_PT_SPAN - 1));
		uint64_t nr_new = QR_PT_SPAN - (new_va & (QR_PT_SPAN - 1));
		uint64_t end = QR_MIN(va + QR_MIN(nr_old, nr_new), old_end);
		struct qr_frame *from = qr_pgtable_find(table, va);
		struct qr_frame *to;

		if (from && qr_load_relaxed(&from->refs) != 0) {
			int err = qr_pgtable_populate(table, new_va, &to);

			if (err)
				return err;
			if (!is_prepare)
				move_part(move, from, to, va, end);
		}
		va = end;
	}
	return 0;
}

/* holds: the page-table page. Unmaps the run of present entries that begins at va; those done become idle. *nr_done
 * is their number. Returns 0, or why the machine stopped: QR_EAGAIN, QR_EBUSY. */
static int unmap_run(struct move *move, struct qr_frame *from, uint64_t va, uint64_t end, uint32_t *nr_done)
{
	struct qr_aspace *aspace = move->aspace;
	struct qr_pgtable *table = &aspace->pgtable;
	qr_pte_t first = qr_pte_read(qr_pt_entry(table, from, va));
	uint32_t nr = 1;
	int err;

	*nr_done = 0;
	for (; va + nr * QR_PAGE_SIZE < end; nr++) {
		qr_pte_t pte = qr_pte_read(qr_pt_entry(table, from, va + nr * QR_PAGE_SIZE));

		if (!qr_pte_is_present(pte) || qr_pte_pfn(pte).nr != qr_pte_pfn(first).nr + nr ||
		    qr_pte_prot(pte) != qr_pte_prot(first))
			break;
	}
	err = qr_port_unmap(aspace->vmm->port, aspace->port_space, va, qr_pte_pfn(first), nr, qr_pte_prot(first),
			    nr_done);
	if (err == QR_EFAULT && *nr_done < nr) {
		++*nr_done; /* the machine has no such range any more: this page is off its hands */
		err = 0;
	}
	for (uint32_t i = 0; i < *nr_done; i++) {
		qr_pte_t *entry = qr_pt_entry(table, from, va + i * QR_PAGE_SIZE);

		qr_pte_write(from, entry, qr_pte_to_idle(qr_pte_read(entry)));
	}
	return err;
}

/* holds: both page-table pages. Moves the entry of va unless it is present. */
static bool move_entry(struct move *move, struct qr_frame *from, struct qr_frame *to, uint64_t va)
{
	struct qr_pgtable *table = &move->aspace->pgtable;
	qr_pte_t *entry = qr_pt_entry(table, from, va);
	qr_pte_t pte = qr_pte_read(entry);

	if (qr_pte_is_present(pte))
		return false;
	if (!qr_pte_is_none(pte)) {
		qr_pte_write(to, qr_pt_entry(table, to, va - move->va + move->new_va), pte);
		qr_pte_write(from, entry, qr_pte_none());
	}
	return true;
}

static void move_part(struct move *move, struct qr_frame *from, struct qr_frame *to, uint64_t va, uint64_t end)
{
	unsigned spins = 0;

	while (va < end) {
		uint32_t nr_done;
		int err = 0;

		qr_pt_lock_pair(from, to); /* holds: aspace, vma(W), object(W), both page-table pages */
		qr_port_unmap_begin(move->aspace->vmm->port, move->aspace->port_space);
		while (va < end && !err) {
			if (move_entry(move, from, to, va))
				va += QR_PAGE_SIZE;
			else
				err = unmap_run(move, from, va, end, &nr_done);
		}
		qr_port_unmap_end(move->aspace->vmm->port, move->aspace->port_space);
		qr_pt_unlock_pair(from, to);
		/* Pages are pinned or shared for a while only; the machine sees to that. */
		if (err)
			qr_port_cpu_relax(spins++);
	}
}
