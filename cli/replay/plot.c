/* Miss ratio over size, drawn by gnuplot(1): a panel per trace, a line per policy. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "gnuplot.h"
#include "replay/result.h"

#define PANEL_WIDTH 960u
#define PANEL_HEIGHT 520u
/* Sizes that span more than that are drawn on a logarithmic scale. */
#define LOG_SPAN 8.0

static void write_panel(FILE *file, const struct qr_replay_request *request, const struct qr_replay_result *result,
			unsigned number);
static void write_axes(FILE *file, const struct qr_replay_request *request, const struct qr_replay_result *result);
static int by_capacity(const void *first, const void *second);

int qr_replay_plot(const struct qr_replay_request *request, const struct qr_replay_result *results,
		   struct qr_lab_text *svg)
{
	unsigned nr_panels = 0, number = 0;
	FILE *script = tmpfile();
	int status;

	if (!script) {
		qr_cli_say("replay: cannot make a temporary file for gnuplot: %s", strerror(errno));
		return QR_EXIT_FAILED;
	}
	for (unsigned i = 0; i < request->nr_traces; i++)
		nr_panels += results[i].cells != NULL;
	qr_gnuplot_write_head(script, PANEL_WIDTH, PANEL_HEIGHT * nr_panels);
	(void)fprintf(script,
		      "set key outside right top Left reverse samplen 2 spacing 1.2\n"
		      "set yrange [0:*]\nset ylabel 'misses, %% of the accesses'\n"
		      "set multiplot layout %u,1\n",
		      nr_panels);
	for (unsigned i = 0; i < request->nr_traces; i++) {
		if (results[i].cells)
			write_panel(script, request, &results[i], number++);
	}
	(void)fputs("unset multiplot\n", script);
	(void)fflush(script);
	status = qr_gnuplot_run("replay", script, svg);
	(void)fclose(script);
	return status;
}

static void write_panel(FILE *file, const struct qr_replay_request *request, const struct qr_replay_result *result,
			unsigned number)
{
	struct qr_replay_cell *cells = qr_lab_alloc(request->nr_sizes, sizeof(*cells));
	const char *separator = "plot ";

	for (unsigned policy = 0; policy < request->nr_policies; policy++) {
		memcpy(cells, &result->cells[policy * request->nr_sizes], request->nr_sizes * sizeof(*cells));
		qsort(cells, request->nr_sizes, sizeof(*cells), by_capacity);
		(void)fprintf(file, "$d%u_%u << END\n", number, policy);
		for (unsigned size = 0; size < request->nr_sizes; size++)
			(void)fprintf(file, "%.9g %.9g\n",
				      (double)cells[size].capacity * (double)request->page_size / 1048576,
				      100 * qr_replay_miss_ratio(&cells[size]));
		(void)fputs("END\n", file);
	}
	free(cells);
	write_axes(file, request, result);
	for (unsigned policy = 0; policy < request->nr_policies; policy++, separator = ", ") {
		(void)fprintf(file, "%s$d%u_%u using 1:2 with linespoints ", separator, number, policy);
		qr_gnuplot_write_style(file, policy);
		(void)fputs(" title ", file);
		qr_gnuplot_write_quoted(file, qr_replay_policy_name(request->policies[policy]));
	}
	(void)fputc('\n', file);
}

static void write_axes(FILE *file, const struct qr_replay_request *request, const struct qr_replay_result *result)
{
	uint32_t min = UINT32_MAX, max = 0;

	for (unsigned size = 0; size < request->nr_sizes; size++) {
		min = QR_MIN(min, result->cells[size].capacity);
		max = QR_MAX(max, result->cells[size].capacity);
	}
	(void)fputs("set title ", file);
	qr_gnuplot_write_quoted(file, result->path);
	(void)fputs("\nset xlabel 'memory, MiB'\n", file);
	if (max > LOG_SPAN * min)
		(void)fputs("set logscale x 2\n", file);
	else
		(void)fputs("unset logscale x\n", file);
}

static int by_capacity(const void *first, const void *second)
{
	const struct qr_replay_cell *left = first, *right = second;

	return (left->capacity > right->capacity) - (left->capacity < right->capacity);
}
