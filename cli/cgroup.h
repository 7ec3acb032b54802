/* The memory limit of the cgroup that this process is in. */
#ifndef QR_CLI_CGROUP_H
#define QR_CLI_CGROUP_H

#include <stdint.h>

/* The lowest limit on the way from the own cgroup to the root, of version 2 and version 1 hierarchies; UINT64_MAX if
 * there is none. */
uint64_t qr_cgroup_memory_limit(void);

#endif
