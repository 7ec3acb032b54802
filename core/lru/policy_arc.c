/*
 * ARC (Megiddo and Modha, "ARC: a self-tuning, low overhead replacement cache", FAST 2003, figure 4): pages seen once
 * (T1) and at least twice (T2), each with ghosts (B1, B2); hits on ghosts move the share of T1, the target p.
 */
#include "lru/policy_priv.h"

enum { T1, T2, B1, B2 };

static uint32_t nr_ghosts(uint32_t capacity)
{
	return capacity;
}

static void touch(struct qr_policy *policy, uint32_t entry)
{
	qr_policy_move_head(policy, T2, entry);
}

/* REPLACE of the figure. */
static void replace(struct qr_policy *policy, bool is_in_b2)
{
	uint32_t nr = policy->lists[T1].nr;
	bool is_t1 = nr && (nr > policy->target || (is_in_b2 && nr == policy->target) || !policy->lists[T2].nr);
	uint32_t tail = qr_policy_tail(policy, is_t1 ? T1 : T2);

	qr_policy_leave(policy, tail);
	qr_policy_add_head(policy, is_t1 ? B1 : B2, tail);
}

/* Cases II and III: a ghost's hit moves the target towards its side, the faster the shorter that side's list is. */
static void adapt(struct qr_policy *policy, bool is_in_b2)
{
	uint32_t nr_b1 = policy->lists[B1].nr, nr_b2 = policy->lists[B2].nr;

	if (is_in_b2)
		policy->target -= QR_MIN(policy->target, QR_MAX(nr_b1 / nr_b2, 1u));
	else
		policy->target = QR_MIN(policy->capacity, policy->target + QR_MAX(nr_b2 / nr_b1, 1u));
}

/* Case IV, and a page that was given up and touched again before its ghost existed or after it was dropped. */
static void fault_new(struct qr_policy *policy)
{
	uint32_t nr_1 = policy->lists[T1].nr + policy->lists[B1].nr;
	uint32_t nr_all = nr_1 + policy->lists[T2].nr + policy->lists[B2].nr;

	if (nr_1 >= policy->capacity) {
		if (policy->lists[B1].nr) {
			qr_policy_forget(policy, qr_policy_tail(policy, B1));
			if (qr_policy_is_full(policy))
				replace(policy, false);
		} else {
			qr_policy_leave(policy, qr_policy_tail(policy, T1));
		}
		return;
	}
	if (nr_all >= 2 * policy->capacity)
		qr_policy_forget(policy, qr_policy_tail(policy, B2));
	if (qr_policy_is_full(policy))
		replace(policy, false);
}

static void fault(struct qr_policy *policy, uint32_t entry, enum qr_policy_why why)
{
	bool is_in_b2 = qr_policy_is_on(policy, B2, entry);

	if (qr_policy_is_on(policy, B1, entry) || is_in_b2) {
		/* A page that is rescued was no mistake to give up: it cost no transfer. */
		if (why == QR_POLICY_GHOST)
			adapt(policy, is_in_b2);
		qr_policy_take(policy, entry);
		if (qr_policy_is_full(policy))
			replace(policy, is_in_b2);
	} else {
		fault_new(policy);
	}
	qr_policy_enter(policy, why == QR_POLICY_NEW ? T1 : T2, entry);
}

const struct qr_policy_ops qr_policy_arc = {
	.name = "arc",
	.text = "recency and frequency, their shares set by ghosts",
	.needs_order = true,
	.nr_ghosts = nr_ghosts,
	.touch = touch,
	.fault = fault,
};
