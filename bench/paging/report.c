/* Medians, ranges and ratios of the paging benchmark, as a table and as JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "paging.h"

struct spread {
	double median, min, max;
	unsigned nr;
};

static bool is_sequential(enum work work)
{
	return work == WORK_SEQ_WRITE || work == WORK_SEQ_READ;
}

static const char *unit_of(enum work work)
{
	return is_sequential(work) ? "MB/s" : "kpages/s";
}

/* In the unit of the work; larger is better. */
static double speed_of(enum work work, const struct sample *sample)
{
	double pages_per_second = (double)sample->nr_pages / sample->seconds;

	return is_sequential(work) ? pages_per_second * PAGE_BYTES / 1e6 : pages_per_second / 1e3;
}

static int compare_doubles(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

static struct spread spread_of(double *values, unsigned nr)
{
	struct spread spread = {.nr = nr};

	if (nr == 0)
		return spread;
	qsort(values, nr, sizeof(*values), compare_doubles);
	spread.min = values[0];
	spread.max = values[nr - 1];
	spread.median = nr % 2 ? values[nr / 2] : (values[nr / 2 - 1] + values[nr / 2]) / 2;
	return spread;
}

static struct spread speeds(const struct config *config, sample_grid samples, unsigned threads, enum work work)
{
	double values[MAX_ROUNDS];
	unsigned nr = 0;

	for (unsigned round = 0; round < config->nr_rounds; round++) {
		const struct sample *sample = &samples[threads][round][work];

		if (sample->seconds > 0)
			values[nr++] = speed_of(work, sample);
	}
	return spread_of(values, nr);
}

static void print_row(const struct config *config, sample_grid *samples, unsigned threads, enum work work, unsigned at)
{
	struct spread own = speeds(config, samples[at], threads, work);
	const struct sample *last = &samples[at][threads][0][work];

	if (own.nr == 0)
		return;
	printf("%-10s %u  %-20s %9.1f  %8.1f ..%9.1f %-8s %9llu %8.1f %8.1f", qr_bench_work_names[work],
	       config->threads[threads], qr_bench_subjects[at].name, own.median, own.min, own.max, unit_of(work),
	       (unsigned long long)last->nr_faults, (double)last->bytes_in / 1e6, (double)last->bytes_out / 1e6);
	for (unsigned peer = 0; peer < qr_bench_nr_subjects; peer++) {
		struct spread other = speeds(config, samples[peer], threads, work);

		if (qr_bench_subjects[peer].is_peer && !qr_bench_subjects[at].is_peer && other.nr)
			printf("  %s %.2f", qr_bench_subjects[peer].name, own.median / other.median);
	}
	putchar('\n');
}

void qr_bench_print(const struct config *config, sample_grid *samples)
{
	printf("\n%llu MiB of data in %llu MiB of RAM, %u rounds, %llu operations of each thread\n",
	       (unsigned long long)config->data_bytes >> 20, (unsigned long long)config->ram_bytes >> 20,
	       config->nr_rounds, (unsigned long long)config->nr_ops);
	printf("%-10s %s %-20s %9s  %19s %-8s %9s %8s %8s  %s\n", "work", "th", "subject", "median", "range", "unit",
	       "faults", "MB in", "MB out", "ratio to each peer (above 1: quire is faster)");
	for (unsigned work = 0; work < NR_WORKS; work++) {
		for (unsigned threads = 0; threads < NR_THREAD_COUNTS; threads++) {
			for (unsigned at = 0; at < qr_bench_nr_subjects; at++)
				print_row(config, samples, threads, (enum work)work, at);
		}
	}
}

/* One row: a subject against a peer, or alone (peer and ratio are null). */
static void json_row(FILE *file, const struct config *config, sample_grid *samples, unsigned threads, enum work work,
		     unsigned at, unsigned peer, const char **separator)
{
	struct spread own = speeds(config, samples[at], threads, work);
	struct spread other = speeds(config, samples[peer], threads, work);
	const struct sample *last = &samples[at][threads][0][work];

	if (own.nr == 0 || other.nr == 0)
		return;
	fprintf(file, "%s\n\t\t{\"work\": \"%s\", \"threads\": %u, \"subject\": \"%s\", \"peer\": ", *separator,
		qr_bench_work_names[work], config->threads[threads], qr_bench_subjects[at].name);
	*separator = ",";
	if (peer == at)
		fprintf(file, "null");
	else
		fprintf(file, "\"%s\"", qr_bench_subjects[peer].name);
	fprintf(file, ", \"median\": %.3f, \"min\": %.3f, \"max\": %.3f, \"unit\": \"%s\", \"ratio\": ", own.median,
		own.min, own.max, unit_of(work));
	if (peer == at)
		fprintf(file, "null");
	else
		fprintf(file, "%.4f, \"peer_median\": %.3f", own.median / other.median, other.median);
	fprintf(file, ", \"faults\": %llu, \"bytes_in\": %llu, \"bytes_out\": %llu}",
		(unsigned long long)last->nr_faults, (unsigned long long)last->bytes_in,
		(unsigned long long)last->bytes_out);
}

/* Whether anything of the kernel's was measured; without it rows have no peer and no ratio. */
static bool has_peers(const struct config *config, sample_grid *samples)
{
	for (unsigned at = 0; at < qr_bench_nr_subjects; at++) {
		if (qr_bench_subjects[at].is_peer && speeds(config, samples[at], 0, WORK_SEQ_WRITE).nr)
			return true;
	}
	return false;
}

static void json_rows(FILE *file, const struct config *config, sample_grid *samples)
{
	const char *separator = "";
	bool is_alone = !has_peers(config, samples);

	for (unsigned work = 0; work < NR_WORKS; work++) {
		for (unsigned threads = 0; threads < NR_THREAD_COUNTS; threads++) {
			for (unsigned at = 0; at < qr_bench_nr_subjects; at++) {
				for (unsigned peer = 0; peer < qr_bench_nr_subjects; peer++) {
					bool is_pair =
						qr_bench_subjects[peer].is_peer && !qr_bench_subjects[at].is_peer;

					if (is_pair || (peer == at && is_alone))
						json_row(file, config, samples, threads, (enum work)work, at, peer,
							 &separator);
				}
			}
		}
	}
}

int qr_bench_write_json(const struct config *config, sample_grid *samples, const char *const *skipped)
{
	FILE *file = strcmp(config->json, "-") ? fopen(config->json, "w") : stdout;
	const char *separator = "";

	if (!file) {
		perror(config->json);
		return 1;
	}
	fprintf(file, "{\n\t\"benchmark\": \"paging\",\n\t\"data_bytes\": %llu,\n\t\"ram_bytes\": %llu,\n",
		(unsigned long long)config->data_bytes, (unsigned long long)config->ram_bytes);
	fprintf(file, "\t\"rounds\": %u,\n\t\"ops\": %llu,\n\t\"skipped\": {", config->nr_rounds,
		(unsigned long long)config->nr_ops);
	for (unsigned i = 0; i < qr_bench_nr_subjects; i++) {
		if (!skipped[i])
			continue;
		fprintf(file, "%s\n\t\t\"%s\": \"%s\"", separator, qr_bench_subjects[i].name, skipped[i]);
		separator = ",";
	}
	fprintf(file, "\n\t},\n\t\"rows\": [");
	json_rows(file, config, samples);
	fprintf(file, "\n\t]\n}\n");
	return file == stdout ? fflush(file) : fclose(file);
}
