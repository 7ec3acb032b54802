/* The results of a replay as a table and as JSON. */
#include <stdio.h>
#include <stdlib.h>

#include <quire/quire.h>

#include "cli.h"
#include "lab/table.h"
#include "replay/result.h"

static struct qr_table *make_table(const struct qr_replay_request *request, const struct qr_replay_result *result,
				   const char *title, double (*ratio)(const struct qr_replay_cell *));
static json_t *trace_to_json(const struct qr_replay_request *request, const struct qr_replay_result *result);
static json_t *path_to_json(const char *path);

double qr_replay_miss_ratio(const struct qr_replay_cell *cell)
{
	return cell->nr_accesses ? (double)cell->nr_misses / (double)cell->nr_accesses : 0;
}

double qr_replay_idle_ratio(const struct qr_replay_cell *cell)
{
	return cell->nr_accesses ? (double)cell->nr_idle / (double)cell->nr_accesses : 0;
}

void qr_replay_print(const struct qr_replay_request *request, const struct qr_replay_result *result, FILE *file)
{
	char accesses[QR_CLI_NUMBER_MAX], pages[QR_CLI_NUMBER_MAX], bytes[QR_CLI_NUMBER_MAX];
	struct qr_table *table;

	(void)fprintf(file, "%s: %s accesses to %s pages (%s)", result->path,
		      qr_cli_format_count(accesses, result->nr_accesses), qr_cli_format_count(pages, result->nr_pages),
		      qr_cli_format_bytes(bytes, result->nr_pages * request->page_size));
	if (result->nr_counted != result->nr_accesses)
		(void)fprintf(file, ", the last %s count", qr_cli_format_count(accesses, result->nr_counted));
	(void)fputs("\n\n", file);
	table = make_table(request, result, "Misses, % of the accesses", qr_replay_miss_ratio);
	qr_table_print(table, file, 0);
	qr_table_free(table);
	if (!request->pool_share)
		return;
	(void)fputc('\n', file);
	table = make_table(request, result, "Hits that cost a fault, % of the accesses", qr_replay_idle_ratio);
	qr_table_print(table, file, 0);
	qr_table_free(table);
}

static struct qr_table *make_table(const struct qr_replay_request *request, const struct qr_replay_result *result,
				   const char *title, double (*ratio)(const struct qr_replay_cell *))
{
	struct qr_table *table = qr_table_make("%s", title);

	qr_table_add_column(table, NULL, "policy", true);
	for (unsigned size = 0; size < request->nr_sizes; size++) {
		char *name = qr_lab_format("%.*s", request->sizes[size].length, request->sizes[size].text);

		qr_table_add_column(table, NULL, name, false);
		free(name);
	}
	for (unsigned policy = 0; policy < request->nr_policies; policy++) {
		qr_table_add_row(table, false);
		qr_table_put(table, "%s", qr_replay_policy_name(request->policies[policy]));
		for (unsigned size = 0; size < request->nr_sizes; size++)
			qr_table_put(table, "%.3f", 100 * ratio(&result->cells[policy * request->nr_sizes + size]));
	}
	return table;
}

json_t *qr_replay_to_json(const struct qr_replay_request *request, const struct qr_replay_result *results)
{
	json_t *traces = json_array();

	for (unsigned i = 0; i < request->nr_traces; i++) {
		if (results[i].cells)
			(void)json_array_append_new(traces, trace_to_json(request, &results[i]));
	}
	return json_pack(
		"{s:s, s:s, s:I, s:f, s:o, s:o}", "version", qr_version(), "command", "replay", "page_size_bytes",
		(json_int_t)request->page_size, "warmup_percent", request->warmup_percent, "sampling_share",
		request->pool_share ? json_integer((json_int_t)request->pool_share) : json_null(), "traces", traces);
}

static json_t *trace_to_json(const struct qr_replay_request *request, const struct qr_replay_result *result)
{
	json_t *rows = json_array();

	for (unsigned i = 0; i < request->nr_policies * request->nr_sizes; i++) {
		const struct qr_replay_cell *cell = &result->cells[i];
		const struct qr_replay_size *size = &request->sizes[i % request->nr_sizes];

		(void)json_array_append_new(
			rows,
			json_pack("{s:s, s:s#, s:I, s:I, s:I, s:I, s:f, s:f}", "policy",
				  qr_replay_policy_name(cell->ops), "size", size->text, size->length, "pages",
				  (json_int_t)cell->capacity, "accesses", (json_int_t)cell->nr_accesses, "misses",
				  (json_int_t)cell->nr_misses, "idle_faults", (json_int_t)cell->nr_idle, "miss_ratio",
				  qr_replay_miss_ratio(cell), "idle_fault_ratio", qr_replay_idle_ratio(cell)));
	}
	return json_pack("{s:o, s:s, s:I, s:I, s:I, s:o}", "path", path_to_json(result->path), "format",
			 qr_trace_format_names[result->format], "accesses", (json_int_t)result->nr_accesses, "counted",
			 (json_int_t)result->nr_counted, "pages", (json_int_t)result->nr_pages, "results", rows);
}

/* A file's name may be any bytes; JSON is UTF-8. */
static json_t *path_to_json(const char *path)
{
	json_t *string = json_string(path);
	char *plain;

	if (string)
		return string;
	plain = qr_lab_format("%s", path);
	for (char *at = plain; *at; at++)
		*at = (unsigned char)*at < 0x80 ? *at : '?';
	string = json_string(plain);
	free(plain);
	return string;
}
