/* Shared by lru.c and lruvec.c: which lruvec a folio is on, and on which of its lists. */
#ifndef QR_CORE_LRU_PRIV_H
#define QR_CORE_LRU_PRIV_H

#include "alloc/nodes.h"
#include "lru/lru.h"

#define QR_LRU_LIST_FLAGS (QR_FOLIO_LRU | QR_FOLIO_ACTIVE | QR_FOLIO_LRU_PROTECTED | QR_FOLIO_LRU_UNEVICTABLE)

/* The flags that say that a folio is on that list. */
static inline uint32_t qr_lru_list_flags(enum qr_lru_list list)
{
	if (list == QR_LRU_UNEVICTABLE)
		return QR_FOLIO_LRU | QR_FOLIO_LRU_UNEVICTABLE;
	if (list == QR_LRU_PROTECTED)
		return QR_FOLIO_LRU | QR_FOLIO_LRU_PROTECTED;
	return list == QR_LRU_ACTIVE ? QR_FOLIO_LRU | QR_FOLIO_ACTIVE : QR_FOLIO_LRU;
}

/* The lruvecs [nr_vecs] of a group. */
static inline struct qr_lruvec *qr_lru_set_of(const struct qr_lru *lru, uint32_t group)
{
	/* Acquire pairs with the release in qr_lru_add_group(). */
	return group ? qr_load_acquire(&lru->sets[group]) : lru->vecs;
}

/* The lruvec of a folio that is on a list, or was. */
static inline struct qr_lruvec *qr_lru_vec_of(const struct qr_lru *lru, const struct qr_frame *folio)
{
	uint32_t flags = qr_load_relaxed(&folio->flags);
	uint32_t number = (flags & QR_FOLIO_LRUVEC_MASK) >> QR_FOLIO_LRUVEC_SHIFT;

	return qr_lru_set_of(lru, number >> lru->vec_bits) + (number & ((1u << lru->vec_bits) - 1));
}

/* The groups [*start, *end) of a target, which is NULL for all. */
static inline void qr_lru_groups_of(const struct qr_lru *lru, const struct qr_lru_target *target, uint32_t *start,
				    uint32_t *end)
{
	*start = 0;
	*end = qr_load_acquire(&lru->nr_groups);
	if (target && target->group != QR_LRU_ALL_GROUPS && lru->sets) {
		*start = target->group;
		*end = target->group + 1;
	}
}

/* The places [*start, *end) of a target's lruvecs in each set. */
static inline void qr_lru_vecs_of(const struct qr_lru *lru, const struct qr_lru_target *target, uint32_t *start,
				  uint32_t *end)
{
	const struct qr_node *node;

	*start = 0;
	*end = lru->nr_vecs;
	if (!target || !target->node || !lru->nodes)
		return;
	node = &lru->nodes->nodes[target->node - 1];
	*start = lru->nr_vecs_per_node ? (target->node - 1) * lru->nr_vecs_per_node : node->first_zone;
	*end = *start + (lru->nr_vecs_per_node ? lru->nr_vecs_per_node : node->nr_zones);
}

#endif
