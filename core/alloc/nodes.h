/*
 * NUMA nodes and their zones (A2, A7): which zones there are, and in which order an allocation tries them.
 *
 * Each node has the frames of one stretch of the pool, all stretches of one length, and in it a zone for each kind of
 * memory that falls into it. An allocation names the highest kind that it can use (QR_GFP_*) and tries the kinds of a
 * node from that one downward, then those of the next node in the order of its own.
 *
 * All zones share the array of descriptors and the pool: the first one, which begins at PFN 0, converts between PFN,
 * descriptor and address for all of them.
 *
 * Sources: M. Gorman, "Understanding the Linux Virtual Memory Manager", 2004, chapter 2 (zones and their fallback);
 * M. Bligh, D. Hansen, "Linux Memory Management on Larger Machines", OLS 2003, section 4 (nodes, upward from the own).
 *
 * Locks: none; all is immutable after qr_nodes_init() but what the zones have.
 */
#ifndef QR_CORE_NODES_H
#define QR_CORE_NODES_H

#include "alloc/alloc.h"

#define QR_MAX_NODES 64u
#define QR_ALL_NODES UINT64_MAX /* as a set of nodes: bit n is node n */

/* What a port says about the nodes; zeroed: one node with one zone. The kinds of memory are bounded by PFNs, multiples
 * of the largest block, in ascending order. */
struct qr_nodes_config {
	uint32_t nr_nodes; /* 0: one */
	uint32_t dma_end; /* frames below are QR_ZONE_DMA; 0: there are none */
	uint32_t dma32_end; /* then QR_ZONE_DMA32 up to here; 0: none */
	uint32_t normal_end; /* then QR_ZONE_NORMAL up to here, and QR_ZONE_HIGHMEM after; 0: no HIGHMEM */
	uint32_t
		movable_percent; /* the last so many percent of each node are QR_ZONE_MOVABLE, whatever else they are */
	const uint8_t *distances; /* [from][to], larger is farther; only needed by qr_nodes_init(); NULL: all alike */
};

struct qr_node {
	struct qr_zone *zones[QR_NR_ZONE_KINDS]; /* (I) NULL: none of that kind */
	uint32_t first_zone; /* (I) the number of the lowest */
	uint32_t nr_zones; /* (I) whose numbers are consecutive */
	uint8_t fallback[QR_MAX_NODES]; /* (I) [rank] nodes in the order in which an allocation of here tries them */
} QR_ALIGNED(QR_CACHE_LINE);

/* Zeroed: one node with one zone, whose owner knows it. */
struct qr_nodes {
	uint32_t nr_nodes; /* (I) */
	uint32_t nr_zones; /* (I) */
	uint32_t nr_frames_per_node; /* (I) of the pool */
	uint32_t nr_cpus_per_node; /* (I) CPU slots of a node are consecutive */
	struct qr_node *nodes; /* (I) [node] */
	struct qr_zone **zones; /* (I) [number], ascending by PFN */
};

/* What qr_nodes_init() fills, zeroed. */
struct qr_nodes_arrays {
	struct qr_node *nodes; /* [nr_nodes] */
	struct qr_zone **zones; /* [qr_nodes_count_zones()] */
	struct qr_zone *first_zone; /* the zone at PFN 0 */
	struct qr_zone *more_zones; /* [qr_nodes_count_zones() - 1] */
};

/* Bounds are aligned and ascend, and every node has frames. */
bool qr_nodes_config_is_valid(const struct qr_nodes_config *config, uint32_t nr_frames);
uint32_t qr_nodes_count_zones(const struct qr_nodes_config *config, uint32_t nr_frames);
/* The frames of a pool of nr_frames that are a zone: true if there are any. */
bool qr_nodes_zone_range(const struct qr_nodes_config *config, uint32_t nr_frames, uint32_t node,
			 enum qr_zone_kind kind, uint32_t *start, uint32_t *nr);
/* Makes nodes and zones. whole: as for one zone with the whole pool, but pcps is [zone][nr_pcps]. The configuration is
 * valid. */
void qr_nodes_init(struct qr_nodes *nodes, const struct qr_nodes_config *config, enum qr_node_order_choice order,
		   uint32_t nr_cpus_per_node, const struct qr_zone_config *whole, const struct qr_nodes_arrays *arrays);

/* Sets the watermarks of all zones, and what allocations that could use a higher kind leave in each. */
void qr_nodes_set_watermarks(const struct qr_nodes *nodes);

/* A block for an allocation on a node, from nodes of the set only, QR_FRAME_FRESH not forgotten yet; NULL if none of
 * their zones has one above its mark. First those that are above the low mark, of all nodes, then as gfp allows. A
 * large block that nobody needs (QR_GFP_NORETRY) comes from the first node or not at all. Never sleeps. */
struct qr_frame *qr_nodes_take(const struct qr_nodes *nodes, uint32_t node, uint64_t allowed, unsigned order,
			       qr_gfp_t gfp);
/* Whether an allocation of that kind finds nr_more frames on the node and leaves the mark, in one of the zones. */
bool qr_node_is_above(const struct qr_node *node, enum qr_watermark mark, enum qr_zone_kind kind, uint32_t nr_more);
/* Whether the node has a zone that such an allocation may use. */
bool qr_node_has_kind(const struct qr_node *node, enum qr_zone_kind kind);

/* The highest kind of memory that an allocation may use. Of several flags the strictest counts. */
static inline enum qr_zone_kind qr_gfp_kind(qr_gfp_t gfp)
{
	if (gfp & QR_GFP_DMA)
		return QR_ZONE_DMA;
	if (gfp & QR_GFP_DMA32)
		return QR_ZONE_DMA32;
	if (gfp & QR_GFP_HIGHMEM)
		return QR_ZONE_HIGHMEM;
	return gfp & QR_GFP_MOVABLE ? QR_ZONE_MOVABLE : QR_ZONE_NORMAL;
}

static inline uint32_t qr_nodes_of_pfn(const struct qr_nodes *nodes, uint32_t pfn)
{
	return pfn / nodes->nr_frames_per_node;
}

static inline uint32_t qr_nodes_of_cpu(const struct qr_nodes *nodes, uint32_t cpu)
{
	return QR_MIN(cpu / nodes->nr_cpus_per_node, nodes->nr_nodes - 1);
}

/* The zone of a frame of the pool. O(kinds). */
struct qr_zone *qr_nodes_zone_of(const struct qr_nodes *nodes, uint32_t pfn);

#endif
