/* Runs cells, a few processes at a time. */
#ifndef QR_CLI_LAB_POOL_H
#define QR_CLI_LAB_POOL_H

#include "lab/cache.h"

struct qr_lab_pool {
	const struct qr_runner *runner;
	struct qr_lab_cache *cache;
	uint32_t nr_jobs;
	bool is_quiet;     /* no progress */
	bool keeps_errors; /* what the runner says to a wrong question stays in the cell */
};

/*
 * Takes from the cache what is there and runs the rest, the largest first. A cell that fails has its reason in
 * cell->error and the others go on, unless the runner says that it was asked wrongly: then no other is started.
 * Returns 0; 1 if a cell failed; QR_EXIT_FAILED if the runner was asked wrongly (said); 128 + N if signal N (SIGINT,
 * SIGTERM, SIGHUP) ended the work: what was finished is in the cache, the rest is still QR_LAB_TO_RUN.
 */
int qr_lab_pool_run(const struct qr_lab_pool *pool, struct qr_lab_cell **cells, unsigned nr_cells);

/* Says which cells failed, why, and how to run one alone. */
void qr_lab_pool_say_failed(const struct qr_lab_pool *pool, struct qr_lab_cell **cells, unsigned nr_cells);

#endif
