/* See sample.h. A run of any length fits: the resolution halves as often as it must. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sample.h"

static void add_sample(struct qr_sampler *sampler);
static void see_processes(struct qr_sampler *sampler, double seconds);
static struct qr_sampled_process *find_row(struct qr_sampler *sampler, uint64_t owner);

struct qr_sampler *qr_sampler_new(const struct qr_domain *domain)
{
	struct qr_sampler *sampler = calloc(1, sizeof(*sampler));

	if (sampler) {
		sampler->domain = domain;
		sampler->ticks_per_sample = 1;
	}
	return sampler;
}

void qr_sampler_tick(struct qr_sampler *sampler)
{
	see_processes(sampler, qr_sampler_seconds(sampler->domain));
	if (++sampler->ticks >= sampler->ticks_per_sample)
		add_sample(sampler);
}

void qr_sampler_finish(struct qr_sampler *sampler)
{
	add_sample(sampler);
}

static void add_sample(struct qr_sampler *sampler)
{
	struct qr_totals totals;

	sampler->ticks = 0;
	if (sampler->nr == QR_SAMPLES_MAX) {
		for (uint32_t i = 0; i < QR_SAMPLES_MAX / 2; i++)
			sampler->samples[i] = sampler->samples[2 * i];
		sampler->nr /= 2;
		sampler->ticks_per_sample *= 2;
	}
	qr_totals_collect(sampler->domain, &totals);
	sampler->samples[sampler->nr++] = (struct qr_sample){
		.seconds = qr_sampler_seconds(sampler->domain),
		.used_bytes = (double)totals.used_bytes,
		.swapped_bytes = (double)totals.swapped_bytes,
		.pool_bytes = (double)totals.pool_bytes,
		.file_bytes = (double)totals.file_bytes,
		.faults = (double)totals.counters[QR_STAT_faults],
		.swapin_pages = (double)totals.counters[QR_STAT_swapin_pages],
		.swapout_pages = (double)totals.counters[QR_STAT_swapout_pages],
		.stalled_ns = (double)totals.counters[QR_STAT_stalled_ns],
	};
}

/* Keeps a row per member, since a member that ends takes its own figures out of the table. */
static void see_processes(struct qr_sampler *sampler, double seconds)
{
	const struct qr_domain_shared *shared = sampler->domain->shared;

	for (uint32_t slot = 0; slot < qr_load_acquire(&shared->nr_slots); slot++) {
		const struct qr_domain_process *process = &shared->processes[slot];
		uint64_t owner = qr_load_acquire(&process->owner);
		struct qr_sampled_process *row;

		if (!qr_domain_is_live(process))
			continue;
		row = find_row(sampler, owner);
		if (!row) {
			sampler->nr_more++;
			continue;
		}
		if (!row->owner)
			row->first_seen = seconds;
		row->owner = owner;
		row->last_seen = seconds;
		row->pid = qr_load_relaxed(&process->pid);
		memcpy(row->command, process->command, sizeof(process->command));
		row->peak_bytes = qr_load_relaxed(&process->peak_frames) << QR_PAGE_SHIFT;
		row->faults = qr_load_relaxed(&process->counters[QR_STAT_faults]);
		row->swapin_pages = qr_load_relaxed(&process->counters[QR_STAT_swapin_pages]);
		row->swapout_pages = qr_load_relaxed(&process->counters[QR_STAT_swapout_pages]);
		row->passed_maps = qr_load_relaxed(&process->nr_passed_maps);
	}
}

/* Latest rows first: members live on from tick to tick. */
static struct qr_sampled_process *find_row(struct qr_sampler *sampler, uint64_t owner)
{
	for (uint32_t i = sampler->nr_processes; i-- > 0;) {
		if (sampler->processes[i].owner == owner)
			return &sampler->processes[i];
	}
	if (sampler->nr_processes == QR_SAMPLED_PROCESSES)
		return NULL;
	return &sampler->processes[sampler->nr_processes++];
}

double qr_sampler_seconds(const struct qr_domain *domain)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec - domain->shared->start_ns) / 1e9;
}
