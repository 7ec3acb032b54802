/* What the formats share. */
#ifndef QR_CLI_REPLAY_TRACE_PRIV_H
#define QR_CLI_REPLAY_TRACE_PRIV_H

#include "base/base.h"
#include "replay/trace.h"

/* Each returns how many pages it put, 0 at the end. An error is left in trace->error, and may have pages before it. */
long qr_trace_read_oracle(struct qr_trace *trace, uint64_t *pages, size_t nr);
long qr_trace_read_text(struct qr_trace *trace, uint64_t *pages, size_t nr);
long qr_trace_read_csv(struct qr_trace *trace, uint64_t *pages, size_t nr);
long qr_trace_read_lackey(struct qr_trace *trace, uint64_t *pages, size_t nr);

/* Reads the line that names the columns. Returns 0 or -1. */
int qr_trace_read_csv_header(struct qr_trace *trace);
/* Whether a line names the columns of a CSV file that can be read. */
bool qr_trace_is_csv_header(const char *line);
bool qr_trace_is_lackey(const char *text);

/* The next line without its end, as a string that may be changed; NULL at the end, or after an error with *has_failed
 * set. */
char *qr_trace_next_line(struct qr_trace *trace, bool *has_failed);
/* Gets more bytes behind those that are there. Returns false after an error. */
bool qr_trace_fill(struct qr_trace *trace);
/* Says what is wrong at the line that was read last; line is in the buffer. Returns -1. */
int qr_trace_say_line(struct qr_trace *trace, const char *line, const char *expected);

/* Reads digits of that base at *text and moves it behind them. Returns false if there are none or too many. */
bool qr_trace_parse_digits(const char **text, unsigned base, uint64_t *number);
/* A decimal number, or a hexadecimal one behind 0x, and whether it was that. */
bool qr_trace_parse_number(const char **text, uint64_t *number, bool *is_hex);

#endif
