/* R: reverse mapping. */
#include <stdlib.h>

#include "claims/bench.h"
#include "lab/words.h"

static double set_up_anonymous(const json_t *const *results);
static double set_up_file(const json_t *const *results);
static double set_up_forked(const json_t *const *results);
static void answer_global_lock(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer);

static const struct qr_claim claims[] = {
	{
		.id = "R1",
		.source = "S3",
		.mechanism = "virtual scan (no reverse mapping) and physical scan",
		.claim = "a virtual scan visits address spaces until it meets the page",
		.must = "both, compared",
		.how = "PTEs visited per page that is freed",
		.unit = "PTEs per page",
	},
	{
		.id = "R2",
		.source = "S3 table 1",
		.mechanism = "one global lock over the LRU lists and the chains",
		.claim = "12 CPUs: 45.5 % use, 72 % contended, mean wait 138 us at a mean hold of 8.5 us",
		.must = "contention at least 70 %, in a table of the same columns",
		.how = "workload lru on numaq at 12 CPUs and the table's load, lru-batch=0: additions and removals by "
		       "turns on frames=mixed, each with a take of the LRU lock; pte-chains are missing, so this is "
		       "the "
		       "shape for the lock of the lists",
		.unit = "% contended",
		.answer = answer_global_lock,
	},
	{
		.id = "R3",
		.source = "S3",
		.mechanism = "a lock per chain, one bit of the flags",
		.claim = "kernel build 85 s to 40 s at 16 CPUs",
		.must = "at least 2 times",
		.how = "kernel-build mix with the global lock against the lock per chain",
		.unit = "times",
	},
	{
		.id = "R4",
		.source = "S3",
		.mechanism = "page-direct: a page mapped once points straight to its PTE",
		.claim = "most pages need no chain",
		.must = "0 bytes of chains at one mapping",
		.how = "bytes of chains",
		.unit = "bytes",
	},
	{
		.id = "R5",
		.source = "S3",
		.mechanism = "chains grouped by cache line",
		.claim = "nearly half the size",
		.must = "0.55 times the plain list or less",
		.how = "bytes of grouped chains against plain ones",
		.unit = "times",
	},
	{
		.id = "R6",
		.source = "S3",
		.mechanism = "cost of chains",
		.claim = "10 GB for 5000 processes that share 2 GB; linear removal",
		.must = "9.77 GiB, scaled from a run; a linear curve",
		.how = "bytes of chains of a scaled run",
		.unit = "GiB",
	},
	{
		.id = "R7",
		.source = "S3",
		.mechanism = "shadow pages: two per PTE page, doubly linked",
		.claim = "designed, never built",
		.must = "removal in constant time; cache lines touched",
		.how = "cache lines per removal",
		.unit = "lines",
	},
	{
		.id = "R8",
		.source = "S3",
		.mechanism = "object-based: page to mapping to VMAs, index plus base; anonymous objects too",
		.claim = "no set-up per page",
		.must = "no bytes and no list operation per mapped page",
		.how = "workload mappings on epyc: frames in use that are neither pages nor page tables after 65,536 "
		       "pages were mapped: anonymous ones, those of a file, and those that a forked child shares",
		.queries = {{"mappings", "epyc", 1, NULL, "kind=anonymous", 1000},
			    {"mappings", "epyc", 1, NULL, "kind=file", 1000},
			    {"mappings", "epyc", 1, NULL, "kind=forked", 1000}},
		.measures = {{NULL, "bytes per page", set_up_anonymous, 0, true},
			     {"file", "bytes per page", set_up_file, 0, true},
			     {"forked", "bytes per page", set_up_forked, 0, true}},
	},
	{
		.id = "R9",
		.source = "S3",
		.mechanism = "partial object-based: files by object, anonymous memory by chain",
		.claim = "system time 139.55 to 121.83; SDET +21.2 %; add -78.9 %, remove -83.8 %; chains 24116 to 716",
		.must = "at least 12 %, 78 %, 83 %, 97 %",
		.how = "SDET-like mix with chains against objects for files",
		.unit = "% less system time",
	},
	{
		.id = "R10",
		.source = "S3",
		.mechanism = "list of lists: address ranges, sorted, each with its VMAs",
		.claim = "100 x 100 VMAs: 100 visits and not 10,000",
		.must = "100 + log n visits",
		.how = "VMAs visited per page",
		.unit = "visits",
	},
	{
		.id = "R11",
		.source = "S1",
		.mechanism = "reverse mapping locked and walked in batches, not per page",
		.claim = "costs per page are paid 16 times for 64 KiB",
		.must = "at least 20 % at folios of 64 KiB",
		.how = "time to unmap with batches against page by page",
		.unit = "% less time",
	},
};

const struct qr_claim_family qr_claims_rmap = {'R', "Reverse mapping", claims, QR_ARRAY_SIZE(claims)};

#define PAGE_BYTES 4096.0

/* One of a few that only the whole space has, as the child's own slab block, is less than a byte. */
static double set_up(const json_t *result)
{
	double nr = qr_result_counter(result, "mapped_pages");

	return nr > 0 ? PAGE_BYTES * qr_result_counter(result, "extra_frames") / nr : QR_NOT_SHOWN;
}

static double set_up_anonymous(const json_t *const *results)
{
	return set_up(results[0]);
}

static double set_up_file(const json_t *const *results)
{
	return set_up(results[1]);
}

static double set_up_forked(const json_t *const *results)
{
	return set_up(results[2]);
}

/* What the source measured, and the change that its answer must survive. */
#define LIMIT_PERCENT 70.0
#define LINE_CHANGE 0.25
#define LOCK "lruvec.lock"
/* Before per-CPU page lists the CPUs' frames lay mixed, and their descriptors shared lines. The table has as many
 * additions as removals, each on its own. */
#define MIX " frames=mixed leave=by-turns"

static double contention(const struct qr_bench *bench, const struct qr_bench_run *run, struct qr_answer *answer);
static void add_sensitivity(struct qr_bench *bench, struct qr_answer *answer);

/* The machine file's costs of cache lines are partly assumed, and so is the time between operations: the band spans the
 * seeds, lines 25 % cheaper and dearer, and half and twice the time between operations. */
static void answer_global_lock(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer)
{
	const struct qr_query query = {
		"lru", "numaq", QR_TABLE1_CPUS, "lru-scope=global lru-batch=0", QR_TABLE1_LOAD MIX, QR_TABLE1_MS};
	struct qr_bench_run run;

	(void)claim;
	if (qr_bench_run(bench, &query, 1, &run, answer)) {
		double value = contention(bench, &run, answer);
		const json_t *result = run.cells[0].result;

		answer->verdict = value >= LIMIT_PERCENT ? QR_CLAIM_HOLDS : QR_CLAIM_SHORT;
		qr_answer_note(answer, "use %.1f %%, mean hold %.1f us, mean wait %.0f us (seed 1)",
			       qr_result_lock(result, LOCK, "use_percent"),
			       qr_result_lock(result, LOCK, "hold_mean_ns") / 1000,
			       qr_result_lock(result, LOCK, "wait_mean_ns") / 1000);
		add_sensitivity(bench, answer);
	}
	qr_bench_free_runs(bench, &run, 1);
}

/* Adds the figure or widens the band of the one that is there; returns the median. */
static double contention(const struct qr_bench *bench, const struct qr_bench_run *run, struct qr_answer *answer)
{
	double *values = qr_lab_alloc(bench->nr_seeds, sizeof(*values));
	struct qr_answer own = {0};

	for (uint32_t seed = 0; seed < bench->nr_seeds; seed++)
		values[seed] = qr_result_lock(run->cells[seed].result, LOCK, "contended_percent");
	qr_answer_band(&own, values, bench->nr_seeds);
	free(values);
	if (!answer->nr_figures)
		answer->figures[answer->nr_figures++] = own.figures[0];
	answer->figures[0].low = QR_MIN(answer->figures[0].low, own.figures[0].low);
	answer->figures[0].high = QR_MAX(answer->figures[0].high, own.figures[0].high);
	return own.figures[0].value;
}

static void add_sensitivity(struct qr_bench *bench, struct qr_answer *answer)
{
	static const char *const line_costs[] = {"dirty_", "clean_", "invalidate_", NULL};
	struct qr_lab_text text = {0};
	const double factors[] = {1 - LINE_CHANGE, 1 + LINE_CHANGE, 0.5, 2};

	qr_lab_text_add(&text, "%s", answer->note);
	for (unsigned i = 0; i < QR_ARRAY_SIZE(factors) && !answer->has_failed; i++) {
		bool is_think = i >= 2;
		char *machine = is_think ? NULL : qr_bench_scale_machine(bench, "numaq", line_costs, factors[i]);
		char *params = is_think ? qr_lab_format("think=%.0f" MIX, QR_TABLE1_THINK_NS * factors[i]) : NULL;
		struct qr_query query = {"lru",
					 machine ? machine : "numaq",
					 QR_TABLE1_CPUS,
					 "lru-scope=global lru-batch=0",
					 params ? params : QR_TABLE1_LOAD MIX,
					 QR_TABLE1_MS};
		struct qr_bench_run run;

		if (is_think || machine) {
			if (qr_bench_run(bench, &query, 1, &run, answer))
				qr_lab_text_add(&text, "; %s x %g: %.1f %%",
						is_think ? "time between operations" : "lines", factors[i],
						contention(bench, &run, answer));
			qr_bench_free_runs(bench, &run, 1);
		}
		free(machine);
		free(params);
	}
	if (!answer->has_failed)
		qr_answer_note(answer, "%s", text.text);
	free(text.text);
}
