/* L: page replacement. */
#include <stdlib.h>

#include "claims/bench.h"
#include "lab/words.h"

static void answer_scopes(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer);
static double fewer_waits(const json_t *const *results);
static double fewer_takes(const json_t *const *results);

static const struct qr_claim claims[] = {
	{
		.id = "L1",
		.source = "S3, S0",
		.mechanism = "LRU lists and lock: one global, per zone, per node, per group and node",
		.claim = "each step splits the lock of the one before",
		.must = "all four; per group at 104 groups at least +62 %",
		.how = "choices of lru-scope: global, zone, node, group",
		.unit = "of 4 scopes",
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
		.how = "folios scanned on another node",
		.unit = "scans",
	},
	{
		.id = "L4",
		.source = "S1",
		.mechanism = "bucket LRU: groups of pages",
		.claim = "lists of single pages cost too much",
		.must = "one LRU operation per 16 pages",
		.how = "pages per LRU operation",
		.unit = "pages",
	},
	{
		.id = "L5",
		.source = "S2",
		.mechanism = "file and anonymous lists apart; pages read once go first",
		.claim = "a stream must not push out what is in use",
		.must = "a stream of 10 times the RAM: refaults of the hot set under 1 %",
		.how = "refaults of a hot set beside a stream",
		.unit = "%",
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
		.how = "folios scanned per page reclaimed",
		.unit = "folios per page",
		.is_built = true,
	},
	{
		.id = "L9",
		.source = "S2",
		.mechanism = "the worst case as robust as the normal one",
		.claim = "thrash, all dirty, all pinned, no swap",
		.must = "no livelock; out of memory within 1 s",
		.how = "seconds to the message",
		.unit = "s",
		.is_built = true,
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

static void answer_scopes(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer)
{
	static const char *const scopes[] = {"global", "zone", "node", "group"};
	const json_t *choice = bench->has_lab ? qr_catalog_find(bench->catalog.choices, "lru-scope") : NULL;
	unsigned nr = 0;
	char *there;

	(void)claim;
	if (!choice) {
		qr_answer_note(answer, "the lab has no mechanism 'lru-scope'");
		return;
	}
	for (unsigned i = 0; i < QR_ARRAY_SIZE(scopes); i++)
		nr += qr_catalog_find(json_object_get(choice, "values"), scopes[i]) != NULL;
	/* The gain per group is measured when there are groups. */
	qr_answer_exact(answer, nr, false);
	there = qr_lab_join_names(json_object_get(choice, "values"));
	qr_answer_note(answer, "there is %s", there);
	free(there);
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
