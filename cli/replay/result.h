/* What a replay has found, and how it is shown. */
#ifndef QR_CLI_REPLAY_RESULT_H
#define QR_CLI_REPLAY_RESULT_H

#include "lab/words.h"
#include "replay/cells.h"
#include "replay/request.h"

struct qr_replay_result {
	const char *path;
	enum qr_trace_format format;
	uint64_t nr_accesses;
	uint64_t nr_counted; /* of them, without the warm-up */
	uint32_t nr_pages;
	struct qr_replay_cell *cells; /* [policy * nr_sizes + size]; NULL: the trace could not be read */
};

/* Of the accesses that count. */
double qr_replay_miss_ratio(const struct qr_replay_cell *cell);
double qr_replay_idle_ratio(const struct qr_replay_cell *cell);

void qr_replay_print(const struct qr_replay_request *request, const struct qr_replay_result *result, FILE *file);
/* All traces as one object; the caller owns the reference. */
json_t *qr_replay_to_json(const struct qr_replay_request *request, const struct qr_replay_result *results);
/* Miss ratio over size by gnuplot(1), a panel per trace, a line per policy. Returns 0 with the text in *svg, which the
 * caller frees, or QR_EXIT_FAILED after saying why there is none. */
int qr_replay_plot(const struct qr_replay_request *request, const struct qr_replay_result *results,
		   struct qr_lab_text *svg);

#endif
