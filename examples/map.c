/* Mapping more memory than the budget, and handling errors. cc map.c $(pkg-config --cflags --libs quire) */
#include <stdio.h>
#include <sys/mman.h>

#include <quire/quire.h>

#define MIB ((size_t)1 << 20)

int main(void)
{
	struct qr_options options;
	struct qr_manager *manager;
	const char *why;
	void *address = NULL;
	uint64_t *words, sum = 0;
	int error;

	qr_options_init(&options);
	options.ram_bytes = 32 * MIB;
	options.swap_dir = "/var/tmp";
	error = qr_manager_open(&options, &manager, &why);
	if (error) {
		fprintf(stderr, "map: %s (%s)\n", why, qr_strerror(error));
		return error == QR_EPERM || error == QR_ENOSYS ? 77 : 1;
	}
	error = qr_manager_map(manager, &address, 96 * MIB, PROT_READ | PROT_WRITE, 0);
	if (error) {
		fprintf(stderr, "map: %s\n", qr_strerror(error));
		return 1;
	}
	/* From here on it is memory like any other. */
	words = address;
	for (size_t i = 0; i < 96 * MIB / sizeof(*words); i++)
		words[i] = i * i;
	for (size_t i = 0; i < 96 * MIB / sizeof(*words); i++)
		sum += words[i] ^ (i * i);
	printf("quire %s: 96 MiB in a budget of 32 MiB, %s\n", qr_version(), sum ? "WRONG" : "all words right");
	printf("the manager %s that address\n", qr_manager_owns(manager, words) ? "owns" : "does not own");
	error = qr_manager_unmap(manager, address, 96 * MIB);
	qr_manager_close(manager);
	return error || sum ? 1 : 0;
}
