/*
 * Output of valgrind --tool=lackey --trace-mem=yes: "I  04016910,3", " L 1ffeffe7c8,8", " S ...", " M ...": kind,
 * hexadecimal address, decimal size. An access that spans pages touches each of them. Lines of valgrind itself begin
 * with "==" or "--".
 */
#include <string.h>

#include "replay/trace_priv.h"

/* No instruction touches more: XSAVE with all of AVX-512 and AMX is below 12 KiB. */
#define MAX_SIZE 65536u

static bool is_valgrinds(const char *line)
{
	return !strncmp(line, "==", 2) || !strncmp(line, "--", 2);
}

static bool parse(const char *line, uint64_t *address, uint64_t *size)
{
	if (strncmp(line, "I  ", 3) && strncmp(line, " L ", 3) && strncmp(line, " S ", 3) && strncmp(line, " M ", 3))
		return false;
	line += 3;
	if (!qr_trace_parse_digits(&line, 16, address) || *line++ != ',')
		return false;
	return qr_trace_parse_digits(&line, 10, size) && !*line && *size && *size <= MAX_SIZE &&
	       *address <= UINT64_MAX - *size;
}

long qr_trace_read_lackey(struct qr_trace *trace, uint64_t *pages, size_t nr)
{
	size_t nr_done = 0;
	bool has_failed = false;
	char *line;

	while (nr_done < nr) {
		uint64_t address, size;

		if (trace->span_from != trace->span_to) {
			pages[nr_done++] = trace->span_from++;
			continue;
		}
		line = qr_trace_next_line(trace, &has_failed);
		if (!line)
			break;
		if (!*line || is_valgrinds(line))
			continue;
		if (!parse(line, &address, &size)) {
			(void)qr_trace_say_line(trace, line, "a line of lackey, such as ' L 1ffeffe7c8,8'");
			break;
		}
		trace->span_from = address >> trace->page_shift;
		trace->span_to = ((address + size - 1) >> trace->page_shift) + 1;
	}
	return (long)nr_done;
}

bool qr_trace_is_lackey(const char *text)
{
	uint64_t address, size;
	char line[QR_TRACE_LINE_MAX + 1];

	while (*text) {
		size_t length = strcspn(text, "\r\n");

		memcpy(line, text, length);
		line[length] = '\0';
		if (*line && !is_valgrinds(line))
			return parse(line, &address, &size);
		text += length;
		text += strspn(text, "\r\n");
	}
	return false;
}
