/* X: the scale of whole machines. */
#include <stdlib.h>
#include <string.h>

#include "claims/bench.h"
#include "lab/words.h"

static void answer_largest(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer);
static void answer_numaq(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer);
static bool run_all(struct qr_bench *bench, const char *machine, double cpus, double ram_gib, struct qr_answer *answer);
static json_t *list_workloads(const struct qr_bench *bench);
static double whole_rows(const json_t *const *results);

static const struct qr_claim claims[] = {
	{
		.id = "X1",
		.source = "S0",
		.mechanism = "384 CPUs, 2048 GB",
		.claim = "the machine to scale to",
		.must = "the lab runs that machine, every mechanism on",
		.how = "all workloads of the lab that use the manager, on epyc at 384 CPUs with all of its memory and "
		       "default mechanisms, one seed each",
		.unit = "CPUs",
		.answer = answer_largest,
	},
	{
		.id = "X2",
		.source = "S3",
		.mechanism = "16-CPU NUMA-Q, 16 GB, 5000 tasks; kernel-build and SDET mixes",
		.claim = "the machine of the source's measurements",
		.must = "the lab runs that machine and both mixes",
		.how = "all workloads of the lab that use the manager, on numaq at 16 CPUs, one seed each; kernbench "
		       "and "
		       "sdet among them",
		.unit = "CPUs",
		.answer = answer_numaq,
	},
	{
		.id = "X3",
		.source = "S3",
		.mechanism = "text replication per node; read-only data of libraries too",
		.claim = "instructions come from the own node",
		.must = "no remote walk for an instruction page",
		.how = "remote walks with replication",
		.unit = "walks",
	},
	{
		.id = "X4",
		.source = "S3 table 1",
		.mechanism = "lock statistics by lock and by call site",
		.claim = "use, contention, hold and wait (mean, max), % of CPU, total, no-wait, spin",
		.must = "the same columns for every lock",
		.how = "rows of the lock table with all columns, workload fault on numaq at 12 CPUs",
		.queries = {{"fault", "numaq", 12, NULL, NULL, 50}},
		.measures = {{NULL, "% of rows", whole_rows, 100, false}},
	},
};

const struct qr_claim_family qr_claims_machine = {'X', "Machine scale", claims, QR_ARRAY_SIZE(claims)};

/* The machines of the sources. */
#define LARGEST_CPUS 384
#define LARGEST_GIB 2048
#define NUMAQ_CPUS 16
#define NUMAQ_GIB 16
/* A workload that only measures the simulation itself: it calls nothing of core. */
#define BARE_WORKLOAD "private"
/* Long enough that every workload ends an operation even where it scales badly. */
#define RUN_MS 25u

static void answer_largest(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer)
{
	(void)claim;
	(void)run_all(bench, "epyc", LARGEST_CPUS, LARGEST_GIB, answer);
}

static void answer_numaq(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer)
{
	bool has_mixes;
	char *note;

	(void)claim;
	if (!run_all(bench, "numaq", NUMAQ_CPUS, NUMAQ_GIB, answer))
		return;
	has_mixes = qr_catalog_find(bench->catalog.workloads, "kernbench") &&
		    qr_catalog_find(bench->catalog.workloads, "sdet");
	if (has_mixes)
		return;
	answer->verdict = QR_CLAIM_SHORT;
	note = answer->note;
	answer->note = NULL;
	qr_answer_note(answer, "%s; the kernel-build and SDET mixes are missing", note);
	free(note);
}

/* One seed of every workload at the machine's full size. The figure is the CPUs that did work. */
static bool run_all(struct qr_bench *bench, const char *name, double cpus, double ram_gib, struct qr_answer *answer)
{
	const json_t *machine = bench->has_lab ? qr_catalog_find(bench->catalog.machines, name) : NULL;
	json_t *workloads = bench->has_lab ? list_workloads(bench) : json_array();
	char *params = qr_lab_format("ram-mib=%.0f", 1024 * qr_lab_number(machine, "ram_gib"));
	unsigned nr = (unsigned)json_array_size(workloads);
	struct qr_query *queries = qr_lab_alloc(nr, sizeof(*queries));
	struct qr_bench_run *runs = qr_lab_alloc(nr, sizeof(*runs));
	uint32_t nr_seeds = bench->nr_seeds;
	bool has_run = false;

	for (unsigned i = 0; i < nr; i++)
		queries[i] = (struct qr_query){qr_lab_name_of(json_array_get(workloads, i)),
					       name,
					       (uint32_t)qr_lab_number(machine, "cpus"),
					       NULL,
					       params,
					       RUN_MS};
	bench->nr_seeds = 1;
	if (nr && machine)
		has_run = qr_bench_run(bench, queries, nr, runs, answer);
	else
		qr_answer_note(answer, bench->has_lab ? "the lab has no machine '%s'" : "the lab is not there", name);
	if (has_run) {
		char *names = qr_lab_join_names(workloads);
		bool has_worked = true;

		for (unsigned i = 0; i < nr; i++)
			has_worked = has_worked && qr_lab_number(runs[i].cells[0].result, "ops") > 0;
		qr_answer_exact(answer, qr_lab_number(machine, "cpus"),
				has_worked && qr_lab_number(machine, "cpus") >= cpus &&
					qr_lab_number(machine, "ram_gib") >= ram_gib);
		qr_answer_note(answer, "%g GiB, %g nodes; workloads %s%s", qr_lab_number(machine, "ram_gib"),
			       qr_lab_number(machine, "nodes"), names,
			       has_worked ? "" : "; not all of them got something done");
		free(names);
	}
	qr_bench_free_runs(bench, runs, nr);
	bench->nr_seeds = nr_seeds;
	json_decref(workloads);
	free(queries);
	free(runs);
	free(params);
	return has_run;
}

static json_t *list_workloads(const struct qr_bench *bench)
{
	json_t *list = json_array();
	const json_t *workload;
	size_t i;

	json_array_foreach(bench->catalog.workloads, i, workload)
	{
		if (strcmp(qr_lab_name_of(workload), BARE_WORKLOAD) &&
		    !json_is_true(json_object_get(workload, "is_check")))
			(void)json_array_append(list, (json_t *)(uintptr_t)workload);
	}
	return list;
}

static double whole_rows(const json_t *const *results)
{
	static const char *const columns[] = {
		"use_percent", "contended_percent", "hold_mean_ns", "hold_max_ns", "wait_mean_ns",
		"wait_max_ns", "cpu_percent",       "total",        "nowait",      "spin"};
	const json_t *locks = json_object_get(results[0], "locks"), *lock;
	size_t nr_whole = 0, nr_sites = 0, i;

	json_array_foreach(locks, i, lock)
	{
		size_t nr = 0;

		for (size_t column = 0; column < QR_ARRAY_SIZE(columns); column++)
			nr += json_is_number(json_object_get(lock, columns[column]));
		nr_whole += nr == QR_ARRAY_SIZE(columns) && *qr_lab_string(lock, "name");
		nr_sites += *qr_lab_string(lock, "site") != '\0';
	}
	return nr_sites ? 100 * (double)nr_whole / (double)json_array_size(locks) : 0;
}
