/*
 * Fork. The child gets the whole manager by the kernel's own copy on write: descriptors, compressed pool, resident
 * pages. What it must not share is made anew: userfaultfd, threads, the I/O ring, the swap file it writes to. The
 * parent's swap files stay readable to the child; the parent leaves the clusters that the child may need alone
 * until the child is gone, which the closing of a pipe tells it.
 *
 * Every page that the two share may be copied later, so the child's quota is taken in full before the fork; where
 * the budget does not allow it the parent first puts pages out.
 *
 * Order in the parent: signals blocked, gate closed (no thread inside core), kswapd stopped, swap flushed and frozen.
 */
#define _LGPL_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include <urcu/urcu-bp.h>

#define SHRINK_STEP 1024u
/* Others notice within 100 ms that somebody starves; 2 s is enough for them to put pages out. */
#define FORK_WAITS 40u
#define FORK_WAIT_US 50000u

static int fork_open_pipe(struct qr_fork *fork);
static int fork_reserve(struct qr_manager *manager);
static void fork_restore_limit(struct qr_manager *manager);
static void fork_remember_child(struct qr_manager *manager);

int qr_manager_fork_prepare(struct qr_manager *manager)
{
	struct qr_fork *fork = &manager->fork;
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_rwlock_wrlock(&fork->gate);
	pthread_mutex_lock(&manager->budget_lock);
	fork->old_mask = old;
	qr_kswapd_stop(manager->vmm);
	fork->slot = -1;
	fork->token = -1;
	fork->pipe[0] = fork->pipe[1] = -1;
	fork->spare_frames = manager->quota_frames - QR_MIN(manager->quota_frames, (uint64_t)manager->vmm->nr_limit);
	err = fork_open_pipe(fork);
	if (!err && manager->has_domain)
		err = fork_reserve(manager);
	/* Nothing is stored from here on: what the file holds now is what the child will read. */
	if (!err) {
		fork->token = qr_swap_freeze(manager->vmm->swap);
		err = QR_MIN(fork->token, 0);
	}
	if (err) {
		qr_manager_fork_parent(manager, -1);
		return err;
	}
	/* The child's use is added to what is known of this process, which has given much back since its last tick. */
	qr_budget_publish(manager);
	qr_store_release(&fork->state, QR_FORK_ANNOUNCED);
	urcu_bp_before_fork();
	return 0;
}

static int fork_open_pipe(struct qr_fork *fork)
{
	if (pipe2(fork->pipe, O_CLOEXEC | O_NONBLOCK))
		return QR_EAGAIN;
	fork->pipe[0] = qr_adopt_fd(fork->pipe[0]);
	fork->pipe[1] = qr_adopt_fd(fork->pipe[1]);
	return 0;
}

/* Reserves what the child may come to need, all that is resident now: returns unused quota, puts pages out, and waits
 * for others to make room, in this order. */
static int fork_reserve(struct qr_manager *manager)
{
	struct qr_vmm *vmm = manager->vmm;
	unsigned nr_waits = 0;

	for (;;) {
		uint32_t used = (uint32_t)qr_budget_used_frames(manager);
		/* Free frames that hold memory would be copied as well: they go back first. */
		uint64_t limit = qr_budget_shrink(manager, used + vmm->zone.watermark[QR_WMARK_HIGH]);
		uint64_t needed = QR_MAX(limit, qr_budget_resident_frames());

		manager->fork.slot = qr_domain_reserve_child(&manager->domain, needed);
		if (manager->fork.slot >= 0)
			return 0;
		if (qr_budget_return_unused(manager, needed))
			continue;
		if (limit > QR_DOMAIN_MIN_FRAMES && qr_reclaim(vmm, SHRINK_STEP))
			continue;
		if (nr_waits++ == FORK_WAITS)
			return QR_ENOMEM;
		usleep(FORK_WAIT_US);
	}
}

void qr_manager_fork_parent(struct qr_manager *manager, int child_pid)
{
	struct qr_fork *fork = &manager->fork;
	sigset_t old = fork->old_mask;

	if (qr_load_acquire(&fork->state) != QR_FORK_NONE)
		urcu_bp_after_fork_parent();
	/* The kernel lets fork go on as soon as the event is read, before the handler has looked at it. */
	while (child_pid > 0 && manager->port.has_fork_events && qr_load_acquire(&fork->state) == QR_FORK_ANNOUNCED)
		qr_port_wait(&fork->state, QR_FORK_ANNOUNCED);
	qr_store_release(&fork->state, QR_FORK_NONE);
	if (fork->pipe[1] >= 0)
		qr_close_fd(fork->pipe[1]);
	if (child_pid > 0) {
		fork_remember_child(manager);
		if (fork->slot >= 0)
			qr_domain_set_child_pid(&manager->domain, (uint32_t)fork->slot, child_pid);
	} else {
		if (fork->pipe[0] >= 0)
			qr_close_fd(fork->pipe[0]);
		if (fork->token >= 0)
			qr_swap_thaw(manager->vmm->swap, fork->token);
		if (fork->slot >= 0)
			qr_domain_release_slot(&manager->domain, (uint32_t)fork->slot);
	}
	fork_restore_limit(manager);
	if (qr_kswapd_start(manager->vmm))
		qr_port_log(&manager->port, QR_LOG_WARN, "no thread for background reclaim after a fork");
	pthread_mutex_unlock(&manager->budget_lock);
	pthread_rwlock_unlock(&fork->gate);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* The pool gets back what fork_reserve() took for the time of the fork, as far as the quota has room for it beside what
 * is resident and what the pool may take without asking; else the first faults after the fork would ask the domain for
 * memory that this process has. */
static void fork_restore_limit(struct qr_manager *manager)
{
	struct qr_vmm *vmm = manager->vmm;
	uint64_t before = manager->quota_frames - QR_MIN(manager->fork.spare_frames, manager->quota_frames);
	uint64_t committed, room;

	if (!manager->has_domain || before <= vmm->nr_limit)
		return;
	committed = qr_budget_resident_frames() + qr_zone_nr_free(&vmm->zone) + QR_DOMAIN_SLACK_FRAMES;
	room = manager->quota_frames - QR_MIN(manager->quota_frames, committed);
	if (room)
		(void)qr_vmm_set_limit(vmm, (uint32_t)QR_MIN(before, vmm->nr_limit + room));
}

static void fork_remember_child(struct qr_manager *manager)
{
	struct qr_fork *fork = &manager->fork;

	qr_fork_tick(manager);
	for (unsigned i = 0; i < QR_MAX_FORK_CHILDREN; i++) {
		if (fork->children[i].fd >= 0)
			continue;
		fork->children[i].fd = fork->pipe[0];
		fork->children[i].token = fork->token;
		return;
	}
	/* More children than tokens: freeze refused before it came to this. */
	QR_BUG_ON(true);
}

/* The caller keeps others out: the gate, or the budget thread between forks. */
void qr_fork_tick(struct qr_manager *manager)
{
	struct qr_fork *fork = &manager->fork;

	for (unsigned i = 0; i < QR_MAX_FORK_CHILDREN; i++) {
		char byte;

		/* End of file: the child and all its own children are gone or run other programs. */
		if (fork->children[i].fd < 0 || read(fork->children[i].fd, &byte, 1) != 0)
			continue;
		qr_close_fd(fork->children[i].fd);
		fork->children[i].fd = -1;
		qr_swap_thaw(manager->vmm->swap, fork->children[i].token);
	}
}

/* The parent's open ends and threads mean nothing here. */
static void child_forget_parent(struct qr_manager *manager)
{
	struct qr_fork *fork = &manager->fork;
	pthread_rwlockattr_t attributes;

	qr_uffd_close(manager);
	qr_close_fd(manager->handler_eventfd);
	qr_close_fd(fork->pipe[0]);
	fork->lifeline = fork->pipe[1];
	for (unsigned i = 0; i < QR_MAX_FORK_CHILDREN; i++) {
		if (fork->children[i].fd >= 0)
			qr_close_fd(fork->children[i].fd);
		fork->children[i].fd = -1;
	}
	memset(manager->port.threads, 0, sizeof(manager->port.threads));
	fork->state = QR_FORK_NONE;
	fork->token = -1;
	pthread_mutex_init(&manager->read_lock, NULL);
	pthread_mutex_init(&manager->budget_lock, NULL);
	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&fork->gate, &attributes);
	pthread_rwlockattr_destroy(&attributes);
}

int qr_manager_fork_child(struct qr_manager *manager)
{
	struct qr_fork *fork = &manager->fork;
	const char *error_text = NULL;
	sigset_t old = fork->old_mask;
	int err;

	urcu_bp_after_fork_child();
	qr_internal_enter();
	child_forget_parent(manager);
	err = manager->has_domain ? qr_domain_adopt(&manager->domain, (uint32_t)fork->slot) : 0;
	if (!err && manager->has_domain)
		manager->quota_frames = manager->domain.shared->processes[manager->domain.slot].quota_frames;
	fork->slot = -1;
	if (!err)
		err = qr_uffd_open(manager, &error_text);
	if (!err)
		err = qr_uffd_register(manager, &error_text);
	if (!err)
		err = qr_io_after_fork_child(&manager->port.io);
	if (!err)
		err = qr_swap_after_fork_child(manager->vmm->swap);
	if (!err)
		err = qr_manager_start_threads(manager);
	qr_internal_leave();
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}
