/*
 * Generations, after the multi-generational LRU of Linux as its documentation describes it
 * (admin-guide/mm/multigen_lru, mm/multigen_lru, "aging" and "eviction"): a page is in the generation that was youngest
 * when it was last seen to be used; eviction takes from the oldest; when no more than two generations are left, aging
 * opens a new one and moves all pages there that were touched.
 */
#include "lru/policy_priv.h"

/* One list per generation; aging starts when there are no more than the least. */
#define NR_GENERATIONS QR_POLICY_MAX_LISTS
#define MIN_GENERATIONS 2u

/* clock is the number of the youngest generation, clock_min that of the oldest. */
static void init(struct qr_policy *policy)
{
	policy->clock = MIN_GENERATIONS - 1;
}

static void age(struct qr_policy *policy)
{
	policy->clock++;
	for (uint32_t generation = policy->clock_min; generation != policy->clock; generation++) {
		uint32_t list = generation % NR_GENERATIONS, next;

		/* From the tail: among pages of one generation the order stays. */
		for (uint32_t i = qr_policy_tail(policy, list); i != QR_POLICY_NONE; i = next) {
			next = policy->entries[i].prev;
			if (!policy->entries[i].refs)
				continue;
			policy->entries[i].refs = 0;
			qr_policy_move_head(policy, policy->clock % NR_GENERATIONS, i);
		}
	}
}

static void make_room(struct qr_policy *policy)
{
	uint32_t tail;

	for (;;) {
		while (!policy->lists[policy->clock_min % NR_GENERATIONS].nr && policy->clock_min != policy->clock)
			policy->clock_min++;
		if (policy->clock - policy->clock_min + 1 <= MIN_GENERATIONS)
			age(policy);
		tail = qr_policy_tail(policy, policy->clock_min % NR_GENERATIONS);
		if (tail == QR_POLICY_NONE)
			continue;
		if (!policy->entries[tail].refs)
			break;
		policy->entries[tail].refs = 0;
		qr_policy_move_head(policy, policy->clock % NR_GENERATIONS, tail);
	}
	qr_policy_leave(policy, tail);
}

static void fault(struct qr_policy *policy, uint32_t entry, enum qr_policy_why why)
{
	(void)why;
	if (qr_policy_is_full(policy))
		make_room(policy);
	qr_policy_enter(policy, policy->clock % NR_GENERATIONS, entry);
}

const struct qr_policy_ops qr_policy_mglru = {
	.name = "mglru",
	.text = "generations",
	.init = init,
	.touch = qr_policy_touch_marked,
	.fault = fault,
};
