/* Runs the cells that claims rest on, through the same pool and cache as `quire lab`. */
#ifndef QR_CLI_BENCH_H
#define QR_CLI_BENCH_H

#include "claims/claims.h"

struct qr_bench {
	bool has_lab;              /* the runner and its catalogue are there */
	struct qr_runner runner;
	struct qr_catalog catalog;
	struct qr_lab_cache cache;
	struct qr_lab_pool pool;
	uint32_t nr_seeds;
	int signal;                /* that ended the work; 0: none */
};

/* The cells of one query; results[seed] is borrowed from them. */
struct qr_bench_run {
	struct qr_lab_machine machine;
	struct qr_lab_cell *cells; /* [nr_seeds] */
};

/* Without the runner the claims that need it are missing; that is no failure. */
void qr_bench_open(struct qr_bench *bench, uint32_t nr_seeds, uint32_t nr_jobs, bool is_uncached, bool is_quiet);
void qr_bench_close(struct qr_bench *bench);

/* Runs all seeds of all queries. Returns false with the reason in the answer: the lab has no such workload, machine or
 * choice (missing), or a cell failed. Free the runs in both cases. */
bool qr_bench_run(struct qr_bench *bench, const struct qr_query *queries, unsigned nr, struct qr_bench_run *runs,
		  struct qr_answer *answer);
void qr_bench_free_runs(const struct qr_bench *bench, struct qr_bench_run *runs, unsigned nr);

/* A copy of a machine with all parameters whose names begin with prefix multiplied, as a file of the cache. Returns its
 * path, or NULL if it cannot be made; free(3) it. */
char *qr_bench_scale_machine(const struct qr_bench *bench, const char *machine, const char *const *prefixes,
			     double factor);

#endif
