/*
 * `quire ctl PID --ram SIZE`: changes the budget of a run in progress. The budget is one word of the domain; processes
 * look at it ten times a second and put out what is too much. What this command adds is to refuse what cannot work,
 * and to wait until the change has happened.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attach.h"
#include "bar.h"
#include "cli.h"
#include "ctl.h"
#include "options.h"

#define FAILED 1
/* Looks at a tree that shrinks; its processes act as often. */
#define LOOK_NS 100000000L
#define DEFAULT_WAIT_SECONDS 60.0

struct ctl_options {
	const char *process;
	uint64_t ram_bytes;
	double wait_seconds; /* 0: do not wait */
	bool is_quiet;
	bool is_help;
};

static bool parse(int argc, char **argv, struct ctl_options *options);
static bool take_option(int letter, struct ctl_options *options);
static bool take_ram(const char *value, struct ctl_options *options);
static bool take_wait(const char *value, struct ctl_options *options);
static bool is_possible(const struct qr_domain *domain, const struct ctl_options *options);
static bool is_below_groups(const struct qr_domain *domain, uint64_t ram_bytes);
static int await(const struct qr_domain *domain, const struct ctl_options *options);
static void say_missed(const struct qr_domain *domain, const struct ctl_options *options);

int qr_cli_ctl(int argc, char **argv)
{
	struct ctl_options options;
	struct qr_domain domain;
	char before[QR_CLI_NUMBER_MAX], after[QR_CLI_NUMBER_MAX];
	uint64_t old_bytes;
	int pid, status = 0;

	if (!parse(argc, argv, &options))
		return QR_EXIT_FAILED;
	if (options.is_help)
		return fputs(qr_cli_help_text("ctl"), stdout) < 0 ? QR_EXIT_FAILED : 0;
	if (!qr_attach_parse_pid(options.process, &pid)) {
		qr_cli_say("ctl: '%s' is not a process number", options.process);
		return QR_EXIT_FAILED;
	}
	if (!qr_attach("ctl", pid, true, &domain))
		return FAILED;
	old_bytes = qr_load_relaxed(&domain.shared->budget_frames) << QR_PAGE_SHIFT;
	if (!is_possible(&domain, &options)) {
		status = FAILED;
	} else {
		qr_domain_set_budget(&domain, options.ram_bytes >> QR_PAGE_SHIFT);
		if (options.wait_seconds > 0)
			status = await(&domain, &options);
		if (!status && !options.is_quiet)
			printf("budget %s, was %s\n", qr_cli_format_bytes(after, options.ram_bytes),
			       qr_cli_format_bytes(before, old_bytes));
	}
	qr_domain_detach(&domain);
	return fflush(stdout) ? FAILED : status;
}

static bool parse(int argc, char **argv, struct ctl_options *options)
{
	static const struct option known[] = {
		{"ram", required_argument, NULL, 'r'},
		{"wait", optional_argument, NULL, 'w'},
		{"quiet", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int letter;

	memset(options, 0, sizeof(*options));
	optind = 0;
	opterr = 0;
	while ((letter = getopt_long(argc, argv, ":r:w::qh", known, NULL)) != -1) {
		if (letter == '?' || letter == ':') {
			qr_options_say_bad(letter, argv, known);
			return false;
		}
		if (!take_option(letter, options))
			return false;
	}
	if (options->is_help)
		return true;
	options->process = argv[optind];
	if (!options->process)
		qr_cli_say("ctl: which process? write its number");
	else if (argv[optind + 1])
		qr_cli_say("ctl: '%s' is too much; see: quire ctl --help", argv[optind + 1]);
	else if (!options->ram_bytes)
		qr_cli_say("ctl: what is to change? write the new budget, as in: quire ctl %s --ram 2G",
			   options->process);
	else
		return true;
	return false;
}

static bool take_option(int letter, struct ctl_options *options)
{
	switch (letter) {
	case 'r':
		return take_ram(optarg, options);
	case 'w':
		return take_wait(optarg, options);
	case 'q':
		options->is_quiet = true;
		return true;
	default:
		options->is_help = true;
		return true;
	}
}

static bool take_ram(const char *value, struct ctl_options *options)
{
	if (!qr_options_parse_size(value, &options->ram_bytes)) {
		qr_cli_say("ctl: --ram %s is not a size; write it like 512M, 2G or 1.5GiB", value);
		return false;
	}
	options->ram_bytes &= QR_PAGE_MASK;
	if (options->ram_bytes < QR_RAM_MIN) {
		qr_cli_say("ctl: --ram %s is %llu bytes; the least is %llu MiB", value,
			   (unsigned long long)options->ram_bytes, (unsigned long long)(QR_RAM_MIN >> 20));
		return false;
	}
	return true;
}

static bool take_wait(const char *value, struct ctl_options *options)
{
	char *end;

	options->wait_seconds = value ? strtod(value, &end) : DEFAULT_WAIT_SECONDS;
	if (!value || (end != value && !*end && isfinite(options->wait_seconds) && options->wait_seconds > 0))
		return true;
	qr_cli_say("ctl: --wait=%s is not a number of seconds", value);
	return false;
}

/* Refuses, with the numbers, what the run could not do. */
static bool is_possible(const struct qr_domain *domain, const struct ctl_options *options)
{
	char asked[QR_CLI_NUMBER_MAX], bound[QR_CLI_NUMBER_MAX], outside[QR_CLI_NUMBER_MAX];
	uint64_t max_bytes = domain->shared->max_frames << QR_PAGE_SHIFT;
	struct qr_ctl_needs needs;

	qr_cli_format_bytes(asked, options->ram_bytes);
	if (options->ram_bytes > max_bytes) {
		qr_cli_say("ctl: %s is more than the %s that this run can grow to: what the machine or cgroup had when "
			   "it was started",
			   asked, qr_cli_format_bytes(bound, max_bytes));
		return false;
	}
	qr_ctl_read_needs(domain, &needs);
	if (options->ram_bytes < needs.least_bytes) {
		qr_cli_say("ctl: %s is below the %s that the run's %u processes need at the least, of which %s are "
			   "memory that quire does not manage, locked pages and tables; ask for as much, or end some "
			   "of them",
			   asked, qr_cli_format_bytes(bound, needs.least_bytes), needs.nr_processes,
			   qr_cli_format_bytes(outside, needs.fixed_bytes));
		return false;
	}
	return is_below_groups(domain, options->ram_bytes);
}

static bool is_below_groups(const struct qr_domain *domain, uint64_t ram_bytes)
{
	char low[QR_CLI_NUMBER_MAX], asked[QR_CLI_NUMBER_MAX];
	uint64_t low_bytes = 0;

	for (uint32_t i = 0; i < qr_load_acquire(&domain->shared->nr_groups); i++)
		low_bytes += domain->shared->groups[i].low_frames << QR_PAGE_SHIFT;
	if (low_bytes <= ram_bytes)
		return true;
	qr_cli_say("ctl: %s is below the low marks of the run's groups, which add up to %s",
		   qr_cli_format_bytes(asked, ram_bytes), qr_cli_format_bytes(low, low_bytes));
	return false;
}

/* Waits until the tree is within the budget. Returns 0, or FAILED after saying who is not. */
static int await(const struct qr_domain *domain, const struct ctl_options *options)
{
	const struct timespec look = {.tv_nsec = LOOK_NS};
	double end = qr_cli_seconds() + options->wait_seconds;
	uint64_t first = qr_ctl_excess_bytes(domain), excess = first;
	struct qr_bar progress = {0};
	char what[QR_CLI_NUMBER_MAX + 32], number[QR_CLI_NUMBER_MAX];

	qr_bar_start(&progress, options->is_quiet, what);
	while (excess && qr_cli_seconds() < end) {
		(void)snprintf(what, sizeof(what), "%s above the budget", qr_cli_format_bytes(number, excess));
		first = QR_MAX(first, excess);
		qr_bar_draw(&progress, 1 - (double)excess / (double)first);
		(void)nanosleep(&look, NULL);
		excess = qr_ctl_excess_bytes(domain);
	}
	qr_bar_clear(&progress);
	if (!excess)
		return 0;
	say_missed(domain, options);
	return FAILED;
}

static void say_missed(const struct qr_domain *domain, const struct ctl_options *options)
{
	char excess[QR_CLI_NUMBER_MAX], budget[QR_CLI_NUMBER_MAX], held[QR_CLI_NUMBER_MAX];
	struct qr_ctl_holder holder;

	qr_ctl_find_holder(domain, &holder);
	qr_cli_say("ctl: the budget is %s now, but after %.4g s the run is still %s above it; process %d (%s) has %s%s",
		   qr_cli_format_bytes(budget, options->ram_bytes), options->wait_seconds,
		   qr_cli_format_bytes(excess, qr_ctl_excess_bytes(domain)), holder.pid, holder.command,
		   qr_cli_format_bytes(held, holder.resident_bytes),
		   holder.is_stopped ? " and is stopped: it gives memory back when it goes on" : "");
}
