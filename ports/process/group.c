/* The groups of the public interface: checks, and bytes for core's pages. */
#include "internal.h"

#include <string.h>

static int read_options(const struct qr_group_options *options, struct qr_group_limits *limits);
static uint32_t limit_pages(uint64_t bytes, uint32_t none);

int qr_manager_group_create(struct qr_manager *manager, const struct qr_group_options *options, struct qr_group **group)
{
	struct qr_group_limits limits;
	struct qr_entry entry;
	int err = options ? read_options(options, &limits) : 0;

	if (err)
		return err;
	qr_manager_enter(manager, &entry);
	err = qr_group_create(manager->vmm, group);
	if (!err && options)
		err = qr_group_set_limits(*group, &limits);
	qr_manager_leave(manager, &entry);
	return err;
}

int qr_manager_group_set(struct qr_manager *manager, struct qr_group *group, const struct qr_group_options *options)
{
	struct qr_group_limits limits;
	struct qr_entry entry;
	int err = read_options(options, &limits);

	if (err)
		return err;
	qr_manager_enter(manager, &entry);
	err = qr_group_set_limits(group, &limits);
	qr_manager_leave(manager, &entry);
	return err;
}

void qr_manager_group_destroy(struct qr_manager *manager, struct qr_group *group)
{
	struct qr_entry entry;

	qr_manager_enter(manager, &entry);
	qr_group_destroy(group);
	qr_manager_leave(manager, &entry);
}

int qr_manager_group_stat(struct qr_manager *manager, struct qr_group *group, struct qr_group_stat *stat)
{
	struct qr_group_stat now = {.size = stat->size};
	struct qr_group_usage usage;
	struct qr_entry entry;

	if (stat->size < offsetof(struct qr_group_stat, peak_bytes))
		return QR_EINVAL;
	qr_manager_enter(manager, &entry);
	qr_group_usage(group, &usage);
	qr_manager_leave(manager, &entry);
	now.resident_bytes = usage.nr_pages << QR_PAGE_SHIFT;
	now.peak_bytes = usage.nr_peak << QR_PAGE_SHIFT;
	now.swapped_bytes = usage.nr_swapped << QR_PAGE_SHIFT;
	now.slab_bytes = usage.slab_bytes;
	now.max_events = usage.nr_max_events;
	now.high_events = usage.nr_high_events;
	now.stalled_ns = usage.stalled_ns;
	memcpy(stat, &now, QR_MIN((size_t)stat->size, sizeof(now)));
	return 0;
}

static int read_options(const struct qr_group_options *options, struct qr_group_limits *limits)
{
	if (options->size < sizeof(*options) || options->reserved)
		return QR_EINVAL;
	if (options->max_bytes && (options->max_bytes < QR_GROUP_MAX_MIN || options->low_bytes > options->max_bytes))
		return QR_EINVAL;
	limits->max = limit_pages(options->max_bytes, QR_GROUP_NO_LIMIT);
	limits->high = limit_pages(options->high_bytes, QR_GROUP_NO_LIMIT);
	limits->low = limit_pages(options->low_bytes, 0);
	return 0;
}

/* More pages than a manager can have are no limit, and for low more than max is not asked for. */
static uint32_t limit_pages(uint64_t bytes, uint32_t none)
{
	return bytes ? (uint32_t)QR_MIN(bytes >> QR_PAGE_SHIFT, (uint64_t)QR_GROUP_NO_LIMIT) : none;
}
