/*
 * Locks of core, each 4 bytes in release builds:
 *   qr_spinlock  short sections, never sleeps inside, no port call that may sleep inside
 *   qr_mutex     may sleep; the holder may call the port (translation, I/O)
 *   qr_rwsem     readers or one writer; may sleep; a waiting writer bars new readers
 * A waiter spins for a bounded time and then parks in the port on the lock's own word.
 * Locks nest in ascending rank only; debug builds check it on each take (docs/locking.md shows the order).
 */
#ifndef QR_CORE_LOCK_H
#define QR_CORE_LOCK_H

#include "base/meter.h"
#include "sync/atomic.h"

/* The lock order, outermost first. A thread may take a lock only if its rank is above all it holds,
 * or equal where the comment says "in address order". */
enum qr_lock_rank {
	QR_RANK_NONE,          /* not checked */
	QR_RANK_ASPACE,        /* qr_aspace.lock: the shape of an address space */
	QR_RANK_VMA,           /* qr_vma.lock; several in address order */
	QR_RANK_FOLIO,         /* the LOCKED bit of a folio's head frame; others by trylock only */
	QR_RANK_OBJECT,        /* qr_object.lock: the VMAs of an object */
	QR_RANK_PT,            /* a page-table page's lock, in its frame descriptor; several in address order */
	QR_RANK_SWAP_IO,       /* swap file cluster under construction */
	QR_RANK_SWAP,          /* slot map, swap cache */
	QR_RANK_ZPOOL,         /* compressed pool */
	QR_RANK_SLAB,          /* a slab cache's node list */
	QR_RANK_SLAB_CPU,      /* a slab cache's per-CPU array */
	QR_RANK_LRU_CPU,       /* a per-CPU batch of LRU additions */
	QR_RANK_LRU,           /* an lruvec */
	QR_RANK_PCP,           /* per-CPU page list */
	QR_RANK_ZONE,          /* a zone's free areas */
	QR_RANK_STAT,
	QR_NR_RANKS
};

struct qr_spinlock {
	uint32_t state; /* 0 free, 1 held */
#if QR_DEBUG
	uint32_t rank;
#endif
};

struct qr_mutex {
	uint32_t state; /* 0 free, 1 held, 2 held and somebody may be parked */
#if QR_DEBUG
	uint32_t rank;
#endif
};

/* state: bits 0-29 number of readers, bit 30 a writer holds, bit 31 somebody may be parked; free is 0 */
struct qr_rwsem {
	uint32_t state;
#if QR_DEBUG
	uint32_t rank;
#endif
};

void qr_spin_init(struct qr_spinlock *lock, enum qr_lock_rank rank);
void qr_spin_lock(struct qr_spinlock *lock);
/* The same; true if somebody else held it and it had to wait. */
bool qr_spin_lock_waited(struct qr_spinlock *lock);
bool qr_spin_trylock(struct qr_spinlock *lock);
void qr_spin_unlock(struct qr_spinlock *lock);

void qr_mutex_init(struct qr_mutex *lock, enum qr_lock_rank rank);
void qr_mutex_lock(struct qr_mutex *lock);
bool qr_mutex_trylock(struct qr_mutex *lock);
void qr_mutex_unlock(struct qr_mutex *lock);

void qr_rwsem_init(struct qr_rwsem *lock, enum qr_lock_rank rank);
void qr_rwsem_read_lock(struct qr_rwsem *lock);
bool qr_rwsem_read_trylock(struct qr_rwsem *lock);
void qr_rwsem_read_unlock(struct qr_rwsem *lock);
void qr_rwsem_write_lock(struct qr_rwsem *lock);
void qr_rwsem_write_unlock(struct qr_rwsem *lock);

/* Debug builds: the locks that this thread holds. The port keeps one per thread (per CPU where CPUs do not sleep). */
#define QR_MAX_HELD 64
struct qr_held_locks {
	uint32_t nr;
	const void *lock[QR_MAX_HELD];
	uint8_t rank[QR_MAX_HELD];
};
/* For locks that are bits of a larger word (the folio lock): note the take and the release. No-ops in release. A take
 * that is no try also checks the order; call it before the wait, or after it where that is all one can. */
#if QR_DEBUG
void qr_lock_note_take(const void *lock, enum qr_lock_rank rank, bool is_try);
void qr_lock_note_release(const void *lock, enum qr_lock_rank rank);
#else
static inline void qr_lock_note_take(const void *lock, enum qr_lock_rank rank, bool is_try)
{
	(void)lock;
	(void)rank;
	(void)is_try;
}

static inline void qr_lock_note_release(const void *lock, enum qr_lock_rank rank)
{
	(void)lock;
	(void)rank;
}
#endif

#endif
