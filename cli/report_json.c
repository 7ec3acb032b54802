/* The file of --stats-json; its keys are documented in quire-run(1) and stay as they are. */
#include <errno.h>

#include "report.h"

static json_t *samples_json(const struct qr_sampler *sampler);
static json_t *column(const struct qr_sampler *sampler, size_t offset);
static json_t *processes_json(const struct qr_sampler *sampler);
static json_t *command_json(char **program);

int qr_report_write_json(FILE *file, const struct qr_sampler *sampler, const struct qr_totals *totals,
			 const struct qr_run_result *result)
{
	json_t *root =
		json_pack("{s:s, s:o, s:i, s:i, s:f, s:o, s:o, s:o, s:o, s:o}", "version", qr_version(), "command",
			  command_json(result->program), "exit_status", result->exit_status, "signal", result->signal,
			  "wall_seconds", result->seconds, "options", qr_totals_options_json(sampler->domain->shared),
			  "totals", qr_totals_to_json(totals), "groups", qr_totals_groups_json(sampler->domain->shared),
			  "processes", processes_json(sampler), "samples", samples_json(sampler));
	int err = !root ? -ENOMEM : 0;

	if (!err && (json_dumpf(root, file, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) || fputc('\n', file) == EOF))
		err = errno ? -errno : -EIO;
	json_decref(root);
	return err;
}

/* One array per figure: compact, and ready to plot. */
static json_t *samples_json(const struct qr_sampler *sampler)
{
	static const struct {
		const char *name;
		size_t offset;
	} columns[] = {
		{"seconds", offsetof(struct qr_sample, seconds)},
		{"used_bytes", offsetof(struct qr_sample, used_bytes)},
		{"swapped_bytes", offsetof(struct qr_sample, swapped_bytes)},
		{"pool_bytes", offsetof(struct qr_sample, pool_bytes)},
		{"file_bytes", offsetof(struct qr_sample, file_bytes)},
		{"faults", offsetof(struct qr_sample, faults)},
		{"swapin_pages", offsetof(struct qr_sample, swapin_pages)},
		{"swapout_pages", offsetof(struct qr_sample, swapout_pages)},
		{"stalled_ns", offsetof(struct qr_sample, stalled_ns)},
	};
	json_t *object = json_object();

	for (size_t i = 0; object && i < QR_ARRAY_SIZE(columns); i++)
		(void)json_object_set_new(object, columns[i].name, column(sampler, columns[i].offset));
	return object;
}

static json_t *column(const struct qr_sampler *sampler, size_t offset)
{
	json_t *array = json_array();

	for (uint32_t i = 0; array && i < sampler->nr; i++) {
		double value = *(const double *)(const void *)((const char *)&sampler->samples[i] + offset);

		/* Counts are whole numbers below 2^53, which a double holds exactly. */
		(void)json_array_append_new(array, offset == offsetof(struct qr_sample, seconds)
							   ? json_real(value)
							   : json_integer((json_int_t)value));
	}
	return array;
}

static json_t *processes_json(const struct qr_sampler *sampler)
{
	json_t *array = json_array();

	for (uint32_t i = 0; array && i < sampler->nr_processes; i++) {
		const struct qr_sampled_process *row = &sampler->processes[i];
		json_t *name = json_string(row->command);

		(void)json_array_append_new(
			array, json_pack("{s:i, s:o, s:f, s:f, s:I, s:I, s:I, s:I, s:I}", "pid", (int)row->pid,
					 "command", name ? name : json_string("?"), "first_seen_seconds",
					 row->first_seen, "last_seen_seconds", row->last_seen, "peak_bytes",
					 (json_int_t)row->peak_bytes, "faults", (json_int_t)row->faults, "swapin_pages",
					 (json_int_t)row->swapin_pages, "swapout_pages", (json_int_t)row->swapout_pages,
					 "passed_maps", (json_int_t)row->passed_maps));
	}
	return array;
}

static json_t *command_json(char **program)
{
	json_t *array = json_array();

	for (; array && *program; program++) {
		json_t *word = json_string(*program);

		(void)json_array_append_new(array, word ? word : json_string("?")); /* not UTF-8 */
	}
	return array;
}
