/* Progress of an experiment. */
#include <stdio.h>
#include <stdlib.h>

#include "lab/progress.h"
#include "lab/words.h"

double qr_lab_cell_weight(const struct qr_lab_cell *cell)
{
	return (double)cell->cpus + 1;
}

void qr_lab_progress_start(struct qr_lab_progress *progress, bool is_quiet, unsigned nr_cells, double weight)
{
	*progress = (struct qr_lab_progress){.is_quiet = is_quiet, .nr_cells = nr_cells, .weight = weight};
	qr_bar_start(&progress->bar, is_quiet, progress->what);
}

void qr_lab_progress_note(struct qr_lab_progress *progress, const struct qr_lab_cell *cell)
{
	char number[QR_LAB_NUMBER_MAX];
	char *title;

	progress->nr_done++;
	progress->weight_done += qr_lab_cell_weight(cell);
	if (progress->is_quiet || progress->bar.is_shown)
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
	(void)snprintf(progress->what, sizeof(progress->what), "%u/%u cells, %u running", progress->nr_done,
		       progress->nr_cells, progress->nr_running);
	qr_bar_draw(&progress->bar, progress->weight_done / progress->weight);
}

void qr_lab_progress_clear(struct qr_lab_progress *progress)
{
	qr_bar_clear(&progress->bar);
}
