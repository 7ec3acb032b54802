/*
 * Objects and object-based reverse mapping (R8): a folio names its object and its index in it, the object has the VMAs
 * that map it in a tree by index (interval.h), and the VMA tells the address. No per-page chain is kept.
 *
 * Source: D. McCracken, "Object-based Reverse Mapping", Ottawa Linux Symposium 2004.
 * Locks: object->lock guards the tree and, with aspace->lock and vma->lock, the bounds of the VMAs on it.
 */
#include "vmm/vmm.h"

struct qr_object *qr_object_create(struct qr_vmm *vmm, bool is_file, void *file)
{
	struct qr_object *object = qr_slab_alloc(&vmm->object_cache, QR_GFP_KERNEL);

	if (!object)
		return NULL;
	object->vmm = vmm;
	object->refs = 1;
	object->is_file = is_file;
	object->is_forked = false;
	object->file = file;
	object->group = NULL;
	qr_rwsem_init(&object->lock, QR_RANK_OBJECT);
	object->vmas = NULL;
	return object;
}

void qr_object_set_group(struct qr_object *object, struct qr_group *group)
{
	QR_BUG_ON(object->group);
	object->group = group;
	qr_group_get(group);
	qr_group_count_slab(group, sizeof(*object));
}

void qr_object_get(struct qr_object *object)
{
	QR_ASSERT(qr_load_relaxed(&object->refs) > 0);
	(void)qr_fetch_add_relaxed(&object->refs, 1);
}

void qr_object_put(struct qr_object *object)
{
	/* Acquire and release: what other holders did with the object happens before it is freed. */
	uint32_t before = qr_fetch_sub(&object->refs, 1);

	QR_BUG_ON(before == 0);
	if (before != 1)
		return;
	QR_ASSERT(!object->vmas);
	if (object->is_file)
		qr_port_file_close(object->vmm->port, object->file);
	if (object->group) {
		qr_group_count_slab(object->group, 0 - (uint64_t)sizeof(*object));
		qr_group_put(object->group);
	}
	qr_slab_free(&object->vmm->object_cache, object);
}

void qr_object_add_vma(struct qr_object *object, struct qr_vma *vma)
{
	qr_rwsem_write_lock(&object->lock);
	qr_object_add_vma_locked(object, vma);
	qr_rwsem_write_unlock(&object->lock);
}

void qr_object_remove_vma(struct qr_object *object, struct qr_vma *vma)
{
	qr_rwsem_write_lock(&object->lock);
	qr_object_remove_vma_locked(object, vma);
	qr_rwsem_write_unlock(&object->lock);
}

static uint32_t last_index(const struct qr_vma *vma)
{
	return vma->index + (uint32_t)((vma->end - vma->start) >> QR_PAGE_SHIFT) - 1;
}

void qr_object_add_vma_locked(struct qr_object *object, struct qr_vma *vma)
{
	vma->object_link.first = vma->index;
	vma->object_link.last = last_index(vma);
	qr_interval_insert(&object->vmas, &vma->object_link);
}

void qr_object_remove_vma_locked(struct qr_object *object, struct qr_vma *vma)
{
	qr_interval_remove(&object->vmas, &vma->object_link);
}

void qr_object_move_vma_locked(struct qr_object *object, struct qr_vma *vma)
{
	if (!qr_interval_is_in_tree(&vma->object_link))
		return;
	qr_object_remove_vma_locked(object, vma);
	qr_object_add_vma_locked(object, vma);
}

bool qr_object_has_vma(struct qr_object *object, struct qr_vma *vma)
{
	bool has_vma;

	qr_rwsem_read_lock(&object->lock);
	has_vma = qr_interval_has(object->vmas, &vma->object_link) && vma->object_link.first == vma->index &&
		  vma->object_link.last == last_index(vma);
	qr_rwsem_read_unlock(&object->lock);
	return has_vma;
}

struct walk {
	const struct qr_frame *folio;
	bool (*visit)(struct qr_vma *vma, uint64_t va, uint32_t first, uint32_t nr, void *context);
	void *context;
};

/* One VMA: a call for each page-table page that its part of the folio lies in. */
static bool visit_vma(const struct qr_interval *link, void *argument)
{
	const struct walk *walk = argument;
	const struct qr_frame *folio = walk->folio;
	struct qr_vma *vma = QR_CONTAINER_OF(link, struct qr_vma, object_link);
	uint64_t folio_end = (uint64_t)folio->index + qr_folio_nr_pages(folio);
	uint64_t vma_end = vma->index + ((vma->end - vma->start) >> QR_PAGE_SHIFT);
	uint64_t first = QR_MAX(folio->index, vma->index);
	uint64_t end = QR_MIN(folio_end, vma_end);

	while (first < end) {
		uint64_t va = vma->start + ((first - vma->index) << QR_PAGE_SHIFT);
		uint64_t nr_table = (QR_PT_SPAN - (va & (QR_PT_SPAN - 1))) >> QR_PAGE_SHIFT;
		uint32_t nr = (uint32_t)QR_MIN(end - first, nr_table);

		if (!walk->visit(vma, va, (uint32_t)(first - folio->index), nr, walk->context))
			return false;
		first += nr;
	}
	return true;
}

void qr_rmap_walk(struct qr_frame *folio,
		  bool (*visit)(struct qr_vma *vma, uint64_t va, uint32_t first, uint32_t nr, void *context),
		  void *context)
{
	struct qr_object *object = folio->owner;
	struct walk walk = {.folio = folio, .visit = visit, .context = context};
	uint64_t last = (uint64_t)folio->index + qr_folio_nr_pages(folio) - 1;

	qr_rwsem_read_lock(&object->lock); /* holds: folio, object(R) */
	(void)qr_interval_walk(object->vmas, folio->index, (uint32_t)QR_MIN(last, (uint64_t)UINT32_MAX), visit_vma,
			       &walk);
	qr_rwsem_read_unlock(&object->lock);
}
