/* What the files of core/swap share. */
#ifndef QR_CORE_SWAP_PRIV_H
#define QR_CORE_SWAP_PRIV_H

#include "swap/log.h"
#include "swap/slot.h"
#include "swap/swap.h"
#include "swap/zpool.h"

#define QR_MAX_WORKSPACES 8u
#define QR_MAX_READERS 8u
#define QR_READ_ITEMS 32u
#define QR_READ_RUNS 12u

/* Room to compress or expand one page. Taken after a reader and before log->lock, never two by one thread. */
struct qr_workspace {
	struct qr_mutex lock;    /* rank not checked: held over QR_RANK_SWAP_IO */
	struct qr_frame *frames; /* (I) */
	uint8_t *page;           /* (I) 4 KiB: a page in its compressed form */
	void *codec;             /* (I) the codec's own workspace */
};

/* A record to be read from the file. */
struct qr_read_item {
	struct qr_log_place place;
	uint32_t index; /* in the caller's arrays */
	uint32_t slot;
	uint32_t len_bytes;
};

/* Neighbouring blocks of one file, read in one transfer. */
struct qr_read_run {
	struct qr_io_request request;
	uint32_t nr_items;
};

/* What one loading thread needs to read from the file. */
struct qr_reader {
	struct qr_mutex lock;    /* rank not checked: outermost of the swap's locks */
	struct qr_frame *frames; /* (I) */
	uint8_t *buffer;         /* (I) reader_bytes, QR_IO_ALIGN-aligned */
	uint32_t nr_items;       /* (lock) */
	uint32_t nr_runs;        /* (lock) */
	struct qr_read_item items[QR_READ_ITEMS];
	struct qr_read_run runs[QR_READ_RUNS];
};

/* What happened in a window of loads. */
struct qr_share_window {
	uint64_t nr_file_loads; /* pages read from the file */
	uint64_t file_ns;       /* and the time that took */
	uint64_t nr_faults;
	uint64_t fault_ns;
	uint64_t nr_idle; /* faults on idle folios */
};

/* share.c: the pool's part of the frames. */
#define QR_SHARE_START_PERCENT 50u
struct qr_pool_share {
	uint32_t percent; /* (A) of the frames online */
	uint32_t is_busy; /* (A) somebody adjusts */
	uint32_t nr_loads; /* (A) pages loaded, modulo 2^32 */
	qr_aligned_u64 nr_file_loads; /* (A) */
	qr_aligned_u64 file_ns;       /* (A) */
	struct qr_share_window mark;  /* (is_busy) totals at the last adjustment */
};

/* kept.c: slots whose pages are in memory again. */
struct qr_kept {
	struct qr_spinlock lock; /* QR_RANK_ZPOOL */
	struct qr_sparse leaves; /* (lock) buckets */
	uint32_t mask;           /* (lock) buckets - 1; changes only while there is no entry */
	uint32_t nr;             /* (A) written under lock: entries */
	uint32_t turn;           /* (lock) which entry of a full bucket goes next */
	uint32_t cursor;         /* (lock) bucket to drop from next */
};

struct qr_swap {
	struct qr_vmm *vmm;           /* (I) */
	struct qr_swap_config config; /* (I) */
	struct qr_frame *frames;      /* (I) where this struct is */
	uint32_t order;               /* (I) of frames */
	uint32_t workspace_order;     /* (I) */
	uint32_t nr_workspaces;       /* (I) */
	uint32_t reader_order;        /* (I) */
	uint32_t nr_readers;          /* (I) 0: no file */
	uint32_t nr_skips;            /* (A) stores that leave the full pool as it is, since the file is full */
	struct qr_pool_share share;
	struct qr_slot_map slots;
	struct qr_zpool pool;
	struct qr_kept kept;
	struct qr_log log;            /* used only if config.has_file */
	struct qr_workspace workspaces[QR_MAX_WORKSPACES];
	struct qr_reader readers[QR_MAX_READERS];
};

/* workspace.c: scratch memory. A block of at least nr_bytes; address NULL when there is none. Never sleeps. */
void *qr_swap_block_alloc(struct qr_vmm *vmm, uint64_t nr_bytes, struct qr_frame **frames, uint32_t *order);
int qr_swap_scratch_init(struct qr_swap *swap) QR_WARN_UNUSED;
void qr_swap_scratch_destroy(struct qr_swap *swap);
/* After a fork, in the child: threads that held scratch memory are not there any more. */
void qr_swap_scratch_reset(struct qr_swap *swap);
struct qr_workspace *qr_workspace_take(struct qr_swap *swap);
void qr_workspace_give(struct qr_workspace *workspace);
struct qr_reader *qr_reader_take(struct qr_swap *swap);
void qr_reader_give(struct qr_reader *reader);

/* load.c: a stored page back from its stored form. workspace may be NULL for a page stored as it is. */
int qr_swap_expand(struct qr_swap *swap, const void *stored, uint32_t len_bytes, void *page,
		   struct qr_workspace *workspace) QR_WARN_UNUSED;

/* read.c: reads the items gathered in reader, expands them to pages[item.index] and unpins them. */
void qr_swap_read_items(struct qr_swap *swap, struct qr_reader *reader, void *const *pages, int *results);

/* share.c: adjusts the pool's share after so many loads; the frames that the pool may hold now. */
void qr_share_init(struct qr_swap *swap);
void qr_share_note_loads(struct qr_swap *swap, uint32_t nr_file, uint32_t nr_other, uint64_t file_ns);
uint32_t qr_share_frames(struct qr_swap *swap);

/* kept.c. Takes the slot that was kept of a page with this content, with its reference; false if there is none. */
void qr_kept_init(struct qr_kept *kept, struct qr_vmm *vmm);
void qr_kept_destroy(struct qr_kept *kept);
bool qr_kept_take(struct qr_swap *swap, const void *page, uint32_t *slot);
/* Lets go of all kept slots; false if there were none. Never sleeps. */
bool qr_kept_drop(struct qr_swap *swap);
bool qr_kept_is_valid(struct qr_swap *swap);

/* same.c: whether the page is one 64-bit word over and over; and such a page. */
bool qr_same_test(const void *page, uint64_t *word);
void qr_same_fill(void *page, uint64_t word);

#endif
