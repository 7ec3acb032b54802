/*
 * Active and inactive lists: a new page is inactive and leaves after one use; the second use makes it active. Ghosts
 * keep the time of their eviction: a page that comes back within as many evictions and activations as there are active
 * pages (its refault distance) would have stayed with a longer inactive list, and becomes active at once (Weiner,
 * "Refault distance-based file cache sizing", LWN 495543, 2012; Gorman, "Understanding the Linux Virtual Memory
 * Manager", 2004, section 10.3).
 */
#include "lru/policy_priv.h"

enum { INACTIVE, ACTIVE, GHOST };

/* Active pages per inactive one: the root of 10 times the memory in GiB, at least 1; in pages of 4 KiB. */
#define RATIO_FACTOR 10u
#define GIB_SHIFT 18u

static uint32_t nr_ghosts(uint32_t capacity)
{
	return capacity;
}

static void init(struct qr_policy *policy)
{
	uint32_t square = (policy->capacity >> GIB_SHIFT) * RATIO_FACTOR;

	policy->target = 1;
	while ((policy->target + 1) * (policy->target + 1) <= square)
		policy->target++;
}

static void activate(struct qr_policy *policy, uint32_t entry)
{
	policy->entries[entry].refs = 0;
	qr_policy_move_head(policy, ACTIVE, entry);
	policy->clock++;
}

static void touch(struct qr_policy *policy, uint32_t entry)
{
	if (qr_policy_is_on(policy, INACTIVE, entry) && policy->entries[entry].refs)
		activate(policy, entry);
	else
		policy->entries[entry].refs = 1;
}

static void shrink_active(struct qr_policy *policy)
{
	while (policy->lists[ACTIVE].nr > policy->target * policy->lists[INACTIVE].nr) {
		uint32_t tail = qr_policy_tail(policy, ACTIVE);

		policy->entries[tail].refs = 0;
		qr_policy_move_head(policy, INACTIVE, tail);
	}
}

static void make_room(struct qr_policy *policy)
{
	uint32_t tail;

	shrink_active(policy);
	tail = qr_policy_tail(policy, INACTIVE);
	qr_policy_leave(policy, tail);
	policy->entries[tail].stamp = policy->clock++;
	if (policy->lists[GHOST].nr >= nr_ghosts(policy->capacity))
		qr_policy_forget(policy, qr_policy_tail(policy, GHOST));
	qr_policy_add_head(policy, GHOST, tail);
}

static void fault(struct qr_policy *policy, uint32_t entry, enum qr_policy_why why)
{
	bool is_ghost = qr_policy_is_on(policy, GHOST, entry);
	uint32_t refault_distance = policy->clock - policy->entries[entry].stamp;
	bool is_active = why == QR_POLICY_RESCUED || (is_ghost && refault_distance <= policy->lists[ACTIVE].nr);

	if (is_ghost)
		qr_policy_take(policy, entry);
	if (qr_policy_is_full(policy))
		make_room(policy);
	policy->entries[entry].refs = 0;
	qr_policy_enter(policy, is_active ? ACTIVE : INACTIVE, entry);
	policy->clock += is_active;
}

const struct qr_policy_ops qr_policy_split = {
	.name = "split",
	.text = "active and inactive lists with refault distance",
	.nr_ghosts = nr_ghosts,
	.init = init,
	.touch = touch,
	.fault = fault,
};
