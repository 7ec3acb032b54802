/*
 * The folio lock, two bits of the head's flags, and references.
 *
 * Algorithm: the three-state mutex of U. Drepper, "Futexes Are Tricky" (2011), section 5, with its states "held" and
 * "held, somebody may be parked" spelt as bits, since the other bits of the word change under the lock's feet. Such a
 * change ends a park early, which the loop takes as a spurious wake-up.
 */
#include <quire/port.h>

#include "page/frame.h"

/* As for the locks of core/sync/lock.c: about 2 us. */
#define SPINS_BEFORE_PARK 100u

static bool folio_lock_with(struct qr_frame *folio, uint32_t waiters);

bool qr_folio_trylock(struct qr_frame *folio)
{
	/* Acquire pairs with the release in qr_folio_unlock. */
	if (!folio_lock_with(folio, 0))
		return false;
	qr_port_meter_tried(folio, QR_RANK_FOLIO);
	qr_lock_note_take(folio, QR_RANK_FOLIO, true);
	return true;
}

void qr_folio_lock(struct qr_frame *folio)
{
	bool is_taken = false;
	unsigned spins;

	qr_port_meter_begin(folio, QR_RANK_FOLIO, true);
	for (spins = 0; !is_taken && spins < SPINS_BEFORE_PARK; spins++) {
		is_taken = folio_lock_with(folio, 0);
		if (!is_taken)
			qr_port_cpu_relax(spins);
	}
	/* Whoever was parked takes the lock together with WAITERS, since others may still be parked. */
	while (!is_taken && !folio_lock_with(folio, QR_FOLIO_WAITERS)) {
		uint32_t seen = qr_fetch_or(&folio->flags, QR_FOLIO_WAITERS) | QR_FOLIO_WAITERS;

		if (seen & QR_FOLIO_LOCKED)
			qr_port_wait(&folio->flags, seen);
	}
	/* The first try is the turn 0. */
	qr_port_meter_taken(folio, spins > 1);
	qr_lock_note_take(folio, QR_RANK_FOLIO, false);
}

void qr_folio_unlock(struct qr_frame *folio)
{
	uint32_t before;

	qr_lock_note_release(folio, QR_RANK_FOLIO);
	qr_port_meter_release(folio);
	before = qr_fetch_and(&folio->flags, ~(QR_FOLIO_LOCKED | QR_FOLIO_WAITERS));
	QR_BUG_ON(!(before & QR_FOLIO_LOCKED));
	/* The frame may serve somebody else by now; a wake-up too many does no harm. */
	if (before & QR_FOLIO_WAITERS)
		qr_port_wake(&folio->flags, 1);
}

bool qr_folio_try_get(struct qr_frame *folio)
{
	uint32_t refs = qr_load_relaxed(&folio->refs);

	/* Acquire pairs with whoever made the folio and set its first reference. */
	while (refs) {
		if (qr_cas(&folio->refs, &refs, refs + 1))
			return true;
	}
	return false;
}

/* Sets LOCKED and waiters if LOCKED was clear. */
static bool folio_lock_with(struct qr_frame *folio, uint32_t waiters)
{
	uint32_t seen = qr_load_relaxed(&folio->flags);

	while (!(seen & QR_FOLIO_LOCKED)) {
		if (qr_cas_acquire(&folio->flags, &seen, seen | QR_FOLIO_LOCKED | waiters))
			return true;
	}
	return false;
}
