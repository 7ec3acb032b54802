/* An array that grows in place or moves (remap), and then becomes read-only (protect). */
#define _GNU_SOURCE
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
	size_t len = MIB, filled = 0;
	int error;

	qr_options_init(&options);
	options.ram_bytes = 16 * MIB;
	options.swap_dir = "/var/tmp";
	error = qr_manager_open(&options, &manager, &why);
	if (error) {
		fprintf(stderr, "grow: %s\n", why);
		return error == QR_EPERM || error == QR_ENOSYS ? 77 : 1;
	}
	error = qr_manager_map(manager, &address, len, PROT_READ | PROT_WRITE, 0);
	while (!error && len <= 32 * MIB) {
		uint32_t *numbers = address;

		for (; filled < len / sizeof(*numbers); filled++)
			numbers[filled] = (uint32_t)filled;
		/* No byte is copied: the pages, in RAM or in swap, get new addresses. */
		error = qr_manager_remap(manager, address, len, len * 2, MREMAP_MAYMOVE, &address);
		len *= 2;
	}
	if (!error)
		error = qr_manager_protect(manager, address, len, PROT_READ);
	if (error) {
		fprintf(stderr, "grow: %s\n", qr_strerror(error));
		return 1;
	}
	for (size_t i = 0; i < filled; i++) {
		if (((uint32_t *)address)[i] != (uint32_t)i) {
			fprintf(stderr, "grow: number %zu is wrong\n", i);
			return 1;
		}
	}
	printf("%zu numbers right after growing to %zu MiB\n", filled, len / MIB);
	qr_manager_close(manager);
	return 0;
}
