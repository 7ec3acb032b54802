/*
 * SIEVE (Zhang, Yang, Yue, Vigfusson, Rashmi, "SIEVE is simpler than LRU", NSDI 2024, algorithm 1): pages in order of
 * arrival; a hand goes from the tail to the head, clears the mark of those that were touched and leaves them where
 * they are, and takes the first without. New pages so are looked at soon, and old ones that are used stay.
 */
#include "lru/policy_priv.h"

static uint32_t find_victim(struct qr_policy *policy)
{
	uint32_t hand = policy->hands[0];

	for (;;) {
		if (hand == QR_POLICY_NONE)
			hand = qr_policy_tail(policy, 0);
		if (!policy->entries[hand].refs)
			break;
		policy->entries[hand].refs = 0;
		hand = policy->entries[hand].prev;
	}
	policy->hands[0] = policy->entries[hand].prev;
	return hand;
}

static void fault(struct qr_policy *policy, uint32_t entry, enum qr_policy_why why)
{
	(void)why;
	if (qr_policy_is_full(policy))
		qr_policy_leave(policy, find_victim(policy));
	policy->entries[entry].refs = 0;
	qr_policy_enter(policy, 0, entry);
}

const struct qr_policy_ops qr_policy_sieve = {
	.name = "sieve",
	.text = "a hand that passes over what was touched and moves nothing",
	.touch = qr_policy_touch_marked,
	.fault = fault,
};
