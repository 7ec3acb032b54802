/*
 * One function per thing that quire depends on. Each fills what it found; where that is less than all, also what
 * works all the same and the command that would change it.
 */
#include <errno.h>
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli.h"
#include "doctor.h"
#include "machine.h"

static void check_kernel(struct qr_check *check, const struct qr_machine_uffd *uffd);
static void check_userfaultfd(struct qr_check *check, const struct qr_machine_uffd *uffd);
static void check_device(struct qr_check *check, const struct qr_machine_uffd *uffd);
static void check_user_mode_only(struct qr_check *check, const struct qr_machine_uffd *uffd);
static void check_move(struct qr_check *check, const struct qr_machine_uffd *uffd);
static void check_events(struct qr_check *check, const struct qr_machine_uffd *uffd);
static void check_io_uring(struct qr_check *check, const struct qr_machine_uffd *uffd);
static void check_swap(struct qr_check *check, const struct qr_machine_uffd *uffd);
static void check_map_count(struct qr_check *check, const struct qr_machine_uffd *uffd);
static void check_memlock(struct qr_check *check, const struct qr_machine_uffd *uffd);
static void check_overcommit(struct qr_check *check, const struct qr_machine_uffd *uffd);
static void check_huge_pages(struct qr_check *check, const struct qr_machine_uffd *uffd);
static void check_cgroup(struct qr_check *check, const struct qr_machine_uffd *uffd);
static void limited(struct qr_check *check, enum qr_check_status status, const char *effect, const char *remedy);

unsigned qr_doctor_look(struct qr_check *checks)
{
	static const struct {
		const char *name;
		bool is_needed;
		void (*look)(struct qr_check *check, const struct qr_machine_uffd *uffd);
	} all[] = {
		{"kernel", true, check_kernel},
		{"userfaultfd", true, check_userfaultfd},
		{"dev-userfaultfd", false, check_device},
		{"user-mode-only", false, check_user_mode_only},
		{"uffd-move", false, check_move},
		{"uffd-events", true, check_events},
		{"io-uring", false, check_io_uring},
		{"swap-directory", true, check_swap},
		{"max-map-count", false, check_map_count},
		{"memlock", false, check_memlock},
		{"overcommit", false, check_overcommit},
		{"huge-pages", false, check_huge_pages},
		{"cgroup-memory", false, check_cgroup},
	};
	struct qr_machine_uffd uffd;

	_Static_assert(QR_ARRAY_SIZE(all) == QR_NR_CHECKS, "one result per check");
	qr_machine_probe_uffd(&uffd);
	for (unsigned i = 0; i < QR_NR_CHECKS; i++) {
		memset(&checks[i], 0, sizeof(checks[i]));
		checks[i].name = all[i].name;
		checks[i].is_needed = all[i].is_needed;
		all[i].look(&checks[i], &uffd);
	}
	return QR_NR_CHECKS;
}

static void limited(struct qr_check *check, enum qr_check_status status, const char *effect, const char *remedy)
{
	check->status = status;
	check->effect = effect;
	check->remedy = remedy;
}

static void found(struct qr_check *check, const char *format, const char *value)
{
	(void)snprintf(check->found, sizeof(check->found), format, value);
}

static void check_kernel(struct qr_check *check, const struct qr_machine_uffd *uffd)
{
	struct utsname name;
	unsigned major = 0, minor = 0;

	(void)uffd;
	(void)uname(&name);
	found(check, "Linux %.200s", name.release);
	if (sscanf(name.release, "%u.%u", &major, &minor) != 2)
		return;
	/* What cannot be moved is copied, under write protection by userfaultfd: 5.7. */
	if (major < 5 || (major == 5 && minor < 7))
		limited(check, QR_CHECK_MISSING, "nothing: pages can be neither moved nor copied safely",
			"boot Linux 5.7 or later, better 6.8 or later");
	else if (major < 6 || (major == 6 && minor < 8))
		limited(check, QR_CHECK_LIMITED, "all works; pages are copied where Linux 6.8 and later move them",
			"boot Linux 6.8 or later");
}

static void check_userfaultfd(struct qr_check *check, const struct qr_machine_uffd *uffd)
{
	if (uffd->access == QR_UFFD_FULL) {
		found(check, "permitted, %s", uffd->syscall_errno ? "through /dev/userfaultfd" : "by the system call");
	} else if (uffd->syscall_errno == ENOSYS) {
		found(check, "%s", "this kernel has none, or a system call filter hides it");
		limited(check, QR_CHECK_MISSING, NULL,
			"boot a kernel with CONFIG_USERFAULTFD=y; in a container, permit userfaultfd in its seccomp "
			"profile");
	} else {
		found(check, "not permitted: %s", strerror(uffd->syscall_errno));
		limited(check, uffd->access == QR_UFFD_USER_ONLY ? QR_CHECK_LIMITED : QR_CHECK_MISSING,
			uffd->access == QR_UFFD_USER_ONLY
				? "all works, with faults as signals (see --delivery in quire-run(1))"
				: NULL,
			"chgrp GROUP /dev/userfaultfd && chmod 660 /dev/userfaultfd (one group), or "
			"sysctl -w vm.unprivileged_userfaultfd=1 (all users)");
	}
}

static void check_device(struct qr_check *check, const struct qr_machine_uffd *uffd)
{
	if (!uffd->device_errno) {
		found(check, "%s", "/dev/userfaultfd can be opened");
		return;
	}
	found(check, "/dev/userfaultfd: %s", strerror(uffd->device_errno));
	limited(check, uffd->device_errno == ENOENT ? QR_CHECK_MISSING : QR_CHECK_LIMITED,
		uffd->syscall_errno ? NULL : "all works by the system call",
		uffd->syscall_errno ? "chgrp GROUP /dev/userfaultfd && chmod 660 /dev/userfaultfd (Linux 6.1 and later)"
				    : NULL);
}

static void check_user_mode_only(struct qr_check *check, const struct qr_machine_uffd *uffd)
{
	if (!uffd->user_only_errno) {
		found(check, "%s", "UFFD_USER_MODE_ONLY is there: what any user may have");
		return;
	}
	found(check, "UFFD_USER_MODE_ONLY: %s", strerror(uffd->user_only_errno));
	limited(check, QR_CHECK_MISSING,
		uffd->access == QR_UFFD_FULL ? "all works: full userfaultfd is permitted" : NULL,
		"boot Linux 5.11 or later");
}

static void check_move(struct qr_check *check, const struct qr_machine_uffd *uffd)
{
	found(check, "UFFDIO_MOVE is %s", uffd->features & QR_UFFD_FEATURE_MOVE ? "there" : "missing");
	if (!(uffd->features & QR_UFFD_FEATURE_MOVE))
		limited(check, QR_CHECK_LIMITED, "all works; pages are copied and not moved",
			"boot Linux 6.8 or later");
}

static void check_events(struct qr_check *check, const struct qr_machine_uffd *uffd)
{
	const uint64_t events = UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE |
				UFFD_FEATURE_EVENT_UNMAP;
	if ((uffd->features & events) == events) {
		found(check, "fork, mremap, madvise and munmap are reported%s",
		      uffd->features & QR_UFFD_FEATURE_SIGBUS ? "; faults as signals are there" : "");
		return;
	}
	found(check, "%s", uffd->features ? "some events are missing" : "unknown without userfaultfd");
	limited(check, QR_CHECK_MISSING, "nothing: a fork would read swapped pages as zeros",
		uffd->features ? "boot Linux 4.14 or later" : "permit userfaultfd, see above");
}

static void check_io_uring(struct qr_check *check, const struct qr_machine_uffd *uffd)
{
	struct io_uring_params params;
	int fd;

	(void)uffd;
	memset(&params, 0, sizeof(params));
	fd = (int)syscall(SYS_io_uring_setup, 4L, &params);
	if (fd >= 0) {
		(void)close(fd);
		found(check, "%s", "permitted");
		return;
	}
	found(check, "not permitted: %s", strerror(errno));
	limited(check, QR_CHECK_LIMITED, "all works; the swap file is read and written with slower calls",
		"sysctl -w kernel.io_uring_disabled=0; in a container, permit io_uring_* in its seccomp profile");
}

static void check_swap(struct qr_check *check, const struct qr_machine_uffd *uffd)
{
	const char *path = qr_machine_default_swap_dir();
	struct qr_machine_directory directory;
	char number[QR_CLI_NUMBER_MAX];

	(void)uffd;
	qr_machine_probe_directory(path, &directory);
	if (directory.error) {
		(void)snprintf(check->found, sizeof(check->found), "%.180s: %s", path, strerror(directory.error));
		limited(check, QR_CHECK_MISSING, "quire run --swap DIR with another directory, or --swap none",
			"mkdir -p /var/tmp && chmod 1777 /var/tmp, or set TMPDIR");
		return;
	}
	(void)snprintf(check->found, sizeof(check->found), "%.180s, %s free%s", path,
		       qr_cli_format_bytes(number, directory.free_bytes), directory.is_ram ? ", on tmpfs" : "");
	if (directory.is_ram)
		limited(check, QR_CHECK_LIMITED, "all works, but what is swapped stays in RAM",
			"name a directory on a disk: quire run --swap DIR, or TMPDIR");
	else if (directory.free_bytes < (uint64_t)1 << 30)
		limited(check, QR_CHECK_LIMITED, "all works until the directory is full", "free some space there");
}

static void check_map_count(struct qr_check *check, const struct qr_machine_uffd *uffd)
{
	char line[64] = "0";

	(void)uffd;
	(void)qr_machine_read_line("/proc/sys/vm/max_map_count", line, sizeof(line));
	found(check, "vm.max_map_count is %s", line);
	if (strtol(line, NULL, 10) < 65530)
		limited(check, QR_CHECK_LIMITED, "all works; programs with very many mappings may fail",
			"sysctl -w vm.max_map_count=65530");
}

static void check_memlock(struct qr_check *check, const struct qr_machine_uffd *uffd)
{
	struct rlimit limit = {0};
	char number[QR_CLI_NUMBER_MAX];

	(void)uffd;
	(void)getrlimit(RLIMIT_MEMLOCK, &limit);
	if (limit.rlim_cur == RLIM_INFINITY)
		found(check, "%s", "no limit");
	else
		found(check, "%s can be locked", qr_cli_format_bytes(number, limit.rlim_cur));
	if (limit.rlim_cur < (rlim_t)64 << 10)
		limited(check, QR_CHECK_LIMITED, "all works; io_uring of kernels before 5.12 may refuse its buffers",
			"ulimit -l 8192, or memlock in /etc/security/limits.conf");
}

static void check_overcommit(struct qr_check *check, const struct qr_machine_uffd *uffd)
{
	char line[64] = "0";

	(void)uffd;
	(void)qr_machine_read_line("/proc/sys/vm/overcommit_memory", line, sizeof(line));
	found(check, "vm.overcommit_memory is %s", line);
	if (line[0] == '2')
		limited(check, QR_CHECK_LIMITED,
			"all works while the address space that programs map stays below the commit limit",
			"sysctl -w vm.overcommit_memory=0");
}

static void check_huge_pages(struct qr_check *check, const struct qr_machine_uffd *uffd)
{
	char line[128];
	const char *mode;

	(void)uffd;
	if (!qr_machine_read_line("/sys/kernel/mm/transparent_hugepage/enabled", line, sizeof(line))) {
		found(check, "%s", "this kernel has no transparent huge pages");
		limited(check, QR_CHECK_LIMITED, "all works, with 4 KiB pages", NULL);
		return;
	}
	mode = strchr(line, '[');
	found(check, "transparent huge pages: %s", mode ? strtok(line + (mode - line) + 1, "]") : line);
	if (mode && !strcmp(mode + 1, "never"))
		limited(check, QR_CHECK_LIMITED, "all works, with 4 KiB pages",
			"echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
}

static void check_cgroup(struct qr_check *check, const struct qr_machine_uffd *uffd)
{
	struct qr_machine_memory memory;
	char limit[QR_CLI_NUMBER_MAX], budget[QR_CLI_NUMBER_MAX];

	(void)uffd;
	qr_machine_read_memory(&memory);
	qr_cli_format_bytes(budget, qr_machine_usable_bytes(&memory) / 2);
	if (memory.cgroup_bytes == UINT64_MAX)
		(void)snprintf(check->found, sizeof(check->found),
			       "no limit; the budget is %s unless --ram says otherwise", budget);
	else
		(void)snprintf(check->found, sizeof(check->found),
			       "limited to %s; the budget is %s unless --ram says otherwise",
			       qr_cli_format_bytes(limit, memory.cgroup_bytes), budget);
}
