/*
 * Curves over CPUs, drawn by gnuplot(1): logarithmic in CPUs, one line per variant with the band over the seeds behind
 * it. Colours: Okabe and Ito, "Color Universal Design" (2008), told apart by most colour-blind readers; points of
 * different shape help the others and black-and-white prints.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"
#include "lab/output.h"

static const char *const colors[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000"};
static const unsigned points[] = {7, 5, 9, 11, 13, 6, 4}; /* gnuplot's numbers of filled, then open, shapes */

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
static void write_quoted(FILE *file, const char *text);
static int run_gnuplot(FILE *script, struct qr_lab_text *svg);

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
	status = run_gnuplot(script, svg);
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
	(void)fputs("set encoding utf8\n"
		    "set terminal svg size 960,540 dynamic noenhanced font 'sans-serif,15' background rgb 'white' "
		    "linewidth 1.4\n"
		    "set border 3 linecolor rgb '#666666'\n"
		    "set tics nomirror out textcolor rgb '#333333'\n"
		    "set grid xtics ytics linetype 1 linecolor rgb '#e4e4e4' linewidth 0.6\n"
		    "set style fill transparent solid 0.18 noborder\n"
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
			      colors[i % QR_ARRAY_SIZE(colors)]);
	for (unsigned i = 0; i < plan->nr_variants; i++) {
		(void)fprintf(file,
			      ", $d%u using 1:2 with linespoints linecolor rgb '%s' linewidth 1.6 pointtype %u "
			      "pointsize 0.6 dashtype %u title ",
			      i, colors[i % QR_ARRAY_SIZE(colors)], points[i % QR_ARRAY_SIZE(points)],
			      1 + i / (unsigned)QR_ARRAY_SIZE(colors) % 4);
		write_quoted(file, plan->variants[i].label);
	}
	(void)fputc('\n', file);
}

static void write_quoted(FILE *file, const char *text)
{
	(void)fputc('\'', file);
	for (; *text; text++) {
		if (*text == '\'')
			(void)fputc('\'', file);
		(void)fputc((unsigned char)*text < ' ' ? ' ' : *text, file);
	}
	(void)fputc('\'', file);
}

static int run_gnuplot(FILE *script, struct qr_lab_text *svg)
{
	char buffer[16384];
	int out[2], status = 0;
	ssize_t nr;
	pid_t pid;

	if (pipe(out)) {
		qr_cli_say("lab: cannot start gnuplot: %s", strerror(errno));
		return QR_EXIT_FAILED;
	}
	pid = fork();
	if (!pid) {
		(void)lseek(fileno(script), 0, SEEK_SET);
		(void)dup2(fileno(script), STDIN_FILENO);
		(void)dup2(out[1], STDOUT_FILENO);
		(void)close(out[0]);
		(void)close(out[1]);
		(void)execlp("gnuplot", "gnuplot", "-d", (char *)NULL);
		_exit(errno == ENOENT ? 127 : 126);
	}
	(void)close(out[1]);
	while (pid > 0 && ((nr = read(out[0], buffer, sizeof(buffer))) > 0 || (nr < 0 && errno == EINTR))) {
		if (nr > 0)
			qr_lab_text_add_bytes(svg, buffer, (size_t)nr);
	}
	(void)close(out[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid > 0 && !status && svg->text && strstr(svg->text, "</svg>"))
		return 0;
	if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 127)
		qr_cli_say("lab: no plot: gnuplot is not installed");
	else
		qr_cli_say("lab: no plot: gnuplot failed");
	free(svg->text);
	*svg = (struct qr_lab_text){0};
	return QR_EXIT_FAILED;
}
