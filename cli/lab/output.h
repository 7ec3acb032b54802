/* What an experiment prints: tables, JSON, curves, a page. */
#ifndef QR_CLI_LAB_OUTPUT_H
#define QR_CLI_LAB_OUTPUT_H

#include "lab/plan.h"
#include "lab/table.h"
#include "lab/words.h"

/* Tables; the caller frees them. CPUs x variants, with the band over the seeds: */
struct qr_table *qr_lab_table_rates(const struct qr_lab_plan *plan);
/* Locks of one cell in the columns of the literature's lock tables, call sites below each lock. */
struct qr_table *qr_lab_table_locks(const struct qr_lab_cell *cell, const char *label);
/* Cache lines that CPUs took from each other most. */
struct qr_table *qr_lab_table_lines(const struct qr_lab_cell *cell, const char *label);
/* Counters of each variant's largest cell side by side, without those that are 0 in all. */
struct qr_table *qr_lab_table_counters(const struct qr_lab_plan *plan);
/* Parameters of a machine, each with what it rests on. */
struct qr_table *qr_lab_table_machine(const struct qr_lab_machine *machine);

/* All tables of an experiment as text. */
void qr_lab_print(const struct qr_lab_plan *plan, FILE *file);

/* All of an experiment as one object. The caller owns the reference. */
json_t *qr_lab_to_json(const struct qr_runner *runner, const struct qr_lab_request *request,
		       const struct qr_lab_plan *plan);

/* Per cent of all CPUs' time that went into waiting for locks. */
double qr_lab_wait_percent(const struct qr_lab_cell *cell);

/* Curves over CPUs as an SVG of gnuplot(1)'s. */
enum qr_lab_curves { QR_LAB_CURVES_RATE, QR_LAB_CURVES_WAIT };
/* Returns 0 with the text in *svg, which the caller frees, or QR_EXIT_FAILED after saying why there is no plot. */
int qr_lab_plot(const struct qr_lab_plan *plan, enum qr_lab_curves curves, struct qr_lab_text *svg);

/* The page: plots (empty texts are left out), tables, machines, how to reproduce it. */
struct qr_lab_page {
	const struct qr_runner *runner;
	const struct qr_lab_request *request;
	const struct qr_lab_plan *plan;
	struct qr_lab_text rates;
	struct qr_lab_text waits;
};
void qr_lab_print_html(const struct qr_lab_page *page, FILE *file);
/* The begin of a page up to and with its heading, and its end. */
void qr_lab_print_html_head(FILE *file, const char *title);
void qr_lab_print_html_tail(FILE *file);
/* The words as a shell reads them back, "quire" first; free(3) it. */
char *qr_lab_join_command(char **words);

#endif
