/* The command line of `quire lab WORKLOAD`. Each mechanism of the catalogue is an option: --mmap-lock rwsem,vma. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "lab/request.h"
#include "lab/words.h"
#include "options.h"

enum { OPTION_CHOICE = 1000 }; /* and up: index of the mechanism */

static const struct option fixed[] = {
	{"cpus", required_argument, NULL, 'c'},   {"machine", required_argument, NULL, 'm'},
	{"param", required_argument, NULL, 'p'},  {"seeds", required_argument, NULL, 's'},
	{"ms", required_argument, NULL, 't'},     {"jobs", required_argument, NULL, 'J'},
	{"json", no_argument, NULL, 'j'},         {"svg", required_argument, NULL, 'S'},
	{"report", required_argument, NULL, 'R'}, {"no-cache", no_argument, NULL, 'n'},
	{"quiet", no_argument, NULL, 'q'},
};
#define SHORT_OPTIONS ":jq"

static struct option *list_options(const struct qr_catalog *catalog);
static bool take_option(struct qr_lab_request *request, const struct qr_catalog *catalog, int letter,
			const char *value);
static bool take_number(const char *option, const char *value, uint64_t most, uint64_t *number);
static bool take_machines(struct qr_lab_request *request, const struct qr_catalog *catalog, const char *value);
static bool take_choice(struct qr_lab_request *request, const json_t *choice, const char *value);
static bool take_param(struct qr_lab_request *request, const char *value);
static bool finish(struct qr_lab_request *request, const struct qr_catalog *catalog, char **operands);
static bool check_params(const struct qr_lab_request *request);
static json_t *split(const char *list);

int qr_lab_request_parse(int argc, char **argv, const struct qr_catalog *catalog, struct qr_lab_request *request)
{
	struct option *options = list_options(catalog);
	bool is_right = true;
	int letter;

	memset(request, 0, sizeof(*request));
	request->machines = json_array();
	request->settings = json_object();
	request->params = json_object();
	request->nr_seeds = QR_LAB_DEFAULT_SEEDS;
	request->nr_jobs = QR_LAB_DEFAULT_JOBS;
	request->words = qr_lab_alloc((size_t)argc + 1, sizeof(*request->words));
	/* getopt_long(3) moves operands behind options; the command is repeated as it was given. */
	memcpy(request->words, argv, (size_t)argc * sizeof(*argv));
	optind = 0;
	opterr = 0;
	while (is_right && (letter = getopt_long(argc, argv, SHORT_OPTIONS, options, NULL)) != -1) {
		is_right = letter != '?' && letter != ':';
		if (!is_right)
			qr_options_say_bad(letter, argv, options);
		is_right = is_right && take_option(request, catalog, letter, optarg);
	}
	free(options);
	if (is_right && finish(request, catalog, argv + optind))
		return 0;
	qr_lab_request_free(request);
	return QR_EXIT_FAILED;
}

void qr_lab_request_free(struct qr_lab_request *request)
{
	json_decref(request->machines);
	json_decref(request->settings);
	json_decref(request->params);
	free(request->cpus.cpus);
	free(request->words);
	memset(request, 0, sizeof(*request));
}

static struct option *list_options(const struct qr_catalog *catalog)
{
	size_t nr = QR_ARRAY_SIZE(fixed), i;
	struct option *options = qr_lab_alloc(nr + json_array_size(catalog->choices) + 1, sizeof(*options));
	const json_t *choice;

	memcpy(options, fixed, sizeof(fixed));
	json_array_foreach(catalog->choices, i, choice) options[nr + i] =
		(struct option){qr_lab_name_of(choice), required_argument, NULL, OPTION_CHOICE + (int)i};
	return options;
}

static bool take_option(struct qr_lab_request *request, const struct qr_catalog *catalog, int letter, const char *value)
{
	uint64_t number = 0;
	bool is_right = true;

	switch (letter) {
	case 'c':
		free(request->cpus.cpus);
		return qr_lab_cpus_parse(value, &request->cpus);
	case 'm':
		return take_machines(request, catalog, value);
	case 'p':
		return take_param(request, value);
	case 's':
		is_right = take_number("--seeds", value, QR_LAB_MAX_SEEDS, &number);
		request->nr_seeds = (uint32_t)number;
		return is_right;
	case 't':
		return take_number("--ms", value, 1000000, &request->ms);
	case 'J':
		is_right = take_number("--jobs", value, QR_LAB_MAX_JOBS, &number);
		request->nr_jobs = (uint32_t)number;
		return is_right;
	case 'j':
		request->is_json = true;
		return true;
	case 'S':
		request->svg = value;
		return true;
	case 'R':
		request->report = value;
		return true;
	case 'n':
		request->is_uncached = true;
		return true;
	case 'q':
		request->is_quiet = true;
		return true;
	default:
		return take_choice(request, json_array_get(catalog->choices, (size_t)(letter - OPTION_CHOICE)), value);
	}
}

static bool take_number(const char *option, const char *value, uint64_t most, uint64_t *number)
{
	if (qr_lab_parse_number(value, most, number))
		return true;
	qr_cli_say("lab: %s %s is not a number from 1 to %llu", option, value, (unsigned long long)most);
	return false;
}

/* A name of the catalogue, else a file. */
static bool take_machines(struct qr_lab_request *request, const struct qr_catalog *catalog, const char *value)
{
	json_t *names = split(value), *name;
	size_t i;

	json_array_foreach(names, i, name)
	{
		const char *word = qr_lab_name_of(name);

		if (!qr_catalog_find(catalog->machines, word) && access(word, R_OK)) {
			if (strchr(word, '/') || strstr(word, ".machine"))
				qr_cli_say("lab: machine file %s cannot be read", word);
			else
				qr_catalog_say_unknown("machine", word, catalog->machines);
			json_decref(names);
			return false;
		}
		(void)json_array_append(request->machines, name);
	}
	json_decref(names);
	return true;
}

static bool take_choice(struct qr_lab_request *request, const json_t *choice, const char *value)
{
	const json_t *values = json_object_get(choice, "values");
	json_t *wanted = split(value), *word;
	size_t i;

	json_array_foreach(wanted, i, word)
	{
		char kind[128];

		if (qr_catalog_has_value(choice, qr_lab_name_of(word)))
			continue;
		(void)snprintf(kind, sizeof(kind), "choice of --%s", qr_lab_name_of(choice));
		qr_catalog_say_unknown(kind, qr_lab_name_of(word), values);
		json_decref(wanted);
		return false;
	}
	(void)json_object_set_new(request->settings, qr_lab_name_of(choice), wanted);
	return true;
}

static bool take_param(struct qr_lab_request *request, const char *value)
{
	const char *equals = strchr(value, '=');
	char *name;

	if (!equals || equals == value || !equals[1]) {
		qr_cli_say("lab: --param %s is not of the form NAME=VALUE", value);
		return false;
	}
	name = qr_lab_format("%.*s", (int)(equals - value), value);
	(void)json_object_set_new(request->params, name, split(equals + 1));
	free(name);
	return true;
}

static bool finish(struct qr_lab_request *request, const struct qr_catalog *catalog, char **operands)
{
	const json_t *machine, *largest = NULL;
	size_t i;

	if (!operands[0]) {
		char *names = qr_lab_join_names(catalog->workloads);

		qr_cli_say("lab: which workload? There is %s; see: quire lab --help", names);
		free(names);
		return false;
	}
	if (operands[1]) {
		qr_cli_say("lab: '%s' is too much; see: quire lab --help", operands[1]);
		return false;
	}
	request->workload = qr_catalog_find(catalog->workloads, operands[0]);
	if (!request->workload) {
		qr_catalog_say_unknown("workload", operands[0], catalog->workloads);
		return false;
	}
	json_array_foreach(catalog->machines, i, machine)
	{
		if (qr_lab_number(machine, "cpus") > qr_lab_number(largest, "cpus"))
			largest = machine;
	}
	if (!json_array_size(request->machines))
		(void)json_array_append_new(request->machines, json_string(qr_lab_name_of(largest)));
	return check_params(request);
}

static bool check_params(const struct qr_lab_request *request)
{
	const json_t *known = json_object_get(request->workload, "params");
	const char *name;
	json_t *values;

	json_object_foreach(request->params, name, values)
	{
		char kind[256];

		if (qr_catalog_find(known, name))
			continue;
		(void)snprintf(kind, sizeof(kind), "parameter of workload %s", qr_lab_name_of(request->workload));
		qr_catalog_say_unknown(kind, name, known);
		return false;
	}
	return true;
}

/* "a,b" as an array of strings without repetition. */
static json_t *split(const char *list)
{
	char *copy = qr_lab_format("%s", list), *rest = copy, *word;
	json_t *words = json_array();

	while ((word = strsep(&rest, ",")) != NULL) {
		if (!qr_catalog_find(words, word))
			(void)json_array_append_new(words, json_string(word));
	}
	free(copy);
	return words;
}
