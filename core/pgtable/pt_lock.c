/*
 * The lock of one page-table page (T2: split page-table locks): a mutex whose whole state is one word of the page's
 * frame descriptor, so that a lock per 2 MiB of address space costs no memory. As a baseline (T1) the pages of an
 * address space share one such word.
 *
 * Algorithm: the three-state mutex of U. Drepper, "Futexes Are Tricky", 2011, section 5 (mutex, take 2).
 * State: 0 free, 1 held, 2 held and somebody may be parked.
 */
#include <quire/port.h>

#include "pgtable/pgtable.h"

/* As for qr_mutex: about 2 us. */
#define SPINS_BEFORE_PARK 100u

static uint32_t *lock_word(struct qr_frame *page)
{
	struct qr_pgtable *table = page->owner;

	return qr_likely(!table) ? &page->pt_lock : &table->lock;
}

static void word_lock(uint32_t *word)
{
	unsigned spins;
	uint32_t seen;

	qr_port_meter_begin(word, QR_RANK_PT, true);
	for (spins = 0; spins < SPINS_BEFORE_PARK; spins++) {
		seen = 0;
		/* Acquire pairs with the release in qr_pt_unlock. */
		if (qr_cas_acquire(word, &seen, 1))
			goto taken;
		qr_port_cpu_relax(spins);
	}
	/* A waiter takes the lock as 2, since others may still be parked. */
	while (qr_exchange_acquire(word, 2))
		qr_port_wait(word, 2);
taken:
	qr_port_meter_taken(word, spins > 0);
	qr_lock_note_take(word, QR_RANK_PT, false);
}

static void word_unlock(uint32_t *word)
{
	qr_lock_note_release(word, QR_RANK_PT);
	qr_port_meter_release(word);
	if (qr_exchange_release(word, 0) == 2)
		qr_port_wake(word, 1);
}

void qr_pt_lock(struct qr_frame *page)
{
	word_lock(lock_word(page));
}

bool qr_pt_trylock(struct qr_frame *page)
{
	uint32_t *word = lock_word(page);
	uint32_t seen = 0;

	if (!qr_cas_acquire(word, &seen, 1))
		return false;
	qr_port_meter_tried(word, QR_RANK_PT);
	qr_lock_note_take(word, QR_RANK_PT, true);
	return true;
}

void qr_pt_unlock(struct qr_frame *page)
{
	word_unlock(lock_word(page));
}

bool qr_pt_is_locked(struct qr_frame *page)
{
	return qr_load_relaxed(lock_word(page)) != 0;
}

/* In the order of the words' addresses. */
void qr_pt_lock_pair(struct qr_frame *one, struct qr_frame *other)
{
	uint32_t *first = lock_word(one), *second = lock_word(other);

	word_lock(QR_MIN(first, second));
	if (first != second)
		word_lock(QR_MAX(first, second));
}

void qr_pt_unlock_pair(struct qr_frame *one, struct qr_frame *other)
{
	uint32_t *first = lock_word(one), *second = lock_word(other);

	if (first != second)
		word_unlock(QR_MAX(first, second));
	word_unlock(QR_MIN(first, second));
}
