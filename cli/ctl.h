/* What the processes of a run need and have, as the kernel counts it. */
#ifndef QR_CLI_CTL_H
#define QR_CLI_CTL_H

#include <stdbool.h>

#include "domain.h"

struct qr_ctl_needs {
	uint64_t least_bytes; /* the smallest budget that the run can work in */
	uint64_t fixed_bytes; /* of it, what quire does not manage, locked pages, and quire's tables */
	unsigned nr_processes;
};
/* Reads /proc/PID/smaps of each process: milliseconds for each GiB that is resident. */
void qr_ctl_read_needs(const struct qr_domain *domain, struct qr_ctl_needs *needs);

/* How far the run is above its budget: what is handed out beyond it, or resident beyond what was handed out. */
uint64_t qr_ctl_excess_bytes(const struct qr_domain *domain);

struct qr_ctl_holder {
	int pid; /* 0: there is none */
	char command[32];
	uint64_t resident_bytes;
	bool is_stopped;
};
/* The process that has the most; a stopped one first. */
void qr_ctl_find_holder(const struct qr_domain *domain, struct qr_ctl_holder *holder);

#endif
