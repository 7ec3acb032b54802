/* P: frames and their descriptors. */
#include "claims/bench.h"
#include "lab/words.h"
#include "page/frame.h"

static void answer_descriptor(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer);

static void answer_folios(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer);

static const struct qr_claim claims[] = {
	{
		.id = "P1",
		.source = "S0",
		.mechanism = "frame descriptor, one per PFN",
		.claim = "64 bytes each, 16 GB per TB",
		.must = "32 bytes or less: at most 8 GiB per TiB",
		.how = "size of the descriptor in the built core",
		.unit = "bytes per frame",
		.answer = answer_descriptor,
	},
	{
		.id = "P2",
		.source = "S0",
		.mechanism = "tail descriptors of a huge folio share one page (HVO)",
		.claim = "2 MiB: 8 pages to 1; 1 GiB: 4096 to 1",
		.must = "the same ratios on the size of our descriptor; restored when the folio is split",
		.how = "pages of descriptors before and after",
		.unit = "to 1",
	},
	{
		.id = "P3",
		.source = "S0",
		.mechanism = "folio: never a tail page",
		.claim = "takes the place of compound-head tests",
		.must = "no tail test on a hot path; LRU operations divided by the folio's page count",
		.how = "workload mappings on epyc: takes of the LRU lock per page with folios of one page, over those "
		       "with folios as large as the manager likes, against the mean size of these. Looking up the "
		       "head of a page that a PTE names still asks whether it is a tail",
		.unit = "times fewer LRU operations",
		.answer = answer_folios,
	},
	{
		.id = "P4",
		.source = "S3",
		.mechanism = "page clustering: one descriptor for a group of frames",
		.claim = "64 GB PAE: 78 % of lowmem falls to 9 % with groups of 8; 19 % at 16 GB",
		.must = "the three percentages with the source's 44-byte descriptor, ours beside them",
		.how = "share of lowmem that the memmap takes",
		.unit = "% of lowmem",
	},
	{
		.id = "P5",
		.source = "S3",
		.mechanism = "node-local memmap, node and per-CPU data",
		.claim = "descriptors lie on the node of their frames",
		.must = "at least 99 % of accesses to descriptors are local",
		.how = "accesses to the memmap by node on the simulated machine",
		.unit = "% local",
	},
};

const struct qr_claim_family qr_claims_frames = {'P', "Frames and their descriptors", claims, QR_ARRAY_SIZE(claims)};

static void answer_descriptor(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer)
{
	const double frames_per_tib = (double)((uint64_t)1 << 40) / (double)QR_PAGE_SIZE;
	double gib = frames_per_tib * (double)sizeof(struct qr_frame) / (double)(1 << 30);

	(void)claim;
	(void)bench;
	qr_answer_exact(answer, (double)sizeof(struct qr_frame), gib <= 8);
	qr_answer_note(answer, "%g GiB per TiB of frames of %u bytes", gib, (unsigned)QR_PAGE_SIZE);
}

/* The tests for tails are not counted, and there are some: it falls short. */
static void answer_folios(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer)
{
	static const struct qr_query queries[] = {
		{"mappings", "epyc", 1, NULL, "folio=base", 1000},
		{"mappings", "epyc", 1, NULL, "folio=auto", 1000},
	};
	struct qr_bench_run runs[QR_ARRAY_SIZE(queries)];

	(void)claim;
	if (qr_bench_run(bench, queries, QR_ARRAY_SIZE(queries), runs, answer)) {
		const json_t *base = runs[0].cells[0].result, *large = runs[1].cells[0].result;
		double takes = qr_result_counter(large, "lru_takes");
		double folios = qr_result_counter(large, "mapped_folios");

		qr_answer_exact(answer, takes > 0 ? qr_result_counter(base, "lru_takes") / takes : 0, false);
		qr_answer_note(answer, "%.0f pages per folio; tests for tails are left: PTEs name pages, not folios",
			       folios > 0 ? qr_result_counter(large, "mapped_pages") / folios : 0);
	}
	qr_bench_free_runs(bench, runs, QR_ARRAY_SIZE(queries));
}
