/* Cells for claims. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "claims/bench.h"
#include "lab/words.h"

static const char *find_lack(const struct qr_bench *bench, const struct qr_query *query, char lack[256]);
static bool has_pairs(const json_t *list, const char *pairs, bool has_values, char lack[256]);
static json_t *parse_pairs(const char *pairs);
static bool lay_out(struct qr_bench *bench, const struct qr_query *query, struct qr_bench_run *run);
static void take_failure(struct qr_bench *bench, struct qr_lab_cell **cells, unsigned nr, struct qr_answer *answer);
static bool write_scaled(const struct qr_lab_machine *machine, const char *path, const char *const *prefixes,
			 double factor);

void qr_bench_open(struct qr_bench *bench, uint32_t nr_seeds, uint32_t nr_jobs, bool is_uncached, bool is_quiet)
{
	memset(bench, 0, sizeof(*bench));
	bench->has_lab = !qr_runner_find(&bench->runner) && !qr_catalog_load(&bench->runner, &bench->catalog);
	bench->nr_seeds = nr_seeds;
	qr_lab_cache_open(&bench->cache, is_uncached);
	bench->pool = (struct qr_lab_pool){
		.runner = &bench->runner,
		.cache = &bench->cache,
		.nr_jobs = nr_jobs,
		.is_quiet = is_quiet,
		.keeps_errors = true,
	};
}

void qr_bench_close(struct qr_bench *bench)
{
	if (bench->has_lab)
		qr_catalog_free(&bench->catalog);
}

bool qr_bench_run(struct qr_bench *bench, const struct qr_query *queries, unsigned nr, struct qr_bench_run *runs,
		  struct qr_answer *answer)
{
	struct qr_lab_cell **cells = qr_lab_alloc((size_t)nr * bench->nr_seeds, sizeof(*cells));
	char lack[256];
	int status;

	memset(runs, 0, nr * sizeof(*runs));
	for (unsigned i = 0; i < nr; i++) {
		const char *reason = find_lack(bench, &queries[i], lack);
		char *command;

		if (reason || !lay_out(bench, &queries[i], &runs[i])) {
			qr_answer_note(answer, "%s", reason ? reason : "the machine's file cannot be read");
			free(cells);
			return false;
		}
		for (uint32_t seed = 0; seed < bench->nr_seeds; seed++)
			cells[i * bench->nr_seeds + seed] = &runs[i].cells[seed];
		command = qr_lab_cell_command(&bench->runner, &runs[i].cells[0]);
		(void)json_array_append_new(answer->basis, json_string(command));
		free(command);
	}
	status = qr_lab_pool_run(&bench->pool, cells, nr * bench->nr_seeds);
	if (status)
		take_failure(bench, cells, nr * bench->nr_seeds, answer);
	if (status > 128)
		bench->signal = status - 128;
	free(cells);
	return !status;
}

/* What the lab does not have of all that a query names; NULL: nothing. */
static const char *find_lack(const struct qr_bench *bench, const struct qr_query *query, char lack[256])
{
	const json_t *workload, *machine;

	if (!bench->has_lab)
		return "the lab is not there";
	workload = qr_catalog_find(bench->catalog.workloads, query->workload);
	machine = qr_catalog_find(bench->catalog.machines, query->machine);
	if (!workload)
		(void)snprintf(lack, 256, "the lab has no workload '%s'", query->workload);
	else if (!machine && access(query->machine, R_OK))
		(void)snprintf(lack, 256, "the lab has no machine '%s'", query->machine);
	else if (machine && qr_lab_number(machine, "cpus") < query->cpus)
		(void)snprintf(lack, 256, "machine '%s' has fewer than %u CPUs", query->machine, query->cpus);
	else if (has_pairs(bench->catalog.choices, query->settings, true, lack) &&
		 has_pairs(json_object_get(workload, "params"), query->params, false, lack))
		return NULL;
	return lack;
}

static bool has_pairs(const json_t *list, const char *pairs, bool has_values, char lack[256])
{
	json_t *object = parse_pairs(pairs);
	bool is_there = true;
	const char *name;
	json_t *value;

	json_object_foreach(object, name, value)
	{
		const json_t *entry = qr_catalog_find(list, name);

		if (!entry || (has_values && !qr_catalog_has_value(entry, qr_lab_name_of(value)))) {
			(void)snprintf(lack, 256, "the lab has no %s '%s=%s'", has_values ? "mechanism" : "parameter",
				       name, qr_lab_name_of(value));
			is_there = false;
			break;
		}
	}
	json_decref(object);
	return is_there;
}

/* "a=b c=d" as an object of strings. */
static json_t *parse_pairs(const char *pairs)
{
	char *copy = qr_lab_format("%s", pairs ? pairs : ""), *rest = copy, *word;
	json_t *object = json_object();

	while ((word = strsep(&rest, " ")) != NULL) {
		char *value = strchr(word, '=');

		if (!value)
			continue;
		*value++ = '\0';
		(void)json_object_set_new(object, word, json_string(value));
	}
	free(copy);
	return object;
}

static bool lay_out(struct qr_bench *bench, const struct qr_query *query, struct qr_bench_run *run)
{
	json_t *settings, *params;

	if (qr_lab_machine_find(&bench->catalog, query->machine, &run->machine))
		return false;
	settings = parse_pairs(query->settings);
	params = parse_pairs(query->params);
	run->cells = qr_lab_alloc(bench->nr_seeds, sizeof(*run->cells));
	for (uint32_t seed = 0; seed < bench->nr_seeds; seed++)
		run->cells[seed] = (struct qr_lab_cell){
			.workload = query->workload,
			.machine = &run->machine,
			.settings = json_incref(settings),
			.params = json_incref(params),
			.ms = query->ms,
			.seed = seed + 1,
			.cpus = query->cpus,
		};
	json_decref(settings);
	json_decref(params);
	return true;
}

static void take_failure(struct qr_bench *bench, struct qr_lab_cell **cells, unsigned nr, struct qr_answer *answer)
{
	answer->has_failed = true;
	for (unsigned i = 0; i < nr; i++) {
		char *command;

		if (cells[i]->state != QR_LAB_FAILED)
			continue;
		command = qr_lab_cell_command(&bench->runner, cells[i]);
		qr_answer_note(answer, "a cell failed: %s; to run it alone: %s", cells[i]->error, command);
		free(command);
		return;
	}
	qr_answer_note(answer, "interrupted");
}

void qr_bench_free_runs(const struct qr_bench *bench, struct qr_bench_run *runs, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		for (uint32_t seed = 0; runs[i].cells && seed < bench->nr_seeds; seed++) {
			json_decref(runs[i].cells[seed].settings);
			json_decref(runs[i].cells[seed].params);
			json_decref(runs[i].cells[seed].result);
			free(runs[i].cells[seed].error);
		}
		free(runs[i].cells);
		qr_lab_machine_free(&runs[i].machine);
	}
}

char *qr_bench_scale_machine(const struct qr_bench *bench, const char *name, const char *const *prefixes, double factor)
{
	struct qr_lab_machine machine;
	char *path = NULL;

	if (qr_lab_machine_find(&bench->catalog, name, &machine))
		return NULL;
	if (machine.path && bench->cache.folder[0] && !qr_lab_make_folder(bench->cache.folder)) {
		path = qr_lab_format("%s/%s-%s%.0f.machine", bench->cache.folder, name, prefixes[0], factor * 100);
		if (!write_scaled(&machine, path, prefixes, factor)) {
			free(path);
			path = NULL;
		}
	}
	qr_lab_machine_free(&machine);
	return path;
}

/* Under a name of its own first: a cell of another process may read the old one. */
static bool write_scaled(const struct qr_lab_machine *machine, const char *path, const char *const *prefixes,
			 double factor)
{
	char *draft = qr_lab_format("%s.%ld", path, (long)getpid());
	FILE *file = fopen(draft, "we");
	bool is_written = file != NULL;
	const json_t *param;
	size_t i;

	json_array_foreach(machine->params, i, param)
	{
		const char *value = qr_lab_string(param, "value");
		bool is_scaled = false;

		for (const char *const *prefix = prefixes; *prefix; prefix++)
			is_scaled = is_scaled || !strncmp(qr_lab_name_of(param), *prefix, strlen(*prefix));
		if (!is_written)
			break;
		if (is_scaled)
			(void)fprintf(file, "%s = %g  # assumed\n", qr_lab_name_of(param),
				      strtod(value, NULL) * factor);
		else
			(void)fprintf(file, "%s = %s%s%s\n", qr_lab_name_of(param), value,
				      *qr_lab_string(param, "tag") ? "  # " : "", qr_lab_string(param, "tag"));
	}
	if (file && (fclose(file) || rename(draft, path)))
		is_written = false;
	free(draft);
	return is_written;
}
