/* A memory cgroup for the kernel's subjects: version 1 or version 2, whichever is mounted. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "paging.h"

static char group[128]; /* path; empty: none */

bool qr_bench_write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t written;

	if (fd < 0)
		return false;
	written = write(fd, text, strlen(text));
	close(fd);
	return written == (ssize_t)strlen(text);
}

static bool write_in_group(const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", group, name);
	return qr_bench_write_text(path, text);
}

const char *qr_bench_cgroup_create(uint64_t limit_bytes)
{
	bool is_v2 = access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
	char limit[32];

	if (is_v2)
		(void)qr_bench_write_text("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	snprintf(group, sizeof(group), "/sys/fs/cgroup/%squire-bench-%d", is_v2 ? "" : "memory/", (int)getpid());
	if (mkdir(group, 0755) && errno != EEXIST) {
		group[0] = 0;
		return "no right to make a memory cgroup (run as root)";
	}
	snprintf(limit, sizeof(limit), "%llu", (unsigned long long)limit_bytes);
	if (!write_in_group(is_v2 ? "memory.max" : "memory.limit_in_bytes", limit)) {
		qr_bench_cgroup_remove();
		return "no memory controller in the cgroup";
	}
	return NULL;
}

const char *qr_bench_cgroup_enter(void)
{
	return write_in_group("cgroup.procs", "0") ? NULL : "the cgroup cannot be entered";
}

/* A cgroup is busy for a moment after its last process ended. */
void qr_bench_cgroup_remove(void)
{
	struct timespec pause = {0, 20000000};

	for (unsigned i = 0; group[0] && i < 250 && rmdir(group) && errno == EBUSY; i++)
		nanosleep(&pause, NULL);
	group[0] = 0;
}
