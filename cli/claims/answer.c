/* Answers: how a row's figure comes from its cells, and what may be read from a cell's result. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "claims/bench.h"
#include "lab/words.h"

static void answer_from_cells(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer);
static void take_measures(const struct qr_claim *claim, const struct qr_bench *bench, const struct qr_bench_run *runs,
			  unsigned nr, struct qr_answer *answer);
static int compare(const void *first, const void *second);

void qr_claim_answer(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer)
{
	memset(answer, 0, sizeof(*answer));
	answer->basis = json_array();
	if (claim->answer)
		claim->answer(claim, bench, answer);
	else if (claim->measures[0].figure)
		answer_from_cells(claim, bench, answer);
	else
		qr_answer_note(answer, claim->is_built ? "the mechanism is there, its measurement is not"
						       : "the mechanism is not there yet");
}

void qr_answer_free(struct qr_answer *answer)
{
	json_decref(answer->basis);
	free(answer->note);
}

static void answer_from_cells(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer)
{
	struct qr_bench_run runs[QR_CLAIM_MAX_QUERIES];
	unsigned nr = 0;

	while (nr < QR_CLAIM_MAX_QUERIES && claim->queries[nr].workload)
		nr++;
	if (qr_bench_run(bench, claim->queries, nr, runs, answer))
		take_measures(claim, bench, runs, nr, answer);
	qr_bench_free_runs(bench, runs, nr);
}

/* All measures must hold. */
static void take_measures(const struct qr_claim *claim, const struct qr_bench *bench, const struct qr_bench_run *runs,
			  unsigned nr, struct qr_answer *answer)
{
	double *values = qr_lab_alloc(bench->nr_seeds, sizeof(*values));

	answer->verdict = QR_CLAIM_HOLDS;
	for (unsigned i = 0; i < QR_CLAIM_MAX_FIGURES && claim->measures[i].figure; i++) {
		const struct qr_measure *measure = &claim->measures[i];
		double value;

		for (uint32_t seed = 0; seed < bench->nr_seeds; seed++) {
			const json_t *results[QR_CLAIM_MAX_QUERIES] = {0};

			for (unsigned query = 0; query < nr; query++)
				results[query] = runs[query].cells[seed].result;
			values[seed] = measure->figure(results);
		}
		qr_answer_band(answer, values, bench->nr_seeds);
		value = answer->figures[i].value;
		if (measure->is_most ? value > measure->limit : value < measure->limit)
			answer->verdict = QR_CLAIM_SHORT;
	}
	free(values);
}

void qr_answer_exact(struct qr_answer *answer, double value, bool holds)
{
	answer->figures[answer->nr_figures++] = (struct qr_figure){.value = value, .low = value, .high = value};
	answer->verdict = holds ? QR_CLAIM_HOLDS : QR_CLAIM_SHORT;
}

void qr_answer_band(struct qr_answer *answer, double *values, unsigned nr)
{
	qsort(values, nr, sizeof(*values), compare);
	answer->figures[answer->nr_figures++] = (struct qr_figure){
		.value = (values[(nr - 1) / 2] + values[nr / 2]) / 2,
		.low = values[0],
		.high = values[nr - 1],
		.has_band = true,
	};
}

static int compare(const void *first, const void *second)
{
	double a = *(const double *)first, b = *(const double *)second;

	return a < b ? -1 : a > b;
}

void qr_answer_note(struct qr_answer *answer, const char *format, ...)
{
	char buffer[2048];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(buffer, sizeof(buffer), format, arguments);
	va_end(arguments);
	free(answer->note);
	answer->note = qr_lab_format("%s", buffer);
}

const char *qr_verdict_name(enum qr_verdict verdict)
{
	static const char *const names[] = {"missing", "short", "holds"};

	return names[verdict];
}

double qr_result_per_op(const json_t *result, const char *counter)
{
	double ops = qr_lab_number(result, "ops");

	return ops > 0 ? qr_result_counter(result, counter) / ops : 0;
}

double qr_result_counter(const json_t *result, const char *counter)
{
	return qr_lab_number(json_object_get(result, "counters"), counter);
}

double qr_result_lock(const json_t *result, const char *name, const char *field)
{
	const json_t *lock;
	size_t i;

	json_array_foreach(json_object_get(result, "locks"), i, lock)
	{
		if (!*qr_lab_string(lock, "site") && !strcmp(qr_lab_string(lock, "name"), name))
			return qr_lab_number(lock, field);
	}
	return 0;
}
