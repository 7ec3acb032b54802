/* Tables as text and as HTML. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lab/table.h"
#include "lab/words.h"

/* Text that is wider is continued below, block by block, with the first column repeated. */
#define MAX_WIDTH 118u
#define GAP 2u

static unsigned width_of(const struct qr_table *table, unsigned column, unsigned nr_rows);
static unsigned letters(const char *text);
static unsigned end_of_block(const struct qr_table *table, const unsigned *widths, unsigned from);
static void print_block(const struct qr_table *table, FILE *file, const unsigned *widths, unsigned from, unsigned to,
			unsigned nr_rows);
static void print_groups(const struct qr_table *table, FILE *file, const unsigned *widths, unsigned from, unsigned to);
static void print_field(FILE *file, const char *text, unsigned width, bool is_text, bool is_last);
static bool is_same_group(const struct qr_table *table, unsigned first, unsigned second);
static bool has_groups(const struct qr_table *table);
static void print_html_heads(const struct qr_table *table, FILE *file);
static void print_html_row(const struct qr_table *table, FILE *file, unsigned row);

struct qr_table *qr_table_make(const char *title, ...)
{
	struct qr_table *table = qr_lab_alloc(1, sizeof(*table));
	char buffer[512];
	va_list arguments;

	va_start(arguments, title);
	(void)vsnprintf(buffer, sizeof(buffer), title, arguments);
	va_end(arguments);
	table->title = qr_lab_format("%s", buffer);
	return table;
}

void qr_table_free(struct qr_table *table)
{
	for (unsigned row = 0; row < table->nr_rows; row++) {
		for (unsigned i = 0; i < table->nr_columns; i++)
			free(table->rows[row][i]);
		free(table->rows[row]);
	}
	for (unsigned i = 0; i < table->nr_columns; i++) {
		free(table->columns[i].name);
		free(table->columns[i].group);
	}
	free(table->columns);
	free(table->rows);
	free(table->is_minor);
	free(table->title);
	free(table);
}

void qr_table_add_column(struct qr_table *table, const char *group, const char *name, bool is_text)
{
	struct qr_table_column *columns = qr_lab_alloc(table->nr_columns + 1, sizeof(*columns));

	if (table->nr_columns)
		memcpy(columns, table->columns, table->nr_columns * sizeof(*columns));
	free(table->columns);
	table->columns = columns;
	columns[table->nr_columns++] = (struct qr_table_column){
		.name = qr_lab_format("%s", name),
		.group = group ? qr_lab_format("%s", group) : NULL,
		.is_text = is_text,
	};
}

void qr_table_add_row(struct qr_table *table, bool is_minor)
{
	/* Room doubles with each power of two. */
	if (!(table->nr_rows & (table->nr_rows - 1))) {
		size_t room = table->nr_rows ? 2 * (size_t)table->nr_rows : 1;
		char ***rows = qr_lab_alloc(room, sizeof(*rows));
		bool *minors = qr_lab_alloc(room, sizeof(*minors));

		if (table->nr_rows) {
			memcpy(rows, table->rows, table->nr_rows * sizeof(*rows));
			memcpy(minors, table->is_minor, table->nr_rows * sizeof(*minors));
		}
		free(table->rows);
		free(table->is_minor);
		table->rows = rows;
		table->is_minor = minors;
	}
	table->rows[table->nr_rows] = qr_lab_alloc(table->nr_columns, sizeof(char *));
	table->is_minor[table->nr_rows++] = is_minor;
}

void qr_table_put(struct qr_table *table, const char *format, ...)
{
	char **row = table->rows[table->nr_rows - 1];
	char buffer[1024];
	unsigned i = 0;
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(buffer, sizeof(buffer), format, arguments);
	va_end(arguments);
	while (i < table->nr_columns && row[i])
		i++;
	if (i < table->nr_columns)
		row[i] = qr_lab_format("%s", buffer);
}

void qr_table_print(const struct qr_table *table, FILE *file, unsigned max_rows)
{
	unsigned nr_rows = max_rows && max_rows < table->nr_rows ? max_rows : table->nr_rows;
	unsigned *widths = qr_lab_alloc(table->nr_columns, sizeof(*widths));
	unsigned from = 0;

	for (unsigned i = 0; i < table->nr_columns; i++)
		widths[i] = width_of(table, i, nr_rows);
	(void)fprintf(file, "%s\n", table->title);
	do {
		unsigned to = end_of_block(table, widths, from);

		print_block(table, file, widths, from, to, nr_rows);
		from = to;
	} while (from < table->nr_columns);
	if (nr_rows < table->nr_rows)
		(void)fprintf(file, "(%u more)\n", table->nr_rows - nr_rows);
	(void)fputc('\n', file);
	free(widths);
}

static unsigned width_of(const struct qr_table *table, unsigned column, unsigned nr_rows)
{
	unsigned width = letters(table->columns[column].name), span = 1, group;

	for (unsigned row = 0; row < nr_rows; row++) {
		const char *text = table->rows[row][column];

		width = QR_MAX(width,
			       text ? letters(text) + (table->is_minor[row] && table->columns[column].is_text ? 2 : 0)
				    : 0);
	}
	if (!table->columns[column].group)
		return width;
	/* The group's heading must find room over its columns. */
	while (column + span < table->nr_columns && is_same_group(table, column, column + span))
		span++;
	for (unsigned i = column; i-- > 0 && is_same_group(table, i, column);)
		span++;
	group = letters(table->columns[column].group);
	return QR_MAX(width, (group + span - 1 - QR_MIN(group, GAP * (span - 1))) / span);
}

/* Columns on the screen: bytes that begin a character of UTF-8. */
static unsigned letters(const char *text)
{
	unsigned nr = 0;

	for (; *text; text++)
		nr += ((unsigned char)*text & 0xc0) != 0x80;
	return nr;
}

/* A block ends where the next group would not fit. */
static unsigned end_of_block(const struct qr_table *table, const unsigned *widths, unsigned from)
{
	unsigned width = from ? widths[0] : 0, to = from;

	while (to < table->nr_columns) {
		unsigned next = to, added = 0;

		do {
			added += widths[next++] + GAP;
		} while (next < table->nr_columns && table->columns[to].group && is_same_group(table, to, next));
		if (to > from && (from || to > 1) && width + added > MAX_WIDTH)
			break;
		width += added;
		to = next;
	}
	return to;
}

static void print_block(const struct qr_table *table, FILE *file, const unsigned *widths, unsigned from, unsigned to,
			unsigned nr_rows)
{
	if (has_groups(table))
		print_groups(table, file, widths, from, to);
	if (from)
		print_field(file, table->columns[0].name, widths[0], table->columns[0].is_text, false);
	for (unsigned i = from; i < to; i++)
		print_field(file, table->columns[i].name, widths[i], table->columns[i].is_text, i + 1 == to);
	(void)fputc('\n', file);
	for (unsigned row = 0; row < nr_rows; row++) {
		for (unsigned i = from ? 0 : from; i < to; i = !i && from ? from : i + 1) {
			const char *text = table->rows[row][i] ? table->rows[row][i] : "";
			bool is_text = table->columns[i].is_text;
			char *indented = qr_lab_format("%s%s", table->is_minor[row] && is_text ? "  " : "", text);

			print_field(file, indented, widths[i], is_text, i + 1 == to);
			free(indented);
		}
		(void)fputc('\n', file);
	}
}

static void print_groups(const struct qr_table *table, FILE *file, const unsigned *widths, unsigned from, unsigned to)
{
	unsigned i = from, blanks = from ? widths[0] + GAP : 0;

	while (i < to) {
		const char *group = table->columns[i].group;
		unsigned begin = i, width = widths[i];

		while (++i < to && group && is_same_group(table, begin, i))
			width += GAP + widths[i];
		/* Over its columns' right edge, where their numbers end; blanks wait for what comes behind them. */
		if (group) {
			(void)fprintf(file, "%*s", (int)blanks, "");
			print_field(file, group, width, false, true);
			blanks = GAP;
		} else {
			blanks += width + GAP;
		}
	}
	(void)fputc('\n', file);
}

static void print_field(FILE *file, const char *text, unsigned width, bool is_text, bool is_last)
{
	unsigned pad = width > letters(text) ? width - letters(text) : 0;

	if (is_text)
		(void)fprintf(file, "%s%*s", text, is_last ? 0 : (int)(pad + GAP), "");
	else
		(void)fprintf(file, "%*s%s%*s", (int)pad, "", text, is_last ? 0 : (int)GAP, "");
}

static bool is_same_group(const struct qr_table *table, unsigned first, unsigned second)
{
	const char *a = table->columns[first].group, *b = table->columns[second].group;

	return a && b && !strcmp(a, b);
}

static bool has_groups(const struct qr_table *table)
{
	for (unsigned i = 0; i < table->nr_columns; i++) {
		if (table->columns[i].group)
			return true;
	}
	return false;
}

void qr_table_print_html(const struct qr_table *table, FILE *file, unsigned max_rows)
{
	unsigned nr_rows = max_rows && max_rows < table->nr_rows ? max_rows : table->nr_rows;

	(void)fputs("<div class=\"wide\"><table>\n<caption>", file);
	qr_html_put(file, table->title);
	(void)fputs("</caption>\n<thead>\n", file);
	print_html_heads(table, file);
	(void)fputs("</thead>\n<tbody>\n", file);
	for (unsigned row = 0; row < nr_rows; row++)
		print_html_row(table, file, row);
	(void)fputs("</tbody>\n</table></div>\n", file);
	if (nr_rows < table->nr_rows)
		(void)fprintf(file, "<p class=\"note\">%u more rows are in the JSON output.</p>\n",
			      table->nr_rows - nr_rows);
}

static void print_html_heads(const struct qr_table *table, FILE *file)
{
	if (has_groups(table)) {
		(void)fputs("<tr>", file);
		for (unsigned i = 0, end; i < table->nr_columns; i = end) {
			end = i + 1;
			while (end < table->nr_columns && is_same_group(table, i, end))
				end++;
			(void)fprintf(file, "<th colspan=\"%u\"%s>", end - i,
				      table->columns[i].group ? " class=\"group\"" : "");
			qr_html_put(file, table->columns[i].group ? table->columns[i].group : "");
			(void)fputs("</th>", file);
		}
		(void)fputs("</tr>\n", file);
	}
	(void)fputs("<tr>", file);
	for (unsigned i = 0; i < table->nr_columns; i++) {
		(void)fprintf(file, "<th%s>", table->columns[i].is_text ? " class=\"text\"" : "");
		qr_html_put(file, table->columns[i].name);
		(void)fputs("</th>", file);
	}
	(void)fputs("</tr>\n", file);
}

static void print_html_row(const struct qr_table *table, FILE *file, unsigned row)
{
	(void)fputs(table->is_minor[row] ? "<tr class=\"minor\">" : "<tr>", file);
	for (unsigned i = 0; i < table->nr_columns; i++) {
		(void)fprintf(file, "<td%s>", table->columns[i].is_text ? " class=\"text\"" : "");
		qr_html_put(file, table->rows[row][i] ? table->rows[row][i] : "");
		(void)fputs("</td>", file);
	}
	(void)fputs("</tr>\n", file);
}

void qr_html_put(FILE *file, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<':
			(void)fputs("&lt;", file);
			break;
		case '>':
			(void)fputs("&gt;", file);
			break;
		case '&':
			(void)fputs("&amp;", file);
			break;
		case '"':
			(void)fputs("&quot;", file);
			break;
		default:
			(void)fputc(*text, file);
		}
	}
}
