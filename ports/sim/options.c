/* Arguments of `quire-lab-cell run`. */
#include "options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "params.h"

#define DEFAULT_RUN_MS 5.0
#define MAX_RUN_MS 100000.0
/* Caches fill and CPUs fall out of step before anything is counted. */
#define WARM_SHARE 0.2

static void set_workload(struct qr_cell *cell, const char *name);
static void set_control(struct qr_cell *cell, const char *name);
static void set_param(struct qr_cell *cell, const char *pair);
static void choose(struct qr_choices *choices, const char *pair);
static double number(const char *name, const char *text, double least, double greatest);

static bool is_pair(const char *name)
{
	return !strcmp(name, "--param") || !strcmp(name, "--set");
}

/* The value behind an option, which must be there. */
static const char *value_of(int argc, char **argv, int *at)
{
	if (*at + 1 >= argc)
		qr_options_fail("%s needs a value", argv[*at]);
	return argv[++*at];
}

void qr_options_cell(int argc, char **argv, struct qr_cell *cell)
{
	char error[QR_MACHINE_ERROR_LEN];
	const char *machine = "host", *cpus = NULL, *workload = NULL;
	double run_ms = DEFAULT_RUN_MS;

	memset(cell, 0, sizeof(*cell));
	cell->seed = 1;
	for (int i = 0; i < argc; i++) {
		const char *name = argv[i];

		if (!strcmp(name, "--trace"))
			cell->trace = true;
		else if (!strcmp(name, "--control"))
			set_control(cell, value_of(argc, argv, &i));
		else if (!strcmp(name, "--workload"))
			workload = value_of(argc, argv, &i);
		else if (!strcmp(name, "--machine"))
			machine = value_of(argc, argv, &i);
		else if (!strcmp(name, "--cpus"))
			cpus = value_of(argc, argv, &i);
		else if (!strcmp(name, "--seed"))
			cell->seed = (uint64_t)number(name, value_of(argc, argv, &i), 0, 1e15);
		else if (!strcmp(name, "--ms"))
			run_ms = number(name, value_of(argc, argv, &i), 0.01, MAX_RUN_MS);
		else if (is_pair(name))
			(void)value_of(argc, argv, &i); /* they need the workload: below */
		else
			qr_options_fail("unknown option '%s'; there are: --workload --machine --cpus --seed --ms "
					"--set --param --trace",
					name);
	}
	set_workload(cell, workload);
	if (qr_machine_load(machine, &cell->machine, error))
		qr_options_fail("%s", error);
	cell->nr_cpus = (uint32_t)(cpus ? number("--cpus", cpus, 1, 1e6) : cell->machine.cpus);
	if (cell->nr_cpus > (uint32_t)cell->machine.cpus)
		qr_options_fail("--cpus %u: the machine '%s' has %u", cell->nr_cpus, cell->machine.name,
				(uint32_t)cell->machine.cpus);
	cell->run_ns = (uint64_t)(run_ms * 1e6);
	cell->warm_ns = (uint64_t)(run_ms * 1e6 * WARM_SHARE);
	for (int i = 0; i + 1 < argc; i++) {
		if (!strcmp(argv[i], "--param"))
			set_param(cell, argv[i + 1]);
		else if (!strcmp(argv[i], "--set"))
			choose(&cell->choices, argv[i + 1]);
	}
}

static void set_workload(struct qr_cell *cell, const char *name)
{
	char error[QR_PARAMS_ERROR_LEN];

	cell->workload = qr_params_workload(name, error);
	if (!cell->workload)
		qr_options_fail("%s", error);
	qr_params_defaults(cell->workload->params, cell->texts, cell->values);
	qr_params_defaults(qr_run_common, cell->common_texts, cell->common);
}

/* For the simulation's own tests: not in the usage. */
static void set_control(struct qr_cell *cell, const char *name)
{
	static const char *const names[] = {"none", "shootdown", "lock", "loop", "late", "clearing"};

	for (unsigned i = 0; i < QR_ARRAY_SIZE(names); i++) {
		if (!strcmp(names[i], name)) {
			cell->control = (enum qr_control)i;
			return;
		}
	}
	qr_options_fail("no control '%s'", name);
}

static void set_param(struct qr_cell *cell, const char *pair)
{
	char error[QR_PARAMS_ERROR_LEN], known[QR_PARAMS_ERROR_LEN] = "";
	int err = qr_params_set(cell->workload->params, cell->texts, cell->values, pair, error);

	if (err > 0)
		err = qr_params_set(qr_run_common, cell->common_texts, cell->common, pair, error);
	if (err < 0)
		qr_options_fail("%s", error);
	if (!err)
		return;
	qr_params_names(cell->workload->params, known, sizeof(known));
	qr_params_names(qr_run_common, known, sizeof(known));
	qr_options_fail("the workload '%s' has no parameter '%.*s'; it has:%s", cell->workload->name,
			(int)strcspn(pair, "="), pair, known);
}

static void choose(struct qr_choices *choices, const char *pair)
{
	char error[QR_PARAMS_ERROR_LEN];

	if (qr_params_choose(choices, pair, error))
		qr_options_fail("%s", error);
}

static double number(const char *name, const char *text, double least, double greatest)
{
	char *end;
	double value;

	errno = 0;
	value = strtod(text, &end);
	if (errno || end == text || *end || !(value >= least && value <= greatest))
		qr_options_fail("%s: '%s' is no number from %g to %g", name, text, least, greatest);
	return value;
}

void qr_options_fail(const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "quire-lab-cell: ");
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\n");
	exit(QR_EXIT_USAGE);
}
