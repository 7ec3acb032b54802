/* Traces of known patterns, for comparisons that everybody can repeat. */
#ifndef QR_CLI_REPLAY_GENERATE_H
#define QR_CLI_REPLAY_GENERATE_H

#include "replay/request.h"

/* "scan+hot", "loop", "zipf-shift"; ended by NULL. */
extern const char *const qr_generate_patterns[];

/* Writes request->nr_accesses page numbers, one per line, to standard output. Equal requests give equal bytes. Returns
 * 0, or QR_EXIT_FAILED after saying why. */
int qr_generate(const struct qr_replay_request *request);

#endif
