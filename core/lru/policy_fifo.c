/* First in, first out: the page that has been in memory longest leaves (Belady, "A study of replacement algorithms for
 * a virtual-storage computer", IBM Systems Journal 5(2), 1966, class 1). Touches do not count. */
#include "lru/policy_priv.h"

static void fault(struct qr_policy *policy, uint32_t entry, enum qr_policy_why why)
{
	(void)why;
	if (qr_policy_is_full(policy))
		qr_policy_leave(policy, qr_policy_tail(policy, 0));
	qr_policy_enter(policy, 0, entry);
}

const struct qr_policy_ops qr_policy_fifo = {
	.name = "fifo",
	.text = "first in, first out",
	.touch = qr_policy_touch_ignored,
	.fault = fault,
};
