/* Traces: formats, and the pages that they name in their order. */
#ifndef QR_CLI_REPLAY_TRACE_H
#define QR_CLI_REPLAY_TRACE_H

#include "replay/source.h"

enum qr_trace_format {
	QR_TRACE_AUTO,
	QR_TRACE_ORACLE, /* libCacheSim's oracleGeneral: records of u32 time, u64 object, u32 size, i64 next access */
	QR_TRACE_TEXT,   /* a page number (decimal) or an address (0x...) per line; # begins a comment */
	QR_TRACE_CSV,    /* the first line names the columns */
	QR_TRACE_LACKEY, /* valgrind --tool=lackey --trace-mem=yes */
	QR_NR_TRACE_FORMATS,
};

/* Lines beyond that are an error: what is no text would fill the memory. */
#define QR_TRACE_LINE_MAX 4096u
#define QR_TRACE_BUFFER (256u << 10)

struct qr_trace {
	struct qr_source *source;
	enum qr_trace_format format;
	unsigned page_shift;
	char *buffer; /* [QR_TRACE_BUFFER + 1] */
	size_t at, end;
	bool is_at_end;
	uint64_t offset; /* of buffer[0] in the uncompressed trace */
	uint64_t nr_lines;
	uint64_t nr_accesses; /* that have been read */
	/* CSV: */
	unsigned column;
	char separator;
	bool is_address;
	/* Pages of an access that spans several, which are still to come: from (including) to (excluding). */
	uint64_t span_from, span_to;
	char *error; /* [QR_REPLAY_ERROR_MAX], the caller's */
};

/* "auto", "oracle", ... [enum qr_trace_format] */
extern const char *const qr_trace_format_names[QR_NR_TRACE_FORMATS];

/* Begins to read; page_shift: log2 of the bytes of a page. Takes the source, which qr_trace_close() closes, also after
 * a failure. Returns 0, or -1 with the reason in error. */
int qr_trace_open(struct qr_trace *trace, struct qr_source *source, enum qr_trace_format format, unsigned page_shift,
		  char *error);
void qr_trace_close(struct qr_trace *trace);

/* The next pages, at most nr. Returns how many, 0 at the end, -1 with the place and what was expected in error. What
 * comes before an error is returned first. */
long qr_trace_read(struct qr_trace *trace, uint64_t *pages, size_t nr);

#endif
