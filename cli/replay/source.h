/* Bytes of a trace: from a file, standard input or memory, uncompressed if they are gzip or zstd. */
#ifndef QR_CLI_REPLAY_SOURCE_H
#define QR_CLI_REPLAY_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where functions say what is wrong: char [QR_REPLAY_ERROR_MAX]. */
#define QR_REPLAY_ERROR_MAX 512u

struct qr_source;

/* The file, "-" for standard input. Returns NULL with the reason in error. */
struct qr_source *qr_source_open(const char *path, char *error);
/* The same from memory, which stays until the source is closed. */
struct qr_source *qr_source_open_memory(const void *bytes, size_t nr_bytes, char *error);
void qr_source_close(struct qr_source *source);

/* Up to nr_bytes bytes; fewer than that are no sign of the end. Returns how many, 0 at the end, -1 with the reason in
 * error. */
long qr_source_read(struct qr_source *source, void *bytes, size_t nr_bytes, char *error);

/* How much of the input has been taken, as a fraction; 0 if its size is unknown. */
double qr_source_progress(const struct qr_source *source);

#endif
