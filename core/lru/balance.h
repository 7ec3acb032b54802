/*
 * Which of two lists gives up its oldest page: the young one, of pages that were touched once for all that is known, or
 * the protected one, of pages that were seen to come back (segmented LRU: Karedla, Love, Wherry, IEEE Computer 27(3),
 * 1994). Reclaim and `quire replay` both decide by this code.
 *
 * Of both it is counted how much of what they gave up comes back soon. Young ages are multiplied by a weight that moves
 * until that is the same for both (utility: Qureshi, Patt, MICRO 2006); at weight 1 the two are one segmented FIFO.
 *
 * A page that comes back from swap is protected if it is wanted more often than what leaves the protected list
 * (LIRS: Jiang, Zhang, SIGMETRICS 2002), and a few others are for no reason: in a loop larger than memory some must
 * stay for any to be hit (bimodal insertion: Qureshi et al., ISCA 2007), unless what is protected is clearly in use.
 *
 * Time is counted in pages evicted. All is O(1) and without locks: updates that are lost shift a rate by a trifle.
 */
#ifndef QR_CORE_LRU_BALANCE_H
#define QR_CORE_LRU_BALANCE_H

#include "sync/atomic.h"

enum qr_balance_side { QR_BALANCE_YOUNG, QR_BALANCE_PROTECTED, QR_NR_BALANCE_SIDES };

struct qr_balance {
	uint32_t clock;      /* (A) pages evicted; wraps */
	uint32_t capacity;   /* (A) pages of both lists and of those that were given up and are still here */
	uint32_t log_weight; /* (A) log2 of the young list's weight, 4.28 bits */
	uint32_t nr_given_up[QR_NR_BALANCE_SIDES]; /* (A) pages of late */
	uint32_t nr_returned[QR_NR_BALANCE_SIDES]; /* (A) of them, those that came back soon */
	uint32_t tail_stamps[QR_NR_BALANCE_SIDES]; /* (A) when what was given up last had come */
	uint32_t nr_late;      /* (A) returns after a long time */
	uint32_t shadow_shift; /* (I) log2 of a shadow's unit of time */
};

/* max_pages: the most that memory can have. */
void qr_balance_init(struct qr_balance *balance, uint32_t max_pages);
void qr_balance_set_capacity(struct qr_balance *balance, uint32_t nr_pages);

/* The stamp of a page that comes now, and of one that is given up now. */
static inline uint32_t qr_balance_now(const struct qr_balance *balance)
{
	return qr_load_relaxed(&balance->clock);
}

/* The list that gives up its oldest page next; at least one has pages. */
enum qr_balance_side qr_balance_choose(struct qr_balance *balance, bool has_young, bool has_protected);
/* Pages were given up, which had come at that stamp. */
void qr_balance_note_given_up(struct qr_balance *balance, enum qr_balance_side side, uint32_t nr_pages, uint32_t came);
/* Pages that were given up at that stamp were touched before they were evicted: they are protected now. */
void qr_balance_note_rescued(struct qr_balance *balance, enum qr_balance_side side, uint32_t nr_pages,
			     uint32_t given_up);
/* Pages that had been given up were evicted. */
void qr_balance_note_evicted(struct qr_balance *balance, uint32_t nr_pages);

/* What is kept of an evicted page: the list that it was on and, coarsely, when it was given up; never 0. */
#define QR_BALANCE_SHADOW_BITS 15u
uint32_t qr_balance_shadow(const struct qr_balance *balance, enum qr_balance_side side, uint32_t given_up);
/* Pages with that shadow come back; 0: nothing is known of them. is_wanted: one of them is touched, they are not only
 * brought with another. Returns the list that they go to. */
enum qr_balance_side qr_balance_return(struct qr_balance *balance, uint32_t shadow, uint32_t nr_pages, bool is_wanted);

#endif
