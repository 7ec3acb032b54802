/* Watching a manager at work, and changing its budget while it runs. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <quire/quire.h>

#define MIB ((size_t)1 << 20)

static int report(struct qr_manager *manager)
{
	struct qr_usage usage = {.size = sizeof(usage)};
	uint64_t counts[128];
	unsigned nr = qr_manager_counters(manager, counts, 128);
	int error = qr_manager_usage(manager, &usage);

	if (error)
		return error;
	printf("budget %llu MiB, in use %llu, in RAM %llu, in swap %llu MiB\n",
	       (unsigned long long)(usage.ram_bytes / MIB), (unsigned long long)(usage.used_bytes / MIB),
	       (unsigned long long)(usage.resident_bytes / MIB), (unsigned long long)(usage.swapped_bytes / MIB));
	for (unsigned i = 0; i < nr && i < 128; i++) {
		if (counts[i])
			printf("  %-22s %12llu  %s\n", qr_counter_name(i), (unsigned long long)counts[i],
			       qr_counter_text(i));
	}
	return usage.used_bytes <= usage.ram_bytes ? 0 : QR_EOVERFLOW;
}

int main(void)
{
	struct qr_options options;
	struct qr_manager *manager;
	const char *why;
	void *address = NULL;
	int error;

	qr_options_init(&options);
	options.ram_bytes = 48 * MIB;
	options.swap_dir = "/var/tmp";
	error = qr_manager_open(&options, &manager, &why);
	if (error) {
		fprintf(stderr, "counters: %s\n", why);
		return error == QR_EPERM || error == QR_ENOSYS ? 77 : 1;
	}
	error = qr_manager_map(manager, &address, 64 * MIB, PROT_READ | PROT_WRITE, 0);
	if (!error) {
		memset(address, 7, 64 * MIB);
		error = report(manager);
	}
	if (!error)
		error = qr_manager_set_ram(manager, 24 * MIB);
	if (!error)
		error = report(manager);
	if (error)
		fprintf(stderr, "counters: %s\n", qr_strerror(error));
	qr_manager_close(manager);
	return error ? 1 : 0;
}
