/*
 * Least recently used: the page whose last touch is oldest leaves (Mattson et al., "Evaluation techniques for storage
 * hierarchies", IBM Systems Journal 9(2), 1970, section 3). Sampled it is segmented FIFO: order of arrival, with the
 * pool as second chance.
 */
#include "lru/policy_priv.h"

static void touch(struct qr_policy *policy, uint32_t entry)
{
	qr_policy_move_head(policy, 0, entry);
}

static void fault(struct qr_policy *policy, uint32_t entry, enum qr_policy_why why)
{
	(void)why;
	if (qr_policy_is_full(policy))
		qr_policy_leave(policy, qr_policy_tail(policy, 0));
	qr_policy_enter(policy, 0, entry);
}

const struct qr_policy_ops qr_policy_lru = {
	.name = "lru",
	.text = "least recently used",
	.needs_order = true,
	.touch = touch,
	.fault = fault,
};
