/*
 * Pins: ranges of managed memory that a system call in progress reads or writes. With delivery by signals a call that
 * meets a missing page fails with EFAULT; so the ranges are published first, then made present, and reclaim leaves
 * them alone until they are withdrawn.
 *
 * What makes that sound is the page-table page's lock: reclaim looks for pins and unmaps under one hold of it, and a
 * pin is published before its owner takes it to see what is present.
 */
#ifndef QR_PROCESS_PIN_H
#define QR_PROCESS_PIN_H

#include <stdbool.h>
#include <stdint.h>

#include "sync/lock.h"

struct qr_manager;

#define QR_PINS_MAX 128u

struct qr_pin {
	uint64_t start, end; /* (A) bytes */
};

/* What one thread has published: a stack. The owner writes, reclaim reads. */
struct qr_pins {
	struct qr_pins *next;             /* (I) */
	uint32_t nr;        /* (A) release: the entries below are set; acquire in qr_pins_meet() */
	struct qr_pin ranges[QR_PINS_MAX]; /* [0, nr) */
};

/* Makes a thread's pins known to reclaim; they stay known for the life of the process. */
void qr_pins_add(struct qr_pins *pins);

/* Publishes one more range; false when there are QR_PINS_MAX. It counts from the next qr_pins_settle() on. */
static inline bool qr_pins_push(struct qr_pins *pins, uint64_t start, uint64_t end)
{
	uint32_t nr = pins->nr;

	if (nr == QR_PINS_MAX)
		return false;
	qr_store_relaxed(&pins->ranges[nr].start, start);
	qr_store_relaxed(&pins->ranges[nr].end, end);
	qr_store_release(&pins->nr, nr + 1);
	return true;
}

/* Withdraws all but the first nr ranges. */
static inline void qr_pins_pop(struct qr_pins *pins, uint32_t nr)
{
	qr_store_release(&pins->nr, nr); /* release: the system call is over */
}

/* Makes the pages of the ranges from number first on present, as far as the manager has a mapping there that can be
 * read; others are left for the system call to report. Returns how many those are. The caller has blocked all signals.
 * May sleep; no locks held. */
uint32_t qr_pins_settle(struct qr_manager *manager, const struct qr_pins *pins, uint32_t first);

/* The bytes that one system call may pin under the manager's budget; longer transfers are made in pieces. */
uint64_t qr_pins_limit(const struct qr_manager *manager);

/* Does a pin of any thread meet the range? The caller holds the lock of the range's page-table page.
 * O(threads that have ever pinned). */
bool qr_pins_meet(uint64_t start, uint64_t end);

/* In the child of a fork: all pins but these belong to threads that are gone. */
void qr_pins_forget_others(const struct qr_pins *own);

#endif
