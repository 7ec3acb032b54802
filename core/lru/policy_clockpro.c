/*
 * CLOCK-Pro (Jiang, Chen, Zhang, "CLOCK-Pro: an effective improvement of the CLOCK replacement", USENIX ATC 2005,
 * sections 4.2 and 4.3): hot and cold pages on one clock with three hands. A new page is cold and in its test period;
 * it leaves soon, but stays on the clock as a ghost; touched again before the period ends, it becomes hot. How many
 * frames cold pages have follows from which of the two happens.
 */
#include "lru/policy_priv.h"

enum hand { HAND_HOT, HAND_COLD, HAND_TEST };
/* What stamp says; a page that is not resident and on the clock is in its test period. */
enum state { COLD, COLD_TEST, HOT };
/* counts[]: pages by kind. */
enum count { NR_HOT, NR_COLD, NR_GHOSTS };

/* Frames of cold pages at first: section 5.1, 1 %. */
#define FIRST_COLD_SHARE 100u

static void make_room(struct qr_policy *policy);
static void run_hand_hot(struct qr_policy *policy);
static void run_hand_test(struct qr_policy *policy);
static void end_test(struct qr_policy *policy, uint32_t entry);

static uint32_t nr_ghosts(uint32_t capacity)
{
	return capacity + 1;
}

static void init(struct qr_policy *policy)
{
	policy->target = QR_MAX(policy->capacity / FIRST_COLD_SHARE, 1u);
}

static void grow_cold(struct qr_policy *policy)
{
	policy->target = QR_MIN(policy->target + 1, policy->capacity);
}

static void shrink_cold(struct qr_policy *policy)
{
	policy->target = QR_MAX(policy->target - 1, 1u);
}

static uint32_t next_on_clock(const struct qr_policy *policy, uint32_t entry)
{
	uint32_t next = policy->entries[entry].next;

	return next == QR_POLICY_NONE ? policy->lists[0].head : next;
}

/* The entry is about to go from its place: hands that point to it go on. */
static void pass_hands(struct qr_policy *policy, uint32_t entry)
{
	uint32_t next = next_on_clock(policy, entry);

	for (uint32_t hand = HAND_HOT; hand <= HAND_TEST; hand++) {
		if (policy->hands[hand] == entry)
			policy->hands[hand] = next;
	}
}

/* The head of the clock is where the hot hand comes last. */
static void put_at_head(struct qr_policy *policy, uint32_t entry)
{
	if (policy->lists[0].nr) {
		qr_policy_add_before(policy, policy->hands[HAND_HOT], entry);
		return;
	}
	qr_policy_add_head(policy, 0, entry);
	for (uint32_t hand = HAND_HOT; hand <= HAND_TEST; hand++)
		policy->hands[hand] = entry;
}

static void balance_hot(struct qr_policy *policy)
{
	while (policy->counts[NR_HOT] && policy->counts[NR_HOT] > policy->capacity - policy->target)
		run_hand_hot(policy);
}

static void fault(struct qr_policy *policy, uint32_t entry, enum qr_policy_why why)
{
	struct qr_policy_entry *own = &policy->entries[entry];
	bool is_hot = qr_policy_is_on(policy, 0, entry);

	if (is_hot) {
		/* A rescue cost no transfer, so cold pages need not have more frames. */
		if (why == QR_POLICY_GHOST)
			grow_cold(policy);
		pass_hands(policy, entry);
		qr_policy_take(policy, entry);
		policy->counts[NR_GHOSTS]--;
	}
	is_hot |= why == QR_POLICY_RESCUED;
	if (qr_policy_is_full(policy))
		make_room(policy);
	else if (policy->counts[NR_HOT] < policy->capacity - policy->target)
		is_hot = true;
	own->refs = 0;
	own->stamp = is_hot ? HOT : COLD_TEST;
	put_at_head(policy, entry);
	qr_policy_settle(policy, entry);
	policy->counts[is_hot ? NR_HOT : NR_COLD]++;
	balance_hot(policy);
}

/* A resident cold page under the cold hand, which stands behind it afterwards. Returns whether it was given up. */
static bool try_cold(struct qr_policy *policy, uint32_t entry)
{
	struct qr_policy_entry *own = &policy->entries[entry];

	pass_hands(policy, entry);
	if (own->refs) {
		own->refs = 0;
		qr_policy_take(policy, entry);
		if (own->stamp == COLD_TEST) {
			own->stamp = HOT;
			policy->counts[NR_COLD]--;
			policy->counts[NR_HOT]++;
			grow_cold(policy);
		} else {
			own->stamp = COLD_TEST;
		}
		put_at_head(policy, entry);
		balance_hot(policy);
		return false;
	}
	policy->counts[NR_COLD]--;
	if (own->stamp == COLD) {
		qr_policy_leave(policy, entry);
		return true;
	}
	qr_policy_leave_ghost(policy, entry);
	policy->counts[NR_GHOSTS]++;
	while (policy->counts[NR_GHOSTS] > policy->capacity)
		run_hand_test(policy);
	return true;
}

static void make_room(struct qr_policy *policy)
{
	for (;;) {
		uint32_t entry;

		if (!policy->counts[NR_COLD])
			run_hand_hot(policy);
		entry = policy->hands[HAND_COLD];
		if (!policy->entries[entry].is_resident || policy->entries[entry].stamp == HOT)
			policy->hands[HAND_COLD] = next_on_clock(policy, entry);
		else if (try_cold(policy, entry))
			break;
	}
}

/* Goes on until one hot page has become cold. */
static void run_hand_hot(struct qr_policy *policy)
{
	for (;;) {
		uint32_t entry = policy->hands[HAND_HOT];
		struct qr_policy_entry *own = &policy->entries[entry];

		policy->hands[HAND_HOT] = next_on_clock(policy, entry);
		if (!own->is_resident || own->stamp == COLD_TEST) {
			end_test(policy, entry);
		} else if (own->stamp == HOT && own->refs) {
			own->refs = 0;
		} else if (own->stamp == HOT) {
			own->stamp = COLD;
			policy->counts[NR_HOT]--;
			policy->counts[NR_COLD]++;
			return;
		}
	}
}

/* Goes on until one ghost is forgotten. */
static void run_hand_test(struct qr_policy *policy)
{
	for (;;) {
		uint32_t entry = policy->hands[HAND_TEST];
		bool is_ghost = !policy->entries[entry].is_resident;

		policy->hands[HAND_TEST] = next_on_clock(policy, entry);
		if (is_ghost || policy->entries[entry].stamp == COLD_TEST)
			end_test(policy, entry);
		if (is_ghost)
			return;
	}
}

static void end_test(struct qr_policy *policy, uint32_t entry)
{
	struct qr_policy_entry *own = &policy->entries[entry];

	if (!own->refs)
		shrink_cold(policy);
	own->stamp = COLD;
	if (own->is_resident)
		return;
	pass_hands(policy, entry);
	policy->counts[NR_GHOSTS]--;
	qr_policy_forget(policy, entry);
}

const struct qr_policy_ops qr_policy_clockpro = {
	.name = "clock-pro",
	.text = "hot and cold pages on a clock, their shares set by ghosts",
	.nr_ghosts = nr_ghosts,
	.init = init,
	.touch = qr_policy_touch_marked,
	.fault = fault,
};
