/* The command line of the cell runner. */
#ifndef QR_SIM_OPTIONS_H
#define QR_SIM_OPTIONS_H

#include "run.h"

/* Exit statuses. */
#define QR_EXIT_FAILED 1 /* the run failed */
#define QR_EXIT_USAGE 2

/* Fills a cell from `run`'s arguments; on a mistake it says what is wrong and what there is to choose from, and ends
 * the program with QR_EXIT_USAGE. */
void qr_options_cell(int argc, char **argv, struct qr_cell *cell);

QR_NORETURN void qr_options_fail(const char *format, ...) QR_PRINTF(1, 2);

#endif
