/* quire-lab-cell: runs one cell of an experiment on a simulated machine. `quire lab` runs many of them. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <unistd.h>

#include "options.h"
#include "report.h"
#include "validate.h"

static const char usage[] =
	"usage: quire-lab-cell list [--json]\n"
	"       quire-lab-cell run --workload NAME [--machine NAME|FILE] [--cpus N] [--seed N] [--ms VIRTUAL_MS]\n"
	"                          [--set MECHANISM=VALUE]... [--param NAME=VALUE]... [--trace]\n"
	"       quire-lab-cell validate [--json] [--quick]\n"
	"       quire-lab-cell calibrate [--json]\n"
	"\n"
	"Runs one cell of an experiment: the manager's own code on a simulated machine. Prints one JSON object.\n"
	"validate compares simulated CPUs with the host's own two; calibrate measures those.\n"
	"Exit status: 0; 1 the run failed (the reason is on the standard error output); 2 wrong usage.\n";

/* The same addresses in every run, for the functions and the libraries as well. */
static void fix_addresses(char **argv)
{
	int persona = personality(0xffffffff);

	if (persona < 0 || persona & ADDR_NO_RANDOMIZE || personality((unsigned long)persona | ADDR_NO_RANDOMIZE) < 0)
		return; /* not permitted: what is modelled lies at fixed addresses all the same */
	(void)execv("/proc/self/exe", argv);
}

static int run(int argc, char **argv)
{
	struct qr_cell cell;
	struct qr_result result;

	qr_options_cell(argc, argv, &cell);
	qr_run_cell(&cell, &result);
	qr_report_cell(&cell, &result);
	return 0;
}

static bool has_flag(int argc, char **argv, const char *flag)
{
	for (int i = 2; i < argc; i++) {
		if (!strcmp(argv[i], flag))
			return true;
	}
	return false;
}

/* What follows a command may only be flags of its own. */
static void check_flags(int argc, char **argv, const char *other)
{
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--json") && (!other || strcmp(argv[i], other)))
			qr_options_fail("%s does not take '%s'", argv[1], argv[i]);
	}
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	if (!strcmp(command, "--help") || !strcmp(command, "help")) {
		fputs(usage, stdout);
		return 0;
	}
	if (!strcmp(command, "list")) {
		check_flags(argc, argv, NULL);
		qr_report_list(has_flag(argc, argv, "--json"));
		return 0;
	}
	if (!strcmp(command, "validate")) {
		check_flags(argc, argv, "--quick");
		return qr_validate(has_flag(argc, argv, "--json"), has_flag(argc, argv, "--quick"));
	}
	if (!strcmp(command, "calibrate")) {
		check_flags(argc, argv, NULL);
		return qr_calibrate(has_flag(argc, argv, "--json"));
	}
	if (!strcmp(command, "run")) {
		fix_addresses(argv);
		return run(argc - 2, argv + 2);
	}
	fputs(usage, stderr);
	return QR_EXIT_USAGE;
}
