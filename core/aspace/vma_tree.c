/*
 * The VMA tree: lookups and changes. See vma_tree.h for the idea, vma_node.c for what happens inside a node.
 *
 * Algorithm: B+ tree with copy-on-write paths (O. Rodeh, "B-trees, Shadowing, and Clones", ACM Transactions on
 * Storage 3(4), 2008): on the way down full nodes are split and minimal ones refilled before they are entered, so
 * that no change runs back up.
 *
 * Locks: changes under aspace->lock; qr_vma_tree_find() also under RCU alone.
 */
#include "aspace/vma_node.h"

/* 7-fold growth per level beyond the root: more entries than 48-bit addresses have pages. */
#define MAX_DEPTH 16u

/* The way from the root to a leaf: the entry taken in each inner node. */
struct path {
	unsigned nr;
	struct {
		struct qr_vma_node *node;
		unsigned at;
	} steps[MAX_DEPTH];
};

static struct qr_vma_node *own_root(struct qr_vma_tree *tree);
static void path_push(struct path *path, struct qr_vma_node *node, unsigned at);
static void path_refresh(const struct path *path);

int qr_vma_tree_create(struct qr_vmm *vmm, struct qr_vma_tree **out)
{
	struct qr_vma_tree *tree = qr_kmalloc(vmm, sizeof(*tree), QR_GFP_KERNEL);

	if (!tree)
		return QR_ENOMEM;
	*tree = (struct qr_vma_tree){.vmm = vmm};
	*out = tree;
	return 0;
}

static void free_subtree(struct qr_vma_tree *tree, struct qr_vma_node *node)
{
	for (unsigned i = 0; node->level > 0 && i < node->nr; i++)
		free_subtree(tree, node->child[i]);
	qr_kfree(tree->vmm, node);
}

void qr_vma_tree_destroy(struct qr_vma_tree *tree)
{
	qr_vma_tree_reap(tree);
	if (tree->root)
		free_subtree(tree, tree->root);
	qr_kfree(tree->vmm, tree);
}

struct qr_vma *qr_vma_tree_find(struct qr_vma_tree *tree, uint64_t va)
{
	/* Acquire pairs with the release in qr_vma_tree_publish: all nodes below are written. */
	struct qr_vma_node *node = qr_load_acquire(&tree->root);

	while (node) {
		unsigned at = qr_vma_node_position(node, va);

		if (at == node->nr)
			return NULL;
		if (node->level == 0)
			return node->child[at];
		node = node->child[at];
	}
	return NULL;
}

struct qr_vma *qr_vma_tree_find_before(struct qr_vma_tree *tree, uint64_t va)
{
	struct qr_vma_node *node = tree->root;

	while (node) {
		unsigned at = node->nr;

		while (at > 0 && node->lo[at - 1] >= va)
			at--;
		if (at == 0)
			return NULL;
		if (node->level == 0)
			return node->child[at - 1];
		node = node->child[at - 1];
	}
	return NULL;
}

void qr_vma_tree_begin(struct qr_vma_tree *tree)
{
	QR_ASSERT(!tree->fresh && !tree->replaced);
	tree->draft = tree->root;
}

/* The child of an inner node under which an entry that starts at va belongs. */
static unsigned child_for(const struct qr_vma_node *node, uint64_t va)
{
	unsigned at = qr_vma_node_position(node, va);

	return QR_MIN(at, node->nr - 1u);
}

/* Room in the root for one more entry: a full one becomes the child of a new one and is split. */
static int make_room_in_root(struct qr_vma_tree *tree)
{
	struct qr_vma_node *root;

	if (tree->draft->nr < QR_VMA_TREE_FANOUT)
		return 0;
	root = qr_vma_node_new(tree, tree->draft->level + 1u);
	if (!root)
		return QR_ENOMEM;
	root->nr = 1;
	root->child[0] = tree->draft;
	qr_vma_node_refresh(root, 0);
	if (qr_vma_node_split_child(tree, root, 0)) {
		qr_vma_node_discard(tree, root);
		return QR_ENOMEM;
	}
	tree->draft = root;
	return 0;
}

int qr_vma_tree_insert(struct qr_vma_tree *tree, struct qr_vma *vma, uint64_t start, uint64_t end)
{
	struct path path = {.nr = 0};
	struct qr_vma_node *node;

	if (!tree->draft) {
		tree->draft = qr_vma_node_new(tree, 0);
		if (!tree->draft)
			return QR_ENOMEM;
		qr_vma_node_insert(tree->draft, 0, vma, start, end);
		return 0;
	}
	if (!own_root(tree) || make_room_in_root(tree))
		return QR_ENOMEM;
	for (node = tree->draft; node->level > 0;) {
		unsigned at = child_for(node, start);
		struct qr_vma_node *child = qr_vma_node_own_child(tree, node, at);

		if (!child)
			return QR_ENOMEM;
		if (child->nr == QR_VMA_TREE_FANOUT) {
			if (qr_vma_node_split_child(tree, node, at))
				return QR_ENOMEM;
			at += node->hi[at] <= start;
		}
		path_push(&path, node, at);
		node = node->child[at];
	}
	qr_vma_node_insert(node, qr_vma_node_position(node, start), vma, start, end);
	path_refresh(&path);
	return 0;
}

/* While the root has a single child, that child is the root. */
static bool collapse_root(struct qr_vma_tree *tree)
{
	struct qr_vma_node *root = tree->draft;

	if (root->level == 0 || root->nr > 1)
		return false;
	tree->draft = root->child[0];
	qr_vma_node_discard(tree, root);
	return true;
}

int qr_vma_tree_erase(struct qr_vma_tree *tree, uint64_t start)
{
	struct path path = {.nr = 0};
	struct qr_vma_node *node = own_root(tree);
	unsigned at;

	if (!node)
		return QR_ENOMEM;
	while (node->level > 0) {
		struct qr_vma_node *child;

		at = child_for(node, start);
		child = qr_vma_node_own_child(tree, node, at);
		if (!child || (child->nr <= QR_VMA_NODE_MIN && qr_vma_node_refill_child(tree, node, &at)))
			return QR_ENOMEM;
		if (!collapse_root(tree))
			path_push(&path, node, at);
		node = node->child[at];
	}
	at = qr_vma_node_position(node, start);
	QR_BUG_ON(at == node->nr || node->lo[at] != start);
	qr_vma_node_remove(node, at);
	if (node->nr == 0) {
		qr_vma_node_discard(tree, node);
		tree->draft = NULL;
	}
	path_refresh(&path);
	return 0;
}

int qr_vma_tree_replace(struct qr_vma_tree *tree, uint64_t old_start, struct qr_vma *vma, uint64_t start, uint64_t end)
{
	struct path path = {.nr = 0};
	struct qr_vma_node *node = own_root(tree);
	unsigned at;

	while (node && node->level > 0) {
		at = child_for(node, old_start);
		path_push(&path, node, at);
		node = qr_vma_node_own_child(tree, node, at);
	}
	if (!node)
		return QR_ENOMEM;
	at = qr_vma_node_position(node, old_start);
	QR_BUG_ON(at == node->nr || node->lo[at] != old_start);
	node->lo[at] = start;
	node->hi[at] = end;
	node->child[at] = vma;
	path_refresh(&path);
	return 0;
}

static struct qr_vma_node *own_root(struct qr_vma_tree *tree)
{
	struct qr_vma_node *root = tree->draft ? qr_vma_node_own(tree, tree->draft) : NULL;

	if (root)
		tree->draft = root;
	return root;
}

static void path_push(struct path *path, struct qr_vma_node *node, unsigned at)
{
	QR_BUG_ON(path->nr == MAX_DEPTH);
	path->steps[path->nr].node = node;
	path->steps[path->nr++].at = at;
}

/* Brings bounds and gaps up to date after a change at the end of the path. */
static void path_refresh(const struct path *path)
{
	for (unsigned i = path->nr; i-- > 0;)
		qr_vma_node_refresh(path->steps[i].node, path->steps[i].at);
}

void qr_vma_tree_publish(struct qr_vma_tree *tree)
{
	struct qr_vma_node *node, *next;

	for (node = tree->fresh; node; node = next) {
		next = node->next;
		node->is_fresh = false;
		if (node->is_dead)
			qr_kfree(tree->vmm, node);
	}
	tree->fresh = NULL;
	/* Release pairs with the acquire in qr_vma_tree_find. */
	qr_store_release(&tree->root, tree->draft);
	for (node = tree->replaced; node; node = next) {
		next = node->next;
		node->next = tree->retired;
		tree->retired = node;
		tree->nr_retired++;
	}
	tree->replaced = NULL;
}

void qr_vma_tree_abort(struct qr_vma_tree *tree)
{
	struct qr_vma_node *next;

	for (struct qr_vma_node *node = tree->fresh; node; node = next) {
		next = node->next;
		qr_kfree(tree->vmm, node);
	}
	tree->fresh = NULL;
	tree->replaced = NULL;
	tree->draft = tree->root;
}

void qr_vma_tree_reap(struct qr_vma_tree *tree)
{
	struct qr_vma_node *next;

	for (struct qr_vma_node *node = tree->retired; node; node = next) {
		next = node->next;
		qr_kfree(tree->vmm, node);
	}
	tree->retired = NULL;
	tree->nr_retired = 0;
}
