/* How far an experiment is: a bar with an estimate on a terminal, else a line per cell; on standard error. */
#ifndef QR_CLI_LAB_PROGRESS_H
#define QR_CLI_LAB_PROGRESS_H

#include "lab/plan.h"
#include "bar.h"

struct qr_lab_progress {
	struct qr_bar bar;
	char what[48];
	bool is_quiet;
	unsigned nr_cells; /* to run */
	unsigned nr_done;
	unsigned nr_running;
	double weight;      /* of all cells; see qr_lab_cell_weight() */
	double weight_done;
};

/* What a cell costs in comparison with others: simulated CPUs times virtual time. */
double qr_lab_cell_weight(const struct qr_lab_cell *cell);

void qr_lab_progress_start(struct qr_lab_progress *progress, bool is_quiet, unsigned nr_cells, double weight);
/* A cell ended, well or not. */
void qr_lab_progress_note(struct qr_lab_progress *progress, const struct qr_lab_cell *cell);
/* Redraws the bar, at most a few times a second. */
void qr_lab_progress_draw(struct qr_lab_progress *progress);
/* Wipes the bar, so that other lines can be printed. */
void qr_lab_progress_clear(struct qr_lab_progress *progress);

#endif
