/* The decisions of reclaim between young and protected pages. See balance.h. */
#include "lru/balance.h"

/* The figures were chosen on the traces of docs/replay.md; around them the results are flat. */
/* A return is soon within a quarter of memory. */
#define SOON_SHARE 4u
/* Counts cover the last half of memory that was given up, on each side; below so many they say nothing. */
#define WINDOW_SHARE 2u
#define MIN_GIVEN_UP 8u
/* What the protected list is known by gets old while it gives up nothing: for each window of the young one its count of
 * returns falls by a sixteenth, so that a list which nobody uses any more does not stay for ever. That is while it is
 * known to be the better one; where both are much the same, in a loop, what it is known by is all that keeps it. */
#define FADE 16u
/* The weight doubles, at most, while a quarter of memory is given up, but not faster than that; to 64, or to 1024 while
 * what young pages gave up came back less than an eighth as often. */
#define DOUBLING_SHARE 4u
#define MIN_DOUBLING 1024u
#define LOG_ONE (1u << 28)
#define MAX_LOG_WEIGHT (6u * LOG_ONE)
#define CLEAR_LOG_WEIGHT (10u * LOG_ONE)
#define CLEAR_FACTOR 8u
/* It rises when the protected list is so many times as good, that is, when half as many young pages come back or less;
 * between that and as many, by an eighth. */
#define BETTER_FACTOR 2u
#define DRIFT 8u
/* To be protected a page must be wanted that much more often than what leaves the protected list. */
#define PROTECT_FACTOR 2u
/* One in so many that come back late is protected all the same: ISCA 2007, section 4.2. */
#define LATE_TURN 32u
/* But not above this weight, 256: what is protected is in use then, and a stream would fill the list. */
#define LATE_MAX_LOG_WEIGHT (8u * LOG_ONE)
/* A shadow: bit 14 always, so that it is not 0; bit 13 the list; below it the stamp. */
#define SHADOW_VALID (1u << 14)
#define SHADOW_SIDE (1u << 13)
#define SHADOW_TIME (SHADOW_SIDE - 1)
/* Of which so many are the whole of memory: times of up to 32 times as much can be told apart. */
#define SHADOW_UNITS_LOG 8u

static void forget_older(struct qr_balance *balance, enum qr_balance_side side);
static void steer(struct qr_balance *balance, uint32_t nr_pages);
static uint32_t limit_of(uint64_t young, uint64_t protected);

static void bump(uint32_t *count, uint32_t nr)
{
	(void)qr_fetch_add_relaxed(count, nr);
}

/* What was measured, a and b pages of two sides, as shares of what each gave up: compares a share with the other. */
static uint64_t share(const struct qr_balance *balance, enum qr_balance_side side)
{
	enum qr_balance_side other = side == QR_BALANCE_YOUNG ? QR_BALANCE_PROTECTED : QR_BALANCE_YOUNG;

	/* On the common denominator. */
	return (uint64_t)qr_load_relaxed(&balance->nr_returned[side]) *
	       (qr_load_relaxed(&balance->nr_given_up[other]) + 1);
}

void qr_balance_init(struct qr_balance *balance, uint32_t max_pages)
{
	uint32_t bits = max_pages ? qr_log2_u64(max_pages) : 0;

	memset(balance, 0, sizeof(*balance));
	balance->shadow_shift = bits > SHADOW_UNITS_LOG ? bits - SHADOW_UNITS_LOG : 0;
	balance->capacity = max_pages;
}

void qr_balance_set_capacity(struct qr_balance *balance, uint32_t nr_pages)
{
	if (qr_load_relaxed(&balance->capacity) != nr_pages)
		qr_store_relaxed(&balance->capacity, nr_pages);
}

/* From 1 to 1024, in 1/256. */
static uint32_t weight(const struct qr_balance *balance)
{
	uint32_t log = qr_load_relaxed(&balance->log_weight);

	return (256 + (log % LOG_ONE) / (LOG_ONE / 256)) << (log / LOG_ONE);
}

enum qr_balance_side qr_balance_choose(struct qr_balance *balance, bool has_young, bool has_protected)
{
	uint32_t now = qr_balance_now(balance);
	uint32_t young_age = now - qr_load_relaxed(&balance->tail_stamps[QR_BALANCE_YOUNG]);
	uint32_t protected_age = now - qr_load_relaxed(&balance->tail_stamps[QR_BALANCE_PROTECTED]);

	/* The next page of a list that is empty comes now, or later. */
	if (!has_protected) {
		qr_store_relaxed(&balance->tail_stamps[QR_BALANCE_PROTECTED], now);
		return QR_BALANCE_YOUNG;
	}
	if (!has_young) {
		qr_store_relaxed(&balance->tail_stamps[QR_BALANCE_YOUNG], now);
		return QR_BALANCE_PROTECTED;
	}
	return (uint64_t)young_age * weight(balance) >= (uint64_t)protected_age * 256 ? QR_BALANCE_YOUNG
										      : QR_BALANCE_PROTECTED;
}

void qr_balance_note_given_up(struct qr_balance *balance, enum qr_balance_side side, uint32_t nr_pages, uint32_t came)
{
	uint32_t window = qr_load_relaxed(&balance->capacity) / WINDOW_SHARE;

	qr_store_relaxed(&balance->tail_stamps[side], came);
	bump(&balance->nr_given_up[side], nr_pages);
	if (qr_load_relaxed(&balance->nr_given_up[side]) > QR_MAX(window, MIN_GIVEN_UP))
		forget_older(balance, side);
	steer(balance, nr_pages);
}

static void forget_older(struct qr_balance *balance, enum qr_balance_side side)
{
	uint32_t nr_protected = qr_load_relaxed(&balance->nr_returned[QR_BALANCE_PROTECTED]);

	if (side == QR_BALANCE_YOUNG &&
	    share(balance, QR_BALANCE_YOUNG) * BETTER_FACTOR < share(balance, QR_BALANCE_PROTECTED))
		qr_store_relaxed(&balance->nr_returned[QR_BALANCE_PROTECTED], nr_protected - nr_protected / FADE);
	qr_store_relaxed(&balance->nr_given_up[side], qr_load_relaxed(&balance->nr_given_up[side]) / 2);
	qr_store_relaxed(&balance->nr_returned[side], qr_load_relaxed(&balance->nr_returned[side]) / 2);
}

/* Where nothing comes back of either list the weight rises slowly: a loop is met by a young list that does not fill
 * memory. */
static void steer(struct qr_balance *balance, uint32_t nr_pages)
{
	uint32_t doubling = QR_MAX(qr_load_relaxed(&balance->capacity) / DOUBLING_SHARE, MIN_DOUBLING);
	uint32_t step = LOG_ONE / DRIFT / doubling * QR_MIN(nr_pages, doubling);
	uint32_t log = qr_load_relaxed(&balance->log_weight);
	uint64_t young = share(balance, QR_BALANCE_YOUNG), protected = share(balance, QR_BALANCE_PROTECTED);
	uint32_t limit = limit_of(young, protected);

	if (qr_load_relaxed(&balance->nr_given_up[QR_BALANCE_YOUNG]) +
		    qr_load_relaxed(&balance->nr_given_up[QR_BALANCE_PROTECTED]) <
	    MIN_GIVEN_UP)
		return;
	if (young > protected) {
		log -= QR_MIN(log, step * DRIFT);
	} else if (log > limit) {
		log -= QR_MIN(log - limit, step * DRIFT);
	} else {
		if (young * BETTER_FACTOR < protected)
			step *= DRIFT;
		log += QR_MIN(limit - log, step);
	}
	qr_store_relaxed(&balance->log_weight, log);
}

static uint32_t limit_of(uint64_t young, uint64_t protected)
{
	return young * CLEAR_FACTOR < protected ? CLEAR_LOG_WEIGHT : MAX_LOG_WEIGHT;
}

static uint32_t soon(const struct qr_balance *balance)
{
	return qr_load_relaxed(&balance->capacity) / SOON_SHARE;
}

void qr_balance_note_rescued(struct qr_balance *balance, enum qr_balance_side side, uint32_t nr_pages,
			     uint32_t given_up)
{
	if (qr_balance_now(balance) - given_up <= soon(balance))
		bump(&balance->nr_returned[side], nr_pages);
}

void qr_balance_note_evicted(struct qr_balance *balance, uint32_t nr_pages)
{
	bump(&balance->clock, nr_pages);
}

uint32_t qr_balance_shadow(const struct qr_balance *balance, enum qr_balance_side side, uint32_t given_up)
{
	return SHADOW_VALID | (side == QR_BALANCE_PROTECTED ? SHADOW_SIDE : 0) |
	       ((given_up >> balance->shadow_shift) & SHADOW_TIME);
}

enum qr_balance_side qr_balance_return(struct qr_balance *balance, uint32_t shadow, uint32_t nr_pages, bool is_wanted)
{
	enum qr_balance_side side = shadow & SHADOW_SIDE ? QR_BALANCE_PROTECTED : QR_BALANCE_YOUNG;
	uint32_t away = ((qr_balance_now(balance) >> balance->shadow_shift) - shadow) & SHADOW_TIME;
	uint64_t distance = (uint64_t)away << balance->shadow_shift;

	if (!shadow)
		return QR_BALANCE_YOUNG;
	if (distance <= soon(balance))
		bump(&balance->nr_returned[side], nr_pages);
	if (qr_load_relaxed(&balance->log_weight) <= LATE_MAX_LOG_WEIGHT &&
	    qr_fetch_add_relaxed(&balance->nr_late, 1) % LATE_TURN == LATE_TURN - 1)
		return QR_BALANCE_PROTECTED;
	if (!is_wanted || distance > qr_load_relaxed(&balance->capacity))
		return QR_BALANCE_YOUNG;
	/* Once in `distance`, against the share that returns of the protected in `soon`. */
	return (uint64_t)soon(balance) * (qr_load_relaxed(&balance->nr_given_up[QR_BALANCE_PROTECTED]) + 1) >
			       PROTECT_FACTOR * distance * qr_load_relaxed(&balance->nr_returned[QR_BALANCE_PROTECTED])
		       ? QR_BALANCE_PROTECTED
		       : QR_BALANCE_YOUNG;
}
