/* Progress of a replay. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "replay/progress.h"

#define BAR_WIDTH 30
#define REDRAW_SECONDS 0.2
/* Earlier than that an estimate says nothing. */
#define ESTIMATE_SECONDS 2.0

static double now(void);

void qr_replay_progress_start(struct qr_replay_progress *progress, bool is_quiet, const char *what)
{
	qr_replay_progress_clear(progress);
	progress->is_bar = !is_quiet && isatty(STDERR_FILENO);
	progress->what = what;
	progress->started = now();
}

void qr_replay_progress_draw(struct qr_replay_progress *progress, double fraction)
{
	static const char full[] = "##############################", empty[] = "..............................";
	int filled = (int)(QR_MIN(QR_MAX(fraction, 0.0), 1.0) * BAR_WIDTH);
	double spent = now() - progress->started;

	if (!progress->is_bar || now() - progress->drawn < REDRAW_SECONDS)
		return;
	progress->drawn = now();
	(void)fprintf(stderr, "\r\033[K[%.*s%.*s] %s", filled, full, BAR_WIDTH - filled, empty, progress->what);
	if (fraction > 0 && spent >= ESTIMATE_SECONDS)
		(void)fprintf(stderr, ", about %.0f s left", spent / fraction * (1 - fraction));
	(void)fflush(stderr);
}

void qr_replay_progress_clear(struct qr_replay_progress *progress)
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
