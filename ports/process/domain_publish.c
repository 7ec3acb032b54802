/* What the processes of a domain tell each other about themselves. */
#include "domain.h"

static void raise_peak(uint64_t *peak, uint64_t value);

void qr_domain_publish(struct qr_domain *domain, const struct qr_usage *usage, const uint64_t *counters)
{
	struct qr_domain_shared *shared = domain->shared;
	struct qr_domain_process *process;
	uint32_t nr_slots = qr_load_acquire(&shared->nr_slots);
	uint64_t used_bytes = 0;

	if (domain->slot == UINT32_MAX)
		return;
	process = &shared->processes[domain->slot];
	process->usage = *usage;
	for (unsigned i = 0; i < QR_NR_STATS; i++)
		qr_store_relaxed(&process->counters[i], counters[i]);
	raise_peak(&process->peak_frames, qr_pages_up(QR_MAX(usage->used_bytes, usage->peak_bytes)));
	for (uint32_t slot = 0; slot < nr_slots; slot++)
		used_bytes += qr_load_relaxed(&shared->processes[slot].usage.used_bytes);
	raise_peak(&shared->peak_frames, qr_pages_up(used_bytes));
	if (process->group) {
		struct qr_domain_group_sum sum;

		qr_domain_count_group(shared, process->group, &sum);
		raise_peak(&shared->groups[process->group - 1].peak_frames, sum.used_frames);
	}
}

void qr_domain_publish_places(struct qr_domain *domain, uint64_t space_start, uint64_t space_end, uint64_t pool_start,
			      uint64_t pool_end)
{
	struct qr_domain_process *process;

	if (domain->slot == UINT32_MAX)
		return;
	process = &domain->shared->processes[domain->slot];
	qr_store_relaxed(&process->space_start, space_start);
	qr_store_relaxed(&process->pool_start, pool_start);
	/* Pairs with the acquire of whoever looks: an end is there only with its start. */
	qr_store_release(&process->space_end, space_end);
	qr_store_release(&process->pool_end, pool_end);
}

void qr_domain_set_max(struct qr_domain *domain, uint64_t frames)
{
	struct qr_domain_shared *shared = domain->shared;

	shared->max_frames = QR_MAX(frames, qr_load_relaxed(&shared->budget_frames));
}

void qr_domain_count_passed(struct qr_domain *domain, uint64_t nr_maps, uint64_t nr_bytes)
{
	if (domain->slot == UINT32_MAX)
		return;
	(void)qr_fetch_add_relaxed(&domain->shared->processes[domain->slot].nr_passed_maps, nr_maps);
	(void)qr_fetch_add_relaxed(&domain->shared->processes[domain->slot].passed_bytes, nr_bytes);
}

static void raise_peak(uint64_t *peak, uint64_t value)
{
	uint64_t seen = qr_load_relaxed(peak);

	while (seen < value && !qr_cas(peak, &seen, value))
		continue;
}
