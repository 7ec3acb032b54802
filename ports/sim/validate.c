/*
 * Validation: the same workloads on two of the host's CPUs and on two simulated ones, one and two at a time. Absolute
 * times are shown; what is judged is the slow-down from one CPU to two, since that is what the lab is about.
 *
 * The host's machine file is the base. What can be measured by itself is measured anew each time (the host may be a
 * virtual machine that moves); what the native program does not do (traps, clearing, interrupts) costs nothing.
 */
#include "validate.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "children.h"
#include "options.h"
#include "params.h"
#include "validate_table.h"

#define RUN_NS 3000000u
#define WARM_NS 600000u
#define TURNS "40"
#define TURNS_QUICK "12"
/* Two slow-downs differ if one is larger than the other by this factor. */
#define DIFFERS 1.15
/* If transfers took so much more or less than in the calibration, the host has moved a virtual CPU: it is calibrated
 * and the row is measured again. */
#define TRANSFER_SPREAD 1.4
#define MAX_TRIES 4u
/* Parts of the time of a modified line's transfer, which is measured: a shared copy's, and the gap between stores. */
#define CLEAN_SHARE 0.85
#define STORE_GAP_SHARE 0.2

struct row {
	const struct qr_validate_config *config;
	double native[2], sim[2]; /* ns per operation and CPU, [CPUs - 1] */
	double transfer_ns;       /* between the host's CPUs, while this was measured */
};

static bool calibrate(struct qr_machine *machine, double *way_ns);
static bool measure_native(struct row *row, bool is_quick, struct qr_machine *machine, double *way_ns);
static bool measure_once(struct row *row, bool is_quick);
static void set_transfers(struct qr_machine *machine, double factor);
static bool simulate(struct row *row, const struct qr_machine *machine, double way_ns, uint32_t nr_cpus);
static void report(const struct row *rows, uint32_t nr_rows, uint32_t nr_failed, bool is_json);

int qr_calibrate(bool is_json)
{
	char *text = qr_child_output((const char *const[]){QR_NATIVE_PROGRAM, "--calibrate", NULL});
	json_t *root = text ? json_loads(text, 0, NULL) : NULL;
	json_t *entry;
	size_t i;

	if (!root) {
		fprintf(stderr, "quire-lab-cell: %s failed or is missing\n", QR_NATIVE_PROGRAM);
		return QR_EXIT_FAILED;
	}
	if (is_json)
		fputs(text, stdout);
	json_array_foreach(json_object_get(root, "parameters"), i, entry)
	{
		if (!is_json)
			printf("%s = %.2f  # measured\n", json_string_value(json_object_get(entry, "name")),
			       json_number_value(json_object_get(entry, "median_ns")));
	}
	json_decref(root);
	free(text);
	return 0;
}

int qr_validate(bool is_json, bool is_quick)
{
	char error[QR_MACHINE_ERROR_LEN];
	struct qr_machine machine;
	struct row *rows = calloc(qr_nr_validate_configs, sizeof(*rows));
	uint32_t nr_rows = 0, nr_failed = 0;
	double way_ns;

	if (!rows || qr_machine_load("host", &machine, error)) {
		fprintf(stderr, "quire-lab-cell: %s\n", rows ? error : "out of memory");
		return QR_EXIT_FAILED;
	}
	if (!calibrate(&machine, &way_ns)) {
		fprintf(stderr, "quire-lab-cell: the host cannot be calibrated\n");
		return QR_EXIT_FAILED;
	}
	for (uint32_t i = 0; i < qr_nr_validate_configs; i++) {
		struct row *row = &rows[nr_rows];

		row->config = &qr_validate_configs[i];
		if (!is_json && isatty(STDERR_FILENO))
			fprintf(stderr, "\r%u of %u ", i + 1, qr_nr_validate_configs);
		if (measure_native(row, is_quick, &machine, &way_ns) && simulate(row, &machine, way_ns, 1) &&
		    simulate(row, &machine, way_ns, 2))
			nr_rows++;
		else
			nr_failed++;
	}
	if (!is_json && isatty(STDERR_FILENO))
		fprintf(stderr, "\r");
	report(rows, nr_rows, nr_failed, is_json);
	free(rows);
	return nr_rows ? 0 : QR_EXIT_FAILED;
}

static double median_of(json_t *parameters, const char *name)
{
	json_t *entry;
	size_t i;

	json_array_foreach(parameters, i, entry)
	{
		if (!strcmp(json_string_value(json_object_get(entry, "name")), name))
			return json_number_value(json_object_get(entry, "median_ns"));
	}
	return 0;
}

/* *way_ns: what a word takes from one CPU to the other. */
static bool calibrate(struct qr_machine *machine, double *way_ns)
{
	char *text = qr_child_output((const char *const[]){QR_NATIVE_PROGRAM, "--calibrate", NULL});
	json_t *root = text ? json_loads(text, 0, NULL) : NULL;
	json_t *parameters = json_object_get(root, "parameters");

	free(text);
	if (!parameters) {
		json_decref(root);
		return false;
	}
	*way_ns = median_of(parameters, "ping_pong_ns");
	machine->dirty_cluster_ns = fmax(1, median_of(parameters, "dirty_cluster_ns") - machine->access_ns);
	machine->l2_ns = median_of(parameters, "l2_ns");
	machine->dram_local_ns = machine->dram_remote_ns = median_of(parameters, "dram_local_ns");
	machine->locked_ns = fmax(0, median_of(parameters, "locked_ns") - 2 * machine->access_ns);
	machine->pause_ns = median_of(parameters, "pause_ns");
	machine->clock_ns = median_of(parameters, "clock_ns");
	machine->trap_ns = machine->zero_page_ns = machine->pte_ns = machine->grace_us = 0;
	machine->tlb_walk_ns = machine->tlb_flush_ns = 0;
	machine->ipi_send_ns = machine->ipi_latency_ns = machine->ipi_handle_ns = 0;
	json_decref(root);
	return true;
}

/* factor: how much longer than in the calibration transfers took when the native program ran. */
static void set_transfers(struct qr_machine *machine, double factor)
{
	double time = machine->dirty_cluster_ns * factor;

	machine->dirty_cluster_ns = machine->dirty_node_ns = machine->dirty_remote_ns = time;
	machine->clean_cluster_ns = machine->clean_node_ns = machine->clean_remote_ns = CLEAN_SHARE * time;
	machine->invalidate_cluster_ns = machine->invalidate_node_ns = machine->invalidate_remote_ns = time;
	machine->store_gap_ns = STORE_GAP_SHARE * time;
}

static bool measure_native(struct row *row, bool is_quick, struct qr_machine *machine, double *way_ns)
{
	for (uint32_t i = 0; i < MAX_TRIES; i++) {
		double factor;

		if (!measure_once(row, is_quick))
			continue;
		factor = row->transfer_ns / *way_ns;
		if (factor < TRANSFER_SPREAD && factor > 1 / TRANSFER_SPREAD)
			return true;
		if (!calibrate(machine, way_ns))
			return false;
	}
	return false;
}

static bool measure_once(struct row *row, bool is_quick)
{
	const struct qr_validate_config *config = row->config;
	const char *words[6 + 2 * (QR_VALIDATE_PARAMS + 1)] = {QR_NATIVE_PROGRAM, config->workload, "--turns",
							       is_quick ? TURNS_QUICK : TURNS};
	uint32_t nr = 4;
	char *text;
	json_t *root;

	for (uint32_t i = 0; i < QR_VALIDATE_PARAMS && config->params[i]; i++) {
		words[nr++] = "--param";
		words[nr++] = config->params[i];
	}
	if (config->choice) {
		words[nr++] = "--set";
		words[nr++] = config->choice;
	}
	text = qr_child_output(words);
	root = text ? json_loads(text, 0, NULL) : NULL;
	row->native[0] = json_number_value(json_object_get(root, "one_ns"));
	row->native[1] = json_number_value(json_object_get(root, "two_ns"));
	row->transfer_ns = json_number_value(json_object_get(root, "transfer_ns"));
	json_decref(root);
	free(text);
	return row->native[0] > 0 && row->native[1] > 0;
}

static bool simulate(struct row *row, const struct qr_machine *machine, double way_ns, uint32_t nr_cpus)
{
	const struct qr_validate_config *config = row->config;
	struct qr_cell cell = {
		.machine = *machine, .nr_cpus = nr_cpus, .seed = 1, .run_ns = RUN_NS, .warm_ns = WARM_NS};
	char error[QR_PARAMS_ERROR_LEN];
	int err = 0;

	set_transfers(&cell.machine, row->transfer_ns / way_ns);
	cell.workload = qr_params_workload(config->workload, error);
	if (!cell.workload)
		return false;
	qr_params_defaults(cell.workload->params, cell.texts, cell.values);
	qr_params_defaults(qr_run_common, cell.common_texts, cell.common);
	err = qr_params_set(qr_run_common, cell.common_texts, cell.common, "kswapd=off", error);
	for (uint32_t i = 0; i < QR_VALIDATE_PARAMS && config->params[i] && !err; i++)
		err = qr_params_set(cell.workload->params, cell.texts, cell.values, config->params[i], error);
	if (!err && config->choice)
		err = qr_params_choose(&cell.choices, config->choice, error);
	if (err)
		return false;
	row->sim[nr_cpus - 1] = qr_child_cell(&cell);
	return row->sim[nr_cpus - 1] > 0;
}

static double slowdown(const double times[2])
{
	return times[1] / times[0];
}

/* How far off, as a factor beyond 1. */
static double row_error(const struct row *row)
{
	return exp(fabs(log(slowdown(row->sim) / slowdown(row->native)))) - 1;
}

/* The share of pairs that differ natively and rank alike when simulated. */
static double ranking(const struct row *rows, uint32_t nr_rows, uint32_t *nr_pairs)
{
	uint32_t nr_alike = 0;

	*nr_pairs = 0;
	for (uint32_t i = 0; i < nr_rows; i++) {
		for (uint32_t k = i + 1; k < nr_rows; k++) {
			double left = slowdown(rows[i].native), right = slowdown(rows[k].native);

			if (fmax(left, right) <= DIFFERS * fmin(left, right))
				continue;
			++*nr_pairs;
			nr_alike += (left > right) == (slowdown(rows[i].sim) > slowdown(rows[k].sim));
		}
	}
	return *nr_pairs ? (double)nr_alike / *nr_pairs : 0;
}

static void describe(const struct qr_validate_config *config, char *text, size_t size)
{
	size_t len = (size_t)snprintf(text, size, "%s", config->workload);

	for (uint32_t i = 0; i < QR_VALIDATE_PARAMS && config->params[i] && len < size; i++)
		len += (size_t)snprintf(text + len, size - len, " %s", config->params[i]);
	if (config->choice && len < size)
		snprintf(text + len, size - len, " %s", config->choice);
}

static json_t *row_json(const struct row *row)
{
	char text[160];

	describe(row->config, text, sizeof(text));
	return json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "configuration", text, "native_one_ns",
			 row->native[0], "native_two_ns", row->native[1], "sim_one_ns", row->sim[0], "sim_two_ns",
			 row->sim[1], "native_slowdown", slowdown(row->native), "sim_slowdown", slowdown(row->sim),
			 "error", row_error(row), "transfer_ns", row->transfer_ns);
}

static void report(const struct row *rows, uint32_t nr_rows, uint32_t nr_failed, bool is_json)
{
	static const char limits[] =
		"more than 2 CPUs, NUMA, interrupts and traps are not validated: the host has none "
		"of the first two, and the native program takes none of the others";
	uint32_t nr_pairs;
	double rank = ranking(rows, nr_rows, &nr_pairs), sum = 0;
	json_t *list = json_array(), *root;

	for (uint32_t i = 0; i < nr_rows; i++) {
		char text[160];

		sum += row_error(&rows[i]);
		describe(rows[i].config, text, sizeof(text));
		if (!is_json)
			printf("%-58s one CPU %8.1f ns, sim %8.1f | two CPUs %8.1f ns, sim %8.1f | slow-down %5.2f, "
			       "sim "
			       "%5.2f\n",
			       text, rows[i].native[0], rows[i].sim[0], rows[i].native[1], rows[i].sim[1],
			       slowdown(rows[i].native), slowdown(rows[i].sim));
		json_array_append_new(list, row_json(&rows[i]));
	}
	sum = nr_rows ? sum / nr_rows : 0;
	if (!is_json) {
		printf("%u configurations (%u more were disturbed): mean error of the slow-down %.1f %%, ranking right "
		       "in "
		       "%.1f %% of %u pairs that differ\n%s\n",
		       nr_rows, nr_failed, 100 * sum, 100 * rank, nr_pairs, limits);
		json_decref(list);
		return;
	}
	root = json_pack("{s:i, s:i, s:f, s:f, s:i, s:s, s:o}", "configurations", (int)nr_rows, "disturbed",
			 (int)nr_failed, "mean_error", sum, "ranking", rank, "pairs", (int)nr_pairs, "not_validated",
			 limits, "rows", list);
	json_dumpf(root, stdout, JSON_REAL_PRECISION(6));
	printf("\n");
	json_decref(root);
}
