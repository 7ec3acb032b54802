/* `quire run`: checks everything that can be checked before the program starts, starts it, and reports. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "launch.h"
#include "machine.h"
#include "options.h"
#include "program.h"
#include "report.h"
#include "run.h"

/* What is set up before the program starts. */
struct run {
	struct qr_run_options given;
	struct qr_options options;
	char swap_dir[QR_DOMAIN_PATH_MAX];
	char preload[PATH_MAX];
	struct qr_domain domain;
	struct qr_sampler *sampler; /* NULL: nobody asked for it */
	const struct qr_run_hooks *hooks; /* NULL: none */
	FILE *report;
	FILE *stats_json;
};

static int prepare(struct run *run);
static bool choose_ram(struct run *run);
static bool check_groups(const struct run *run);
static bool choose_swap(struct run *run);
static bool check_swap_dir(const struct run *run, const char *path);
static bool check_userfaultfd(const struct run *run);
static bool open_outputs(struct run *run);
static FILE *open_output(const char *option, const char *path);
static void tick(void *argument);
static int finish(struct run *run, const struct qr_run_result *result);
static bool close_output(FILE *file, int err, const char *path);

int qr_cli_run(int argc, char **argv)
{
	return qr_run_hooked(argc, argv, NULL);
}

int qr_run_hooked(int argc, char **argv, const struct qr_run_hooks *hooks)
{
	struct run run = {.hooks = hooks};
	struct qr_launch launch;
	struct qr_run_result result;
	int status;

	if (!qr_options_parse_run(argc, argv, &run.given))
		return QR_EXIT_FAILED;
	if (run.given.is_help)
		return fputs(qr_cli_help_text("run"), stdout) < 0 ? QR_EXIT_FAILED : 0;
	status = prepare(&run);
	if (status)
		return status;
	launch = (struct qr_launch){
		.program = run.given.program,
		.preload = run.preload,
		.domain = &run.domain,
		.on_tick = run.sampler || hooks ? tick : NULL,
		.argument = &run,
	};
	status = qr_launch_run(&launch);
	if (status)
		return status;
	result = (struct qr_run_result){
		.program = run.given.program,
		.exit_status = launch.exit_status,
		.signal = launch.signal,
		.seconds = qr_sampler_seconds(&run.domain),
	};
	return finish(&run, &result);
}

/* Returns 0 or an exit status after saying what is wrong. */
static int prepare(struct run *run)
{
	int err, status;

	qr_options_init(&run->options);
	run->options.compression = run->given.compression;
	run->options.delivery = run->given.delivery;
	run->options.swap_bytes = run->given.swap_bytes;
	if (!choose_ram(run) || !check_groups(run))
		return QR_EXIT_FAILED;
	status = qr_program_check(run->given.program[0]);
	if (status)
		return status;
	if (!choose_swap(run) || !check_userfaultfd(run))
		return QR_EXIT_FAILED;
	status = qr_program_find_preload(run->preload);
	if (status)
		return status;
	err = qr_domain_create(&run->domain, &run->options);
	if (err) {
		qr_cli_say("run: cannot create the shared budget: %s", strerror(-err));
		return QR_EXIT_FAILED;
	}
	qr_domain_set_max(&run->domain, qr_machine_budget_max(run->options.ram_bytes) >> QR_PAGE_SHIFT);
	qr_domain_set_groups(&run->domain, run->given.groups, run->given.nr_groups);
	if (run->hooks)
		run->hooks->on_ready(run->hooks->argument, &run->domain);
	return open_outputs(run) ? 0 : QR_EXIT_FAILED;
}

static bool choose_ram(struct run *run)
{
	double percent = run->given.ram_percent > 0 ? run->given.ram_percent : 50;
	struct qr_machine_memory memory;
	char budget[QR_CLI_NUMBER_MAX], has[QR_CLI_NUMBER_MAX];
	uint64_t most;

	qr_machine_read_memory(&memory);
	run->options.ram_bytes = run->given.ram_bytes;
	if (!run->options.ram_bytes)
		run->options.ram_bytes = (uint64_t)((double)qr_machine_usable_bytes(&memory) * percent / 100);
	run->options.ram_bytes &= QR_PAGE_MASK;
	if (run->options.ram_bytes < QR_RAM_MIN) {
		qr_cli_say("run: the budget of %.4g%% of %s is below the least, %llu MiB; give --ram a size", percent,
			   qr_cli_format_bytes(has, qr_machine_usable_bytes(&memory)),
			   (unsigned long long)(QR_RAM_MIN >> 20));
		return false;
	}
	most = memory.total_bytes < memory.cgroup_bytes ? memory.total_bytes : memory.cgroup_bytes;
	if (most && run->options.ram_bytes > most && !run->given.is_quiet)
		qr_cli_say("run: warning: the budget of %s is more than the %s that this machine or cgroup has; the "
			   "kernel "
			   "may swap or kill before quire does anything",
			   qr_cli_format_bytes(budget, run->options.ram_bytes), qr_cli_format_bytes(has, most));
	return true;
}

static bool check_groups(const struct run *run)
{
	uint64_t low_bytes = 0;
	char low[QR_CLI_NUMBER_MAX], budget[QR_CLI_NUMBER_MAX];

	for (unsigned i = 0; i < run->given.nr_groups; i++)
		low_bytes += run->given.groups[i].low_frames << QR_PAGE_SHIFT;
	if (low_bytes <= run->options.ram_bytes)
		return true;
	qr_cli_say("run: the low marks of the groups add up to %s, more than the budget of %s",
		   qr_cli_format_bytes(low, low_bytes), qr_cli_format_bytes(budget, run->options.ram_bytes));
	return false;
}

static bool choose_swap(struct run *run)
{
	const char *path = run->given.swap_dir ? run->given.swap_dir : qr_machine_default_swap_dir();
	char resolved[PATH_MAX];

	run->options.swap_dir = NULL;
	if (!strcmp(path, "none")) {
		if (!run->given.swap_bytes)
			return true;
		qr_cli_say("run: --swap none and --swap-size contradict each other; leave one out");
		return false;
	}
	if (!check_swap_dir(run, path))
		return false;
	/* The program may change its working directory before its next process opens a swap file. */
	if (!realpath(path, resolved) || strlen(resolved) >= sizeof(run->swap_dir)) {
		qr_cli_say("run: --swap %s: %s", path, strerror(errno ? errno : ENAMETOOLONG));
		return false;
	}
	(void)strcpy(run->swap_dir, resolved);
	run->options.swap_dir = run->swap_dir;
	return true;
}

static bool check_swap_dir(const struct run *run, const char *path)
{
	struct qr_machine_directory directory;
	char has[QR_CLI_NUMBER_MAX], wanted[QR_CLI_NUMBER_MAX];

	qr_machine_probe_directory(path, &directory);
	if (directory.error == ENOENT || directory.error == ENOTDIR) {
		qr_cli_say("run: swap directory %s %s; name another with --swap DIR, or --swap none to compress only",
			   path, directory.error == ENOENT ? "does not exist" : "is not a directory");
		return false;
	}
	if (directory.error) {
		qr_cli_say("run: cannot make a file in swap directory %s: %s; name another with --swap DIR, or --swap "
			   "none "
			   "to compress only",
			   path, strerror(directory.error));
		return false;
	}
	qr_cli_format_bytes(has, directory.free_bytes);
	if (run->given.swap_bytes > directory.free_bytes) {
		qr_cli_say("run: swap directory %s has %s free, and --swap-size asks for %s; free some, ask for less, "
			   "or name "
			   "another with --swap DIR",
			   path, has, qr_cli_format_bytes(wanted, run->given.swap_bytes));
		return false;
	}
	if (directory.is_ram && !run->given.is_quiet)
		qr_cli_say("run: warning: swap directory %s lies in RAM (tmpfs): what goes there saves none; name a "
			   "directory "
			   "on a disk with --swap DIR",
			   path);
	return true;
}

static bool check_userfaultfd(const struct run *run)
{
	struct qr_machine_uffd uffd;

	qr_machine_probe_uffd(&uffd);
	if (uffd.access == QR_UFFD_FULL ||
	    (uffd.access == QR_UFFD_USER_ONLY && run->options.delivery != QR_DELIVERY_THREAD))
		return true;
	if (uffd.syscall_errno == ENOSYS)
		qr_cli_say(
			"run: this kernel has no userfaultfd (CONFIG_USERFAULTFD), or a container's system call filter "
			"hides it; see: quire doctor");
	else
		qr_cli_say("run: no permission for userfaultfd%s. An administrator can allow it to one group: "
			   "chgrp GROUP /dev/userfaultfd && chmod 660 /dev/userfaultfd; or to all: "
			   "sysctl vm.unprivileged_userfaultfd=1; see: quire doctor",
			   uffd.access == QR_UFFD_USER_ONLY
				   ? " but for faults of user mode, which serve without --delivery thread"
				   : "");
	return false;
}

/* Before the program runs for hours, not after. */
static bool open_outputs(struct run *run)
{
	if (!run->given.report && !run->given.stats_json)
		return true;
	run->sampler = qr_sampler_new(&run->domain);
	if (!run->sampler) {
		qr_cli_say("run: out of memory");
		return false;
	}
	if (run->given.report && !(run->report = open_output("--report", run->given.report)))
		return false;
	return !run->given.stats_json || (run->stats_json = open_output("--stats-json", run->given.stats_json));
}

static FILE *open_output(const char *option, const char *path)
{
	FILE *file = fopen(path, "we");

	if (!file)
		qr_cli_say("run: %s %s: %s", option, path, strerror(errno));
	return file;
}

static void tick(void *argument)
{
	struct run *run = argument;

	if (run->sampler)
		qr_sampler_tick(run->sampler);
	if (run->hooks)
		run->hooks->on_tick(run->hooks->argument);
}

static int finish(struct run *run, const struct qr_run_result *result)
{
	struct qr_totals totals;
	bool is_written = true;

	qr_totals_collect(&run->domain, &totals);
	if (run->sampler)
		qr_sampler_finish(run->sampler);
	if (run->stats_json)
		is_written = close_output(run->stats_json,
					  qr_report_write_json(run->stats_json, run->sampler, &totals, result),
					  run->given.stats_json);
	if (run->report)
		is_written &=
			close_output(run->report, qr_report_write_html(run->report, run->sampler, &totals, result),
				     run->given.report);
	if (!run->given.is_quiet)
		qr_summary_print(&totals);
	free(run->sampler);
	qr_domain_detach(&run->domain);
	return is_written || result->exit_status ? result->exit_status : QR_EXIT_FAILED;
}

static bool close_output(FILE *file, int err, const char *path)
{
	if (fclose(file) && !err)
		err = -errno;
	if (err)
		qr_cli_say("run: cannot write %s: %s", path, strerror(-err));
	return !err;
}
