/*
 * The lock of one page-table page (T2: split page-table locks): a mutex whose whole state is one word of the page's
 * frame descriptor, so that a lock per 2 MiB of address space costs no memory.
 *
 * Algorithm: the three-state mutex of U. Drepper, "Futexes Are Tricky", 2011, section 5 (mutex, take 2).
 * State: 0 free, 1 held, 2 held and somebody may be parked.
 */
#include <quire/port.h>

#include "pgtable/pgtable.h"

/* As for qr_mutex: about 2 us. */
#define SPINS_BEFORE_PARK 100u

void qr_pt_lock(struct qr_frame *page)
{
	uint32_t seen;

	for (unsigned spins = 0; spins < SPINS_BEFORE_PARK; spins++) {
		seen = 0;
		/* Acquire pairs with the release in qr_pt_unlock. */
		if (qr_cas_acquire(&page->pt_lock, &seen, 1))
			goto taken;
		qr_port_cpu_relax(spins);
	}
	/* A waiter takes the lock as 2, since others may still be parked. */
	while (qr_exchange_acquire(&page->pt_lock, 2))
		qr_port_wait(&page->pt_lock, 2);
taken:
	qr_lock_note_take(&page->pt_lock, QR_RANK_PT, false);
}

bool qr_pt_trylock(struct qr_frame *page)
{
	uint32_t seen = 0;

	if (!qr_cas_acquire(&page->pt_lock, &seen, 1))
		return false;
	qr_lock_note_take(&page->pt_lock, QR_RANK_PT, true);
	return true;
}

void qr_pt_unlock(struct qr_frame *page)
{
	qr_lock_note_release(&page->pt_lock, QR_RANK_PT);
	if (qr_exchange_release(&page->pt_lock, 0) == 2)
		qr_port_wake(&page->pt_lock, 1);
}
