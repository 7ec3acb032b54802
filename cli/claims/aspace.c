/* V: address spaces. */
#include <stdlib.h>
#include <string.h>

#include "claims/bench.h"
#include "lab/words.h"

static void answer_advice(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer);
static double ranked_takes(const json_t *const *results);
static double scaling(const json_t *const *results);
static double gain(const json_t *const *results);
static double takes_per_fault(const json_t *const *results);

/* As many CPUs as the source's machine had. */
#define CPUS 56u
#define SHARED_SPACE "spaces=same"

static const struct qr_claim claims[] = {
	{
		.id = "V1",
		.source = "S1",
		.mechanism = "what the mmap lock protects, written down and checked",
		.claim = "nobody knows",
		.must = "every lock has a rank in the one order that is written down (docs/locking.md) and checked",
		.how = "takes of locks that have a rank, workload fault in one address space",
		.queries = {{"fault", "epyc", 8, NULL, SHARED_SPACE, 0}},
		.measures = {{NULL, "% of takes", ranked_takes, 100, false}},
	},
	{
		.id = "V2",
		.source = "S0, S1",
		.mechanism = "mmap lock as one reader-writer lock",
		.claim = "the baseline: faults of one address space do not scale",
		.must = "runs, selectable",
		.how = "workload fault in one address space on epyc, mmap-lock=rwsem: 56 CPUs against 1",
		.queries = {{"fault", "epyc", 1, "mmap-lock=rwsem", SHARED_SPACE, 0},
			    {"fault", "epyc", CPUS, "mmap-lock=rwsem", SHARED_SPACE, 0}},
		.measures = {{NULL, "times 1 CPU", scaling, 0, false}},
	},
	{
		.id = "V3",
		.source = "S1",
		.mechanism = "range lock over the address space",
		.claim = "first the whole range, then precise ranges",
		.must = "disjoint mmap, touch, munmap scale at least 0.8 of linear",
		.how = "workload mmap in one address space",
		.unit = "of linear",
	},
	{
		.id = "V4",
		.source = "S0, S1; Linux 6.4",
		.mechanism = "faults outside the mmap lock: RCU walk, lock per VMA",
		.claim = "10.7 times the faults at 56 threads",
		.must = "no take of the mmap lock on an anonymous fault; at least 10.7 times at 56 CPUs",
		.how = "workload fault in one address space on epyc at 56 CPUs, mmap-lock=vma against rwsem",
		.queries = {{"fault", "epyc", CPUS, "mmap-lock=rwsem", SHARED_SPACE, 0},
			    {"fault", "epyc", CPUS, "mmap-lock=vma", SHARED_SPACE, 0}},
		.measures = {{NULL, "times the faults", gain, 10.7, false},
			     {"mmap-lock takes per fault", "", takes_per_fault, 0, true}},
	},
	{
		.id = "V5",
		.source = "S1",
		.mechanism = "lockless get_user_pages",
		.claim = "pages of another address space without its lock",
		.must = "no lock on resident pages",
		.how = "lock takes per resident page",
		.unit = "takes",
	},
	{
		.id = "V6",
		.source = "S1",
		.mechanism = "mlock, munlock, unevictable pages; a strict mode that serialises as the old lock did",
		.claim = "more concurrency exposed races of users",
		.must = "tests of both modes",
		.how = "modes that are there",
		.unit = "modes",
	},
	{
		.id = "V7",
		.source = "S0",
		.mechanism = "madvise: DONTNEED, FREE, COLD, PAGEOUT, WILLNEED, POPULATE, HUGEPAGE",
		.claim = "users tell the manager what they know",
		.must = "semantics as the manual page says",
		.how = "workload advice on epyc: each kind is given, and what follows compared with the manual page",
		.unit = "of 7 kinds",
		.answer = answer_advice,
	},
	{
		.id = "V8",
		.source = "S3",
		.mechanism = "nonlinear mappings, declared up front",
		.claim = "a window into a large file without a VMA per page",
		.must = "works, and is accounted",
		.how = "VMAs of a nonlinear mapping",
		.unit = "VMAs",
	},
};

const struct qr_claim_family qr_claims_aspace = {'V', "Address space", claims, QR_ARRAY_SIZE(claims)};

/* In the order in which the workload tries them. */
static void answer_advice(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer)
{
	static const char *const kinds[] = {"dontneed", "free", "cold", "pageout", "willneed", "populate", "huge"};
	static const struct qr_query query = {"advice", "epyc", 1, NULL, NULL, 1000};
	struct qr_lab_text lacks = {0};
	struct qr_bench_run run;
	unsigned nr = 0;

	(void)claim;
	if (qr_bench_run(bench, &query, 1, &run, answer)) {
		unsigned obeyed = (unsigned)qr_result_counter(run.cells[0].result, "advice_kinds_obeyed");

		for (unsigned i = 0; i < QR_ARRAY_SIZE(kinds); i++) {
			nr += obeyed >> i & 1;
			if (!(obeyed >> i & 1))
				qr_lab_text_add(&lacks, " %s", kinds[i]);
		}
		qr_answer_exact(answer, nr, nr == QR_ARRAY_SIZE(kinds));
		if (lacks.text)
			qr_answer_note(answer, "without the effect that the manual page describes:%s", lacks.text);
	}
	free(lacks.text);
	qr_bench_free_runs(bench, &run, 1);
}

/* Locks without a rank stand in the table as "other". */
static double ranked_takes(const json_t *const *results)
{
	double ranked = 0, all = 0;
	const json_t *lock;
	size_t i;

	json_array_foreach(json_object_get(results[0], "locks"), i, lock)
	{
		if (*qr_lab_string(lock, "site"))
			continue;
		all += qr_lab_number(lock, "total");
		if (strcmp(qr_lab_string(lock, "name"), "other"))
			ranked += qr_lab_number(lock, "total");
	}
	return all > 0 ? 100 * ranked / all : 0;
}

static double scaling(const json_t *const *results)
{
	double one = qr_lab_number(results[0], "ops_per_s");

	return one > 0 ? qr_lab_number(results[1], "ops_per_s") / one : 0;
}

static double gain(const json_t *const *results)
{
	return scaling(results);
}

static double takes_per_fault(const json_t *const *results)
{
	return qr_result_per_op(results[1], "mmap_lock_takes");
}
