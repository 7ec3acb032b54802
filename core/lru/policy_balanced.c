/*
 * What reclaim does (core/reclaim/age.c), on the lists of this interface: young and protected pages, and which of the
 * two lists gives up its oldest by lru/balance.h. Where touches are reported, a page that was touched since it came, or
 * since it was looked at last, is protected when its turn comes, as one that is touched while it is idle.
 *
 * Ghosts stand in for the shadows in the swap slots; the oldest are forgotten, whose shadows say no more than that.
 */
#include "lru/balance.h"
#include "lru/policy_priv.h"

/* The first two are those of enum qr_balance_side. */
enum { YOUNG, PROTECTED, GHOST };
/* In refs, beside that it was touched: that it was protected when it was given up. */
#define WAS_TOUCHED 1u
#define WAS_PROTECTED 2u
/* Ghosts are kept as long as the time of a shadow says something: for so many times what fits in memory. */
#define GHOSTS 31u
#define MAX_GHOSTS 8u

static uint64_t extra_bytes(uint32_t capacity)
{
	(void)capacity;
	return sizeof(struct qr_balance);
}

static uint32_t nr_ghosts(uint32_t capacity)
{
	return (uint32_t)QR_MIN((uint64_t)capacity * GHOSTS, (uint64_t)QR_POLICY_MAX_CAPACITY * MAX_GHOSTS);
}

static void init(struct qr_policy *policy)
{
	qr_balance_init(policy->extra, policy->capacity + policy->pool_capacity);
}

static enum qr_balance_side side_of(const struct qr_policy *policy, uint32_t entry)
{
	return policy->entries[entry].refs & WAS_PROTECTED ? QR_BALANCE_PROTECTED : QR_BALANCE_YOUNG;
}

static void touch(struct qr_policy *policy, uint32_t entry)
{
	policy->entries[entry].refs |= WAS_TOUCHED;
}

/* The page of a tail is given up, or protected since it was touched; then the caller looks again. */
static bool give_up(struct qr_policy *policy, enum qr_balance_side side)
{
	struct qr_balance *balance = policy->extra;
	uint32_t tail = qr_policy_tail(policy, side);
	struct qr_policy_entry *own = &policy->entries[tail];
	uint32_t now = qr_balance_now(balance);

	qr_balance_note_given_up(balance, side, 1, own->stamp);
	own->stamp = now;
	if (own->refs & WAS_TOUCHED) {
		own->refs = 0;
		qr_balance_note_rescued(balance, side, 1, now);
		qr_policy_move_head(policy, PROTECTED, tail);
		return false;
	}
	own->refs = side == QR_BALANCE_PROTECTED ? WAS_PROTECTED : 0;
	qr_policy_leave(policy, tail);
	if (policy->lists[GHOST].nr >= nr_ghosts(policy->capacity))
		qr_policy_forget(policy, qr_policy_tail(policy, GHOST));
	qr_policy_add_head(policy, GHOST, tail);
	return true;
}

static void make_room(struct qr_policy *policy)
{
	enum qr_balance_side side;

	do {
		side = qr_balance_choose(policy->extra, policy->lists[YOUNG].nr, policy->lists[PROTECTED].nr);
	} while (!give_up(policy, side));
}

static void fault(struct qr_policy *policy, uint32_t entry, enum qr_policy_why why)
{
	struct qr_balance *balance = policy->extra;
	struct qr_policy_entry *own = &policy->entries[entry];
	enum qr_balance_side side = QR_BALANCE_YOUNG;
	bool is_ghost = qr_policy_is_on(policy, GHOST, entry);

	if (why == QR_POLICY_RESCUED) {
		qr_balance_note_rescued(balance, side_of(policy, entry), 1, own->stamp);
		side = QR_BALANCE_PROTECTED;
	} else if (is_ghost) {
		side = qr_balance_return(balance, qr_balance_shadow(balance, side_of(policy, entry), own->stamp), 1,
					 true);
	}
	if (is_ghost)
		qr_policy_take(policy, entry);
	if (qr_policy_is_full(policy)) {
		make_room(policy);
		/* A page that comes back from the pool takes the place of none. */
		qr_balance_note_evicted(balance, why != QR_POLICY_RESCUED);
	}
	own->refs = 0;
	own->stamp = qr_balance_now(balance);
	qr_policy_enter(policy, side, entry);
}

const struct qr_policy_ops qr_policy_balanced = {
	.name = "balanced",
	.text = "young and protected pages, balanced by what comes back of each: reclaim's",
	.nr_ghosts = nr_ghosts,
	.extra_bytes = extra_bytes,
	.init = init,
	.touch = touch,
	.fault = fault,
};
