/*
 * `quire replay`: traces of page accesses through the policies of core. Each trace is parsed once into a temporary
 * file (spool.c), which also counts its pages, and replayed from there for all policies and sizes (cells.c). A trace
 * that cannot be read does not keep the others from being shown.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "lab/words.h"
#include "replay/generate.h"
#include "replay/result.h"

static int replay(const struct qr_replay_request *request);
static int replay_trace(const struct qr_replay_request *request, const char *path, struct qr_replay_result *result);
static int read_trace(const struct qr_replay_request *request, const char *path, struct qr_replay_result *result,
		      struct qr_spool *spool, struct qr_bar *progress);
static int run_cells(const struct qr_replay_request *request, const char *path, struct qr_replay_result *result,
		     struct qr_spool *spool, struct qr_bar *progress);
static bool lay_out(const struct qr_replay_request *request, struct qr_replay_result *result);
static void draw(void *progress, double fraction);
static int show(const struct qr_replay_request *request, const struct qr_replay_result *results);
static int write_svg(const struct qr_replay_request *request, const struct qr_replay_result *results);
static bool can_write(const char *path);

int qr_cli_replay(int argc, char **argv)
{
	struct qr_replay_request request;
	int status = qr_replay_request_parse(argc, argv, &request);

	if (!status && request.is_help)
		status = fputs(qr_cli_help_text("replay"), stdout) < 0 || fflush(stdout) ? QR_EXIT_FAILED : 0;
	else if (!status)
		status = request.pattern ? qr_generate(&request) : replay(&request);
	qr_replay_request_free(&request);
	return status;
}

static int replay(const struct qr_replay_request *request)
{
	struct qr_replay_result *results;
	unsigned nr_right = 0;
	int status = 0;

	/* Known before the work, not after. */
	if (request->svg && !can_write(request->svg))
		return QR_EXIT_FAILED;
	results = qr_lab_alloc(request->nr_traces, sizeof(*results));
	for (unsigned i = 0; i < request->nr_traces && status <= 1; i++) {
		int trace_status = replay_trace(request, request->traces[i], &results[i]);

		status = QR_MAX(status, trace_status);
		nr_right += results[i].cells != NULL;
	}
	if (status <= 1 && nr_right) {
		int shown = show(request, results);

		status = shown ? shown : status;
	}
	for (unsigned i = 0; i < request->nr_traces; i++)
		free(results[i].cells);
	free(results);
	return status;
}

/* Returns 1 for a trace that cannot be read. */
static int replay_trace(const struct qr_replay_request *request, const char *path, struct qr_replay_result *result)
{
	struct qr_bar progress = {.is_shown = false};
	struct qr_spool spool = {.fd = -1, .next_fd = -1};
	int status = read_trace(request, path, result, &spool, &progress);

	if (!status)
		status = run_cells(request, path, result, &spool, &progress);
	qr_bar_clear(&progress);
	qr_spool_close(&spool);
	if (status) {
		free(result->cells);
		result->cells = NULL;
	}
	return status;
}

static int read_trace(const struct qr_replay_request *request, const char *path, struct qr_replay_result *result,
		      struct qr_spool *spool, struct qr_bar *progress)
{
	char error[QR_REPLAY_ERROR_MAX] = "";
	struct qr_source *source = qr_source_open(path, error);
	struct qr_trace trace;
	int status = -1;

	if (source) {
		qr_bar_start(progress, request->is_quiet, "reading");
		status = qr_trace_open(&trace, source, request->format, qr_log2_u64(request->page_size), error);
		if (!status)
			status = qr_spool_make(spool, &trace, request->limit, draw, progress);
		result->format = trace.format;
		qr_trace_close(&trace);
	}
	result->path = path;
	result->nr_accesses = spool->nr;
	result->nr_pages = spool->nr_pages;
	qr_bar_clear(progress);
	if (!status && spool->nr)
		return 0;
	if (spool->nr)
		qr_cli_say("replay: %s: %s; --limit %llu replays what comes before", path, error,
			   (unsigned long long)spool->nr);
	else
		qr_cli_say("replay: %s: %s", path, status ? error : "has no accesses");
	return 1;
}

static int run_cells(const struct qr_replay_request *request, const char *path, struct qr_replay_result *result,
		     struct qr_spool *spool, struct qr_bar *progress)
{
	uint64_t nr_warmup = (uint64_t)((double)spool->nr * request->warmup_percent / 100);
	char error[QR_REPLAY_ERROR_MAX] = "";
	bool has_min = false;

	result->nr_counted = spool->nr - nr_warmup;
	if (!lay_out(request, result))
		return QR_EXIT_FAILED;
	for (unsigned policy = 0; policy < request->nr_policies; policy++)
		has_min |= !request->policies[policy];
	if (has_min) {
		qr_bar_start(progress, request->is_quiet, "looking ahead");
		if (qr_spool_make_next(spool, draw, progress, error)) {
			qr_cli_say("replay: %s: %s", path, error);
			return QR_EXIT_FAILED;
		}
	}
	qr_bar_start(progress, request->is_quiet, "replaying");
	return qr_replay_run_cells(spool, result->cells, request->nr_policies * request->nr_sizes, nr_warmup,
				   request->nr_jobs, progress);
}

/* Percentages are of the pages of this trace; a memory holds one page at least. */
static bool lay_out(const struct qr_replay_request *request, struct qr_replay_result *result)
{
	result->cells = qr_lab_alloc((size_t)request->nr_policies * request->nr_sizes, sizeof(*result->cells));
	for (unsigned i = 0; i < request->nr_policies * request->nr_sizes; i++) {
		const struct qr_replay_size *size = &request->sizes[i % request->nr_sizes];
		double nr_pages = size->percent > 0 ? result->nr_pages * size->percent / 100
						    : (double)(size->bytes / request->page_size);

		/* More frames than pages make no difference. */
		nr_pages = QR_MIN(QR_MAX(nr_pages, 1.0), (double)result->nr_pages);
		if (nr_pages > QR_POLICY_MAX_CAPACITY) {
			qr_cli_say("replay: %.*s is more than %u pages", size->length, size->text,
				   QR_POLICY_MAX_CAPACITY);
			return false;
		}
		result->cells[i] = (struct qr_replay_cell){
			.ops = request->policies[i / request->nr_sizes],
			.capacity = (uint32_t)nr_pages,
			.pool_share = request->pool_share,
		};
	}
	return true;
}

static void draw(void *progress, double fraction)
{
	qr_bar_draw(progress, fraction);
}

static int show(const struct qr_replay_request *request, const struct qr_replay_result *results)
{
	bool has_failed = false;

	if (request->is_json) {
		json_t *root = qr_replay_to_json(request, results);

		has_failed = json_dumpf(root, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(12)) || putchar('\n') == EOF;
		json_decref(root);
	} else {
		const char *separator = "";

		for (unsigned i = 0; i < request->nr_traces; i++) {
			if (!results[i].cells)
				continue;
			(void)fputs(separator, stdout);
			qr_replay_print(request, &results[i], stdout);
			separator = "\n";
		}
	}
	if (fflush(stdout) || ferror(stdout) || has_failed) {
		qr_cli_say("replay: cannot print the result: %s", strerror(errno));
		return QR_EXIT_FAILED;
	}
	return request->svg ? write_svg(request, results) : 0;
}

static int write_svg(const struct qr_replay_request *request, const struct qr_replay_result *results)
{
	struct qr_lab_text svg = {0};
	bool has_failed;
	FILE *file;

	if (qr_replay_plot(request, results, &svg))
		return QR_EXIT_FAILED;
	file = fopen(request->svg, "we");
	has_failed = !file || fputs(svg.text, file) < 0;
	if (file && fclose(file))
		has_failed = true;
	if (has_failed)
		qr_cli_say("replay: --svg %s: %s", request->svg, strerror(errno));
	free(svg.text);
	return has_failed ? QR_EXIT_FAILED : 0;
}

static bool can_write(const char *path)
{
	bool is_there = !access(path, F_OK);
	FILE *file = fopen(path, "ae");

	if (!file) {
		qr_cli_say("replay: --svg %s: %s", path, strerror(errno));
		return false;
	}
	(void)fclose(file);
	if (!is_there)
		(void)unlink(path);
	return true;
}
