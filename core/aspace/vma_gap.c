/* The VMA tree's search for a gap, and its check. Locks: aspace->lock. */
#include "aspace/vma_node.h"

/* A walk over all VMAs in order that leaves out subtrees without a gap of nr bytes. */
struct gap_walk {
	const struct qr_vma_gap *gap;
	uint64_t worthwhile; /* subtrees are entered for gaps of that many bytes */
	uint64_t end;        /* of the last VMA passed */
	uint64_t va;         /* result */
};

static bool walk_node(struct gap_walk *walk, const struct qr_vma_node *node);
static bool try_gap(struct gap_walk *walk, uint64_t next_start);

static int find_gap(struct qr_vma_tree *tree, const struct qr_vma_gap *gap, uint64_t worthwhile, uint64_t *va)
{
	struct gap_walk walk = {.gap = gap, .worthwhile = worthwhile, .end = 0};

	if (!(tree->root && walk_node(&walk, tree->root)) && !try_gap(&walk, gap->limit))
		return QR_ENOMEM;
	*va = walk.va;
	return 0;
}

int qr_vma_tree_find_gap(struct qr_vma_tree *tree, const struct qr_vma_gap *gap, uint64_t *va)
{
	/* In a gap of this size every address has room for one that is aligned. */
	uint64_t sure = gap->len_bytes + gap->align - QR_PAGE_SIZE;

	if (sure > gap->len_bytes && find_gap(tree, gap, sure, va) == 0)
		return 0;
	return find_gap(tree, gap, gap->len_bytes, va);
}

/* True when the gap between the last VMA passed and next_start has room. */
static bool try_gap(struct gap_walk *walk, uint64_t next_start)
{
	const struct qr_vma_gap *gap = walk->gap;
	uint64_t low = QR_MAX(walk->end, gap->floor);
	uint64_t limit = QR_MIN(next_start, gap->limit);
	uint64_t va = QR_ALIGN_DOWN(low, gap->align) + gap->offset;

	if (va < low)
		va += gap->align;
	if (va < low || va > limit || limit - va < gap->len_bytes)
		return false;
	walk->va = va;
	return true;
}

static bool walk_node(struct gap_walk *walk, const struct qr_vma_node *node)
{
	for (unsigned i = 0; i < node->nr; i++) {
		if (node->hi[i] > walk->gap->floor) {
			if (try_gap(walk, node->lo[i]))
				return true;
			walk->end = node->lo[i];
			if (node->gap[i] >= walk->worthwhile && walk_node(walk, node->child[i]))
				return true;
		}
		walk->end = node->hi[i];
	}
	return false;
}

static bool leaf_is_valid(const struct qr_vma_node *leaf)
{
	for (unsigned i = 0; i < leaf->nr; i++) {
		const struct qr_vma *vma = leaf->child[i];

		if (vma->start != leaf->lo[i] || vma->end != leaf->hi[i] || leaf->gap[i] != 0)
			return false;
	}
	return true;
}

static bool node_is_valid(const struct qr_vma_node *node, bool is_root)
{
	if (node->is_fresh || node->nr > QR_VMA_TREE_FANOUT || node->nr < (is_root ? 1 : QR_VMA_NODE_MIN))
		return false;
	for (unsigned i = 0; i < node->nr; i++) {
		if (node->lo[i] >= node->hi[i] || (i > 0 && node->lo[i] < node->hi[i - 1]))
			return false;
	}
	if (node->level == 0)
		return leaf_is_valid(node);
	if (node->nr < 2)
		return false;
	for (unsigned i = 0; i < node->nr; i++) {
		const struct qr_vma_node *child = node->child[i];
		struct qr_vma_node fresh = {.child = {node->child[i]}};

		qr_vma_node_refresh(&fresh, 0);
		if (child->level + 1 != node->level || fresh.lo[0] != node->lo[i] || fresh.hi[0] != node->hi[i] ||
		    fresh.gap[0] != node->gap[i] || !node_is_valid(child, false))
			return false;
	}
	return true;
}

bool qr_vma_tree_is_valid(struct qr_vma_tree *tree)
{
	return !tree->fresh && !tree->replaced && (!tree->root || node_is_valid(tree->root, true));
}
