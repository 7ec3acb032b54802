/* The subjects of quire, through the public interface. */
#include <string.h>
#include <sys/mman.h>

#include <quire/quire.h>

#include "paging.h"

static struct qr_manager *manager; /* the child's */

const char *qr_bench_quire_map(const struct subject *subject, const struct config *config, struct block *block)
{
	struct qr_options options;
	const char *why = "it does not open";
	void *address = NULL;
	int error;

	qr_options_init(&options);
	options.ram_bytes = config->ram_bytes;
	options.swap_dir = config->dir;
	options.delivery = subject->delivery;
	options.compression = subject->compression;
	if (qr_manager_open(&options, &manager, &why))
		return why;
	error = qr_manager_map(manager, &address, config->data_bytes, PROT_READ | PROT_WRITE, 0);
	if (error)
		return qr_strerror(error);
	block->data = address;
	return NULL;
}

static uint64_t counter(const uint64_t *counts, unsigned nr, const char *name)
{
	for (unsigned i = 0; i < nr; i++) {
		if (!strcmp(qr_counter_name(i), name))
			return counts[i];
	}
	return 0;
}

void qr_bench_quire_count(struct counts *counts)
{
	uint64_t now[256];
	unsigned nr = qr_manager_counters(manager, now, 256);

	nr = nr < 256 ? nr : 256;
	counts->nr_faults = counter(now, nr, "faults");
	counts->bytes_in = counter(now, nr, "swapin_pages") * PAGE_BYTES;
	counts->bytes_out = counter(now, nr, "swapout_pages") * PAGE_BYTES;
}
