/* What `quire lab WORKLOAD ...` was asked to do. */
#ifndef QR_CLI_LAB_REQUEST_H
#define QR_CLI_LAB_REQUEST_H

#include "lab/catalog.h"

#define QR_LAB_MAX_CPUS 4096u
#define QR_LAB_MAX_SEEDS 1000u
#define QR_LAB_MAX_JOBS 64u
#define QR_LAB_DEFAULT_SEEDS 5u
#define QR_LAB_DEFAULT_JOBS 2u

/* Ascending numbers without repetition; free(3) them. */
struct qr_lab_cpus {
	uint32_t *cpus;
	unsigned nr;
};

struct qr_lab_request {
	const json_t *workload; /* of the catalogue */
	json_t *machines;       /* array of names and paths */
	struct qr_lab_cpus cpus; /* none: as many as each machine has, and halves of it */
	json_t *settings;       /* mechanism -> array of choices (strings); the product of all is run */
	json_t *params;         /* parameter of the workload -> array of values (strings) */
	uint32_t nr_seeds;      /* seeds 1, 2, ... nr_seeds */
	uint32_t nr_jobs;       /* processes at a time */
	uint64_t ms;            /* virtual time per cell; 0: the workload's own */
	const char *svg;        /* files; NULL: not asked for */
	const char *report;
	bool is_json;
	bool is_uncached;
	bool is_quiet;
	char **words;           /* the command line after "quire", ended by NULL */
};

/* Returns 0, or QR_EXIT_FAILED after saying what is wrong. argv[0] is "lab". */
int qr_lab_request_parse(int argc, char **argv, const struct qr_catalog *catalog, struct qr_lab_request *request);
void qr_lab_request_free(struct qr_lab_request *request);

/* "1,2,4,...,384": where dots stand between two numbers the list goes on as it began, by doubling or by a constant
 * step, and ends exactly at the number behind them. Returns false after saying what is wrong. */
bool qr_lab_cpus_parse(const char *text, struct qr_lab_cpus *list);
/* 1, 2, 4, ... and most. */
void qr_lab_cpus_double(uint32_t most, struct qr_lab_cpus *list);

#endif
