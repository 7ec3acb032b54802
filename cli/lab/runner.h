/* quire-lab-cell: the program that runs one cell of an experiment; where it is and how it is started. */
#ifndef QR_CLI_LAB_RUNNER_H
#define QR_CLI_LAB_RUNNER_H

#include <limits.h>
#include <sys/types.h>

#include <jansson.h>

struct qr_runner {
	char path[PATH_MAX];
	char hash[33]; /* of its bytes, hexadecimal: part of the key of every cached cell */
};

/* Looks at $QUIRE_LAB_CELL, then beside this binary, then in the installed places. Returns 0, or QR_EXIT_FAILED after
 * saying what is missing. */
int qr_runner_find(struct qr_runner *runner);

/* XXH128 of a file's bytes in hexadecimal. Returns 0 or a negative errno value. */
int qr_runner_hash_file(const char *path, char hash[33]);

/* Runs it to its end with these arguments (ended by NULL; argv[0] is ignored) and parses what it prints. Returns NULL
 * after saying what went wrong. The caller owns the reference. */
json_t *qr_runner_ask(const struct qr_runner *runner, const char *const *argv);

/* Starts it in the background, its output and its errors in pipes of which the read ends are returned. It dies with
 * this process. Returns its process number or a negative errno value. */
pid_t qr_runner_start(const struct qr_runner *runner, const char *const *argv, int *out_fd, int *err_fd);

/* Becomes it. Returns only on failure, with QR_EXIT_FAILED. */
int qr_runner_become(const struct qr_runner *runner, const char *const *argv);

#endif
