/* A private copy of a file's content: what is written stays in memory, the file does not change. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <quire/quire.h>

#define MIB ((size_t)1 << 20)
#define LINE "a line of the file, sixteen times four bytes long, with a dot .\n"

static int make_file(void)
{
	char name[] = "/var/tmp/quire-example.XXXXXX";
	int fd = mkstemp(name);

	if (fd < 0)
		return -1;
	unlink(name);
	for (size_t i = 0; i < 16 * MIB / (sizeof(LINE) - 1); i++) {
		if (write(fd, LINE, sizeof(LINE) - 1) < 0)
			return -1;
	}
	return fd;
}

int main(void)
{
	struct qr_options options;
	struct qr_manager *manager;
	const char *why;
	void *address = NULL;
	char *text, byte;
	int error, fd = make_file(), nr_wrong = 0;

	qr_options_init(&options);
	options.ram_bytes = 16 * MIB;
	options.swap_dir = "/var/tmp";
	error = qr_manager_open(&options, &manager, &why);
	if (error) {
		fprintf(stderr, "map_file: %s\n", why);
		return error == QR_EPERM || error == QR_ENOSYS ? 77 : 1;
	}
	error = fd < 0 ? QR_EIO : qr_manager_map_file(manager, &address, 16 * MIB, PROT_READ | PROT_WRITE, 0, fd, 0);
	if (error) {
		fprintf(stderr, "map_file: %s\n", qr_strerror(error));
		return 1;
	}
	text = address;
	for (size_t i = 0; i + sizeof(LINE) <= 16 * MIB; i += sizeof(LINE) - 1)
		nr_wrong += memcmp(text + i, LINE, sizeof(LINE) - 1) != 0;
	text[0] = 'A';
	if (pread(fd, &byte, 1, 0) != 1 || byte != 'a' || text[0] != 'A')
		nr_wrong++;
	printf("16 MiB of a file read through memory, %d lines wrong\n", nr_wrong);
	close(fd);
	qr_manager_close(manager);
	return nr_wrong ? 1 : 0;
}
