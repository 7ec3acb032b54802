/* L8: folios scanned per page reclaimed, over the size of memory. */
#include <stdlib.h>
#include <unistd.h>

#include "claims/bench.h"
#include "lab/words.h"

#define LIMIT 1.2
/* Flat: the largest figure of a curve over the smallest. */
#define FLAT_LIMIT 1.2
#define STREAM "fill=95 file=15728640 think=0 kswapd=off"
#define CPUS 32u
#define RUN_MS 20u
/* Descriptors and page tables of a full memory, of the manager and of the machine: 48 bytes for each page. */
#define HOST_SHARE (48.0 / 4096)
/* What else runs on the host needs some, too. */
#define HOST_USABLE 0.7

static const uint32_t small_gib[] = {1, 4, 16};
static const uint32_t large_gib[] = {1, 8, 64, 256, 1024};

static bool scan_curve(struct qr_bench *bench, const char *folio, const uint32_t *sizes, unsigned nr,
		       struct qr_answer *answer, struct qr_lab_text *text);

/* Cells of the largest size fill a part of the host's memory: one seed, one cell at a time. */
void qr_answer_scanning(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer)
{
	double host_gib = (double)sysconf(_SC_AVPHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / (1 << 30);
	uint32_t nr_seeds = bench->nr_seeds, nr_jobs = bench->pool.nr_jobs;
	struct qr_lab_text text = {0};
	unsigned nr_large = 0;

	(void)claim;
	while (nr_large < QR_ARRAY_SIZE(large_gib) && large_gib[nr_large] * HOST_SHARE < host_gib * HOST_USABLE)
		nr_large++;
	bench->nr_seeds = 1;
	bench->pool.nr_jobs = 1;
	if (scan_curve(bench, "base", small_gib, QR_ARRAY_SIZE(small_gib), answer, &text) &&
	    scan_curve(bench, "auto", large_gib, nr_large, answer, &text)) {
		bool is_flat = answer->figures[0].high <= FLAT_LIMIT * answer->figures[0].low &&
			       answer->figures[1].high <= FLAT_LIMIT * answer->figures[1].low;
		bool is_minimal = answer->figures[0].high <= LIMIT && answer->figures[1].high <= LIMIT;

		answer->verdict =
			is_flat && is_minimal && nr_large == QR_ARRAY_SIZE(large_gib) ? QR_CLAIM_HOLDS : QR_CLAIM_SHORT;
		qr_answer_note(answer, "%s; %s; figure and band: over the sizes", text.text,
			       is_flat ? "both are flat" : "not flat");
	}
	bench->nr_seeds = nr_seeds;
	bench->pool.nr_jobs = nr_jobs;
	free(text.text);
}

/* A figure: its band spans the sizes. */
static bool scan_curve(struct qr_bench *bench, const char *folio, const uint32_t *sizes, unsigned nr,
		       struct qr_answer *answer, struct qr_lab_text *text)
{
	struct qr_query queries[QR_CLAIM_MAX_QUERIES] = {{.workload = NULL}};
	struct qr_bench_run runs[QR_CLAIM_MAX_QUERIES];
	double values[QR_CLAIM_MAX_QUERIES];
	char *params[QR_CLAIM_MAX_QUERIES];
	bool has_run;

	for (unsigned i = 0; i < nr; i++) {
		params[i] = qr_lab_format("ram-mib=%u folio=%s " STREAM, sizes[i] << 10, folio);
		queries[i] = (struct qr_query){"stream", "epyc", CPUS, NULL, params[i], RUN_MS};
	}
	has_run = qr_bench_run(bench, queries, nr, runs, answer);
	qr_lab_text_add(text, "%sfolio=%s:", text->text ? "; " : "", folio);
	for (unsigned i = 0; i < nr && has_run; i++) {
		const json_t *result = runs[i].cells[0].result;
		double nr_pages = qr_result_counter(result, "reclaimed_pages");

		/* Where nothing was reclaimed nothing is shown. */
		has_run = nr_pages > 0;
		values[i] = has_run ? qr_result_counter(result, "scanned_folios") / nr_pages : 0;
		qr_lab_text_add(text, " %.3g at %u GiB", values[i], sizes[i]);
		if (!has_run)
			qr_answer_note(answer, "nothing was reclaimed at %u GiB", sizes[i]);
	}
	if (has_run)
		qr_answer_band(answer, values, nr);
	qr_bench_free_runs(bench, runs, nr);
	for (unsigned i = 0; i < nr; i++)
		free(params[i]);
	return has_run;
}
