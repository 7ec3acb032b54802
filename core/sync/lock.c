/* Spin lock, mutex and reader-writer semaphore. See lock.h for which is for what. */
#include "sync/lock.h"

#include <quire/port.h>

/* Long enough for a short critical section on another CPU (about 2 us), short enough not to matter when
 * the holder is not running. */
#define SPINS_BEFORE_PARK 100u

/* Races for a spin lock that a waiter loses before it begins to keep away: a few waiters do not get there. */
#define SPIN_RACES 16u
/* Between two looks of a waiting spinner at the lock, at most: 2048 turns are some 40 us. */
#define SPIN_PAUSE_MAX 2048u

#define RWSEM_READERS 0x3fffffffu
#define RWSEM_WRITER 0x40000000u
#define RWSEM_PARKED 0x80000000u

#if QR_DEBUG
#define lock_rank(lock) ((enum qr_lock_rank)(lock)->rank)
#define lock_set_rank(lock, r) ((lock)->rank = (uint32_t)(r))
static void lock_check_order(const void *lock, enum qr_lock_rank rank);
static void note_taken(const void *lock, enum qr_lock_rank rank);
#else
#define lock_rank(lock) QR_RANK_NONE
#define lock_set_rank(lock, r) ((void)(r))
#define lock_check_order(lock, rank) ((void)0)
#define note_taken(lock, rank) ((void)0)
#endif

void qr_spin_init(struct qr_spinlock *lock, enum qr_lock_rank rank)
{
	lock->state = 0;
	lock_set_rank(lock, rank);
	qr_port_meter_init(lock, rank);
}

void qr_spin_lock(struct qr_spinlock *lock)
{
	(void)qr_spin_lock_waited(lock);
}

/*
 * Test and set with exponential backoff (T. Anderson, "The Performance of Spin Lock Alternatives for Shared-Memory
 * Multiprocessors", IEEE TPDS 1 (1990), section 3): whoever has lost some races for it looks again after 2, 4, ...
 * turns. Without that a release costs a look and a try of every waiter, and at hundreds of CPUs the lock stands still.
 * A queue of waiters would be fairer, but a thread that waits must leave no trace in the lock: fork takes it away.
 */
bool qr_spin_lock_waited(struct qr_spinlock *lock)
{
	unsigned spins = 0, pause = 1, nr_lost = 0;
	bool had_to_wait = false;

	lock_check_order(lock, lock_rank(lock));
	qr_port_meter_begin(lock, QR_RANK_NONE, false);
	/* Acquire pairs with the release in qr_spin_unlock. */
	while (qr_unlikely(qr_exchange_acquire(&lock->state, 1))) {
		had_to_wait = true;
		while (qr_load_relaxed(&lock->state)) {
			for (unsigned turn = 0; turn < pause; turn++)
				qr_port_cpu_relax(spins++);
		}
		if (++nr_lost > SPIN_RACES)
			pause = QR_MIN(2 * pause, SPIN_PAUSE_MAX);
	}
	qr_port_meter_taken(lock, had_to_wait);
	note_taken(lock, lock_rank(lock));
	return had_to_wait;
}

bool qr_spin_trylock(struct qr_spinlock *lock)
{
	if (qr_load_relaxed(&lock->state) || qr_exchange_acquire(&lock->state, 1))
		return false;
	qr_port_meter_tried(lock, QR_RANK_NONE);
	note_taken(lock, lock_rank(lock));
	return true;
}

void qr_spin_unlock(struct qr_spinlock *lock)
{
	qr_lock_note_release(lock, lock_rank(lock));
	qr_port_meter_release(lock);
	qr_store_release(&lock->state, 0);
}

void qr_mutex_init(struct qr_mutex *lock, enum qr_lock_rank rank)
{
	lock->state = 0;
	lock_set_rank(lock, rank);
	qr_port_meter_init(lock, rank);
}

void qr_mutex_lock(struct qr_mutex *lock)
{
	unsigned spins;

	lock_check_order(lock, lock_rank(lock));
	qr_port_meter_begin(lock, QR_RANK_NONE, true);
	for (spins = 0; spins < SPINS_BEFORE_PARK; spins++) {
		uint32_t seen = qr_load_relaxed(&lock->state);

		/* Only a free lock is written to: waiters leave the holder its cache line. */
		if (!seen && qr_cas_acquire(&lock->state, &seen, 1))
			goto taken;
		qr_port_cpu_relax(spins);
	}
	/* State 2 tells the holder to wake one; a waiter takes the lock as 2 since others may still be parked. */
	while (qr_exchange_acquire(&lock->state, 2))
		qr_port_wait(&lock->state, 2);
taken:
	qr_port_meter_taken(lock, spins > 0);
	note_taken(lock, lock_rank(lock));
}

bool qr_mutex_trylock(struct qr_mutex *lock)
{
	uint32_t seen = 0;

	if (!qr_cas_acquire(&lock->state, &seen, 1))
		return false;
	qr_port_meter_tried(lock, QR_RANK_NONE);
	note_taken(lock, lock_rank(lock));
	return true;
}

void qr_mutex_unlock(struct qr_mutex *lock)
{
	qr_lock_note_release(lock, lock_rank(lock));
	qr_port_meter_release(lock);
	if (qr_exchange_release(&lock->state, 0) == 2)
		qr_port_wake(&lock->state, 1);
}

void qr_rwsem_init(struct qr_rwsem *lock, enum qr_lock_rank rank)
{
	lock->state = 0;
	lock_set_rank(lock, rank);
	qr_port_meter_init(lock, rank);
}

/* Parks until the state changes from seen, after it was marked as parked on. seen is held by somebody, so that the
 * mark is only ever on a lock that somebody holds: whoever makes it free takes the mark away and wakes all. */
static void rwsem_park(struct qr_rwsem *lock, uint32_t seen)
{
	if (!(seen & RWSEM_PARKED) && !qr_cas(&lock->state, &seen, seen | RWSEM_PARKED))
		return;
	qr_port_wait(&lock->state, seen | RWSEM_PARKED);
}

bool qr_rwsem_read_trylock(struct qr_rwsem *lock)
{
	uint32_t seen = qr_load_relaxed(&lock->state);

	while (!(seen & (RWSEM_WRITER | RWSEM_PARKED))) {
		if (qr_cas_acquire(&lock->state, &seen, seen + 1)) {
			qr_port_meter_tried(lock, QR_RANK_NONE);
			note_taken(lock, lock_rank(lock));
			return true;
		}
	}
	return false;
}

void qr_rwsem_read_lock(struct qr_rwsem *lock)
{
	unsigned spins;

	lock_check_order(lock, lock_rank(lock));
	qr_port_meter_begin(lock, QR_RANK_NONE, true);
	for (spins = 0;; spins++) {
		uint32_t seen = qr_load_relaxed(&lock->state);

		if (!(seen & (RWSEM_WRITER | RWSEM_PARKED))) {
			if (qr_cas_acquire(&lock->state, &seen, seen + 1))
				break;
		} else if (spins < SPINS_BEFORE_PARK) {
			qr_port_cpu_relax(spins);
		} else {
			rwsem_park(lock, seen);
		}
	}
	qr_port_meter_taken(lock, spins > 0);
	note_taken(lock, lock_rank(lock));
}

/* Releases are one atomic operation and touch the lock no more: the next holder may free it at once. All are woken
 * and race for it again. */
void qr_rwsem_read_unlock(struct qr_rwsem *lock)
{
	uint32_t seen = qr_load_relaxed(&lock->state);
	uint32_t now;

	qr_lock_note_release(lock, lock_rank(lock));
	qr_port_meter_release(lock);
	do {
		QR_ASSERT((seen & RWSEM_READERS) && !(seen & RWSEM_WRITER));
		now = seen - 1 == RWSEM_PARKED ? 0 : seen - 1;
	} while (!qr_cas(&lock->state, &seen, now));
	if (!now && (seen & RWSEM_PARKED))
		qr_port_wake(&lock->state, UINT32_MAX);
}

void qr_rwsem_write_lock(struct qr_rwsem *lock)
{
	unsigned spins;

	lock_check_order(lock, lock_rank(lock));
	qr_port_meter_begin(lock, QR_RANK_NONE, true);
	for (spins = 0;; spins++) {
		uint32_t seen = qr_load_relaxed(&lock->state);

		if (!seen) {
			if (qr_cas_acquire(&lock->state, &seen, RWSEM_WRITER))
				break;
		} else if (spins < SPINS_BEFORE_PARK) {
			qr_port_cpu_relax(spins);
		} else {
			rwsem_park(lock, seen);
		}
	}
	qr_port_meter_taken(lock, spins > 0);
	note_taken(lock, lock_rank(lock));
}

void qr_rwsem_write_unlock(struct qr_rwsem *lock)
{
	qr_lock_note_release(lock, lock_rank(lock));
	qr_port_meter_release(lock);
	QR_ASSERT(qr_load_relaxed(&lock->state) & RWSEM_WRITER);
	/* While a writer holds it nobody but a parker writes to the state. */
	if (qr_exchange_release(&lock->state, 0) & RWSEM_PARKED)
		qr_port_wake(&lock->state, UINT32_MAX);
}

#if QR_DEBUG
/* Before a wait, so that a wrong order is reported rather than waited for. */
static void lock_check_order(const void *lock, enum qr_lock_rank rank)
{
	const struct qr_held_locks *held = qr_port_held_locks();

	if (rank == QR_RANK_NONE)
		return;
	for (uint32_t i = 0; i < held->nr; i++) {
		QR_BUG_ON(held->lock[i] == lock);
		QR_BUG_ON(held->rank[i] > rank);
		/* Some ranks allow several; the order within them is by virtual address, which is not known here. */
		QR_BUG_ON(held->rank[i] == rank && rank != QR_RANK_PT && rank != QR_RANK_VMA);
	}
}

void qr_lock_note_take(const void *lock, enum qr_lock_rank rank, bool is_try)
{
	if (!is_try)
		lock_check_order(lock, rank);
	note_taken(lock, rank);
}

static void note_taken(const void *lock, enum qr_lock_rank rank)
{
	struct qr_held_locks *held = qr_port_held_locks();

	if (rank == QR_RANK_NONE)
		return;
	QR_BUG_ON(held->nr >= QR_MAX_HELD);
	held->lock[held->nr] = lock;
	held->rank[held->nr++] = (uint8_t)rank;
}

void qr_lock_note_release(const void *lock, enum qr_lock_rank rank)
{
	struct qr_held_locks *held = qr_port_held_locks();

	if (rank == QR_RANK_NONE)
		return;
	for (uint32_t i = held->nr; i-- > 0;) {
		if (held->lock[i] != lock)
			continue;
		for (held->nr--; i < held->nr; i++) {
			held->lock[i] = held->lock[i + 1];
			held->rank[i] = held->rank[i + 1];
		}
		return;
	}
	QR_BUG_ON(true); /* released by a thread that does not hold it */
}
#endif
