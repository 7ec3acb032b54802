/*
 * The lruvecs of a manager: how many there are, those of groups, counts and validity.
 *
 * A group's lruvecs stay when it goes, for the next one of its number: a folio's flags always name lists that exist.
 *
 * Locks: lruvec (QR_RANK_LRU); counts are read without.
 */
#include "lru/lru_priv.h"

uint32_t qr_lru_nr_vecs(uint32_t nr_cpus_per_vec)
{
	uint32_t nr_cpus = qr_port_nr_cpus();

	return nr_cpus_per_vec ? QR_MIN((nr_cpus - 1) / nr_cpus_per_vec + 1, QR_MAX_LRUVECS) : 1;
}

static void init_vecs(struct qr_lruvec *vecs, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		memset(&vecs[i], 0, sizeof(vecs[i]));
		qr_spin_init(&vecs[i].lock, QR_RANK_LRU);
		for (unsigned list = 0; list < QR_NR_LRU_LISTS; list++)
			qr_frame_list_init(&vecs[i].lists[list]);
	}
}

void qr_lru_init(struct qr_lru *lru, struct qr_zone *zone, struct qr_lruvec *vecs, uint32_t nr_cpus_per_vec,
		 struct qr_lru_batch *batches, uint32_t nr_batches)
{
	lru->zone = zone;
	lru->vecs = vecs;
	lru->nr_vecs = qr_lru_nr_vecs(nr_cpus_per_vec);
	lru->nr_cpus_per_vec = nr_cpus_per_vec ? nr_cpus_per_vec : UINT32_MAX;
	lru->batches = batches;
	lru->nr_batches = nr_batches;
	lru->vec_bits = lru->nr_vecs > 1 ? qr_log2_u64(lru->nr_vecs - 1) + 1 : 0;
	lru->nr_groups = 1;
	lru->sets = NULL;
	lru->nodes = NULL;
	lru->nr_vecs_per_node = 0;
	init_vecs(vecs, lru->nr_vecs);
	for (uint32_t cpu = 0; cpu < nr_batches; cpu++) {
		qr_spin_init(&batches[cpu].lock, QR_RANK_LRU_CPU);
		batches[cpu].nr = 0;
	}
}

void qr_lru_init_nodes(struct qr_lru *lru, const struct qr_nodes *nodes, uint32_t nr_vecs_per_node)
{
	lru->nodes = nodes;
	lru->nr_vecs_per_node = nr_vecs_per_node;
	lru->nr_vecs = nr_vecs_per_node ? nr_vecs_per_node * nodes->nr_nodes : nodes->nr_zones;
	lru->nr_cpus_per_vec = nr_vecs_per_node ? QR_MAX(1u, nodes->nr_cpus_per_node / nr_vecs_per_node) : UINT32_MAX;
	lru->vec_bits = lru->nr_vecs > 1 ? qr_log2_u64(lru->nr_vecs - 1) + 1 : 0;
	init_vecs(lru->vecs, lru->nr_vecs);
}

void qr_lru_init_groups(struct qr_lru *lru, struct qr_lruvec **sets)
{
	lru->sets = sets;
	sets[0] = lru->vecs;
}

uint32_t qr_lru_max_groups(const struct qr_lru *lru)
{
	return 1u << (QR_FOLIO_LRUVEC_BITS - lru->vec_bits);
}

void qr_lru_add_group(struct qr_lru *lru, struct qr_lruvec *vecs)
{
	QR_BUG_ON(!lru->sets || lru->nr_groups >= qr_lru_max_groups(lru));
	init_vecs(vecs, lru->nr_vecs);
	/* Release pairs with the acquires in lru_priv.h: who knows the group sees its lists whole. */
	qr_store_release(&lru->sets[lru->nr_groups], vecs);
	qr_store_release(&lru->nr_groups, lru->nr_groups + 1);
}

void qr_lru_set_group(const struct qr_lru *lru, struct qr_frame *folio, uint32_t group)
{
	uint32_t flags = qr_load_relaxed(&folio->flags) & ~QR_FOLIO_LRUVEC_MASK;

	if (lru->sets)
		qr_store_relaxed(&folio->flags, flags | group << (QR_FOLIO_LRUVEC_SHIFT + lru->vec_bits));
}

/* ---- Counts ---- */

uint64_t qr_lru_nr_pages(const struct qr_lru *lru, enum qr_lru_list list)
{
	return qr_lru_nr_pages_of(lru, NULL, list);
}

uint64_t qr_lru_nr_pages_of(const struct qr_lru *lru, const struct qr_lru_target *target, enum qr_lru_list list)
{
	uint64_t sum = 0;
	uint32_t group, end, first_vec, end_vec;

	qr_lru_vecs_of(lru, target, &first_vec, &end_vec);
	for (qr_lru_groups_of(lru, target, &group, &end); group < end; group++) {
		const struct qr_lruvec *vecs = qr_lru_set_of(lru, group);

		for (uint32_t i = first_vec; i < end_vec; i++)
			sum += qr_load_relaxed(&vecs[i].nr_pages[list]);
	}
	return sum;
}

uint64_t qr_lru_nr_lock_takes(const struct qr_lru *lru)
{
	uint64_t sum = 0;
	uint32_t group, end;

	for (qr_lru_groups_of(lru, NULL, &group, &end); group < end; group++) {
		const struct qr_lruvec *vecs = qr_lru_set_of(lru, group);

		for (uint32_t i = 0; i < lru->nr_vecs; i++)
			sum += qr_load_relaxed(&vecs[i].nr_lock_takes);
	}
	return sum;
}

uint64_t qr_lru_nr_lock_waits(const struct qr_lru *lru)
{
	uint64_t sum = 0;
	uint32_t group, end;

	for (qr_lru_groups_of(lru, NULL, &group, &end); group < end; group++) {
		const struct qr_lruvec *vecs = qr_lru_set_of(lru, group);

		for (uint32_t i = 0; i < lru->nr_vecs; i++)
			sum += qr_load_relaxed(&vecs[i].nr_lock_waits);
	}
	return sum;
}

/* ---- Validity ---- */

/* holds: lruvec */
static bool list_is_valid_locked(struct qr_lru *lru, struct qr_lruvec *vec, enum qr_lru_list list)
{
	const struct qr_frame *folio;
	uint64_t nr_pages = 0;
	uint32_t next;

	if (!qr_frame_list_is_valid(lru->zone, &vec->lists[list]))
		return false;
	for (next = vec->lists[list].head; next != QR_PFN_NONE; next = folio->next) {
		folio = qr_zone_frame(lru->zone, next);
		if (qr_frame_kind(folio) != QR_FRAME_FOLIO || qr_lru_vec_of(lru, folio) != vec)
			return false;
		if ((qr_load_relaxed(&folio->flags) & QR_LRU_LIST_FLAGS) != qr_lru_list_flags(list))
			return false;
		nr_pages += qr_folio_nr_pages(folio);
	}
	return nr_pages == vec->nr_pages[list];
}

static bool vec_is_valid(struct qr_lru *lru, struct qr_lruvec *vec)
{
	bool is_valid = true;

	qr_spin_lock(&vec->lock);
	for (unsigned list = 0; list < QR_NR_LRU_LISTS; list++)
		is_valid = is_valid && list_is_valid_locked(lru, vec, (enum qr_lru_list)list);
	qr_spin_unlock(&vec->lock);
	return is_valid;
}

bool qr_lru_is_valid(struct qr_lru *lru)
{
	bool is_valid = true;
	uint32_t group, end;

	for (qr_lru_groups_of(lru, NULL, &group, &end); group < end; group++)
		for (uint32_t i = 0; i < lru->nr_vecs; i++)
			is_valid = is_valid && vec_is_valid(lru, &qr_lru_set_of(lru, group)[i]);
	return is_valid;
}
