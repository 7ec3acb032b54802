/*
 * The claims of the literature, one row each: what a source says, how it is measured here, and what came out.
 * Sources: S0 slides on scalability challenges, S1 LWN 2015, S2 page allocator and page replacement design (2007), S3
 * the 2.5 VM on large machines (OLS 2003), S4 LWN on page-table scalability.
 */
#ifndef QR_CLI_CLAIMS_H
#define QR_CLI_CLAIMS_H

#include "base/base.h"
#include "lab/pool.h"

struct qr_bench;

enum qr_verdict { QR_CLAIM_MISSING, QR_CLAIM_SHORT, QR_CLAIM_HOLDS };

/* A figure: the median over the seeds and the band from the least to the most of them. An exact one has no band. */
struct qr_figure {
	double value;
	double low;
	double high;
	bool has_band;
};

#define QR_CLAIM_MAX_FIGURES 3u

struct qr_answer {
	enum qr_verdict verdict;
	unsigned nr_figures;  /* 0: nothing could be measured */
	struct qr_figure figures[QR_CLAIM_MAX_FIGURES]; /* the first is the row's figure; the others belong to it */
	char *note;           /* what else there is to say, or why the row is missing; NULL: nothing */
	json_t *basis;        /* array of command lines: the simulated cells behind it, one seed of each */
	bool has_failed;      /* the measurement itself failed */
};

/* One or several cells that differ in the seed. "name=value name=value". */
struct qr_query {
	const char *workload;
	const char *machine;
	uint32_t cpus;
	const char *settings; /* NULL: all defaults */
	const char *params;
	uint64_t ms;          /* virtual time; 0: the workload's own */
};

/* A figure of one seed from the results of the row's queries at that seed. */
struct qr_measure {
	const char *name; /* of figures beyond the first */
	const char *unit;
	double (*figure)(const json_t *const *results);
	double limit;
	bool is_most; /* the limit is the most, not the least, with which the claim holds */
};

#define QR_CLAIM_MAX_QUERIES 8u

struct qr_claim {
	const char *id;
	const char *source;
	const char *mechanism;
	const char *claim;  /* what the source says */
	const char *must;   /* what must be shown */
	const char *how;    /* how it is measured */
	const char *unit;   /* of an answer's figure; a measure has its own */
	/* Either cells of the lab and what is read from them: */
	struct qr_query queries[QR_CLAIM_MAX_QUERIES]; /* ended by one without a workload */
	struct qr_measure measures[QR_CLAIM_MAX_FIGURES]; /* ended by one without a figure */
	/* or a function of its own; neither: nothing is measured, */
	void (*answer)(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer);
	bool is_built; /* though the mechanism exists */
};

struct qr_claim_family {
	char letter;
	const char *name;
	const struct qr_claim *claims;
	unsigned nr;
};

extern const struct qr_claim_family qr_claims_frames;
extern const struct qr_claim_family qr_claims_alloc;
extern const struct qr_claim_family qr_claims_slab;
extern const struct qr_claim_family qr_claims_aspace;
extern const struct qr_claim_family qr_claims_pgtable;
extern const struct qr_claim_family qr_claims_rmap;
extern const struct qr_claim_family qr_claims_lru;
extern const struct qr_claim_family qr_claims_highmem;
extern const struct qr_claim_family qr_claims_machine;

/*
 * The load of S3's table 1, from its own figures: 12 CPUs hold the lock for 8.5 us at a time and 45.5 % of the time, so
 * each takes it every 12 x 8.5 / 0.455 = 224 us; less the hold and the wait of 138 us in 72 % of the takes that leaves
 * 116 us between a release and the next take.
 */
#define QR_TABLE1_CPUS 12u
#define QR_TABLE1_THINK_NS 116000
#define QR_TABLE1_LOAD "think=116000"
/* Thousands of operations on that machine. */
#define QR_TABLE1_MS 200u

/* Answers a row. The caller frees the answer with qr_answer_free(). */
void qr_claim_answer(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer);
void qr_answer_free(struct qr_answer *answer);

/* For answer functions. An exact figure: */
void qr_answer_exact(struct qr_answer *answer, double value, bool holds);
/* A figure from values of several seeds, which are sorted; the verdict is left to the caller. */
void qr_answer_band(struct qr_answer *answer, double *values, unsigned nr);
void qr_answer_note(struct qr_answer *answer, const char *format, ...) QR_PRINTF(2, 3);
const char *qr_verdict_name(enum qr_verdict verdict);

/* Rows whose answers have files of their own. */
void qr_answer_scanning(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer);
void qr_answer_objects(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer);

/* ---- What may be read from a result ---- */
/* For measures whose limit is a most: what stands for a figure that the cells did not show. */
#define QR_NOT_SHOWN 1e9
/* A counter; 0 if there is none of that name. */
double qr_result_counter(const json_t *result, const char *counter);
/* A counter per operation. */
double qr_result_per_op(const json_t *result, const char *counter);
/* A field of a lock's sum over its sites; 0 if the lock was never taken. */
double qr_result_lock(const json_t *result, const char *lock, const char *field);

#endif
