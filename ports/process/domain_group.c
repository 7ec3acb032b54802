/*
 * Groups of processes within a domain: limits on the sum of their quotas. Like the books of the domain a group's sum is
 * counted and never stored, and its max holds by the same "announce, then look" (domain.c).
 *
 * Async-signal-safe: no allocation, no library calls.
 */
#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "domain.h"

static uint64_t share_of_others(const struct qr_domain_shared *shared, uint64_t budget, uint32_t nr_live);

void qr_domain_set_groups(struct qr_domain *domain, const struct qr_domain_group *groups, uint32_t nr)
{
	struct qr_domain_shared *shared = domain->shared;

	memcpy(shared->groups, groups, nr * sizeof(*groups));
	qr_store_release(&shared->nr_groups, nr);
}

uint32_t qr_domain_group_of(const struct qr_domain_shared *shared, const char *command)
{
	uint32_t nr_groups = qr_load_acquire(&shared->nr_groups);

	for (uint32_t i = 0; i < nr_groups; i++) {
		if (qr_domain_match(shared->groups[i].match, command))
			return i + 1;
	}
	return 0;
}

/* At a mismatch the last '*' takes one character more: O(pattern x text). */
bool qr_domain_match(const char *pattern, const char *text)
{
	const char *star = NULL, *resume = NULL;

	while (*text) {
		if (*pattern == '*') {
			star = pattern++;
			resume = text;
		} else if (*pattern == '?' || *pattern == *text) {
			pattern++;
			text++;
		} else if (star) {
			pattern = star + 1;
			text = ++resume;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}

void qr_domain_count_group(const struct qr_domain_shared *shared, uint32_t group, struct qr_domain_group_sum *sum)
{
	uint32_t nr_slots = qr_load_acquire(&shared->nr_slots);

	*sum = (struct qr_domain_group_sum){0};
	for (uint32_t slot = 0; slot < nr_slots; slot++) {
		const struct qr_domain_process *process = &shared->processes[slot];

		if (qr_load_relaxed(&process->group) != group)
			continue;
		sum->quota_frames += qr_load_acquire(&process->quota_frames);
		sum->used_frames += qr_load_relaxed(&process->usage.used_bytes) >> QR_PAGE_SHIFT;
		sum->nr_live += qr_domain_is_live(process);
	}
}

static const struct qr_domain_group *group_of_slot(const struct qr_domain_shared *shared, uint32_t slot,
						   struct qr_domain_group_sum *sum)
{
	uint32_t group = slot == UINT32_MAX ? 0 : qr_load_relaxed(&shared->processes[slot].group);

	if (!group)
		return NULL;
	qr_domain_count_group(shared, group, sum);
	return &shared->groups[group - 1];
}

uint64_t qr_domain_room(const struct qr_domain_shared *shared, uint32_t slot)
{
	struct qr_domain_group_sum sum;
	const struct qr_domain_group *group = group_of_slot(shared, slot, &sum);

	return group ? group->max_frames - QR_MIN(group->max_frames, sum.quota_frames) : UINT64_MAX;
}

uint64_t qr_domain_excess(const struct qr_domain_shared *shared, uint32_t slot)
{
	struct qr_domain_group_sum sum;
	const struct qr_domain_group *group = group_of_slot(shared, slot, &sum);

	return group ? sum.quota_frames - QR_MIN(group->max_frames, sum.quota_frames) : 0;
}

uint64_t qr_domain_room_to_high(const struct qr_domain *domain)
{
	struct qr_domain_group_sum sum;
	const struct qr_domain_group *group = group_of_slot(domain->shared, domain->slot, &sum);

	return group ? group->high_frames - QR_MIN(group->high_frames, sum.quota_frames) : UINT64_MAX;
}

uint64_t qr_domain_excess_over_high(const struct qr_domain *domain)
{
	struct qr_domain_group_sum sum;
	const struct qr_domain_group *group = group_of_slot(domain->shared, domain->slot, &sum);
	uint64_t own;

	if (!group || sum.quota_frames <= group->high_frames)
		return 0;
	own = qr_load_relaxed(&domain->shared->processes[domain->slot].quota_frames);
	return (sum.quota_frames - group->high_frames) * own / sum.quota_frames;
}

uint32_t qr_domain_demand(const struct qr_domain *domain)
{
	const struct qr_domain_shared *shared = domain->shared;
	uint32_t group = domain->slot == UINT32_MAX ? 0 : qr_load_relaxed(&shared->processes[domain->slot].group);

	/* Both only grow, so that the sum changes when either does. */
	return qr_load_relaxed(&shared->demand) + (group ? qr_load_relaxed(&shared->groups[group - 1].demand) : 0);
}

void qr_domain_wait_demand(struct qr_domain *domain, uint32_t seen, uint32_t *closing, uint64_t timeout_ns)
{
	struct futex_waitv words[2] = {
		{.val = seen, .uaddr = (uint64_t)(uintptr_t)&domain->shared->demand, .flags = FUTEX_32},
		{.val = 0, .uaddr = (uint64_t)(uintptr_t)closing, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG},
	};
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)timeout_ns;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	if (syscall(SYS_futex_waitv, words, 2L, 0L, &until, (long)CLOCK_MONOTONIC) < 0 && errno == ENOSYS)
		(void)syscall(SYS_futex, closing, (long)FUTEX_WAIT_BITSET_PRIVATE, 0L, &until, 0L,
			      (long)FUTEX_BITSET_MATCH_ANY);
}

uint64_t qr_domain_fair_share(const struct qr_domain *domain)
{
	const struct qr_domain_shared *shared = domain->shared;
	uint64_t budget = qr_load_relaxed(&shared->budget_frames);
	const struct qr_domain_group *group;
	struct qr_domain_group_sum members;
	struct qr_domain_sum sum;
	uint64_t share;

	qr_domain_count(domain, &sum);
	share = budget / QR_MAX(sum.nr_live, 1u);
	group = group_of_slot(shared, domain->slot, &members);
	if (group && group->low_frames / QR_MAX(members.nr_live, 1u) >= share)
		share = group->low_frames / QR_MAX(members.nr_live, 1u);
	else
		share = share_of_others(shared, budget, sum.nr_live);
	if (group)
		share = QR_MIN(share, group->max_frames / QR_MAX(members.nr_live, 1u));
	return QR_MAX(share, (uint64_t)QR_DOMAIN_MIN_FRAMES);
}

/* What is left for each of those whom no low mark gives more than a plain share. */
static uint64_t share_of_others(const struct qr_domain_shared *shared, uint64_t budget, uint32_t nr_live)
{
	uint64_t share = budget / QR_MAX(nr_live, 1u);
	uint64_t left = budget;
	uint32_t nr_left = nr_live;

	for (uint32_t i = 0; i < qr_load_acquire(&shared->nr_groups); i++) {
		const struct qr_domain_group *group = &shared->groups[i];
		struct qr_domain_group_sum sum;

		if (!group->low_frames)
			continue;
		qr_domain_count_group(shared, i + 1, &sum);
		if (!sum.nr_live || group->low_frames / sum.nr_live < share)
			continue;
		left -= QR_MIN(left, group->low_frames);
		nr_left -= QR_MIN(nr_left, sum.nr_live);
	}
	return left / QR_MAX(nr_left, 1u);
}
