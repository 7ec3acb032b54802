/*
 * Caches of equal-sized objects with per-CPU arrays.
 *
 * Algorithm: J. Bonwick, "The Slab Allocator", USENIX 1994, with the per-CPU layer of J. Bonwick, J. Adams, "Magazines
 * and Vmem", USENIX 2001, simplified to one array per CPU that is filled and emptied by half.
 *
 * Locks: a CPU array's lock and cache->lock are never held together.
 */
#include "slab/slab_priv.h"

#define SIZE_MIN 8u
#define SIZE_MAX_OBJECT (64u << 10)

static struct qr_slab_cpu *cpu_self(struct qr_slab_cache *cache);
static void *cpu_pop(struct qr_slab_cpu *cpu);
static void *slab_refill(struct qr_slab_cache *cache, struct qr_slab_cpu *cpu, qr_gfp_t gfp);
static void cpu_push(struct qr_slab_cache *cache, struct qr_slab_cpu *cpu, void *object);
static void cpu_flush(struct qr_slab_cache *cache, struct qr_slab_cpu *cpu);
static void object_hand_out(struct qr_slab_cache *cache, void *object, qr_gfp_t gfp);
static void object_retire(struct qr_slab_cache *cache, void *object);

int qr_slab_cache_init(struct qr_slab_cache *cache, struct qr_zone *zone, const char *name, uint32_t object_size,
		       uint32_t align, void (*constructor)(void *object), struct qr_slab_cpu *cpus, uint32_t nr_cpus)
{
	if (object_size < SIZE_MIN || object_size > SIZE_MAX_OBJECT || !qr_is_power_of_2(align) || align > QR_PAGE_SIZE)
		return QR_EINVAL;
	memset(cache, 0, sizeof(*cache));
	cache->zone = zone;
	cache->name = name;
	cache->object_size = QR_ALIGN_UP(object_size, align);
	cache->align = align;
	cache->constructor = constructor;
	cache->stride = cache->object_size;
	if (constructor)
		cache->stride = QR_ALIGN_UP(cache->object_size + (uint32_t)sizeof(uint32_t), align);
	qr_slab_choose_order(cache);
	qr_spin_init(&cache->lock, QR_RANK_SLAB);
	qr_frame_list_init(&cache->partial);
	qr_frame_list_init(&cache->full);
	cache->cpus = cpus;
	cache->nr_cpus = cpus ? nr_cpus : 0;
	for (uint32_t i = 0; i < cache->nr_cpus; i++)
		qr_spin_init(&cpus[i].lock, QR_RANK_SLAB_CPU);
	return 0;
}

void qr_slab_cache_destroy(struct qr_slab_cache *cache)
{
	(void)qr_slab_shrink(cache);
	QR_ASSERT(!cache->nr_slabs);
}

void *qr_slab_alloc(struct qr_slab_cache *cache, qr_gfp_t gfp)
{
	struct qr_slab_cpu *cpu = cpu_self(cache);
	void *object = cpu ? cpu_pop(cpu) : NULL;

	if (!object)
		object = slab_refill(cache, cpu, gfp);
	if (object)
		object_hand_out(cache, object, gfp);
	return object;
}

void qr_slab_free(struct qr_slab_cache *cache, void *object)
{
	struct qr_slab_cpu *cpu = cpu_self(cache);

	object_retire(cache, object);
	if (cpu)
		cpu_push(cache, cpu, object);
	else
		qr_slab_put(cache, 1, &object);
}

uint32_t qr_slab_alloc_bulk(struct qr_slab_cache *cache, qr_gfp_t gfp, uint32_t nr, void **objects)
{
	uint32_t nr_got = qr_slab_take(cache, gfp, nr, nr, objects);

	for (uint32_t i = 0; i < nr_got; i++)
		object_hand_out(cache, objects[i], gfp);
	return nr_got;
}

void qr_slab_free_bulk(struct qr_slab_cache *cache, uint32_t nr, void **objects)
{
	for (uint32_t i = 0; i < nr; i++)
		object_retire(cache, objects[i]);
	qr_slab_put(cache, nr, objects);
}

uint32_t qr_slab_shrink(struct qr_slab_cache *cache)
{
	for (uint32_t i = 0; i < cache->nr_cpus; i++)
		cpu_flush(cache, &cache->cpus[i]);
	return qr_slab_release_empty(cache);
}

struct qr_slab_cache *qr_slab_cache_of(struct qr_zone *zone, const void *address)
{
	struct qr_frame *slab = qr_slab_head_of(zone, address);

	return slab ? slab->owner : NULL;
}

void *qr_slab_object_of(struct qr_zone *zone, const void *address)
{
	struct qr_frame *slab = qr_slab_head_of(zone, address);
	struct qr_slab_cache *cache;
	uint32_t index;

	if (!slab)
		return NULL;
	cache = slab->owner;
	index = (uint32_t)((const uint8_t *)address - (const uint8_t *)qr_zone_address(zone, slab)) / cache->stride;
	return index < qr_slab_nr_objects(cache, qr_frame_order(slab)) ? qr_slab_object(cache, slab, index) : NULL;
}

uint64_t qr_slab_nr_in_use(struct qr_slab_cache *cache)
{
	uint64_t nr;

	qr_slab_lock(cache);
	nr = cache->nr_out;
	qr_spin_unlock(&cache->lock);
	for (uint32_t i = 0; i < cache->nr_cpus; i++)
		nr -= QR_MIN(nr, qr_load_relaxed(&cache->cpus[i].nr));
	return nr;
}

/* ---- CPU arrays ---- */

/* The array of the caller's CPU, NULL if the cache has none. */
static struct qr_slab_cpu *cpu_self(struct qr_slab_cache *cache)
{
	return cache->nr_cpus ? &cache->cpus[qr_port_cpu() % cache->nr_cpus] : NULL;
}

static void *cpu_pop(struct qr_slab_cpu *cpu)
{
	void *object = NULL;

	qr_spin_lock(&cpu->lock);
	if (cpu->nr) {
		object = cpu->objects[cpu->nr - 1];
		qr_store_relaxed(&cpu->nr, cpu->nr - 1);
	}
	qr_spin_unlock(&cpu->lock);
	return object;
}

/* Takes a batch out of slabs: returns one and puts the others into the array. */
static void *slab_refill(struct qr_slab_cache *cache, struct qr_slab_cpu *cpu, qr_gfp_t gfp)
{
	void *batch[SLAB_BATCH];
	uint32_t nr = qr_slab_take(cache, gfp, 1, cpu ? SLAB_BATCH : 1, batch);

	if (!nr)
		return NULL;
	if (nr > 1) {
		qr_spin_lock(&cpu->lock);
		/* Backwards, so that the lowest address is handed out next. */
		while (nr > 1 && cpu->nr < QR_SLAB_CPU_OBJECTS) {
			cpu->objects[cpu->nr] = batch[--nr];
			qr_store_relaxed(&cpu->nr, cpu->nr + 1);
		}
		qr_spin_unlock(&cpu->lock);
	}
	/* Others filled the array meanwhile. */
	if (nr > 1)
		qr_slab_put(cache, nr - 1, &batch[1]);
	return batch[0];
}

static void cpu_push(struct qr_slab_cache *cache, struct qr_slab_cpu *cpu, void *object)
{
	void *batch[SLAB_BATCH];
	uint32_t nr_batch = 0;

	qr_spin_lock(&cpu->lock);
	if (cpu->nr == QR_SLAB_CPU_OBJECTS) {
		/* The bottom half is the colder one. */
		nr_batch = SLAB_BATCH;
		memcpy(batch, cpu->objects, sizeof(batch));
		memmove(cpu->objects, cpu->objects + SLAB_BATCH, sizeof(cpu->objects) - sizeof(batch));
		qr_store_relaxed(&cpu->nr, cpu->nr - SLAB_BATCH);
	}
	cpu->objects[cpu->nr] = object;
	qr_store_relaxed(&cpu->nr, cpu->nr + 1);
	qr_spin_unlock(&cpu->lock);
	if (nr_batch)
		qr_slab_put(cache, nr_batch, batch);
}

static void cpu_flush(struct qr_slab_cache *cache, struct qr_slab_cpu *cpu)
{
	void *objects[QR_SLAB_CPU_OBJECTS];
	uint32_t nr;

	qr_spin_lock(&cpu->lock);
	nr = cpu->nr;
	memcpy(objects, cpu->objects, nr * sizeof(*objects));
	qr_store_relaxed(&cpu->nr, 0);
	qr_spin_unlock(&cpu->lock);
	if (nr)
		qr_slab_put(cache, nr, objects);
}

/* ---- Checks at the border to the callers ---- */

static void object_hand_out(struct qr_slab_cache *cache, void *object, qr_gfp_t gfp)
{
	if (cache->constructor) {
		qr_slab_set_link(cache, object, SLAB_LINK_IN_USE);
		return;
	}
	/* Somebody wrote to the object while it was free. */
	QR_ASSERT(qr_slab_is_poisoned(cache, object));
	if (gfp & QR_GFP_ZERO)
		memset(object, 0, cache->object_size);
}

static void object_retire(struct qr_slab_cache *cache, void *object)
{
	uint32_t index;

	(void)qr_slab_of_object(cache, object, &index);
	if (cache->constructor) {
		/* Freed twice, or the object's owner wrote past its end. */
		QR_BUG_ON(qr_slab_link(cache, object) != SLAB_LINK_IN_USE);
		qr_slab_set_link(cache, object, SLAB_LINK_ON_CPU);
		return;
	}
	/* Freed twice. The costly search is for objects only that look like free ones. */
	QR_ASSERT(!(qr_slab_is_poisoned(cache, object) && qr_slab_is_free(cache, object)));
	if (QR_DEBUG >= 1)
		qr_slab_poison(cache, object);
}
