/*
 * The budget of one process: how many frames its pool may have in use.
 *
 * quota: what the process may use in all, from its domain or fixed; limit: what of it the pool gets. The difference
 * is memory that quire does not manage (the program's text, its stacks, quire's own tables), found by comparing the
 * resident set that the kernel reports with the quota, ten times a second.
 */
#include "internal.h"
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TICK_NS 100000000u
/* The first ticks come sooner: what a program is made of becomes resident when it starts. */
#define EARLY_TICK_NS 20000000u
#define NR_EARLY_TICKS 20u
/* Who has something to give looks again this long after it gave, at the earliest. */
#define GIVE_PAUSE_NS 10000000u
/* Quota is taken from a domain in steps of 4 MiB, or as much again as the process uses, up to half of what nobody has
 * claimed: while memory is plentiful faults bring more pages at a time, and the fault loop sees only what is in the
 * quota. */
#define GROW_STEP 1024u
#define GROW_SHARE 2u
/* A newcomer waits up to 10 s for others to make room. */
#define JOIN_TRIES 100u
#define JOIN_WAIT_US 100000u
#define SHRINK_STEP 256u

uint64_t qr_budget_used_frames(const struct qr_manager *manager)
{
	const struct qr_zone *zone = &manager->vmm->zone;
	uint64_t online = qr_load_relaxed(&zone->nr_online);
	uint64_t free = qr_zone_nr_free(zone);

	return online > free ? online - free : 0;
}

int qr_budget_attach(struct qr_manager *manager, struct qr_options *options, const char **error_text)
{
	const char *path = options->domain;
	int err = path ? qr_domain_attach(&manager->domain, path) : 0;

	if (err) {
		*error_text = "the budget that this process should share cannot be reached: is quire run still there?";
		return err;
	}
	if (path) {
		const struct qr_domain_shared *shared = manager->domain.shared;

		*options = shared->options;
		options->domain = path;
		options->ram_bytes = qr_load_relaxed(&shared->budget_frames) << QR_PAGE_SHIFT;
		manager->span_frames = shared->max_frames;
		if (shared->record_path[0])
			err = qr_record_attach(&manager->record, shared->record_path);
		if (err)
			*error_text = "the recording cannot be reached: is quire record still there?";
		options->swap_dir = shared->swap_dir[0] ? shared->swap_dir : NULL;
	}
	return err;
}

int qr_budget_join(struct qr_manager *manager, const char **error_text)
{
	uint64_t nr_frames = manager->options.ram_bytes >> QR_PAGE_SHIFT;
	int err;

	if (!manager->options.domain) {
		manager->quota_frames = nr_frames;
		return 0;
	}
	err = qr_domain_join(&manager->domain);
	if (err) {
		*error_text = "too many processes share the budget";
		return err;
	}
	manager->has_domain = true;
	for (unsigned i = 0; i < JOIN_TRIES; i++) {
		uint64_t wanted = QR_MIN(4 * QR_DOMAIN_MIN_FRAMES, qr_domain_fair_share(&manager->domain));

		manager->quota_frames += qr_domain_take(&manager->domain, wanted - manager->quota_frames);
		if (manager->quota_frames >= QR_DOMAIN_MIN_FRAMES)
			return 0;
		usleep(JOIN_WAIT_US);
	}
	*error_text = qr_domain_room(manager->domain.shared, manager->domain.slot)
			      ? "the RAM budget is taken by the processes that run already: raise --ram"
			      : "the max of this program's --group is taken by the processes that run already";
	qr_domain_leave(&manager->domain);
	return QR_ENOMEM;
}

/* A program's own manager gets what it asked for: its budget is for the managed memory first. */
uint32_t qr_budget_start_frames(const struct qr_manager *manager)
{
	uint64_t quota = manager->quota_frames;
	uint64_t pool_min = QR_MIN(quota, (uint64_t)QR_DOMAIN_POOL_MIN_FRAMES);
	uint64_t others = manager->has_domain ? qr_budget_resident_frames() : 0;

	return (uint32_t)QR_MAX(quota - QR_MIN(quota, others), pool_min);
}

/* Takes quota from the domain and lets the pool have it. Caller holds budget_lock. */
static uint32_t grow_locked(struct qr_manager *manager, uint64_t nr_frames, uint64_t nr_limit)
{
	uint64_t taken;

	if (!manager->has_domain)
		return 0;
	taken = qr_domain_take(&manager->domain, nr_frames);
	if (!taken)
		return 0;
	manager->quota_frames += taken;
	nr_limit = QR_MIN(nr_limit, taken);
	if (nr_limit)
		(void)qr_vmm_set_limit(manager->vmm, manager->vmm->nr_limit + (uint32_t)nr_limit);
	return (uint32_t)taken;
}

uint32_t qr_port_memory_grow(struct qr_port *port, uint32_t nr)
{
	struct qr_manager *manager = qr_manager_of(port);
	uint64_t step;
	uint32_t grown;

	/* Whoever holds the lock is changing the limit already, maybe from further up this very stack. */
	if (!manager->has_domain || pthread_mutex_trylock(&manager->budget_lock))
		return 0;
	step = QR_MIN(qr_load_relaxed(&manager->domain.shared->free_frames) / GROW_SHARE,
		      qr_budget_used_frames(manager));
	step = QR_MAX(step, QR_MAX((uint64_t)GROW_STEP, (uint64_t)nr));
	step = QR_MIN(step, qr_domain_room_to_high(&manager->domain));
	/* Beyond its span the pool has no use for quota. */
	step = QR_MIN(step, manager->span_frames - QR_MIN(manager->span_frames, (uint64_t)manager->vmm->nr_limit));
	grown = step ? grow_locked(manager, step, UINT32_MAX) : 0;
	pthread_mutex_unlock(&manager->budget_lock);
	return grown;
}

uint32_t qr_budget_shrink(struct qr_manager *manager, uint32_t nr_frames)
{
	struct qr_vmm *vmm = manager->vmm;
	uint32_t target = QR_MAX(nr_frames, QR_DOMAIN_POOL_MIN_FRAMES);
	uint32_t reached = qr_vmm_set_limit(vmm, QR_MIN(target, vmm->nr_limit));

	while (reached > target && qr_reclaim(vmm, QR_MIN(reached - target, SHRINK_STEP)))
		reached = qr_vmm_set_limit(vmm, target);
	return reached;
}

/* Nothing can be reclaimed: the high mark of the process's group does not hold any more, its max does. */
static bool grow_above_high(struct qr_manager *manager)
{
	uint32_t grown;

	if (qr_domain_room_to_high(&manager->domain) == UINT64_MAX || pthread_mutex_trylock(&manager->budget_lock))
		return false;
	grown = grow_locked(manager, GROW_STEP, UINT32_MAX);
	pthread_mutex_unlock(&manager->budget_lock);
	return grown > 0;
}

bool qr_budget_wait_for_share(struct qr_manager *manager)
{
	/* Where frames are not lacking it is a memory group of the program that is full. */
	if (!manager->has_domain || qr_zone_is_above(&manager->vmm->zone, QR_WMARK_MIN, 1))
		return false;
	if (grow_above_high(manager))
		return true;
	if (manager->quota_frames >= qr_domain_fair_share(&manager->domain))
		return false;
	usleep(TICK_NS / 1000);
	return true;
}

uint64_t qr_budget_resident_frames(void)
{
	char text[128];
	uint64_t resident = 0;
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t nr = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	const char *second;

	if (fd >= 0)
		close(fd);
	if (nr <= 0)
		return 0;
	text[nr] = '\0';
	second = strchr(text, ' ');
	if (second)
		resident = strtoull(second, NULL, 10);
	return resident;
}

/* Holds the process to its quota by what the kernel counts. Caller holds budget_lock. */
static void follow_resident_set(struct qr_manager *manager)
{
	struct qr_vmm *vmm = manager->vmm;
	uint64_t resident = qr_budget_resident_frames();
	uint64_t limit = vmm->nr_limit;

	if (resident > manager->quota_frames) {
		uint64_t excess = resident - manager->quota_frames;

		excess -= QR_MIN(excess, (uint64_t)grow_locked(manager, excess, 0));
		if (excess)
			(void)qr_budget_shrink(manager, (uint32_t)(limit - QR_MIN(limit, excess)));
	} else if (resident + QR_DOMAIN_SLACK_FRAMES < manager->quota_frames && limit < manager->quota_frames) {
		uint64_t room = (manager->quota_frames - resident) / 2;

		(void)qr_vmm_set_limit(vmm, (uint32_t)QR_MIN(manager->quota_frames, limit + room));
	}
}

/* Quota beside what is resident and what the process may want next: a shell that waits for its children needs
 * little. */
static uint64_t unused_quota(const struct qr_manager *manager)
{
	const struct qr_zone *zone = &manager->vmm->zone;
	uint64_t keep = QR_MAX(qr_budget_resident_frames() + QR_DOMAIN_SLACK_FRAMES, (uint64_t)QR_DOMAIN_MIN_FRAMES);
	uint64_t keep_free = qr_load_relaxed(&zone->watermark[QR_WMARK_HIGH]) + QR_DOMAIN_SLACK_FRAMES;
	uint64_t free = qr_zone_nr_free(zone);

	if (free <= keep_free || manager->quota_frames <= keep)
		return 0;
	return QR_MIN(free - keep_free, manager->quota_frames - keep);
}

/* Takes nr_frames of the limit, by reclaim where it must, and gives them to the domain. Caller holds budget_lock. */
static void give(struct qr_manager *manager, uint64_t nr_frames, bool may_reclaim)
{
	struct qr_vmm *vmm = manager->vmm;
	uint32_t before = vmm->nr_limit;
	uint32_t target = QR_MAX(before - (uint32_t)QR_MIN((uint64_t)before, nr_frames), QR_DOMAIN_POOL_MIN_FRAMES);
	uint64_t given;

	if (target >= before)
		return;
	given = before - (may_reclaim ? qr_budget_shrink(manager, target) : qr_vmm_set_limit(vmm, target));
	given = QR_MIN(given, manager->quota_frames);
	if (given) {
		manager->quota_frames -= given;
		qr_domain_give(&manager->domain, given);
	}
}

/* Gives quota back: what a smaller budget takes away; when others starve what is above the fair share, or not used. */
static void share_with_others(struct qr_manager *manager)
{
	struct qr_domain_shared *shared = manager->domain.shared;
	uint64_t fair = qr_domain_fair_share(&manager->domain);
	uint64_t debt = qr_load_relaxed(&shared->debt_frames);
	uint64_t surplus = qr_domain_excess_over_high(&manager->domain);
	uint64_t over_fair = manager->quota_frames - QR_MIN(manager->quota_frames, fair);
	struct qr_domain_lack lack;
	uint64_t unused;

	qr_domain_lack(&manager->domain, &lack);
	unused = lack.frames ? unused_quota(manager) : 0;
	unused = QR_MIN(unused, lack.frames);
	over_fair = QR_MAX(over_fair / 2, QR_MIN((uint64_t)GROW_STEP, over_fair));
	surplus = QR_MAX(surplus, QR_MIN(lack.frames_to_fair, over_fair));
	/* Every process pays its part of the debt, rounded up; all quotas together are the budget and the debt. */
	if (debt)
		debt = debt * manager->quota_frames / (qr_load_relaxed(&shared->budget_frames) + debt) + 1;
	if (debt)
		surplus = QR_MAX(surplus, QR_MIN(debt, manager->quota_frames - QR_MIN(manager->quota_frames,
										      (uint64_t)QR_DOMAIN_MIN_FRAMES)));
	/* What is not used costs nobody a page, and the program may begin to use it meanwhile. */
	if (unused >= surplus)
		give(manager, unused, false);
	else
		give(manager, surplus, true);
}

uint64_t qr_budget_return_unused(struct qr_manager *manager, uint64_t nr_needed)
{
	uint64_t keep = QR_MAX(nr_needed + QR_DOMAIN_SLACK_FRAMES, (uint64_t)QR_DOMAIN_MIN_FRAMES);
	uint64_t surplus = manager->quota_frames - QR_MIN(manager->quota_frames, keep);

	if (surplus) {
		manager->quota_frames -= surplus;
		qr_domain_give(&manager->domain, surplus);
	}
	return surplus;
}

/* Whether there is something to give, should somebody starve. */
static bool budget_tick(struct qr_manager *manager)
{
	bool has_unused;

	pthread_mutex_lock(&manager->budget_lock);
	follow_resident_set(manager);
	if (manager->has_domain) {
		uint64_t budget = qr_load_relaxed(&manager->domain.shared->budget_frames);

		qr_store_relaxed(&manager->options.ram_bytes, budget << QR_PAGE_SHIFT);
		share_with_others(manager);
	}
	qr_fork_tick(manager);
	qr_budget_publish(manager);
	has_unused = manager->has_domain && unused_quota(manager);
	pthread_mutex_unlock(&manager->budget_lock);
	return has_unused;
}

/* Until the next tick is due: timeout_ns from now, or, if there is something to give, as soon as somebody starves. */
static void wait_for_tick(struct qr_manager *manager, bool has_unused, uint32_t seen_demand, uint64_t timeout_ns)
{
	if (has_unused && qr_port_wait_timeout(&manager->is_closing, 0, GIVE_PAUSE_NS))
		return;
	if (has_unused)
		qr_domain_wait_demand(&manager->domain, seen_demand, &manager->is_closing, timeout_ns - GIVE_PAUSE_NS);
	else
		(void)qr_port_wait_timeout(&manager->is_closing, 0, timeout_ns);
}

static void budget_main(void *argument)
{
	struct qr_manager *manager = argument;

	for (uint32_t nr_ticks = 0; !qr_load_acquire(&manager->is_closing); nr_ticks++) {
		uint32_t seen_demand = manager->has_domain ? qr_load_acquire(&manager->domain.shared->demand) : 0;
		bool has_unused = false;

		/* A fork in progress: nothing to do until it is over. */
		if (!pthread_rwlock_tryrdlock(&manager->fork.gate)) {
			has_unused = budget_tick(manager);
			pthread_rwlock_unlock(&manager->fork.gate);
		}
		wait_for_tick(manager, has_unused, seen_demand, nr_ticks < NR_EARLY_TICKS ? EARLY_TICK_NS : TICK_NS);
	}
}

int qr_budget_start(struct qr_manager *manager)
{
	const struct qr_port *port = &manager->port;
	uint64_t pool = (uint64_t)(uintptr_t)port->pool;

	if (manager->has_domain)
		qr_domain_publish_places(&manager->domain, port->space.va_start, port->space.va_end, pool,
					 pool + port->pool_bytes);
	manager->is_closing = 0;
	manager->budget_thread = qr_port_thread_start(&manager->port, "quire-budget", 0, budget_main, manager);
	return manager->budget_thread < 0 ? manager->budget_thread : 0;
}

void qr_budget_stop(struct qr_manager *manager)
{
	qr_store_release(&manager->is_closing, 1);
	qr_port_wake(&manager->is_closing, 1);
	qr_port_thread_join(&manager->port, manager->budget_thread);
}

int qr_manager_set_ram(struct qr_manager *manager, uint64_t ram_bytes)
{
	uint64_t nr_frames = ram_bytes >> QR_PAGE_SHIFT;
	struct qr_entry entry;
	uint32_t reached;

	if (ram_bytes < QR_RAM_MIN || ram_bytes > manager->port.pool_bytes)
		return QR_EINVAL;
	qr_manager_enter(manager, &entry);
	pthread_mutex_lock(&manager->budget_lock);
	manager->quota_frames = nr_frames;
	manager->options.ram_bytes = ram_bytes;
	if (nr_frames >= manager->vmm->nr_limit)
		reached = qr_vmm_set_limit(manager->vmm, (uint32_t)nr_frames);
	else
		reached = qr_budget_shrink(manager, (uint32_t)nr_frames);
	pthread_mutex_unlock(&manager->budget_lock);
	qr_manager_leave(manager, &entry);
	return reached <= nr_frames ? 0 : QR_ENOMEM;
}
