/*
 * Slabs: blocks of frames that are divided into objects of one cache.
 *
 * The head's descriptor says all: owner the cache, refs the objects out, slab_free the first of a chain of free ones,
 * private_word the first that was never out. Objects from there on are free without being in the chain, so that a new
 * slab is not touched before its objects are used. Slabs with free objects are on the list `partial`, empty ones at
 * its tail; allocation takes the head.
 *
 * Locks: cache->lock guards the lists, the descriptors' slab fields and the chains. Blocks are allocated and freed
 * with no lock held.
 */
#include "slab/slab_priv.h"

/* A slab wastes at most 1/8 of its block and has at least 8 objects. With this many orders above the smallest possible
 * one both always hold: the waste is less than an object. */
#define ORDERS_ABOVE_MIN 3u
#define NR_OBJECTS_WANTED 8u
#define WASTE_SHARE 8u

static struct qr_frame *slab_make(struct qr_slab_cache *cache, qr_gfp_t gfp);
static struct qr_frame *block_alloc_some(struct qr_slab_cache *cache, qr_gfp_t gfp);
static struct qr_frame *block_alloc(struct qr_zone *zone, unsigned order, qr_gfp_t gfp);
static uint32_t blocks_free(struct qr_zone *zone, struct qr_frame_list *blocks);
static void *object_take_locked(struct qr_slab_cache *cache, struct qr_frame *slab);
static void object_put_locked(struct qr_slab_cache *cache, void *object, struct qr_frame_list *empty);
static void slab_remove_locked(struct qr_slab_cache *cache, struct qr_frame *slab, struct qr_frame_list *empty);

void qr_slab_choose_order(struct qr_slab_cache *cache)
{
	unsigned order = 0;

	while (QR_PAGE_SIZE << order < cache->stride)
		order++;
	cache->min_order = order;
	for (; order < cache->min_order + ORDERS_ABOVE_MIN; order++) {
		uint32_t size = (uint32_t)(QR_PAGE_SIZE << order);

		if (size / cache->stride >= NR_OBJECTS_WANTED && size % cache->stride <= size / WASTE_SHARE)
			break;
	}
	cache->order = order;
	cache->objects_per_slab = qr_slab_nr_objects(cache, order);
}

uint32_t qr_slab_take(struct qr_slab_cache *cache, qr_gfp_t gfp, uint32_t nr_min, uint32_t nr, void **objects)
{
	uint32_t nr_got = 0;

	qr_slab_lock(cache);
	while (nr_got < nr) {
		struct qr_frame *slab = qr_frame_list_head(cache->zone, &cache->partial);

		if (slab) {
			objects[nr_got++] = object_take_locked(cache, slab);
			continue;
		}
		if (nr_got >= nr_min)
			break;
		qr_spin_unlock(&cache->lock);
		slab = slab_make(cache, gfp);
		qr_slab_lock(cache);
		if (slab) {
			qr_frame_list_add_head(cache->zone, &cache->partial, slab);
			cache->nr_slabs++;
			cache->nr_empty++;
		} else if (!cache->partial.nr) {
			break;
		}
	}
	qr_spin_unlock(&cache->lock);
	return nr_got;
}

void qr_slab_put(struct qr_slab_cache *cache, uint32_t nr, void *const *objects)
{
	struct qr_frame_list empty;

	qr_frame_list_init(&empty);
	qr_slab_lock(cache);
	for (uint32_t i = 0; i < nr; i++)
		object_put_locked(cache, objects[i], &empty);
	qr_spin_unlock(&cache->lock);
	(void)blocks_free(cache->zone, &empty);
}

uint32_t qr_slab_release_empty(struct qr_slab_cache *cache)
{
	struct qr_frame_list empty;
	struct qr_frame *slab;

	qr_frame_list_init(&empty);
	qr_slab_lock(cache);
	slab = qr_frame_list_tail(cache->zone, &cache->partial);
	while (slab && cache->nr_empty) {
		uint32_t prev = slab->prev;

		if (!slab->refs)
			slab_remove_locked(cache, slab, &empty);
		slab = prev == QR_PFN_NONE ? NULL : qr_zone_frame(cache->zone, prev);
	}
	qr_spin_unlock(&cache->lock);
	return blocks_free(cache->zone, &empty);
}

struct qr_frame *qr_slab_head_of(struct qr_zone *zone, const void *address)
{
	uint64_t index = (uint64_t)((uintptr_t)address - (uintptr_t)zone->base_address) >> QR_PAGE_SHIFT;
	struct qr_frame *frame;
	unsigned order;

	if ((uintptr_t)address < (uintptr_t)zone->base_address || index >= zone->nr_map)
		return NULL;
	frame = &zone->memmap[index];
	if (qr_frame_kind(frame) == QR_FRAME_TAIL) {
		order = qr_frame_order(frame);
		frame = &zone->memmap[QR_ALIGN_DOWN(index, (uint64_t)1 << order)];
		/* The mark of a block that was freed since, in which a smaller slab begins now. */
		if (qr_frame_order(frame) != order)
			return NULL;
	}
	return qr_frame_kind(frame) == QR_FRAME_SLAB ? frame : NULL;
}

struct qr_frame *qr_slab_of_object(struct qr_slab_cache *cache, const void *object, uint32_t *index)
{
	struct qr_frame *slab = qr_slab_head_of(cache->zone, object);
	uint32_t offset;

	QR_BUG_ON(!slab || slab->owner != cache); /* not an object of this cache */
	offset = (uint32_t)((const uint8_t *)object - (const uint8_t *)qr_zone_address(cache->zone, slab));
	*index = offset / cache->stride;
	QR_BUG_ON(offset % cache->stride); /* not the start of an object */
	QR_BUG_ON(*index >= qr_slab_nr_objects(cache, qr_frame_order(slab)));
	return slab;
}

/* A slab without any object out, on no list. */
static struct qr_frame *slab_make(struct qr_slab_cache *cache, qr_gfp_t gfp)
{
	struct qr_frame *slab = block_alloc_some(cache, gfp & ~QR_GFP_ZERO);
	uint32_t nr;

	if (!slab)
		return NULL;
	slab->owner = cache;
	slab->slab_free = SLAB_LINK_END;
	slab->private_word = 0;
	qr_frame_set_kind(slab, QR_FRAME_SLAB, qr_frame_order(slab));
	if (!cache->constructor && !QR_DEBUG)
		return slab;
	nr = qr_slab_nr_objects(cache, qr_frame_order(slab));
	for (uint32_t i = 0; i < nr; i++) {
		if (cache->constructor)
			cache->constructor(qr_slab_object(cache, slab, i));
		else
			qr_slab_poison(cache, qr_slab_object(cache, slab, i));
	}
	return slab;
}

/* A block of the cache's order, or of a smaller one where large blocks are hard to get. */
static struct qr_frame *block_alloc_some(struct qr_slab_cache *cache, qr_gfp_t gfp)
{
	for (unsigned order = cache->order; order > cache->min_order; order--) {
		struct qr_frame *block = block_alloc(cache->zone, order, gfp | QR_GFP_NORETRY);

		if (block)
			return block;
	}
	return block_alloc(cache->zone, cache->min_order, gfp);
}

static struct qr_frame *block_alloc(struct qr_zone *zone, unsigned order, qr_gfp_t gfp)
{
	return zone->vmm ? qr_alloc_pages(zone->vmm, order, gfp) : qr_zone_alloc(zone, order, gfp);
}

/* Frees a list of blocks; returns the number of frames. */
static uint32_t blocks_free(struct qr_zone *zone, struct qr_frame_list *blocks)
{
	uint32_t nr_frames = 0;
	struct qr_frame *block;

	while ((block = qr_frame_list_head(zone, blocks))) {
		unsigned order = qr_frame_order(block);

		qr_frame_list_remove(zone, blocks, block);
		block->owner = NULL;
		if (zone->vmm)
			qr_free_pages(zone->vmm, block, order);
		else
			qr_zone_free(zone, block, order);
		nr_frames += 1u << order;
	}
	return nr_frames;
}

/* Takes an object out of a slab that has a free one. */
static void *object_take_locked(struct qr_slab_cache *cache, struct qr_frame *slab)
{
	uint32_t nr = qr_slab_nr_objects(cache, qr_frame_order(slab));
	uint32_t index = slab->slab_free;
	void *object;

	if (index == SLAB_LINK_END)
		index = slab->private_word++;
	QR_BUG_ON(index >= nr); /* the chain was overwritten */
	object = qr_slab_object(cache, slab, index);
	if (slab->slab_free != SLAB_LINK_END)
		slab->slab_free = qr_slab_link(cache, object);
	if (!slab->refs++)
		cache->nr_empty--;
	cache->nr_out++;
	if (slab->refs == nr) {
		qr_frame_list_remove(cache->zone, &cache->partial, slab);
		qr_frame_list_add_head(cache->zone, &cache->full, slab);
	}
	return object;
}

/* Puts an object back; a slab that is empty then, and not the only one, goes to the list `empty`. */
static void object_put_locked(struct qr_slab_cache *cache, void *object, struct qr_frame_list *empty)
{
	uint32_t index;
	struct qr_frame *slab = qr_slab_of_object(cache, object, &index);

	QR_BUG_ON(!slab->refs || index >= slab->private_word);
	if (slab->refs == qr_slab_nr_objects(cache, qr_frame_order(slab))) {
		qr_frame_list_remove(cache->zone, &cache->full, slab);
		qr_frame_list_add_head(cache->zone, &cache->partial, slab);
	}
	qr_slab_set_link(cache, object, slab->slab_free);
	slab->slab_free = index;
	slab->refs--;
	cache->nr_out--;
	if (slab->refs)
		return;
	cache->nr_empty++;
	if (cache->nr_empty > 1) {
		slab_remove_locked(cache, slab, empty);
	} else {
		qr_frame_list_remove(cache->zone, &cache->partial, slab);
		qr_frame_list_add_tail(cache->zone, &cache->partial, slab);
	}
}

/* Takes an empty slab out of the cache. */
static void slab_remove_locked(struct qr_slab_cache *cache, struct qr_frame *slab, struct qr_frame_list *empty)
{
	qr_frame_list_remove(cache->zone, &cache->partial, slab);
	qr_frame_list_add_head(cache->zone, empty, slab);
	cache->nr_slabs--;
	cache->nr_empty--;
}
