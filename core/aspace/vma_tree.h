/*
 * The tree of an address space's VMAs: a B+ tree whose published nodes never change.
 *
 * A change is made on a draft: nodes on the way are copied, the draft's own nodes are changed in place, and the new
 * root is published at once. So readers see the tree before or after a whole operation, whatever number of VMAs it
 * touched, and a draft that cannot be completed is dropped without a trace.
 *
 * Each entry has the bounds of its VMA or subtree and the largest gap inside, so that a gap is found in O(log n).
 *
 * Lock legend: (M) aspace->lock  (A) atomic  (I) immutable once published
 */
#ifndef QR_CORE_VMA_TREE_H
#define QR_CORE_VMA_TREE_H

#include "aspace/aspace.h"

/* Largest fan-out for which a node fits in 512 bytes on 64-bit machines; the search reads hi alone: 2 cache lines. */
#define QR_VMA_TREE_FANOUT 15u

struct qr_vma_node {
	uint16_t nr;    /* (I) entries */
	uint8_t level;  /* (I) 0: leaf */
	bool is_fresh;  /* (M) belongs to the draft */
	bool is_dead;   /* (M) the draft made it and does without it */
	struct qr_vma_node *next; /* (M) fresh, replaced or retired nodes */
	uint64_t hi[QR_VMA_TREE_FANOUT];  /* (I) end of the entry's last VMA */
	uint64_t lo[QR_VMA_TREE_FANOUT];  /* (I) start of its first */
	uint64_t gap[QR_VMA_TREE_FANOUT]; /* (I) largest gap between two VMAs of the subtree; 0 in leaves */
	void *child[QR_VMA_TREE_FANOUT];  /* (I) struct qr_vma_node, in leaves struct qr_vma */
};

struct qr_vma_tree {
	struct qr_vmm *vmm;           /* (I) */
	struct qr_vma_node *root;     /* (A) published; NULL: empty */
	struct qr_vma_node *draft;    /* (M) root of the draft */
	struct qr_vma_node *fresh;    /* (M) all nodes that the draft made */
	struct qr_vma_node *replaced; /* (M) published nodes that the draft does without */
	struct qr_vma_node *retired;  /* (M) wait for a grace period */
	uint32_t nr_retired;          /* (M) */
};

/* A request for room: the lowest va >= floor with va mod align == offset, so that [va, va + len) is free and
 * below limit. align is a power of two, offset < align, both multiples of the page size. */
struct qr_vma_gap {
	uint64_t floor;
	uint64_t limit;
	uint64_t len_bytes;
	uint64_t align;
	uint64_t offset;
};

int qr_vma_tree_create(struct qr_vmm *vmm, struct qr_vma_tree **tree) QR_WARN_UNUSED;
/* Frees the nodes, not the VMAs. No reader is left. */
void qr_vma_tree_destroy(struct qr_vma_tree *tree);

/* The VMA that holds va, or the next one above it, in the published tree; NULL if none. The caller holds
 * aspace->lock, or is in an RCU read section and looks at the VMA's bounds again under its lock. O(log n). */
struct qr_vma *qr_vma_tree_find(struct qr_vma_tree *tree, uint64_t va);

/* ---- The caller holds aspace->lock. ---- */

/* The last VMA that starts below va; NULL if none. */
struct qr_vma *qr_vma_tree_find_before(struct qr_vma_tree *tree, uint64_t va);
/* Looks in the published tree. Where alignment asks for more than a page, a gap that surely has room may be taken
 * before a lower one that might. QR_ENOMEM when there is none. O(log n) for page alignment. */
int qr_vma_tree_find_gap(struct qr_vma_tree *tree, const struct qr_vma_gap *gap, uint64_t *va) QR_WARN_UNUSED;

/* Begins a draft, equal to the published tree. */
void qr_vma_tree_begin(struct qr_vma_tree *tree);
/* Changes of the draft; bounds are given apart from the VMA, since it may change only later. On QR_ENOMEM the draft
 * is whole, without that change. May sleep and reclaim. O(log n). */
int qr_vma_tree_insert(struct qr_vma_tree *tree, struct qr_vma *vma, uint64_t start, uint64_t end) QR_WARN_UNUSED;
int qr_vma_tree_erase(struct qr_vma_tree *tree, uint64_t start) QR_WARN_UNUSED;
/* Gives the entry that starts at old_start another VMA and other bounds; its neighbours stay its neighbours. */
int qr_vma_tree_replace(struct qr_vma_tree *tree, uint64_t old_start, struct qr_vma *vma, uint64_t start,
			uint64_t end) QR_WARN_UNUSED;
/* Ends the draft: makes it the tree, or drops it. Neither can fail. */
void qr_vma_tree_publish(struct qr_vma_tree *tree);
void qr_vma_tree_abort(struct qr_vma_tree *tree);

/* Frees the retired nodes. A grace period has passed since the last publication. */
void qr_vma_tree_reap(struct qr_vma_tree *tree);

/* O(n). Sorted, disjoint, balanced, bounds and gaps right, VMAs as their entries say; no draft is open. */
bool qr_vma_tree_is_valid(struct qr_vma_tree *tree);

#endif
