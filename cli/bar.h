/* How far a long command is: a bar with an estimate on a terminal, on standard error; nothing elsewhere. */
#ifndef QR_CLI_BAR_H
#define QR_CLI_BAR_H

#include <stdbool.h>

struct qr_bar {
	bool is_shown;
	const char *what; /* is being done; the caller may change the text */
	double started;   /* of qr_cli_seconds() */
	double drawn;     /* 0: not on the screen */
};

/* The next step begins. Before the first, the structure is all-zero. */
void qr_bar_start(struct qr_bar *bar, bool is_quiet, const char *what);
/* Redraws the bar, at most a few times a second. Fraction: what is done; 0: unknown. */
void qr_bar_draw(struct qr_bar *bar, double fraction);
/* Wipes the bar, so that other lines can be printed. */
void qr_bar_clear(struct qr_bar *bar);

#endif
