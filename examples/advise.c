/* Telling the manager what comes: read ahead, lock, drop; and asking what is in RAM. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <quire/quire.h>

#define MIB ((size_t)1 << 20)
#define PAGE 4096u

static size_t nr_resident(struct qr_manager *manager, void *address, size_t len)
{
	static unsigned char resident[64 * MIB / PAGE];
	size_t nr = 0;

	if (qr_manager_resident(manager, address, len, resident))
		return 0;
	for (size_t i = 0; i < len / PAGE; i++)
		nr += resident[i] & 1;
	return nr;
}

static int use(struct qr_manager *manager, char *data)
{
	int error;

	memset(data, 1, 64 * MIB);
	printf("64 MiB written, %zu pages of it in RAM\n", nr_resident(manager, data, 64 * MIB));
	/* The first 4 MiB are needed at once and must not wait for the disk. */
	error = qr_manager_lock(manager, data, 4 * MIB);
	if (error)
		return error;
	memset(data + 8 * MIB, 2, 32 * MIB);
	printf("locked: %zu of 1024 pages in RAM\n", nr_resident(manager, data, 4 * MIB));
	if (nr_resident(manager, data, 4 * MIB) != 1024)
		return QR_EFAULT;
	error = qr_manager_unlock(manager, data, 4 * MIB);
	if (!error)
		error = qr_manager_advise(manager, data, 4 * MIB, MADV_PAGEOUT);
	if (!error)
		error = qr_manager_advise(manager, data, 4 * MIB, MADV_WILLNEED);
	/* Content that is not needed any more: neither RAM nor swap holds it, it reads as zero. */
	if (!error)
		error = qr_manager_advise(manager, data + 8 * MIB, 8 * MIB, MADV_DONTNEED);
	if (!error && (data[0] != 1 || data[8 * MIB] != 0 || data[16 * MIB] != 2))
		error = QR_EILSEQ;
	return error;
}

int main(void)
{
	struct qr_options options;
	struct qr_manager *manager;
	const char *why;
	void *address = NULL;
	int error;

	qr_options_init(&options);
	options.ram_bytes = 16 * MIB;
	options.swap_dir = "/var/tmp";
	error = qr_manager_open(&options, &manager, &why);
	if (error) {
		fprintf(stderr, "advise: %s\n", why);
		return error == QR_EPERM || error == QR_ENOSYS ? 77 : 1;
	}
	error = qr_manager_map(manager, &address, 64 * MIB, PROT_READ | PROT_WRITE, 0);
	if (!error)
		error = use(manager, address);
	if (error)
		fprintf(stderr, "advise: %s\n", qr_strerror(error));
	qr_manager_close(manager);
	return error ? 1 : 0;
}
