/* An experiment as text and as JSON. */
#include <stdlib.h>

#include <quire/quire.h>

#include "lab/output.h"

/* Rows of text; the JSON has all. */
#define MAX_LOCK_ROWS 30u
#define MAX_LINE_ROWS 10u

static json_t *machines_json(const struct qr_lab_plan *plan);
static json_t *series_json(const struct qr_lab_plan *plan);
static json_t *points_json(const struct qr_lab_plan *plan, const struct qr_lab_variant *variant);
static void add_cells(const struct qr_runner *runner, const struct qr_lab_plan *plan, json_t *cells, json_t *failed);
static void print_and_free(struct qr_table *table, FILE *file, unsigned max_rows);

void qr_lab_print(const struct qr_lab_plan *plan, FILE *file)
{
	for (unsigned i = 0; i < plan->nr_machines; i++)
		(void)fprintf(file, "%s on %s%s%s\n", plan->workload, plan->machines[i].label,
			      *plan->machines[i].help ? ": " : "", plan->machines[i].help);
	(void)fputc('\n', file);
	print_and_free(qr_lab_table_rates(plan), file, 0);
	for (unsigned i = 0; i < plan->nr_variants; i++) {
		const struct qr_lab_cell *cell = qr_lab_largest_of(plan, &plan->variants[i]);

		if (!cell)
			continue;
		print_and_free(qr_lab_table_locks(cell, plan->variants[i].label), file, MAX_LOCK_ROWS);
		print_and_free(qr_lab_table_lines(cell, plan->variants[i].label), file, MAX_LINE_ROWS);
	}
	print_and_free(qr_lab_table_counters(plan), file, 0);
}

static void print_and_free(struct qr_table *table, FILE *file, unsigned max_rows)
{
	if (table->nr_rows)
		qr_table_print(table, file, max_rows);
	qr_table_free(table);
}

json_t *qr_lab_to_json(const struct qr_runner *runner, const struct qr_lab_request *request,
		       const struct qr_lab_plan *plan)
{
	json_t *cells = json_array(), *failed = json_array();
	char *command = qr_lab_join_command(request->words);
	json_t *root;

	add_cells(runner, plan, cells, failed);
	root = json_pack("{s:s, s:s, s:s, s:s, s:i, s:o, s:o, s:o, s:o}", "version", qr_version(), "command", command,
			 "workload", plan->workload, "runner", runner->hash, "seeds", (int)plan->nr_seeds, "machines",
			 machines_json(plan), "series", series_json(plan), "cells", cells, "failed", failed);
	free(command);
	return root;
}

static json_t *machines_json(const struct qr_lab_plan *plan)
{
	json_t *machines = json_array();

	for (unsigned i = 0; i < plan->nr_machines; i++)
		(void)json_array_append_new(machines,
					    json_pack("{s:s, s:s, s:i, s:O}", "name", plan->machines[i].label, "help",
						      plan->machines[i].help, "cpus", (int)plan->machines[i].cpus,
						      "params", plan->machines[i].params));
	return machines;
}

static json_t *series_json(const struct qr_lab_plan *plan)
{
	json_t *series = json_array();

	for (unsigned i = 0; i < plan->nr_variants; i++) {
		const struct qr_lab_variant *variant = &plan->variants[i];

		(void)json_array_append_new(series,
					    json_pack("{s:s, s:s, s:O, s:O, s:o}", "label", variant->label, "machine",
						      variant->machine->label, "settings", variant->settings, "params",
						      variant->params, "points", points_json(plan, variant)));
	}
	return series;
}

static json_t *points_json(const struct qr_lab_plan *plan, const struct qr_lab_variant *variant)
{
	json_t *points = json_array();

	for (unsigned at = 0; at < variant->cpus.nr; at++) {
		struct qr_lab_point point = qr_lab_point_of(plan, variant, at);

		if (point.nr)
			(void)json_array_append_new(
				points, json_pack("{s:i, s:i, s:f, s:f, s:f}", "cpus", (int)variant->cpus.cpus[at],
						  "seeds", (int)point.nr, "median_ops_per_s", point.median,
						  "min_ops_per_s", point.min, "max_ops_per_s", point.max));
	}
	return points;
}

static void add_cells(const struct qr_runner *runner, const struct qr_lab_plan *plan, json_t *cells, json_t *failed)
{
	for (unsigned i = 0; i < plan->nr_cells; i++) {
		const struct qr_lab_cell *cell = plan->cells[i];
		char *command, *title;

		if (cell->state == QR_LAB_DONE) {
			json_t *copy = json_copy(cell->result);

			(void)json_object_set_new(copy, "cached", json_boolean(cell->is_cached));
			(void)json_array_append_new(cells, copy);
		} else if (cell->state == QR_LAB_FAILED) {
			command = qr_lab_cell_command(runner, cell);
			title = qr_lab_cell_title(cell);
			(void)json_array_append_new(failed, json_pack("{s:s, s:s, s:s}", "cell", title, "reason",
								      cell->error, "command", command));
			free(title);
			free(command);
		}
	}
}

char *qr_lab_join_command(char **words)
{
	struct qr_lab_text line = {0};

	qr_lab_text_add(&line, "quire");
	for (char **word = words; *word; word++) {
		qr_lab_text_add(&line, " ");
		qr_lab_text_add_quoted(&line, *word);
	}
	return line.text;
}
