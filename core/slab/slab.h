/*
 * Slab allocator: caches of equal-sized objects on blocks of frames (B1).
 *
 * A cache is bound to a zone; the manager's own caches use its first zone, the shim's heap its zone of virtual
 * pages. The free list of a slab is a chain of object indices in the objects themselves; the slab's state is
 * in its head frame's descriptor, so that a free finds it by address alone.
 *
 * Locks: cache->lock (QR_RANK_SLAB) guards the lists of slabs; cpu arrays have their own (QR_RANK_SLAB_CPU),
 * which is released before cache->lock is taken: objects move between them in batches of half an array.
 */
#ifndef QR_CORE_SLAB_H
#define QR_CORE_SLAB_H

#include "alloc/alloc.h"

#define QR_SLAB_CPU_OBJECTS 32u

struct qr_slab_cpu {
	struct qr_spinlock lock;
	uint32_t nr;   /* (A) written under lock */
	void *objects[QR_SLAB_CPU_OBJECTS]; /* (lock) LIFO */
} QR_ALIGNED(QR_CACHE_LINE);

struct qr_slab_cache {
	struct qr_zone *zone;       /* (I) */
	const char *name;           /* (I) */
	uint32_t object_size;       /* (I) bytes, a multiple of align */
	uint32_t stride; /* (I) bytes from one object to the next: more than object_size with a constructor */
	uint32_t align; /* (I) a power of two */
	uint32_t order; /* (I) of a slab's block; smaller ones are made when memory is fragmented */
	uint32_t min_order; /* (I) of the smallest block that holds an object */
	uint32_t objects_per_slab; /* (I) in a block of the cache's order */
	void (*constructor)(void *object); /* (I) or NULL; run once per object when its slab is made */
	struct qr_spinlock lock;
	struct qr_frame_list partial; /* (lock) slabs with some objects free */
	struct qr_frame_list full; /* (lock) */
	uint32_t nr_slabs; /* (lock) */
	uint32_t nr_empty; /* (lock) slabs on partial with no object in use; more than 1 go back */
	uint64_t nr_out; /* (lock) objects that callers or CPU arrays hold */
	uint64_t nr_lock_takes; /* (lock) */
	uint32_t nr_cpus; /* (I) */
	struct qr_slab_cpu *cpus; /* (I) [cpu], or NULL: no per-CPU arrays */
};

/* cpus: [nr_cpus], zeroed, or NULL. Object size 8 bytes to 64 KiB. Returns 0 or QR_EINVAL. */
int qr_slab_cache_init(struct qr_slab_cache *cache, struct qr_zone *zone, const char *name, uint32_t object_size,
		       uint32_t align, void (*constructor)(void *object), struct qr_slab_cpu *cpus,
		       uint32_t nr_cpus) QR_WARN_UNUSED;
/* All objects were freed; gives the slabs back. */
void qr_slab_cache_destroy(struct qr_slab_cache *cache);

/* An object, NULL when no frame could be had. gfp: as for the page allocator; with a zone that belongs to a
 * manager QR_GFP_WAIT may sleep and reclaim. QR_GFP_ZERO clears the object (not with a constructor). */
void *qr_slab_alloc(struct qr_slab_cache *cache, qr_gfp_t gfp);
void qr_slab_free(struct qr_slab_cache *cache, void *object);
/* The same for up to nr objects with one lock take, past the CPU arrays; returns how many it got. */
uint32_t qr_slab_alloc_bulk(struct qr_slab_cache *cache, qr_gfp_t gfp, uint32_t nr, void **objects);
void qr_slab_free_bulk(struct qr_slab_cache *cache, uint32_t nr, void **objects);
/* Gives empty slabs back to the zone; returns the number of frames. */
uint32_t qr_slab_shrink(struct qr_slab_cache *cache);

/* The cache for any address inside a slab of the zone, and the start of the object that holds the address; NULL if it
 * is no slab memory (or, for the object, lies behind the last one). */
struct qr_slab_cache *qr_slab_cache_of(struct qr_zone *zone, const void *address);
void *qr_slab_object_of(struct qr_zone *zone, const void *address);
/* Objects that callers hold. Takes cache->lock; exact while nobody allocates or frees. */
uint64_t qr_slab_nr_in_use(struct qr_slab_cache *cache);
/* Every slab's count, free chain and list agree. Nobody else uses the cache. */
bool qr_slab_cache_is_valid(struct qr_slab_cache *cache);

/* ---- General sizes for core's own use: powers of two and their 1.5-fold, 16 bytes to 8 KiB; larger ones are
 * blocks of frames, up to 4 MiB. Content is zero. core/slab/kmalloc.c ---- */
#define QR_NR_KMALLOC 19u
struct qr_kmalloc {
	struct qr_slab_cache caches[QR_NR_KMALLOC];
};
int qr_kmalloc_init(struct qr_kmalloc *kmalloc, struct qr_zone *zone) QR_WARN_UNUSED;
void *qr_kmalloc(struct qr_vmm *vmm, uint64_t size_bytes, qr_gfp_t gfp);
void qr_kfree(struct qr_vmm *vmm, void *object);
/* Usable size of an object from qr_kmalloc. */
uint64_t qr_ksize(struct qr_vmm *vmm, const void *object);

#endif
