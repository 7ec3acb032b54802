/*
 * The offline optimum: of the resident pages the one that is needed latest leaves (Belady, "A study of replacement
 * algorithms for a virtual-storage computer", IBM Systems Journal 5(2), 1966, section on MIN). Demand paging: a page
 * that is touched comes in.
 */
#ifndef QR_CLI_REPLAY_MIN_H
#define QR_CLI_REPLAY_MIN_H

#include <stdbool.h>
#include <stdint.h>

struct qr_min {
	uint32_t capacity;
	uint32_t nr;      /* resident pages */
	uint32_t *heap;   /* [capacity] pages; the one that is needed latest first */
	uint64_t *next;   /* [capacity] when it is needed */
	uint32_t *places; /* [nr_pages] in the heap; UINT32_MAX: not resident */
};

/* Pages are numbered from 0 to nr_pages - 1. */
void qr_min_init(struct qr_min *min, uint32_t capacity, uint32_t nr_pages);
void qr_min_free(struct qr_min *min);
/* A page is touched, and will be again at time next. Returns whether it was resident. O(log capacity). */
bool qr_min_access(struct qr_min *min, uint32_t page, uint64_t next);

#endif
