/*
 * S3-FIFO (Yang, Zhang, Qiu, Yue, Rashmi, "FIFO queues are all you need for cache eviction", SOSP 2023, section 4 and
 * algorithm 1): a small queue for what is new, a main one for what was touched again, and ghosts of what left the
 * small one, which go to the main one when they come back.
 */
#include "lru/policy_priv.h"

enum { SMALL, MAIN, GHOST };

/* The small queue's share and the cap of the count of touches: section 4.1. */
#define SMALL_SHARE 10u
#define MAX_REFS 3u
/* Touches in the small queue that lead to the main one: algorithm 1, line 15. */
#define MOVE_REFS 2u

static uint32_t nr_ghosts(uint32_t capacity)
{
	return capacity - capacity / SMALL_SHARE;
}

static void touch(struct qr_policy *policy, uint32_t entry)
{
	struct qr_policy_entry *own = &policy->entries[entry];

	own->refs = (uint8_t)QR_MIN(own->refs + 1u, MAX_REFS);
}

static void add_ghost(struct qr_policy *policy, uint32_t entry)
{
	if (policy->lists[GHOST].nr >= nr_ghosts(policy->capacity))
		qr_policy_forget(policy, qr_policy_tail(policy, GHOST));
	qr_policy_add_head(policy, GHOST, entry);
}

/* False if all that is there went to the main queue. */
static bool evict_small(struct qr_policy *policy)
{
	uint32_t tail;

	while ((tail = qr_policy_tail(policy, SMALL)) != QR_POLICY_NONE) {
		bool has_moved = policy->entries[tail].refs >= MOVE_REFS;

		policy->entries[tail].refs = 0;
		if (!has_moved) {
			qr_policy_leave(policy, tail);
			add_ghost(policy, tail);
			return true;
		}
		qr_policy_move_head(policy, MAIN, tail);
	}
	return false;
}

static void evict_main(struct qr_policy *policy)
{
	uint32_t tail;

	while (policy->entries[tail = qr_policy_tail(policy, MAIN)].refs) {
		policy->entries[tail].refs--;
		qr_policy_move_head(policy, MAIN, tail);
	}
	qr_policy_leave(policy, tail);
}

static void fault(struct qr_policy *policy, uint32_t entry, enum qr_policy_why why)
{
	/* Taken off first: making room may drop ghosts. */
	if (qr_policy_is_on(policy, GHOST, entry))
		qr_policy_take(policy, entry);
	if (qr_policy_is_full(policy)) {
		bool is_small = policy->lists[SMALL].nr >= QR_MAX(policy->capacity / SMALL_SHARE, 1u);

		if ((!is_small && policy->lists[MAIN].nr) || !evict_small(policy))
			evict_main(policy);
	}
	policy->entries[entry].refs = 0;
	qr_policy_enter(policy, why == QR_POLICY_NEW ? SMALL : MAIN, entry);
}

const struct qr_policy_ops qr_policy_s3fifo = {
	.name = "s3-fifo",
	.text = "small queue, main queue and ghosts",
	.nr_ghosts = nr_ghosts,
	.touch = touch,
	.fault = fault,
};
