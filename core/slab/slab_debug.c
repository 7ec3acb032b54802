/* Poison of free objects, and validity of a cache. */
#include "slab/slab_priv.h"

#define POISON 0x5au

static bool is_slab_valid(struct qr_slab_cache *cache, struct qr_frame *slab, bool is_full);
static bool are_cpus_valid(struct qr_slab_cache *cache);

void qr_slab_poison(struct qr_slab_cache *cache, void *object)
{
	memset(object, POISON, cache->object_size);
}

bool qr_slab_is_poisoned(const struct qr_slab_cache *cache, const void *object)
{
	const uint8_t *bytes = object;

	/* The link word overwrites the first bytes. */
	for (uint32_t i = sizeof(uint32_t); i < cache->object_size; i++) {
		if (bytes[i] != POISON)
			return false;
	}
	return true;
}

bool qr_slab_is_free(struct qr_slab_cache *cache, const void *object)
{
	uint32_t index, nr;
	struct qr_frame *slab = qr_slab_of_object(cache, object, &index);
	bool is_free;

	qr_slab_lock(cache);
	is_free = index >= slab->private_word;
	nr = slab->private_word - slab->refs;
	for (uint32_t at = slab->slab_free; !is_free && nr && at != SLAB_LINK_END; nr--) {
		is_free = at == index;
		at = qr_slab_link(cache, qr_slab_object(cache, slab, at));
	}
	qr_spin_unlock(&cache->lock);
	for (uint32_t i = 0; i < cache->nr_cpus && !is_free; i++) {
		struct qr_slab_cpu *cpu = &cache->cpus[i];

		qr_spin_lock(&cpu->lock);
		for (uint32_t j = 0; j < cpu->nr; j++)
			is_free |= cpu->objects[j] == object;
		qr_spin_unlock(&cpu->lock);
	}
	return is_free;
}

bool qr_slab_cache_is_valid(struct qr_slab_cache *cache)
{
	struct qr_zone *zone = cache->zone;
	uint64_t nr_out = 0;
	uint32_t nr_empty = 0;
	bool is_valid;

	qr_slab_lock(cache);
	is_valid = qr_frame_list_is_valid(zone, &cache->partial) && qr_frame_list_is_valid(zone, &cache->full) &&
		   cache->partial.nr + cache->full.nr == cache->nr_slabs;
	for (unsigned i = 0; is_valid && i < 2; i++) {
		struct qr_frame *slab = qr_frame_list_head(zone, i ? &cache->full : &cache->partial);

		while (slab && is_valid) {
			is_valid = is_slab_valid(cache, slab, i == 1);
			nr_out += slab->refs;
			nr_empty += !slab->refs;
			slab = slab->next == QR_PFN_NONE ? NULL : qr_zone_frame(zone, slab->next);
		}
	}
	is_valid = is_valid && nr_out == cache->nr_out && nr_empty == cache->nr_empty;
	qr_spin_unlock(&cache->lock);
	return is_valid && are_cpus_valid(cache);
}

static bool is_slab_valid(struct qr_slab_cache *cache, struct qr_frame *slab, bool is_full)
{
	uint32_t nr = qr_slab_nr_objects(cache, qr_frame_order(slab));
	uint32_t index = slab->slab_free;

	if (qr_frame_kind(slab) != QR_FRAME_SLAB || slab->owner != cache || slab->refs > nr || slab->private_word > nr)
		return false;
	if (is_full != (slab->refs == nr) || slab->private_word < slab->refs)
		return false;
	for (uint32_t i = slab->refs; i < slab->private_word; i++) {
		if (index >= slab->private_word)
			return false;
		index = qr_slab_link(cache, qr_slab_object(cache, slab, index));
	}
	return index == SLAB_LINK_END;
}

/* Objects on CPU arrays belong to slabs of the cache. */
static bool are_cpus_valid(struct qr_slab_cache *cache)
{
	uint64_t nr_on_cpus = 0;

	for (uint32_t i = 0; i < cache->nr_cpus; i++) {
		struct qr_slab_cpu *cpu = &cache->cpus[i];

		if (cpu->nr > QR_SLAB_CPU_OBJECTS)
			return false;
		nr_on_cpus += cpu->nr;
		for (uint32_t j = 0; j < cpu->nr; j++) {
			if (qr_slab_cache_of(cache->zone, cpu->objects[j]) != cache ||
			    qr_slab_object_of(cache->zone, cpu->objects[j]) != cpu->objects[j])
				return false;
		}
	}
	return nr_on_cpus <= cache->nr_out;
}
