/*
 * The heap over core's zone and slabs: size classes, page blocks, growth, and giving pages back. See heap.h.
 *
 * Size classes: 16 bytes apart up to 128, then four per doubling (inner waste at most 1/5), as in jemalloc
 * (Evans, "A scalable concurrent malloc(3) implementation for FreeBSD", BSDCan 2006).
 *
 * Locks: core's (slab, zone), which are taken inside the gate; grow_lock and trim_lock are outside of core's. A page
 * fault on managed memory may happen under all of them: the fault path never calls the heap.
 */
#include <string.h>
#include <sys/mman.h>

#include "heap.h"

/* The heap gets a quarter of the manager's range, at most this much (PFNs have 32 bits; tables 33 bytes a page). */
#define HEAP_SPAN_MAX ((uintptr_t)256 << 30)
#define HEAP_SPAN_MIN ((uintptr_t)64 << 20)
#define HEAP_BLOCK_ALIGN (QR_PAGE_SIZE << QR_MAX_ORDER)
/* Address space that the zone grows by; touched only as it is used. */
#define HEAP_GROW_BYTES ((uintptr_t)32 << 20)
/* Free pages that are kept without giving them back: 4 MiB, or 1/64 of what is in use. */
#define HEAP_CUSHION_PAGES ((uint64_t)1024)
#define HEAP_CUSHION_SHIFT 6u
/* Blocks from 64 KiB on are given back one by one as they are freed: one call per 16 pages or more. */
#define HEAP_RETURN_ORDER 4u
#define HEAP_TRIM_BLOCKS 4096u

struct qr_heap qr_heap = {.base = UINTPTR_MAX};
uint8_t qr_heap_class_of[QR_HEAP_SMALL_MAX / QR_HEAP_ALIGN + 1];
uint32_t qr_heap_class_size[QR_HEAP_NR_CLASSES];
QR_SHIM_TLS struct qr_heap_thread *qr_heap_self;
QR_SHIM_TLS struct qr_heap_thread *qr_heap_saved_self;

static void heap_init_classes(void);
static int heap_reserve(uintptr_t *base, uintptr_t *span_bytes);
static void *heap_alloc_small(uint32_t class);
static void *heap_alloc_block(size_t size_bytes, size_t align, bool *is_zero);
static uint32_t heap_refill(uint32_t class, uint32_t nr, void **objects);
static bool heap_grow(uint32_t nr_online_seen);
static void heap_mark_slab(uint32_t class, const void *object);
static bool heap_mark_block(uint64_t page, uint64_t nr);
static void heap_free_small(uint32_t class, void *object);
static void heap_free_block(uint64_t page);
static uint64_t heap_return_pages(uint64_t page, uint64_t nr);
static uint64_t heap_dirty_free(uint64_t *cushion);
static void heap_trim_if_due(void);
static uint32_t heap_trim_collect(uint32_t *nr_blocks);

static inline uint64_t heap_page_of(const void *address)
{
	return ((uintptr_t)address - qr_heap.base) >> QR_PAGE_SHIFT;
}

static inline void *heap_address(uint64_t page)
{
	return (void *)(qr_heap.base + (page << QR_PAGE_SHIFT));
}

int qr_heap_init(void)
{
	struct qr_zone_config config = {0};
	uintptr_t base, span_bytes;
	uint32_t nr_pages;
	int err;

	heap_init_classes();
	err = heap_reserve(&base, &span_bytes);
	if (err)
		return err;
	nr_pages = (uint32_t)(span_bytes >> QR_PAGE_SHIFT);
	config.memmap = qr_raw_reserve(nr_pages * sizeof(struct qr_frame));
	qr_heap.page_kind = qr_raw_reserve(nr_pages);
	if (!config.memmap || !qr_heap.page_kind)
		return QR_ENOMEM;
	config.base_address = (uint8_t *)base;
	config.nr_span = nr_pages;
	qr_zone_init(&qr_heap.zone, &config);
	for (uint32_t class = 0; class < QR_HEAP_NR_CLASSES; class ++) {
		uint32_t size = qr_heap_class_size[class];

		/* As aligned as the size allows, so that aligned_alloc() can choose a class by its size alone. */
		err = qr_slab_cache_init(&qr_heap.caches[class], &qr_heap.zone, "heap", size,
					 QR_MIN(size & -size, (uint32_t)QR_PAGE_SIZE), NULL, NULL, 0);
		if (err)
			return err;
	}
	qr_heap.trim_at = HEAP_CUSHION_PAGES;
	err = qr_heap_thread_init();
	if (err)
		return err;
	qr_heap.base = base;
	qr_heap.span_bytes = span_bytes;
	return 0;
}

static void heap_init_classes(void)
{
	uint32_t size = 0, class = 0;

	for (uint32_t units = 0; units < QR_ARRAY_SIZE(qr_heap_class_of); units++) {
		if (units * QR_HEAP_ALIGN > size || !units) {
			uint32_t step = size < 128 ? 16 : (1u << qr_log2_u64(size)) / 4;

			if (units)
				class ++;
			size += step;
			qr_heap_class_size[class] = size;
		}
		qr_heap_class_of[units] = (uint8_t)class;
	}
}

/* Takes the heap's range out of the manager's, without access, so that nothing else is mapped there. */
static int heap_reserve(uintptr_t *base, uintptr_t *span_bytes)
{
	uintptr_t span = QR_ALIGN_DOWN(QR_MIN(qr_shim.length / 4, HEAP_SPAN_MAX), HEAP_BLOCK_ALIGN);

	for (; span >= HEAP_SPAN_MIN; span = QR_ALIGN_DOWN(span / 2, HEAP_BLOCK_ALIGN)) {
		/* At the range's end; other mappings find room below. */
		void *address = (void *)QR_ALIGN_DOWN(qr_shim.start + qr_shim.length - span, HEAP_BLOCK_ALIGN);

		if (qr_shim_manager(qr_manager_map, &address, span, PROT_NONE, QR_MAP_AT_NOREPLACE))
			continue;
		*base = (uintptr_t)address;
		*span_bytes = span;
		return 0;
	}
	return QR_ENOMEM;
}

void *qr_heap_alloc(size_t size_bytes, size_t align, bool *is_zero)
{
	void *object;

	*is_zero = false;
	if (size_bytes <= QR_HEAP_SMALL_MAX && align <= QR_PAGE_SIZE) {
		uint32_t class = qr_heap_class_of[(size_bytes + QR_HEAP_ALIGN - 1) / QR_HEAP_ALIGN];

		while (qr_heap_class_size[class] & (align - 1))
			class ++; /* ends: the last size is a multiple of every align up to a page */
		return heap_alloc_small(class);
	}
	qr_gate_enter();
	if (size_bytes <= QR_HEAP_BLOCK_MAX && align <= HEAP_BLOCK_ALIGN) {
		object = heap_alloc_block(size_bytes, align, is_zero);
	} else {
		object = qr_large_alloc(size_bytes, align);
		*is_zero = true;
	}
	qr_gate_leave();
	return object;
}

static void *heap_alloc_small(uint32_t class)
{
	struct qr_heap_thread *self;
	struct qr_heap_sheaf *sheaf;
	void *objects[QR_HEAP_SHEAF_OBJECTS];
	uint32_t nr;
	void *object = NULL;

	qr_gate_enter();
	self = qr_heap_thread_get();
	sheaf = self ? &self->sheaves[class] : NULL;
	if (sheaf && sheaf->nr) {
		object = sheaf->objects[--sheaf->nr];
	} else {
		nr = heap_refill(class, sheaf ? QR_MAX(sheaf->limit / 2, 1u) : 1, objects);
		if (nr)
			object = objects[0];
		/* Backwards, so that a new slab is handed out in ascending order. */
		while (sheaf && nr > 1)
			sheaf->objects[sheaf->nr++] = objects[--nr];
	}
	qr_gate_leave();
	return object;
}

/* Takes up to nr objects from the slabs. */
static uint32_t heap_refill(uint32_t class, uint32_t nr, void **objects)
{
	uint32_t nr_got;

	for (;;) {
		uint32_t nr_online = qr_load_relaxed(&qr_heap.zone.nr_online);

		nr_got = qr_slab_alloc_bulk(&qr_heap.caches[class], 0, nr, objects);
		if (nr_got || !heap_grow(nr_online))
			break;
	}
	for (uint32_t i = 0; i < nr_got; i++) {
		uint64_t page = heap_page_of(objects[i]);
		uint64_t last = heap_page_of((uint8_t *)objects[i] + qr_heap_class_size[class] - 1);

		/* All pages of the object: one may still carry the class from a former slab while the next is fresh. */
		while (page <= last && qr_load_relaxed(&qr_heap.page_kind[page]) == class + 1)
			page++;
		if (page <= last)
			heap_mark_slab(class, objects[i]);
	}
	return nr_got;
}

/* Notes the class of all pages of the object's slab. Others may do the same to the same slab at the same time. */
static void heap_mark_slab(uint32_t class, const void *object)
{
	/* Heads and tails both tell the block's order; it may be below the cache's when the zone is fragmented. */
	uint64_t nr = (uint64_t)1 << qr_frame_order(qr_zone_frame_at(&qr_heap.zone, object));
	uint64_t page = QR_ALIGN_DOWN(heap_page_of(object), nr);
	uint64_t nr_fresh = 0;

	for (uint64_t i = page; i < page + nr; i++)
		nr_fresh += qr_exchange(&qr_heap.page_kind[i], (uint8_t)(class + 1)) == QR_HEAP_FRESH;
	(void)qr_fetch_add_relaxed(&qr_heap.nr_dirty, nr_fresh);
}

static void *heap_alloc_block(size_t size_bytes, size_t align, bool *is_zero)
{
	uint64_t nr_pages = QR_MAX(qr_pages_up(QR_MAX(size_bytes, (size_t)1)), align >> QR_PAGE_SHIFT);
	unsigned order = nr_pages > 1 ? qr_log2_u64(nr_pages - 1) + 1 : 0;
	struct qr_frame *frame;
	uint64_t page;

	for (;;) {
		uint32_t nr_online = qr_load_relaxed(&qr_heap.zone.nr_online);

		frame = qr_zone_alloc(&qr_heap.zone, order, 0);
		if (frame)
			break;
		if (!heap_grow(nr_online))
			return NULL;
	}
	page = qr_zone_pfn(&qr_heap.zone, frame);
	*is_zero = heap_mark_block(page, (uint64_t)1 << order);
	(void)qr_fetch_add_relaxed(&qr_heap.nr_blocks, 1);
	(void)qr_fetch_add_relaxed(&qr_heap.block_pages, (uint64_t)1 << order);
	return heap_address(page);
}

/* Marks the pages of a block that the caller has just got; returns whether all of them were fresh. */
static bool heap_mark_block(uint64_t page, uint64_t nr)
{
	uint64_t nr_fresh = 0;

	for (uint64_t i = page; i < page + nr; i++) {
		nr_fresh += qr_load_relaxed(&qr_heap.page_kind[i]) == QR_HEAP_FRESH;
		qr_store_relaxed(&qr_heap.page_kind[i], (uint8_t)(i == page ? QR_HEAP_BLOCK : QR_HEAP_TAIL));
	}
	(void)qr_fetch_add_relaxed(&qr_heap.nr_dirty, nr_fresh);
	/* Debug builds fill slabs before their first object is out, hence before they are marked. */
	return nr_fresh == nr && !QR_DEBUG;
}

/* Puts more of the span online, unless somebody else did since nr_online_seen was read. */
static bool heap_grow(uint32_t nr_online_seen)
{
	struct qr_zone *zone = &qr_heap.zone;
	uint64_t nr, page;
	bool has_grown = false;

	qr_mutex_lock(&qr_heap.grow_lock);
	page = qr_load_relaxed(&zone->nr_online); /* nothing is ever ballooned out */
	nr = QR_MIN(HEAP_GROW_BYTES >> QR_PAGE_SHIFT, zone->nr_span - page);
	/* page_kind: its pages cover more than what a step needs, so round out; it is only ever made usable. */
	if (page != nr_online_seen) {
		has_grown = true;
	} else if (nr && qr_raw_commit(&zone->memmap[page], nr * sizeof(struct qr_frame)) &&
		   qr_raw_commit((void *)QR_ALIGN_DOWN((uintptr_t)&qr_heap.page_kind[page], QR_PAGE_SIZE),
				 QR_ALIGN_UP(nr, QR_PAGE_SIZE)) &&
		   !qr_shim_manager(qr_manager_protect, heap_address(page), nr << QR_PAGE_SHIFT,
				    PROT_READ | PROT_WRITE)) {
		has_grown = qr_zone_online(zone, (uint32_t)nr) > 0;
	}
	qr_mutex_unlock(&qr_heap.grow_lock);
	return has_grown;
}

void qr_heap_free(void *object)
{
	uint32_t kind;
	uint64_t page;

	qr_gate_enter();
	if (!qr_heap_owns(object)) {
		if (!qr_large_free(object))
			qr_shim_die("invalid or already freed pointer");
	} else {
		page = heap_page_of(object);
		kind = qr_load_relaxed(&qr_heap.page_kind[page]);
		if (kind - 1 < QR_HEAP_NR_CLASSES)
			heap_free_small(kind - 1, object);
		else if (kind == QR_HEAP_BLOCK && !((uintptr_t)object & (QR_PAGE_SIZE - 1)))
			heap_free_block(page);
		else
			qr_shim_die("invalid or already freed pointer");
	}
	qr_gate_leave();
}

static void heap_free_small(uint32_t class, void *object)
{
	struct qr_heap_thread *self = qr_heap_thread_get();
	struct qr_heap_sheaf *sheaf;
	void *objects[QR_HEAP_SHEAF_OBJECTS];
	uint32_t nr;

	if (!self) {
		qr_heap_free_bulk(class, 1, &object);
		return;
	}
	sheaf = &self->sheaves[class];
	if (sheaf->nr >= sheaf->limit) {
		/* The coldest half goes. */
		nr = QR_MAX(sheaf->limit / 2, 1u);
		memcpy(objects, sheaf->objects, nr * sizeof(void *));
		memmove(sheaf->objects, sheaf->objects + nr, (sheaf->nr - nr) * sizeof(void *));
		sheaf->nr -= nr;
		qr_heap_free_bulk(class, nr, objects);
	}
	sheaf->objects[sheaf->nr] = object;
	sheaf->nr++;
}

void qr_heap_free_bulk(uint32_t class, uint32_t nr, void **objects)
{
	qr_slab_free_bulk(&qr_heap.caches[class], nr, objects);
	heap_trim_if_due();
}

static void heap_free_block(uint64_t page)
{
	struct qr_frame *frame = qr_zone_frame(&qr_heap.zone, (uint32_t)page);
	unsigned order = qr_frame_order(frame);
	uint64_t nr = (uint64_t)1 << order, cushion;

	qr_store_relaxed(&qr_heap.page_kind[page], (uint8_t)QR_HEAP_FREE);
	if (order >= HEAP_RETURN_ORDER && heap_dirty_free(&cushion) + nr > cushion)
		(void)heap_return_pages(page, nr);
	(void)qr_fetch_add_relaxed(&qr_heap.nr_blocks, (uint64_t)-1);
	(void)qr_fetch_add_relaxed(&qr_heap.block_pages, -nr);
	qr_zone_free(&qr_heap.zone, frame, order);
	heap_trim_if_due();
}

/* Gives the memory of a block that the caller owns back; its pages are fresh afterwards. On error they stay dirty.
 * Returns how many were dirty before. */
static uint64_t heap_return_pages(uint64_t page, uint64_t nr)
{
	uint64_t nr_dirty = 0;

	if (qr_shim_manager(qr_manager_advise, heap_address(page), nr << QR_PAGE_SHIFT, MADV_DONTNEED))
		return 0;
	for (uint64_t i = page; i < page + nr; i++)
		nr_dirty += qr_exchange(&qr_heap.page_kind[i], (uint8_t)QR_HEAP_FRESH) != QR_HEAP_FRESH;
	(void)qr_fetch_add_relaxed(&qr_heap.nr_dirty, -nr_dirty);
	return nr_dirty;
}

/* Free pages that still take memory: all dirty ones that are not in use. And how many may be kept. A snapshot of
 * counters that move; slabs are marked a moment after they are taken, so the difference may be below zero. */
static uint64_t heap_dirty_free(uint64_t *cushion)
{
	uint64_t nr_used = qr_load_relaxed(&qr_heap.zone.nr_online) - (uint64_t)qr_zone_nr_free(&qr_heap.zone);
	uint64_t nr_dirty = qr_load_relaxed(&qr_heap.nr_dirty);

	*cushion = QR_MAX(HEAP_CUSHION_PAGES, nr_used >> HEAP_CUSHION_SHIFT);
	return nr_dirty > nr_used ? nr_dirty - nr_used : 0;
}

static void heap_trim_if_due(void)
{
	uint64_t cushion, nr_dirty_free = heap_dirty_free(&cushion);
	uint64_t trim_at = qr_load_relaxed(&qr_heap.trim_at);

	/* After a trim that found little, because what is free is scattered, the next waits for a cushion more. */
	if (nr_dirty_free + cushion < trim_at)
		qr_store_relaxed(&qr_heap.trim_at, nr_dirty_free + cushion);
	else if (nr_dirty_free > QR_MAX(trim_at, cushion))
		(void)qr_heap_trim(cushion << QR_PAGE_SHIFT);
}

uint64_t qr_heap_trim(uint64_t keep_bytes)
{
	uint64_t keep = keep_bytes >> QR_PAGE_SHIFT, cushion, nr_before, nr_left, nr_after;
	uint32_t nr_blocks = 0, pfn;

	if (!qr_mutex_trylock(&qr_heap.trim_lock))
		return 0;
	nr_before = heap_dirty_free(&cushion);
	nr_left = nr_before;
	/* Blocks are taken out of the zone, so nobody writes to a page that is being given back. Only half of what
	 * may stay does stay, so that the next trim is not due at once. */
	for (pfn = heap_trim_collect(&nr_blocks); pfn != QR_PFN_NONE;) {
		struct qr_frame *frame = qr_zone_frame(&qr_heap.zone, pfn);
		unsigned order = qr_frame_order(frame);
		uint32_t next = frame->next;
		bool is_dirty = false;

		for (uint64_t i = pfn; i < pfn + ((uint64_t)1 << order) && !is_dirty; i++)
			is_dirty = qr_load_relaxed(&qr_heap.page_kind[i]) != QR_HEAP_FRESH;
		if (is_dirty && nr_left > keep / 2)
			nr_left -= QR_MIN(nr_left, heap_return_pages(pfn, (uint64_t)1 << order));
		frame->next = QR_PFN_NONE;
		qr_zone_free(&qr_heap.zone, frame, order);
		pfn = next;
	}
	nr_after = heap_dirty_free(&cushion);
	qr_store_relaxed(&qr_heap.trim_at, nr_after + cushion);
	qr_mutex_unlock(&qr_heap.trim_lock);
	return nr_before > nr_after ? nr_before - nr_after : 0;
}

/* Takes the free blocks that are worth a call out of the zone, as a chain through next. */
static uint32_t heap_trim_collect(uint32_t *nr_blocks)
{
	uint32_t first = QR_PFN_NONE;

	for (unsigned order = QR_MAX_ORDER + 1; order-- > HEAP_RETURN_ORDER;) {
		struct qr_frame *frame;

		while (*nr_blocks < HEAP_TRIM_BLOCKS && (frame = qr_zone_alloc(&qr_heap.zone, order, 0))) {
			frame->next = first;
			first = qr_zone_pfn(&qr_heap.zone, frame);
			++*nr_blocks;
		}
	}
	return first;
}

uint64_t qr_heap_trim_all(void)
{
	struct qr_heap_thread *self;
	uint64_t nr;

	qr_gate_enter();
	self = qr_heap_thread_get();
	if (self)
		qr_heap_thread_flush(self);
	for (uint32_t class = 0; class < QR_HEAP_NR_CLASSES; class ++)
		(void)qr_slab_shrink(&qr_heap.caches[class]);
	nr = qr_heap_trim(0);
	qr_gate_leave();
	return nr;
}

size_t qr_heap_usable_size(const void *object)
{
	uint32_t kind;
	uint64_t page;
	size_t size;

	if (!qr_heap_owns(object)) {
		qr_gate_enter();
		size = qr_large_size(object);
		qr_gate_leave();
	} else {
		page = heap_page_of(object);
		kind = qr_load_relaxed(&qr_heap.page_kind[page]);
		if (kind - 1 < QR_HEAP_NR_CLASSES)
			return qr_heap_class_size[kind - 1];
		size = kind != QR_HEAP_BLOCK
			       ? 0
			       : QR_PAGE_SIZE << qr_frame_order(qr_zone_frame(&qr_heap.zone, (uint32_t)page));
	}
	if (!size)
		qr_shim_die("invalid or already freed pointer");
	return size;
}

bool qr_heap_fits(size_t usable_size, size_t new_size)
{
	return new_size <= usable_size && (new_size >= usable_size / 2 || usable_size <= QR_HEAP_ALIGN);
}

void *qr_heap_realloc_large(void *object, size_t new_size)
{
	void *moved = NULL;

	if (qr_heap_owns(object) || new_size <= QR_HEAP_BLOCK_MAX)
		return NULL;
	qr_gate_enter();
	moved = qr_large_realloc(object, new_size);
	qr_gate_leave();
	return moved;
}

void qr_heap_free_deferred(void *object)
{
	struct qr_heap_thread *self = qr_heap_saved_self;
	struct qr_heap_sheaf *sheaf;
	uint32_t class;

	if (!self || !qr_heap_owns(object))
		return;
	class = (uint32_t)qr_load_relaxed(&qr_heap.page_kind[heap_page_of(object)]) - 1;
	if (class >= QR_HEAP_NR_CLASSES)
		return;
	sheaf = &self->sheaves[class];
	if (sheaf->nr >= sheaf->limit)
		return;
	sheaf->objects[sheaf->nr] = object;
	sheaf->nr++;
}

void qr_heap_usage(struct qr_heap_usage *usage)
{
	uint64_t cushion, pages = 0, nr_online = qr_load_relaxed(&qr_heap.zone.nr_online);

	*usage = (struct qr_heap_usage){0};
	qr_gate_enter();
	for (uint32_t class = 0; class < QR_HEAP_NR_CLASSES; class ++)
		usage->used_bytes += qr_slab_nr_in_use(&qr_heap.caches[class]) * qr_heap_class_size[class];
	pages = qr_load_relaxed(&qr_heap.block_pages);
	usage->used_bytes += pages << QR_PAGE_SHIFT;
	usage->online_bytes = nr_online << QR_PAGE_SHIFT;
	usage->free_bytes = usage->online_bytes > usage->used_bytes ? usage->online_bytes - usage->used_bytes : 0;
	usage->dirty_free_bytes = heap_dirty_free(&cushion) << QR_PAGE_SHIFT;
	for (unsigned order = 0; order <= QR_MAX_ORDER; order++)
		usage->nr_free_blocks += qr_load_relaxed(&qr_heap.zone.free_area[order].nr);
	qr_large_usage(&usage->nr_large, &usage->large_bytes);
	qr_gate_leave();
}
