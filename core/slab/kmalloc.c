/*
 * General sizes for core's own use: slab caches up to 8 KiB, blocks of frames above.
 *
 * Sizes are powers of two and their 1.5-fold, so that at most a third of an object is unused.
 */
#include "slab/slab.h"
#include "vmm/vmm.h"

#define SHIFT_MIN 4u              /* 16 bytes */
#define CACHED_MAX (8u << 10)
/* A size that is a multiple of the cache line is aligned to it, whatever uses it. */
#define ALIGN_MAX ((uint32_t)QR_CACHE_LINE)

static const uint32_t kmalloc_sizes[QR_NR_KMALLOC] = {16,  24,  32,   48,   64,   96,   128,  192,  256, 384,
						      512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192};
static const char *const kmalloc_names[QR_NR_KMALLOC] = {
	"kmalloc-16",   "kmalloc-24",   "kmalloc-32",   "kmalloc-48",   "kmalloc-64",  "kmalloc-96",   "kmalloc-128",
	"kmalloc-192",  "kmalloc-256",  "kmalloc-384",  "kmalloc-512",  "kmalloc-768", "kmalloc-1024", "kmalloc-1536",
	"kmalloc-2048", "kmalloc-3072", "kmalloc-4096", "kmalloc-6144", "kmalloc-8192"};

static unsigned kmalloc_index(uint32_t size_bytes);
static unsigned kmalloc_order(uint64_t size_bytes);
static struct qr_frame *kmalloc_block(struct qr_vmm *vmm, const void *object);

int qr_kmalloc_init(struct qr_kmalloc *kmalloc, struct qr_zone *zone)
{
	for (unsigned i = 0; i < QR_NR_KMALLOC; i++) {
		uint32_t size = kmalloc_sizes[i];
		uint32_t align = QR_MIN(size & -size, ALIGN_MAX);
		int err = qr_slab_cache_init(&kmalloc->caches[i], zone, kmalloc_names[i], size, align, NULL, NULL, 0);

		if (err)
			return err;
	}
	return 0;
}

void *qr_kmalloc(struct qr_vmm *vmm, uint64_t size_bytes, qr_gfp_t gfp)
{
	struct qr_frame *block;

	if (size_bytes <= CACHED_MAX)
		return qr_slab_alloc(&vmm->kmalloc.caches[kmalloc_index((uint32_t)size_bytes)], gfp | QR_GFP_ZERO);
	if (size_bytes > QR_PAGE_SIZE << QR_MAX_ORDER)
		return NULL;
	block = qr_alloc_pages(vmm, kmalloc_order(size_bytes), gfp | QR_GFP_ZERO);
	return block ? qr_zone_address(&vmm->zone, block) : NULL;
}

void qr_kfree(struct qr_vmm *vmm, void *object)
{
	struct qr_slab_cache *cache;
	struct qr_frame *block;

	if (!object)
		return;
	cache = qr_slab_cache_of(&vmm->zone, object);
	if (cache) {
		qr_slab_free(cache, object);
		return;
	}
	block = kmalloc_block(vmm, object);
	qr_free_pages(vmm, block, qr_frame_order(block));
}

uint64_t qr_ksize(struct qr_vmm *vmm, const void *object)
{
	struct qr_slab_cache *cache = qr_slab_cache_of(&vmm->zone, object);

	return cache ? cache->object_size : QR_PAGE_SIZE << qr_frame_order(kmalloc_block(vmm, object));
}

/* The index of the smallest size that fits. */
static unsigned kmalloc_index(uint32_t size_bytes)
{
	unsigned shift;

	if (size_bytes <= 1u << SHIFT_MIN)
		return 0;
	shift = qr_log2_u64(size_bytes - 1); /* 2^shift < size <= 2^(shift + 1) */
	if (size_bytes <= (1u << shift) + (1u << (shift - 1)))
		return (shift - SHIFT_MIN) * 2 + 1;
	return (shift - SHIFT_MIN) * 2 + 2;
}

static unsigned kmalloc_order(uint64_t size_bytes)
{
	return qr_log2_u64(qr_pages_up(size_bytes) - 1) + 1;
}

/* The block whose first byte is at the address. */
static struct qr_frame *kmalloc_block(struct qr_vmm *vmm, const void *object)
{
	uint64_t offset = (uint64_t)((uintptr_t)object - (uintptr_t)vmm->zone.base_address);
	struct qr_frame *block;

	QR_BUG_ON((uintptr_t)object < (uintptr_t)vmm->zone.base_address);
	QR_BUG_ON(offset >> QR_PAGE_SHIFT >= vmm->zone.nr_map || offset & (QR_PAGE_SIZE - 1));
	block = &vmm->zone.memmap[offset >> QR_PAGE_SHIFT];
	QR_BUG_ON(qr_frame_kind(block) != QR_FRAME_KERNEL);
	return block;
}
