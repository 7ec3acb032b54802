/*
 * Who starves in a domain, who can help, and what each may keep: the fair share.
 *
 * A process that is refused quota leaves word of how much it lacks in its own slot, where it is believed for a while;
 * who has more than its share, or more than it uses, gives what the others lack. Nobody answers its own call.
 *
 * Async-signal-safe: no allocation, no library calls but clock_gettime().
 */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "domain.h"

/* Who starves says so at each attempt; the budget threads look ten times a second. */
#define LACK_NS 250000000u

static uint64_t fair_share(const struct qr_domain_shared *shared, uint32_t slot, uint32_t nr_live);
static uint64_t share_of_others(const struct qr_domain_shared *shared, uint64_t budget, uint32_t nr_live);

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void qr_domain_call(struct qr_domain *domain, uint64_t nr_frames)
{
	struct qr_domain_shared *shared = domain->shared;
	struct qr_domain_process *process;

	if (domain->slot != UINT32_MAX && nr_frames) {
		process = &shared->processes[domain->slot];
		qr_store_relaxed(&process->lack_frames, nr_frames);
		qr_store_release(&process->lack_ns, now_ns());
	}
	(void)qr_fetch_add(&shared->demand, 1);
	(void)syscall(SYS_futex, &shared->demand, (long)FUTEX_WAKE, (long)INT32_MAX, 0L, 0L, 0L);
}

void qr_domain_lack(const struct qr_domain *domain, struct qr_domain_lack *lack)
{
	const struct qr_domain_shared *shared = domain->shared;
	uint32_t own_group = qr_load_relaxed(&shared->processes[domain->slot].group);
	uint64_t now = now_ns(), anyone = 0, anyone_fair = 0;
	struct qr_domain_sum sum;

	qr_domain_count(domain, &sum);
	*lack = (struct qr_domain_lack){0};
	for (uint32_t slot = 0; slot < qr_load_acquire(&shared->nr_slots); slot++) {
		const struct qr_domain_process *process = &shared->processes[slot];
		uint64_t since = qr_load_acquire(&process->lack_ns);
		uint64_t frames = qr_load_relaxed(&process->lack_frames), fair, quota, to_fair;
		bool is_group_full = !qr_domain_room(shared, slot);

		if (slot == domain->slot || !frames || now - QR_MIN(now, since) > LACK_NS)
			continue;
		if (is_group_full && qr_load_relaxed(&process->group) != own_group)
			continue;
		fair = fair_share(shared, slot, sum.nr_live);
		quota = qr_load_relaxed(&process->quota_frames);
		to_fair = QR_MIN(frames, fair - QR_MIN(fair, quota));
		*(is_group_full ? &lack->frames : &anyone) += frames;
		*(is_group_full ? &lack->frames_to_fair : &anyone_fair) += to_fair;
	}
	/* What is free already will be taken at the next attempt. */
	lack->frames += anyone - QR_MIN(anyone, sum.free_frames);
	lack->frames_to_fair += anyone_fair - QR_MIN(anyone_fair, sum.free_frames);
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
	struct qr_domain_sum sum;

	qr_domain_count(domain, &sum);
	return fair_share(domain->shared, domain->slot, sum.nr_live);
}

static uint64_t fair_share(const struct qr_domain_shared *shared, uint32_t slot, uint32_t nr_live)
{
	uint64_t budget = qr_load_relaxed(&shared->budget_frames);
	uint64_t share = budget / QR_MAX(nr_live, 1u);
	struct qr_domain_group_sum members;
	const struct qr_domain_group *group = qr_domain_group_at(shared, slot, &members);

	if (group && group->low_frames / QR_MAX(members.nr_live, 1u) >= share)
		share = group->low_frames / QR_MAX(members.nr_live, 1u);
	else
		share = share_of_others(shared, budget, nr_live);
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
