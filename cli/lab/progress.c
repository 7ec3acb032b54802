/* Progress of an experiment. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "lab/progress.h"
#include "lab/words.h"

#define BAR_WIDTH 30u
#define REDRAW_SECONDS 0.2
/* Earlier than that an estimate says nothing. */
#define ESTIMATE_SECONDS 2.0

static void add_estimate(struct qr_lab_text *line, const struct qr_lab_progress *progress);
static double now(void);

double qr_lab_cell_weight(const struct qr_lab_cell *cell)
{
	return (double)cell->cpus + 1;
}

void qr_lab_progress_start(struct qr_lab_progress *progress, bool is_quiet, unsigned nr_cells, double weight)
{
	*progress = (struct qr_lab_progress){
		.is_bar = !is_quiet && isatty(STDERR_FILENO),
		.is_quiet = is_quiet,
		.nr_cells = nr_cells,
		.weight = weight,
		.started = now(),
	};
}

void qr_lab_progress_note(struct qr_lab_progress *progress, const struct qr_lab_cell *cell)
{
	char number[QR_LAB_NUMBER_MAX];
	char *title;

	progress->nr_done++;
	progress->weight_done += qr_lab_cell_weight(cell);
	if (progress->is_quiet || progress->is_bar)
		return;
	title = qr_lab_cell_title(cell);
	if (cell->state == QR_LAB_DONE)
		(void)fprintf(stderr, "%u/%u %s: %s ops/s (%.1f s)\n", progress->nr_done, progress->nr_cells, title,
			      qr_lab_format_rate(number, qr_lab_number(cell->result, "ops_per_s")),
			      qr_lab_number(cell->result, "host_seconds"));
	else
		(void)fprintf(stderr, "%u/%u %s: failed\n", progress->nr_done, progress->nr_cells, title);
	free(title);
}

void qr_lab_progress_draw(struct qr_lab_progress *progress)
{
	unsigned filled = (unsigned)(progress->weight_done / progress->weight * BAR_WIDTH);
	struct qr_lab_text line = {0};

	if (!progress->is_bar || now() - progress->drawn < REDRAW_SECONDS)
		return;
	progress->drawn = now();
	qr_lab_text_add(&line, "\r\033[K[");
	for (unsigned i = 0; i < BAR_WIDTH; i++)
		qr_lab_text_add(&line, i < filled ? "#" : ".");
	qr_lab_text_add(&line, "] %u/%u cells, %u running", progress->nr_done, progress->nr_cells,
			progress->nr_running);
	add_estimate(&line, progress);
	(void)fputs(line.text, stderr);
	(void)fflush(stderr);
	free(line.text);
}

static void add_estimate(struct qr_lab_text *line, const struct qr_lab_progress *progress)
{
	double spent = now() - progress->started;
	double left;

	if (progress->weight_done <= 0 || spent < ESTIMATE_SECONDS)
		return;
	left = spent / progress->weight_done * (progress->weight - progress->weight_done);
	if (left >= 90)
		qr_lab_text_add(line, ", about %.0f min left", left / 60);
	else
		qr_lab_text_add(line, ", about %.0f s left", left);
}

void qr_lab_progress_clear(struct qr_lab_progress *progress)
{
	if (progress->is_bar && progress->drawn > 0)
		(void)fputs("\r\033[K", stderr);
	progress->drawn = 0;
}

static double now(void)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}
