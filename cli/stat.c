/* `quire stat PID`: shows the domain of a process. */
#include <stdio.h>

#include "attach.h"
#include "cli.h"
#include "options.h"
#include "report.h"

#define FAILED 1

static int print_json(const struct qr_domain *domain, const struct qr_totals *totals);
static void print_text(const struct qr_domain *domain, const struct qr_totals *totals);
static void print_processes(const struct qr_domain *domain);
static void print_groups(const struct qr_domain_shared *shared);
static const char *format_limit(char *number, uint64_t frames);

int qr_cli_stat(int argc, char **argv)
{
	struct qr_plain_options options;
	struct qr_domain domain;
	struct qr_totals totals;
	int pid, status = 0;

	if (!qr_options_parse_plain(argc, argv, true, &options))
		return QR_EXIT_FAILED;
	if (options.is_help)
		return fputs(qr_cli_help_text("stat"), stdout) < 0 ? QR_EXIT_FAILED : 0;
	if (!options.operand || !qr_attach_parse_pid(options.operand, &pid)) {
		qr_cli_say(options.operand ? "stat: '%s' is not a process number"
					   : "stat: which process? write its number",
			   options.operand);
		return QR_EXIT_FAILED;
	}
	if (!qr_attach("stat", pid, false, &domain))
		return FAILED;
	qr_totals_collect(&domain, &totals);
	if (options.is_json)
		status = print_json(&domain, &totals);
	else
		print_text(&domain, &totals);
	qr_domain_detach(&domain);
	return fflush(stdout) ? FAILED : status;
}

static int print_json(const struct qr_domain *domain, const struct qr_totals *totals)
{
	json_t *root =
		json_pack("{s:s, s:i, s:f, s:o, s:o, s:o, s:o}", "version", qr_version(), "launcher_pid",
			  (int)domain->shared->launcher_pid, "wall_seconds", qr_sampler_seconds(domain), "options",
			  qr_totals_options_json(domain->shared), "totals", qr_totals_to_json(totals), "groups",
			  qr_totals_groups_json(domain->shared), "processes", qr_totals_processes_json(domain));
	int status = !root || json_dumpf(root, stdout, JSON_INDENT(1)) || putchar('\n') == EOF ? FAILED : 0;

	json_decref(root);
	return status;
}

static void print_text(const struct qr_domain *domain, const struct qr_totals *totals)
{
	const struct qr_domain_shared *shared = domain->shared;
	char first[QR_CLI_NUMBER_MAX], second[QR_CLI_NUMBER_MAX], third[QR_CLI_NUMBER_MAX];

	printf("launcher    %d, for %.1f s\n", (int)shared->launcher_pid, qr_sampler_seconds(domain));
	printf("budget      %s, handed out %s, most in use %s\n", qr_cli_format_bytes(first, totals->budget_bytes),
	       qr_cli_format_bytes(second, totals->quota_bytes), qr_cli_format_bytes(third, totals->peak_bytes));
	printf("memory      %s mapped, %s in RAM, %s swapped\n", qr_cli_format_bytes(first, totals->mapped_bytes),
	       qr_cli_format_bytes(second, totals->resident_bytes), qr_cli_format_bytes(third, totals->swapped_bytes));
	printf("compressed  %s pages into %s, pool %s\n", qr_cli_format_count(first, totals->compressed_pages),
	       qr_cli_format_bytes(second, totals->compressed_bytes), qr_cli_format_bytes(third, totals->pool_bytes));
	printf("swap file   %s, in %s\n", qr_cli_format_bytes(first, totals->file_bytes),
	       shared->swap_dir[0] ? shared->swap_dir : "no directory");
	printf("kernel      %s mappings passed untouched, %s\n", qr_cli_format_count(first, totals->passed_maps),
	       qr_cli_format_bytes(second, totals->passed_bytes));
	printf("processes   %s live, %s ended\n\n", qr_cli_format_count(first, totals->nr_live),
	       qr_cli_format_count(second, totals->nr_ended));
	print_processes(domain);
	if (shared->nr_groups)
		print_groups(shared);
	putchar('\n');
	for (unsigned i = 0; i < QR_NR_STATS && qr_counter_name(i); i++) {
		if (totals->counters[i])
			printf("%-24s %20s  %s\n", qr_counter_name(i), qr_cli_format_count(first, totals->counters[i]),
			       qr_counter_text(i));
	}
}

static void print_processes(const struct qr_domain *domain)
{
	char number[QR_CLI_NUMBER_MAX];

	printf("%8s %-16s %12s %12s %12s %12s %14s\n", "PID", "COMMAND", "QUOTA", "IN USE", "PEAK", "SWAPPED",
	       "FAULTS");
	for (uint32_t slot = 0; slot < qr_load_acquire(&domain->shared->nr_slots); slot++) {
		const struct qr_domain_process *process = &domain->shared->processes[slot];

		if (!qr_domain_is_live(process))
			continue;
		printf("%8d %-16.16s", (int)qr_load_relaxed(&process->pid), process->command);
		printf(" %12s", qr_cli_format_bytes(number, process->quota_frames << QR_PAGE_SHIFT));
		printf(" %12s", qr_cli_format_bytes(number, process->usage.used_bytes));
		printf(" %12s", qr_cli_format_bytes(number, process->peak_frames << QR_PAGE_SHIFT));
		printf(" %12s", qr_cli_format_bytes(number, process->usage.swapped_bytes));
		printf(" %14s\n", qr_cli_format_count(number, process->counters[QR_STAT_faults]));
	}
}

static void print_groups(const struct qr_domain_shared *shared)
{
	char number[QR_CLI_NUMBER_MAX];

	printf("\n%-16s %-16s %5s %12s %12s %12s %12s %12s %12s\n", "GROUP", "MATCH", "LIVE", "QUOTA", "IN USE", "PEAK",
	       "MAX", "HIGH", "LOW");
	for (uint32_t i = 0; i < qr_load_acquire(&shared->nr_groups); i++) {
		const struct qr_domain_group *group = &shared->groups[i];
		struct qr_domain_group_sum sum;

		qr_domain_count_group(shared, i + 1, &sum);
		printf("%-16.31s %-16.63s %5u", group->name, group->match, sum.nr_live);
		printf(" %12s", qr_cli_format_bytes(number, sum.quota_frames << QR_PAGE_SHIFT));
		printf(" %12s", qr_cli_format_bytes(number, sum.used_frames << QR_PAGE_SHIFT));
		printf(" %12s", qr_cli_format_bytes(number, qr_load_relaxed(&group->peak_frames) << QR_PAGE_SHIFT));
		printf(" %12s", format_limit(number, group->max_frames));
		printf(" %12s", format_limit(number, group->high_frames));
		printf(" %12s\n", group->low_frames ? format_limit(number, group->low_frames) : "-");
	}
}

static const char *format_limit(char *number, uint64_t frames)
{
	return frames == QR_DOMAIN_NO_LIMIT ? "-" : qr_cli_format_bytes(number, frames << QR_PAGE_SHIFT);
}
