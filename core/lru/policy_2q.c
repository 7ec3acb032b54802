/*
 * 2Q, full version (Johnson and Shasha, "2Q: a low overhead high performance buffer management replacement algorithm",
 * VLDB 1994, section 3): new pages go through a FIFO queue, A1in; those that come back while they are remembered in
 * A1out go to an LRU list, Am.
 */
#include "lru/policy_priv.h"

enum { A1IN, AM, A1OUT };

/* Shares of the frames: section 3.1, Kin 25 % and Kout 50 %. */
#define IN_SHARE 4u
#define OUT_SHARE 2u

static uint32_t nr_ghosts(uint32_t capacity)
{
	return QR_MAX(capacity / OUT_SHARE, 1u);
}

static void touch(struct qr_policy *policy, uint32_t entry)
{
	if (qr_policy_is_on(policy, AM, entry))
		qr_policy_move_head(policy, AM, entry);
}

static void make_room(struct qr_policy *policy)
{
	bool is_in = policy->lists[A1IN].nr > policy->capacity / IN_SHARE || !policy->lists[AM].nr;
	uint32_t tail = qr_policy_tail(policy, is_in ? A1IN : AM);

	qr_policy_leave(policy, tail);
	if (!is_in)
		return;
	if (policy->lists[A1OUT].nr >= nr_ghosts(policy->capacity))
		qr_policy_forget(policy, qr_policy_tail(policy, A1OUT));
	qr_policy_add_head(policy, A1OUT, tail);
}

static void fault(struct qr_policy *policy, uint32_t entry, enum qr_policy_why why)
{
	if (qr_policy_is_on(policy, A1OUT, entry))
		qr_policy_take(policy, entry);
	if (qr_policy_is_full(policy))
		make_room(policy);
	qr_policy_enter(policy, why == QR_POLICY_NEW ? A1IN : AM, entry);
}

const struct qr_policy_ops qr_policy_2q = {
	.name = "2q",
	.text = "a FIFO queue for the new, an LRU list for what came back",
	.needs_order = true,
	.nr_ghosts = nr_ghosts,
	.touch = touch,
	.fault = fault,
};
