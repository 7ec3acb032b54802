/* Nodes of the VMA tree: making, copying, splitting, merging. Locks: aspace->lock. */
#include "aspace/vma_node.h"

struct qr_vma_node *qr_vma_node_new(struct qr_vma_tree *tree, unsigned level)
{
	/* Unmapping frees memory, so it may dig deeper than others to get its few nodes. */
	struct qr_vma_node *node = qr_kmalloc(tree->vmm, sizeof(*node), QR_GFP_KERNEL | QR_GFP_HIGH);

	if (!node)
		return NULL;
	node->nr = 0;
	node->level = (uint8_t)level;
	node->is_fresh = true;
	node->is_dead = false;
	node->next = tree->fresh;
	tree->fresh = node;
	return node;
}

/* Copies nr entries; the nodes may be the same and the ranges may overlap. */
static void move_entries(struct qr_vma_node *to, unsigned to_at, const struct qr_vma_node *from, unsigned from_at,
			 unsigned nr)
{
	memmove(&to->hi[to_at], &from->hi[from_at], nr * sizeof(to->hi[0]));
	memmove(&to->lo[to_at], &from->lo[from_at], nr * sizeof(to->lo[0]));
	memmove(&to->gap[to_at], &from->gap[from_at], nr * sizeof(to->gap[0]));
	memmove(&to->child[to_at], &from->child[from_at], nr * sizeof(to->child[0]));
}

struct qr_vma_node *qr_vma_node_own(struct qr_vma_tree *tree, struct qr_vma_node *node)
{
	struct qr_vma_node *copy;

	if (node->is_fresh)
		return node;
	copy = qr_vma_node_new(tree, node->level);
	if (!copy)
		return NULL;
	copy->nr = node->nr;
	move_entries(copy, 0, node, 0, node->nr);
	qr_vma_node_discard(tree, node);
	return copy;
}

struct qr_vma_node *qr_vma_node_own_child(struct qr_vma_tree *tree, struct qr_vma_node *parent, unsigned at)
{
	struct qr_vma_node *child = qr_vma_node_own(tree, parent->child[at]);

	if (child)
		parent->child[at] = child;
	return child;
}

void qr_vma_node_discard(struct qr_vma_tree *tree, struct qr_vma_node *node)
{
	if (node->is_fresh) {
		node->is_dead = true;
		return;
	}
	/* Still published: readers do not look at next. */
	node->next = tree->replaced;
	tree->replaced = node;
}

void qr_vma_node_insert(struct qr_vma_node *node, unsigned at, void *child, uint64_t lo, uint64_t hi)
{
	QR_ASSERT(node->is_fresh && node->nr < QR_VMA_TREE_FANOUT && at <= node->nr);
	move_entries(node, at + 1, node, at, node->nr - at);
	node->nr++;
	node->lo[at] = lo;
	node->hi[at] = hi;
	node->gap[at] = 0;
	node->child[at] = child;
}

void qr_vma_node_remove(struct qr_vma_node *node, unsigned at)
{
	QR_ASSERT(node->is_fresh && at < node->nr);
	node->nr--;
	move_entries(node, at, node, at + 1, node->nr - at);
}

void qr_vma_node_refresh(struct qr_vma_node *node, unsigned at)
{
	const struct qr_vma_node *child = node->child[at];
	uint64_t gap = child->gap[0];

	for (unsigned i = 1; i < child->nr; i++) {
		gap = QR_MAX(gap, child->gap[i]);
		gap = QR_MAX(gap, child->lo[i] - child->hi[i - 1]);
	}
	node->lo[at] = child->lo[0];
	node->hi[at] = child->hi[child->nr - 1];
	node->gap[at] = gap;
}

int qr_vma_node_split_child(struct qr_vma_tree *tree, struct qr_vma_node *parent, unsigned at)
{
	struct qr_vma_node *left = parent->child[at];
	struct qr_vma_node *right = qr_vma_node_new(tree, left->level);
	unsigned nr_left = (left->nr + 1u) / 2;

	if (!right)
		return QR_ENOMEM;
	right->nr = (uint16_t)(left->nr - nr_left);
	move_entries(right, 0, left, nr_left, right->nr);
	left->nr = (uint16_t)nr_left;
	qr_vma_node_insert(parent, at + 1, right, 0, 0);
	qr_vma_node_refresh(parent, at);
	qr_vma_node_refresh(parent, at + 1);
	return 0;
}

/* Moves the entry of a neighbour that is nearest to the child over to it. */
static void take_entry(struct qr_vma_node *child, struct qr_vma_node *neighbour, bool is_left)
{
	if (is_left) {
		move_entries(child, 1, child, 0, child->nr);
		move_entries(child, 0, neighbour, neighbour->nr - 1u, 1);
	} else {
		move_entries(child, child->nr, neighbour, 0, 1);
		move_entries(neighbour, 0, neighbour, 1, neighbour->nr - 1u);
	}
	child->nr++;
	neighbour->nr--;
}

/* Moves all entries of a neighbour, which need not be the draft's own, over to the child. */
static void take_all(struct qr_vma_node *child, const struct qr_vma_node *neighbour, bool is_left)
{
	if (is_left) {
		move_entries(child, neighbour->nr, child, 0, child->nr);
		move_entries(child, 0, neighbour, 0, neighbour->nr);
	} else {
		move_entries(child, child->nr, neighbour, 0, neighbour->nr);
	}
	child->nr = (uint16_t)(child->nr + neighbour->nr);
}

int qr_vma_node_refill_child(struct qr_vma_tree *tree, struct qr_vma_node *parent, unsigned *at)
{
	bool is_left = *at > 0;
	unsigned other = is_left ? *at - 1 : *at + 1;
	struct qr_vma_node *child = parent->child[*at];
	struct qr_vma_node *neighbour = parent->child[other];

	QR_ASSERT(child->is_fresh && other < parent->nr);
	if (neighbour->nr > QR_VMA_NODE_MIN) {
		neighbour = qr_vma_node_own_child(tree, parent, other);
		if (!neighbour)
			return QR_ENOMEM;
		take_entry(child, neighbour, is_left);
		qr_vma_node_refresh(parent, other);
	} else {
		take_all(child, neighbour, is_left);
		qr_vma_node_discard(tree, neighbour);
		qr_vma_node_remove(parent, other);
		*at -= is_left;
	}
	qr_vma_node_refresh(parent, *at);
	return 0;
}
