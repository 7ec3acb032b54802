/*
 * CLOCK, second chance: pages in order of arrival; one that was touched since it was looked at last goes round again
 * (Corbato, "A paging experiment with the Multics system", Project MAC 1968).
 */
#include "lru/policy_priv.h"

static void fault(struct qr_policy *policy, uint32_t entry, enum qr_policy_why why)
{
	uint32_t tail;

	(void)why;
	if (qr_policy_is_full(policy)) {
		while (policy->entries[tail = qr_policy_tail(policy, 0)].refs) {
			policy->entries[tail].refs = 0;
			qr_policy_move_head(policy, 0, tail);
		}
		qr_policy_leave(policy, tail);
	}
	qr_policy_enter(policy, 0, entry);
}

const struct qr_policy_ops qr_policy_clock = {
	.name = "clock",
	.text = "second chance for what was touched",
	.touch = qr_policy_touch_marked,
	.fault = fault,
};
