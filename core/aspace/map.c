/*
 * mmap: finds room, grows a neighbour or makes a new VMA.
 *
 * The machine is told before the tree is published: a fault that comes in between finds no VMA, waits for
 * aspace->lock, and looks again. So an error of the machine needs nothing undone but the draft.
 *
 * Locks: aspace->lock; for growing, the neighbour's lock.
 */
#include "aspace/aspace_priv.h"

struct request {
	struct qr_aspace *aspace;
	uint64_t va;
	uint64_t end;
	uint64_t align;
	uint32_t prot;
	uint32_t flags;           /* QR_MAP_* */
	uint32_t vma_flags;
	struct qr_object *object; /* NULL: new anonymous memory */
	uint32_t index;
};

static bool is_sane(const struct request *request, uint64_t len_bytes);
static int map_locked(struct request *request, uint64_t len_bytes);
static int choose_address(struct request *request, uint64_t len_bytes);
static bool grow_neighbour(struct request *request, int *err);
static int map_new(struct request *request);

int qr_map(struct qr_aspace *aspace, uint64_t va, uint64_t len_bytes, uint64_t va_align, uint32_t prot, uint32_t flags,
	   struct qr_object *object, uint32_t index, uint64_t *out_va)
{
	struct request request = {
		.aspace = aspace,
		.va = va,
		.align = va_align,
		.prot = prot,
		.flags = flags,
		.vma_flags = flags & QR_MAP_LOCKED ? QR_VMA_LOCKED : 0,
		.object = object,
		.index = object ? index : 0,
	};
	int err;

	if (!is_sane(&request, len_bytes))
		return QR_EINVAL;
	qr_aspace_lock(aspace);
	err = map_locked(&request, len_bytes);
	qr_aspace_reap(aspace);
	qr_aspace_unlock(aspace);
	if (err)
		return err;
	if (flags & QR_MAP_LOCKED) {
		/* As mmap(2) has it: the mapping stands even if not all of it could be brought in. */
		(void)!qr_populate(aspace, request.va, request.end, QR_POPULATE_ALL);
		qr_mark_unevictable(aspace, request.va, request.end, true);
	}
	*out_va = request.va;
	return 0;
}

static bool is_sane(const struct request *request, uint64_t len_bytes)
{
	const struct qr_aspace *aspace = request->aspace;
	uint64_t index_end = request->index + (len_bytes >> QR_PAGE_SHIFT);

	if (len_bytes == 0 || len_bytes & ~QR_PAGE_MASK || request->va & ~QR_PAGE_MASK ||
	    !qr_is_power_of_2(request->align) || request->align < QR_PAGE_SIZE || request->align > QR_VA_END)
		return false;
	if (request->prot & ~(QR_PROT_READ | QR_PROT_WRITE | QR_PROT_EXEC) ||
	    request->flags & ~(QR_MAP_FIXED | QR_MAP_FIXED_NOREPLACE | QR_MAP_LOCKED) || index_end > UINT32_MAX)
		return false;
	if (!(request->flags & (QR_MAP_FIXED | QR_MAP_FIXED_NOREPLACE)))
		return true;
	return request->va >= aspace->va_start && request->va < aspace->va_end &&
	       len_bytes <= aspace->va_end - request->va;
}

static int map_locked(struct request *request, uint64_t len_bytes)
{
	struct qr_aspace *aspace = request->aspace;
	int err;

	if (request->vma_flags & QR_VMA_LOCKED && !qr_aspace_may_lock(aspace, len_bytes >> QR_PAGE_SHIFT))
		return QR_ENOMEM;
	err = choose_address(request, len_bytes);
	if (err)
		return err;
	request->end = request->va + len_bytes;
	if (request->flags & QR_MAP_FIXED)
		err = qr_unmap_locked(aspace, request->va, request->end, false);
	if (!err && !grow_neighbour(request, &err))
		err = map_new(request);
	return err;
}

static int choose_address(struct request *request, uint64_t len_bytes)
{
	struct qr_aspace *aspace = request->aspace;
	struct qr_vma_gap gap = {
		.floor = aspace->va_start,
		.limit = aspace->va_end,
		.len_bytes = len_bytes,
		.align = request->align,
	};

	if (request->flags & QR_MAP_FIXED_NOREPLACE)
		return qr_aspace_is_free(aspace, request->va, len_bytes) ? 0 : QR_EEXIST;
	if (request->flags & QR_MAP_FIXED)
		return 0;
	if (request->va && !(request->va & (request->align - 1)) && qr_aspace_is_free(aspace, request->va, len_bytes))
		return 0;
	return qr_vma_tree_find_gap(aspace->tree, &gap, &request->va);
}

static bool can_grow(const struct request *request, const struct qr_vma *vma)
{
	return !request->object && !vma->object->is_file && !vma->object->group && vma->prot == request->prot &&
	       vma->flags == request->vma_flags;
}

/* Makes a neighbour cover the request as well; false if none will do. */
static bool grow_neighbour(struct request *request, int *err)
{
	struct qr_aspace *aspace = request->aspace;
	struct qr_vma *vma = qr_vma_tree_find_before(aspace->tree, request->va);
	uint64_t nr_pages = (request->end - request->va) >> QR_PAGE_SHIFT;
	uint64_t start, end;
	uint32_t index;

	if (vma && vma->end == request->va && can_grow(request, vma) &&
	    vma->index + qr_vma_nr_pages(vma) + nr_pages <= UINT32_MAX) {
		start = vma->start;
		end = request->end;
		index = vma->index;
	} else {
		vma = qr_vma_tree_find(aspace->tree, request->end);
		if (!vma || vma->start != request->end || !can_grow(request, vma) || vma->index < nr_pages)
			return false;
		start = request->va;
		end = vma->end;
		index = vma->index - (uint32_t)nr_pages;
	}
	*err = qr_vma_grow(vma, start, end, index, request->va, request->end - request->va);
	return true;
}

int qr_vma_grow(struct qr_vma *vma, uint64_t start, uint64_t end, uint32_t index, uint64_t added, uint64_t len_bytes)
{
	struct qr_aspace *aspace = vma->aspace;
	int err;

	qr_vma_tree_begin(aspace->tree);
	err = qr_vma_tree_replace(aspace->tree, vma->start, vma, start, end);
	if (!err)
		err = qr_port_range_add(aspace->vmm->port, aspace->port_space, added, len_bytes, vma->prot);
	if (err) {
		qr_vma_tree_abort(aspace->tree);
		return err;
	}
	qr_vma_write_lock(vma); /* holds: aspace, vma(W) */
	qr_vma_set_range(vma, start, end, index);
	qr_vma_tree_publish(aspace->tree);
	qr_vma_write_unlock(vma);
	return 0;
}

static struct qr_vma *create_vma(struct request *request)
{
	struct qr_aspace *aspace = request->aspace;
	struct qr_object *object = request->object;
	struct qr_vma *vma;

	if (object)
		return qr_vma_create(aspace, object);
	object = qr_object_create(aspace->vmm, false, NULL);
	if (!object)
		return NULL;
	vma = qr_vma_create(aspace, object);
	qr_object_put(object); /* the VMA has its own reference */
	return vma;
}

static int map_new(struct request *request)
{
	struct qr_aspace *aspace = request->aspace;
	struct qr_vma *vma = create_vma(request);
	int err;

	if (!vma)
		return QR_ENOMEM;
	qr_vma_tree_begin(aspace->tree);
	err = qr_vma_tree_insert(aspace->tree, vma, request->va, request->end);
	if (!err)
		err = qr_port_range_add(aspace->vmm->port, aspace->port_space, request->va, request->end - request->va,
					request->prot);
	if (err) {
		qr_vma_tree_abort(aspace->tree);
		qr_vma_discard(vma);
		return err;
	}
	vma->prot = request->prot;
	vma->flags = request->vma_flags;
	qr_vma_set_range(vma, request->va, request->end, request->index);
	qr_vma_link(vma);
	qr_vma_tree_publish(aspace->tree);
	return 0;
}
