/*
 * Groups: a cache that may never take more than its share, and an index that stays in RAM beside it. Both live in one
 * manager; the cache is much larger than what it may have, and pays for that itself.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <quire/quire.h>

#define MIB ((size_t)1 << 20)
#define CACHE_BYTES (64 * MIB)
#define INDEX_BYTES (8 * MIB)

static int show(struct qr_manager *manager, const char *name, struct qr_group *group, struct qr_group_stat *stat)
{
	int error;

	*stat = (struct qr_group_stat){.size = sizeof(*stat)};
	error = qr_manager_group_stat(manager, group, stat);
	if (!error)
		printf("%-6s %5.1f MiB in RAM (most %5.1f), %5.1f MiB swapped, full %llu times\n", name,
		       (double)stat->resident_bytes / MIB, (double)stat->peak_bytes / MIB,
		       (double)stat->swapped_bytes / MIB, (unsigned long long)stat->max_events);
	return error;
}

static int check(const char *cache, const char *index)
{
	size_t nr_wrong = 0;

	for (size_t i = 0; i < CACHE_BYTES; i += 4096)
		nr_wrong += cache[i] != (char)(i >> 12);
	for (size_t i = 0; i < INDEX_BYTES; i += 4096)
		nr_wrong += index[i] != 1;
	return nr_wrong ? QR_EILSEQ : 0;
}

static int use(struct qr_manager *manager, struct qr_group *cached, struct qr_group *indexed)
{
	struct qr_group_options options = {.size = sizeof(options), .max_bytes = 4 * MIB};
	struct qr_group_stat stat;
	void *cache = NULL, *index = NULL;
	int error = qr_manager_map_group(manager, cached, &cache, CACHE_BYTES, PROT_READ | PROT_WRITE, 0);

	if (!error)
		error = qr_manager_map_group(manager, indexed, &index, INDEX_BYTES, PROT_READ | PROT_WRITE, 0);
	if (error)
		return error;
	memset(index, 1, INDEX_BYTES);
	for (size_t i = 0; i < CACHE_BYTES; i += 4096)
		memset((char *)cache + i, (int)(i >> 12), 4096);
	error = show(manager, "cache", cached, &stat);
	if (!error && (stat.peak_bytes > 16 * MIB || stat.swapped_bytes < CACHE_BYTES - 16 * MIB))
		error = QR_EOVERFLOW;
	if (!error)
		error = show(manager, "index", indexed, &stat);
	if (!error && stat.swapped_bytes)
		error = QR_EOVERFLOW;
	if (!error)
		error = check(cache, index);
	/* Limits change at run time; a smaller one holds at the return. */
	if (!error)
		error = qr_manager_group_set(manager, cached, &options);
	if (!error)
		error = show(manager, "cache", cached, &stat);
	return !error && stat.resident_bytes > 4 * MIB ? QR_EOVERFLOW : error;
}

int main(void)
{
	struct qr_group_options cache_limits = {.size = sizeof(cache_limits), .max_bytes = 16 * MIB};
	struct qr_group_options index_limits = {.size = sizeof(index_limits), .low_bytes = INDEX_BYTES};
	struct qr_group *cached, *indexed;
	struct qr_options options;
	struct qr_manager *manager;
	const char *why;
	int error;

	qr_options_init(&options);
	options.ram_bytes = 48 * MIB;
	options.swap_dir = "/var/tmp";
	error = qr_manager_open(&options, &manager, &why);
	if (error) {
		fprintf(stderr, "groups: %s\n", why);
		return error == QR_EPERM || error == QR_ENOSYS ? 77 : 1;
	}
	error = qr_manager_group_create(manager, &cache_limits, &cached);
	if (!error)
		error = qr_manager_group_create(manager, &index_limits, &indexed);
	if (!error)
		error = use(manager, cached, indexed);
	if (error)
		fprintf(stderr, "groups: %s\n", qr_strerror(error));
	qr_manager_close(manager);
	return error ? 1 : 0;
}
