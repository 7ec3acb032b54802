/* Cells of a replay: one policy at one size each, run over a spool by a few processes. */
#ifndef QR_CLI_REPLAY_CELLS_H
#define QR_CLI_REPLAY_CELLS_H

#include "bar.h"
#include "lru/policy.h"
#include "replay/spool.h"

#define QR_REPLAY_MAX_JOBS 64u

struct qr_replay_cell {
	const struct qr_policy_ops *ops; /* NULL: MIN */
	uint32_t capacity;               /* pages */
	uint32_t pool_share;             /* as in struct qr_policy_config; MIN sees all and needs no pool */
	/* The outcome, without the accesses of the warm-up: */
	uint64_t nr_accesses;
	uint64_t nr_misses;
	uint64_t nr_idle; /* hits that cost a fault since the page was unmapped */
};

/* Runs all cells over the spool in one pass each, nr_jobs processes at a time; accesses below nr_warmup do not count.
 * Returns 0, QR_EXIT_FAILED after saying what went wrong, or 128 plus the signal that ended it. */
int qr_replay_run_cells(const struct qr_spool *spool, struct qr_replay_cell *cells, unsigned nr_cells,
			uint64_t nr_warmup, unsigned nr_jobs, struct qr_bar *progress);

#endif
