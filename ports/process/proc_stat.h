/*
 * What /proc/PID/stat says of a process (proc(5)). Raw system calls only: used inside signal handlers and beside a
 * replaced malloc. errno is not kept.
 */
#ifndef QR_PROCESS_PROC_STAT_H
#define QR_PROCESS_PROC_STAT_H

#include <stdint.h>

#include <quire/err.h>

struct qr_proc_stat {
	int32_t pid;
	char state;           /* field 3: 'R', 'S', ..., 'Z' */
	uint32_t nr_threads;  /* field 20 */
	uint64_t start_time;  /* field 22, clock ticks since boot: tells a reused pid apart */
	uint64_t start_stack; /* field 28; 0 where the caller may not see it */
	char command[32];     /* field 2, cut to fit */
};

/* QR_ENOENT if there is no such process, or none that /proc shows to the caller; QR_EACCES, QR_EIO, QR_EINVAL. */
int qr_proc_stat_read(int32_t pid, struct qr_proc_stat *stat);
/* Of the caller. Cannot fail: without /proc only the pid is known. */
void qr_proc_stat_self(struct qr_proc_stat *stat);

#endif
