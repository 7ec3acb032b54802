/* MIN by a binary heap of the resident pages, ordered by the time of their next access. */
#include <stdlib.h>
#include <string.h>

#include "lab/words.h"
#include "replay/min.h"

static void sift_up(struct qr_min *min, uint32_t at);
static void sift_down(struct qr_min *min, uint32_t at);
static void put(struct qr_min *min, uint32_t at, uint32_t page, uint64_t next);

void qr_min_init(struct qr_min *min, uint32_t capacity, uint32_t nr_pages)
{
	capacity = QR_MIN(capacity, nr_pages);
	*min = (struct qr_min){
		.capacity = capacity,
		.heap = qr_lab_alloc(capacity, sizeof(*min->heap)),
		.next = qr_lab_alloc(capacity, sizeof(*min->next)),
		.places = qr_lab_alloc(nr_pages, sizeof(*min->places)),
	};
	memset(min->places, 0xff, nr_pages * sizeof(*min->places));
}

void qr_min_free(struct qr_min *min)
{
	free(min->heap);
	free(min->next);
	free(min->places);
}

bool qr_min_access(struct qr_min *min, uint32_t page, uint64_t next)
{
	uint32_t place = min->places[page];

	if (place != UINT32_MAX) {
		/* It is needed now, so that its next time is later than the one that was known. */
		min->next[place] = next;
		sift_up(min, place);
		return true;
	}
	if (min->nr < min->capacity) {
		put(min, min->nr++, page, next);
		sift_up(min, min->nr - 1);
		return false;
	}
	min->places[min->heap[0]] = UINT32_MAX;
	put(min, 0, page, next);
	sift_down(min, 0);
	return false;
}

static void sift_up(struct qr_min *min, uint32_t at)
{
	uint32_t page = min->heap[at];
	uint64_t next = min->next[at];

	while (at && min->next[(at - 1) / 2] < next) {
		put(min, at, min->heap[(at - 1) / 2], min->next[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	put(min, at, page, next);
}

static void sift_down(struct qr_min *min, uint32_t at)
{
	uint32_t page = min->heap[at];
	uint64_t next = min->next[at];

	for (;;) {
		uint64_t child = 2 * (uint64_t)at + 1;

		if (child + 1 < min->nr && min->next[child + 1] > min->next[child])
			child++;
		if (child >= min->nr || min->next[child] <= next)
			break;
		put(min, at, min->heap[child], min->next[child]);
		at = (uint32_t)child;
	}
	put(min, at, page, next);
}

static void put(struct qr_min *min, uint32_t at, uint32_t page, uint64_t next)
{
	min->heap[at] = page;
	min->next[at] = next;
	min->places[page] = at;
}
