/* A: the page allocator. */
#include <math.h>

#include "claims/bench.h"
#include "lab/words.h"

static void answer_contexts(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer);
static double latency_ratio(const json_t *const *results);
static double fewer_ticks(const json_t *const *results);
static double takes_divided(const json_t *const *results);
static double fewer_takes(const json_t *const *results);
static double pairs_obeyed(const json_t *const *results);
static double pairs_tried(const json_t *const *results);
static double orders_exact(const json_t *const *results);
static double bound_leaks(const json_t *const *results);
static double sets_used(const json_t *const *results);

/* Memory is filled and emptied some 35 times. */
#define NODES_LOAD "ram-mib=256 zones=all kswapd=off"
#define NODES_MS 100000u

static const struct qr_claim claims[] = {
	{
		.id = "A1",
		.source = "S2",
		.mechanism = "GFP mask and contexts",
		.claim = "user and page-cache allocations use any zone and wait; kernel ones NORMAL and DMA; interrupt "
			 "ones never wait and may fail",
		.must = "truth table tested; an atomic allocation never sleeps, checked at run time",
		.how = "workload contexts on epyc: rules of waiting and failing that allocations obey where no frame "
		       "is free; workload nodes on numaq with all kinds of zones: zones that an allocation of each "
		       "kind gets frames from, or not",
		.unit = "% of rules",
		.answer = answer_contexts,
	},
	{
		.id = "A2",
		.source = "S2, S3",
		.mechanism = "zones DMA, NORMAL, HIGHMEM, DMA32, MOVABLE; watermarks; fallback",
		.claim = "an allocation falls back from its zone to those below",
		.must = "fallback matrix tested",
		.how = "workload nodes on numaq at 16 CPUs, 4 nodes and 10 zones of all kinds: for each node, kind of "
		       "memory that an allocation asks for, and zone: whether the zone serves only who may use it, and "
		       "in its turn as memory fills up",
		.queries = {{"nodes", "numaq", 16, NULL, NODES_LOAD " distances=alike", NODES_MS},
			    {"nodes", "numaq", 16, NULL, NODES_LOAD " distances=ring", NODES_MS}},
		.measures = {{NULL, "% of pairs obeyed", pairs_obeyed, 100, false},
			     {"pairs", "", pairs_tried, 1, false}},
	},
	{
		.id = "A3",
		.source = "S2",
		.mechanism = "orders, buddy system, alloc_pages",
		.claim = "the buddy system is fast and scales behind per-CPU lists",
		.must = "latency at 26 CPUs at most 2 times that at 1",
		.how = "workload churn on epyc at 1 and 26 CPUs: time per operation and CPU",
		.queries = {{"churn", "epyc", 1, NULL, NULL, 0}, {"churn", "epyc", 26, NULL, NULL, 0}},
		.measures = {{NULL, "times the latency of 1 CPU", latency_ratio, 2, true}},
	},
	{
		.id = "A4",
		.source = "S3",
		.mechanism = "per-CPU hot and cold lists: hot is LIFO, batch 16, marks 32-96 and 0-32",
		.claim = "17.5 % fewer ticks",
		.must = "ticks per operation at least 17.5 % fewer than without lists; takes of the zone lock divided "
			"by 16",
		.how = "workload churn in bursts of up to 512 pages on numaq at 16 CPUs, pcp=none against pcp=hot-cold",
		.queries = {{"churn", "numaq", 16, "pcp=none", "burst=512", 50},
			    {"churn", "numaq", 16, "pcp=hot-cold", "burst=512", 50}},
		.measures = {{NULL, "% fewer ticks", fewer_ticks, 17.5, false},
			     {"zone-lock takes divided by", "", takes_divided, 16, false}},
	},
	{
		.id = "A5",
		.source = "S0; Linux 6.7",
		.mechanism = "automatic tuning of the per-CPU lists' size",
		.claim = "lock cycles fall from 11.0 to 0.5 %",
		.must = "at least 80 % fewer takes of the zone lock than with A4's lists on a bursty load",
		.how = "workload churn in bursts of up to 512 pages on numaq at 16 CPUs, pcp=hot-cold against pcp=auto",
		.queries = {{"churn", "numaq", 16, "pcp=hot-cold", "burst=512", 50},
			    {"churn", "numaq", 16, "pcp=auto", "burst=512", 50}},
		.measures = {{NULL, "% fewer zone-lock takes", fewer_takes, 80, false}},
	},
	{
		.id = "A6",
		.source = "S1",
		.mechanism = "groups of N cores in place of per-CPU data",
		.claim = "N is left open",
		.must = "N tunable; at 384 CPUs and N = 8 a global sum touches 48 lines",
		.how = "lines touched per sum",
		.unit = "lines",
	},
	{
		.id = "A7",
		.source = "S3",
		.mechanism = "NUMA: local node first, then round robin upward or by distance; binding",
		.claim = "allocations come from the local node first",
		.must = "both orders exact; a strict binding never leaks",
		.how = "workload nodes on numaq at 16 CPUs, 4 nodes in a ring: orders in which memory of the nodes is "
		       "used up, from each node, with node-order=distance and round-robin; and frames of other nodes "
		       "when allocations are bound to each of the 15 sets, even when they may wait",
		.queries = {{"nodes", "numaq", 16, "node-order=distance", NODES_LOAD " distances=ring", NODES_MS},
			    {"nodes", "numaq", 16, "node-order=round-robin", NODES_LOAD " distances=ring", NODES_MS}},
		.measures = {{NULL, "% of orders exact", orders_exact, 100, false},
			     {"sets that leak", "", bound_leaks, 0, true},
			     {"sets that are used up", "%", sets_used, 100, false}},
	},
	{
		.id = "A8",
		.source = "S1",
		.mechanism = "compaction without latency spikes",
		.claim = "huge pages stay available on fragmented memory",
		.must = "huge allocations succeed on fragmented memory; the worst stall is bounded and reported",
		.how = "share of huge allocations that succeed",
		.unit = "%",
	},
	{
		.id = "A9",
		.source = "S1",
		.mechanism = "subsystem work pinned to cores, with defaults that need no expert",
		.claim = "background work should not move over all cores",
		.must = "defaults within 10 % of the best hand tuning",
		.how = "throughput with defaults against the best of all settings",
		.unit = "% of the best",
	},
};

const struct qr_claim_family qr_claims_alloc = {'A', "Page allocator", claims, QR_ARRAY_SIZE(claims)};

/* Rules of waiting, and rules of zones: those of user pages, core's objects and interrupt handlers are rows of the
 * matrix, as are those of DMA. */
static void answer_contexts(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer)
{
	static const struct qr_query queries[] = {
		{"contexts", "epyc", 1, NULL, "kswapd=off ram-mib=64", 1000},
		{"nodes", "numaq", 16, NULL, NODES_LOAD, NODES_MS},
	};
	struct qr_bench_run runs[QR_ARRAY_SIZE(queries)];

	(void)claim;
	if (qr_bench_run(bench, queries, QR_ARRAY_SIZE(queries), runs, answer)) {
		const json_t *waits = runs[0].cells[0].result, *zones = runs[1].cells[0].result;
		double nr_rules = qr_result_counter(waits, "context_rules");
		double nr_obeyed = qr_result_counter(waits, "context_rules_obeyed");
		double nr_sleeps = qr_result_counter(waits, "atomic_sleeps");
		double nr_pairs = qr_result_counter(zones, "zone_pairs");
		double nr_pairs_obeyed = qr_result_counter(zones, "zone_pairs_obeyed");
		double nr_all = nr_rules + nr_pairs;

		qr_answer_exact(answer, nr_all > 0 ? 100 * (nr_obeyed + nr_pairs_obeyed) / nr_all : 0,
				nr_rules > 0 && nr_pairs > 0 && nr_obeyed == nr_rules && nr_pairs_obeyed == nr_pairs &&
					!nr_sleeps);
		qr_answer_note(answer,
			       "%.0f of %.0f rules of waiting; an atomic allocation slept %.0f times; %.0f of %.0f "
			       "rules of zones",
			       nr_obeyed, nr_rules, nr_sleeps, nr_pairs_obeyed, nr_pairs);
	}
	qr_bench_free_runs(bench, runs, QR_ARRAY_SIZE(queries));
}

/* The lesser of two cells. */
static double least_percent(const json_t *const *results, const char *part, const char *whole)
{
	double least = 100;

	for (unsigned i = 0; i < 2; i++) {
		double nr = qr_result_counter(results[i], whole);

		least = fmin(least, nr > 0 ? 100 * qr_result_counter(results[i], part) / nr : 0);
	}
	return least;
}

static double pairs_obeyed(const json_t *const *results)
{
	return least_percent(results, "zone_pairs_obeyed", "zone_pairs");
}

static double pairs_tried(const json_t *const *results)
{
	return fmin(qr_result_counter(results[0], "zone_pairs"), qr_result_counter(results[1], "zone_pairs"));
}

static double orders_exact(const json_t *const *results)
{
	return least_percent(results, "node_orders_exact", "node_orders");
}

/* None where none was tried shows nothing. */
static double bound_leaks(const json_t *const *results)
{
	bool is_shown =
		qr_result_counter(results[0], "bound_sets") > 0 && qr_result_counter(results[1], "bound_sets") > 0;

	return is_shown ? qr_result_counter(results[0], "bound_leaks") + qr_result_counter(results[1], "bound_leaks")
			: QR_NOT_SHOWN;
}

static double sets_used(const json_t *const *results)
{
	return least_percent(results, "bound_sets_used", "bound_sets");
}

/* CPUs divided by operations per second is the time that an operation takes one CPU. */
static double ticks_of(const json_t *result)
{
	double rate = qr_lab_number(result, "ops_per_s");

	return rate > 0 ? qr_lab_number(result, "cpus") / rate : 0;
}

static double latency_ratio(const json_t *const *results)
{
	return ticks_of(results[0]) > 0 ? ticks_of(results[1]) / ticks_of(results[0]) : 0;
}

static double fewer_ticks(const json_t *const *results)
{
	return ticks_of(results[0]) > 0 ? 100 * (1 - ticks_of(results[1]) / ticks_of(results[0])) : 0;
}

static double takes_divided(const json_t *const *results)
{
	double ops = qr_lab_number(results[1], "ops");
	double with = qr_result_per_op(results[1], "zone_lock_takes");

	/* None at all counts as one: the factor is at least that. */
	return ops > 0 ? qr_result_per_op(results[0], "zone_lock_takes") / fmax(with, 1 / ops) : 0;
}

static double fewer_takes(const json_t *const *results)
{
	double before = qr_result_per_op(results[0], "zone_lock_takes");

	return before > 0 ? 100 * (1 - qr_result_per_op(results[1], "zone_lock_takes") / before) : 0;
}
