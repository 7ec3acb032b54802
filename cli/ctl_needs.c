/* What the processes of a run need and have; see ctl.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "proc_stat.h"

#define POOL_LEAST_BYTES ((uint64_t)QR_DOMAIN_POOL_MIN_FRAMES << QR_PAGE_SHIFT)
#define SLACK_BYTES ((uint64_t)QR_DOMAIN_SLACK_FRAMES << QR_PAGE_SHIFT)

static uint64_t own_bytes(const struct qr_domain *domain, const struct qr_usage *usage);
static uint64_t read_unmanaged(const struct qr_domain_process *process);
static bool is_managed(const struct qr_domain_process *process, uint64_t va);
static uint64_t read_resident(int pid);

void qr_ctl_read_needs(const struct qr_domain *domain, struct qr_ctl_needs *needs)
{
	uint64_t newcomer_bytes = (uint64_t)QR_DOMAIN_MIN_FRAMES << QR_PAGE_SHIFT;

	*needs = (struct qr_ctl_needs){0};
	for (uint32_t slot = 0; slot < qr_load_acquire(&domain->shared->nr_slots); slot++) {
		const struct qr_domain_process *process = &domain->shared->processes[slot];
		uint64_t fixed;

		if (!qr_domain_is_live(process))
			continue;
		fixed = read_unmanaged(process) + process->usage.locked_bytes + own_bytes(domain, &process->usage);
		needs->fixed_bytes += fixed;
		needs->least_bytes += QR_MAX(fixed + POOL_LEAST_BYTES, newcomer_bytes);
		needs->nr_processes++;
	}
	needs->least_bytes = QR_MAX(needs->least_bytes, QR_RAM_MIN);
}

/* What of the pool no page of the program can make room for: quire's tables, and compressed pages if they have nowhere
 * else to go. */
static uint64_t own_bytes(const struct qr_domain *domain, const struct qr_usage *usage)
{
	uint64_t pool_bytes = domain->shared->swap_dir[0] ? usage->pool_bytes : 0;
	uint64_t reclaimable = usage->resident_bytes + pool_bytes;

	return usage->used_bytes - QR_MIN(usage->used_bytes, reclaimable);
}

/* What is resident outside of the pool and of the program's managed range; 0 if the process cannot be looked at. */
static uint64_t read_unmanaged(const struct qr_domain_process *process)
{
	char path[64], *line = NULL;
	bool counts = false;
	uint64_t kib = 0;
	size_t size = 0;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/smaps", (int)qr_load_relaxed(&process->pid));
	file = fopen(path, "re");
	while (file && getline(&line, &size, file) > 0) {
		uint64_t start, end, value;

		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &start, &end) == 2)
			counts = !is_managed(process, start);
		else if (counts && sscanf(line, "Rss: %" SCNu64, &value) == 1)
			kib += value;
	}
	free(line);
	if (file)
		(void)fclose(file);
	return kib << 10;
}

static bool is_managed(const struct qr_domain_process *process, uint64_t va)
{
	uint64_t space_end = qr_load_acquire(&process->space_end), pool_end = qr_load_acquire(&process->pool_end);

	return (va < space_end && va >= qr_load_relaxed(&process->space_start)) ||
	       (va < pool_end && va >= qr_load_relaxed(&process->pool_start));
}

uint64_t qr_ctl_excess_bytes(const struct qr_domain *domain)
{
	struct qr_domain_sum sum;
	uint64_t excess = 0;

	for (uint32_t slot = 0; slot < qr_load_acquire(&domain->shared->nr_slots); slot++) {
		const struct qr_domain_process *process = &domain->shared->processes[slot];
		uint64_t quota = qr_load_relaxed(&process->quota_frames) << QR_PAGE_SHIFT, resident;

		if (!qr_domain_is_live(process))
			continue;
		resident = read_resident(qr_load_relaxed(&process->pid));
		excess += resident > quota + SLACK_BYTES ? resident - quota : 0;
	}
	qr_domain_count(domain, &sum);
	return excess + (sum.debt_frames << QR_PAGE_SHIFT);
}

/* 0 for a process that has ended. */
static uint64_t read_resident(int pid)
{
	uint64_t nr_pages = 0;
	char path[64];
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/statm", pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%*u %" SCNu64, &nr_pages) != 1)
		nr_pages = 0;
	(void)fclose(file);
	return nr_pages << QR_PAGE_SHIFT;
}

void qr_ctl_find_holder(const struct qr_domain *domain, struct qr_ctl_holder *holder)
{
	*holder = (struct qr_ctl_holder){0};
	for (uint32_t slot = 0; slot < qr_load_acquire(&domain->shared->nr_slots); slot++) {
		const struct qr_domain_process *process = &domain->shared->processes[slot];
		struct qr_ctl_holder found = {.pid = qr_load_relaxed(&process->pid)};
		struct qr_proc_stat stat;

		if (!qr_domain_is_live(process) || qr_proc_stat_read(found.pid, &stat))
			continue;
		found.is_stopped = stat.state == 'T' || stat.state == 't';
		found.resident_bytes = read_resident(found.pid);
		memcpy(found.command, process->command, sizeof(found.command));
		found.command[sizeof(found.command) - 1] = '\0';
		if (found.is_stopped > holder->is_stopped ||
		    (found.is_stopped == holder->is_stopped && found.resident_bytes > holder->resident_bytes))
			*holder = found;
	}
}
