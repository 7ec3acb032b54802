/*
 * A trace made ready for replay: its pages numbered from 0 in the order of their first access, in a temporary file,
 * so that it may be larger than RAM and is parsed once. For the optimum a second file says when each is needed next.
 */
#ifndef QR_CLI_REPLAY_SPOOL_H
#define QR_CLI_REPLAY_SPOOL_H

#include "replay/trace.h"

/* Accesses that are read and replayed at a time. */
#define QR_SPOOL_CHUNK (128u << 10)
/* When a page is never needed again. */
#define QR_SPOOL_NEVER UINT64_MAX

struct qr_spool {
	int fd;      /* u32 page of each access */
	int next_fd; /* u64 index of the next access to the same page; -1: not made */
	uint64_t nr; /* accesses */
	uint32_t nr_pages;
};

/* Called now and then with the fraction that is done; 0: unknown. */
typedef void qr_spool_progress(void *argument, double fraction);

/* Reads the trace up to its end, or up to limit accesses (0: all). Memory: about 30 bytes per distinct page. Returns 0,
 * or -1 with the reason in trace->error; then the spool holds what came before and is to be closed as well. */
int qr_spool_make(struct qr_spool *spool, struct qr_trace *trace, uint64_t limit, qr_spool_progress *progress,
		  void *argument);
/* Makes the second file, in a pass from the end to the beginning. Returns 0, or -1 with the reason in error. */
int qr_spool_make_next(struct qr_spool *spool, qr_spool_progress *progress, void *argument, char *error);
void qr_spool_close(struct qr_spool *spool);

/* Accesses [from, from + nr), which exist; next may be NULL. Several processes may read. Returns 0 or a negative errno
 * value. */
int qr_spool_read(const struct qr_spool *spool, uint64_t from, size_t nr, uint32_t *pages, uint64_t *next);

#endif
