/*
 * Swap: slots, and the tiers that hold their content.
 *
 * A slot is a number that a PTE can hold. The slot map says where its content is: nowhere (the page held one
 * repeated 64-bit word), in the compressed pool (zpool.h), or in a swap file (log.h). So content moves between tiers
 * without anybody looking for PTEs.
 *
 *   store: same-filled test -> still in the file (kept.c) -> compress -> pool -> (pool over its share, or the page
 *          does not compress) -> file
 *
 * The pool's groups are frames of the manager, so they count in the budget; its oldest content goes to the file first.
 * Locks: the slot map's free lists and the shard locks of its slots have QR_RANK_SWAP; the pool and the clusters
 * QR_RANK_ZPOOL; whoever appends to the file holds QR_RANK_SWAP_IO (a mutex, may wait for the device).
 */
#ifndef QR_CORE_SWAP_H
#define QR_CORE_SWAP_H

#include <quire/port.h>

#include "page/frame.h"

struct qr_vmm;
struct qr_swap;

#define QR_SLOT_NONE UINT32_MAX

struct qr_swap_config {
	enum qr_codec codec;      /* QR_CODEC_NONE: no pool, pages go to the file as they are */
	bool has_file;            /* a swap file may be opened (qr_port_swap_open) */
	uint64_t file_max_bytes;  /* 0: no bound but the file system's */
	uint32_t pool_max_percent; /* share of the frames online that the pool may grow to while there is a file,
				    * as far as that pays (share.c); without one it may take all */
	uint32_t delivery_ns;     /* what a fault costs besides the fault loop, for the pool's share */
	uint32_t cluster_bytes;   /* write unit of the file, a power of two, 64 KiB to 1 MiB; 0: by budget */
};

int qr_swap_create(struct qr_vmm *vmm, const struct qr_swap_config *config, struct qr_swap **swap) QR_WARN_UNUSED;
/* Waits for writes in flight. */
void qr_swap_destroy(struct qr_swap *swap);

/* Stores the pages at addresses pages[0..nr) (each readable and stable during the call) and writes a slot with one
 * reference for each to slots[]. Never allocates with reclaim: it is reclaim (QR_GFP_RECLAIM). May sleep (file).
 * On return slots[0..*nr_stored) are valid. Returns 0 if all were stored, else QR_ENOSPC (pool and file are full,
 * or there is no file and the pool cannot grow) or QR_ENOMEM (no slot or frame), with what fitted stored. Without a
 * file, pages of which none compresses are not stored at all (QR_ENOSPC): they would take as many frames as they
 * free. */
int qr_swap_store(struct qr_swap *swap, void *const *pages, uint32_t nr, uint32_t *slots,
		  uint32_t *nr_stored) QR_WARN_UNUSED;

/* Brings the content of slots[i] to pages[i], i < nr; reads from the file are issued together and then awaited.
 * The slots keep their references. May sleep. Returns 0, or the first of QR_EIO (the device failed after
 * retries) and QR_EILSEQ (the record does not match its check word); results[i] tells each page's. */
int qr_swap_load(struct qr_swap *swap, const uint32_t *slots, uint32_t nr, void *const *pages,
		 int *results) QR_WARN_UNUSED;

/* True when loading the slot needs no device. Hint. */
bool qr_swap_is_fast(struct qr_swap *swap, uint32_t slot);

void qr_swap_get(struct qr_swap *swap, uint32_t slot);
/* Drops a reference; with the last one the content is gone and the slot free. Never sleeps. */
void qr_swap_put(struct qr_swap *swap, uint32_t slot);

/* For a page that was loaded from the slot and not changed since: true if its slot is worth keeping while the page is
 * in memory, and what to know it by. The caller holds a reference. Never sleeps. */
bool qr_swap_digest(struct qr_swap *swap, uint32_t slot, const void *page, struct qr_digest *digest);
/* qr_swap_put(), but with the last reference the content stays in the file for a while: if a page with that digest is
 * stored it gets this slot, and nothing is written. Never sleeps. */
void qr_swap_keep(struct qr_swap *swap, uint32_t slot, const struct qr_digest *digest);

/* A word of QR_BALANCE_SHADOW_BITS that stays with the slots' content: what reclaim knew of the pages (lru/balance.h).
 * The caller holds a reference to each slot. 0: nothing was noted. Never sleeps. */
void qr_swap_set_shadow(struct qr_swap *swap, const uint32_t *slots, uint32_t nr, uint32_t shadow);
uint32_t qr_swap_shadow(struct qr_swap *swap, uint32_t slot);

/* Moves the oldest pool content to the file until the pool holds at most max_frames frames. Called by kswapd and
 * by direct reclaim. Returns the number of frames given back. May sleep. */
uint32_t qr_swap_shrink_pool(struct qr_swap *swap, uint32_t max_frames);

/* After a fork of the program, in the child: the content of file slots stays in the parent's files, which this
 * process may read and never writes; new content goes to a new file. */
int qr_swap_after_fork_child(struct qr_swap *swap) QR_WARN_UNUSED;
/* In the parent: slots that are in the file now must stay intact until qr_swap_thaw(token). Returns the token
 * >= 0 or an error. */
int qr_swap_freeze(struct qr_swap *swap) QR_WARN_UNUSED;
void qr_swap_thaw(struct qr_swap *swap, int token);

struct qr_swap_usage {
	uint64_t nr_slots;        /* in use, kept ones aside */
	uint64_t nr_same_filled;  /* of them, without storage */
	uint64_t nr_pool;         /* of them, in the pool */
	uint64_t pool_frames;     /* frames that the pool holds */
	uint64_t pool_bytes;      /* sum of compressed lengths */
	uint64_t nr_file;         /* of them, in the file */
	uint64_t nr_kept;         /* in the file besides, whose pages are in memory again */
	uint64_t file_bytes;      /* live record bytes in the file */
	uint64_t file_size_bytes; /* high-water mark of the files */
};
void qr_swap_usage(struct qr_swap *swap, struct qr_swap_usage *usage);
/* O(slots): slot references, pool objects and cluster live counts agree. No store or load may be in progress. */
bool qr_swap_is_valid(struct qr_swap *swap);

#endif
