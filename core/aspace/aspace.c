/* Address spaces: creation and end, and the freeing of what readers of the VMA tree may still look at. */
#include "aspace/aspace_priv.h"

/* Nodes and VMAs that wait for a grace period before one is waited for: 128 nodes are 64 KiB. */
#define REAP_BATCH 128u
/* Locked pages may take one part in so many of the frames. */
#define LOCKED_SHARE 2u
/* Page tables are freed below one table of this level at a time: 512 GiB. */
#define FREE_TABLES_LEVEL 3u

/* Shares of the page counts, at most: 6 CPUs to a line on the largest machine. */
#define MAX_COUNTS 64u

static void reap_all(struct qr_aspace *aspace);
static struct qr_aspace *aspace_alloc(struct qr_vmm *vmm);
static void aspace_free(struct qr_vmm *vmm, struct qr_aspace *aspace);

int qr_aspace_create(struct qr_vmm *vmm, struct qr_port_space *port_space, uint64_t va_start, uint64_t va_end,
		     struct qr_aspace **out)
{
	struct qr_aspace *aspace;
	int err;

	if (va_start >= va_end || va_end > QR_VA_END || (va_start | va_end) & ~QR_PAGE_MASK)
		return QR_EINVAL;
	aspace = aspace_alloc(vmm);
	if (!aspace)
		return QR_ENOMEM;
	aspace->vmm = vmm;
	aspace->port_space = port_space;
	aspace->va_start = va_start;
	aspace->va_end = va_end;
	aspace->lock_ops = vmm->choices.mmap_lock == QR_MMAP_LOCK_RWSEM ? &qr_mmap_lock_rwsem : &qr_mmap_lock_vma;
	qr_mutex_init(&aspace->lock, QR_RANK_ASPACE);
	qr_rwsem_init(&aspace->rwsem, QR_RANK_ASPACE);
	err = qr_vma_tree_create(vmm, &aspace->tree);
	if (err)
		goto free_aspace;
	err = qr_pgtable_init(&aspace->pgtable, vmm);
	if (err)
		goto free_tree;
	*out = aspace;
	return 0;
free_tree:
	qr_vma_tree_destroy(aspace->tree);
free_aspace:
	aspace_free(vmm, aspace);
	return err;
}

/* Zeroed. */
static struct qr_aspace *aspace_alloc(struct qr_vmm *vmm)
{
	uint32_t nr_counts = QR_MIN(qr_port_nr_cpus(), MAX_COUNTS);
	struct qr_aspace *aspace =
		qr_kmalloc(vmm, sizeof(*aspace) + nr_counts * sizeof(struct qr_aspace_count), QR_GFP_KERNEL);

	if (!aspace)
		return NULL;
	aspace->nr_counts = nr_counts;
	aspace->stream_sets = qr_kmalloc(vmm, QR_NR_STREAM_SETS * sizeof(struct qr_stream_set), QR_GFP_KERNEL);
	aspace->locality = qr_kmalloc(vmm, sizeof(struct qr_locality), QR_GFP_KERNEL);
	if (!aspace->stream_sets || !aspace->locality) {
		aspace_free(vmm, aspace);
		return NULL;
	}
	return aspace;
}

static void aspace_free(struct qr_vmm *vmm, struct qr_aspace *aspace)
{
	qr_kfree(vmm, aspace->locality);
	qr_kfree(vmm, aspace->stream_sets);
	qr_kfree(vmm, aspace);
}

uint64_t qr_aspace_nr_resident(const struct qr_aspace *aspace)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < aspace->nr_counts; i++)
		sum += qr_load_relaxed(&aspace->counts[i].nr_resident);
	return sum;
}

uint64_t qr_aspace_nr_swapped(const struct qr_aspace *aspace)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < aspace->nr_counts; i++)
		sum += qr_load_relaxed(&aspace->counts[i].nr_swapped);
	return sum;
}

void qr_aspace_count(struct qr_aspace *aspace, uint64_t nr_resident, uint64_t nr_swapped)
{
	struct qr_aspace_count *count = &aspace->counts[qr_port_cpu() % aspace->nr_counts];

	if (nr_resident)
		(void)qr_fetch_add_relaxed(&count->nr_resident, nr_resident);
	if (nr_swapped)
		(void)qr_fetch_add_relaxed(&count->nr_swapped, nr_swapped);
}

void qr_vma_count(const struct qr_vma *vma, uint64_t nr_resident, uint64_t nr_swapped)
{
	qr_aspace_count(vma->aspace, nr_resident, nr_swapped);
	if (qr_unlikely(vma->object->group != NULL) && nr_swapped)
		qr_group_count_swapped(vma->object->group, (uint32_t)nr_swapped);
}

void qr_aspace_destroy(struct qr_aspace *aspace)
{
	struct qr_vma *vma;

	qr_aspace_lock(aspace);
	if (qr_unmap_open(aspace, 0, QR_VA_END))
		qr_port_log(aspace->vmm->port, QR_LOG_WARN, "an address space ends with ranges that stay read-only");
	for (uint64_t va = 0; (vma = qr_vma_tree_find(aspace->tree, va)); va = vma->end) {
		qr_vma_write_lock(vma);
		while (qr_zap_range(vma, vma->start, vma->end) == QR_EBUSY)
			qr_port_cpu_relax(1);
		if (qr_port_range_remove(aspace->vmm->port, aspace->port_space, vma->start, vma->end - vma->start))
			qr_port_log(aspace->vmm->port, QR_LOG_WARN, "a range outlives its address space");
		qr_vma_retire(vma);
		qr_vma_write_unlock(vma);
	}
	reap_all(aspace);
	qr_aspace_unlock(aspace);
	QR_ASSERT(aspace->nr_vmas == 0 && aspace->mapped_bytes == 0 && aspace->nr_locked == 0);
	QR_ASSERT(qr_aspace_nr_resident(aspace) == 0 && qr_aspace_nr_swapped(aspace) == 0);
	qr_vma_tree_destroy(aspace->tree);
	qr_pgtable_destroy(&aspace->pgtable);
	aspace_free(aspace->vmm, aspace);
}

struct qr_vma *qr_aspace_find_locked(struct qr_aspace *aspace, uint64_t va)
{
	struct qr_vma *vma = aspace->lock_ops->next(aspace, va);

	if (vma && vma->start > va) {
		qr_vma_unlock(vma);
		return NULL;
	}
	return vma;
}

struct qr_vma *qr_aspace_next_locked(struct qr_aspace *aspace, uint64_t va)
{
	return aspace->lock_ops->next(aspace, va);
}

void qr_vma_unlock(struct qr_vma *vma)
{
	vma->aspace->lock_ops->unlock_vma(vma);
}

void qr_aspace_retire_vma(struct qr_aspace *aspace, struct qr_vma *vma)
{
	vma->free_next = aspace->free_list;
	aspace->free_list = vma;
	aspace->nr_free_list++;
}

void qr_aspace_reap(struct qr_aspace *aspace)
{
	if (aspace->nr_free_list + aspace->tree->nr_retired >= REAP_BATCH)
		reap_all(aspace);
}

static void reap_all(struct qr_aspace *aspace)
{
	struct qr_vma *next;

	/* Read sections only try locks, so none of them waits for aspace->lock. */
	if (aspace->lock_ops->has_rcu_readers)
		qr_port_rcu_synchronize();
	qr_vma_tree_reap(aspace->tree);
	for (struct qr_vma *vma = aspace->free_list; vma; vma = next) {
		next = vma->free_next;
		qr_slab_free(&aspace->vmm->vma_cache, vma);
	}
	aspace->free_list = NULL;
	aspace->nr_free_list = 0;
}

void qr_aspace_free_tables(struct qr_aspace *aspace, uint64_t start, uint64_t end)
{
	const struct qr_vma *before = qr_vma_tree_find_before(aspace->tree, start);
	const struct qr_vma *behind = qr_vma_tree_find(aspace->tree, end);
	uint64_t span = qr_pt_entry_span(FREE_TABLES_LEVEL);
	uint64_t floor = QR_MAX(before ? before->end : 0, QR_ALIGN_DOWN(start, span));
	uint64_t ceiling = QR_MIN(behind ? behind->start : QR_VA_END, QR_ALIGN_UP(end, span));

	/* A small hole seldom has a page-table page to itself. */
	if (QR_MAX(QR_ALIGN_UP(floor, QR_PT_SPAN), QR_ALIGN_DOWN(start, QR_PT_SPAN)) <
	    QR_MIN(QR_ALIGN_DOWN(ceiling, QR_PT_SPAN), QR_ALIGN_UP(end, QR_PT_SPAN)))
		(void)qr_pgtable_free_range(&aspace->pgtable, floor, ceiling);
}

bool qr_aspace_is_free(struct qr_aspace *aspace, uint64_t va, uint64_t len_bytes)
{
	const struct qr_vma *vma = qr_vma_tree_find(aspace->tree, va);

	return va >= aspace->va_start && va < aspace->va_end && len_bytes <= aspace->va_end - va &&
	       (!vma || vma->start >= va + len_bytes);
}

bool qr_aspace_may_lock(struct qr_aspace *aspace, uint64_t nr_pages)
{
	return aspace->nr_locked + nr_pages <= qr_load_relaxed(&aspace->vmm->nr_limit) / LOCKED_SHARE;
}

static bool vma_is_valid(struct qr_aspace *aspace, struct qr_vma *vma)
{
	return qr_object_has_vma(vma->object, vma) && vma->aspace == aspace && vma->start < vma->end &&
	       !(vma->flags & QR_VMA_GONE) && !((vma->start | vma->end) & ~QR_PAGE_MASK) &&
	       vma->index + qr_vma_nr_pages(vma) <= (uint64_t)1 << 32;
}

bool qr_aspace_is_valid(struct qr_aspace *aspace)
{
	uint64_t nr_vmas = 0, mapped_bytes = 0, nr_locked = 0;
	struct qr_vma *vma;
	bool is_valid;

	qr_aspace_lock(aspace);
	is_valid = qr_vma_tree_is_valid(aspace->tree) && qr_pgtable_is_valid(&aspace->pgtable);
	for (uint64_t va = 0; is_valid && (vma = qr_vma_tree_find(aspace->tree, va)); va = vma->end) {
		is_valid = vma_is_valid(aspace, vma);
		nr_vmas++;
		mapped_bytes += vma->end - vma->start;
		nr_locked += vma->flags & QR_VMA_LOCKED ? qr_vma_nr_pages(vma) : 0;
	}
	is_valid = is_valid && nr_vmas == aspace->nr_vmas && mapped_bytes == aspace->mapped_bytes &&
		   nr_locked == aspace->nr_locked;
	qr_aspace_unlock(aspace);
	return is_valid;
}
