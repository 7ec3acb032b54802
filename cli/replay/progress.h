/* How far a replay is: a bar on a terminal, on standard error; nothing elsewhere. */
#ifndef QR_CLI_REPLAY_PROGRESS_H
#define QR_CLI_REPLAY_PROGRESS_H

#include <stdbool.h>

struct qr_replay_progress {
	bool is_bar;
	const char *what; /* that is being done */
	double started;   /* seconds, CLOCK_MONOTONIC */
	double drawn;     /* 0: not on the screen */
};

/* The next step begins. */
void qr_replay_progress_start(struct qr_replay_progress *progress, bool is_quiet, const char *what);
/* Redraws the bar, at most a few times a second. Fraction: what is done; 0: unknown. */
void qr_replay_progress_draw(struct qr_replay_progress *progress, double fraction);
/* Wipes the bar, so that other lines can be printed. */
void qr_replay_progress_clear(struct qr_replay_progress *progress);

#endif
