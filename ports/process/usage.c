/* What a manager tells about itself: usage, counters, versions, and last words. */
#include "internal.h"

#include <stdio.h>
#include <string.h>

const char *qr_version(void)
{
	return QR_VERSION_TEXT;
}

const char *qr_strerror(int error)
{
	switch (error) {
	case QR_OK:
		return "success";
	case QR_EPERM:
		return "the system does not permit it";
	case QR_ENOENT:
		return "there is no such thing";
	case QR_EINTR:
		return "interrupted";
	case QR_EIO:
		return "the device failed";
	case QR_EAGAIN:
		return "not possible at the moment; try again";
	case QR_ENOMEM:
		return "the RAM budget is exhausted, or there is no room in the address space";
	case QR_EACCES:
		return "the protection of the memory forbids it";
	case QR_EFAULT:
		return "nothing is mapped at that address";
	case QR_EBUSY:
		return "the memory is in use elsewhere";
	case QR_EEXIST:
		return "something is mapped there already";
	case QR_EINVAL:
		return "an argument is out of range";
	case QR_ENOSPC:
		return "the swap is full";
	case QR_ENOSYS:
		return "this kernel cannot do it";
	case QR_EOVERFLOW:
		return "the value is too large";
	case QR_EILSEQ:
		return "stored bytes fail their check";
	default:
		return "unknown error";
	}
}

/* Fills all fields but size; returns the frames in use. */
static uint64_t usage_fill(struct qr_manager *manager, struct qr_usage *usage)
{
	struct qr_aspace *aspace = manager->aspace;
	uint64_t used = qr_budget_used_frames(manager);
	struct qr_swap_usage swap;

	qr_swap_usage(manager->vmm->swap, &swap);
	manager->peak_frames = QR_MAX(manager->peak_frames, used);
	usage->ram_bytes = manager->has_domain ? manager->quota_frames << QR_PAGE_SHIFT : manager->options.ram_bytes;
	usage->used_bytes = used << QR_PAGE_SHIFT;
	usage->peak_bytes = manager->peak_frames << QR_PAGE_SHIFT;
	usage->mapped_bytes = qr_load_relaxed(&aspace->mapped_bytes);
	usage->resident_bytes = qr_aspace_nr_resident(aspace) << QR_PAGE_SHIFT;
	usage->swapped_bytes = qr_aspace_nr_swapped(aspace) << QR_PAGE_SHIFT;
	usage->locked_bytes = qr_load_relaxed(&aspace->nr_locked) << QR_PAGE_SHIFT;
	usage->compressed_pages = swap.nr_pool;
	usage->compressed_bytes = swap.pool_bytes;
	usage->pool_bytes = swap.pool_frames << QR_PAGE_SHIFT;
	usage->file_pages = swap.nr_file;
	usage->file_bytes = swap.file_size_bytes;
	return used;
}

int qr_manager_usage(struct qr_manager *manager, struct qr_usage *usage)
{
	struct qr_usage now = {.size = sizeof(now)};
	struct qr_entry entry;

	if (usage->size < offsetof(struct qr_usage, used_bytes))
		return QR_EINVAL;
	qr_manager_enter(manager, &entry);
	(void)usage_fill(manager, &now);
	qr_manager_leave(manager, &entry);
	now.size = usage->size;
	memcpy(usage, &now, QR_MIN((size_t)usage->size, sizeof(now)));
	return 0;
}

unsigned qr_manager_counters(struct qr_manager *manager, uint64_t *counts, unsigned nr)
{
	for (unsigned i = 0; i < nr && i < QR_NR_STATS; i++)
		counts[i] = qr_stat_sum(&manager->vmm->stats, (enum qr_stat)i);
	return QR_NR_STATS;
}

const char *qr_counter_name(unsigned i)
{
	return i < QR_NR_STATS ? qr_stat_name((enum qr_stat)i) : NULL;
}

const char *qr_counter_text(unsigned i)
{
	return i < QR_NR_STATS ? qr_stat_text((enum qr_stat)i) : NULL;
}

/* What the preload library left to the kernel since the last time. */
static void publish_passed(struct qr_manager *manager)
{
	uint64_t nr_maps, map_bytes, raw_bytes;

	if (!qr_shim_passed)
		return;
	qr_shim_passed(&nr_maps, &map_bytes, &raw_bytes);
	qr_domain_count_passed(&manager->domain, nr_maps - manager->passed_maps, map_bytes - manager->passed_bytes);
	manager->passed_maps = nr_maps;
	manager->passed_bytes = map_bytes;
}

void qr_budget_publish(struct qr_manager *manager)
{
	struct qr_usage usage = {.size = sizeof(usage)};
	uint64_t counters[QR_NR_STATS];

	(void)usage_fill(manager, &usage);
	if (!manager->has_domain)
		return;
	(void)qr_manager_counters(manager, counters, QR_NR_STATS);
	qr_domain_publish(&manager->domain, &usage, counters);
	publish_passed(manager);
}

void qr_manager_flush(struct qr_manager *manager)
{
	qr_budget_publish(manager);
}

void qr_port_content_lost(struct qr_port *port, uint64_t va, int error)
{
	(void)port;
	qr_die(QR_EXIT_LOST,
	       "the page at %#llx cannot be read back from the swap file: %s. The program is stopped, since it would "
	       "go "
	       "on with wrong bytes; check the device that holds the swap directory.",
	       (unsigned long long)va, qr_strerror(error));
}

bool qr_port_out_of_memory(struct qr_port *port, const char *why)
{
	struct qr_manager *manager = qr_manager_of(port);
	struct qr_usage usage = {.size = sizeof(usage)};
	double mib = 1 << 20;

	if (qr_budget_wait_for_share(manager))
		return true;
	(void)usage_fill(manager, &usage);
	qr_die(QR_EXIT_NO_MEMORY,
	       "out of memory (%s): of a budget of %.1f MiB, %.1f MiB are in use (%.1f MiB locked, %.1f MiB compressed "
	       "pages), and the swap file holds %.1f MiB. Raise --ram, %s, or use less memory.",
	       why, (double)manager->options.ram_bytes / mib, (double)usage.used_bytes / mib,
	       (double)usage.locked_bytes / mib, (double)usage.pool_bytes / mib, (double)usage.file_bytes / mib,
	       manager->options.swap_dir ? "raise --swap-size or free space in the swap directory"
					 : "give a swap directory with --swap");
}
