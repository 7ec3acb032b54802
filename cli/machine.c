/* Looks at the machine: userfaultfd(2), statvfs(3), /proc/meminfo. Nothing is changed; the cgroup is in cgroup.c. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "cgroup.h"
#include "cli.h"
#include "machine.h"

/* Linux 5.11 and 6.1; older headers lack them. */
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

static int open_uffd(int flags);
static int open_uffd_device(void);
static uint64_t read_features(int uffd);
static int try_to_create(const char *path);

void qr_machine_read_memory(struct qr_machine_memory *memory)
{
	char line[256];
	unsigned long long kib;
	FILE *file = fopen("/proc/meminfo", "re");

	memset(memory, 0, sizeof(*memory));
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "MemTotal: %llu kB", &kib) == 1)
			memory->total_bytes = kib << 10;
		else if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			memory->available_bytes = kib << 10;
	}
	if (file)
		(void)fclose(file);
	memory->cgroup_bytes = qr_cgroup_memory_limit();
}

uint64_t qr_machine_usable_bytes(const struct qr_machine_memory *memory)
{
	return memory->available_bytes < memory->cgroup_bytes ? memory->available_bytes : memory->cgroup_bytes;
}

uint64_t qr_machine_budget_max(uint64_t budget_bytes)
{
	struct qr_machine_memory memory;
	uint64_t most;
	char mode[8];

	if (qr_machine_read_line("/proc/sys/vm/overcommit_memory", mode, sizeof(mode)) && mode[0] == '2')
		return budget_bytes;
	qr_machine_read_memory(&memory);
	most = QR_MIN(memory.total_bytes, memory.cgroup_bytes) & QR_PAGE_MASK;
	return QR_MAX(most, budget_bytes);
}

void qr_machine_probe_uffd(struct qr_machine_uffd *uffd)
{
	int device = open_uffd_device();
	int full = open_uffd(0);
	int user_only = open_uffd(UFFD_USER_MODE_ONLY);
	int usable = device >= 0 ? device : full >= 0 ? full : user_only;

	uffd->device_errno = device < 0 ? -device : 0;
	uffd->syscall_errno = full < 0 ? -full : 0;
	uffd->user_only_errno = user_only < 0 ? -user_only : 0;
	uffd->access = device >= 0 || full >= 0 ? QR_UFFD_FULL : user_only >= 0 ? QR_UFFD_USER_ONLY : QR_UFFD_NONE;
	uffd->features = usable >= 0 ? read_features(usable) : 0;
	if (device >= 0)
		(void)close(device);
	if (full >= 0)
		(void)close(full);
	if (user_only >= 0)
		(void)close(user_only);
}

/* Returns the descriptor or a negative errno value. */
static int open_uffd(int flags)
{
	int fd = (int)syscall(SYS_userfaultfd, (long)(O_CLOEXEC | O_NONBLOCK | flags));

	return fd < 0 ? -errno : fd;
}

static int open_uffd_device(void)
{
	int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	int fd;

	if (device < 0)
		return -errno;
	fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		fd = -errno;
	(void)close(device);
	return fd;
}

/* Asking for no feature makes the kernel list those that it has. */
static uint64_t read_features(int uffd)
{
	struct uffdio_api api = {.api = UFFD_API};

	return ioctl(uffd, UFFDIO_API, &api) ? 0 : api.features;
}

void qr_machine_probe_directory(const char *path, struct qr_machine_directory *directory)
{
	struct stat status;
	struct statfs system;

	memset(directory, 0, sizeof(*directory));
	if (stat(path, &status)) {
		directory->error = errno;
		return;
	}
	if (!S_ISDIR(status.st_mode)) {
		directory->error = ENOTDIR;
		return;
	}
	if (!statfs(path, &system)) {
		directory->free_bytes = (uint64_t)system.f_bavail * (uint64_t)system.f_bsize;
		directory->is_ram = system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC;
	}
	directory->error = try_to_create(path);
}

/* Permissions, quotas and read-only file systems all show only when a file is made. */
static int try_to_create(const char *path)
{
	char name[4096];
	int fd = open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0 && errno != EACCES && errno != EROFS && errno != ENOSPC && errno != EDQUOT) {
		/* File systems without O_TMPFILE. */
		if (snprintf(name, sizeof(name), "%s/.quire-XXXXXX", path) >= (int)sizeof(name))
			return ENAMETOOLONG;
		fd = mkostemp(name, O_CLOEXEC);
		if (fd >= 0)
			(void)unlink(name);
	}
	if (fd < 0)
		return errno;
	(void)close(fd);
	return 0;
}

const char *qr_machine_default_swap_dir(void)
{
	const char *directory = getenv("TMPDIR");

	return directory && directory[0] == '/' ? directory : "/var/tmp";
}

bool qr_machine_read_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");
	bool is_read = file && fgets(line, (int)size, file);

	if (file)
		(void)fclose(file);
	if (is_read)
		line[strcspn(line, "\n")] = '\0';
	return is_read;
}
