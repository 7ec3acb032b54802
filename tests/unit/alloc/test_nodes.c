/*
 * Nodes and zones against a model that knows for each frame where it is, and for each allocation all zones in their
 * order: bounds, fallback between nodes and kinds, binding to sets, marks and reserves.
 *
 * Links: core/alloc, core/page, core/sync, the harness.
 */
#include <stdlib.h>
#include <string.h>

#include "alloc/nodes.h"
#include "port_test.h"
#include "tap.h"

#define BLOCK (1u << QR_MAX_ORDER)
#define MAX_TEST_NODES 6u
#define MAX_TEST_ZONES (MAX_TEST_NODES * QR_NR_ZONE_KINDS)
#define NR_CONFIGS 60u
#define MAX_BLOCKS 64u

static const qr_gfp_t kind_flags[QR_NR_ZONE_KINDS] = {[QR_ZONE_DMA] = QR_GFP_DMA,
						      [QR_ZONE_DMA32] = QR_GFP_DMA32,
						      [QR_ZONE_HIGHMEM] = QR_GFP_HIGHMEM,
						      [QR_ZONE_MOVABLE] = QR_GFP_MOVABLE};

static struct {
	struct qr_nodes_config config;
	uint8_t distances[MAX_TEST_NODES * MAX_TEST_NODES];
	enum qr_node_order_choice order;
	uint32_t nr_frames;
	struct qr_nodes nodes;
	struct qr_zone *zones;
	struct qr_node *node_array;
	struct qr_zone **zone_array;
	struct qr_frame *memmap;
	uint32_t node_of[MAX_BLOCKS];          /* [block] the model's */
	enum qr_zone_kind kind_of[MAX_BLOCKS]; /* [block] the model's */
	uint64_t seed;
} world;

static uint32_t below(uint32_t bound)
{
	return tap_random_below(&world.seed, bound);
}

/* ---- The model ---- */

static uint32_t nr_nodes(void)
{
	return QR_MAX(1u, world.config.nr_nodes);
}

static uint32_t model_node(uint32_t pfn)
{
	return world.node_of[pfn / BLOCK];
}

static enum qr_zone_kind model_kind(uint32_t pfn)
{
	return world.kind_of[pfn / BLOCK];
}

static enum qr_zone_kind model_kind_by_end(uint32_t pfn)
{
	const struct qr_nodes_config *config = &world.config;

	if (pfn < config->dma_end)
		return QR_ZONE_DMA;
	if (pfn < config->dma32_end)
		return QR_ZONE_DMA32;
	return config->normal_end && pfn >= config->normal_end ? QR_ZONE_HIGHMEM : QR_ZONE_NORMAL;
}

/* Block by block: the last may be shorter. */
static void model_open(void)
{
	uint32_t nr_blocks = (world.nr_frames + BLOCK - 1) / BLOCK;
	uint32_t nr_each = (nr_blocks + nr_nodes() - 1) / nr_nodes();

	tap_require(nr_blocks <= MAX_BLOCKS);
	for (uint32_t i = 0; i < nr_blocks; i++) {
		uint32_t node = i / nr_each;
		uint64_t start = (uint64_t)node * nr_each * BLOCK;
		uint64_t end = QR_MIN(start + (uint64_t)nr_each * BLOCK, (uint64_t)world.nr_frames);
		bool is_movable = (end - (uint64_t)i * BLOCK) * 100 <= (end - start) * world.config.movable_percent;

		world.node_of[i] = node;
		world.kind_of[i] = is_movable ? QR_ZONE_MOVABLE : model_kind_by_end(i * BLOCK);
	}
}

static uint32_t distance(uint32_t from, uint32_t to)
{
	return world.order == QR_NODE_DISTANCE && world.config.distances ? world.distances[from * nr_nodes() + to] : 0;
}

/* Whether an allocation of a node goes to one before the other. */
static bool model_is_before(uint32_t from, uint32_t one, uint32_t other)
{
	if (one == from || other == from)
		return one == from && other != from;
	if (distance(from, one) != distance(from, other))
		return distance(from, one) < distance(from, other);
	return (one + nr_nodes() - from) % nr_nodes() < (other + nr_nodes() - from) % nr_nodes();
}

/* The zones that an allocation may use, in its order. Returns how many. */
static uint32_t model_zonelist(uint32_t node, uint64_t allowed, enum qr_zone_kind kind, struct qr_zone **list)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < world.nodes.nr_zones; i++) {
		struct qr_zone *zone = world.nodes.zones[i];
		uint32_t at = nr;

		if (zone->kind > kind || !(allowed >> zone->node & 1))
			continue;
		for (; at && (list[at - 1]->node == zone->node ? list[at - 1]->kind < zone->kind
							       : model_is_before(node, zone->node, list[at - 1]->node));
		     at--)
			list[at] = list[at - 1];
		list[at] = zone;
		nr++;
	}
	return nr;
}

static uint32_t model_reserve(const struct qr_zone *zone, enum qr_zone_kind kind)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < world.nodes.nr_zones; i++) {
		const struct qr_zone *other = world.nodes.zones[i];

		if (other->node == zone->node && other->kind > zone->kind && other->kind <= kind)
			nr += other->nr_online;
	}
	return nr / (zone->kind < QR_ZONE_NORMAL ? 256 : 32);
}

/* The zone that the next frame comes from; NULL: none. */
static const struct qr_zone *model_source(uint32_t node, uint64_t allowed, qr_gfp_t gfp)
{
	enum qr_zone_kind kind = qr_gfp_kind(gfp);
	struct qr_zone *list[MAX_TEST_ZONES];
	uint32_t nr = model_zonelist(node, allowed, kind, list);

	for (unsigned pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < nr; i++) {
			uint32_t min = list[i]->watermark[QR_WMARK_MIN];
			uint32_t floor = gfp & QR_GFP_HIGH ? min / 2 : min;

			floor = (pass ? floor : 2 * min) + model_reserve(list[i], kind);
			if (pass && gfp & QR_GFP_RECLAIM)
				floor = 0;
			if (qr_zone_nr_free(list[i]) > floor)
				return list[i];
		}
		if (gfp & QR_GFP_NORETRY)
			return NULL;
	}
	return NULL;
}

/* ---- The world ---- */

static void world_open(void)
{
	uint32_t nr_zones = qr_nodes_count_zones(&world.config, world.nr_frames);
	struct qr_zone_config whole = {.nr_span = world.nr_frames, .pcp = QR_PCP_NONE};
	struct qr_nodes_arrays arrays;

	model_open();
	world.memmap = whole.memmap = calloc(world.nr_frames, sizeof(*world.memmap));
	world.zones = calloc(nr_zones, sizeof(*world.zones));
	world.node_array = aligned_alloc(QR_CACHE_LINE, nr_nodes() * sizeof(*world.node_array));
	world.zone_array = calloc(nr_zones, sizeof(struct qr_zone *));
	tap_require(world.memmap && world.zones && world.node_array && world.zone_array);
	memset(world.node_array, 0, nr_nodes() * sizeof(*world.node_array));
	arrays = (struct qr_nodes_arrays){world.node_array, world.zone_array, &world.zones[0], &world.zones[1]};
	qr_nodes_init(&world.nodes, &world.config, world.order, 2, &whole, &arrays);
	tap_check_equal(world.nodes.nr_zones, nr_zones);
	for (uint32_t i = 0; i < nr_zones; i++)
		tap_check_equal(qr_zone_online(&world.zones[i], UINT32_MAX), world.zones[i].nr_span);
	qr_nodes_set_watermarks(&world.nodes);
}

static void world_close(void)
{
	for (uint32_t i = 0; i < world.nodes.nr_zones; i++)
		tap_check(qr_zone_is_valid(&world.zones[i]));
	free(world.memmap);
	free(world.zones);
	free(world.node_array);
	free(world.zone_array);
}

/* A configuration with whatever bounds. */
static void world_choose(uint32_t step)
{
	struct qr_nodes_config *config = &world.config;
	uint32_t nr_blocks;

	memset(config, 0, sizeof(*config));
	config->nr_nodes = step % (MAX_TEST_NODES + 1);
	nr_blocks = nr_nodes() * (2 + below(5));
	world.nr_frames = nr_blocks * BLOCK - (below(2) ? below(BLOCK) : 0);
	if (below(2))
		config->dma_end = (1 + below(3)) * BLOCK;
	if (below(2))
		config->dma32_end = config->dma_end + (1 + below(nr_blocks)) * BLOCK;
	if (below(2))
		config->normal_end = QR_MAX(config->dma_end, config->dma32_end) + (1 + below(nr_blocks)) * BLOCK;
	if (below(2))
		config->movable_percent = below(101);
	for (uint32_t i = 0; i < nr_nodes() * nr_nodes(); i++)
		world.distances[i] = (uint8_t)(10 + below(4));
	if (below(3))
		config->distances = world.distances;
	world.order = below(2) ? QR_NODE_DISTANCE : QR_NODE_ROUND_ROBIN;
}

/* ---- Tests ---- */

static void check_place(uint32_t pfn)
{
	const struct qr_zone *zone = qr_nodes_zone_of(&world.nodes, pfn);

	tap_check_equal(qr_nodes_of_pfn(&world.nodes, pfn), model_node(pfn));
	tap_check_equal(zone->node, model_node(pfn));
	tap_check_equal(zone->kind, model_kind(pfn));
	tap_check(pfn - zone->pfn_base < zone->nr_span);
	tap_check(qr_zone_frame(zone, pfn) == &world.memmap[pfn]);
	tap_check(world.nodes.nodes[zone->node].zones[zone->kind] == zone);
	tap_check(world.nodes.zones[zone->number] == zone);
}

static void test_bounds(void)
{
	world.seed = tap_seed();
	for (uint32_t i = 0; i < NR_CONFIGS && !tap_has_failed(); i++) {
		world_choose(i);
		tap_require(qr_nodes_config_is_valid(&world.config, world.nr_frames));
		world_open();
		for (uint32_t pfn = 0; pfn < world.nr_frames && !tap_has_failed(); pfn += 1 + below(BLOCK / 2))
			check_place(pfn);
		for (uint32_t k = 0; k < world.nodes.nr_zones; k++) {
			check_place(world.zones[k].pfn_base);
			check_place(world.zones[k].pfn_base + world.zones[k].nr_span - 1);
		}
		world_close();
	}
}

static void test_order(void)
{
	world.seed = tap_seed();
	for (uint32_t i = 0; i < NR_CONFIGS && !tap_has_failed(); i++) {
		world_choose(i);
		world_open();
		for (uint32_t node = 0; node < nr_nodes(); node++) {
			const uint8_t *fallback = world.nodes.nodes[node].fallback;

			tap_check_equal(fallback[0], node);
			for (uint32_t rank = 1; rank < nr_nodes(); rank++)
				tap_check(model_is_before(node, fallback[rank - 1], fallback[rank]));
			if (world.order == QR_NODE_ROUND_ROBIN)
				tap_check_equal(fallback[nr_nodes() - 1], (node + nr_nodes() - 1) % nr_nodes());
		}
		world_close();
	}
}

static uint32_t nr_frames_free(void)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < world.nodes.nr_zones; i++)
		nr += qr_zone_nr_free(world.nodes.zones[i]);
	return nr;
}

static qr_gfp_t random_gfp(void)
{
	static const qr_gfp_t contexts[] = {0, 0, QR_GFP_WAIT, QR_GFP_HIGH, QR_GFP_RECLAIM, QR_GFP_NORETRY};

	return contexts[below(QR_ARRAY_SIZE(contexts))] | kind_flags[below(QR_NR_ZONE_KINDS)];
}

/* Frames come from the zone that the model names, one by one, until nothing is left anywhere. */
static void test_model(void)
{
	world.seed = tap_seed() + 1;
	for (uint32_t i = 0; i < NR_CONFIGS / 3 && !tap_has_failed(); i++) {
		struct qr_frame **taken;
		uint32_t nr_taken = 0;

		world_choose(i);
		world_open();
		taken = calloc(world.nr_frames, sizeof(struct qr_frame *));
		tap_require(taken);
		for (uint32_t step = 0; step < 2 * world.nr_frames && !tap_has_failed(); step++) {
			uint64_t allowed = below(2) ? QR_ALL_NODES : tap_random(&world.seed);
			uint32_t node = below(nr_nodes());
			qr_gfp_t gfp = random_gfp();
			const struct qr_zone *source = model_source(node, allowed, gfp);
			struct qr_frame *frame;

			/* First it fills up, then it goes up and down. */
			if (nr_taken && below(step < world.nr_frames ? 16 : 2) == 0) {
				uint32_t at = below(nr_taken);

				frame = taken[at];
				taken[at] = taken[--nr_taken];
				qr_zone_free(qr_nodes_zone_of(&world.nodes, (uint32_t)(frame - world.memmap)), frame,
					     0);
				continue;
			}
			frame = qr_nodes_take(&world.nodes, node, allowed, 0, gfp);
			tap_check_equal(frame != NULL, source != NULL);
			if (!frame)
				continue;
			tap_check(qr_nodes_zone_of(&world.nodes, (uint32_t)(frame - world.memmap)) == source);
			taken[nr_taken++] = frame;
		}
		tap_check_equal(nr_frames_free() + nr_taken, world.nr_frames);
		free(taken);
		world_close();
	}
}

/* Every set of nodes, every kind, from every node: all of the set's memory of these kinds is used, and no other. */
static void test_matrix(void)
{
	world.seed = tap_seed() + 2;
	for (uint32_t i = 0; i < 12 && !tap_has_failed(); i++) {
		world_choose(i);
		world.config.nr_nodes = QR_MIN(world.config.nr_nodes, 3u);
		world.nr_frames = nr_nodes() * 4 * BLOCK;
		world_open();
		for (uint64_t set = 0; set < (uint64_t)1 << nr_nodes(); set++) {
			for (uint32_t at = 0; at < QR_NR_ZONE_KINDS * nr_nodes() && !tap_has_failed(); at++) {
				unsigned kind = at % QR_NR_ZONE_KINDS;
				uint32_t nr_wanted = 0, nr = 0, head = QR_PFN_NONE;
				struct qr_frame *frame;

				for (uint32_t k = 0; k < world.nodes.nr_zones; k++)
					nr_wanted += world.zones[k].kind <= kind && set >> world.zones[k].node & 1
							     ? world.zones[k].nr_online
							     : 0;
				while ((frame = qr_nodes_take(&world.nodes, at / QR_NR_ZONE_KINDS, set, 0,
							      kind_flags[kind] | QR_GFP_RECLAIM))) {
					uint32_t pfn = (uint32_t)(frame - world.memmap);

					tap_check(set >> model_node(pfn) & 1 && model_kind(pfn) <= kind);
					frame->owner_word = head;
					head = pfn;
					nr++;
				}
				tap_check_equal(nr, nr_wanted);
				for (; head != QR_PFN_NONE; head = (uint32_t)frame->owner_word) {
					frame = &world.memmap[head];
					qr_zone_free(qr_nodes_zone_of(&world.nodes, head), frame, 0);
				}
			}
		}
		world_close();
	}
}

static void test_luxury(void)
{
	struct qr_frame *frame;

	memset(&world.config, 0, sizeof(world.config));
	world.config.nr_nodes = 2;
	world.nr_frames = 8 * BLOCK;
	world.order = QR_NODE_DISTANCE;
	world_open();
	/* A large block that nobody needs is not worth another node; one that is needed is. */
	while ((frame = qr_nodes_take(&world.nodes, 0, QR_ALL_NODES, 4, QR_GFP_NORETRY)))
		tap_check_equal(model_node((uint32_t)(frame - world.memmap)), 0);
	frame = qr_nodes_take(&world.nodes, 0, QR_ALL_NODES, 4, 0);
	tap_check(frame && model_node((uint32_t)(frame - world.memmap)) == 1);
	frame = qr_nodes_take(&world.nodes, 0, QR_ALL_NODES, 0, QR_GFP_NORETRY);
	tap_check(frame && model_node((uint32_t)(frame - world.memmap)) == 1);
	tap_check(!qr_node_is_above(&world.nodes.nodes[0], QR_WMARK_LOW, QR_ZONE_NORMAL, 16));
	tap_check(qr_node_is_above(&world.nodes.nodes[1], QR_WMARK_LOW, QR_ZONE_NORMAL, 16));
	tap_check(!qr_node_has_kind(&world.nodes.nodes[1], QR_ZONE_DMA32));
	world_close();
}

static void test_kinds(void)
{
	tap_check_equal(qr_gfp_kind(QR_GFP_USER), QR_ZONE_MOVABLE);
	tap_check_equal(qr_gfp_kind(QR_GFP_KERNEL), QR_ZONE_NORMAL);
	tap_check_equal(qr_gfp_kind(QR_GFP_ATOMIC), QR_ZONE_NORMAL);
	for (unsigned kind = 0; kind < QR_NR_ZONE_KINDS; kind++) {
		tap_check_equal(qr_gfp_kind(kind_flags[kind]), kind);
		/* The stricter one counts. */
		tap_check_equal(qr_gfp_kind(kind_flags[kind] | QR_GFP_DMA), QR_ZONE_DMA);
		if (kind != QR_ZONE_NORMAL)
			tap_check_equal(qr_gfp_kind(kind_flags[kind] | QR_GFP_MOVABLE), kind);
	}
}

static void test_invalid(void)
{
	const struct qr_nodes_config bad[] = {
		{.nr_nodes = QR_MAX_NODES + 1},
		{.nr_nodes = 9}, /* of 8 blocks */
		{.movable_percent = 101},
		{.dma_end = BLOCK / 2},
		{.dma_end = 2 * BLOCK, .dma32_end = BLOCK},
		{.dma_end = 2 * BLOCK, .normal_end = 2 * BLOCK},
	};

	for (unsigned i = 0; i < QR_ARRAY_SIZE(bad); i++)
		tap_check(!qr_nodes_config_is_valid(&bad[i], 8 * BLOCK));
	tap_check(!qr_nodes_config_is_valid(&(struct qr_nodes_config){.nr_nodes = 1}, 0));
	tap_check(qr_nodes_config_is_valid(&(struct qr_nodes_config){.nr_nodes = 8}, 8 * BLOCK));
	/* Bounds beyond the end leave kinds out. */
	tap_check_equal(qr_nodes_count_zones(&(struct qr_nodes_config){.dma_end = 99 * BLOCK}, 8 * BLOCK), 1);
}

static const struct tap_test tests[] = {
	{"nodes_zones_lie_where_the_bounds_say", test_bounds},
	{"nodes_fall_back_in_the_chosen_order", test_order},
	{"nodes_random_allocations_come_from_the_zone_that_the_model_names", test_model},
	{"nodes_every_set_and_kind_gets_all_of_its_memory_and_no_other", test_matrix},
	{"nodes_large_blocks_that_nobody_needs_stay_at_home", test_luxury},
	{"nodes_gfp_flags_name_kinds", test_kinds},
	{"nodes_bad_configurations_are_refused", test_invalid},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
