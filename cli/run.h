/* `quire run`, for commands that do something beside. */
#ifndef QR_CLI_RUN_H
#define QR_CLI_RUN_H

#include "domain.h"

struct qr_run_hooks {
	/* The budget is there, no process yet. */
	void (*on_ready)(void *argument, struct qr_domain *domain);
	/* Ten times a second, and once at the end. */
	void (*on_tick)(void *argument);
	void *argument;
};

/* As `quire run` with these arguments. */
int qr_run_hooked(int argc, char **argv, const struct qr_run_hooks *hooks);

#endif
