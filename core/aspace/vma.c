/*
 * VMAs: making, splitting, merging, and the changes of their fields.
 *
 * A field that faults rely on changes under vma->lock for writing; one that reverse mapping relies on also under
 * object->lock. Memory is allocated and the tree's draft is made before the first lock is taken, so that a change
 * is made whole or not at all.
 *
 * Locks: aspace->lock is held throughout.
 */
#include "aspace/aspace_priv.h"

static void count_slab(const struct qr_vma *vma, uint64_t bytes)
{
	if (vma->object->group)
		qr_group_count_slab(vma->object->group, bytes);
}

struct qr_vma *qr_vma_create(struct qr_aspace *aspace, struct qr_object *object)
{
	struct qr_vma *vma = qr_slab_alloc(&aspace->vmm->vma_cache, QR_GFP_KERNEL | QR_GFP_HIGH);

	if (!vma)
		return NULL;
	memset(vma, 0, sizeof(*vma));
	vma->aspace = aspace;
	vma->object = object;
	qr_object_get(object);
	qr_rwsem_init(&vma->lock, QR_RANK_VMA);
	count_slab(vma, sizeof(*vma));
	return vma;
}

void qr_vma_discard(struct qr_vma *vma)
{
	count_slab(vma, 0 - (uint64_t)sizeof(*vma));
	qr_object_put(vma->object);
	qr_slab_free(&vma->aspace->vmm->vma_cache, vma);
}

/* Counts are unsigned and differences may be negative: all is modulo 2^64. */
static void account(struct qr_vma *vma, uint64_t nr_pages_more)
{
	vma->aspace->mapped_bytes += nr_pages_more << QR_PAGE_SHIFT;
	if (vma->flags & QR_VMA_LOCKED)
		vma->aspace->nr_locked += nr_pages_more;
}

void qr_vma_set_range(struct qr_vma *vma, uint64_t start, uint64_t end, uint32_t index)
{
	qr_rwsem_write_lock(&vma->object->lock);
	qr_vma_set_range_locked(vma, start, end, index);
	qr_rwsem_write_unlock(&vma->object->lock);
}

void qr_vma_set_range_locked(struct qr_vma *vma, uint64_t start, uint64_t end, uint32_t index)
{
	account(vma, ((end - start) >> QR_PAGE_SHIFT) - qr_vma_nr_pages(vma));
	vma->start = start;
	vma->end = end;
	vma->index = index;
	qr_object_move_vma_locked(vma->object, vma);
}

void qr_vma_set_flags(struct qr_vma *vma, uint32_t flags)
{
	uint32_t changed = vma->flags ^ flags;

	if (changed & QR_VMA_LOCKED)
		vma->aspace->nr_locked += flags & QR_VMA_LOCKED ? qr_vma_nr_pages(vma) : 0 - qr_vma_nr_pages(vma);
	qr_rwsem_write_lock(&vma->object->lock);
	vma->flags = flags;
	qr_rwsem_write_unlock(&vma->object->lock);
}

void qr_vma_link(struct qr_vma *vma)
{
	qr_object_add_vma(vma->object, vma);
	vma->aspace->nr_vmas++;
}

void qr_vma_cut(struct qr_vma *vma, struct qr_vma *tail, uint64_t start, uint64_t end)
{
	struct qr_object *object = vma->object;

	QR_ASSERT(vma->start < start && start <= end && end < vma->end);
	account(vma, 0 - ((end - start) >> QR_PAGE_SHIFT));
	qr_rwsem_write_lock(&object->lock);
	tail->start = end;
	tail->end = vma->end;
	tail->index = qr_vma_index_of(vma, end);
	tail->prot = vma->prot;
	tail->flags = vma->flags;
	vma->end = start;
	qr_object_move_vma_locked(object, vma);
	qr_object_add_vma_locked(object, tail);
	qr_rwsem_write_unlock(&object->lock);
	vma->aspace->nr_vmas++;
}

void qr_vma_retire(struct qr_vma *vma)
{
	account(vma, 0 - qr_vma_nr_pages(vma));
	vma->aspace->nr_vmas--;
	qr_object_remove_vma(vma->object, vma);
	vma->flags |= QR_VMA_GONE;
	count_slab(vma, 0 - (uint64_t)sizeof(*vma));
	qr_object_put(vma->object);
	qr_aspace_retire_vma(vma->aspace, vma);
}

int qr_vma_split_at(struct qr_aspace *aspace, uint64_t va)
{
	struct qr_vma *vma = qr_vma_tree_find(aspace->tree, va);
	struct qr_vma *tail;

	if (!vma || vma->start >= va)
		return 0;
	tail = qr_vma_create(aspace, vma->object);
	if (!tail)
		return QR_ENOMEM;
	qr_vma_tree_begin(aspace->tree);
	if (qr_vma_tree_replace(aspace->tree, vma->start, vma, vma->start, va) ||
	    qr_vma_tree_insert(aspace->tree, tail, va, vma->end)) {
		qr_vma_tree_abort(aspace->tree);
		qr_vma_discard(tail);
		return QR_ENOMEM;
	}
	qr_vma_write_lock(vma); /* holds: aspace, vma(W) */
	qr_vma_cut(vma, tail, va, va);
	qr_vma_tree_publish(aspace->tree);
	qr_vma_write_unlock(vma);
	return 0;
}

static bool can_merge(const struct qr_vma *left, const struct qr_vma *right)
{
	return left->end == right->start && left->prot == right->prot && left->flags == right->flags &&
	       left->object == right->object && left->index + qr_vma_nr_pages(left) == right->index;
}

/* Makes left both; false when out of memory. */
static bool merge(struct qr_aspace *aspace, struct qr_vma *left, struct qr_vma *right)
{
	struct qr_object *object = left->object;

	qr_vma_tree_begin(aspace->tree);
	if (qr_vma_tree_erase(aspace->tree, right->start) ||
	    qr_vma_tree_replace(aspace->tree, left->start, left, left->start, right->end)) {
		qr_vma_tree_abort(aspace->tree);
		return false;
	}
	qr_vma_write_lock(left);
	qr_vma_write_lock(right); /* holds: aspace, vma(W) of both */
	qr_rwsem_write_lock(&object->lock);
	left->end = right->end;
	qr_object_remove_vma_locked(object, right);
	qr_object_move_vma_locked(object, left);
	right->flags |= QR_VMA_GONE;
	qr_rwsem_write_unlock(&object->lock);
	qr_vma_tree_publish(aspace->tree);
	qr_vma_write_unlock(right);
	qr_vma_write_unlock(left);
	aspace->nr_vmas--;
	qr_object_put(object); /* left has another reference */
	qr_aspace_retire_vma(aspace, right);
	return true;
}

void qr_vma_merge_range(struct qr_aspace *aspace, uint64_t start, uint64_t end)
{
	struct qr_vma *vma = qr_vma_tree_find_before(aspace->tree, start);

	if (!vma)
		vma = qr_vma_tree_find(aspace->tree, start);
	while (vma) {
		struct qr_vma *next = qr_vma_tree_find(aspace->tree, vma->end);

		if (!next || next->start > end)
			return;
		if (!can_merge(vma, next)) {
			vma = next;
			continue;
		}
		if (!merge(aspace, vma, next))
			return;
		qr_aspace_reap(aspace);
	}
}

/* The flags of the part of the VMA of va that lies below end. */
static int change_flags_of_one(struct qr_aspace *aspace, uint64_t va, uint64_t end, uint32_t flags)
{
	struct qr_vma *vma;
	int err = qr_vma_split_at(aspace, va);

	if (!err)
		err = qr_vma_split_at(aspace, end);
	if (err)
		return err;
	vma = qr_vma_tree_find(aspace->tree, va);
	qr_vma_write_lock(vma); /* holds: aspace, vma(W) */
	qr_vma_set_flags(vma, flags);
	qr_vma_write_unlock(vma);
	return 0;
}

int qr_vma_change_flags(struct qr_aspace *aspace, uint64_t start, uint64_t end, uint32_t clear, uint32_t set)
{
	uint64_t va = start;
	int err = 0, result = 0;

	while (va < end && !err) {
		struct qr_vma *vma = qr_vma_tree_find(aspace->tree, va);
		uint64_t vma_end;
		uint32_t flags;

		if (!vma || vma->start > va)
			result = QR_ENOMEM;
		if (!vma || vma->start >= end)
			break;
		va = QR_MAX(va, vma->start);
		vma_end = QR_MIN(vma->end, end);
		flags = (vma->flags & ~clear) | set;
		if (flags != vma->flags)
			err = change_flags_of_one(aspace, va, vma_end, flags);
		va = vma_end;
	}
	qr_vma_merge_range(aspace, start, end);
	return err ? err : result;
}
