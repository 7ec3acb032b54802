/* Inside of the slab allocator: caches above, slabs below. */
#ifndef QR_CORE_SLAB_PRIV_H
#define QR_CORE_SLAB_PRIV_H

#include "slab/slab.h"

/* Objects that move between a CPU array and the slabs at a time. */
#define SLAB_BATCH (QR_SLAB_CPU_OBJECTS / 2)

/* Link words: the index of the next free object of the slab, or one of these. The last two occur in caches with a
 * constructor only, whose link word lies behind the object. */
#define SLAB_LINK_END 0xffffffffu
#define SLAB_LINK_IN_USE 0xfffffffeu
#define SLAB_LINK_ON_CPU 0xfffffffdu

/* ---- slab_block.c ---- */

/* Takes up to nr objects out of slabs; makes new slabs only until it has nr_min. May sleep as gfp says. */
uint32_t qr_slab_take(struct qr_slab_cache *cache, qr_gfp_t gfp, uint32_t nr_min, uint32_t nr, void **objects);
/* Puts objects back into their slabs and frees slabs that became empty, but for one. */
void qr_slab_put(struct qr_slab_cache *cache, uint32_t nr, void *const *objects);
/* Frees all empty slabs; returns the number of frames. */
uint32_t qr_slab_release_empty(struct qr_slab_cache *cache);
/* Chooses order and objects_per_slab from the stride. */
void qr_slab_choose_order(struct qr_slab_cache *cache);

/* Objects in a block of the order. */
static inline uint32_t qr_slab_nr_objects(const struct qr_slab_cache *cache, unsigned order)
{
	return (uint32_t)(QR_PAGE_SIZE << order) / cache->stride;
}

/* The head of the slab that the address lies in, NULL if it is no slab memory. */
struct qr_frame *qr_slab_head_of(struct qr_zone *zone, const void *address);
/* The head of the object's slab, and the object's index. Stops the machine if it is not an object of the cache. */
struct qr_frame *qr_slab_of_object(struct qr_slab_cache *cache, const void *object, uint32_t *index);

static inline void *qr_slab_object(struct qr_slab_cache *cache, struct qr_frame *slab, uint32_t index)
{
	return (uint8_t *)qr_zone_address(cache->zone, slab) + (size_t)index * cache->stride;
}

static inline void qr_slab_lock(struct qr_slab_cache *cache)
{
	qr_spin_lock(&cache->lock);
	cache->nr_lock_takes++;
}

/* The link word: in the object, or behind it where the object keeps its constructed state. */
static inline uint32_t qr_slab_link(const struct qr_slab_cache *cache, const void *object)
{
	uint32_t link;

	memcpy(&link, (const uint8_t *)object + (cache->constructor ? cache->object_size : 0), sizeof(link));
	return link;
}

static inline void qr_slab_set_link(const struct qr_slab_cache *cache, void *object, uint32_t link)
{
	memcpy((uint8_t *)object + (cache->constructor ? cache->object_size : 0), &link, sizeof(link));
}

/* ---- slab_debug.c: poison of free objects in caches without a constructor; debug builds only. ---- */
void qr_slab_poison(struct qr_slab_cache *cache, void *object);
/* False if somebody wrote to the object while it was free. */
bool qr_slab_is_poisoned(const struct qr_slab_cache *cache, const void *object);
/* O(free objects of the slab + CPU arrays). */
bool qr_slab_is_free(struct qr_slab_cache *cache, const void *object);

#endif
