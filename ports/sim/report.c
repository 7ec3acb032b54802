/* Results as JSON. */
#include "report.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "hotlines.h"
#include "sim.h"

#define MAX_HOT_LINES 20u
#define MAX_MACHINES 64u

static json_t *settings_json(const struct qr_cell *cell);
static json_t *params_json(const struct qr_cell *cell);
static json_t *locks_json(const struct qr_cell *cell, const struct qr_result *result);
static json_t *lines_json(void);
static json_t *counters_json(const struct qr_cell *cell, const struct qr_result *result);
static json_t *list_json(void);

static void put(json_t *object, const char *name, json_t *value)
{
	if (json_object_set_new(object, name, value))
		qr_sim_fail("out of memory for the report");
}

static void put_number(json_t *object, const char *name, uint64_t value)
{
	put(object, name, json_integer((json_int_t)value));
}

static void print(json_t *value, size_t flags)
{
	if (json_dumpf(value, stdout, flags | JSON_REAL_PRECISION(9)) || putchar('\n') == EOF || fflush(stdout))
		qr_sim_fail("the report cannot be written");
	json_decref(value);
}

void qr_report_cell(const struct qr_cell *cell, const struct qr_result *result)
{
	json_t *report = json_object();
	char hash[17];

	snprintf(hash, sizeof(hash), "%016llx", (unsigned long long)result->hash);
	put(report, "workload", json_string(cell->workload->name));
	put(report, "machine", json_string(cell->machine.name));
	put_number(report, "cpus", cell->nr_cpus);
	put_number(report, "seed", cell->seed);
	put(report, "settings", settings_json(cell));
	put(report, "params", params_json(cell));
	put_number(report, "ops", result->ops);
	put_number(report, "virtual_ns", result->virtual_ns);
	put(report, "ops_per_s", json_real((double)result->ops * 1e9 / (double)result->virtual_ns));
	put(report, "hash", json_string(hash));
	put_number(report, "accesses", result->accesses);
	put(report, "host_seconds", json_real(result->host_seconds));
	put(report, "locks", locks_json(cell, result));
	put(report, "lines", lines_json());
	put(report, "counters", counters_json(cell, result));
	print(report, 0);
}

static json_t *settings_json(const struct qr_cell *cell)
{
	json_t *settings = json_object();
	uint32_t nr;
	const struct qr_choice *choices = qr_choices_list(&nr);

	for (uint32_t i = 0; i < nr; i++)
		put(settings, choices[i].name, json_string(qr_choices_value(&cell->choices, &choices[i])));
	return settings;
}

static json_t *params_json(const struct qr_cell *cell)
{
	json_t *params = json_object();

	for (uint32_t i = 0; cell->workload->params[i].name; i++)
		put(params, cell->workload->params[i].name, json_string(cell->texts[i]));
	for (uint32_t i = 0; qr_run_common[i].name; i++)
		put(params, qr_run_common[i].name, json_string(cell->common_texts[i]));
	return params;
}

static double mean_ns(uint64_t sum_ps, uint64_t nr)
{
	return nr ? (double)sum_ps / (double)nr / QR_SIM_PS : 0;
}

static double percent(uint64_t part, double whole)
{
	return whole > 0 ? 100.0 * (double)part / whole : 0;
}

static json_t *locks_json(const struct qr_cell *cell, const struct qr_result *result)
{
	json_t *locks = json_array();
	double elapsed = (double)result->virtual_ns * QR_SIM_PS;

	for (uint32_t i = 0; i < result->nr_locks; i++) {
		const struct qr_meter_row *row = &result->locks[i];
		double contended = percent(row->contended, (double)row->total);
		json_t *lock = json_object();

		put(lock, "name", json_string(row->name));
		put(lock, "site", json_string(row->site));
		put(lock, "use_percent", json_real(percent(row->hold_ps, elapsed)));
		put(lock, "contended_percent", json_real(contended));
		put(lock, "hold_mean_ns", json_real(mean_ns(row->hold_ps, row->total)));
		put(lock, "hold_max_ns", json_real(mean_ns(row->hold_max_ps, 1)));
		put(lock, "wait_mean_ns", json_real(mean_ns(row->wait_ps, row->contended)));
		put(lock, "wait_max_ns", json_real(mean_ns(row->wait_max_ps, 1)));
		put(lock, "cpu_percent", json_real(percent(row->wait_ps, elapsed * cell->nr_cpus)));
		put_number(lock, "total", row->total);
		put_number(lock, "nowait", row->total - row->contended);
		put_number(lock, "spin", row->contended);
		if (json_array_append_new(locks, lock))
			qr_sim_fail("out of memory for the report");
	}
	return locks;
}

static json_t *lines_json(void)
{
	struct qr_hot_line hot[MAX_HOT_LINES];
	uint32_t nr = qr_hot_lines(qr_run_vmm(), hot, MAX_HOT_LINES);
	json_t *lines = json_array();

	for (uint32_t i = 0; i < nr; i++) {
		json_t *line = json_object();

		put(line, "symbol", json_string(hot[i].symbol));
		put(line, "field", json_string(hot[i].field));
		put_number(line, "misses", hot[i].misses);
		put_number(line, "invalidations", hot[i].invalidations);
		put_number(line, "cpus", hot[i].cpus);
		put(line, "site", json_string(hot[i].site));
		if (json_array_append_new(lines, line))
			qr_sim_fail("out of memory for the report");
	}
	return lines;
}

static json_t *counters_json(const struct qr_cell *cell, const struct qr_result *result)
{
	json_t *counters = json_object();

	for (unsigned stat = 0; stat < QR_NR_STATS; stat++)
		put_number(counters, qr_stat_name((enum qr_stat)stat), result->counters[stat]);
	put_number(counters, "machine_line_transfers", result->nr_misses);
	put_number(counters, "machine_remote_transfers", result->nr_remote);
	put_number(counters, "machine_tlb_misses", result->nr_tlb_misses);
	put_number(counters, "machine_ipis", result->nr_ipis);
	put_number(counters, "machine_task_switches", result->nr_switches);
	put_number(counters, "sim_yields", result->nr_yields);
	put_number(counters, "sim_parks", result->nr_parks);
	for (unsigned i = 0; cell->workload->figures && cell->workload->figures[i]; i++)
		put_number(counters, cell->workload->figures[i], result->figures[i]);
	return counters;
}

/* ---- What there is ---- */

void qr_report_list(bool is_json)
{
	json_t *list = list_json();
	json_t *value, *group;
	const char *name;
	size_t i;

	if (is_json) {
		print(list, 0);
		return;
	}
	json_object_foreach(list, name, group)
	{
		printf("%s:", name);
		json_array_foreach(group, i, value) printf(" %s", json_string_value(json_object_get(value, "name")));
		printf("\n");
	}
	json_decref(list);
}

static void append(json_t *array, json_t *value)
{
	if (json_array_append_new(array, value))
		qr_sim_fail("out of memory for the report");
}

static void append_params(json_t *array, const struct qr_lab_param *params)
{
	for (; params->name; params++) {
		json_t *param = json_object();

		put(param, "name", json_string(params->name));
		put(param, "default", json_string(params->fallback));
		if (params->names)
			put(param, "help", json_sprintf("%s (%s)", params->help, params->names));
		else
			put(param, "help", json_string(params->help));
		append(array, param);
	}
}

static json_t *workloads_json(void)
{
	json_t *array = json_array();
	uint32_t nr;
	const struct qr_lab_workload *const *workloads = qr_lab_workloads(&nr);

	for (uint32_t i = 0; i < nr; i++) {
		json_t *workload = json_object();
		json_t *params = json_array();

		put(workload, "name", json_string(workloads[i]->name));
		put(workload, "help", json_string(workloads[i]->help));
		append_params(params, workloads[i]->params);
		append_params(params, qr_run_common);
		put(workload, "params", params);
		put(workload, "is_check", json_boolean(workloads[i]->is_check));
		append(array, workload);
	}
	return array;
}

static json_t *machines_json(void)
{
	json_t *array = json_array();
	char names[MAX_MACHINES][QR_MACHINE_NAME_LEN];
	uint32_t nr;

	qr_machine_names(names, MAX_MACHINES, &nr);
	for (uint32_t i = 0; i < nr; i++) {
		char error[QR_MACHINE_ERROR_LEN];
		struct qr_machine machine;
		json_t *entry;

		if (qr_machine_load(names[i], &machine, error)) {
			fprintf(stderr, "quire-lab-cell: %s\n", error);
			continue;
		}
		entry = json_object();
		put(entry, "name", json_string(machine.name));
		put_number(entry, "cpus", (uint64_t)machine.cpus);
		put_number(entry, "nodes", (uint64_t)machine.nodes);
		put(entry, "ram_gib", json_real(machine.ram_gib));
		put(entry, "help", json_string(machine.title));
		put(entry, "file", json_sprintf("%s/%s.machine", qr_machine_folder(), machine.name));
		append(array, entry);
	}
	return array;
}

static json_t *choices_json(void)
{
	json_t *array = json_array();
	uint32_t nr;
	const struct qr_choice *choices = qr_choices_list(&nr);

	for (uint32_t i = 0; i < nr; i++) {
		json_t *choice = json_object();
		json_t *values = json_array();

		for (unsigned k = 0; k < QR_MAX_CHOICE_VALUES && choices[i].values[k][0]; k++)
			append(values, json_string(choices[i].values[k]));
		put(choice, "name", json_string(choices[i].name));
		put(choice, "values", values);
		put(choice, "default", json_string(choices[i].values[0]));
		put(choice, "help", json_string(choices[i].help));
		append(array, choice);
	}
	return array;
}

static json_t *list_json(void)
{
	json_t *list = json_object();

	put(list, "workloads", workloads_json());
	put(list, "machines", machines_json());
	put(list, "choices", choices_json());
	return list;
}
