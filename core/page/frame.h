/*
 * Frame descriptors: one struct qr_frame of 32 bytes per page frame (P1), in the zone's memmap.
 *
 * A folio is a naturally aligned block of 2^order frames that is managed as one; its state lives in the
 * descriptor of its first frame, the head. Functions that take a folio take a head and never see a tail.
 *
 * Lock legend: (Z) zone lock  (L) lruvec lock  (F) folio lock  (A) atomic  (T) page-table lock  (S) slab lock
 *              (O) whoever owns the allocated frame
 */
#ifndef QR_CORE_FRAME_H
#define QR_CORE_FRAME_H

#include "sync/atomic.h"
#include "sync/lock.h"

struct qr_zone;

/* What a frame is in use for: bits 0-3 of flags. */
enum qr_frame_kind {
	QR_FRAME_OFFLINE = 0, /* not onlined yet, inside a free block, or head of a ballooned block (order valid) */
	QR_FRAME_FREE,        /* head of a free block in the buddy system; order valid */
	QR_FRAME_PCP,         /* on a per-CPU list; order valid */
	QR_FRAME_KERNEL,      /* allocated for core's own use */
	QR_FRAME_SLAB,        /* head of a slab */
	QR_FRAME_PT,          /* page-table page */
	QR_FRAME_FOLIO,       /* head of a folio (anonymous or file) */
	QR_FRAME_TAIL,        /* any frame but the first of an allocated block; order is the block's */
};

#define QR_FRAME_KIND_MASK 0x0000000fu
#define QR_FRAME_ORDER_SHIFT 4u /* bits 4-7 */
#define QR_FRAME_ORDER_MASK 0x000000f0u
#define QR_FOLIO_LOCKED 0x00000100u     /* (A) the folio lock */
#define QR_FOLIO_WAITERS 0x00000200u    /* (A) somebody is parked on the folio lock */
#define QR_FOLIO_LRU 0x00000400u        /* (L) is on a list of its lruvec */
#define QR_FOLIO_ACTIVE 0x00000800u     /* (L) which list */
#define QR_FOLIO_REFERENCED 0x00001000u /* (A) touched since the last scan */
#define QR_FOLIO_IDLE 0x00002000u       /* (A) taken out of the hardware's tables to see whether it is touched */
#define QR_FOLIO_UNEVICTABLE 0x00004000u /* (A) mlocked */
#define QR_FOLIO_FILE 0x00008000u       /* (F) backed by a file object, else by anonymous memory */
#define QR_FOLIO_DIRTY 0x00010000u      /* (A) content differs from its backing slot or file */
#define QR_FOLIO_WORKINGSET 0x00020000u /* (A) was seen to come back; changes only while it is on no list */
#define QR_FRAME_FRESH 0x00040000u      /* (O) between the buddy system and whoever zeroes: was never written */
#define QR_FOLIO_LRUVEC_SHIFT 19u       /* (L) bits 19-29: of which lruvec the lists are, see core/lru/lru.h */
#define QR_FOLIO_LRUVEC_BITS 11u
#define QR_FOLIO_LRUVEC_MASK 0x3ff80000u

/* 32 bytes on 64-bit and on 32-bit machines alike. */
struct qr_frame {
	uint32_t flags;   /* (A) kind, order, folio flags */
	uint32_t refs;    /* (A) folio: PTEs that name one of its pages, plus transient pins; 0 frees it
			   *     slab: objects in use (S); page table: entries in use (T) */
	uint32_t next;    /* (Z)(L)(S)(O) list links as PFNs of the same zone's memmap; QR_PFN_NONE ends */
	uint32_t prev;
	union {
		uint64_t owner_word;
		void *owner; /* (F) folio: struct qr_object; slab: its cache; page table: whose lock it shares */
	};
	union {
		uint32_t index; /* (F) folio: page index of its first page within the object */
		uint32_t pt_lock; /* page table: state of the split lock (T2); 0 extra bytes per table */
		uint32_t slab_free; /* (S) slab: index of the first free object */
	};
	uint32_t private_word; /* (S) slab: objects from this index on were never handed out; (L) folio: when it came
				* or was unmapped, by lru/balance.h; else free for the owner */
};
_Static_assert(sizeof(struct qr_frame) == 32, "P1: a frame descriptor is 32 bytes");

#define QR_PFN_NONE UINT32_MAX

static inline enum qr_frame_kind qr_frame_kind(const struct qr_frame *frame)
{
	return (enum qr_frame_kind)(qr_load_relaxed(&frame->flags) & QR_FRAME_KIND_MASK);
}

static inline unsigned qr_frame_order(const struct qr_frame *frame)
{
	return (qr_load_relaxed(&frame->flags) & QR_FRAME_ORDER_MASK) >> QR_FRAME_ORDER_SHIFT;
}

/* Sets kind and order and clears all folio flags; the caller owns the frame. */
static inline void qr_frame_set_kind(struct qr_frame *frame, enum qr_frame_kind kind, unsigned order)
{
	qr_store_relaxed(&frame->flags, (uint32_t)kind | (uint32_t)order << QR_FRAME_ORDER_SHIFT);
}

static inline bool qr_folio_test(const struct qr_frame *folio, uint32_t flag)
{
	return (qr_load_acquire(&folio->flags) & flag) != 0;
}

static inline void qr_folio_set(struct qr_frame *folio, uint32_t flag)
{
	(void)qr_fetch_or(&folio->flags, flag);
}

static inline void qr_folio_clear(struct qr_frame *folio, uint32_t flag)
{
	(void)qr_fetch_and(&folio->flags, ~flag);
}

static inline uint32_t qr_folio_nr_pages(const struct qr_frame *folio)
{
	return 1u << qr_frame_order(folio);
}

/* A list of frames linked by PFN through next and prev; the owner's lock guards it. */
struct qr_frame_list {
	uint32_t head;
	uint32_t tail;
	uint32_t nr; /* entries */
};

void qr_frame_list_init(struct qr_frame_list *list);
void qr_frame_list_add_head(struct qr_zone *zone, struct qr_frame_list *list, struct qr_frame *frame);
void qr_frame_list_add_tail(struct qr_zone *zone, struct qr_frame_list *list, struct qr_frame *frame);
/* Moves all of from to the head of list, in their order; from is empty then. O(1). */
void qr_frame_list_splice_head(struct qr_zone *zone, struct qr_frame_list *list, struct qr_frame_list *from);
void qr_frame_list_remove(struct qr_zone *zone, struct qr_frame_list *list, struct qr_frame *frame);
/* NULL when empty. */
struct qr_frame *qr_frame_list_head(struct qr_zone *zone, const struct qr_frame_list *list);
struct qr_frame *qr_frame_list_tail(struct qr_zone *zone, const struct qr_frame_list *list);
bool qr_frame_list_is_valid(struct qr_zone *zone, const struct qr_frame_list *list);

/* ---- The folio lock (rank QR_RANK_FOLIO) and references; core/page/folio.c ---- */
bool qr_folio_trylock(struct qr_frame *folio);
void qr_folio_lock(struct qr_frame *folio); /* may sleep */
void qr_folio_unlock(struct qr_frame *folio);

static inline void qr_folio_get(struct qr_frame *folio, uint32_t nr)
{
	QR_ASSERT(qr_load_relaxed(&folio->refs) > 0);
	(void)qr_fetch_add_relaxed(&folio->refs, nr);
}

/* Takes a reference unless the folio is being freed (refs is 0). */
bool qr_folio_try_get(struct qr_frame *folio);

#endif
