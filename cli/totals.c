/* Sums over the slots of a domain. Members publish while we read: figures of one moment, not of one instant. */
#include <string.h>

#include "options.h"
#include "totals.h"

static json_t *process_json(const struct qr_domain_process *process);
static json_t *counters_json(const uint64_t *counters);

void qr_totals_collect(const struct qr_domain *domain, struct qr_totals *totals)
{
	const struct qr_domain_shared *shared = domain->shared;
	struct qr_domain_sum sum;

	memset(totals, 0, sizeof(*totals));
	qr_domain_count(domain, &sum);
	totals->budget_bytes = qr_load_relaxed(&shared->budget_frames) << QR_PAGE_SHIFT;
	totals->quota_bytes = sum.quota_frames << QR_PAGE_SHIFT;
	totals->peak_bytes = qr_load_relaxed(&shared->peak_frames) << QR_PAGE_SHIFT;
	totals->nr_live = sum.nr_live;
	totals->nr_ended = qr_load_relaxed(&shared->nr_ended);
	totals->passed_maps = qr_load_relaxed(&shared->ended_passed_maps);
	totals->passed_bytes = qr_load_relaxed(&shared->ended_passed_bytes);
	for (unsigned i = 0; i < QR_NR_STATS; i++)
		totals->counters[i] = qr_load_relaxed(&shared->ended_counters[i]);
	for (uint32_t slot = 0; slot < qr_load_acquire(&shared->nr_slots); slot++) {
		const struct qr_domain_process *process = &shared->processes[slot];

		if (!qr_domain_is_live(process))
			continue;
		totals->used_bytes += process->usage.used_bytes;
		totals->mapped_bytes += process->usage.mapped_bytes;
		totals->resident_bytes += process->usage.resident_bytes;
		totals->swapped_bytes += process->usage.swapped_bytes;
		totals->locked_bytes += process->usage.locked_bytes;
		totals->compressed_pages += process->usage.compressed_pages;
		totals->compressed_bytes += process->usage.compressed_bytes;
		totals->pool_bytes += process->usage.pool_bytes;
		totals->file_bytes += process->usage.file_bytes;
		totals->passed_maps += qr_load_relaxed(&process->nr_passed_maps);
		totals->passed_bytes += qr_load_relaxed(&process->passed_bytes);
		for (unsigned i = 0; i < QR_NR_STATS; i++)
			totals->counters[i] += qr_load_relaxed(&process->counters[i]);
	}
}

json_t *qr_totals_to_json(const struct qr_totals *totals)
{
	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "budget_bytes",
		(json_int_t)totals->budget_bytes, "quota_bytes", (json_int_t)totals->quota_bytes, "peak_bytes",
		(json_int_t)totals->peak_bytes, "used_bytes", (json_int_t)totals->used_bytes, "mapped_bytes",
		(json_int_t)totals->mapped_bytes, "resident_bytes", (json_int_t)totals->resident_bytes, "swapped_bytes",
		(json_int_t)totals->swapped_bytes, "locked_bytes", (json_int_t)totals->locked_bytes, "compressed_pages",
		(json_int_t)totals->compressed_pages, "compressed_bytes", (json_int_t)totals->compressed_bytes,
		"pool_bytes", (json_int_t)totals->pool_bytes, "file_bytes", (json_int_t)totals->file_bytes,
		"processes_live", (json_int_t)totals->nr_live, "processes_ended", (json_int_t)totals->nr_ended,
		"passed_maps", (json_int_t)totals->passed_maps, "passed_bytes", (json_int_t)totals->passed_bytes,
		"counters", counters_json(totals->counters));
}

json_t *qr_totals_options_json(const struct qr_domain_shared *shared)
{
	const struct qr_options *options = &shared->options;

	return json_pack("{s:I, s:s?, s:I, s:s, s:s}", "ram_bytes", (json_int_t)options->ram_bytes, "swap_dir",
			 shared->swap_dir[0] ? shared->swap_dir : NULL, "swap_bytes", (json_int_t)options->swap_bytes,
			 "compression", qr_options_compression_name(options->compression), "delivery",
			 qr_options_delivery_name(options->delivery));
}

json_t *qr_totals_processes_json(const struct qr_domain *domain)
{
	json_t *array = json_array();

	for (uint32_t slot = 0; array && slot < qr_load_acquire(&domain->shared->nr_slots); slot++) {
		const struct qr_domain_process *process = &domain->shared->processes[slot];

		if (qr_domain_is_live(process))
			(void)json_array_append_new(array, process_json(process));
	}
	return array;
}

static json_t *frames_json(uint64_t frames)
{
	uint64_t bytes = frames << QR_PAGE_SHIFT;

	return frames == QR_DOMAIN_NO_LIMIT ? json_null() : json_integer((json_int_t)bytes);
}

json_t *qr_totals_groups_json(const struct qr_domain_shared *shared)
{
	json_t *array = json_array();

	for (uint32_t i = 0; array && i < qr_load_acquire(&shared->nr_groups); i++) {
		const struct qr_domain_group *group = &shared->groups[i];
		struct qr_domain_group_sum sum;
		json_t *object;

		qr_domain_count_group(shared, i + 1, &sum);
		object = json_pack(
			"{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:i}", "name", group->name, "match", group->match,
			"max_bytes", frames_json(group->max_frames), "high_bytes", frames_json(group->high_frames),
			"low_bytes", frames_json(group->low_frames), "quota_bytes", frames_json(sum.quota_frames),
			"used_bytes", frames_json(sum.used_frames), "peak_bytes",
			frames_json(qr_load_relaxed(&group->peak_frames)), "processes_live", (int)sum.nr_live);
		/* Without it if the name is not UTF-8. */
		if (object)
			(void)json_array_append_new(array, object);
	}
	return array;
}

static json_t *process_json(const struct qr_domain_process *process)
{
	char command[sizeof(process->command) + 1] = "";
	json_t *name;

	memcpy(command, process->command, sizeof(process->command));
	name = json_string(command);
	if (!name)
		name = json_string("?"); /* not UTF-8 */
	return json_pack(
		"{s:i, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "pid", (int)qr_load_relaxed(&process->pid),
		"command", name, "quota_bytes", (json_int_t)(qr_load_relaxed(&process->quota_frames) << QR_PAGE_SHIFT),
		"peak_bytes", (json_int_t)(qr_load_relaxed(&process->peak_frames) << QR_PAGE_SHIFT), "used_bytes",
		(json_int_t)process->usage.used_bytes, "mapped_bytes", (json_int_t)process->usage.mapped_bytes,
		"resident_bytes", (json_int_t)process->usage.resident_bytes, "swapped_bytes",
		(json_int_t)process->usage.swapped_bytes, "passed_maps",
		(json_int_t)qr_load_relaxed(&process->nr_passed_maps), "passed_bytes",
		(json_int_t)qr_load_relaxed(&process->passed_bytes), "counters", counters_json(process->counters));
}

static json_t *counters_json(const uint64_t *counters)
{
	json_t *object = json_object();

	for (unsigned i = 0; object && i < QR_NR_STATS && qr_counter_name(i); i++)
		(void)json_object_set_new(object, qr_counter_name(i),
					  json_integer((json_int_t)qr_load_relaxed(&counters[i])));
	return object;
}
