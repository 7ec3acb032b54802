/* An experiment as one HTML page that needs no network: plots and tables, machines, how to reproduce it. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <quire/quire.h>

#include "lab/output.h"

/* Rows per table; the JSON has all. */
#define MAX_LOCK_ROWS 40u
#define MAX_LINE_ROWS 20u

static void print_summary(const struct qr_lab_page *page, FILE *file);
static void print_facts(const struct qr_lab_page *page, FILE *file);
static void print_fact(FILE *file, const char *name, const char *value);
static void print_plot(FILE *file, const struct qr_lab_text *svg, const char *caption);
static void print_variant(const struct qr_lab_page *page, FILE *file, const struct qr_lab_variant *variant);
static void print_machines(const struct qr_lab_plan *plan, FILE *file);
static void print_failed(const struct qr_lab_page *page, FILE *file);
static void print_and_free(struct qr_table *table, FILE *file, unsigned max_rows);

static const char style[] =
	":root{--text:#1f2328;--soft:#59636e;--line:#d1d9e0;--back:#fff;--tint:#f6f8fa;--accent:#0072b2}"
	"*{box-sizing:border-box}"
	"body{font:15px/1.55 system-ui,-apple-system,'Segoe UI',sans-serif;max-width:68rem;margin:2.5rem auto;"
	"padding:0 1.25rem;color:var(--text);background:var(--back)}"
	"h1{font-size:1.6rem;line-height:1.25;margin:0 0 .25rem}h2{font-size:1.15rem;margin:2.75rem 0 .5rem;"
	"padding-bottom:.3rem;border-bottom:1px solid var(--line)}h3{font-size:1rem;margin:1.75rem 0 .25rem}"
	".lead{font-size:1.05rem;margin:.25rem 0 1rem}.note{color:var(--soft);font-size:.88rem}"
	"code,pre{font:13px/1.5 ui-monospace,'DejaVu Sans Mono',monospace;background:var(--tint);border-radius:4px}"
	"code{padding:.1em .35em}pre{padding:.7rem .9rem;overflow-x:auto;white-space:pre-wrap;word-break:break-word}"
	"dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1.25rem;margin:1rem 0}"
	"dt{color:var(--soft)}dd{margin:0}"
	".wide{overflow-x:auto;margin:.75rem 0 1rem}table{border-collapse:collapse;font-variant-numeric:tabular-nums;"
	"font-size:.9rem}"
	"caption{text-align:left;color:var(--soft);padding:.2rem 0 .4rem}"
	"th,td{border-bottom:1px solid var(--line);padding:.22rem .7rem;text-align:right;vertical-align:top;"
	"white-space:nowrap}th{background:var(--tint);font-weight:600}th.group{text-align:center;"
	"border-left:1px solid var(--line);border-right:1px solid var(--line)}"
	".text{text-align:left}.minor td{color:var(--soft);font-size:.85rem}"
	".minor td.text{padding-left:1.8rem}tbody tr:hover td{background:var(--tint)}"
	"figure{margin:1rem 0 1.5rem}figure svg{width:100%;height:auto;border:1px solid var(--line);border-radius:6px;"
	"background:#fff}figcaption{color:var(--soft);font-size:.88rem;margin-top:.3rem}"
	".claims{table-layout:fixed;width:100%;min-width:44rem}.claims td{white-space:normal}"
	".claims th:nth-child(1){width:3.5rem}.claims th:nth-child(3){width:27%}.claims th:nth-child(4){width:29%}"
	".claims th:nth-child(5){width:5.5rem}.claims pre,.claims p{margin:.3rem 0}"
	"details{margin:.5rem 0 .25rem}summary{cursor:pointer;color:var(--accent)}"
	".holds{color:#00714f}.short{color:#b04a00}.missing{color:var(--soft)}"
	"@media(prefers-color-scheme:dark){:root{--text:#e6edf3;--soft:#9198a1;--line:#3d444d;--back:#0d1117;"
	"--tint:#161b22;--accent:#56b4e9}.holds{color:#3fb68b}.short{color:#f0883e}}"
	"@media print{body{margin:0;max-width:none}details>*{display:block}}";

void qr_lab_print_html_head(FILE *file, const char *title)
{
	(void)fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>",
		    file);
	qr_html_put(file, title);
	(void)fprintf(file, "</title>\n<style>%s</style>\n</head>\n<body>\n<h1>", style);
	qr_html_put(file, title);
	(void)fputs("</h1>\n", file);
}

void qr_lab_print_html_tail(FILE *file)
{
	(void)fprintf(file, "<p class=\"note\">quire %s</p>\n</body>\n</html>\n", qr_version());
}

void qr_lab_print_html(const struct qr_lab_page *page, FILE *file)
{
	const struct qr_lab_plan *plan = page->plan;
	char *title = qr_lab_format("quire lab: %s", plan->workload);

	qr_lab_print_html_head(file, title);
	free(title);
	print_summary(page, file);
	print_facts(page, file);
	print_failed(page, file);
	(void)fputs("<h2>Throughput</h2>\n", file);
	print_plot(file, &page->rates,
		   "Line: median over the seeds. Band: least to most of the seeds. Dashed: what the first point would "
		   "reach if it grew with the CPUs.");
	print_and_free(qr_lab_table_rates(plan), file, 0);
	print_plot(file, &page->waits, "Time of all simulated CPUs that went into waiting for locks.");
	(void)fputs(
		"<h2>Locks and cache lines</h2>\n<p class=\"note\">Of each variant's largest cell, the seed nearest to "
		"the median. UTIL: the lock was held, "
		"summed over all locks of the name; CON: takes that had to wait; % CPU: of all CPUs' time, spent "
		"waiting; NOWAIT and SPIN: takes without and with a wait. Rows below a lock are its call sites.</p>\n",
		file);
	for (unsigned i = 0; i < plan->nr_variants; i++)
		print_variant(page, file, &plan->variants[i]);
	(void)fputs("<h2>Counters</h2>\n", file);
	print_and_free(qr_lab_table_counters(plan), file, 0);
	print_machines(plan, file);
	qr_lab_print_html_tail(file);
}

/* The finding in one sentence: who is ahead at the most CPUs. */
static void print_summary(const struct qr_lab_page *page, FILE *file)
{
	const struct qr_lab_plan *plan = page->plan;
	const struct qr_lab_variant *best = NULL, *worst = NULL;
	double most = 0, least = 0;
	char number[QR_LAB_NUMBER_MAX];

	for (unsigned i = 0; i < plan->nr_variants; i++) {
		const struct qr_lab_variant *variant = &plan->variants[i];
		struct qr_lab_point point = qr_lab_point_of(plan, variant, variant->cpus.nr - 1);

		if (point.nr && (!best || point.median > most)) {
			best = variant;
			most = point.median;
		}
		if (point.nr && (!worst || point.median < least)) {
			worst = variant;
			least = point.median;
		}
	}
	(void)fputs("<p class=\"lead\">", file);
	qr_html_put(file, qr_lab_string(page->request->workload, "help"));
	if (best) {
		(void)fprintf(file, ". At %u CPUs <b>", best->cpus.cpus[best->cpus.nr - 1]);
		qr_html_put(file, best->label);
		(void)fprintf(file, "</b> reaches %s operations per virtual second", qr_lab_format_rate(number, most));
	}
	if (best && worst != best && least > 0) {
		(void)fprintf(file, ", %.1f times <b>", most / least);
		qr_html_put(file, worst->label);
		(void)fputs("</b>", file);
	}
	(void)fputs(".</p>\n", file);
}

static void print_facts(const struct qr_lab_page *page, FILE *file)
{
	const struct qr_lab_plan *plan = page->plan;
	char *command = qr_lab_join_command(page->request->words);
	double host_seconds = 0, accesses = 0;
	unsigned nr_done = 0;
	char number[QR_LAB_NUMBER_MAX];
	char *text;

	for (unsigned i = 0; i < plan->nr_cells; i++) {
		if (plan->cells[i]->state != QR_LAB_DONE)
			continue;
		nr_done++;
		host_seconds += qr_lab_number(plan->cells[i]->result, "host_seconds");
		accesses += qr_lab_number(plan->cells[i]->result, "accesses");
	}
	(void)fputs("<pre>", file);
	qr_html_put(file, command);
	(void)fputs("</pre>\n<dl>\n", file);
	free(command);
	for (unsigned i = 0; i < plan->nr_machines; i++) {
		text = qr_lab_format("%s%s%s", plan->machines[i].label, *plan->machines[i].help ? ": " : "",
				     plan->machines[i].help);
		print_fact(file, i ? "" : "Machine", text);
		free(text);
	}
	text = qr_lab_format("%u of %u finished, seeds 1 to %u", nr_done, plan->nr_cells, plan->nr_seeds);
	print_fact(file, "Cells", text);
	free(text);
	text = qr_lab_format("%s accesses to memory in %.0f s of one host core", qr_lab_format_rate(number, accesses),
			     host_seconds);
	print_fact(file, "Simulated", text);
	free(text);
	print_fact(file, "Time",
		   "virtual: costs are those of the machines below. Ratios and rankings carry over to real machines; "
		   "quire lab validate checks them against the CPUs that a host has, and nothing checks what lies "
		   "beyond.");
	(void)fputs("</dl>\n", file);
}

static void print_fact(FILE *file, const char *name, const char *value)
{
	(void)fputs("<dt>", file);
	qr_html_put(file, name);
	(void)fputs("</dt><dd>", file);
	qr_html_put(file, value);
	(void)fputs("</dd>\n", file);
}

/* From the <svg> element on: the XML declaration has no place inside a page. */
static void print_plot(FILE *file, const struct qr_lab_text *svg, const char *caption)
{
	const char *begin = svg->text ? strstr(svg->text, "<svg") : NULL;

	if (!begin)
		return;
	(void)fprintf(file, "<figure>\n%s<figcaption>%s</figcaption></figure>\n", begin, caption);
}

static void print_variant(const struct qr_lab_page *page, FILE *file, const struct qr_lab_variant *variant)
{
	const struct qr_lab_cell *cell = qr_lab_largest_of(page->plan, variant);
	char *command;

	if (!cell)
		return;
	(void)fputs("<h3>", file);
	qr_html_put(file, variant->label);
	(void)fputs("</h3>\n", file);
	print_and_free(qr_lab_table_locks(cell, variant->label), file, MAX_LOCK_ROWS);
	print_and_free(qr_lab_table_lines(cell, variant->label), file, MAX_LINE_ROWS);
	command = qr_lab_cell_command(page->runner, cell);
	(void)fputs("<details><summary>This cell alone</summary><pre>", file);
	qr_html_put(file, command);
	(void)fprintf(file,
		      "</pre><p class=\"note\">Hash of its outcome: <code>%s</code>; the same seed gives the same "
		      "hash.</p></details>\n",
		      qr_lab_string(cell->result, "hash"));
	free(command);
}

static void print_machines(const struct qr_lab_plan *plan, FILE *file)
{
	(void)fputs("<h2>Machines</h2>\n<p class=\"note\">Every parameter says what it rests on: measured, cited with "
		    "its source, or assumed.</p>\n",
		    file);
	for (unsigned i = 0; i < plan->nr_machines; i++) {
		struct qr_table *table = qr_lab_table_machine(&plan->machines[i]);

		if (!table->nr_rows) {
			(void)fputs("<p>", file);
			qr_html_put(file, table->title);
			(void)fputs("</p>\n", file);
		}
		if (plan->nr_machines > 1)
			(void)fprintf(file, "<details><summary>%u parameters</summary>\n", table->nr_rows);
		print_and_free(table, file, 0);
		if (plan->nr_machines > 1)
			(void)fputs("</details>\n", file);
	}
}

static void print_failed(const struct qr_lab_page *page, FILE *file)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < page->plan->nr_cells; i++) {
		const struct qr_lab_cell *cell = page->plan->cells[i];
		char *title, *command;

		if (cell->state != QR_LAB_FAILED)
			continue;
		if (!nr++)
			(void)fputs("<h2>Failed cells</h2>\n", file);
		title = qr_lab_cell_title(cell);
		command = qr_lab_cell_command(page->runner, cell);
		(void)fputs("<p>", file);
		qr_html_put(file, title);
		(void)fputs(": ", file);
		qr_html_put(file, cell->error);
		(void)fputs("</p>\n<pre>", file);
		qr_html_put(file, command);
		(void)fputs("</pre>\n", file);
		free(title);
		free(command);
	}
}

static void print_and_free(struct qr_table *table, FILE *file, unsigned max_rows)
{
	if (table->nr_rows)
		qr_table_print_html(table, file, max_rows);
	qr_table_free(table);
}
