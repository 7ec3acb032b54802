/* The four works. Each page holds its number, 255 more random words, and 256 words of one constant. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "paging.h"

#define ZIPF_THETA 0.99 /* as in YCSB */

const char *const qr_bench_work_names[NR_WORKS] = {"seq_write", "seq_read", "random", "zipf"};

/* Gray et al., Quickly Generating Billion-Record Synthetic Databases, SIGMOD 1994, section 3.2. */
struct zipf {
	double zeta_n, alpha, eta, half_pow;
	uint64_t n;
};

struct worker {
	pthread_t thread;
	enum work work;
	const struct block *block;
	const struct zipf *zipf;
	unsigned id, nr_threads;
	uint64_t nr_ops;
	uint64_t sum; /* keeps the reads */
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

static void zipf_init(struct zipf *zipf, uint64_t n)
{
	zipf->n = n;
	zipf->zeta_n = 0;
	for (uint64_t i = 1; i <= n; i++)
		zipf->zeta_n += 1 / pow((double)i, ZIPF_THETA);
	zipf->alpha = 1 / (1 - ZIPF_THETA);
	zipf->half_pow = pow(0.5, ZIPF_THETA);
	zipf->eta = (1 - pow(2.0 / (double)n, 1 - ZIPF_THETA)) / (1 - (1 + zipf->half_pow) / zipf->zeta_n);
}

/* A page number; the popular ones are spread over the block. */
static uint64_t zipf_next(const struct zipf *zipf, uint64_t *state)
{
	double u = (double)(next_random(state) >> 11) * (1.0 / 9007199254740992.0);
	double scaled = u * zipf->zeta_n;
	uint64_t rank;

	if (scaled < 1)
		rank = 0;
	else if (scaled < 1 + zipf->half_pow)
		rank = 1;
	else
		rank = (uint64_t)((double)zipf->n * pow(zipf->eta * u - zipf->eta + 1, zipf->alpha));
	if (rank >= zipf->n)
		rank = zipf->n - 1;
	return rank * 0x9e3779b97f4a7c15u % zipf->n;
}

static void fill_page(uint64_t *at, uint64_t page)
{
	uint64_t state = page * 2654435761u + 88172645463325252u;

	at[0] = page;
	for (unsigned i = 1; i < PAGE_WORDS / 2; i++)
		at[i] = next_random(&state);
	for (unsigned i = PAGE_WORDS / 2; i < PAGE_WORDS; i++)
		at[i] = page & 0xff;
}

/* The number, one word of the constant half, and the random word that can be known without making all of them. */
static uint64_t check_page(const uint64_t *at, uint64_t page)
{
	uint64_t state = page * 2654435761u + 88172645463325252u;

	if (at[0] != page || at[1] != next_random(&state) || at[PAGE_WORDS - 1] != (page & 0xff)) {
		fprintf(stderr, "paging: page %llu has a wrong content: %llx %llx %llx\n", (unsigned long long)page,
			(unsigned long long)at[0], (unsigned long long)at[1], (unsigned long long)at[PAGE_WORDS - 1]);
		_exit(3);
	}
	return state;
}

static void run_sequential(struct worker *worker)
{
	uint64_t share = worker->block->nr_pages / worker->nr_threads, first = worker->id * share;

	for (uint64_t page = first; page < first + share; page++) {
		uint64_t *at = worker->block->data + page * PAGE_WORDS;

		if (worker->work == WORK_SEQ_WRITE) {
			fill_page(at, page);
			continue;
		}
		worker->sum += check_page(at, page);
		for (unsigned i = 0; i < PAGE_WORDS; i += 8)
			worker->sum += at[i];
	}
}

static void run_random(struct worker *worker)
{
	uint64_t state = 0x1234567u * (worker->id + 1) + 99;
	/* With several threads the last pages may not have been filled. */
	uint64_t n = worker->block->nr_pages / worker->nr_threads * worker->nr_threads;

	for (uint64_t op = 0; op < worker->nr_ops; op++) {
		uint64_t page = worker->work == WORK_ZIPF ? zipf_next(worker->zipf, &state) : next_random(&state) % n;

		worker->sum += check_page(worker->block->data + page * PAGE_WORDS, page);
	}
}

static void *work_thread(void *argument)
{
	struct worker *worker = argument;

	if (worker->work == WORK_SEQ_WRITE || worker->work == WORK_SEQ_READ)
		run_sequential(worker);
	else
		run_random(worker);
	return NULL;
}

double qr_bench_run_work(enum work work, const struct block *block, unsigned nr_threads, uint64_t nr_ops)
{
	struct zipf zipf;
	double start;
	struct worker workers[MAX_THREADS];

	if (work == WORK_ZIPF)
		zipf_init(&zipf, block->nr_pages / nr_threads * nr_threads);
	start = now();
	for (unsigned i = 0; i < nr_threads; i++) {
		workers[i] = (struct worker){.work = work,
					     .block = block,
					     .zipf = &zipf,
					     .id = i,
					     .nr_threads = nr_threads,
					     .nr_ops = nr_ops};
		if (pthread_create(&workers[i].thread, NULL, work_thread, &workers[i])) {
			fprintf(stderr, "paging: no thread\n");
			_exit(3);
		}
	}
	for (unsigned i = 0; i < nr_threads; i++)
		pthread_join(workers[i].thread, NULL);
	return now() - start;
}
