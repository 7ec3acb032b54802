/*
 * Groups: making and ending them, limits, accounts, and whose turn it is to be reclaimed from.
 *
 * A group's memory is never given back while the manager lives: its number and its lists serve the next group. So a
 * reclaimer that has picked a group needs no reference; at worst it finds its lists empty.
 *
 * The pick is a lottery without luck: tickets step through the sum of all weights by the golden ratio of 2^32, which
 * spreads any number of consecutive tickets evenly (D. Knuth, The Art of Computer Programming, volume 3, section 6.4).
 */
#include "group/group_priv.h"

#define TICKET_STEP 0x9e3779b9u

static struct qr_group *reuse_group(struct qr_groups *groups);
static struct qr_group *add_group(struct qr_vmm *vmm);

void qr_groups_init(struct qr_groups *groups, struct qr_group **table)
{
	qr_mutex_init(&groups->lock, QR_RANK_NONE);
	groups->table = table;
	groups->nr = 1;
	groups->ticket = 0;
}

/* Order of the block that holds a group, its shares and its lists. */
static unsigned group_order(const struct qr_vmm *vmm, uint64_t *cpus_at, uint64_t *vecs_at)
{
	uint64_t bytes;

	*cpus_at = QR_ALIGN_UP(sizeof(struct qr_group), (uint64_t)QR_CACHE_LINE);
	*vecs_at = *cpus_at + qr_port_nr_cpus() * sizeof(struct qr_group_cpu);
	bytes = *vecs_at + vmm->lru.nr_vecs * sizeof(struct qr_lruvec);
	return bytes > QR_PAGE_SIZE ? qr_log2_u64((bytes - 1) >> QR_PAGE_SHIFT) + 1 : 0;
}

void qr_groups_destroy(struct qr_vmm *vmm)
{
	struct qr_groups *groups = &vmm->groups;
	uint64_t cpus_at, vecs_at;
	unsigned order = group_order(vmm, &cpus_at, &vecs_at);

	for (uint32_t i = 1; i < groups->nr; i++) {
		QR_ASSERT(!groups->table[i]->refs);
		qr_free_pages(vmm, qr_zone_frame_at(&vmm->zone, groups->table[i]), order);
	}
	groups->nr = 1;
}

int qr_group_create(struct qr_vmm *vmm, struct qr_group **out)
{
	struct qr_groups *groups = &vmm->groups;
	struct qr_group *group;
	int err = 0;

	qr_mutex_lock(&groups->lock);
	group = reuse_group(groups);
	if (!group && groups->nr == qr_lru_max_groups(&vmm->lru))
		err = QR_ENOSPC;
	else if (!group)
		group = add_group(vmm);
	qr_mutex_unlock(&groups->lock);
	if (err)
		return err;
	if (!group)
		return QR_ENOMEM;
	*out = group;
	return 0;
}

/* holds: groups. A group that is gone, with its accounts at zero; NULL if there is none. */
static struct qr_group *reuse_group(struct qr_groups *groups)
{
	for (uint32_t i = 1; i < groups->nr; i++) {
		struct qr_group *group = groups->table[i];

		/* Acquire pairs with qr_group_put(): what its last users did has happened. */
		if (qr_load_acquire(&group->refs))
			continue;
		(void)qr_group_drain_stocks(group);
		QR_BUG_ON(qr_load_relaxed(&group->nr_charged));
		group->nr_peak = 0;
		group->is_oom = 0;
		group->nr_max_events = 0;
		group->nr_high_events = 0;
		group->stalled_ns = 0;
		qr_store_release(&group->refs, 1);
		return group;
	}
	return NULL;
}

/* holds: groups */
static struct qr_group *add_group(struct qr_vmm *vmm)
{
	struct qr_groups *groups = &vmm->groups;
	uint64_t cpus_at, vecs_at;
	unsigned order = group_order(vmm, &cpus_at, &vecs_at);
	struct qr_frame *frame = qr_alloc_pages(vmm, order, QR_GFP_KERNEL | QR_GFP_ZERO);
	struct qr_group *group;

	if (!frame)
		return NULL;
	group = qr_zone_address(&vmm->zone, frame);
	group->vmm = vmm;
	group->number = groups->nr;
	group->refs = 1;
	group->nr_cpus = qr_port_nr_cpus();
	group->cpus = (struct qr_group_cpu *)(void *)((uint8_t *)group + cpus_at);
	group->vecs = (struct qr_lruvec *)(void *)((uint8_t *)group + vecs_at);
	group->max = QR_GROUP_NO_LIMIT;
	group->high = QR_GROUP_NO_LIMIT;
	if (vmm->lru.sets)
		qr_lru_add_group(&vmm->lru, group->vecs);
	groups->table[groups->nr] = group;
	/* Release pairs with the acquires of those who go through the table. */
	qr_store_release(&groups->nr, groups->nr + 1);
	return group;
}

int qr_group_set_limits(struct qr_group *group, const struct qr_group_limits *limits)
{
	bool has_limit = limits->max != QR_GROUP_NO_LIMIT || limits->high != QR_GROUP_NO_LIMIT || limits->low;

	if (limits->low > limits->max)
		return QR_EINVAL;
	if (has_limit && !group->vmm->lru.sets)
		return QR_ENOSYS;
	qr_store_relaxed(&group->low, limits->low);
	qr_store_relaxed(&group->high, limits->high);
	qr_store_relaxed(&group->max, limits->max);
	qr_store_relaxed(&group->is_oom, 0);
	return qr_group_shrink(group, limits->max) ? 0 : QR_EBUSY;
}

void qr_group_limits(const struct qr_group *group, struct qr_group_limits *limits)
{
	limits->max = qr_load_relaxed(&group->max);
	limits->high = qr_load_relaxed(&group->high);
	limits->low = qr_load_relaxed(&group->low);
}

void qr_group_usage(const struct qr_group *group, struct qr_group_usage *usage)
{
	uint32_t nr_pages = qr_load_relaxed(&group->nr_charged);
	uint32_t nr_swapped = 0;
	uint64_t slab_bytes = 0;

	for (uint32_t i = 0; i < group->nr_cpus; i++) {
		nr_pages -= qr_load_relaxed(&group->cpus[i].nr_stock);
		nr_swapped += qr_load_relaxed(&group->cpus[i].nr_swapped);
		slab_bytes += qr_load_relaxed(&group->cpus[i].slab_bytes);
	}
	/* A stock that moved to the shared count meanwhile was seen twice. */
	usage->nr_pages = (int32_t)nr_pages < 0 ? 0 : nr_pages;
	usage->nr_peak = qr_load_relaxed(&group->nr_peak);
	usage->nr_swapped = nr_swapped;
	usage->slab_bytes = slab_bytes;
	usage->nr_max_events = qr_load_relaxed(&group->nr_max_events);
	usage->nr_high_events = qr_load_relaxed(&group->nr_high_events);
	usage->stalled_ns = qr_load_relaxed(&group->stalled_ns);
}

void qr_group_destroy(struct qr_group *group)
{
	qr_store_relaxed(&group->low, 0);
	qr_store_relaxed(&group->high, QR_GROUP_NO_LIMIT);
	qr_store_relaxed(&group->max, QR_GROUP_NO_LIMIT);
	qr_group_put(group);
}

void qr_group_get(struct qr_group *group)
{
	QR_ASSERT(qr_load_relaxed(&group->refs) > 0);
	(void)qr_fetch_add_relaxed(&group->refs, 1);
}

void qr_group_put(struct qr_group *group)
{
	/* Release pairs with the acquire in reuse_group(). */
	uint32_t before = qr_fetch_sub(&group->refs, 1);

	QR_BUG_ON(!before);
}

/* ---- Whose turn it is ---- */

/* Pages of table entry i above its low mark. Entry 0, the memory in no group, has no mark and no count of its own. */
static uint32_t pick_weight(struct qr_vmm *vmm, uint32_t i)
{
	struct qr_lru_target target = {.group = 0};
	const struct qr_group *group;
	uint32_t nr_charged, low;

	if (!i)
		return (uint32_t)(qr_lru_nr_pages_of(&vmm->lru, &target, QR_LRU_ACTIVE) +
				  qr_lru_nr_pages_of(&vmm->lru, &target, QR_LRU_PROTECTED) +
				  qr_lru_nr_pages_of(&vmm->lru, &target, QR_LRU_INACTIVE));
	group = vmm->groups.table[i];
	nr_charged = qr_load_relaxed(&group->nr_charged);
	low = qr_load_relaxed(&group->low);
	return nr_charged > low && qr_load_relaxed(&group->refs) ? nr_charged - low : 0;
}

bool qr_group_pick(struct qr_vmm *vmm, struct qr_lru_target *target)
{
	struct qr_groups *groups = &vmm->groups;
	uint32_t nr = qr_load_acquire(&groups->nr);
	uint64_t total = 0, at;
	bool is_found = false;

	if (nr == 1 || !vmm->lru.sets)
		return false;
	for (uint32_t i = 0; i < nr; i++)
		total += pick_weight(vmm, i);
	at = (QR_MIN(total, (uint64_t)UINT32_MAX) * (qr_fetch_add_relaxed(&groups->ticket, 1) * TICKET_STEP)) >> 32;
	/* Weights may shrink meanwhile: then it is the last that has one. */
	for (uint32_t i = 0; i < nr; i++) {
		uint32_t weight = pick_weight(vmm, i);

		if (!weight)
			continue;
		target->group = i;
		is_found = true;
		if (at < weight)
			break;
		at -= weight;
	}
	return is_found;
}
