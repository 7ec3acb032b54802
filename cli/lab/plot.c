/* Curves over CPUs, drawn by gnuplot(1): logarithmic in CPUs, one line per variant with the band over the seeds behind
 * it. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "gnuplot.h"
#include "lab/output.h"

#define PLOT_WIDTH 960u
#define PLOT_HEIGHT 540u
/* Lines beyond that are listed beside the plot, not in its corner. */
#define MAX_KEY_INSIDE 6u
/* A span of values beyond that is drawn on a logarithmic scale. */
#define LOG_SPAN 30.0

/* What all curves have in common. */
struct frame {
	enum qr_lab_curves curves;
	double max;
	double min; /* above 0 */
	double unit; /* values are divided by it */
	const char *unit_name;
	bool is_log;
};

static struct frame make_frame(const struct qr_lab_plan *plan, enum qr_lab_curves curves);
static void value_at(const struct qr_lab_plan *plan, const struct qr_lab_variant *variant, unsigned at,
		     enum qr_lab_curves curves, struct qr_lab_point *point);
static void write_script(FILE *file, const struct qr_lab_plan *plan, const struct frame *frame);
static void write_axes(FILE *file, const struct qr_lab_plan *plan, const struct frame *frame);
static void write_data(FILE *file, const struct qr_lab_plan *plan, const struct frame *frame);
static void write_plot(FILE *file, const struct qr_lab_plan *plan, const struct frame *frame);

int qr_lab_plot(const struct qr_lab_plan *plan, enum qr_lab_curves curves, struct qr_lab_text *svg)
{
	struct frame frame = make_frame(plan, curves);
	FILE *script;
	int status;

	if (frame.max <= 0) {
		if (curves == QR_LAB_CURVES_RATE)
			qr_cli_say("lab: there is nothing to plot");
		return QR_EXIT_FAILED;
	}
	script = tmpfile();
	if (!script) {
		qr_cli_say("lab: cannot make a temporary file for gnuplot: %s", strerror(errno));
		return QR_EXIT_FAILED;
	}
	write_script(script, plan, &frame);
	status = qr_gnuplot_run("lab", script, svg);
	(void)fclose(script);
	return status;
}

static struct frame make_frame(const struct qr_lab_plan *plan, enum qr_lab_curves curves)
{
	static const struct {
		double unit;
		const char *name;
	} units[] = {{1e9, "billions"}, {1e6, "millions"}, {1e3, "thousands"}};
	struct frame frame = {.curves = curves, .min = INFINITY, .unit = 1};
	struct qr_lab_point point;

	for (unsigned i = 0; i < plan->nr_variants; i++) {
		for (unsigned at = 0; at < plan->variants[i].cpus.nr; at++) {
			value_at(plan, &plan->variants[i], at, curves, &point);
			frame.max = point.nr ? fmax(frame.max, point.max) : frame.max;
			frame.min = point.nr && point.min > 0 ? fmin(frame.min, point.min) : frame.min;
		}
	}
	for (unsigned i = 0; i < QR_ARRAY_SIZE(units) && curves == QR_LAB_CURVES_RATE && frame.unit <= 1; i++) {
		if (frame.max >= units[i].unit) {
			frame.unit = units[i].unit;
			frame.unit_name = units[i].name;
		}
	}
	frame.is_log = curves == QR_LAB_CURVES_RATE && frame.max > LOG_SPAN * frame.min;
	return frame;
}

static void value_at(const struct qr_lab_plan *plan, const struct qr_lab_variant *variant, unsigned at,
		     enum qr_lab_curves curves, struct qr_lab_point *point)
{
	*point = qr_lab_point_of(plan, variant, at);
	if (curves == QR_LAB_CURVES_RATE || !point->nr)
		return;
	point->median = qr_lab_wait_percent(point->middle);
	point->min = INFINITY;
	point->max = 0;
	for (uint32_t seed = 0; seed < plan->nr_seeds; seed++) {
		const struct qr_lab_cell *cell = &variant->cells[(size_t)at * plan->nr_seeds + seed];

		if (cell->state != QR_LAB_DONE)
			continue;
		point->min = fmin(point->min, qr_lab_wait_percent(cell));
		point->max = fmax(point->max, qr_lab_wait_percent(cell));
	}
}

static void write_script(FILE *file, const struct qr_lab_plan *plan, const struct frame *frame)
{
	qr_gnuplot_write_head(file, PLOT_WIDTH, PLOT_HEIGHT);
	(void)fputs("set style fill transparent solid 0.18 noborder\n"
		    "set datafile missing '?'\n",
		    file);
	if (plan->nr_variants > MAX_KEY_INSIDE)
		(void)fputs("set key outside right top Left reverse samplen 2 spacing 1.2\n", file);
	else
		(void)fputs("set key inside left top Left reverse samplen 2 spacing 1.2 opaque\n", file);
	write_axes(file, plan, frame);
	write_data(file, plan, frame);
	write_plot(file, plan, frame);
	(void)fflush(file);
}

static void write_axes(FILE *file, const struct qr_lab_plan *plan, const struct frame *frame)
{
	uint32_t min = UINT32_MAX, max = 0;

	(void)fputs("set xlabel 'simulated CPUs'\nset logscale x 2\nset xtics (", file);
	for (unsigned i = 0; i < plan->nr_variants; i++) {
		const struct qr_lab_cpus *cpus = &plan->variants[i].cpus;

		min = QR_MIN(min, cpus->cpus[0]);
		max = QR_MAX(max, cpus->cpus[cpus->nr - 1]);
	}
	/* Powers of two, and the largest where its number has room. */
	for (uint32_t tic = 1; tic <= max; tic *= 2) {
		if (tic >= min)
			(void)fprintf(file, "%u,", tic);
	}
	(void)fprintf(file, "%u)\nset xrange [%g:%g]\n", max, min * 0.92, max * 1.09);
	if (frame->curves == QR_LAB_CURVES_WAIT) {
		(void)fprintf(file,
			      "set ylabel 'waiting for locks, %% of all CPUs'' time'\nset yrange [0:%g]\n"
			      "set format y '%%g %%%%'\n",
			      fmin(105, fmax(1, frame->max * 1.2)));
		return;
	}
	(void)fprintf(file, "set ylabel 'operations per virtual second%s%s'\n", frame->unit_name ? ", " : "",
		      frame->unit_name ? frame->unit_name : "");
	if (frame->is_log)
		(void)fprintf(file, "set logscale y 10\nset yrange [%g:%g]\nset format y '%%g'\n",
			      frame->min / frame->unit * 0.7, frame->max / frame->unit * 2.5);
	else
		(void)fprintf(file, "set yrange [0:%g]\n", frame->max / frame->unit * 1.25);
}

/* A block per variant: CPUs, median, least, most. The ideal follows from the first variant's fewest CPUs. */
static void write_data(FILE *file, const struct qr_lab_plan *plan, const struct frame *frame)
{
	struct qr_lab_point point;

	for (unsigned i = 0; i < plan->nr_variants; i++) {
		const struct qr_lab_variant *variant = &plan->variants[i];

		(void)fprintf(file, "$d%u << END\n", i);
		for (unsigned at = 0; at < variant->cpus.nr; at++) {
			value_at(plan, variant, at, frame->curves, &point);
			if (point.nr)
				(void)fprintf(file, "%u %.9g %.9g %.9g\n", variant->cpus.cpus[at],
					      point.median / frame->unit, point.min / frame->unit,
					      point.max / frame->unit);
			else
				(void)fprintf(file, "%u ? ? ?\n", variant->cpus.cpus[at]);
		}
		(void)fputs("END\n", file);
	}
}

static void write_plot(FILE *file, const struct qr_lab_plan *plan, const struct frame *frame)
{
	struct qr_lab_point first = qr_lab_point_of(plan, &plan->variants[0], 0);
	const char *separator = "plot ";

	if (frame->curves == QR_LAB_CURVES_RATE && first.nr && plan->variants[0].cpus.nr > 1) {
		(void)fprintf(file,
			      "plot %.9g*x/%u with lines linecolor rgb '#999999' linewidth 1 dashtype 2 title "
			      "'linear from the first point'",
			      first.median / frame->unit, plan->variants[0].cpus.cpus[0]);
		separator = ", ";
	}
	for (unsigned i = 0; i < plan->nr_variants; i++, separator = ", ")
		(void)fprintf(file, "%s$d%u using 1:3:4 with filledcurves linecolor rgb '%s' notitle", separator, i,
			      qr_gnuplot_color(i));
	for (unsigned i = 0; i < plan->nr_variants; i++) {
		(void)fprintf(file, ", $d%u using 1:2 with linespoints ", i);
		qr_gnuplot_write_style(file, i);
		(void)fputs(" title ", file);
		qr_gnuplot_write_quoted(file, plan->variants[i].label);
	}
	(void)fputc('\n', file);
}
