/*
 * The budget shared by a tree of processes. See domain.h for the idea: only quotas are stored, what is free is
 * counted.
 *
 * Taking is "announce, then look": a process first adds to its own quota and then sums all quotas; what exceeds the
 * budget it takes off again. Of two that announce at the same moment the later one (in the order of their fences)
 * sees the other, so the budget is never handed out twice; a process killed between the two steps leaves a quota
 * that is buried like any other.
 *
 * It runs inside signal handlers and beside a replaced malloc: raw system calls, no allocation, no stdio.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "domain.h"
#include "proc_stat.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u /* Linux 6.3; asked for where the administrator demands it (vm.memfd_noexec) */
#endif

#define OWNER_STATE_MASK 3ull
#define OWNER_WHO_MASK 0x00fffffffffffffcull
#define OWNER_PID_SHIFT 2
#define OWNER_PID_MASK 0x3fffffu
#define OWNER_START_SHIFT 24
#define OWNER_GENERATION_SHIFT 56

/* Rounds of announcing before a taker believes that nothing is free. Contention alone needs two or three. */
#define TAKE_ROUNDS 16u
/* Looks at full books before a taker believes them: another taker may be about to withdraw its announcement. */
#define TAKE_LOOKS 3u

static int domain_map(struct qr_domain *domain, int fd, int prot);
static int domain_attach(struct qr_domain *domain, const char *path, bool is_readonly);
static int claim_slot(struct qr_domain *domain, uint32_t *slot);
static bool claim_slot_at(struct qr_domain *domain, uint32_t slot);
static void open_slot(struct qr_domain *domain, uint32_t slot, uint64_t owner, const struct qr_proc_stat *self);
static bool bury_slot(struct qr_domain *domain, uint32_t slot, uint64_t owner);
static void empty_slot(struct qr_domain_shared *shared, struct qr_domain_process *process, uint64_t owner);
static uint64_t take_free(struct qr_domain *domain, uint32_t slot, uint64_t nr_frames);
static void count_books(const struct qr_domain_shared *shared, struct qr_domain_sum *sum);
static void refresh_books(struct qr_domain_shared *shared);
static bool holder_is_gone(const struct qr_domain_process *process, uint64_t owner);

static uint64_t owner_word(enum qr_domain_state state, uint64_t who, uint64_t generation_of)
{
	return (uint64_t)state | who | (generation_of & ~(OWNER_STATE_MASK | OWNER_WHO_MASK));
}

static enum qr_domain_state owner_state(uint64_t owner)
{
	return (enum qr_domain_state)(owner & OWNER_STATE_MASK);
}

static uint64_t who_of(const struct qr_proc_stat *stat)
{
	return ((uint64_t)((uint32_t)stat->pid & OWNER_PID_MASK) << OWNER_PID_SHIFT) |
	       ((uint64_t)(uint32_t)stat->start_time << OWNER_START_SHIFT);
}

/* ---- Creating and mapping ---- */

int qr_domain_create(struct qr_domain *domain, const struct qr_options *options)
{
	struct qr_domain_shared *shared;
	struct timespec now;
	int err;
	int fd = (int)syscall(SYS_memfd_create, "quire-domain", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = (int)syscall(SYS_memfd_create, "quire-domain", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	/* Sealed, so that no member can shrink it under the others. */
	if (ftruncate(fd, sizeof(*shared)) || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW)) {
		err = -errno;
		syscall(SYS_close, fd);
		return err;
	}
	err = domain_map(domain, fd, PROT_READ | PROT_WRITE);
	if (err) {
		syscall(SYS_close, fd);
		return err;
	}
	domain->fd = fd;
	shared = domain->shared;
	shared->size = sizeof(*shared);
	shared->options = *options;
	if (options->swap_dir)
		strncpy(shared->swap_dir, options->swap_dir, sizeof(shared->swap_dir) - 1);
	shared->launcher_pid = (int32_t)((domain->owner >> OWNER_PID_SHIFT) & OWNER_PID_MASK);
	clock_gettime(CLOCK_MONOTONIC, &now);
	shared->start_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	shared->budget_frames = options->ram_bytes >> QR_PAGE_SHIFT;
	shared->max_frames = shared->budget_frames;
	shared->free_frames = shared->budget_frames;
	qr_store_release(&shared->magic, QR_DOMAIN_MAGIC); /* pairs with domain_attach() */
	return 0;
}

int qr_domain_attach(struct qr_domain *domain, const char *path)
{
	return domain_attach(domain, path, false);
}

int qr_domain_attach_readonly(struct qr_domain *domain, const char *path)
{
	return domain_attach(domain, path, true);
}

static int domain_attach(struct qr_domain *domain, const char *path, bool is_readonly)
{
	struct stat status;
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path,
			      (is_readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
	int err;

	if (fd < 0)
		return errno == EPERM ? QR_EACCES : -errno;
	if (fstat(fd, &status))
		err = -errno;
	else if (!S_ISREG(status.st_mode) || status.st_size != (off_t)sizeof(*domain->shared))
		err = QR_EINVAL;
	else
		err = domain_map(domain, fd, is_readonly ? PROT_READ : PROT_READ | PROT_WRITE);
	syscall(SYS_close, fd);
	if (err)
		return err;
	if (qr_load_acquire(&domain->shared->magic) != QR_DOMAIN_MAGIC ||
	    domain->shared->size != sizeof(*domain->shared)) {
		qr_domain_detach(domain);
		return QR_EINVAL;
	}
	return 0;
}

/* Fills *domain on success only. */
static int domain_map(struct qr_domain *domain, int fd, int prot)
{
	struct qr_proc_stat self;
	/* Each argument as wide as the kernel takes it: what is passed on the stack is not widened. */
	long address = syscall(SYS_mmap, 0L, sizeof(*domain->shared), (long)prot, (long)MAP_SHARED, (long)fd, 0L);

	if (address == -1)
		return -errno;
	qr_proc_stat_self(&self);
	domain->shared = (struct qr_domain_shared *)(uintptr_t)address;
	domain->fd = -1;
	domain->slot = UINT32_MAX;
	domain->owner = who_of(&self);
	domain->child_frames = 0;
	domain->child_owner = 0;
	return 0;
}

void qr_domain_detach(struct qr_domain *domain)
{
	syscall(SYS_munmap, domain->shared, sizeof(*domain->shared));
	if (domain->fd >= 0)
		syscall(SYS_close, domain->fd);
	domain->shared = NULL;
	domain->fd = -1;
	domain->slot = UINT32_MAX;
}

/* ---- Membership ---- */

int qr_domain_join(struct qr_domain *domain)
{
	struct qr_domain_shared *shared = domain->shared;
	struct qr_proc_stat self;
	uint32_t slot;
	int err;

	qr_proc_stat_self(&self);
	domain->owner = who_of(&self);
	/* What this process held before an execve() is gone with its memory. */
	for (slot = 0; slot < qr_load_acquire(&shared->nr_slots); slot++) {
		uint64_t owner = qr_load_acquire(&shared->processes[slot].owner);

		if (owner_state(owner) != QR_DOMAIN_FREE && (owner & OWNER_WHO_MASK) == domain->owner)
			(void)bury_slot(domain, slot, owner);
	}
	err = claim_slot(domain, &slot);
	if (err)
		return err;
	open_slot(domain, slot, qr_load_relaxed(&shared->processes[slot].owner), &self);
	return 0;
}

void qr_domain_leave(struct qr_domain *domain)
{
	uint32_t slot = domain->slot;

	if (slot == UINT32_MAX)
		return;
	domain->slot = UINT32_MAX;
	(void)bury_slot(domain, slot, qr_load_relaxed(&domain->shared->processes[slot].owner));
	refresh_books(domain->shared);
}

/* Finds a free slot and makes it CLAIMED by this process, with a quota of 0. */
static int claim_slot(struct qr_domain *domain, uint32_t *slot)
{
	unsigned tries;

	for (tries = 0; tries < 2; tries++) {
		for (uint32_t i = 0; i < QR_DOMAIN_PROCESSES; i++) {
			if (claim_slot_at(domain, i)) {
				*slot = i;
				return 0;
			}
		}
		if (!qr_domain_bury_dead(domain))
			break;
	}
	return QR_EAGAIN;
}

static bool claim_slot_at(struct qr_domain *domain, uint32_t slot)
{
	struct qr_domain_shared *shared = domain->shared;
	uint64_t *owner = &shared->processes[slot].owner;
	uint64_t seen = qr_load_acquire(owner);
	uint32_t nr_slots = qr_load_acquire(&shared->nr_slots);

	if (owner_state(seen) != QR_DOMAIN_FREE)
		return false;
	/* First, so that whoever counts sees each slot that may hold a quota. */
	while (nr_slots <= slot && !qr_cas(&shared->nr_slots, &nr_slots, slot + 1))
		continue;
	return qr_cas(owner, &seen,
		      owner_word(QR_DOMAIN_CLAIMED, domain->owner, seen + (1ull << OWNER_GENERATION_SHIFT)));
}

/* Makes a slot that this process has claimed its live one. */
static void open_slot(struct qr_domain *domain, uint32_t slot, uint64_t owner, const struct qr_proc_stat *self)
{
	struct qr_domain_process *process = &domain->shared->processes[slot];

	qr_store_relaxed(&process->start_stack, self->start_stack);
	memcpy(process->command, self->command, sizeof(process->command));
	qr_store_relaxed(&process->group, qr_domain_group_of(domain->shared, process->command));
	qr_store_relaxed(&process->pid, self->pid);
	domain->slot = slot;
	qr_store_release(&process->owner, owner_word(QR_DOMAIN_LIVE, domain->owner, owner));
	refresh_books(domain->shared);
}

/* Takes a slot from the holder seen in owner and empties it. False if somebody else was quicker. */
static bool bury_slot(struct qr_domain *domain, uint32_t slot, uint64_t owner)
{
	struct qr_domain_process *process = &domain->shared->processes[slot];
	uint64_t buried = owner_word(QR_DOMAIN_BURIED, domain->owner, owner);

	/* Taking over from itself happens after execve() only. */
	if (owner != buried && !qr_cas(&process->owner, &owner, buried))
		return false;
	empty_slot(domain->shared, process, buried);
	return true;
}

/* Each value moves by an exchange, so that a burial that was cut short and begun again counts nothing twice; the
 * one value that was between its two places at the kill is lost. Quotas are not moved but dropped: always exact. */
static void empty_slot(struct qr_domain_shared *shared, struct qr_domain_process *process, uint64_t owner)
{
	unsigned i;

	qr_store_release(&process->quota_frames, 0);
	for (i = 0; i < QR_NR_STATS; i++) {
		uint64_t count = qr_exchange(&process->counters[i], 0);

		(void)qr_fetch_add(&shared->ended_counters[i], count);
	}
	(void)qr_fetch_add(&shared->ended_passed_maps, qr_exchange(&process->nr_passed_maps, 0));
	(void)qr_fetch_add(&shared->ended_passed_bytes, qr_exchange(&process->passed_bytes, 0));
	if (qr_exchange(&process->pid, 0))
		(void)qr_fetch_add(&shared->nr_ended, 1);
	qr_store_relaxed(&process->peak_frames, 0);
	qr_store_relaxed(&process->lack_frames, 0);
	qr_store_relaxed(&process->start_stack, 0);
	qr_store_relaxed(&process->group, 0);
	qr_store_relaxed(&process->space_end, 0);
	qr_store_relaxed(&process->pool_end, 0);
	memset(&process->usage, 0, sizeof(process->usage));
	memset(process->command, 0, sizeof(process->command));
	(void)qr_cas(&process->owner, &owner, owner_word(QR_DOMAIN_FREE, 0, owner));
}

unsigned qr_domain_bury_dead(struct qr_domain *domain)
{
	struct qr_domain_shared *shared = domain->shared;
	uint32_t nr_slots = qr_load_acquire(&shared->nr_slots);
	int saved_errno = errno;
	unsigned nr_buried = 0;

	for (uint32_t slot = 0; slot < nr_slots; slot++) {
		struct qr_domain_process *process = &shared->processes[slot];
		uint64_t owner = qr_load_acquire(&process->owner);

		if (owner_state(owner) == QR_DOMAIN_FREE || (owner & OWNER_WHO_MASK) == domain->owner)
			continue;
		if (holder_is_gone(process, owner) && bury_slot(domain, slot, owner))
			nr_buried++;
	}
	refresh_books(shared);
	errno = saved_errno;
	return nr_buried;
}

/* ---- Quota ---- */

/* Who starves could use as much again as it has. */
static uint64_t lack_of(const struct qr_domain *domain, uint64_t nr_frames)
{
	const struct qr_usage *usage = &domain->shared->processes[domain->slot].usage;

	return QR_MAX(nr_frames, qr_load_relaxed(&usage->used_bytes) >> QR_PAGE_SHIFT);
}

uint64_t qr_domain_take(struct qr_domain *domain, uint64_t nr_frames)
{
	int saved_errno = errno;
	uint64_t nr_taken;

	if (domain->slot == UINT32_MAX || !nr_frames)
		return 0;
	nr_taken = take_free(domain, domain->slot, nr_frames);
	if (!nr_taken && qr_domain_bury_dead(domain))
		nr_taken = take_free(domain, domain->slot, nr_frames);
	if (!nr_taken)
		qr_domain_call(domain, lack_of(domain, nr_frames));
	errno = saved_errno;
	return nr_taken;
}

/* Adds between 1 and nr_frames to the quota of a slot of this process; returns how many, or 0. */
static uint64_t take_free(struct qr_domain *domain, uint32_t slot, uint64_t nr_frames)
{
	uint64_t *quota = &domain->shared->processes[slot].quota_frames;
	struct qr_domain_sum sum;
	unsigned nr_looks = 0;

	for (unsigned round = 0; round < TAKE_ROUNDS; round++) {
		uint64_t nr_wanted, nr_over;

		count_books(domain->shared, &sum);
		if (!sum.free_frames) {
			if (++nr_looks == TAKE_LOOKS)
				return 0;
			continue;
		}
		nr_wanted = QR_MIN(nr_frames, QR_MIN(sum.free_frames, qr_domain_room(domain->shared, slot)));
		if (!nr_wanted)
			return 0;
		(void)qr_fetch_add(quota, nr_wanted);
		qr_fence(); /* announced before looking; pairs with the same fence in the other takers */
		count_books(domain->shared, &sum);
		qr_store_relaxed(&domain->shared->free_frames, sum.free_frames);
		nr_over = QR_MIN(QR_MAX(sum.debt_frames, qr_domain_excess(domain->shared, slot)), nr_wanted);
		if (nr_over)
			(void)qr_fetch_sub(quota, nr_over);
		if (nr_wanted > nr_over)
			return nr_wanted - nr_over;
		/* Two that withdraw in step would meet again: each slot waits a time of its own. */
		for (unsigned spin = 0; spin < (slot % 8) << round % 6; spin++)
			qr_fence();
	}
	return 0;
}

void qr_domain_give(struct qr_domain *domain, uint64_t nr_frames)
{
	uint64_t *quota, seen;

	if (domain->slot == UINT32_MAX)
		return;
	quota = &domain->shared->processes[domain->slot].quota_frames;
	seen = qr_load_relaxed(quota);
	while (!qr_cas(quota, &seen, seen - QR_MIN(seen, nr_frames)))
		continue;
	refresh_books(domain->shared); /* who pays a debt must see when it is paid */
}

void qr_domain_count(const struct qr_domain *domain, struct qr_domain_sum *sum)
{
	count_books(domain->shared, sum);
}

bool qr_domain_is_live(const struct qr_domain_process *process)
{
	return owner_state(qr_load_acquire(&process->owner)) == QR_DOMAIN_LIVE;
}

static void count_books(const struct qr_domain_shared *shared, struct qr_domain_sum *sum)
{
	uint32_t nr_slots = qr_load_acquire(&shared->nr_slots);
	uint64_t quota = 0, budget;
	uint32_t nr_live = 0;

	for (uint32_t slot = 0; slot < nr_slots; slot++) {
		const struct qr_domain_process *process = &shared->processes[slot];

		quota += qr_load_acquire(&process->quota_frames);
		nr_live += owner_state(qr_load_relaxed(&process->owner)) == QR_DOMAIN_LIVE;
	}
	budget = qr_load_acquire(&shared->budget_frames);
	sum->quota_frames = quota;
	sum->free_frames = budget > quota ? budget - quota : 0;
	sum->debt_frames = quota > budget ? quota - budget : 0;
	sum->nr_live = nr_live;
}

static void refresh_books(struct qr_domain_shared *shared)
{
	struct qr_domain_sum sum;

	count_books(shared, &sum);
	qr_store_relaxed(&shared->free_frames, sum.free_frames);
	qr_store_relaxed(&shared->debt_frames, sum.debt_frames);
	qr_store_relaxed(&shared->nr_live, sum.nr_live);
}

void qr_domain_set_budget(struct qr_domain *domain, uint64_t frames)
{
	qr_store_release(&domain->shared->budget_frames, QR_MIN(frames, domain->shared->max_frames));
	qr_fence(); /* a taker that looked before now is in the books already, or sees the new budget */
	refresh_books(domain->shared);
	if (qr_load_relaxed(&domain->shared->debt_frames))
		qr_domain_call(domain, 0);
}

/* ---- Fork ---- */

static uint32_t own_group(const struct qr_domain *domain)
{
	return domain->slot == UINT32_MAX ? 0 : qr_load_relaxed(&domain->shared->processes[domain->slot].group);
}

int qr_domain_reserve_child(struct qr_domain *domain, uint64_t nr_frames)
{
	uint64_t nr_taken = 0;
	uint32_t slot;
	int err = claim_slot(domain, &slot);

	if (err)
		return err;
	/* Until it calls execve() the child is what its parent is. */
	qr_store_relaxed(&domain->shared->processes[slot].group, own_group(domain));
	for (unsigned tries = 0; tries < 2 && nr_taken < nr_frames; tries++) {
		uint64_t nr_more;

		if (tries)
			(void)qr_domain_bury_dead(domain);
		do {
			nr_more = take_free(domain, slot, nr_frames - nr_taken);
			nr_taken += nr_more;
		} while (nr_more && nr_taken < nr_frames);
	}
	if (nr_taken < nr_frames) {
		qr_domain_call(domain, nr_frames - nr_taken);
		qr_domain_release_slot(domain, slot);
		return QR_EAGAIN;
	}
	domain->child_frames = nr_frames;
	domain->child_owner = qr_load_relaxed(&domain->shared->processes[slot].owner);
	return (int)slot;
}

void qr_domain_set_child_pid(struct qr_domain *domain, uint32_t slot, int pid)
{
	struct qr_domain_process *process = &domain->shared->processes[slot];
	uint64_t owner = qr_load_acquire(&process->owner);
	struct qr_proc_stat child;
	int saved_errno = errno;

	/* Otherwise the child has adopted it already. */
	if (owner_state(owner) == QR_DOMAIN_CLAIMED && (owner & OWNER_WHO_MASK) == domain->owner) {
		int err = qr_proc_stat_read(pid, &child);

		if (err == QR_ENOENT && syscall(SYS_kill, pid, 0) && errno == ESRCH) {
			(void)bury_slot(domain, slot, owner); /* it has come and gone */
		} else {
			if (err)
				child.start_time = 0;
			child.pid = pid;
			(void)qr_cas(&process->owner, &owner, owner_word(QR_DOMAIN_CLAIMED, who_of(&child), owner));
		}
	}
	errno = saved_errno;
}

int qr_domain_adopt(struct qr_domain *domain, uint32_t slot)
{
	uint64_t parent = domain->owner;
	uint64_t reserved = domain->child_owner;
	struct qr_proc_stat self;
	uint64_t *word = &domain->shared->processes[slot].owner;
	uint64_t owner = qr_load_acquire(word);
	int err;

	qr_proc_stat_self(&self);
	domain->owner = who_of(&self);
	domain->slot = UINT32_MAX;
	/* The word is the parent's still, or the parent has put this process into it. */
	while (owner == owner_word(QR_DOMAIN_CLAIMED, parent, reserved) ||
	       owner == owner_word(QR_DOMAIN_CLAIMED, domain->owner, reserved)) {
		if (qr_cas(word, &owner, owner_word(QR_DOMAIN_CLAIMED, domain->owner, reserved))) {
			open_slot(domain, slot, reserved, &self);
			return 0;
		}
	}
	err = claim_slot(domain, &slot);
	if (err)
		return err;
	/* The child holds these frames whether or not they are free: a debt that is paid as processes reclaim. */
	(void)qr_fetch_add(&domain->shared->processes[slot].quota_frames, domain->child_frames);
	open_slot(domain, slot, qr_load_relaxed(&domain->shared->processes[slot].owner), &self);
	if (qr_load_relaxed(&domain->shared->debt_frames))
		qr_domain_call(domain, 0);
	return 0;
}

void qr_domain_release_slot(struct qr_domain *domain, uint32_t slot)
{
	uint64_t owner = qr_load_acquire(&domain->shared->processes[slot].owner);

	if (owner_state(owner) == QR_DOMAIN_CLAIMED && (owner & OWNER_WHO_MASK) == domain->owner)
		(void)bury_slot(domain, slot, owner);
	refresh_books(domain->shared);
}

/* ---- Who is alive ---- */

/* False when in doubt: a quota that is kept too long costs memory, one returned too early breaks the budget. */
static bool holder_is_gone(const struct qr_domain_process *process, uint64_t owner)
{
	int32_t pid = (int32_t)((owner >> OWNER_PID_SHIFT) & OWNER_PID_MASK);
	uint32_t start = (uint32_t)(owner >> OWNER_START_SHIFT);
	uint64_t start_stack = qr_load_relaxed(&process->start_stack);
	struct qr_proc_stat stat;
	int err = qr_proc_stat_read(pid, &stat);

	/* /proc may hide the processes of other users. */
	if (err == QR_ENOENT)
		return syscall(SYS_kill, pid, 0) && errno == ESRCH;
	if (err)
		return false;
	/* A first thread that has ended is a zombie while the others run on. */
	if ((stat.state == 'Z' || stat.state == 'X') && stat.nr_threads <= 1)
		return true;
	if (start && start != (uint32_t)stat.start_time)
		return true;
	/* The process lives, but its memory went with execve(), and the new program is not a member. */
	return owner_state(owner) == QR_DOMAIN_LIVE && start_stack && stat.start_stack &&
	       start_stack != stat.start_stack;
}
