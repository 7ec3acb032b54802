/* Starting the program and standing by until it ends. */
#ifndef QR_CLI_LAUNCH_H
#define QR_CLI_LAUNCH_H

#include "domain.h"

struct qr_launch {
	char **program;
	const char *preload;
	struct qr_domain *domain;
	void (*on_tick)(void *argument); /* every 100 ms and once at the end; NULL: none */
	void *argument;
	int exit_status; /* result: the program's, or 128 + the signal that ended it */
	int signal;      /* result: that signal, or 0 */
};

/* Forks, executes the program with the library preloaded, forwards signals, returns the quota of processes that die,
 * and returns when the program has ended. Returns 0, or a QR_EXIT_* status after saying why nothing ran. */
int qr_launch_run(struct qr_launch *launch);

#endif
