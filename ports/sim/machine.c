/* The parser of machine files. */
#include "machine.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parameter {
	const char *name;
	size_t offset;
	double least, greatest;
};

static const struct parameter parameters[] = {
#define X(field, least, greatest, text) {#field, offsetof(struct qr_machine, field), least, greatest},
	QR_MACHINE_PARAMETERS(X)
#undef X
};
#define NR_PARAMETERS (sizeof(parameters) / sizeof(parameters[0]))

#define MAX_LINE 512u

struct parser {
	const char *file;
	unsigned line;
	bool is_set[NR_PARAMETERS];
	bool has_title;
	struct qr_machine *machine;
	char *error;
};

static int parse_line(struct parser *parser, char *line);
static int parse_value(struct parser *parser, const struct parameter *parameter, const char *value);
static int parse_origin(struct parser *parser, const char *name, const char *origin);
static int check_whole(struct parser *parser);
static int fail(struct parser *parser, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int fail_unknown(struct parser *parser, const char *name);
static char *trim(char *text);

int qr_machine_parse(const char *file, const char *text, size_t len, struct qr_machine *machine,
		     char error[QR_MACHINE_ERROR_LEN])
{
	struct parser parser = {.file = file, .machine = machine, .error = error};
	size_t at = 0;

	memset(machine, 0, sizeof(*machine));
	while (at < len) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t line_len = (end ? (size_t)(end - text) : len) - at;
		char line[MAX_LINE];

		parser.line++;
		if (line_len >= sizeof(line))
			return fail(&parser, "the line is longer than %zu bytes", sizeof(line) - 1);
		if (memchr(text + at, 0, line_len))
			return fail(&parser, "the line contains a zero byte: this is no text file");
		memcpy(line, text + at, line_len);
		line[line_len] = 0;
		if (parse_line(&parser, line))
			return -1;
		at += line_len + 1;
	}
	return check_whole(&parser);
}

static int parse_line(struct parser *parser, char *line)
{
	char *origin = strchr(line, '#');
	char *equals, *name, *value;

	if (origin)
		*origin++ = 0;
	name = trim(line);
	if (!*name)
		return 0; /* empty, or a comment */
	equals = strchr(name, '=');
	if (!equals)
		return fail(parser, "expected 'name = value  # origin', found '%s'", name);
	*equals = 0;
	value = trim(equals + 1);
	name = trim(name);
	if (!strcmp(name, "title")) {
		if (parser->has_title || !*value || strlen(value) >= QR_MACHINE_TITLE_LEN)
			return fail(parser, "a title is given once and has 1 to %u bytes", QR_MACHINE_TITLE_LEN - 1);
		parser->has_title = true;
		strcpy(parser->machine->title, value);
		return 0;
	}
	for (size_t i = 0; i < NR_PARAMETERS; i++) {
		if (strcmp(name, parameters[i].name))
			continue;
		if (parser->is_set[i])
			return fail(parser, "'%s' is given twice", name);
		parser->is_set[i] = true;
		if (parse_value(parser, &parameters[i], value))
			return -1;
		return parse_origin(parser, name, origin ? trim(origin) : "");
	}
	return fail_unknown(parser, name);
}

static int parse_value(struct parser *parser, const struct parameter *parameter, const char *value)
{
	char *end;
	double number;

	errno = 0;
	number = strtod(value, &end);
	/* strtod() also takes hexadecimal, infinity and NaN, none of which is meant here. */
	if (errno || end == value || *end || strspn(value, "0123456789.eE+-") != strlen(value))
		return fail(parser, "'%s' of '%s' is not a number", value, parameter->name);
	if (!(number >= parameter->least && number <= parameter->greatest))
		return fail(parser, "'%s' is %s; it must be from %g to %g", parameter->name, value, parameter->least,
			    parameter->greatest);
	*(double *)(void *)((char *)parser->machine + parameter->offset) = number;
	return 0;
}

static int parse_origin(struct parser *parser, const char *name, const char *origin)
{
	static const char cited[] = "cited:";

	if (!strcmp(origin, "measured") || !strcmp(origin, "assumed"))
		return 0;
	if (!strncmp(origin, cited, strlen(cited)) && origin[strlen(cited)])
		return 0;
	return fail(parser, "'%s' needs an origin after the value: '# measured', '# cited:SOURCE' or '# assumed'",
		    name);
}

static bool is_whole(double number)
{
	return number == (double)(uint64_t)number;
}

static bool is_power_of_2(double number)
{
	uint64_t whole = (uint64_t)number;

	return is_whole(number) && !(whole & (whole - 1));
}

/* What concerns several lines. */
static int check_whole(struct parser *parser)
{
	const struct qr_machine *machine = parser->machine;

	for (size_t i = 0; i < NR_PARAMETERS; i++) {
		if (!parser->is_set[i])
			return fail(parser, "the file ends without '%s'", parameters[i].name);
	}
	if (!parser->has_title)
		return fail(parser, "the file ends without 'title'");
	if (!is_whole(machine->cpus) || !is_whole(machine->nodes) || !is_whole(machine->cluster_cpus) ||
	    !is_whole(machine->device_depth))
		return fail(parser, "cpus, nodes, cluster_cpus and device_depth must be whole numbers");
	if ((uint64_t)machine->cpus % (uint64_t)machine->nodes)
		return fail(parser, "cpus must be a multiple of nodes");
	if ((uint64_t)(machine->cpus / machine->nodes) % (uint64_t)machine->cluster_cpus)
		return fail(parser, "the CPUs of a node must be a multiple of cluster_cpus");
	if (machine->cpus / machine->cluster_cpus > 64)
		return fail(parser, "more than 64 clusters (cpus / cluster_cpus)");
	if (!is_power_of_2(machine->l1_kib) || !is_power_of_2(machine->l2_kib) || !is_power_of_2(machine->llc_mib) ||
	    !is_power_of_2(machine->interleave_kib) || !is_power_of_2(machine->tlb_entries))
		return fail(parser, "l1_kib, l2_kib, llc_mib, interleave_kib and tlb_entries must be powers of two");
	return 0;
}

static int fail(struct parser *parser, const char *format, ...)
{
	va_list arguments;
	int len = snprintf(parser->error, QR_MACHINE_ERROR_LEN, "%s:%u: ", parser->file, parser->line);

	if (len < 0 || len >= (int)QR_MACHINE_ERROR_LEN)
		return -1;
	va_start(arguments, format);
	vsnprintf(parser->error + len, QR_MACHINE_ERROR_LEN - (size_t)len, format, arguments);
	va_end(arguments);
	return -1;
}

static int fail_unknown(struct parser *parser, const char *name)
{
	char known[QR_MACHINE_ERROR_LEN - 128] = "title";
	size_t len = strlen(known);

	for (size_t i = 0; i < NR_PARAMETERS && len < sizeof(known); i++)
		len += (size_t)snprintf(known + len, sizeof(known) - len, ", %s", parameters[i].name);
	return fail(parser, "unknown name '%.64s'; known are: %s", name, known);
}

static char *trim(char *text)
{
	char *end;

	while (isspace((unsigned char)*text))
		text++;
	end = text + strlen(text);
	while (end > text && isspace((unsigned char)end[-1]))
		*--end = 0;
	return text;
}
