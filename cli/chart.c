/* Line charts as inline SVG: no script, no network, readable in print and in the dark. */
#include <stdio.h>

#include "cli.h"
#include "report.h"

/* Geometry in SVG user units. */
#define WIDTH 900.0
#define HEIGHT 260.0
#define LEFT 70.0
#define RIGHT 15.0
#define TOP 34.0
#define BOTTOM 36.0
/* Points per line: more than there are pixels only makes the file larger. */
#define MAX_POINTS 1000u

static double highest(const struct qr_chart *chart);
static double step_for(double range, unsigned nr_steps);
static void write_axes(FILE *file, const struct qr_chart *chart, double x_max, double y_max, double y_step);
static void write_line(FILE *file, const struct qr_chart *chart, unsigned line, double x_max, double y_max);

void qr_chart_write(FILE *file, const struct qr_chart *chart)
{
	double x_max = chart->nr ? chart->x[chart->nr - 1] : 0;
	double y_step = step_for(highest(chart), 5);
	double y_max = y_step * (double)(uint64_t)(highest(chart) / y_step + 0.999999);

	if (x_max <= 0)
		x_max = 0.1;
	if (y_max <= 0)
		y_max = y_step;
	(void)fprintf(file,
		      "<svg class=\"chart\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"%s\">\n"
		      "<text class=\"title\" x=\"%.0f\" y=\"18\">%s</text>\n",
		      WIDTH, HEIGHT, chart->title, LEFT, chart->title);
	write_axes(file, chart, x_max, y_max, y_step);
	for (unsigned line = 0; line < chart->nr_lines; line++) {
		double x = WIDTH - RIGHT - 130.0 * (chart->nr_lines - line);

		write_line(file, chart, line, x_max, y_max);
		(void)fprintf(file,
			      "<rect x=\"%.0f\" y=\"9\" width=\"14\" height=\"10\" fill=\"%s\"/>"
			      "<text x=\"%.0f\" y=\"18\">%s</text>\n",
			      x, chart->lines[line].color, x + 19, chart->lines[line].name);
	}
	(void)fputs("</svg>\n", file);
}

static double highest(const struct qr_chart *chart)
{
	double value = 0;

	for (unsigned line = 0; line < chart->nr_lines; line++) {
		for (uint32_t i = 0; i < chart->nr; i++)
			value = QR_MAX(value, chart->lines[line].y[i]);
	}
	return value;
}

/* 1, 2 or 5 times a power of ten, so that about nr_steps of it cover the range. */
static double step_for(double range, unsigned nr_steps)
{
	double raw = range / nr_steps;
	double power = 1;

	if (raw <= 0)
		return 1;
	while (power > raw)
		power /= 10;
	while (power * 10 <= raw)
		power *= 10;
	if (raw <= power)
		return power;
	return raw <= 2 * power ? 2 * power : raw <= 5 * power ? 5 * power : 10 * power;
}

static void write_axes(FILE *file, const struct qr_chart *chart, double x_max, double y_max, double y_step)
{
	double x_step = step_for(x_max, 8);

	for (double y = 0; y <= y_max * 1.001; y += y_step) {
		double at = HEIGHT - BOTTOM - y / y_max * (HEIGHT - TOP - BOTTOM);

		(void)fprintf(file,
			      "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>"
			      "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
			      LEFT, at, WIDTH - RIGHT, at, LEFT - 6, at + 4, y);
	}
	for (double x = 0; x <= x_max * 1.001; x += x_step) {
		double at = LEFT + x / x_max * (WIDTH - LEFT - RIGHT);

		(void)fprintf(file,
			      "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>"
			      "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%g</text>\n",
			      at, HEIGHT - BOTTOM, at, HEIGHT - BOTTOM + 5, at, HEIGHT - BOTTOM + 18, x);
	}
	(void)fprintf(file,
		      "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">seconds</text>"
		      "<text transform=\"translate(14 %.1f) rotate(-90)\" text-anchor=\"middle\">%s</text>\n",
		      WIDTH - RIGHT, HEIGHT - 4, TOP + (HEIGHT - TOP - BOTTOM) / 2, chart->unit);
}

/* Where several samples fall on one point the highest is drawn: peaks matter here. */
static void write_line(FILE *file, const struct qr_chart *chart, unsigned line, double x_max, double y_max)
{
	const double *values = chart->lines[line].y;
	uint32_t per_point = (chart->nr + MAX_POINTS - 1) / MAX_POINTS;

	(void)fprintf(file, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.6\" points=\"",
		      chart->lines[line].color);
	for (uint32_t i = 0; i < chart->nr; i += per_point) {
		double value = 0;

		for (uint32_t j = i; j < chart->nr && j < i + per_point; j++)
			value = QR_MAX(value, values[j]);
		(void)fprintf(file, "%.1f,%.1f ", LEFT + chart->x[i] / x_max * (WIDTH - LEFT - RIGHT),
			      HEIGHT - BOTTOM - value / y_max * (HEIGHT - TOP - BOTTOM));
	}
	(void)fputs("\"/>\n", file);
}
