/* The command line: its commands, its exit statuses, how it speaks and how it prints numbers; its clock. */
#ifndef QR_CLI_H
#define QR_CLI_H

#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

/* As env(1) and timeout(1) use them. */
#define QR_EXIT_FAILED 125         /* quire itself failed */
#define QR_EXIT_NOT_EXECUTABLE 126 /* the program is there but cannot run under quire */
#define QR_EXIT_NOT_FOUND 127

/* Commands. argv[0] is the command's name. They return the exit status. */
int qr_cli_run(int argc, char **argv);
int qr_cli_doctor(int argc, char **argv);
int qr_cli_stat(int argc, char **argv);
int qr_cli_ctl(int argc, char **argv);
int qr_cli_record(int argc, char **argv);
int qr_cli_lab(int argc, char **argv);
int qr_cli_claims(int argc, char **argv);
int qr_cli_replay(int argc, char **argv);

/* The help text of a command, of quire itself for NULL; NULL if there is no such command. */
const char *qr_cli_help_text(const char *command);

/* One line "quire: ..." on standard error. */
void qr_cli_say(const char *format, ...) QR_PRINTF(1, 2);

#define QR_CLI_NUMBER_MAX 32u
/* "512 B", "256.0 MiB"; into buffer, which is returned. */
char *qr_cli_format_bytes(char buffer[QR_CLI_NUMBER_MAX], uint64_t bytes);
/* "81,234" */
char *qr_cli_format_count(char buffer[QR_CLI_NUMBER_MAX], uint64_t count);

/* Seconds of CLOCK_MONOTONIC. */
double qr_cli_seconds(void);

#endif
