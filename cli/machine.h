/* What the machine and its administrator allow: memory, userfaultfd, directories. */
#ifndef QR_CLI_MACHINE_H
#define QR_CLI_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct qr_machine_memory {
	uint64_t total_bytes;
	uint64_t available_bytes;
	uint64_t cgroup_bytes; /* the lowest memory limit above this process; UINT64_MAX: none */
};
void qr_machine_read_memory(struct qr_machine_memory *memory);
/* What a percentage of --ram refers to: available memory, or the cgroup's limit where that is lower. */
uint64_t qr_machine_usable_bytes(const struct qr_machine_memory *memory);

/* What the budget of a run may grow to: the machine's memory, or the cgroup's limit where that is lower. Where memory
 * is not overcommitted (vm.overcommit_memory=2) what might be wanted later counts as used: the budget stays. */
uint64_t qr_machine_budget_max(uint64_t budget_bytes);

enum qr_uffd_access {
	QR_UFFD_NONE,      /* no userfaultfd at all */
	QR_UFFD_USER_ONLY, /* faults of user mode only: a system call on a missing page fails */
	QR_UFFD_FULL,
};

struct qr_machine_uffd {
	enum qr_uffd_access access;
	int syscall_errno;      /* of userfaultfd(2) for all faults; 0: permitted */
	int user_only_errno;    /* of the same with UFFD_USER_MODE_ONLY */
	int device_errno;       /* of /dev/userfaultfd; 0: permitted */
	uint64_t features;      /* UFFD_FEATURE_*, what this kernel has */
};
void qr_machine_probe_uffd(struct qr_machine_uffd *uffd);
/* The feature bits that the port may use and that older headers do not name. */
#define QR_UFFD_FEATURE_SIGBUS ((uint64_t)1 << 7)
#define QR_UFFD_FEATURE_MOVE ((uint64_t)1 << 16)

struct qr_machine_directory {
	int error;           /* errno value: ENOENT, ENOTDIR, EACCES, EROFS, ...; 0: a file can be made there */
	uint64_t free_bytes; /* for this user */
	bool is_ram;         /* tmpfs or ramfs */
};
void qr_machine_probe_directory(const char *path, struct qr_machine_directory *directory);
/* $TMPDIR if that is set and absolute, else /var/tmp. */
const char *qr_machine_default_swap_dir(void);

/* The first line of a small file without its newline. Returns false if it cannot be read. */
bool qr_machine_read_line(const char *path, char *line, size_t size);

#endif
