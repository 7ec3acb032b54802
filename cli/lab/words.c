/* Strings of the lab: made, quoted, compared, and numbers for people. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "lab/words.h"

/* Words longer than this are compared by their beginnings. */
#define MAX_COMPARED 63u

static void add_arguments(struct qr_lab_text *text, const char *format, va_list arguments) QR_PRINTF(2, 0);
static void make_room(struct qr_lab_text *text, size_t length);
static unsigned distance(const char *first, const char *second);
static void die(void);

void *qr_lab_alloc(size_t nr, size_t size)
{
	void *memory = calloc(nr ? nr : 1, size);

	if (!memory)
		die();
	return memory;
}

char *qr_lab_format(const char *format, ...)
{
	struct qr_lab_text text = {0};
	va_list arguments;

	va_start(arguments, format);
	add_arguments(&text, format, arguments);
	va_end(arguments);
	return text.text;
}

void qr_lab_text_add(struct qr_lab_text *text, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	add_arguments(text, format, arguments);
	va_end(arguments);
}

static void add_arguments(struct qr_lab_text *text, const char *format, va_list arguments)
{
	char *words = NULL;
	int length = vasprintf(&words, format, arguments);

	if (length < 0)
		die();
	qr_lab_text_add_bytes(text, words, (size_t)length);
	free(words);
}

void qr_lab_text_add_bytes(struct qr_lab_text *text, const char *bytes, size_t length)
{
	make_room(text, length);
	memcpy(text->text + text->length, bytes, length);
	text->length += length;
	text->text[text->length] = '\0';
}

/* For length more characters and the NUL. */
static void make_room(struct qr_lab_text *text, size_t length)
{
	size_t size = QR_MAX(text->length + length + 1, 2 * text->size);
	char *bytes;

	if (text->length + length < text->size)
		return;
	bytes = realloc(text->text, size);
	if (!bytes)
		die();
	text->text = bytes;
	text->size = size;
}

void qr_lab_text_add_quoted(struct qr_lab_text *text, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+./:,@%";

	if (*word && strspn(word, plain) == strlen(word)) {
		qr_lab_text_add(text, "%s", word);
		return;
	}
	qr_lab_text_add(text, "'");
	for (; *word; word++)
		qr_lab_text_add(text, *word == '\'' ? "'\\''" : "%c", *word);
	qr_lab_text_add(text, "'");
}

const char *qr_lab_nearest(const json_t *list, const char *name)
{
	/* One letter in three may be wrong, and one always. */
	unsigned best = (unsigned)strlen(name) / 3 + 2;
	const char *nearest = NULL;
	const json_t *entry;
	size_t i;

	json_array_foreach(list, i, entry)
	{
		unsigned apart = distance(name, qr_lab_name_of(entry));

		if (apart < best) {
			best = apart;
			nearest = qr_lab_name_of(entry);
		}
	}
	return nearest;
}

/* Levenshtein distance with two swapped neighbours counted as one error (optimal string alignment). */
static unsigned distance(const char *first, const char *second)
{
	unsigned rows[3][MAX_COMPARED + 1];
	unsigned nr_first = (unsigned)strnlen(first, MAX_COMPARED), nr_second = (unsigned)strnlen(second, MAX_COMPARED);

	for (unsigned j = 0; j <= nr_second; j++)
		rows[0][j] = j;
	for (unsigned i = 1; i <= nr_first; i++) {
		unsigned *row = rows[i % 3];
		const unsigned *above = rows[(i - 1) % 3], *above2 = rows[(i + 1) % 3];

		row[0] = i;
		for (unsigned j = 1; j <= nr_second; j++) {
			row[j] = QR_MIN(above[j], row[j - 1]) + 1;
			row[j] = QR_MIN(row[j], above[j - 1] + (first[i - 1] != second[j - 1]));
			if (i > 1 && j > 1 && first[i - 1] == second[j - 2] && first[i - 2] == second[j - 1])
				row[j] = QR_MIN(row[j], above2[j - 2] + 1);
		}
	}
	return rows[nr_first % 3][nr_second];
}

char *qr_lab_join_names(const json_t *list)
{
	size_t nr = json_array_size(list);
	struct qr_lab_text text = {0};
	const json_t *entry;
	size_t i;

	json_array_foreach(list, i, entry) qr_lab_text_add(&text, "%s%s",
							   !i           ? ""
							   : i + 1 < nr ? ", "
									: " and ",
							   qr_lab_name_of(entry));
	if (!nr)
		qr_lab_text_add(&text, "none");
	return text.text;
}

const char *qr_lab_name_of(const json_t *entry)
{
	const char *name = json_string_value(json_is_object(entry) ? json_object_get(entry, "name") : entry);

	return name ? name : "";
}

bool qr_lab_parse_number(const char *word, uint64_t most, uint64_t *number)
{
	uint64_t value = 0;

	if (!*word)
		return false;
	for (; *word; word++) {
		if (*word < '0' || *word > '9')
			return false;
		value = value * 10 + (uint64_t)(*word - '0');
		if (value > most)
			return false;
	}
	*number = value;
	return value > 0;
}

char *qr_lab_format_rate(char buffer[QR_LAB_NUMBER_MAX], double value)
{
	static const char *const prefixes[] = {"", " k", " M", " G", " T"};
	unsigned prefix = 0;

	/* 999.5 would print as 1000. */
	while (value >= 999.5 && prefix + 1 < QR_ARRAY_SIZE(prefixes)) {
		value /= 1000;
		prefix++;
	}
	(void)snprintf(buffer, QR_LAB_NUMBER_MAX,
		       value >= 99.95   ? "%.0f%s"
		       : value >= 9.995 ? "%.1f%s"
					: "%.2f%s",
		       value, prefixes[prefix]);
	return buffer;
}

char *qr_lab_format_ns(char buffer[QR_LAB_NUMBER_MAX], double ns)
{
	static const char *const units[] = {"ns", "us", "ms", "s"};
	unsigned unit = 0;

	while (ns >= 9999.5 && unit + 1 < QR_ARRAY_SIZE(units)) {
		ns /= 1000;
		unit++;
	}
	/* A few microseconds keep their tenths, as in "8.5us". */
	if (!unit && ns >= 999.5) {
		ns /= 1000;
		unit++;
	}
	(void)snprintf(buffer, QR_LAB_NUMBER_MAX, ns >= 9.95 || !unit ? "%.0f%s" : "%.1f%s", ns, units[unit]);
	return buffer;
}

double qr_lab_number(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

const char *qr_lab_string(const json_t *object, const char *key)
{
	const char *string = json_string_value(json_object_get(object, key));

	return string ? string : "";
}

static void die(void)
{
	qr_cli_say("out of memory");
	exit(QR_EXIT_FAILED);
}
