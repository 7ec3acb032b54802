/* L: page replacement. */
#include <stdlib.h>

#include "claims/bench.h"
#include "lab/words.h"

static void answer_scopes(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer);
static double gain(const struct qr_bench *bench, const struct qr_bench_run *before, const struct qr_bench_run *after,
		   struct qr_answer *answer);
static bool note_scopes(const struct qr_bench *bench, double zone, double node, struct qr_answer *answer);
static double fewer_waits(const json_t *const *results);
static double remote_scans(const json_t *const *results);
static double local_scans(const json_t *const *results);
static double global_scans(const json_t *const *results);
static double grouped_ascending(const json_t *const *results);
static double grouped_scattered(const json_t *const *results);
static double refaults_base(const json_t *const *results);
static double refaults_auto(const json_t *const *results);
static double times_streamed(const json_t *const *results);
static double notice_no_swap(const json_t *const *results);
static double notice_pinned(const json_t *const *results);
static double longest_access(const json_t *const *results);
static double fewer_takes(const json_t *const *results);

/* Half of 64 MiB is 8192 pages; the file is ten times memory, so that it is read a second time from the swap. */
#define STREAM "ram-mib=64 hot=8192 file=163840 touches=8 think=0"

/* 3072 pages of 4 KiB for each of 16 CPUs are 192 MiB. */
#define RECLAIM_LOAD "ram-mib=128 pages=3072 folio=base"
#define RECLAIM_MS 400u

static const struct qr_claim claims[] = {
	{
		.id = "L1",
		.source = "S3, S0",
		.mechanism = "LRU lists and lock: one global, per zone, per node, per group and node",
		.claim = "each step splits the lock of the one before",
		.must = "all four; per group at 104 groups at least +62 %",
		.how = "workload groups on epyc at 104 CPUs with 104 groups: pages per second with lists per group and "
		       "node against one global list, memory with zones of all kinds; scopes are the choices of "
		       "lru-scope",
		.unit = "% more pages",
		.answer = answer_scopes,
	},
	{
		.id = "L2",
		.source = "S3",
		.mechanism = "pagevecs: per-CPU batches of LRU changes",
		.claim = "98 % less contention",
		.must = "at least 98 % fewer contended takes of the LRU lock per operation",
		.how = "workload lru on numaq at 12 CPUs and the load of S3's table 1, lru-batch=0 against 14",
		.queries = {{"lru", "numaq", QR_TABLE1_CPUS, "lru-scope=global lru-batch=0", QR_TABLE1_LOAD,
			     QR_TABLE1_MS},
			    {"lru", "numaq", QR_TABLE1_CPUS, "lru-scope=global lru-batch=14", QR_TABLE1_LOAD,
			     QR_TABLE1_MS}},
		.measures = {{NULL, "% fewer contended takes", fewer_waits, 98, false},
			     {"fewer takes in all", "%", fewer_takes, 0, false}},
	},
	{
		.id = "L3",
		.source = "S3",
		.mechanism = "kswapd per node",
		.claim = "reclaim works on its own node",
		.must = "0 scans of another node",
		.how = "workload fault on numaq at 16 CPUs, 128 MiB for 192: folios that reclaim for a node met on "
		       "another one, with lists of each node's memory, and, for comparison, with one list for all",
		.queries = {{"fault", "numaq", 16, NULL, RECLAIM_LOAD, RECLAIM_MS},
			    {"fault", "numaq", 16, "lru-scope=node", RECLAIM_LOAD, RECLAIM_MS},
			    {"fault", "numaq", 16, "lru-scope=global", RECLAIM_LOAD, RECLAIM_MS}},
		.measures = {{NULL, "scans of another node", remote_scans, 0, true},
			     {"scans in all", "", local_scans, 1, false},
			     {"with one list", "% of another node", global_scans, 1, false}},
	},
	{
		.id = "L4",
		.source = "S1",
		.mechanism = "bucket LRU: groups of pages",
		.claim = "lists of single pages cost too much",
		.must = "one LRU operation per 16 pages",
		.how = "workload mappings on epyc: pages of a range per folio on the LRU lists, with folios as large "
		       "as "
		       "the manager likes",
		.queries = {{"mappings", "epyc", 1, NULL, "folio=auto order=ascending", 1000},
			    {"mappings", "epyc", 1, NULL, "folio=auto order=scattered", 1000}},
		.measures = {{NULL, "pages", grouped_ascending, 16, false},
			     {"touched in scattered order", "pages", grouped_scattered, 16, false}},
	},
	{
		.id = "L5",
		.source = "S2",
		.mechanism = "file and anonymous lists apart; pages read once go first",
		.claim = "a stream must not push out what is in use",
		.must = "a stream of 10 times the RAM: refaults of the hot set under 1 %",
		.how = "workload stream on epyc, 1 CPU, 64 MiB: touches of a hot set of half of memory that wait for "
		       "the swap beside a stream, with folios of one page and as large as the manager likes; lists "
		       "are by what returns, not by kind",
		.queries = {{"stream", "epyc", 1, NULL, STREAM " folio=base", 1200},
			    {"stream", "epyc", 1, NULL, STREAM " folio=auto", 1200}},
		.measures = {{NULL, "% of touches", refaults_base, 1, true},
			     {"large folios", "% of touches", refaults_auto, 1, true},
			     {"streamed", "times memory", times_streamed, 10, false}},
	},
	{
		.id = "L6",
		.source = "S2",
		.mechanism = "file before swap",
		.claim = "evict only file pages if that does",
		.must = "no swap-out while clean cold file pages exist",
		.how = "swap-outs beside cold file pages",
		.unit = "pages",
	},
	{
		.id = "L7",
		.source = "S2",
		.mechanism = "refault distance balances file and anonymous pages",
		.claim = "each list gets what it needs",
		.must = "adapts within one pass over the data",
		.how = "passes until the balance is right",
		.unit = "passes",
	},
	{
		.id = "L8",
		.source = "S2",
		.mechanism = "minimal scanning",
		.claim = "scanning is catastrophic past 128 GB",
		.must = "at most 1.2 folios scanned per reclaimed page, flat from 1 GB to 1 TB",
		.how = "workload stream on epyc at 32 CPUs in full memory once reclaim is under way: folios of one "
		       "page at 1, 4 and 16 GiB, large ones from 1 GiB on as far as the host's memory reaches (12 GiB "
		       "for 1 TiB)",
		.unit = "folios per page",
		.measures = {{.name = NULL}, {.name = "large folios"}},
		.answer = qr_answer_scanning,
	},
	{
		.id = "L9",
		.source = "S2",
		.mechanism = "the worst case as robust as the normal one",
		.claim = "thrash, all dirty, all pinned, no swap",
		.must = "no livelock; out of memory within 1 s",
		.how = "workload worst on epyc, 1 CPU, 64 MiB: the longest access to twice as much memory, and the "
		       "time "
		       "from the access that finds no more memory to its error, without swap and with all pages "
		       "pinned; after some were given back the program goes on",
		.queries = {{"worst", "epyc", 1, NULL, "ram-mib=64 case=full swap=off", 3000},
			    {"worst", "epyc", 1, NULL, "ram-mib=64 case=pinned", 3000},
			    {"worst", "epyc", 1, NULL, "ram-mib=64 case=thrash", 1000},
			    {"worst", "epyc", 1, NULL, "ram-mib=64 case=dirty", 1000}},
		.measures = {{NULL, "s to the error (no swap)", notice_no_swap, 1, true},
			     {"all pinned", "s to the error", notice_pinned, 1, true},
			     {"thrash and all dirty", "s for the longest access", longest_access, 1, true}},
	},
	{
		.id = "L10",
		.source = "Linux MGLRU",
		.mechanism = "generations",
		.claim = "less CPU for the same misses",
		.must = "CPU of reclaim at most half of L5's, misses no worse",
		.how = "CPU time of reclaim against the split lists",
		.unit = "times",
	},
	{
		.id = "L11",
		.source = "S1",
		.mechanism = "writeback that does not stall and is not per 4 KiB",
		.claim = "a ceiling of 2 GB/s",
		.must = "CPU of writeback per GB halved at folios of 64 KiB",
		.how = "CPU time per GB written",
		.unit = "times",
	},
};

const struct qr_claim_family qr_claims_lru = {'L', "Page replacement", claims, QR_ARRAY_SIZE(claims)};

#define SCOPES_GAIN_PERCENT 62
/* Several zones in each node, so that lists per zone are not those per node. */
#define SCOPES_LOAD "groups=104 zones=all"

/* Four steps, from one list to lists per group and node; the gain is that of the last over the first. */
static void answer_scopes(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer)
{
	static const struct qr_query queries[] = {
		{"groups", "epyc", 104, "lru-scope=global", SCOPES_LOAD, 0},
		{"groups", "epyc", 104, "lru-scope=zone", SCOPES_LOAD, 0},
		{"groups", "epyc", 104, "lru-scope=node", SCOPES_LOAD, 0},
		{"groups", "epyc", 104, "lru-scope=group", SCOPES_LOAD, 0},
	};
	struct qr_bench_run runs[QR_ARRAY_SIZE(queries)];

	(void)claim;
	if (qr_bench_run(bench, queries, QR_ARRAY_SIZE(queries), runs, answer)) {
		double zone = gain(bench, &runs[0], &runs[1], answer);
		double node = gain(bench, &runs[0], &runs[2], answer);
		double over_global = gain(bench, &runs[0], &runs[3], answer);
		bool has_all = note_scopes(bench, zone, node, answer);

		answer->verdict = has_all && over_global >= SCOPES_GAIN_PERCENT ? QR_CLAIM_HOLDS : QR_CLAIM_SHORT;
	}
	qr_bench_free_runs(bench, runs, QR_ARRAY_SIZE(queries));
}

/* Makes the answer's only figure: how much more is done per second. Returns its median. */
static double gain(const struct qr_bench *bench, const struct qr_bench_run *before, const struct qr_bench_run *after,
		   struct qr_answer *answer)
{
	double *values = qr_lab_alloc(bench->nr_seeds, sizeof(*values));

	for (uint32_t seed = 0; seed < bench->nr_seeds; seed++) {
		double rate = qr_lab_number(before->cells[seed].result, "ops_per_s");

		values[seed] = rate > 0 ? 100 * (qr_lab_number(after->cells[seed].result, "ops_per_s") / rate - 1) : 0;
	}
	answer->nr_figures = 0;
	qr_answer_band(answer, values, bench->nr_seeds);
	free(values);
	return answer->figures[0].value;
}

/* True if all four scopes are there. */
static bool note_scopes(const struct qr_bench *bench, double zone, double node, struct qr_answer *answer)
{
	static const char *const scopes[] = {"global", "zone", "node", "group"};
	const json_t *choice = qr_catalog_find(bench->catalog.choices, "lru-scope");
	char *there = qr_lab_join_names(json_object_get(choice, "values"));
	unsigned nr = 0;

	for (unsigned i = 0; i < QR_ARRAY_SIZE(scopes); i++)
		nr += qr_catalog_find(json_object_get(choice, "values"), scopes[i]) != NULL;
	qr_answer_note(answer, "over one list: per zone %+.0f %%, per node %+.0f %%; %u of 4 scopes: there is %s", zone,
		       node, nr, there);
	free(there);
	return nr == QR_ARRAY_SIZE(scopes);
}

static double fewer(const json_t *const *results, const char *counter)
{
	double before = qr_result_per_op(results[0], counter);

	return before > 0 ? 100 * (1 - qr_result_per_op(results[1], counter) / before) : 0;
}

static double fewer_waits(const json_t *const *results)
{
	return fewer(results, "lru_lock_waits");
}

static double fewer_takes(const json_t *const *results)
{
	return fewer(results, "lru_lock_takes");
}

/* Both scopes; where nothing was scanned nothing is shown. */
static double remote_scans(const json_t *const *results)
{
	if (local_scans(results) <= 0)
		return QR_NOT_SHOWN;
	return qr_result_counter(results[0], "remote_scans") + qr_result_counter(results[1], "remote_scans");
}

static double local_scans(const json_t *const *results)
{
	return QR_MIN(qr_result_counter(results[0], "scanned_folios"), qr_result_counter(results[1], "scanned_folios"));
}

static double over(const json_t *result, const char *part, const char *whole)
{
	double nr = qr_result_counter(result, whole);

	return nr > 0 ? qr_result_counter(result, part) / nr : QR_NOT_SHOWN;
}

static double global_scans(const json_t *const *results)
{
	double nr = qr_result_counter(results[2], "scanned_folios");

	return nr > 0 ? 100 * qr_result_counter(results[2], "remote_scans") / nr : 0;
}

static double grouped(const json_t *result)
{
	double nr = qr_result_counter(result, "mapped_folios");

	return nr > 0 ? qr_result_counter(result, "mapped_pages") / nr : 0;
}

static double grouped_ascending(const json_t *const *results)
{
	return grouped(results[0]);
}

static double grouped_scattered(const json_t *const *results)
{
	return grouped(results[1]);
}

static double refaults_base(const json_t *const *results)
{
	return 100 * over(results[0], "hot_refaults", "hot_touches");
}

static double refaults_auto(const json_t *const *results)
{
	return 100 * over(results[1], "hot_refaults", "hot_touches");
}

static double times_streamed(const json_t *const *results)
{
	double least = QR_MIN(qr_result_counter(results[0], "streamed_percent"),
			      qr_result_counter(results[1], "streamed_percent"));

	return least / 100;
}

static double notice(const json_t *result)
{
	bool is_told = qr_result_counter(result, "out_of_memory") > 0 && qr_result_counter(result, "recovered") > 0;

	return is_told ? qr_result_counter(result, "out_of_memory_ns") / 1e9 : QR_NOT_SHOWN;
}

static double notice_no_swap(const json_t *const *results)
{
	return notice(results[0]);
}

static double notice_pinned(const json_t *const *results)
{
	return notice(results[1]);
}

/* No access failed, and the longest is that of both. */
static double longest_access(const json_t *const *results)
{
	double longest = QR_MAX(qr_result_counter(results[2], "worst_access_ns"),
				qr_result_counter(results[3], "worst_access_ns"));
	bool has_failed = qr_result_counter(results[2], "out_of_memory") > 0 ||
			  qr_result_counter(results[3], "out_of_memory") > 0;

	return longest > 0 && !has_failed ? longest / 1e9 : QR_NOT_SHOWN;
}
