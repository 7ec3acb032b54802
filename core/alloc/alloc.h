/*
 * The page allocator: zones of frames, each with a binary buddy system, watermarks and per-CPU lists (A1-A4).
 *
 * A zone is also usable alone, over any range of addresses and any descriptor array: the shim's heap runs a zone
 * over virtual pages. Only the parts of a zone that were onlined have descriptors that were ever touched.
 *
 * Locks: zone->lock (QR_RANK_ZONE) guards the free areas; each per-CPU list has its own (QR_RANK_PCP).
 */
#ifndef QR_CORE_ALLOC_H
#define QR_CORE_ALLOC_H

#include <quire/port.h>

#include "page/frame.h"
#include "vmm/choices.h"

struct qr_vmm;
struct qr_pcp_ops;

/* GFP: what the allocation may do, and for whom. */
typedef uint32_t qr_gfp_t;
#define QR_GFP_WAIT 0x1u     /* may wake kswapd, reclaim and sleep */
#define QR_GFP_HIGH 0x2u     /* may go below the min watermark, to half of it */
#define QR_GFP_RECLAIM 0x4u  /* the caller is reclaim itself: may use all that is left, never reclaims */
#define QR_GFP_NORETRY 0x8u  /* never reclaim; fail rather than go below the low watermark: for large folios */
#define QR_GFP_ZERO 0x10u    /* content reads as zero */
#define QR_GFP_COLD 0x20u    /* a device writes to the frame first: one that no CPU has in its cache is as good */
/* The highest kind of memory that it can use, and with it all kinds below; none of these: QR_ZONE_NORMAL. */
#define QR_GFP_DMA 0x40u
#define QR_GFP_DMA32 0x80u
#define QR_GFP_HIGHMEM 0x100u
#define QR_GFP_MOVABLE 0x200u /* any kind, QR_ZONE_MOVABLE first: the content can be moved */
#define QR_GFP_USER (QR_GFP_WAIT | QR_GFP_MOVABLE) /* user pages */
#define QR_GFP_KERNEL (QR_GFP_WAIT)               /* core's own objects, where sleeping is fine */
#define QR_GFP_ATOMIC (QR_GFP_HIGH)               /* under a spin lock; never sleeps, may fail */

/* Kinds of memory, ascending: what an allocation falls back through. Names as in Linux. */
enum qr_zone_kind {
	QR_ZONE_DMA,     /* old devices reach it */
	QR_ZONE_DMA32,   /* devices with 32 address bits reach it */
	QR_ZONE_NORMAL,  /* core's own objects */
	QR_ZONE_HIGHMEM, /* not always mapped where addresses are short */
	QR_ZONE_MOVABLE, /* pages that can be moved and nothing else */
	QR_NR_ZONE_KINDS
};

enum qr_watermark { QR_WMARK_MIN, QR_WMARK_LOW, QR_WMARK_HIGH, QR_NR_WMARKS };

/* Per-CPU lists of order-0 frames: batches move between them and the buddy system. */
struct qr_pcp {
	struct qr_spinlock lock;
	uint32_t batch;      /* (lock) frames that move at a time, at least */
	uint32_t high;       /* (lock) above this many frames a batch goes back */
	uint32_t low;        /* (lock) hot-cold: at this many or fewer a batch is fetched */
	uint32_t cold_high;  /* (lock) hot-cold: high of the cold list; else 0 */
	uint32_t high_max;   /* (lock) auto: bound of high */
	uint16_t streak;     /* (lock) auto: doublings of the batch */
	bool is_giving;      /* (lock) auto: the last batch went back */
	uint32_t nr_on_loan; /* (lock) auto: frames that went back and were not fetched again yet */
	uint32_t nr;                 /* (A) written under lock: frames on both lists */
	struct qr_frame_list frames; /* (lock) hot end is the head, LIFO */
	struct qr_frame_list cold;   /* (lock) hot-cold: frames in no CPU's cache */
} QR_ALIGNED(QR_CACHE_LINE);

struct qr_zone {
	struct qr_vmm *vmm;       /* (I) NULL for a zone on its own: no reclaim, no zeroing */
	struct qr_frame *memmap;  /* (I) [pfn - pfn_base], nr_span entries, need not be touched before online */
	uint8_t *base_address;    /* (I) address of frame pfn_base; slots are consecutive */
	uint64_t *fresh_bits; /* (A) bit i: free frame i was never written since online or release; NULL: unknown */
	uint32_t pfn_base; /* (I) aligned to 2^QR_MAX_ORDER */
	uint32_t nr_span; /* (I) frames from pfn_base on that may be onlined */
	uint32_t nr_pcps; /* (I) */
	uint32_t nr_map; /* (I) frames from pfn_base on that memmap describes: of this zone and of those after it */
	struct qr_pcp *pcps; /* (I) [cpu] */
	const struct qr_pcp_ops *pcp_ops; /* (I) */
	/* Up to here and these: read on each allocation, seldom written. */
	uint32_t nr_free_least; /* (A) written under lock: nr_buddy_free is not below it; follows it in large steps */
	uint32_t nr_online; /* (A) written under lock: frames that were onlined and are not ballooned out */
	uint32_t watermark[QR_NR_WMARKS]; /* (A) */
	uint32_t reserve[QR_NR_ZONE_KINDS]; /* (A) [kind] frames on top of a mark for allocations that could use that */
	uint16_t number; /* (I) among the zones of its manager; see alloc/nodes.h */
	uint8_t node, kind; /* (I) */
	/* On a line of its own: who waits reads it all the time, and would take the rest away from who holds it. */
	struct qr_spinlock lock QR_ALIGNED(QR_CACHE_LINE);
	struct qr_frame_list free_area[QR_MAX_ORDER + 1] QR_ALIGNED(QR_CACHE_LINE); /* (lock) [order] free blocks */
	uint32_t nr_buddy_free; /* (A) written under lock: frames in free_area; qr_zone_nr_free() adds the pcps */
	uint32_t nr_onlined_span; /* (lock) frames from pfn_base on that were ever onlined */
	struct qr_frame_list balloon; /* (lock) frames taken out of use and given back to the machine */
	struct qr_mutex resize_lock; /* one qr_vmm_set_limit() at a time; outermost, rank not checked */
	qr_aligned_u64 nr_lock_takes; /* (A) written under lock: takes of it, for A4 and A5 */
	qr_aligned_u64 nr_lock_waits; /* (A) written under lock: of them, those that had to wait */
};

/* Where a zone's arrays live; all supplied by the caller, zeroed. */
struct qr_zone_config {
	struct qr_vmm *vmm;
	struct qr_frame *memmap; /* [nr_span] */
	uint64_t *fresh_bits; /* [nr_span / 64 rounded up] or NULL */
	uint8_t *base_address;
	uint32_t pfn_base;
	uint32_t nr_span;
	uint32_t nr_map; /* 0: as nr_span */
	struct qr_pcp *pcps; /* [nr_pcps] */
	uint32_t nr_pcps;
	enum qr_pcp_choice pcp; /* QR_PCP_NONE: pcps is not used */
};

void qr_zone_init(struct qr_zone *zone, const struct qr_zone_config *config);

/* Adds the next nr frames of the span to the free areas, in blocks as large as alignment allows.
 * Returns the number added, less than nr only at the end of the span. */
uint32_t qr_zone_online(struct qr_zone *zone, uint32_t nr);

/* Sets min, low and high from the frames online: min is 1/256 (at least 64), low 2 min, high 3 min. */
void qr_zone_set_watermarks(struct qr_zone *zone);

/* Takes nr free frames out of use, leaving the min watermark, and gives their memory back to the machine (in a zone
 * without a manager the memory stays as it is); returns how many it got. May sleep. */
uint32_t qr_zone_balloon_inflate(struct qr_zone *zone, uint32_t nr);
/* Brings nr ballooned frames back; returns how many there were. */
uint32_t qr_zone_balloon_deflate(struct qr_zone *zone, uint32_t nr);

/* A block of 2^order frames with kind QR_FRAME_KERNEL, refs 0 and tails marked; NULL when the watermark that gfp
 * obeys would be crossed or no block is large enough. Never reclaims, never sleeps (QR_GFP_ZERO is not obeyed). */
struct qr_frame *qr_zone_alloc(struct qr_zone *zone, unsigned order, qr_gfp_t gfp);
void qr_zone_free(struct qr_zone *zone, struct qr_frame *frame, unsigned order);
/* The same for a frame that is in no CPU's cache. */
void qr_zone_free_cold(struct qr_zone *zone, struct qr_frame *frame, unsigned order);
/* Puts what the per-CPU lists hold back into the buddy system. */
void qr_zone_drain_pcps(struct qr_zone *zone);

/* Free frames, in the buddy system and on per-CPU lists. No lock; frames that move between the two at that moment may
 * be missed or counted twice. Reads a line of each CPU. */
uint32_t qr_zone_nr_free(const struct qr_zone *zone);
/* Whether at least so many frames are free, and whether nr_more could be taken without going below the mark. The same
 * answers as from the count, but as long as memory is plentiful they come from lines that are seldom written. */
bool qr_zone_has_free(const struct qr_zone *zone, uint32_t nr);
bool qr_zone_is_above(const struct qr_zone *zone, enum qr_watermark mark, uint32_t nr_more);
/* O(frames online), nobody else uses the zone: every frame is in exactly one place, counts agree, free blocks are
 * aligned and merged. */
bool qr_zone_is_valid(struct qr_zone *zone);

static inline uint32_t qr_zone_pfn(const struct qr_zone *zone, const struct qr_frame *frame)
{
	return (uint32_t)(frame - zone->memmap) + zone->pfn_base;
}

static inline struct qr_frame *qr_zone_frame(const struct qr_zone *zone, uint32_t pfn)
{
	return &zone->memmap[pfn - zone->pfn_base];
}

static inline void *qr_zone_address(const struct qr_zone *zone, const struct qr_frame *frame)
{
	return zone->base_address + ((uint64_t)(frame - zone->memmap) << QR_PAGE_SHIFT);
}

static inline struct qr_frame *qr_zone_frame_at(const struct qr_zone *zone, const void *address)
{
	return &zone->memmap[(uint64_t)((const uint8_t *)address - zone->base_address) >> QR_PAGE_SHIFT];
}

/* The head of the allocated block that holds the frame; tails carry their block's order. */
static inline struct qr_frame *qr_folio_of_pfn(const struct qr_zone *zone, uint32_t pfn)
{
	struct qr_frame *frame = qr_zone_frame(zone, pfn);

	if (qr_frame_kind(frame) != QR_FRAME_TAIL)
		return frame;
	return qr_zone_frame(zone, QR_ALIGN_DOWN(pfn, 1u << qr_frame_order(frame)));
}

/* ---- The manager's allocator: zones in order of preference, reclaim, zeroing; core/alloc/gfp.c ---- */

/* A block of 2^order frames, QR_FRAME_KERNEL. With QR_GFP_WAIT it reclaims and sleeps as long as that makes
 * progress; NULL when the budget is exhausted. Locks: none of rank LRU or below may be held with QR_GFP_WAIT, and
 * no page-table or folio lock. */
struct qr_frame *qr_alloc_pages(struct qr_vmm *vmm, unsigned order, qr_gfp_t gfp);
void qr_free_pages(struct qr_vmm *vmm, struct qr_frame *frame, unsigned order);
/* For reclaim: the content was not touched for a while. */
void qr_free_pages_cold(struct qr_vmm *vmm, struct qr_frame *frame, unsigned order);

/* Where it matters on which node the frame is. qr_alloc_pages() begins with the caller's node and goes on in that
 * node's order. The first of these begins with the given node; the second takes from nodes of the set only (bit n is
 * node n), in the order of the caller's node: it fails when they have nothing, whatever the others have, and that is
 * not out of memory. */
struct qr_frame *qr_alloc_pages_node(struct qr_vmm *vmm, uint32_t node, unsigned order, qr_gfp_t gfp);
struct qr_frame *qr_alloc_pages_bound(struct qr_vmm *vmm, uint64_t nodes, unsigned order, qr_gfp_t gfp);

/* The zone of a frame of the pool, and that which the caller's allocations of user pages try first. */
struct qr_zone *qr_vmm_zone_of(struct qr_vmm *vmm, const struct qr_frame *frame);
struct qr_zone *qr_vmm_local_zone(struct qr_vmm *vmm);
/* Sums over all zones. */
uint32_t qr_vmm_nr_online(const struct qr_vmm *vmm);
uint32_t qr_vmm_nr_free(const struct qr_vmm *vmm);
/* Whether user pages of the caller's node can take nr_more frames there and leave the mark. */
bool qr_vmm_is_above(const struct qr_vmm *vmm, enum qr_watermark mark, uint32_t nr_more);
/* Every zone is valid; see qr_zone_is_valid(). */
bool qr_vmm_zones_are_valid(struct qr_vmm *vmm);

/* Sets how many frames may be in use, of each zone in proportion to its span; 0 <= nr <= span. Grows at once. Shrinks
 * as far as free frames allow and returns the number in force; the caller reclaims and calls again. May sleep. */
uint32_t qr_vmm_set_limit(struct qr_vmm *vmm, uint32_t nr_frames);

#endif
