/*
 * Notes for a lock meter. A port that measures locks is built with QR_SIM defined and supplies the functions;
 * everywhere else they are nothing. A take: begin before the first try, taken when the caller has the lock.
 */
#ifndef QR_CORE_METER_H
#define QR_CORE_METER_H

#include "base/base.h"

#ifdef QR_SIM
/* rank: an enum qr_lock_rank, which is the lock's class in the table; QR_RANK_NONE where init has told it. */
void qr_port_meter_init(const void *lock, unsigned rank);
/* may_sleep: a waiter goes to sleep after some turns. */
void qr_port_meter_begin(const void *lock, unsigned rank, bool may_sleep);
void qr_port_meter_taken(const void *lock, bool had_to_wait);
void qr_port_meter_release(const void *lock);
#else
static inline void qr_port_meter_init(const void *lock, unsigned rank)
{
	(void)lock;
	(void)rank;
}

static inline void qr_port_meter_begin(const void *lock, unsigned rank, bool may_sleep)
{
	(void)lock;
	(void)rank;
	(void)may_sleep;
}

static inline void qr_port_meter_taken(const void *lock, bool had_to_wait)
{
	(void)lock;
	(void)had_to_wait;
}

static inline void qr_port_meter_release(const void *lock)
{
	(void)lock;
}
#endif

/* A try that succeeded. */
static inline void qr_port_meter_tried(const void *lock, unsigned rank)
{
	qr_port_meter_begin(lock, rank, false);
	qr_port_meter_taken(lock, false);
}

#endif
