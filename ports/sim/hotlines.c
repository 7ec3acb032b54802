/* Names for lines: the manager's metadata by field, the pool by what its frames are in use for. */
#include "hotlines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "directory.h"
#include "symbols.h"

struct field {
	const char *symbol, *field;
	uint64_t start, end; /* offsets in struct qr_vmm */
};

#define FIELD(symbol, type, member, base)                                                                              \
	{symbol, #member, (base) + offsetof(type, member),                                                             \
	 (base) + offsetof(type, member) + sizeof(((type *)0)->member)}
#define ZONE offsetof(struct qr_vmm, zone)
#define VMA_CACHE offsetof(struct qr_vmm, vma_cache)
#define OBJECT_CACHE offsetof(struct qr_vmm, object_cache)

static const struct field fields[] = {
	FIELD("qr_zone", struct qr_zone, lock, ZONE),
	FIELD("qr_zone", struct qr_zone, free_area, ZONE),
	FIELD("qr_zone", struct qr_zone, nr_buddy_free, ZONE),
	FIELD("qr_zone", struct qr_zone, nr_online, ZONE),
	FIELD("qr_zone", struct qr_zone, watermark, ZONE),
	FIELD("qr_slab_cache vma", struct qr_slab_cache, lock, VMA_CACHE),
	FIELD("qr_slab_cache object", struct qr_slab_cache, lock, OBJECT_CACHE),
	FIELD("qr_vmm", struct qr_vmm, kmalloc, 0),
	FIELD("qr_vmm", struct qr_vmm, is_oom, 0),
};

static void name_line(struct qr_vmm *vmm, uint64_t line, struct qr_hot_line *hot);
static bool name_metadata(struct qr_vmm *vmm, uintptr_t address, struct qr_hot_line *hot);
static void name_pool(struct qr_vmm *vmm, uintptr_t address, struct qr_hot_line *hot);
static void set_name(struct qr_hot_line *hot, const char *symbol, const char *field);

static int compare_hot(const void *left, const void *right)
{
	const struct qr_hot_line *a = left, *b = right;

	if (a->misses != b->misses)
		return a->misses > b->misses ? -1 : 1;
	return strcmp(a->symbol, b->symbol) ? strcmp(a->symbol, b->symbol) : strcmp(a->field, b->field);
}

/* Lines of the same name, for which readers[] collects who missed. */
static struct qr_hot_line *merge(struct qr_hot_line *all, uint64_t *readers, uint32_t *nr,
				 const struct qr_hot_line *hot, uint64_t who)
{
	uint32_t i;

	for (i = 0; i < *nr; i++) {
		if (!strcmp(all[i].symbol, hot->symbol) && !strcmp(all[i].field, hot->field))
			break;
	}
	if (i == *nr) {
		all = realloc(all, (*nr + 1) * sizeof(*all));
		if (!all)
			qr_sim_fail("out of memory for the table of hot lines");
		all[(*nr)++] = *hot;
		readers[i] = who;
		return all;
	}
	all[i].misses += hot->misses;
	all[i].invalidations += hot->invalidations;
	readers[i] |= who;
	return all;
}

uint32_t qr_hot_lines(struct qr_vmm *vmm, struct qr_hot_line *lines, uint32_t nr)
{
	uint64_t nr_shared;
	const uint64_t *shared = qr_sim_shared_lines(&nr_shared);
	uint64_t *readers = calloc(nr_shared + 1, sizeof(*readers));
	struct qr_hot_line *all = NULL;
	uint32_t nr_all = 0;

	if (!readers)
		qr_sim_fail("out of memory for the table of hot lines");
	for (uint64_t i = 0; i < nr_shared; i++) {
		const struct qr_sim_line *entry = qr_sim_line(shared[i]);
		struct qr_hot_line hot = {
			.misses = entry->nr_misses,
			.invalidations = entry->nr_invalidations,
			.site = entry->site ? qr_symbol_name(entry->site) : "workload",
		};

		if (!entry->nr_misses)
			continue;
		name_line(vmm, shared[i], &hot);
		all = merge(all, readers, &nr_all, &hot, entry->readers);
	}
	for (uint32_t i = 0; i < nr_all; i++)
		all[i].cpus = (uint32_t)__builtin_popcountll(readers[i]);
	if (nr_all)
		qsort(all, nr_all, sizeof(*all), compare_hot);
	nr = QR_MIN(nr, nr_all);
	if (nr)
		memcpy(lines, all, nr * sizeof(*all));
	free(all);
	free(readers);
	return nr;
}

static void name_line(struct qr_vmm *vmm, uint64_t line, struct qr_hot_line *hot)
{
	uintptr_t address = QR_SIM_ARENA + line * QR_CACHE_LINE;

	if (address >= QR_SIM_SHARED)
		set_name(hot, "workload", "shared data");
	else if (address < QR_SIM_METADATA)
		name_pool(vmm, address, hot);
	else if (!name_metadata(vmm, address, hot))
		set_name(hot, "metadata", "");
}

static bool is_in(uintptr_t address, const void *array, uint64_t len_bytes)
{
	return address >= (uintptr_t)array - QR_CACHE_LINE + 1 && address < (uintptr_t)array + len_bytes;
}

/* offset: in an array of zones. */
static void name_zone(uint64_t offset, struct qr_hot_line *hot)
{
	offset %= sizeof(struct qr_zone);
	for (size_t i = 0; i < QR_ARRAY_SIZE(fields); i++) {
		if (strcmp(fields[i].symbol, "qr_zone") || fields[i].end - ZONE <= offset ||
		    fields[i].start - ZONE >= offset + QR_CACHE_LINE)
			continue;
		set_name(hot, "qr_zone", fields[i].field);
		return;
	}
	set_name(hot, "qr_zone", "");
}

static bool name_metadata(struct qr_vmm *vmm, uintptr_t address, struct qr_hot_line *hot)
{
	uint64_t offset = address - (uintptr_t)vmm;
	const struct qr_zone *zone = &vmm->zone;
	uint64_t nr_pcps = (uint64_t)zone->nr_pcps * vmm->nodes.nr_zones;

	if (offset < sizeof(*vmm)) {
		char place[32];

		for (size_t i = 0; i < QR_ARRAY_SIZE(fields); i++) {
			if (fields[i].end <= offset || fields[i].start >= offset + QR_CACHE_LINE)
				continue;
			set_name(hot, fields[i].symbol, fields[i].field);
			return true;
		}
		snprintf(place, sizeof(place), "+%llu", (unsigned long long)offset);
		set_name(hot, "qr_vmm", place);
		return true;
	}
	if (is_in(address, zone->memmap, (uint64_t)zone->nr_map * sizeof(*zone->memmap)))
		set_name(hot, "qr_frame", "");
	else if (is_in(address, zone->pcps, nr_pcps * sizeof(*zone->pcps)))
		set_name(hot, "qr_pcp", "");
	else if (is_in(address, vmm->kswapds, vmm->nodes.nr_nodes * sizeof(*vmm->kswapds)))
		set_name(hot, "qr_kswapd", "");
	else if (vmm->nodes.nr_zones > 1 &&
		 is_in(address, vmm->nodes.zones[1], (vmm->nodes.nr_zones - 1) * sizeof(*zone)))
		name_zone(address - (uintptr_t)vmm->nodes.zones[1], hot);
	else if (is_in(address, vmm->lru.batches, vmm->lru.nr_batches * sizeof(*vmm->lru.batches)))
		set_name(hot, "qr_lru_batch", "");
	else if (is_in(address, vmm->lru.vecs, vmm->lru.nr_vecs * sizeof(*vmm->lru.vecs)))
		set_name(hot, "qr_lruvec",
			 (address - (uintptr_t)vmm->lru.vecs) % sizeof(*vmm->lru.vecs) < QR_CACHE_LINE ? "lock"
												       : "lists");
	else if (is_in(address, vmm->stats.cpus, vmm->stats.nr_cpus * sizeof(*vmm->stats.cpus)))
		set_name(hot, "qr_stat_cpu", "");
	else if (is_in(address, zone->fresh_bits, zone->nr_map / 8))
		set_name(hot, "qr_zone", "fresh_bits[]");
	else if (is_in(address, vmm->vma_cache.cpus, vmm->vma_cache.nr_cpus * sizeof(struct qr_slab_cpu)))
		set_name(hot, "qr_slab_cpu vma", "");
	else if (is_in(address, vmm->object_cache.cpus, vmm->object_cache.nr_cpus * sizeof(struct qr_slab_cpu)))
		set_name(hot, "qr_slab_cpu object", "");
	else
		return false;
	return true;
}

static void name_pool(struct qr_vmm *vmm, uintptr_t address, struct qr_hot_line *hot)
{
	const struct qr_slab_cache *cache = qr_slab_cache_of(&vmm->zone, (const void *)address);
	const struct qr_frame *frame = qr_zone_frame_at(&vmm->zone, (const void *)address);
	char symbol[64], field[32] = "";

	if (cache) {
		uintptr_t object = (uintptr_t)qr_slab_object_of(&vmm->zone, (const void *)address);

		snprintf(symbol, sizeof(symbol), "slab %s", cache->name);
		/* Objects begin anywhere in a line; only of large ones can a place in them be told. */
		if (object && cache->stride >= 2 * QR_CACHE_LINE)
			snprintf(field, sizeof(field), "+%llu",
				 (unsigned long long)QR_ALIGN_DOWN(address - object, (uint64_t)QR_CACHE_LINE));
		set_name(hot, symbol, field);
		return;
	}
	set_name(hot, qr_frame_kind(frame) == QR_FRAME_PT ? "page table" : "frame", "");
}

static void set_name(struct qr_hot_line *hot, const char *symbol, const char *field)
{
	snprintf(hot->symbol, sizeof(hot->symbol), "%s", symbol);
	snprintf(hot->field, sizeof(hot->field), "%s", field);
}
