/* The tables of an experiment. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "lab/output.h"

static void put_point(struct qr_table *table, const struct qr_lab_plan *plan, unsigned variant, uint32_t cpus);
static struct qr_lab_point find_point(const struct qr_lab_plan *plan, const struct qr_lab_variant *variant,
				      uint32_t cpus);
static struct qr_lab_cpus all_cpus(const struct qr_lab_plan *plan);
static void put_lock(struct qr_table *table, const json_t *lock);
static json_t *sort_locks(const json_t *locks);
static bool has_counted(const struct qr_lab_plan *plan, const char *counter);

struct qr_table *qr_lab_table_rates(const struct qr_lab_plan *plan)
{
	struct qr_table *table =
		qr_table_make("Operations per virtual second: median and band over %u seed%s%s", plan->nr_seeds,
			      plan->nr_seeds == 1 ? "" : "s",
			      plan->nr_variants > 1 ? "; x: against the fewest CPUs; vs: against the first variant"
						    : "; x: against the fewest CPUs");
	struct qr_lab_cpus cpus = all_cpus(plan);

	qr_table_add_column(table, NULL, "CPUs", false);
	for (unsigned i = 0; i < plan->nr_variants; i++) {
		const char *label = plan->variants[i].label;

		qr_table_add_column(table, label, "median", false);
		qr_table_add_column(table, label, "min - max", false);
		qr_table_add_column(table, label, "x", false);
		if (i)
			qr_table_add_column(table, label, "vs", false);
	}
	for (unsigned at = 0; at < cpus.nr; at++) {
		qr_table_add_row(table, false);
		qr_table_put(table, "%u", cpus.cpus[at]);
		for (unsigned i = 0; i < plan->nr_variants; i++)
			put_point(table, plan, i, cpus.cpus[at]);
	}
	free(cpus.cpus);
	return table;
}

static void put_point(struct qr_table *table, const struct qr_lab_plan *plan, unsigned variant, uint32_t cpus)
{
	struct qr_lab_point point = find_point(plan, &plan->variants[variant], cpus);
	struct qr_lab_point fewest = qr_lab_point_of(plan, &plan->variants[variant], 0);
	struct qr_lab_point first = find_point(plan, &plan->variants[0], cpus);
	char median[QR_LAB_NUMBER_MAX], min[QR_LAB_NUMBER_MAX], max[QR_LAB_NUMBER_MAX];

	if (!point.nr) {
		qr_table_put(table, "-");
		qr_table_put(table, "-");
		qr_table_put(table, "-");
		if (variant)
			qr_table_put(table, "-");
		return;
	}
	qr_table_put(table, "%s", qr_lab_format_rate(median, point.median));
	qr_table_put(table, "%s - %s", qr_lab_format_rate(min, point.min), qr_lab_format_rate(max, point.max));
	if (fewest.nr && fewest.median > 0)
		qr_table_put(table, "%.2f", point.median / fewest.median);
	else
		qr_table_put(table, "-");
	if (!variant)
		return;
	if (first.nr && first.median > 0)
		qr_table_put(table, "%.2f", point.median / first.median);
	else
		qr_table_put(table, "-");
}

static struct qr_lab_point find_point(const struct qr_lab_plan *plan, const struct qr_lab_variant *variant,
				      uint32_t cpus)
{
	for (unsigned at = 0; at < variant->cpus.nr; at++) {
		if (variant->cpus.cpus[at] == cpus)
			return qr_lab_point_of(plan, variant, at);
	}
	return (struct qr_lab_point){0};
}

/* Machines of different sizes have different lists: the union, ascending. */
static struct qr_lab_cpus all_cpus(const struct qr_lab_plan *plan)
{
	bool *is_there = qr_lab_alloc(QR_LAB_MAX_CPUS + 1, sizeof(*is_there));
	struct qr_lab_cpus all = {.cpus = qr_lab_alloc(QR_LAB_MAX_CPUS, sizeof(*all.cpus))};

	for (unsigned i = 0; i < plan->nr_variants; i++) {
		for (unsigned at = 0; at < plan->variants[i].cpus.nr; at++)
			is_there[plan->variants[i].cpus.cpus[at]] = true;
	}
	for (uint32_t cpus = 1; cpus <= QR_LAB_MAX_CPUS; cpus++) {
		if (is_there[cpus])
			all.cpus[all.nr++] = cpus;
	}
	free(is_there);
	return all;
}

struct qr_table *qr_lab_table_locks(const struct qr_lab_cell *cell, const char *label)
{
	struct qr_table *table = qr_table_make("Locks at %u CPU%s, seed %llu: %s", cell->cpus,
					       cell->cpus == 1 ? "" : "s", (unsigned long long)cell->seed, label);
	json_t *sorted = sort_locks(json_object_get(cell->result, "locks"));
	const json_t *lock;
	size_t i;

	qr_table_add_column(table, NULL, "UTIL", false);
	qr_table_add_column(table, NULL, "CON", false);
	qr_table_add_column(table, "HOLD", "MEAN", false);
	qr_table_add_column(table, "HOLD", "MAX", false);
	qr_table_add_column(table, "WAIT", "MEAN", false);
	qr_table_add_column(table, "WAIT", "MAX", false);
	qr_table_add_column(table, NULL, "% CPU", false);
	qr_table_add_column(table, NULL, "TOTAL", false);
	qr_table_add_column(table, NULL, "NOWAIT", false);
	qr_table_add_column(table, NULL, "SPIN", false);
	qr_table_add_column(table, NULL, "NAME", true);
	json_array_foreach(sorted, i, lock)
	{
		qr_table_add_row(table, *qr_lab_string(lock, "site") != '\0');
		put_lock(table, lock);
	}
	json_decref(sorted);
	return table;
}

static void put_lock(struct qr_table *table, const json_t *lock)
{
	double total = qr_lab_number(lock, "total");
	double per = total > 0 ? 100 / total : 0;
	char number[QR_LAB_NUMBER_MAX], count[QR_CLI_NUMBER_MAX];
	const char *site = qr_lab_string(lock, "site");

	qr_table_put(table, "%.1f%%", qr_lab_number(lock, "use_percent"));
	qr_table_put(table, "%.1f%%", qr_lab_number(lock, "contended_percent"));
	qr_table_put(table, "%s", qr_lab_format_ns(number, qr_lab_number(lock, "hold_mean_ns")));
	qr_table_put(table, "%s", qr_lab_format_ns(number, qr_lab_number(lock, "hold_max_ns")));
	qr_table_put(table, "%s", qr_lab_format_ns(number, qr_lab_number(lock, "wait_mean_ns")));
	qr_table_put(table, "%s", qr_lab_format_ns(number, qr_lab_number(lock, "wait_max_ns")));
	qr_table_put(table, "%.2f%%", qr_lab_number(lock, "cpu_percent"));
	qr_table_put(table, "%s", qr_cli_format_count(count, (uint64_t)total));
	qr_table_put(table, "%.1f%%", qr_lab_number(lock, "nowait") * per);
	qr_table_put(table, "%.1f%%", qr_lab_number(lock, "spin") * per);
	qr_table_put(table, "%s", *site ? site : qr_lab_string(lock, "name"));
}

/* Locks by the CPU time that waiting for them cost, each with its sites in the same order. A lock with one site only
 * would say everything twice, but the site's name says who takes it. */
static json_t *sort_locks(const json_t *locks)
{
	json_t *sorted = json_array(), *left = json_array();
	const json_t *lock;
	size_t i;

	json_array_foreach(locks, i, lock)
	{
		if (!*qr_lab_string(lock, "site") && qr_lab_number(lock, "total") > 0)
			(void)json_array_append(left, (json_t *)(uintptr_t)lock);
	}
	while (json_array_size(left)) {
		size_t best = 0;

		json_array_foreach(left, i, lock)
		{
			const json_t *leader = json_array_get(left, best);
			double ahead = qr_lab_number(lock, "cpu_percent") - qr_lab_number(leader, "cpu_percent");

			if (ahead > 0 ||
			    (!(ahead < 0) && qr_lab_number(lock, "total") > qr_lab_number(leader, "total")))
				best = i;
		}
		(void)json_array_append(sorted, json_array_get(left, best));
		json_array_foreach(locks, i, lock)
		{
			if (*qr_lab_string(lock, "site") && qr_lab_number(lock, "total") > 0 &&
			    !strcmp(qr_lab_string(lock, "name"), qr_lab_string(json_array_get(left, best), "name")))
				(void)json_array_append(sorted, (json_t *)(uintptr_t)lock);
		}
		(void)json_array_remove(left, best);
	}
	json_decref(left);
	return sorted;
}

struct qr_table *qr_lab_table_lines(const struct qr_lab_cell *cell, const char *label)
{
	struct qr_table *table = qr_table_make("Cache lines that CPUs took from each other, at %u CPUs, seed %llu: %s",
					       cell->cpus, (unsigned long long)cell->seed, label);
	char number[QR_LAB_NUMBER_MAX];
	const json_t *line;
	size_t i;

	qr_table_add_column(table, NULL, "MISSES", false);
	qr_table_add_column(table, NULL, "INVALIDATIONS", false);
	qr_table_add_column(table, NULL, "CPUS", false);
	qr_table_add_column(table, NULL, "SYMBOL", true);
	qr_table_add_column(table, NULL, "FIELD", true);
	qr_table_add_column(table, NULL, "MOST OFTEN AT", true);
	json_array_foreach(json_object_get(cell->result, "lines"), i, line)
	{
		qr_table_add_row(table, false);
		qr_table_put(table, "%s", qr_lab_format_rate(number, qr_lab_number(line, "misses")));
		qr_table_put(table, "%s", qr_lab_format_rate(number, qr_lab_number(line, "invalidations")));
		qr_table_put(table, "%.0f", qr_lab_number(line, "cpus"));
		qr_table_put(table, "%s", qr_lab_string(line, "symbol"));
		qr_table_put(table, "%s", qr_lab_string(line, "field"));
		qr_table_put(table, "%s", qr_lab_string(line, "site"));
	}
	return table;
}

struct qr_table *qr_lab_table_counters(const struct qr_lab_plan *plan)
{
	struct qr_table *table = qr_table_make("Counters of each variant's largest cell (those that counted)");
	char number[QR_CLI_NUMBER_MAX];
	json_t *names = json_object();
	const char *name;
	json_t *unused;

	qr_table_add_column(table, NULL, "counter", true);
	for (unsigned i = 0; i < plan->nr_variants; i++) {
		const struct qr_lab_cell *cell = qr_lab_largest_of(plan, &plan->variants[i]);

		qr_table_add_column(table, NULL, plan->variants[i].label, false);
		if (cell)
			(void)json_object_update_missing(names, json_object_get(cell->result, "counters"));
	}
	json_object_foreach(names, name, unused)
	{
		if (!has_counted(plan, name))
			continue;
		qr_table_add_row(table, false);
		qr_table_put(table, "%s", name);
		for (unsigned i = 0; i < plan->nr_variants; i++) {
			const struct qr_lab_cell *cell = qr_lab_largest_of(plan, &plan->variants[i]);
			const json_t *counters = cell ? json_object_get(cell->result, "counters") : NULL;

			qr_table_put(table, "%s", qr_cli_format_count(number, (uint64_t)qr_lab_number(counters, name)));
		}
	}
	json_decref(names);
	return table;
}

static bool has_counted(const struct qr_lab_plan *plan, const char *counter)
{
	for (unsigned i = 0; i < plan->nr_variants; i++) {
		const struct qr_lab_cell *cell = qr_lab_largest_of(plan, &plan->variants[i]);

		if (cell && qr_lab_number(json_object_get(cell->result, "counters"), counter) > 0)
			return true;
	}
	return false;
}

struct qr_table *qr_lab_table_machine(const struct qr_lab_machine *machine)
{
	struct qr_table *table = qr_table_make("%s: %s", machine->label, machine->help);
	const json_t *param;
	size_t i;

	qr_table_add_column(table, NULL, "parameter", true);
	qr_table_add_column(table, NULL, "value", false);
	qr_table_add_column(table, NULL, "rests on", true);
	json_array_foreach(machine->params, i, param)
	{
		if (!strcmp(qr_lab_name_of(param), "title"))
			continue;
		qr_table_add_row(table, false);
		qr_table_put(table, "%s", qr_lab_name_of(param));
		qr_table_put(table, "%s", qr_lab_string(param, "value"));
		qr_table_put(table, "%s", qr_lab_string(param, "tag"));
	}
	return table;
}

double qr_lab_wait_percent(const struct qr_lab_cell *cell)
{
	double percent = 0;
	const json_t *lock;
	size_t i;

	json_array_foreach(json_object_get(cell->result, "locks"), i, lock)
	{
		if (!*qr_lab_string(lock, "site"))
			percent += qr_lab_number(lock, "cpu_percent");
	}
	return percent;
}
