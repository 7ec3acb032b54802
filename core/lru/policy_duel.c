/*
 * LRU or CLOCK-Pro, whichever missed less of late (Subramanian, Smaragdakis, Loh, "Adaptive caches: effective shaping
 * of cache behavior to workloads", MICRO 2006, section 2): both run beside, on entries without pages behind them; of
 * the resident pages one leaves that the better of the two does not have, so that memory comes to hold what that one
 * would hold. The paper shows that misses then stay below twice those of the better one, for any two.
 *
 * Resident pages are on the list of which experts have them: bit i of the list's number is expert i.
 */
#include "lru/policy_priv.h"

#define NR_EXPERTS 2u
#define ALL_EXPERTS ((1u << NR_EXPERTS) - 1)
/* Below that many misses their counts say nothing, above the number of frames they are of another time. */
#define MIN_WINDOW 64u
/* LRU misses that much more often, a quarter, before it is left: on what programs do it is better or close, and what
 * defeats it, scans and loops, shows by more. docs/replay.md has the figures. */
#define LEAD_SHARE 4u

struct duel {
	struct qr_policy experts[NR_EXPERTS];
	uint32_t nr_misses[NR_EXPERTS]; /* of late: halved now and then */
};

static const struct qr_policy_ops *expert_ops(uint32_t expert)
{
	return expert ? &qr_policy_clockpro : &qr_policy_lru;
}

static uint64_t extra_bytes(uint32_t capacity)
{
	struct qr_policy_config config = {.capacity = capacity};
	uint64_t nr_bytes = sizeof(struct duel);

	for (uint32_t i = 0; i < NR_EXPERTS; i++)
		nr_bytes += qr_policy_bytes(expert_ops(i), &config);
	return nr_bytes;
}

static void init(struct qr_policy *policy)
{
	struct qr_policy_config config = {.capacity = policy->capacity};
	struct duel *duel = policy->extra;
	char *memory = (char *)(duel + 1);

	memset(duel->nr_misses, 0, sizeof(duel->nr_misses));
	for (uint32_t i = 0; i < NR_EXPERTS; i++) {
		QR_BUG_ON(qr_policy_init(&duel->experts[i], expert_ops(i), &config, memory));
		memory += qr_policy_bytes(expert_ops(i), &config);
	}
}

/* The expert gave the page up. */
static void lose(struct qr_policy *policy, uint64_t page, uint32_t expert)
{
	uint32_t entry = qr_policy_entry_of(policy, page);

	if (entry != QR_POLICY_NONE && policy->entries[entry].is_resident)
		qr_policy_move_head(policy, policy->entries[entry].list & ~(1u << expert), entry);
}

/* Both experts see the touch, and have the page afterwards. */
static void ask_experts(struct qr_policy *policy, uint64_t page)
{
	struct duel *duel = policy->extra;
	struct qr_policy_result results[NR_EXPERTS];

	for (uint32_t i = 0; i < NR_EXPERTS; i++) {
		qr_policy_access(&duel->experts[i], page, &results[i]);
		if (results[i].has_victim)
			lose(policy, results[i].victim, i);
	}
	if (results[0].is_hit == results[1].is_hit)
		return;
	duel->nr_misses[results[0].is_hit]++;
	if (duel->nr_misses[0] + duel->nr_misses[1] >= QR_MAX(policy->capacity, MIN_WINDOW)) {
		duel->nr_misses[0] /= 2;
		duel->nr_misses[1] /= 2;
	}
}

static void touch(struct qr_policy *policy, uint32_t entry)
{
	ask_experts(policy, policy->entries[entry].page);
	if (!qr_policy_is_on(policy, ALL_EXPERTS, entry))
		qr_policy_move_head(policy, ALL_EXPERTS, entry);
}

/* The better expert has the page that comes, so that it does not have all that are resident. */
static void make_room(struct qr_policy *policy)
{
	const struct duel *duel = policy->extra;
	uint32_t better = duel->nr_misses[1] + duel->nr_misses[1] / LEAD_SHARE < duel->nr_misses[0];
	uint32_t victim = qr_policy_tail(policy, 0);

	if (victim == QR_POLICY_NONE)
		victim = qr_policy_tail(policy, ALL_EXPERTS & ~(1u << better));
	qr_policy_leave(policy, victim);
}

static void fault(struct qr_policy *policy, uint32_t entry, enum qr_policy_why why)
{
	(void)why;
	ask_experts(policy, policy->entries[entry].page);
	if (qr_policy_is_full(policy))
		make_room(policy);
	qr_policy_enter(policy, ALL_EXPERTS, entry);
}

const struct qr_policy_ops qr_policy_duel = {
	.name = "duel",
	.text = "LRU or CLOCK-Pro, whichever missed less of late",
	.needs_order = true,
	.extra_bytes = extra_bytes,
	.init = init,
	.touch = touch,
	.fault = fault,
};
