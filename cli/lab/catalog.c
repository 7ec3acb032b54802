/* The catalogue: `quire-lab-cell list --json`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "lab/catalog.h"
#include "lab/words.h"

static bool is_named_list(const json_t *list);
static void print_machines(const json_t *machines);
static void print_workloads(const json_t *workloads);
static void print_params(const json_t *workloads, const json_t *params, bool are_common, int indent);
static bool is_common(const json_t *workloads, const char *param);
static void print_choices(const json_t *choices);
static int longest_name(const json_t *list);

int qr_catalog_load(const struct qr_runner *runner, struct qr_catalog *catalog)
{
	static const char *const argv[] = {"quire-lab-cell", "list", "--json", NULL};

	memset(catalog, 0, sizeof(*catalog));
	catalog->root = qr_runner_ask(runner, argv);
	if (!catalog->root)
		return QR_EXIT_FAILED;
	catalog->workloads = json_object_get(catalog->root, "workloads");
	catalog->machines = json_object_get(catalog->root, "machines");
	catalog->choices = json_object_get(catalog->root, "choices");
	if (!is_named_list(catalog->workloads) || !is_named_list(catalog->machines) ||
	    !is_named_list(catalog->choices)) {
		qr_cli_say("lab: %s list does not name workloads, machines and choices; it is of another version",
			   runner->path);
		qr_catalog_free(catalog);
		return QR_EXIT_FAILED;
	}
	return 0;
}

static bool is_named_list(const json_t *list)
{
	const json_t *entry;
	size_t i;

	if (!json_is_array(list))
		return false;
	json_array_foreach(list, i, entry)
	{
		if (!json_is_string(json_object_get(entry, "name")))
			return false;
	}
	return true;
}

void qr_catalog_free(struct qr_catalog *catalog)
{
	json_decref(catalog->root);
	memset(catalog, 0, sizeof(*catalog));
}

const json_t *qr_catalog_find(const json_t *list, const char *name)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(list, i, entry)
	{
		if (!strcmp(qr_lab_name_of(entry), name))
			return entry;
	}
	return NULL;
}

bool qr_catalog_has_value(const json_t *choice, const char *value)
{
	const json_t *values = json_object_get(choice, "values");

	return !json_array_size(values) || qr_catalog_find(values, value);
}

void qr_catalog_say_unknown(const char *kind, const char *name, const json_t *list)
{
	const char *nearest = qr_lab_nearest(list, name);
	char *names = qr_lab_join_names(list);

	qr_cli_say("lab: unknown %s '%s'%s%s%s There is %s", kind, name, nearest ? "; did you mean '" : "",
		   nearest ? nearest : "", nearest ? "'?" : ".", names);
	free(names);
}

void qr_catalog_print(const struct qr_catalog *catalog)
{
	print_workloads(catalog->workloads);
	print_machines(catalog->machines);
	print_choices(catalog->choices);
}

static void print_workloads(const json_t *workloads)
{
	int width = longest_name(workloads);
	const json_t *entry;
	size_t i;

	(void)printf("Workloads (parameters by --param NAME=VALUE; the default is in brackets):\n");
	json_array_foreach(workloads, i, entry)
	{
		(void)printf("  %-*s  %s\n", width, qr_lab_name_of(entry), qr_lab_string(entry, "help"));
		print_params(workloads, json_object_get(entry, "params"), false, width);
	}
	(void)printf("  %-*s\n", width, "all of them");
	print_params(workloads, json_object_get(json_array_get(workloads, 0), "params"), true, width);
}

/* Those that every workload has, or the others. */
static void print_params(const json_t *workloads, const json_t *params, bool are_common, int indent)
{
	int width = longest_name(params);
	const json_t *param;
	size_t i;

	json_array_foreach(params, i, param)
	{
		const json_t *value = json_object_get(param, "default");
		char *text;

		if (is_common(workloads, qr_lab_name_of(param)) != are_common)
			continue;
		text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);
		(void)printf("  %*s    %-*s  %s [%s]\n", indent, "", width, qr_lab_name_of(param),
			     qr_lab_string(param, "help"), text ? text : qr_lab_string(param, "default"));
		free(text);
	}
}

static bool is_common(const json_t *workloads, const char *param)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(workloads, i, entry)
	{
		if (!qr_catalog_find(json_object_get(entry, "params"), param))
			return false;
	}
	return true;
}

static void print_machines(const json_t *machines)
{
	int width = longest_name(machines);
	const json_t *entry;
	size_t i;

	(void)printf("\nMachines (--machine NAME, or a file of the same form):\n");
	json_array_foreach(machines, i, entry)(void)
		printf("  %-*s  %4.0f CPUs, %2.0f nodes, %5g GiB: %s\n", width, qr_lab_name_of(entry),
		       qr_lab_number(entry, "cpus"), qr_lab_number(entry, "nodes"), qr_lab_number(entry, "ram_gib"),
		       qr_lab_string(entry, "help"));
}

static void print_choices(const json_t *choices)
{
	int width = longest_name(choices);
	const json_t *entry, *value;
	size_t i, j;

	(void)printf("\nMechanisms and their choices (--NAME CHOICE,...):\n");
	json_array_foreach(choices, i, entry)
	{
		(void)printf("  --%-*s ", width, qr_lab_name_of(entry));
		json_array_foreach(json_object_get(entry, "values"), j, value)
		{
			bool is_default = !strcmp(qr_lab_name_of(value), qr_lab_string(entry, "default"));

			(void)printf(is_default ? " [%s]" : " %s", qr_lab_name_of(value));
		}
		(void)putchar('\n');
		if (*qr_lab_string(entry, "help"))
			(void)printf("  %*s    %s\n", width, "", qr_lab_string(entry, "help"));
	}
}

static int longest_name(const json_t *list)
{
	size_t longest = 0, i;
	const json_t *entry;

	json_array_foreach(list, i, entry) longest = QR_MAX(longest, strlen(qr_lab_name_of(entry)));
	return (int)longest;
}
