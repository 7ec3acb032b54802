/*
 * A manager: one instance of the whole of core. Nothing in core is global; several live side by side.
 */
#ifndef QR_CORE_VMM_H
#define QR_CORE_VMM_H

#include "alloc/nodes.h"
#include "aspace/aspace.h"
#include "group/group.h"
#include "lru/balance.h"
#include "lru/lru.h"
#include "reclaim/reclaim.h"
#include "slab/slab.h"
#include "stat/stat.h"
#include "swap/swap.h"
#include "vmm/choices.h"

struct qr_vmm_config {
	struct qr_port *port;
	uint8_t *pool_address;     /* slot of PFN 0 */
	uint32_t nr_frames;        /* span of the pool, frames */
	uint32_t nr_frames_start;  /* frames online at first */
	uint32_t nr_frames_usual;  /* frames that are expected to be online, at most; 0: the whole span */
	void *metadata;            /* qr_vmm_metadata_bytes(), zeroed, page-aligned; need not be resident */
	struct qr_swap_config swap;
	struct qr_choices choices; /* mechanisms; zeroed: the defaults */
	uint32_t nr_cpus_per_node;    /* CPU slots of a node are consecutive; 0: one node */
	struct qr_nodes_config nodes; /* zeroed: one node */
	uint32_t nr_cpus_per_cluster; /* the same for those that share a cache; 0: one cluster */
};

/* The background reclaimer of one node. */
struct qr_kswapd {
	struct qr_vmm *vmm; /* (I) */
	uint32_t node;      /* (I) */
	int thread;       /* port's handle, -1: not running */
	uint32_t wake;    /* (A) 0 asleep, 1 asked to work, 2 asked to end */
	uint32_t asked;   /* (A) bit k: an allocation of enum qr_zone_kind k found too little */
	uint32_t is_ahead; /* (A) a stream is under way: free more than the high watermark */
} QR_ALIGNED(QR_CACHE_LINE);

struct qr_vmm {
	struct qr_port *port;      /* (I) */
	struct qr_choices choices; /* (I) */
	struct qr_zone zone; /* the one at PFN 0, of many ports the only one; converts for all, see alloc/nodes.h */
	struct qr_nodes nodes; /* (I) */
	struct qr_kmalloc kmalloc;
	struct qr_slab_cache vma_cache;
	struct qr_slab_cache object_cache;
	struct qr_lru lru;
	struct qr_groups groups;
	struct qr_balance balance QR_ALIGNED(QR_CACHE_LINE); /* of the LRU lists of all groups */
	struct qr_swap *swap; /* (I) */
	struct qr_stats stats;
	struct qr_kswapd *kswapds; /* (I) [node] */
	uint32_t is_oom; /* (A) the last resort failed once: keep failing quickly */
	uint32_t nr_limit; /* (A) frames that may be in use */
};

/* Bytes of metadata for a pool of nr_frames on one node: memmap, fresh bits, per-CPU arrays. */
uint64_t qr_vmm_metadata_bytes(uint32_t nr_frames);
/* The same for a configuration, which may have several nodes; its metadata is not looked at. */
uint64_t qr_vmm_metadata_bytes_of(const struct qr_vmm_config *config);
/* Brings up zones, slabs, swap and LRU; *vmm lies in the metadata. Starts no thread. QR_EINVAL: bad choices, a bad
 * swap configuration, bad nodes, or more of them than the LRU can tell apart. */
int qr_vmm_create(const struct qr_vmm_config *config, struct qr_vmm **vmm) QR_WARN_UNUSED;
void qr_vmm_destroy(struct qr_vmm *vmm);
static inline uint32_t qr_vmm_nr_nodes(const struct qr_vmm *vmm)
{
	return QR_MAX(1u, vmm->nodes.nr_nodes);
}

/* More than one zone: only then are vmm->nodes of any use. */
static inline bool qr_vmm_has_zones(const struct qr_vmm *vmm)
{
	return vmm->nodes.nr_zones > 1;
}

/* A counter of the manager: the sum of its shards, or what the lock that it is about has counted itself. */
uint64_t qr_vmm_stat(const struct qr_vmm *vmm, enum qr_stat stat);

#endif
