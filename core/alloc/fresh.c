/*
 * Fresh bits: which free frames were never written since they came online or were given back to the machine, so that
 * zeroing them costs nothing.
 *
 * A frame carries the bit in the zone's bitmap while it is free, and as QR_FRAME_FRESH in its descriptor from the
 * moment it leaves the buddy system until it is handed out. So onlining touches one bit per frame and no descriptor.
 */
#include "alloc/alloc_priv.h"

/* The bitmap is used in words that every machine can change atomically. */
#define BITS_PER_WORD 32u
#define WORD_ORDER 5u

/* The word with the bit of a frame, and the mask of a block of at most BITS_PER_WORD frames in it. */
struct fresh_place {
	uint32_t *word;
	uint32_t mask;
};

static struct fresh_place fresh_place(const struct qr_zone *zone, const struct qr_frame *frame, unsigned order)
{
	uint32_t index = (uint32_t)(frame - zone->memmap);
	uint32_t ones = order >= WORD_ORDER ? UINT32_MAX : (1u << (1u << order)) - 1;
	uint32_t *words = (void *)zone->fresh_bits;

	return (struct fresh_place){&words[index / BITS_PER_WORD], ones << index % BITS_PER_WORD};
}

void qr_fresh_set(struct qr_zone *zone, const struct qr_frame *frame, unsigned order)
{
	if (!zone->fresh_bits)
		return;
	for (uint32_t i = 0; i < 1u << order; i += BITS_PER_WORD) {
		struct fresh_place place = fresh_place(zone, frame + i, order);

		(void)qr_fetch_or(place.word, place.mask);
	}
}

bool qr_fresh_test(const struct qr_zone *zone, const struct qr_frame *frame)
{
	struct fresh_place place;

	if (!zone->fresh_bits)
		return false;
	place = fresh_place(zone, frame, 0);
	return (qr_load_relaxed(place.word) & place.mask) != 0;
}

/* Clears the bits of one place and returns those that were set; writes nothing if there are none. */
static uint32_t fresh_take(struct fresh_place place)
{
	if (!(qr_load_relaxed(place.word) & place.mask))
		return 0;
	return qr_fetch_and(place.word, ~place.mask) & place.mask;
}

bool qr_fresh_clear(struct qr_zone *zone, const struct qr_frame *frame, unsigned order)
{
	bool is_all_fresh = true;

	if (!zone->fresh_bits)
		return false;
	for (uint32_t i = 0; i < 1u << order; i += BITS_PER_WORD) {
		struct fresh_place place = fresh_place(zone, frame + i, order);

		if (fresh_take(place) != place.mask)
			is_all_fresh = false;
	}
	return is_all_fresh;
}

void qr_fresh_to_flags(struct qr_zone *zone, struct qr_frame *frame, unsigned order)
{
	for (uint32_t i = 1; i < 1u << order; i++)
		qr_frame_set_kind(&frame[i], QR_FRAME_TAIL, order);
	if (!zone->fresh_bits)
		return;
	for (uint32_t i = 0; i < 1u << order; i += BITS_PER_WORD) {
		struct fresh_place place = fresh_place(zone, frame + i, order);
		/* The block lies at a multiple of its size, so its first bit is the lowest of the mask. */
		uint32_t taken = fresh_take(place) >> __builtin_ctz(place.mask);

		for (uint32_t j = i; taken; j++, taken >>= 1) {
			if (taken & 1)
				qr_folio_set(&frame[j], QR_FRAME_FRESH);
		}
	}
}
