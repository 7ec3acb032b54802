/* T: page tables and TLBs. */
#include "claims/bench.h"
#include "lab/words.h"

static double scaling(const json_t *const *results);
static double loss_percent(const json_t *const *results);
static double gain(const json_t *const *results);
static double lock_bytes(const json_t *const *results);
static double kernbench_forks(const json_t *const *results);
static double sdet_forks(const json_t *const *results);
static double fewer_interrupts(const json_t *const *results);

#define CPUS 56u
#define SHARED_SPACE "spaces=same"
/* The machine of the mixes, and long enough that tasks come and go. */
#define MIX_CPUS 16u
#define MIX_MS 50u

static const struct qr_claim claims[] = {
	{
		.id = "T1",
		.source = "S4",
		.mechanism = "one page-table lock per address space",
		.claim = "the baseline: faults of one address space do not scale",
		.must = "runs, selectable",
		.how = "workload fault in one address space on epyc, pt-lock=aspace: 56 CPUs against 1",
		.queries = {{"fault", "epyc", 1, "pt-lock=aspace", SHARED_SPACE, 0},
			    {"fault", "epyc", CPUS, "pt-lock=aspace", SHARED_SPACE, 0}},
		.measures = {{NULL, "times 1 CPU", scaling, 0, false}},
	},
	{
		.id = "T2",
		.source = "S4",
		.mechanism = "split lock: one per page-table page, in that page's descriptor",
		.claim = "scales from 4 CPUs up, costs a little below",
		.must = "0 extra bytes per table; at 1 CPU at most 1 % loss; a gain with many CPUs",
		.how = "workload fault in one address space on epyc, pt-lock=split against aspace at 1 and 56 CPUs; "
		       "workload mappings: frames that one takes more than the other, per table. The source splits "
		       "from 4 CPUs up; here the lock costs nothing, so it is split always",
		.queries = {{"fault", "epyc", 1, "pt-lock=aspace", SHARED_SPACE, 0},
			    {"fault", "epyc", 1, "pt-lock=split", SHARED_SPACE, 0},
			    {"fault", "epyc", CPUS, "pt-lock=aspace", SHARED_SPACE, 0},
			    {"fault", "epyc", CPUS, "pt-lock=split", SHARED_SPACE, 0},
			    {"mappings", "epyc", 1, "pt-lock=aspace", NULL, 1000},
			    {"mappings", "epyc", 1, "pt-lock=split", NULL, 1000}},
		.measures = {{NULL, "% loss at 1 CPU", loss_percent, 1, true},
			     {"faults at 56 CPUs", "times pt-lock=aspace", gain, 1, false},
			     {"lock", "bytes per table", lock_bytes, 0, true}},
	},
	{
		.id = "T3",
		.source = "S0",
		.mechanism = "page tables freed when they are empty",
		.claim = "tables cost 2 %; Linux: 102,640 kB to 248 kB after a loop over 50 GB",
		.must = "the same loop: 102,400 kB to 248 kB or less; faults at most 1.2 % slower",
		.how = "page tables left after the loop",
		.unit = "kB",
	},
	{
		.id = "T4",
		.source = "S3",
		.mechanism = "shared page tables in units of 2 MiB, split on a private write",
		.claim = "5000 processes x 2 GB: 20 GB to 4 MB",
		.must = "19.53 GiB to about 4 MiB; one write splits one unit; fork and exec gain",
		.how = "page tables of the shared segment",
		.unit = "MiB",
	},
	{
		.id = "T5",
		.source = "S3",
		.mechanism = "huge pages: static pool and automatic, and sizes between",
		.claim = "the same case: about 60 MB",
		.must = "58.6 MiB unaligned, 39.1 aligned; 4 to 16 times fewer faults, no change to the program",
		.how = "page tables of the shared segment",
		.unit = "MiB",
	},
	{
		.id = "T6",
		.source = "S3",
		.mechanism = "fork with copy on write, 5000 tasks",
		.claim = "kernbench and SDET fork all the time",
		.must = "mixes like kernbench and SDET run",
		.how = "tasks forked per virtual second on numaq at 16 CPUs, workloads kernbench (256 tasks, as by "
		       "make -j "
		       "256) and sdet (5000 tasks)",
		.queries = {{"kernbench", "numaq", MIX_CPUS, NULL, "tasks=256", MIX_MS},
			    {"sdet", "numaq", MIX_CPUS, NULL, "tasks=5000", MIX_MS}},
		.measures = {{NULL, "tasks per second (kernbench)", kernbench_forks, 1, false},
			     {"sdet", "tasks per second", sdet_forks, 1, false}},
	},
	{
		.id = "T7",
		.source = "S0, S1",
		.mechanism = "TLB shoot-down: only to CPUs that hold the address space, gathered, batched, lazy",
		.claim = "\"any solution?\"",
		.must = "at least 15 times fewer interrupts than one per page; no stale translation",
		.how = "workload fault in one address space on epyc at 56 CPUs: interrupts that one per page and CPU "
		       "would "
		       "cost, divided by those that were sent; a translation used too late ends the run",
		.queries = {{"fault", "epyc", CPUS, NULL, SHARED_SPACE, 0}},
		.measures = {{NULL, "times fewer interrupts", fewer_interrupts, 15, false}},
	},
	{
		.id = "T8",
		.source = "S3",
		.mechanism = "zeroing and copying done cache-wise",
		.claim = "clearing a page throws out what the program needs",
		.must = "stated cost per fault",
		.how = "misses of the program after a fault",
		.unit = "misses",
	},
};

const struct qr_claim_family qr_claims_pgtable = {'T', "Page tables and TLB", claims, QR_ARRAY_SIZE(claims)};

static double scaling(const json_t *const *results)
{
	double one = qr_lab_number(results[0], "ops_per_s");

	return one > 0 ? qr_lab_number(results[1], "ops_per_s") / one : 0;
}

static double loss_percent(const json_t *const *results)
{
	return 100 * (1 - scaling(results));
}

static double gain(const json_t *const *results)
{
	return scaling(results + 2);
}

#define PAGE_BYTES 4096

static double frames_in_use(const json_t *result)
{
	return qr_result_counter(result, "mapped_pages") + qr_result_counter(result, "new_tables") +
	       qr_result_counter(result, "extra_frames");
}

static double lock_bytes(const json_t *const *results)
{
	double nr_tables = qr_result_counter(results[5], "new_tables");

	return nr_tables > 0 ? PAGE_BYTES * (frames_in_use(results[5]) - frames_in_use(results[4])) / nr_tables
			     : QR_NOT_SHOWN;
}

static double forks_per_second(const json_t *result)
{
	return qr_result_per_op(result, "forks") * qr_lab_number(result, "ops_per_s");
}

static double kernbench_forks(const json_t *const *results)
{
	return forks_per_second(results[0]);
}

static double sdet_forks(const json_t *const *results)
{
	return forks_per_second(results[1]);
}

/* Every page that is touched is taken away again, and all other CPUs use the address space. */
static double fewer_interrupts(const json_t *const *results)
{
	double sent = qr_result_per_op(results[0], "machine_ipis");

	return sent > 0 ? (qr_lab_number(results[0], "cpus") - 1) / sent : 0;
}
