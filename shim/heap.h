/*
 * The heap: what malloc() and its family are made of.
 *
 *   up to 32 KiB   objects of 40 size classes, from core's slab caches, through a cache per thread
 *   up to 1 MiB    blocks of pages of the zone
 *   larger         mappings of their own (large.c)
 *
 * The zone spans virtual pages of a range reserved from the manager; its descriptors and the table of page kinds
 * are raw memory, so that nothing about a page is in the page. A page's kind says what a pointer into it is, and
 * whether the page was ever written: kind 0 is fresh, it reads as zero and takes no memory.
 *
 * Lock legend: (I) immutable after qr_heap_init()  (A) atomic  (T) the owning thread only
 */
#ifndef QR_SHIM_HEAP_H
#define QR_SHIM_HEAP_H

#include "internal.h"
#include "slab/slab.h"

#define QR_HEAP_NR_CLASSES 40u
#define QR_HEAP_ALIGN 16u
#define QR_HEAP_SMALL_MAX 32768u
#define QR_HEAP_BLOCK_MAX ((size_t)1 << 20)
#define QR_HEAP_SHEAF_OBJECTS 32u
/* A sheaf of large objects holds fewer, so that a thread hoards at most about this much per class. */
#define QR_HEAP_SHEAF_BYTES 65536u

/* Kinds of pages; 1 .. QR_HEAP_NR_CLASSES is slab memory of class kind - 1. */
#define QR_HEAP_FRESH 0u
#define QR_HEAP_BLOCK 0x80u /* first page of a block in use */
#define QR_HEAP_TAIL 0x81u  /* another page of one */
#define QR_HEAP_FREE 0x82u  /* first page of a freed block; it was written since it was fresh */

struct qr_heap_sheaf {
	uint32_t nr;    /* (T) */
	uint32_t limit; /* (T) of nr, up to QR_HEAP_SHEAF_OBJECTS */
	void *objects[QR_HEAP_SHEAF_OBJECTS]; /* (T) LIFO; [0, nr) are free objects of the class at every instant */
};

struct qr_heap_thread {
	uint32_t is_inside;              /* (A) gate.c */
	struct qr_heap_thread *next_all; /* (I) */
	struct qr_heap_thread *next_pool; /* thread.c */
	struct qr_heap_sheaf sheaves[QR_HEAP_NR_CLASSES]; /* [class] */
};

struct qr_heap {
	uintptr_t base;                /* (I) address of the zone's page 0, aligned to 4 MiB; UINTPTR_MAX: no heap */
	uintptr_t span_bytes;          /* (I) 0: no heap */
	uint8_t *page_kind;            /* (A) [page] */
	uint64_t nr_dirty;             /* (A) pages whose kind is not QR_HEAP_FRESH */
	uint64_t trim_at;              /* (A) dirty free pages at which trimming is worth another try */
	uint64_t nr_blocks;            /* (A) page blocks in use */
	uint64_t block_pages;          /* (A) pages in them */
	struct qr_mutex grow_lock;
	struct qr_mutex trim_lock;
	struct qr_zone zone;
	struct qr_slab_cache caches[QR_HEAP_NR_CLASSES]; /* [class] */
};
extern struct qr_heap qr_heap;

/* [size / 16 rounded up] the class of a size up to QR_HEAP_SMALL_MAX, and the size of a class. */
extern uint8_t qr_heap_class_of[QR_HEAP_SMALL_MAX / QR_HEAP_ALIGN + 1];
extern uint32_t qr_heap_class_size[QR_HEAP_NR_CLASSES];

/* The calling thread's cache; NULL: has none yet, or is in an internal section, or ends. */
extern QR_SHIM_TLS struct qr_heap_thread *qr_heap_self;
/* What qr_heap_self was before the internal section. */
extern QR_SHIM_TLS struct qr_heap_thread *qr_heap_saved_self;

/* Reserves a part of the manager's range and brings the heap up. Returns 0 or an error. */
int qr_heap_init(void);

/* The quick path of malloc: NULL where the thread's cache is empty or missing, or the size is not small. */
static inline void *qr_heap_pop(size_t size_bytes)
{
	struct qr_heap_thread *self = qr_heap_self;
	struct qr_heap_sheaf *sheaf;

	if (qr_unlikely(size_bytes > QR_HEAP_SMALL_MAX || !self))
		return NULL;
	sheaf = &self->sheaves[qr_heap_class_of[(size_bytes + QR_HEAP_ALIGN - 1) / QR_HEAP_ALIGN]];
	if (qr_unlikely(!sheaf->nr))
		return NULL;
	return sheaf->objects[--sheaf->nr];
}

/* The quick path of free: false where it does not apply. */
static inline bool qr_heap_push(void *object)
{
	uintptr_t offset = (uintptr_t)object - qr_heap.base;
	struct qr_heap_thread *self = qr_heap_self;
	struct qr_heap_sheaf *sheaf;
	uint32_t class;

	if (qr_unlikely(offset >= qr_heap.span_bytes || !self))
		return false;
	class = (uint32_t)qr_load_relaxed(&qr_heap.page_kind[offset >> QR_PAGE_SHIFT]) - 1;
	if (qr_unlikely(class >= QR_HEAP_NR_CLASSES))
		return false;
	sheaf = &self->sheaves[class];
	if (qr_unlikely(sheaf->nr >= sheaf->limit))
		return false;
	sheaf->objects[sheaf->nr] = object;
	sheaf->nr++;
	return true;
}

static inline bool qr_heap_owns(const void *address)
{
	return (uintptr_t)address - qr_heap.base < qr_heap.span_bytes;
}

/* ---- The complete paths. The caller may use managed memory. ---- */

/* An object of at least size_bytes, aligned to align (a power of two). *is_zero: it reads as zero.
 * NULL: no address space left. */
void *qr_heap_alloc(size_t size_bytes, size_t align, bool *is_zero);
/* object: in the heap's span or a large mapping; anything else ends the program. */
void qr_heap_free(void *object);
size_t qr_heap_usable_size(const void *object);
/* Can an object of this size serve new_size well: big enough and not more than twice too big? */
bool qr_heap_fits(size_t usable_size, size_t new_size);
/* Grows or shrinks a large mapping without copying, if object is one and new_size is large; NULL otherwise. */
void *qr_heap_realloc_large(void *object, size_t new_size);

/* In an internal section: keeps the object for later without touching managed memory, or leaks it. */
void qr_heap_free_deferred(void *object);

/* Gives free pages back to the manager beyond keep_bytes; returns the number of pages. */
uint64_t qr_heap_trim(uint64_t keep_bytes);
/* The thread's cache and the empty slabs first, then all. */
uint64_t qr_heap_trim_all(void);

struct qr_heap_usage {
	uint64_t online_bytes;  /* address space of the zone in use */
	uint64_t used_bytes;    /* handed out, by size class and page, including what thread caches hold */
	uint64_t free_bytes;    /* online and not used */
	uint64_t dirty_free_bytes; /* of that, still taking memory */
	uint64_t nr_free_blocks;
	uint64_t nr_large;
	uint64_t large_bytes;
};
void qr_heap_usage(struct qr_heap_usage *usage);

/* ---- thread.c: caches of threads ---- */
int qr_heap_thread_init(void);
/* The calling thread's cache, made when it has none; NULL when it ends or there is no memory. Inside the gate. */
struct qr_heap_thread *qr_heap_thread_get(void);
/* Also in an internal section. */
struct qr_heap_thread *qr_heap_cache_of_thread(void);
struct qr_heap_thread *qr_heap_first_cache(void);
/* In the child of a fork: the caches of threads that are gone serve new threads, with what they hold. */
void qr_heap_thread_fork_child(void);
/* Gives all that the calling thread's cache holds back to the slabs. Inside the gate. */
void qr_heap_thread_flush(struct qr_heap_thread *self);

/* ---- heap.c, for thread.c ---- */
void qr_heap_free_bulk(uint32_t class, uint32_t nr, void **objects);

/* ---- large.c: mappings of their own; the table of them is raw memory ---- */
void *qr_large_alloc(size_t size_bytes, size_t align);
/* false: no such mapping. */
bool qr_large_free(void *object);
/* Its length, 0 if there is none. */
size_t qr_large_size(const void *object);
void *qr_large_realloc(void *object, size_t new_size);
void qr_large_usage(uint64_t *nr, uint64_t *nr_bytes);

#endif
