/* Progress on a terminal. */
#include <stdio.h>
#include <unistd.h>

#include "bar.h"
#include "cli.h"

#define BAR_WIDTH 30
#define REDRAW_SECONDS 0.2
/* Earlier than that an estimate says nothing. */
#define ESTIMATE_SECONDS 2.0
/* From here on an estimate is in minutes. */
#define LONG_SECONDS 90.0

static void draw_estimate(double spent, double fraction);

void qr_bar_start(struct qr_bar *bar, bool is_quiet, const char *what)
{
	qr_bar_clear(bar);
	bar->is_shown = !is_quiet && isatty(STDERR_FILENO);
	bar->what = what;
	bar->started = qr_cli_seconds();
}

void qr_bar_draw(struct qr_bar *bar, double fraction)
{
	static const char full[] = "##############################", empty[] = "..............................";
	int filled = (int)(QR_MIN(QR_MAX(fraction, 0.0), 1.0) * BAR_WIDTH);
	double now = qr_cli_seconds();

	if (!bar->is_shown || now - bar->drawn < REDRAW_SECONDS)
		return;
	bar->drawn = now;
	(void)fprintf(stderr, "\r\033[K[%.*s%.*s] %s", filled, full, BAR_WIDTH - filled, empty, bar->what);
	if (fraction > 0 && now - bar->started >= ESTIMATE_SECONDS)
		draw_estimate(now - bar->started, fraction);
	(void)fflush(stderr);
}

static void draw_estimate(double spent, double fraction)
{
	double left = spent / fraction * (1 - fraction);

	if (left >= LONG_SECONDS)
		(void)fprintf(stderr, ", about %.0f min left", left / 60);
	else
		(void)fprintf(stderr, ", about %.0f s left", left);
}

void qr_bar_clear(struct qr_bar *bar)
{
	if (bar->is_shown && bar->drawn > 0)
		(void)fputs("\r\033[K", stderr);
	bar->drawn = 0;
}
