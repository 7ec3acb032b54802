/*
 * Sparse array of frames: top array, two directory levels, leaves. See sparse.h.
 * Locks: none of its own; the owner's lock around changes.
 */
#include "swap/sparse.h"

#include "vmm/vmm.h"

static void **sparse_entry(const struct qr_sparse *sparse, uint32_t leaf);
static void *sparse_new_frame(struct qr_sparse *sparse);
static void sparse_free_frame(struct qr_sparse *sparse, void *address);

void qr_sparse_init(struct qr_sparse *sparse, struct qr_vmm *vmm)
{
	memset(sparse, 0, sizeof(*sparse));
	sparse->vmm = vmm;
}

void qr_sparse_destroy(struct qr_sparse *sparse)
{
	for (uint32_t i = 0; i < QR_SPARSE_TOP; i++) {
		void **high = sparse->top[i];

		for (uint32_t j = 0; high && j < QR_SPARSE_FAN; j++) {
			void **low = high[j];

			for (uint32_t k = 0; low && k < QR_SPARSE_FAN; k++)
				sparse_free_frame(sparse, low[k]);
			sparse_free_frame(sparse, low);
		}
		sparse_free_frame(sparse, high);
		sparse->top[i] = NULL;
	}
	QR_ASSERT(sparse->nr_frames == 0);
}

void *qr_sparse_leaf(const struct qr_sparse *sparse, uint32_t leaf)
{
	void **entry = leaf < QR_SPARSE_MAX_LEAVES ? sparse_entry(sparse, leaf) : NULL;

	/* Acquire pairs with the release in qr_sparse_add_leaf(). */
	return entry ? qr_load_acquire(entry) : NULL;
}

int qr_sparse_add_leaf(struct qr_sparse *sparse, uint32_t leaf)
{
	void **entry = &sparse->top[leaf >> (2 * QR_SPARSE_FAN_SHIFT)];

	QR_ASSERT(leaf < QR_SPARSE_MAX_LEAVES);
	for (unsigned level = 2; level-- > 0;) {
		void **directory = *entry;

		if (!directory) {
			directory = sparse_new_frame(sparse);
			if (!directory)
				return QR_ENOMEM;
			qr_store_release(entry, (void *)directory);
		}
		entry = &directory[(leaf >> (level * QR_SPARSE_FAN_SHIFT)) & (QR_SPARSE_FAN - 1)];
	}
	QR_ASSERT(!*entry);
	void *address = sparse_new_frame(sparse);

	if (!address)
		return QR_ENOMEM;
	qr_store_release(entry, address);
	return 0;
}

void qr_sparse_free_leaf(struct qr_sparse *sparse, uint32_t leaf)
{
	void **entry = sparse_entry(sparse, leaf);
	void *address = *entry;

	qr_store_release(entry, NULL);
	sparse_free_frame(sparse, address);
}

/* The place of a leaf in its lowest directory, NULL if that is missing. */
static void **sparse_entry(const struct qr_sparse *sparse, uint32_t leaf)
{
	/* Acquire pairs with the release in qr_sparse_add_leaf(). */
	void **high = qr_load_acquire(&sparse->top[leaf >> (2 * QR_SPARSE_FAN_SHIFT)]);
	void **low;

	if (!high)
		return NULL;
	low = qr_load_acquire(&high[(leaf >> QR_SPARSE_FAN_SHIFT) & (QR_SPARSE_FAN - 1)]);
	return low ? &low[leaf & (QR_SPARSE_FAN - 1)] : NULL;
}

static void *sparse_new_frame(struct qr_sparse *sparse)
{
	struct qr_frame *frame = qr_alloc_pages(sparse->vmm, 0, QR_GFP_RECLAIM);
	void *address;

	if (!frame)
		return NULL;
	address = qr_zone_address(&sparse->vmm->zone, frame);
	memset(address, 0, QR_PAGE_SIZE);
	sparse->nr_frames++;
	return address;
}

static void sparse_free_frame(struct qr_sparse *sparse, void *address)
{
	if (!address)
		return;
	qr_free_pages(sparse->vmm, qr_zone_frame_at(&sparse->vmm->zone, address), 0);
	sparse->nr_frames--;
}
