/* The line at the end of a run. */
#include <stdio.h>

#include "cli.h"
#include "report.h"

static int add_ratio(char *out, size_t size, const struct qr_totals *totals);

void qr_summary_print(const struct qr_totals *totals)
{
	const uint64_t *counters = totals->counters;
	char budget[QR_CLI_NUMBER_MAX], peak[QR_CLI_NUMBER_MAX], faults[QR_CLI_NUMBER_MAX];
	char out[QR_CLI_NUMBER_MAX], in[QR_CLI_NUMBER_MAX], written[QR_CLI_NUMBER_MAX];
	char ratio[64] = "", errors[64] = "";

	qr_cli_format_bytes(budget, totals->budget_bytes);
	if (!totals->nr_live && !totals->nr_ended) {
		qr_cli_say("budget %s, and no process of the program asked for any of it", budget);
		return;
	}
	(void)add_ratio(ratio, sizeof(ratio), totals);
	if (counters[QR_STAT_io_errors])
		(void)snprintf(errors, sizeof(errors), ", %llu FAILED TRANSFERS",
			       (unsigned long long)counters[QR_STAT_io_errors]);
	qr_cli_say("budget %s, peak %s, %s faults (%.1f s), out %s, in %s%s, file %s written, stalled %.2f s%s", budget,
		   qr_cli_format_bytes(peak, totals->peak_bytes), qr_cli_format_count(faults, counters[QR_STAT_faults]),
		   (double)counters[QR_STAT_fault_ns] / 1e9,
		   qr_cli_format_bytes(out, counters[QR_STAT_swapout_pages] << QR_PAGE_SHIFT),
		   qr_cli_format_bytes(in, counters[QR_STAT_swapin_pages] << QR_PAGE_SHIFT), ratio,
		   qr_cli_format_bytes(written, counters[QR_STAT_file_written_bytes]),
		   (double)counters[QR_STAT_stalled_ns] / 1e9, errors);
}

static int add_ratio(char *out, size_t size, const struct qr_totals *totals)
{
	double into = (double)totals->counters[QR_STAT_compressed_in_bytes];
	double from = (double)totals->counters[QR_STAT_compressed_out_bytes];

	return from > 0 ? snprintf(out, size, ", compressed %.2f:1", into / from) : 0;
}
