/* What `quire run` leaves behind: the summary line, the JSON file and the HTML report. */
#ifndef QR_CLI_REPORT_H
#define QR_CLI_REPORT_H

#include <stdio.h>

#include "sample.h"

struct qr_run_result {
	char **program;
	int exit_status;
	int signal; /* that ended the program, or 0 */
	double seconds;
};

/* One line on standard error. */
void qr_summary_print(const struct qr_totals *totals);

/* Both return 0 or a negative errno value. */
int qr_report_write_json(FILE *file, const struct qr_sampler *sampler, const struct qr_totals *totals,
			 const struct qr_run_result *result);
int qr_report_write_html(FILE *file, const struct qr_sampler *sampler, const struct qr_totals *totals,
			 const struct qr_run_result *result);

/* A line chart as inline SVG. x and the rows of y have nr values; y is zero-based. */
struct qr_chart_line {
	const char *name;
	const char *color;
	const double *y;
};
struct qr_chart {
	const char *title;
	const char *unit;
	const double *x; /* seconds, ascending */
	uint32_t nr;
	unsigned nr_lines;
	struct qr_chart_line lines[3];
};
void qr_chart_write(FILE *file, const struct qr_chart *chart);

#endif
