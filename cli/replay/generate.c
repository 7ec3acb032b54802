/*
 * scan+hot: every second access goes to the hot set, a twentieth of the pages, at random; the others scan the rest in
 * order, over and over. loop: all pages in order, over and over. zipf-shift: page ranks with Zipf's law, exponent 0.99
 * (the default of YCSB: Cooper et al., "Benchmarking cloud serving systems with YCSB", SoCC 2010, section 4); fifty
 * times over the trace the coldest hundredth of the pages becomes the hottest and all others cool down by as much.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "lab/words.h"
#include "replay/generate.h"

#define HOT_SHARE 20u
#define ZIPF_EXPONENT 0.99
#define NR_SHIFTS 50u
#define SHIFT_SHARE 100u

struct pattern {
	uint64_t nr_pages;
	uint64_t nr_accesses;
	uint64_t random; /* state of splitmix64 */
	uint64_t at;     /* of the scan */
	double *sums;    /* zipf: [nr_pages] sums of weights up to each rank */
};

typedef uint64_t next_page(struct pattern *pattern, uint64_t index);

static next_page next_scan_hot, next_loop, next_zipf;
static void make_sums(struct pattern *pattern);
static uint64_t next_random(uint64_t *state);

const char *const qr_generate_patterns[] = {"scan+hot", "loop", "zipf-shift", NULL};
static next_page *const generators[] = {next_scan_hot, next_loop, next_zipf}; /* [qr_generate_patterns] */

int qr_generate(const struct qr_replay_request *request)
{
	struct pattern pattern = {
		.nr_pages = request->nr_pages,
		.nr_accesses = request->nr_accesses,
		.random = request->seed,
	};
	next_page *next = NULL;
	int status = 0;

	for (unsigned i = 0; qr_generate_patterns[i]; i++) {
		if (request->pattern == qr_generate_patterns[i])
			next = generators[i];
	}
	if (next == next_zipf)
		make_sums(&pattern);
	for (uint64_t i = 0; i < pattern.nr_accesses && !status; i++)
		status = printf("%llu\n", (unsigned long long)next(&pattern, i)) < 0;
	status |= fflush(stdout);
	if (status)
		qr_cli_say("replay: the trace cannot be written: %s", strerror(errno));
	free(pattern.sums);
	return status ? QR_EXIT_FAILED : 0;
}

static uint64_t next_scan_hot(struct pattern *pattern, uint64_t index)
{
	uint64_t nr_hot = QR_MAX(pattern->nr_pages / HOT_SHARE, 1u), nr_cold = pattern->nr_pages - nr_hot;

	if (index % 2 || !nr_cold)
		return next_random(&pattern->random) % nr_hot;
	return nr_hot + pattern->at++ % nr_cold;
}

static uint64_t next_loop(struct pattern *pattern, uint64_t index)
{
	return index % pattern->nr_pages;
}

/* The rank is found by bisection. */
static uint64_t next_zipf(struct pattern *pattern, uint64_t index)
{
	uint64_t nr = pattern->nr_pages, low = 0, high = nr - 1;
	uint64_t nr_shifts = index / QR_MAX(pattern->nr_accesses / NR_SHIFTS, 1u);
	uint64_t shift = nr_shifts * QR_MAX(nr / SHIFT_SHARE, 1u) % nr;
	/* 53 bits: all that a double holds. */
	double wanted = (double)(next_random(&pattern->random) >> 11) * 0x1p-53 * pattern->sums[nr - 1];

	while (low < high) {
		uint64_t middle = (low + high) / 2;

		if (pattern->sums[middle] <= wanted)
			low = middle + 1;
		else
			high = middle;
	}
	return (low + nr - shift) % nr;
}

static void make_sums(struct pattern *pattern)
{
	double sum = 0;

	pattern->sums = qr_lab_alloc(pattern->nr_pages, sizeof(*pattern->sums));
	for (uint64_t rank = 0; rank < pattern->nr_pages; rank++) {
		sum += pow((double)rank + 1, -ZIPF_EXPONENT);
		pattern->sums[rank] = sum;
	}
}

/* splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, figure 16. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t value = *state += 0x9e3779b97f4a7c15ull;

	value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9ull;
	value = (value ^ value >> 27) * 0x94d049bb133111ebull;
	return value ^ value >> 31;
}
