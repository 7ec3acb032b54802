/*
 * Address spaces and their VMAs.
 *
 * Lookup is safe under RCU: the VMA tree is a copy-on-write B+ tree (core/aspace/vma_tree.[ch]) whose readers
 * take no lock; VMAs are freed after a grace period. The shape of an address space changes under aspace->lock;
 * a VMA that changes or goes is locked for writing first, so a fault that holds vma->lock for reading may rely on
 * it (V4). With the baseline of one reader-writer lock (V2) that lock, aspace->rwsem, stands for both.
 *
 * Lock legend: (I) immutable after creation  (M) aspace->lock  (V) vma->lock, writing needs M and V  (A) atomic
 *              (B) object->lock; start, end, index, prot and flags of a VMA also change under it
 */
#ifndef QR_CORE_ASPACE_H
#define QR_CORE_ASPACE_H

#include "pgtable/pgtable.h"
#include "rmap/interval.h"
#include "sync/lock.h"

struct qr_group;
struct qr_vmm;
struct qr_vma_tree;
struct qr_mmap_lock_ops;

/* What VMAs map: anonymous memory or a file. Folios name their object and an index in it, and find their
 * mappings through it (R8: object-based reverse mapping). Reference-counted by VMAs. core/rmap/object.c */
struct qr_object {
	struct qr_vmm *vmm;        /* (I) */
	uint32_t refs;             /* (A) VMAs, plus the owner of a file object */
	bool is_file;              /* (I) */
	bool is_forked;            /* (A) a VMA of it was: its pages may be shared between address spaces */
	void *file;                /* (I) the port's handle for file objects */
	struct qr_group *group;    /* (I) whose pages its folios are; NULL: in no group */
	struct qr_rwsem lock;      /* QR_RANK_OBJECT: readers walk vmas, writers change the tree */
	struct qr_interval *vmas;  /* (B) tree of their ranges of indices */
};

#define QR_VMA_LOCKED 0x1u     /* mlocked: its folios are unevictable */
#define QR_VMA_SEQUENTIAL 0x2u /* advice: MADV_SEQUENTIAL */
#define QR_VMA_RANDOM 0x4u     /* advice: MADV_RANDOM */
#define QR_VMA_NOHUGE 0x8u     /* advice: MADV_NOHUGEPAGE: folios of one page */
#define QR_VMA_HUGE 0x10u      /* advice: MADV_HUGEPAGE: folios as large as can be, from the first touch on */
#define QR_VMA_DONTFORK 0x20u
#define QR_VMA_WIPEONFORK 0x40u
#define QR_VMA_GONE 0x80000000u /* (V) unlinked: a reader that got its lock must look again */

struct qr_vma {
	uint64_t start;            /* (V) page-aligned, inclusive */
	uint64_t end;              /* (V) exclusive */
	uint32_t index;            /* (V) page index of start in the object */
	uint32_t prot;             /* (V) QR_PROT_* */
	uint32_t flags;            /* (V) QR_VMA_* */
	struct qr_aspace *aspace;  /* (I) */
	struct qr_object *object;  /* (I) */
	struct qr_interval object_link; /* (B) */
	struct qr_rwsem lock;      /* QR_RANK_VMA */
	struct qr_vma *free_next;  /* (M) waits for the grace period */
};

/* Streams of faults, to size folios and prefetch: where the next fault of a stream is expected, and how large
 * the last window was. Racy by design: a lost update costs one small window. The streams of a VMA are all in one of
 * the sets, so that CPUs that work on different VMAs do not write to the same lines. */
#define QR_NR_STREAM_SETS 16u
#define QR_NR_STREAMS 16u
struct qr_stream {
	qr_aligned_u64 next_va; /* (A) */
	uint16_t order;    /* (A) log2 of the window in pages */
	uint16_t is_continued; /* (A) a fault fell where the first window ended */
	uint32_t stamp;    /* (A) for replacement: larger is younger */
};
struct qr_stream_set {
	struct qr_stream streams[QR_NR_STREAMS];
	uint32_t clock;    /* (A) */
} QR_ALIGNED(QR_CACHE_LINE);

/* How near to each other a program's touches are: core/fault/locality.c. Racy by design. */
#define QR_LOCALITY_MAX_ORDER 4u    /* windows of up to 16 pages */
#define QR_LOCALITY_REGION_SHIFT 23 /* 8 MiB; regions share an entry by hash */
#define QR_LOCALITY_REGIONS 32u
#define QR_LOCALITY_PROBES 440u     /* so that it all fits in a frame */
struct qr_locality_class {
	uint8_t nr_probes; /* (A) */
	uint8_t nr_hits;   /* (A) of them, touched */
};
struct qr_locality_region {
	struct qr_locality_class classes[QR_LOCALITY_MAX_ORDER + 1];
};
struct qr_locality_probe {
	uint32_t tag;   /* (A) page and class; 0: none */
	uint32_t stamp; /* (A) nr_pages when it was made */
};
struct qr_locality {
	uint32_t nr_faults; /* (A) modulo 2^32 */
	uint32_t nr_pages;  /* (A) that came back from swap, modulo 2^32 */
	struct qr_locality_region regions[QR_LOCALITY_REGIONS];
	struct qr_locality_probe probes[QR_LOCALITY_PROBES];
};
_Static_assert(sizeof(struct qr_locality) <= QR_PAGE_SIZE, "one frame");

/* One share of an address space's page counts; shares are sums of differences and may be negative, modulo 2^64. */
struct qr_aspace_count {
	qr_aligned_u64 nr_resident;     /* (A) pages present or idle */
	qr_aligned_u64 nr_swapped;      /* (A) pages in swap */
} QR_ALIGNED(QR_CACHE_LINE);

struct qr_aspace {
	struct qr_vmm *vmm;             /* (I) */
	struct qr_port_space *port_space; /* (I) */
	uint64_t va_start;              /* (I) range in which qr_map() finds room */
	uint64_t va_end;                /* (I) */
	const struct qr_mmap_lock_ops *lock_ops; /* (I) QR_MMAP_LOCK_* */
	struct qr_mutex lock;           /* QR_RANK_ASPACE; QR_MMAP_LOCK_VMA */
	struct qr_rwsem rwsem;          /* QR_RANK_ASPACE; QR_MMAP_LOCK_RWSEM */
	struct qr_vma_tree *tree;       /* (M), readers by RCU */
	struct qr_pgtable pgtable;
	uint64_t nr_vmas;               /* (M) */
	uint64_t mapped_bytes;          /* (M) */
	uint64_t nr_locked;             /* (M) pages in QR_VMA_LOCKED VMAs */
	struct qr_vma *free_list;       /* (M) VMAs that are gone, until a grace period has passed */
	uint32_t nr_free_list;          /* (M) */
	struct qr_stream_set *stream_sets; /* (I) [QR_NR_STREAM_SETS] */
	struct qr_locality *locality;   /* (I) */
	uint32_t nr_counts;             /* (I) */
	struct qr_aspace_count counts[]; /* [share], chosen by CPU */
};

/* Pages that the address space has in memory, and in swap. O(shares); exact while nobody changes them. */
uint64_t qr_aspace_nr_resident(const struct qr_aspace *aspace);
uint64_t qr_aspace_nr_swapped(const struct qr_aspace *aspace);
/* Adds to both; differences may be negative, modulo 2^64. */
void qr_aspace_count(struct qr_aspace *aspace, uint64_t nr_resident, uint64_t nr_swapped);
/* The same for pages of one VMA, whose group counts what is in swap as well. */
void qr_vma_count(const struct qr_vma *vma, uint64_t nr_resident, uint64_t nr_swapped);

int qr_aspace_create(struct qr_vmm *vmm, struct qr_port_space *port_space, uint64_t va_start, uint64_t va_end,
		     struct qr_aspace **aspace) QR_WARN_UNUSED;
/* Unmaps all and frees it. No fault may be in progress. */
void qr_aspace_destroy(struct qr_aspace *aspace);

/* Makes an address space in *child with the same mappings and content; pages are shared until one side writes to them
 * (copy on write). VMAs with QR_VMA_DONTFORK are left out, those with QR_VMA_WIPEONFORK come empty, none is locked in
 * memory. child_space is empty and belongs to the child from now on, also after an error.
 * Returns 0, QR_ENOSYS where frames are exclusive (there the machine forks by itself), QR_ENOMEM or the machine's
 * error. May sleep; faults of the parent wait while their VMA is copied. O(pages). */
int qr_aspace_fork(struct qr_aspace *parent, struct qr_port_space *child_space,
		   struct qr_aspace **child) QR_WARN_UNUSED;

/* The VMA that holds va, locked for reading; NULL if none. Takes no aspace lock unless it meets a change (or with the
 * baseline's lock). May sleep. */
struct qr_vma *qr_aspace_find_locked(struct qr_aspace *aspace, uint64_t va);
/* Drops the read lock. */
void qr_vma_unlock(struct qr_vma *vma);

/* ---- Operations; va and len are page-aligned, len > 0, else QR_EINVAL. All may sleep. One file each. ---- */

#define QR_MAP_FIXED 0x1u           /* at va, replacing what is there; va must be in [va_start, va_end) */
#define QR_MAP_FIXED_NOREPLACE 0x2u /* at va or QR_EEXIST */
#define QR_MAP_LOCKED 0x4u          /* QR_VMA_LOCKED and populated */

/* Maps object (or new anonymous memory where NULL) from page index on. va: a hint unless fixed; 0 for none.
 * Chosen addresses are va_align-aligned (a power of two, at least a page). Merges with a neighbour where it can
 * (anonymous, same prot and flags, contiguous). *out_va: where. QR_ENOMEM when there is no gap or no memory. */
int qr_map(struct qr_aspace *aspace, uint64_t va, uint64_t len_bytes, uint64_t va_align, uint32_t prot, uint32_t flags,
	   struct qr_object *object, uint32_t index, uint64_t *out_va) QR_WARN_UNUSED;
/* Unmaps all of the range; holes are fine. */
int qr_unmap(struct qr_aspace *aspace, uint64_t va, uint64_t len_bytes) QR_WARN_UNUSED;
/* QR_ENOMEM when part of the range is not mapped (what was before the hole is changed, as mprotect does). */
int qr_protect(struct qr_aspace *aspace, uint64_t va, uint64_t len_bytes, uint32_t prot) QR_WARN_UNUSED;

#define QR_REMAP_MAYMOVE 0x1u
#define QR_REMAP_FIXED 0x2u /* to new_va */
/* mremap: shrinks, grows in place, or moves without copying (PTEs go idle and change place). */
int qr_remap(struct qr_aspace *aspace, uint64_t va, uint64_t old_len, uint64_t new_len, uint32_t flags, uint64_t new_va,
	     uint64_t *out_va) QR_WARN_UNUSED;

enum qr_advice {
	QR_ADVISE_NORMAL,
	QR_ADVISE_RANDOM,
	QR_ADVISE_SEQUENTIAL,
	QR_ADVISE_WILLNEED, /* brings pages back from swap */
	QR_ADVISE_DONTNEED, /* content is gone: reads as zero */
	QR_ADVISE_FREE,     /* may be gone: done as DONTNEED */
	QR_ADVISE_COLD,     /* first to be evicted */
	QR_ADVISE_PAGEOUT,  /* evict now */
	QR_ADVISE_HUGE,
	QR_ADVISE_NOHUGE,
	QR_ADVISE_DONTFORK,
	QR_ADVISE_DOFORK,
	QR_ADVISE_WIPEONFORK,
	QR_ADVISE_KEEPONFORK,
	QR_ADVISE_POPULATE,
};
int qr_advise(struct qr_aspace *aspace, uint64_t va, uint64_t len_bytes, enum qr_advice advice) QR_WARN_UNUSED;

/* mlock: marks and populates; QR_ENOMEM for a hole or when the locked pages would leave too little of the budget
 * (more than half of the frames). */
int qr_lock(struct qr_aspace *aspace, uint64_t va, uint64_t len_bytes) QR_WARN_UNUSED;
int qr_unlock(struct qr_aspace *aspace, uint64_t va, uint64_t len_bytes) QR_WARN_UNUSED;
/* mincore: out[i] is 1 where page i is in memory (present or idle). */
int qr_mincore(struct qr_aspace *aspace, uint64_t va, uint64_t len_bytes, uint8_t *out) QR_WARN_UNUSED;

/* The machine already did it behind the manager's back (an event of the port): only the record is changed, and
 * frames whose pages went away are freed. */
int qr_forget(struct qr_aspace *aspace, uint64_t va, uint64_t len_bytes, bool is_unmap) QR_WARN_UNUSED;

/* ---- Used inside core ---- */

/* Removes the pages of [start, end) of a VMA that is locked for writing (or, for advice, for reading): mapped ones
 * are unmapped, folios and slots released, PTEs become none. Returns 0, or QR_EBUSY when the machine holds on to
 * some page (it is pinned or shared); those stay as they are, the others are gone. core/aspace/zap.c */
int qr_zap_range(struct qr_vma *vma, uint64_t start, uint64_t end) QR_WARN_UNUSED;

/* The part of a folio that a VMA has in one page-table page: [va, va + nr pages) is where its pages from pfn on would
 * be, as long as nothing else took their places. core/aspace/share.c */
struct qr_folio_part {
	uint64_t va;
	uint32_t pfn;
	uint32_t nr; /* pages */
};
/* True if nobody but this page-table page has the folio that the entry of va (present or idle) names. The page-table
 * page is locked, and vma->lock, held for reading, keeps forks away. O(pages of the folio). */
bool qr_folio_is_private(struct qr_vma *vma, struct qr_frame *page, uint64_t va, struct qr_folio_part *part);
/* Whether an entry, read at page i of the part, names that page. */
bool qr_folio_part_has(const struct qr_folio_part *part, uint32_t i, qr_pte_t pte);

/* Object-based reverse mapping, core/rmap/object.c. Creates with refs 1. */
struct qr_object *qr_object_create(struct qr_vmm *vmm, bool is_file, void *file);
/* Puts an object that nothing maps yet in a group. */
void qr_object_set_group(struct qr_object *object, struct qr_group *group);
void qr_object_get(struct qr_object *object);
void qr_object_put(struct qr_object *object);
void qr_object_add_vma(struct qr_object *object, struct qr_vma *vma);
void qr_object_remove_vma(struct qr_object *object, struct qr_vma *vma);
/* The same with object->lock held for writing. */
void qr_object_add_vma_locked(struct qr_object *object, struct qr_vma *vma);
void qr_object_remove_vma_locked(struct qr_object *object, struct qr_vma *vma);
/* After its bounds or its index changed, object->lock held for writing: a VMA of the object takes its new place. One
 * that is not on the object stays so. */
void qr_object_move_vma_locked(struct qr_object *object, struct qr_vma *vma);
/* Whether the VMA is on the object, at the place that its bounds call for. */
bool qr_object_has_vma(struct qr_object *object, struct qr_vma *vma);

/* Calls visit for every VMA that covers a page of the folio, object->lock held for reading. va is the address of
 * the folio's first covered page, nr the number of pages covered, first the first covered page in the folio; the
 * pages lie in one page-table page (a VMA that has the folio across two is visited twice).
 * An index may lie in several VMAs (a file that is mapped twice, a VMA that grew where another one had moved away),
 * so visit looks at each PTE's PFN. visit may read the VMA's bounds, prot and flags and take page-table locks.
 * The folio is locked. visit returns false to stop. O(log n + found) of n VMAs. */
void qr_rmap_walk(struct qr_frame *folio,
		  bool (*visit)(struct qr_vma *vma, uint64_t va, uint32_t first, uint32_t nr, void *context),
		  void *context);

/* A consistent tree (sorted, disjoint, linked to its objects). */
bool qr_aspace_is_valid(struct qr_aspace *aspace);

#endif
