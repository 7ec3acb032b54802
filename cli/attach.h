/* Finding the domain of a process: for commands that look at a run in progress, or change it. */
#ifndef QR_CLI_ATTACH_H
#define QR_CLI_ATTACH_H

#include <stdbool.h>

#include "domain.h"

/* A process number; false if the text is none. */
bool qr_attach_parse_pid(const char *text, int *pid);

/* Maps the domain of a launcher or of any process under it; without is_writable for looking only, see domain.h. Says,
 * as that command, what is wrong and returns false on error. */
bool qr_attach(const char *command, int pid, bool is_writable, struct qr_domain *domain);

#endif
