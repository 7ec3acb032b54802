/*
 * Groups of processes within a domain: limits on the sum of their quotas. Like the books of the domain a group's sum is
 * counted and never stored, and its max holds by the same "announce, then look" (domain.c).
 *
 * Async-signal-safe: no allocation, no library calls.
 */
#include <string.h>

#include "domain.h"

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

const struct qr_domain_group *qr_domain_group_at(const struct qr_domain_shared *shared, uint32_t slot,
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
	const struct qr_domain_group *group = qr_domain_group_at(shared, slot, &sum);

	return group ? group->max_frames - QR_MIN(group->max_frames, sum.quota_frames) : UINT64_MAX;
}

uint64_t qr_domain_excess(const struct qr_domain_shared *shared, uint32_t slot)
{
	struct qr_domain_group_sum sum;
	const struct qr_domain_group *group = qr_domain_group_at(shared, slot, &sum);

	return group ? sum.quota_frames - QR_MIN(group->max_frames, sum.quota_frames) : 0;
}

uint64_t qr_domain_room_to_high(const struct qr_domain *domain)
{
	struct qr_domain_group_sum sum;
	const struct qr_domain_group *group = qr_domain_group_at(domain->shared, domain->slot, &sum);

	return group ? group->high_frames - QR_MIN(group->high_frames, sum.quota_frames) : UINT64_MAX;
}

uint64_t qr_domain_excess_over_high(const struct qr_domain *domain)
{
	struct qr_domain_group_sum sum;
	const struct qr_domain_group *group = qr_domain_group_at(domain->shared, domain->slot, &sum);
	uint64_t own;

	if (!group || sum.quota_frames <= group->high_frames)
		return 0;
	own = qr_load_relaxed(&domain->shared->processes[domain->slot].quota_frames);
	return (sum.quota_frames - group->high_frames) * own / sum.quota_frames;
}
