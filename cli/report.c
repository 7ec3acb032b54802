/* The HTML report: one file that needs nothing else. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "lab/table.h"
#include "options.h"
#include "report.h"

static void write_head(FILE *file, const struct qr_run_result *result);
static void write_facts(FILE *file, const struct qr_sampler *sampler, const struct qr_totals *totals,
			const struct qr_run_result *result);
static int write_charts(FILE *file, const struct qr_sampler *sampler, const struct qr_totals *totals);
static void fill_rates(const struct qr_sampler *sampler, double *rates, size_t offset, double scale);
static void write_processes(FILE *file, const struct qr_sampler *sampler);
static void write_counters(FILE *file, const struct qr_totals *totals);
static void write_command(FILE *file, char **program);

/* An array of nr doubles per line that is drawn. */
enum { COLUMN_X, COLUMN_BUDGET, COLUMN_USED, COLUMN_SWAPPED, COLUMN_FAULTS, COLUMN_IN, COLUMN_OUT, NR_COLUMNS };

static const char style[] =
	"body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;"
	"background:#fff}"
	"h1{font-size:1.3rem}h2{font-size:1.05rem;margin-top:2rem}code{background:#eee;padding:.1em .3em}"
	"table{border-collapse:collapse;width:100%}"
	"th,td{border-bottom:1px solid #ddd;padding:.2rem .6rem;text-align:right;vertical-align:top}"
	"th:first-child,td:first-child,.text{text-align:left}"
	".chart{width:100%;height:auto;margin:.5rem 0}.chart text{font:12px system-ui,sans-serif;fill:#444}"
	".chart .title{font-weight:bold;fill:#222}.grid{stroke:#ddd}"
	"@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}code{background:#333}"
	"th,td{border-color:#444}.chart text{fill:#bbb}.chart .title{fill:#eee}.grid{stroke:#444}}";

int qr_report_write_html(FILE *file, const struct qr_sampler *sampler, const struct qr_totals *totals,
			 const struct qr_run_result *result)
{
	int err;

	write_head(file, result);
	write_facts(file, sampler, totals, result);
	err = write_charts(file, sampler, totals);
	write_processes(file, sampler);
	write_counters(file, totals);
	(void)fputs("</body>\n</html>\n", file);
	return ferror(file) ? -EIO : err;
}

static void write_head(FILE *file, const struct qr_run_result *result)
{
	(void)fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		    "<meta name=\"viewport\" content=\"width=device-width\">\n<title>quire: ",
		    file);
	qr_html_put(file, result->program[0]);
	(void)fprintf(file, "</title>\n<style>%s</style>\n</head>\n<body>\n<h1>quire run</h1>\n<p><code>", style);
	write_command(file, result->program);
	(void)fputs("</code></p>\n", file);
}

static void write_facts(FILE *file, const struct qr_sampler *sampler, const struct qr_totals *totals,
			const struct qr_run_result *result)
{
	const struct qr_domain_shared *shared = sampler->domain->shared;
	const uint64_t *counters = totals->counters;
	char first[QR_CLI_NUMBER_MAX], second[QR_CLI_NUMBER_MAX], third[QR_CLI_NUMBER_MAX];

	(void)fprintf(file, "<table>\n<tr><td>Ended with</td><td class=\"text\">%s %d after %.1f s</td></tr>\n",
		      result->signal ? "signal" : "exit status", result->signal ? result->signal : result->exit_status,
		      result->seconds);
	(void)fprintf(file, "<tr><td>RAM budget</td><td class=\"text\">%s, most in use %s</td></tr>\n",
		      qr_cli_format_bytes(first, totals->budget_bytes),
		      qr_cli_format_bytes(second, totals->peak_bytes));
	(void)fprintf(file, "<tr><td>Faults</td><td class=\"text\">%s, %.2f s in all, stalled %.2f s</td></tr>\n",
		      qr_cli_format_count(first, counters[QR_STAT_faults]), (double)counters[QR_STAT_fault_ns] / 1e9,
		      (double)counters[QR_STAT_stalled_ns] / 1e9);
	(void)fprintf(file, "<tr><td>Moved</td><td class=\"text\">out %s, in %s, file %s written</td></tr>\n",
		      qr_cli_format_bytes(first, counters[QR_STAT_swapout_pages] << QR_PAGE_SHIFT),
		      qr_cli_format_bytes(second, counters[QR_STAT_swapin_pages] << QR_PAGE_SHIFT),
		      qr_cli_format_bytes(third, counters[QR_STAT_file_written_bytes]));
	(void)fputs("<tr><td>Swap</td><td class=\"text\">", file);
	qr_html_put(file, shared->swap_dir[0] ? shared->swap_dir : "none");
	if (shared->options.swap_bytes)
		(void)fprintf(file, ", at most %s", qr_cli_format_bytes(first, shared->options.swap_bytes));
	(void)fprintf(file, "; compression %s; delivery %s</td></tr>\n",
		      qr_options_compression_name(shared->options.compression),
		      qr_options_delivery_name(shared->options.delivery));
	(void)fprintf(file,
		      "<tr><td>Passed to the kernel</td><td class=\"text\">%s mappings, %s: shared, of files or of "
		      "devices; not in the budget</td></tr>\n</table>\n",
		      qr_cli_format_count(first, totals->passed_maps),
		      qr_cli_format_bytes(second, totals->passed_bytes));
}

static int write_charts(FILE *file, const struct qr_sampler *sampler, const struct qr_totals *totals)
{
	const double mib = 1 << 20;
	uint32_t nr = sampler->nr;
	double *columns = calloc((size_t)NR_COLUMNS * nr, sizeof(*columns));
	double *x = columns + (size_t)COLUMN_X * nr;
	struct qr_chart memory = {"Memory",
				  "MiB",
				  x,
				  nr,
				  3,
				  {{"budget", "#999999", columns + (size_t)COLUMN_BUDGET * nr},
				   {"in RAM", "#1f77b4", columns + (size_t)COLUMN_USED * nr},
				   {"swapped out", "#d62728", columns + (size_t)COLUMN_SWAPPED * nr}}};
	struct qr_chart faults = {"Page faults",
				  "faults per second",
				  x,
				  nr,
				  1,
				  {{"faults", "#2ca02c", columns + (size_t)COLUMN_FAULTS * nr}}};
	struct qr_chart swap = {"Swap traffic",
				"MiB per second",
				x,
				nr,
				2,
				{{"in", "#9467bd", columns + (size_t)COLUMN_IN * nr},
				 {"out", "#ff7f0e", columns + (size_t)COLUMN_OUT * nr}}};

	if (!columns)
		return -ENOMEM;
	for (uint32_t i = 0; i < nr; i++) {
		x[i] = sampler->samples[i].seconds;
		columns[(size_t)COLUMN_BUDGET * nr + i] = (double)totals->budget_bytes / mib;
		columns[(size_t)COLUMN_USED * nr + i] = sampler->samples[i].used_bytes / mib;
		columns[(size_t)COLUMN_SWAPPED * nr + i] = sampler->samples[i].swapped_bytes / mib;
	}
	fill_rates(sampler, columns + (size_t)COLUMN_FAULTS * nr, offsetof(struct qr_sample, faults), 1);
	fill_rates(sampler, columns + (size_t)COLUMN_IN * nr, offsetof(struct qr_sample, swapin_pages),
		   (double)QR_PAGE_SIZE / mib);
	fill_rates(sampler, columns + (size_t)COLUMN_OUT * nr, offsetof(struct qr_sample, swapout_pages),
		   (double)QR_PAGE_SIZE / mib);
	(void)fputs("<h2>Over time</h2>\n", file);
	qr_chart_write(file, &memory);
	qr_chart_write(file, &faults);
	qr_chart_write(file, &swap);
	free(columns);
	return 0;
}

/* Counters only grow, but a member that ends moves its figures: a sample in between may see fewer. */
static void fill_rates(const struct qr_sampler *sampler, double *rates, size_t offset, double scale)
{
	for (uint32_t i = 1; i < sampler->nr; i++) {
		const struct qr_sample *now = &sampler->samples[i], *before = now - 1;
		double seconds = now->seconds - before->seconds;
		double change = *(const double *)(const void *)((const char *)now + offset) -
				*(const double *)(const void *)((const char *)before + offset);

		rates[i] = seconds > 0 && change > 0 ? change * scale / seconds : 0;
	}
}

static void write_processes(FILE *file, const struct qr_sampler *sampler)
{
	char number[QR_CLI_NUMBER_MAX];

	(void)fputs(
		"<h2>Processes</h2>\n<p>As last seen by the sampler; a process that lives for less than a tenth of a "
		"second may be missing.</p>\n<table>\n<tr><th>pid</th><th class=\"text\">command</th><th>from</th>"
		"<th>to</th><th>peak</th><th>faults</th><th>in</th><th>out</th></tr>\n",
		file);
	for (uint32_t i = 0; i < sampler->nr_processes; i++) {
		const struct qr_sampled_process *row = &sampler->processes[i];

		(void)fprintf(file, "<tr><td>%d</td><td class=\"text\">", (int)row->pid);
		qr_html_put(file, row->command);
		(void)fprintf(file, "</td><td>%.1f s</td><td>%.1f s</td><td>%s</td>", row->first_seen, row->last_seen,
			      qr_cli_format_bytes(number, row->peak_bytes));
		(void)fprintf(file, "<td>%s</td>", qr_cli_format_count(number, row->faults));
		(void)fprintf(file, "<td>%s</td>", qr_cli_format_bytes(number, row->swapin_pages << QR_PAGE_SHIFT));
		(void)fprintf(file, "<td>%s</td></tr>\n",
			      qr_cli_format_bytes(number, row->swapout_pages << QR_PAGE_SHIFT));
	}
	(void)fputs("</table>\n", file);
	if (sampler->nr_more)
		(void)fprintf(file, "<p>More than %u processes ran; the table holds the first.</p>\n",
			      QR_SAMPLED_PROCESSES);
}

static void write_counters(FILE *file, const struct qr_totals *totals)
{
	char number[QR_CLI_NUMBER_MAX];

	(void)fputs("<h2>Counters</h2>\n<table>\n", file);
	for (unsigned i = 0; i < QR_NR_STATS && qr_counter_name(i); i++)
		(void)fprintf(file, "<tr><td>%s</td><td class=\"text\">%s</td><td>%s</td></tr>\n", qr_counter_name(i),
			      qr_counter_text(i), qr_cli_format_count(number, totals->counters[i]));
	(void)fputs("</table>\n", file);
}

static void write_command(FILE *file, char **program)
{
	for (char **word = program; *word; word++) {
		if (word != program)
			(void)fputc(' ', file);
		qr_html_put(file, *word);
	}
}
