/* Traces of lines: plain numbers, and CSV whose first line names the columns. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "replay/trace_priv.h"

/* Names of columns that hold pages (or other objects of the size of one), and of those that hold addresses in bytes. */
static const char *const page_columns[] = {"page",   "pfn", "vpn", "page_number", "block", "lbn",
					   "object", "obj", "key", "obj_id",      "id"};
static const char *const address_columns[] = {"address", "addr", "vaddr", "virtual_address"};

static bool parse_field(const struct qr_trace *trace, const char *line, uint64_t *number);
static unsigned find_column(const char *line, bool *is_address, char *separator);
static bool is_one_of(const char *const *names, unsigned nr, const char *field, size_t length);
static size_t field_length(const char *field, char separator);

long qr_trace_read_text(struct qr_trace *trace, uint64_t *pages, size_t nr)
{
	size_t nr_done = 0;
	bool has_failed = false;
	char *line;

	while (nr_done < nr && (line = qr_trace_next_line(trace, &has_failed))) {
		const char *at = line + strspn(line, " \t");
		uint64_t number;
		bool is_hex;

		if (!*at || *at == '#')
			continue;
		if (!qr_trace_parse_number(&at, &number, &is_hex) || (*at && at[strspn(at, " \t")])) {
			(void)qr_trace_say_line(trace, line, "a page number or a hexadecimal address (0x...)");
			break;
		}
		pages[nr_done++] = is_hex ? number >> trace->page_shift : number;
	}
	return (long)nr_done;
}

long qr_trace_read_csv(struct qr_trace *trace, uint64_t *pages, size_t nr)
{
	size_t nr_done = 0;
	bool has_failed = false;
	char *line;

	while (nr_done < nr && (line = qr_trace_next_line(trace, &has_failed))) {
		uint64_t number;

		if (!*line)
			continue;
		if (!parse_field(trace, line, &number)) {
			char expected[64];

			(void)snprintf(expected, sizeof(expected), "a number in column %u", trace->column + 1);
			(void)qr_trace_say_line(trace, line, expected);
			break;
		}
		pages[nr_done++] = trace->is_address ? number >> trace->page_shift : number;
	}
	return (long)nr_done;
}

/* The number in the column that counts, with or without quotes and blanks. */
static bool parse_field(const struct qr_trace *trace, const char *line, uint64_t *number)
{
	bool is_hex;

	for (unsigned column = 0; column < trace->column; column++) {
		line += field_length(line, trace->separator);
		if (!*line++)
			return false;
	}
	line += strspn(line, " \"");
	if (!qr_trace_parse_number(&line, number, &is_hex))
		return false;
	line += strspn(line, " \"");
	return !*line || *line == trace->separator;
}

int qr_trace_read_csv_header(struct qr_trace *trace)
{
	bool has_failed = false;
	char *line = qr_trace_next_line(trace, &has_failed);

	if (!line)
		return -1;
	trace->column = find_column(line, &trace->is_address, &trace->separator);
	if (trace->column != UINT32_MAX)
		return 0;
	return qr_trace_say_line(trace, line, "names of columns, one of them page, block, object or address");
}

bool qr_trace_is_csv_header(const char *line)
{
	bool is_address;
	char separator;

	return find_column(line, &is_address, &separator) != UINT32_MAX;
}

/* The first column that is known, UINT32_MAX if there is none. */
static unsigned find_column(const char *line, bool *is_address, char *separator)
{
	unsigned column = 0;

	*separator = line[strcspn(line, ",;\t")];
	if (!*separator)
		*separator = ',';
	for (;; column++) {
		size_t length = field_length(line, *separator);
		const char *field = line;
		size_t inner = length;

		while (inner && strchr(" \"", *field)) {
			field++;
			inner--;
		}
		while (inner && strchr(" \"", field[inner - 1]))
			inner--;
		*is_address = is_one_of(address_columns, QR_ARRAY_SIZE(address_columns), field, inner);
		if (*is_address || is_one_of(page_columns, QR_ARRAY_SIZE(page_columns), field, inner))
			return column;
		if (!line[length])
			return UINT32_MAX;
		line += length + 1;
	}
}

static bool is_one_of(const char *const *names, unsigned nr, const char *field, size_t length)
{
	for (unsigned i = 0; i < nr; i++) {
		if (strlen(names[i]) == length && !strncasecmp(names[i], field, length))
			return true;
	}
	return false;
}

/* Separators in double quotes do not count. */
static size_t field_length(const char *field, char separator)
{
	bool is_quoted = false;
	size_t length = 0;

	for (; field[length] && (is_quoted || field[length] != separator); length++)
		is_quoted ^= field[length] == '"';
	return length;
}
