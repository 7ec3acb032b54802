/* Reading of traces: which format it is, lines, numbers, messages. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/words.h"
#include "replay/trace_priv.h"

/* That much of a line is shown when it is wrong. */
#define SHOWN_MAX 60u

static enum qr_trace_format guess_format(const struct qr_trace *trace);

const char *const qr_trace_format_names[QR_NR_TRACE_FORMATS] = {"auto", "oracle", "text", "csv", "lackey"};

int qr_trace_open(struct qr_trace *trace, struct qr_source *source, enum qr_trace_format format, unsigned page_shift,
		  char *error)
{
	*trace = (struct qr_trace){.source = source, .format = format, .page_shift = page_shift, .error = error};
	error[0] = '\0';
	trace->buffer = qr_lab_alloc(1, QR_TRACE_BUFFER + 1);
	while (trace->end < QR_TRACE_LINE_MAX && !trace->is_at_end) {
		if (!qr_trace_fill(trace))
			return -1;
	}
	if (!trace->end) {
		(void)snprintf(error, QR_REPLAY_ERROR_MAX, "is empty");
		return -1;
	}
	if (format == QR_TRACE_AUTO)
		trace->format = guess_format(trace);
	return trace->format == QR_TRACE_CSV ? qr_trace_read_csv_header(trace) : 0;
}

void qr_trace_close(struct qr_trace *trace)
{
	qr_source_close(trace->source);
	free(trace->buffer);
}

/* Binary is oracleGeneral: the high bytes of its numbers are 0. */
static enum qr_trace_format guess_format(const struct qr_trace *trace)
{
	char text[QR_TRACE_LINE_MAX + 1];
	size_t nr = QR_MIN(trace->end, (size_t)QR_TRACE_LINE_MAX);

	for (size_t i = 0; i < nr; i++) {
		unsigned char byte = (unsigned char)trace->buffer[i];

		if (byte < ' ' && byte != '\n' && byte != '\r' && byte != '\t')
			return QR_TRACE_ORACLE;
		text[i] = (char)byte;
	}
	text[nr] = '\0';
	if (qr_trace_is_lackey(text))
		return QR_TRACE_LACKEY;
	text[strcspn(text, "\r\n")] = '\0';
	return qr_trace_is_csv_header(text) ? QR_TRACE_CSV : QR_TRACE_TEXT;
}

long qr_trace_read(struct qr_trace *trace, uint64_t *pages, size_t nr)
{
	static long (*const readers[QR_NR_TRACE_FORMATS])(struct qr_trace *, uint64_t *, size_t) = {
		[QR_TRACE_ORACLE] = qr_trace_read_oracle,
		[QR_TRACE_TEXT] = qr_trace_read_text,
		[QR_TRACE_CSV] = qr_trace_read_csv,
		[QR_TRACE_LACKEY] = qr_trace_read_lackey,
	};
	long got;

	/* An error was found behind what the call before returned. */
	if (trace->error[0])
		return -1;
	got = readers[trace->format](trace, pages, nr);
	if (got > 0)
		trace->nr_accesses += (uint64_t)got;
	return got || !trace->error[0] ? got : -1;
}

bool qr_trace_fill(struct qr_trace *trace)
{
	long nr;

	if (trace->at) {
		memmove(trace->buffer, trace->buffer + trace->at, trace->end - trace->at);
		trace->offset += trace->at;
		trace->end -= trace->at;
		trace->at = 0;
	}
	nr = qr_source_read(trace->source, trace->buffer + trace->end, QR_TRACE_BUFFER - trace->end, trace->error);
	if (nr < 0)
		return false;
	trace->end += (size_t)nr;
	trace->is_at_end = !nr;
	return true;
}

char *qr_trace_next_line(struct qr_trace *trace, bool *has_failed)
{
	char *line, *end;

	for (;;) {
		line = trace->buffer + trace->at;
		end = memchr(line, '\n', trace->end - trace->at);
		if (end || trace->is_at_end || trace->end - trace->at > QR_TRACE_LINE_MAX)
			break;
		*has_failed = !qr_trace_fill(trace);
		if (*has_failed)
			return NULL;
	}
	if (!end && trace->at == trace->end)
		return NULL;
	if (!end)
		end = trace->buffer + trace->end;
	trace->nr_lines++;
	if (end - line > (long)QR_TRACE_LINE_MAX) {
		(void)snprintf(trace->error, QR_REPLAY_ERROR_MAX, "line %llu (byte %llu) has more than %u characters",
			       (unsigned long long)trace->nr_lines, (unsigned long long)trace->offset + trace->at,
			       QR_TRACE_LINE_MAX);
		*has_failed = true;
		return NULL;
	}
	trace->at = QR_MIN((size_t)(end - trace->buffer) + 1, trace->end);
	/* A string ends at its first NUL; one within the line must not hide the rest. */
	for (char *nul = line; (nul = memchr(nul, '\0', (size_t)(end - nul)));)
		*nul = '\1';
	if (end > line && end[-1] == '\r')
		end[-1] = '\0';
	*end = '\0';
	return line;
}

int qr_trace_say_line(struct qr_trace *trace, const char *line, const char *expected)
{
	char shown[SHOWN_MAX + 1];
	size_t nr = strnlen(line, SHOWN_MAX);

	for (size_t i = 0; i < nr; i++)
		shown[i] = line[i] >= ' ' && line[i] <= '~' ? line[i] : '?';
	shown[nr] = '\0';
	(void)snprintf(trace->error, QR_REPLAY_ERROR_MAX, "line %llu (byte %llu): expected %s, found '%s'",
		       (unsigned long long)trace->nr_lines,
		       (unsigned long long)trace->offset + (uint64_t)(line - trace->buffer), expected, shown);
	return -1;
}

bool qr_trace_parse_digits(const char **text, unsigned base, uint64_t *number)
{
	const char *at = *text;
	uint64_t value = 0;

	for (;; at++) {
		unsigned digit = *at >= '0' && *at <= '9'   ? (unsigned)(*at - '0')
				 : *at >= 'a' && *at <= 'f' ? (unsigned)(*at - 'a') + 10
				 : *at >= 'A' && *at <= 'F' ? (unsigned)(*at - 'A') + 10
							    : base;

		if (digit >= base)
			break;
		if (value > (UINT64_MAX - digit) / base)
			return false;
		value = value * base + digit;
	}
	if (at == *text)
		return false;
	*text = at;
	*number = value;
	return true;
}

bool qr_trace_parse_number(const char **text, uint64_t *number, bool *is_hex)
{
	*is_hex = (*text)[0] == '0' && ((*text)[1] == 'x' || (*text)[1] == 'X');
	if (*is_hex)
		*text += 2;
	return qr_trace_parse_digits(text, *is_hex ? 16 : 10, number);
}
