/* Nodes and zones: where they begin, and in which order they are tried. See nodes.h. */
#include "alloc/nodes.h"

#include "alloc/alloc_priv.h"

#define BLOCK_FRAMES (1u << QR_MAX_ORDER)

/* What stays for allocations that can use nothing higher: of the frames above, 1 / 256 in DMA zones, 1 / 32 in NORMAL
 * ones, where core's own objects are. The documented defaults of Linux (sysctl vm.lowmem_reserve_ratio). */
#define RESERVE_SHARE_DMA 256u
#define RESERVE_SHARE_NORMAL 32u

static void node_init(struct qr_nodes *nodes, const struct qr_nodes_config *config, uint32_t node,
		      const struct qr_zone_config *whole, const struct qr_nodes_arrays *arrays);
static void order_nodes(struct qr_nodes *nodes, uint32_t from, const uint8_t *distances);
static struct qr_frame *node_take(const struct qr_node *node, unsigned order, qr_gfp_t gfp, bool is_plenty);

static uint32_t nr_nodes_of(const struct qr_nodes_config *config)
{
	return QR_MAX(1u, config->nr_nodes);
}

static uint32_t frames_per_node(const struct qr_nodes_config *config, uint32_t nr_frames)
{
	return QR_ALIGN_UP((nr_frames - 1) / nr_nodes_of(config) + 1, BLOCK_FRAMES);
}

bool qr_nodes_config_is_valid(const struct qr_nodes_config *config, uint32_t nr_frames)
{
	uint32_t ends[] = {config->dma_end, config->dma32_end, config->normal_end};
	uint32_t last = 0;

	if (!nr_frames || nr_nodes_of(config) > QR_MAX_NODES || config->movable_percent > 100)
		return false;
	if ((uint64_t)frames_per_node(config, nr_frames) * (nr_nodes_of(config) - 1) >= nr_frames)
		return false;
	for (unsigned i = 0; i < QR_ARRAY_SIZE(ends); i++) {
		if (!ends[i])
			continue;
		if (ends[i] % BLOCK_FRAMES || ends[i] <= last)
			return false;
		last = ends[i];
	}
	return true;
}

/* Where memory of a kind begins and ends, MOVABLE left aside: *end is 0 if there is none. */
static void kind_bounds(const struct qr_nodes_config *config, enum qr_zone_kind kind, uint32_t *start, uint32_t *end)
{
	uint32_t low_end = QR_MAX(config->dma_end, config->dma32_end);

	*start = *end = 0;
	switch (kind) {
	case QR_ZONE_DMA:
		*end = config->dma_end;
		break;
	case QR_ZONE_DMA32:
		*start = config->dma_end;
		*end = config->dma32_end;
		break;
	case QR_ZONE_NORMAL:
		*start = low_end;
		*end = config->normal_end ? config->normal_end : UINT32_MAX;
		break;
	case QR_ZONE_HIGHMEM:
		*start = config->normal_end;
		*end = config->normal_end ? UINT32_MAX : 0;
		break;
	default:
		break;
	}
}

bool qr_nodes_zone_range(const struct qr_nodes_config *config, uint32_t nr_frames, uint32_t node,
			 enum qr_zone_kind kind, uint32_t *start, uint32_t *nr)
{
	uint32_t nr_each = frames_per_node(config, nr_frames);
	uint32_t node_start = node * nr_each;
	uint32_t node_end = QR_MIN(nr_frames - node_start, nr_each) + node_start;
	uint32_t in_node = node_end - node_start;
	uint32_t nr_movable = in_node / 100 * config->movable_percent + in_node % 100 * config->movable_percent / 100;
	uint32_t movable_start = QR_MIN(QR_ALIGN_UP(node_end - nr_movable, BLOCK_FRAMES), node_end);
	uint32_t first, end;

	kind_bounds(config, kind, &first, &end);
	if (kind == QR_ZONE_MOVABLE) {
		first = movable_start;
		end = node_end;
	}
	first = QR_MAX(first, node_start);
	end = QR_MIN(end, kind == QR_ZONE_MOVABLE ? node_end : movable_start);
	if (first >= end)
		return false;
	*start = first;
	*nr = end - first;
	return true;
}

uint32_t qr_nodes_count_zones(const struct qr_nodes_config *config, uint32_t nr_frames)
{
	uint32_t nr_zones = 0, start, nr;

	for (uint32_t node = 0; node < nr_nodes_of(config); node++) {
		for (unsigned kind = 0; kind < QR_NR_ZONE_KINDS; kind++)
			nr_zones += qr_nodes_zone_range(config, nr_frames, node, (enum qr_zone_kind)kind, &start, &nr);
	}
	return nr_zones;
}

void qr_nodes_init(struct qr_nodes *nodes, const struct qr_nodes_config *config, enum qr_node_order_choice order,
		   uint32_t nr_cpus_per_node, const struct qr_zone_config *whole, const struct qr_nodes_arrays *arrays)
{
	nodes->nr_nodes = nr_nodes_of(config);
	nodes->nr_zones = 0;
	nodes->nr_frames_per_node = frames_per_node(config, whole->nr_span);
	nodes->nr_cpus_per_node = nr_cpus_per_node ? nr_cpus_per_node : UINT32_MAX;
	nodes->nodes = arrays->nodes;
	nodes->zones = arrays->zones;
	for (uint32_t node = 0; node < nodes->nr_nodes; node++) {
		node_init(nodes, config, node, whole, arrays);
		order_nodes(nodes, node, order == QR_NODE_DISTANCE ? config->distances : NULL);
	}
}

static void node_init(struct qr_nodes *nodes, const struct qr_nodes_config *config, uint32_t node,
		      const struct qr_zone_config *whole, const struct qr_nodes_arrays *arrays)
{
	struct qr_node *self = &nodes->nodes[node];

	self->first_zone = nodes->nr_zones;
	for (unsigned kind = 0; kind < QR_NR_ZONE_KINDS; kind++) {
		struct qr_zone_config part = *whole;
		uint32_t number = nodes->nr_zones, start, nr;
		struct qr_zone *zone = number ? &arrays->more_zones[number - 1] : arrays->first_zone;

		if (!qr_nodes_zone_range(config, whole->nr_span, node, (enum qr_zone_kind)kind, &start, &nr))
			continue;
		part.memmap += start;
		part.base_address += (uint64_t)start << QR_PAGE_SHIFT;
		part.fresh_bits = whole->fresh_bits ? whole->fresh_bits + start / 64 : NULL;
		part.pfn_base = start;
		part.nr_span = nr;
		part.nr_map = whole->nr_span - start;
		part.pcps += (uint64_t)number * whole->nr_pcps;
		qr_zone_init(zone, &part);
		zone->node = (uint8_t)node;
		zone->kind = (uint8_t)kind;
		zone->number = (uint16_t)number;
		self->zones[kind] = zone;
		nodes->zones[nodes->nr_zones++] = zone;
	}
	self->nr_zones = nodes->nr_zones - self->first_zone;
}

/* The node itself, then the others by distance, and from the own upward by number, around the end, where distances are
 * alike (NULL: all are). */
static void order_nodes(struct qr_nodes *nodes, uint32_t from, const uint8_t *distances)
{
	uint8_t *fallback = nodes->nodes[from].fallback;
	const uint8_t *row = distances ? distances + (uint64_t)from * nodes->nr_nodes : NULL;

	fallback[0] = (uint8_t)from;
	for (uint32_t step = 1; step < nodes->nr_nodes; step++) {
		uint32_t node = (from + step) % nodes->nr_nodes;
		uint32_t rank = step;

		for (; row && rank > 1 && row[fallback[rank - 1]] > row[node]; rank--)
			fallback[rank] = fallback[rank - 1];
		fallback[rank] = (uint8_t)node;
	}
}

/* The frames of higher zones of its node, up to that kind, that an allocation could have instead. */
static uint32_t nr_above(const struct qr_node *node, unsigned zone, unsigned kind)
{
	uint32_t nr = 0;

	for (unsigned higher = zone + 1; higher <= kind; higher++)
		nr += node->zones[higher] ? qr_load_relaxed(&node->zones[higher]->nr_online) : 0;
	return nr;
}

void qr_nodes_set_watermarks(const struct qr_nodes *nodes)
{
	for (uint32_t i = 0; i < nodes->nr_zones; i++) {
		struct qr_zone *zone = nodes->zones[i];
		uint32_t share = zone->kind < QR_ZONE_NORMAL ? RESERVE_SHARE_DMA : RESERVE_SHARE_NORMAL;

		qr_zone_set_watermarks(zone);
		for (unsigned kind = 0; kind < QR_NR_ZONE_KINDS; kind++)
			qr_store_relaxed(&zone->reserve[kind],
					 nr_above(&nodes->nodes[zone->node], zone->kind, kind) / share);
	}
}

struct qr_frame *qr_nodes_take(const struct qr_nodes *nodes, uint32_t node, uint64_t allowed, unsigned order,
			       qr_gfp_t gfp)
{
	const struct qr_node *self = &nodes->nodes[node];
	bool is_luxury = gfp & QR_GFP_NORETRY;
	uint32_t nr_ranks = order && is_luxury ? 1 : nodes->nr_nodes;

	for (unsigned pass = 0; pass < 2; pass++) {
		for (uint32_t rank = 0; rank < nr_ranks; rank++) {
			struct qr_frame *frame = NULL;

			if (allowed >> self->fallback[rank] & 1)
				frame = node_take(&nodes->nodes[self->fallback[rank]], order, gfp, !pass);
			if (frame)
				return frame;
		}
		if (is_luxury)
			break;
	}
	return NULL;
}

/* is_plenty: no zone falls below its low mark for it. */
static struct qr_frame *node_take(const struct qr_node *node, unsigned order, qr_gfp_t gfp, bool is_plenty)
{
	enum qr_zone_kind highest = qr_gfp_kind(gfp);

	for (unsigned kind = highest + 1u; kind-- > 0;) {
		struct qr_zone *zone = node->zones[kind];
		struct qr_frame *frame;
		uint32_t floor;

		if (!zone)
			continue;
		floor = is_plenty ? qr_load_relaxed(&zone->watermark[QR_WMARK_LOW]) : qr_zone_floor(zone, gfp);
		/* Reclaim may use the reserve as well: it is about to free more. */
		if (is_plenty || !(gfp & QR_GFP_RECLAIM))
			floor += qr_load_relaxed(&zone->reserve[highest]);
		frame = qr_zone_take_above(zone, order, gfp, floor);
		if (frame)
			return frame;
	}
	return NULL;
}

bool qr_node_is_above(const struct qr_node *node, enum qr_watermark mark, enum qr_zone_kind kind, uint32_t nr_more)
{
	for (unsigned i = kind + 1u; i-- > 0;) {
		const struct qr_zone *zone = node->zones[i];

		if (zone && qr_zone_is_above(zone, mark, qr_load_relaxed(&zone->reserve[kind]) + nr_more))
			return true;
	}
	return false;
}

bool qr_node_has_kind(const struct qr_node *node, enum qr_zone_kind kind)
{
	for (unsigned i = 0; i <= kind; i++) {
		if (node->zones[i])
			return true;
	}
	return false;
}

struct qr_zone *qr_nodes_zone_of(const struct qr_nodes *nodes, uint32_t pfn)
{
	const struct qr_node *node = &nodes->nodes[qr_nodes_of_pfn(nodes, pfn)];
	uint32_t number = node->first_zone + node->nr_zones - 1;

	while (pfn < nodes->zones[number]->pfn_base)
		number--;
	return nodes->zones[number];
}
