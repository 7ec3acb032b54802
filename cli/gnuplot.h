/* Plots by gnuplot(1): what the commands that draw have in common. */
#ifndef QR_CLI_GNUPLOT_H
#define QR_CLI_GNUPLOT_H

#include <stdio.h>

#include "lab/words.h"

/* Terminal, borders, grid: the begin of a script. Sizes in pixels. */
void qr_gnuplot_write_head(FILE *script, unsigned width, unsigned height);
/* The colour of the line of that number, as "#0072b2". */
const char *qr_gnuplot_color(unsigned line);
/* Colour, point and dashes of the line of that number, for "with linespoints". */
void qr_gnuplot_write_style(FILE *script, unsigned line);
void qr_gnuplot_write_quoted(FILE *script, const char *text);

/* Runs a finished script. Returns 0 with the SVG in *svg, which the caller frees, or QR_EXIT_FAILED after saying, in
 * the name of a command of quire, why there is no plot. */
int qr_gnuplot_run(const char *command, FILE *script, struct qr_lab_text *svg);

#endif
