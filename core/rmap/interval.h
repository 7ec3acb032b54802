/*
 * Interval trees: sets of page ranges, in which those that overlap a given one are found in O(log n + found). Nodes are
 * embedded in their owners; equal ranges may be in a tree many times. The caller's lock guards the tree.
 */
#ifndef QR_CORE_INTERVAL_H
#define QR_CORE_INTERVAL_H

#include "base/base.h"

struct qr_interval {
	struct qr_interval *left, *right;
	uint32_t first;    /* of the range; not changed while the node is in a tree */
	uint32_t last;     /* inclusive; the same */
	uint32_t max_last; /* largest last of the subtree */
	uint32_t priority; /* 0: in no tree */
};

/* A tree is its root, NULL when empty. The node has its range and is in no tree; a zeroed one is in none. */
void qr_interval_insert(struct qr_interval **root, struct qr_interval *node);
/* The node is in that tree. */
void qr_interval_remove(struct qr_interval **root, struct qr_interval *node);
bool qr_interval_has(const struct qr_interval *root, const struct qr_interval *node);

static inline bool qr_interval_is_in_tree(const struct qr_interval *node)
{
	return node->priority != 0;
}

/* Calls visit for every range that has a page in [first, last], in ascending order of their first pages. visit returns
 * false to stop; then the result is false. visit does not change the tree. */
bool qr_interval_walk(const struct qr_interval *root, uint32_t first, uint32_t last,
		      bool (*visit)(const struct qr_interval *node, void *context), void *context);

/* O(n): order, priorities and bounds are right. *depth: of the tree. */
bool qr_interval_is_valid(const struct qr_interval *root, uint32_t *depth);

#endif
