/* Inside the VMA tree: operations on single nodes, and the search for gaps. Changes apply to the draft's own nodes
 * (is_fresh) only; all is under aspace->lock except qr_vma_node_position(). */
#ifndef QR_CORE_VMA_NODE_H
#define QR_CORE_VMA_NODE_H

#include "aspace/vma_tree.h"
#include "vmm/vmm.h"

/* Entries of every node but the root, at least; two minimal nodes merge into one that is not full. */
#define QR_VMA_NODE_MIN 7u

/* The first entry that ends above va; nr if none. */
static inline unsigned qr_vma_node_position(const struct qr_vma_node *node, uint64_t va)
{
	unsigned at = 0;

	while (at < node->nr && node->hi[at] <= va)
		at++;
	return at;
}

/* A node of the draft; NULL when out of memory. May sleep and reclaim. */
struct qr_vma_node *qr_vma_node_new(struct qr_vma_tree *tree, unsigned level);
/* The node itself if it belongs to the draft, else a copy that does; NULL when out of memory. */
struct qr_vma_node *qr_vma_node_own(struct qr_vma_tree *tree, struct qr_vma_node *node);
/* The same for a child, which it replaces in its parent. */
struct qr_vma_node *qr_vma_node_own_child(struct qr_vma_tree *tree, struct qr_vma_node *parent, unsigned at);
/* The draft does without the node. */
void qr_vma_node_discard(struct qr_vma_tree *tree, struct qr_vma_node *node);

void qr_vma_node_insert(struct qr_vma_node *node, unsigned at, void *child, uint64_t lo, uint64_t hi);
void qr_vma_node_remove(struct qr_vma_node *node, unsigned at);
/* Takes the bounds and the largest gap of entry at from its child. */
void qr_vma_node_refresh(struct qr_vma_node *node, unsigned at);
/* Splits the full child at; the parent is not full. */
int qr_vma_node_split_child(struct qr_vma_tree *tree, struct qr_vma_node *parent, unsigned at) QR_WARN_UNUSED;
/* Gives the minimal child *at an entry of a neighbour, or merges the two; *at is where the child is then. */
int qr_vma_node_refill_child(struct qr_vma_tree *tree, struct qr_vma_node *parent, unsigned *at) QR_WARN_UNUSED;

#endif
