/*
 * Interval trees as treaps: binary search trees by the first page, heaps by a priority that is hashed from the node's
 * address, so that the expected depth is O(log n) whatever the order of operations. Each node knows the largest last
 * page below it, so that a walk passes over subtrees that end too early.
 *
 * Sources: R. Seidel, C. Aragon, "Randomized Search Trees", Algorithmica 16 (1996); T. Cormen and others, "Introduction
 * to Algorithms", section 14.3 (interval trees). Recursion goes as deep as the tree: some 2 ln n.
 */
#include "rmap/interval.h"

static struct qr_interval *insert_below(struct qr_interval *tree, struct qr_interval *node);
static struct qr_interval *remove_below(struct qr_interval *tree, struct qr_interval *node);
static struct qr_interval *merge(struct qr_interval *left, struct qr_interval *right);

/* A total order: nodes with the same first page by address. */
static bool is_before(const struct qr_interval *node, const struct qr_interval *other)
{
	return node->first < other->first || (node->first == other->first && node < other);
}

static void refresh(struct qr_interval *node)
{
	node->max_last = node->last;
	if (node->left)
		node->max_last = QR_MAX(node->max_last, node->left->max_last);
	if (node->right)
		node->max_last = QR_MAX(node->max_last, node->right->max_last);
}

/* Not 0. The finalizer of MurmurHash3 (A. Appleby): every bit of the address counts. */
static uint32_t priority_of(const struct qr_interval *node)
{
	uint64_t bits = (uint64_t)(uintptr_t)node;

	bits ^= bits >> 33;
	bits *= 0xff51afd7ed558ccdu;
	bits ^= bits >> 33;
	bits *= 0xc4ceb9fe1a85ec53u;
	return (uint32_t)(bits >> 32) | 1;
}

void qr_interval_insert(struct qr_interval **root, struct qr_interval *node)
{
	QR_ASSERT(!qr_interval_is_in_tree(node) && node->first <= node->last);
	node->priority = priority_of(node);
	*root = insert_below(*root, node);
}

void qr_interval_remove(struct qr_interval **root, struct qr_interval *node)
{
	QR_BUG_ON(!qr_interval_is_in_tree(node));
	*root = remove_below(*root, node);
	node->left = NULL;
	node->right = NULL;
	node->priority = 0;
}

bool qr_interval_has(const struct qr_interval *root, const struct qr_interval *node)
{
	while (root && root != node)
		root = is_before(node, root) ? root->left : root->right;
	return root != NULL;
}

bool qr_interval_walk(const struct qr_interval *root, uint32_t first, uint32_t last,
		      bool (*visit)(const struct qr_interval *node, void *context), void *context)
{
	for (; root && root->max_last >= first; root = root->right) {
		if (!qr_interval_walk(root->left, first, last, visit, context))
			return false;
		if (root->first > last)
			return true;
		if (root->last >= first && !visit(root, context))
			return false;
	}
	return true;
}

/* Parts a tree into what is before the key and what is behind it. */
static void split(struct qr_interval *tree, const struct qr_interval *key, struct qr_interval **left,
		  struct qr_interval **right)
{
	if (!tree) {
		*left = NULL;
		*right = NULL;
		return;
	}
	if (is_before(tree, key)) {
		split(tree->right, key, &tree->right, right);
		*left = tree;
	} else {
		split(tree->left, key, left, &tree->left);
		*right = tree;
	}
	refresh(tree);
}

/* Returns the root of the tree with the node in it. */
static struct qr_interval *insert_below(struct qr_interval *tree, struct qr_interval *node)
{
	if (!tree || node->priority > tree->priority) {
		split(tree, node, &node->left, &node->right);
		refresh(node);
		return node;
	}
	if (is_before(node, tree))
		tree->left = insert_below(tree->left, node);
	else
		tree->right = insert_below(tree->right, node);
	refresh(tree);
	return tree;
}

static struct qr_interval *remove_below(struct qr_interval *tree, struct qr_interval *node)
{
	QR_BUG_ON(!tree);
	if (tree == node)
		return merge(tree->left, tree->right);
	if (is_before(node, tree))
		tree->left = remove_below(tree->left, node);
	else
		tree->right = remove_below(tree->right, node);
	refresh(tree);
	return tree;
}

/* All of left is before all of right. */
static struct qr_interval *merge(struct qr_interval *left, struct qr_interval *right)
{
	if (!left || !right)
		return left ? left : right;
	if (left->priority > right->priority) {
		left->right = merge(left->right, right);
		refresh(left);
		return left;
	}
	right->left = merge(left, right->left);
	refresh(right);
	return right;
}

/* Of a subtree whose nodes lie between two others, either of which may be NULL. */
static bool is_valid_between(const struct qr_interval *root, const struct qr_interval *low,
			     const struct qr_interval *high, uint32_t *depth)
{
	uint32_t left_depth, right_depth, max_last;

	*depth = 0;
	if (!root)
		return true;
	if ((low && !is_before(low, root)) || (high && !is_before(root, high)) || !qr_interval_is_in_tree(root))
		return false;
	if (!is_valid_between(root->left, low, root, &left_depth) ||
	    !is_valid_between(root->right, root, high, &right_depth))
		return false;
	max_last = root->last;
	if (root->left)
		max_last = QR_MAX(max_last, root->left->max_last);
	if (root->right)
		max_last = QR_MAX(max_last, root->right->max_last);
	*depth = 1 + QR_MAX(left_depth, right_depth);
	return root->first <= root->last && root->max_last == max_last &&
	       (!root->left || root->left->priority <= root->priority) &&
	       (!root->right || root->right->priority <= root->priority);
}

bool qr_interval_is_valid(const struct qr_interval *root, uint32_t *depth)
{
	return is_valid_between(root, NULL, NULL, depth);
}
