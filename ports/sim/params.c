/* Parameters of workloads and choices of mechanisms. */
#include "params.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NAME 64u
#define GREATEST 1e12

static bool split(const char *pair, char name[MAX_NAME], const char **value, char *error);
static bool parse_value(const struct qr_lab_param *param, const char *text, uint64_t *value, char *error);

static int fail(char *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void append(char *text, size_t size, const char *word)
{
	size_t len = strlen(text);

	snprintf(text + len, size - len, " %s", word);
}

const struct qr_lab_workload *qr_params_workload(const char *name, char error[QR_PARAMS_ERROR_LEN])
{
	uint32_t nr;
	const struct qr_lab_workload *const *workloads = qr_lab_workloads(&nr);
	char known[QR_PARAMS_ERROR_LEN / 2] = "";

	for (uint32_t i = 0; i < nr; i++) {
		if (name && !strcmp(workloads[i]->name, name))
			return workloads[i];
		append(known, sizeof(known), workloads[i]->name);
	}
	if (name)
		(void)fail(error, "no workload '%.64s'; there are:%s", name, known);
	else
		(void)fail(error, "a workload is missing; there are:%s", known);
	return NULL;
}

void qr_params_defaults(const struct qr_lab_param *params, const char **texts, uint64_t *values)
{
	char error[QR_PARAMS_ERROR_LEN];

	for (uint32_t i = 0; params[i].name; i++) {
		if (texts)
			texts[i] = params[i].fallback;
		(void)parse_value(&params[i], params[i].fallback, &values[i], error);
	}
}

int qr_params_set(const struct qr_lab_param *params, const char **texts, uint64_t *values, const char *pair,
		  char error[QR_PARAMS_ERROR_LEN])
{
	char name[MAX_NAME];
	const char *value;

	if (!split(pair, name, &value, error))
		return -1;
	for (uint32_t i = 0; params[i].name; i++) {
		if (strcmp(params[i].name, name))
			continue;
		if (!parse_value(&params[i], value, &values[i], error))
			return -1;
		if (texts)
			texts[i] = value;
		return 0;
	}
	return 1;
}

void qr_params_names(const struct qr_lab_param *params, char *text, size_t size)
{
	for (uint32_t i = 0; params[i].name; i++)
		append(text, size, params[i].name);
}

int qr_params_choose(struct qr_choices *choices, const char *pair, char error[QR_PARAMS_ERROR_LEN])
{
	uint32_t nr;
	const struct qr_choice *list = qr_choices_list(&nr);
	char name[MAX_NAME], known[QR_PARAMS_ERROR_LEN / 2] = "";
	const char *value;
	int err;

	if (!split(pair, name, &value, error))
		return -1;
	err = qr_choices_parse(choices, name, value);
	if (!err)
		return 0;
	for (uint32_t i = 0; i < nr; i++) {
		if (err == QR_ENOENT)
			append(known, sizeof(known), list[i].name);
		for (unsigned k = 0; err == QR_EINVAL && !strcmp(list[i].name, name) && k < QR_MAX_CHOICE_VALUES; k++) {
			if (list[i].values[k][0])
				append(known, sizeof(known), list[i].values[k]);
		}
	}
	if (err == QR_ENOENT)
		return fail(error, "no mechanism '%s'; there are:%s", name, known);
	return fail(error, "the mechanism '%s' cannot be '%.64s'; it is one of:%s", name, value, known);
}

static bool split(const char *pair, char name[MAX_NAME], const char **value, char *error)
{
	const char *equals = strchr(pair, '=');

	if (!equals || equals == pair || equals - pair >= (ptrdiff_t)MAX_NAME) {
		(void)fail(error, "expected NAME=VALUE, not '%.64s'", pair);
		return false;
	}
	memcpy(name, pair, (size_t)(equals - pair));
	name[equals - pair] = 0;
	*value = equals + 1;
	return true;
}

static bool parse_number(const struct qr_lab_param *param, const char *text, uint64_t *value, char *error)
{
	char *end;
	double number;

	errno = 0;
	number = strtod(text, &end);
	if (errno || end == text || *end || !(number >= 0 && number <= GREATEST)) {
		(void)fail(error, "%s: '%.64s' is no number from 0 to %g", param->name, text, GREATEST);
		return false;
	}
	*value = (uint64_t)number;
	return true;
}

static bool parse_value(const struct qr_lab_param *param, const char *text, uint64_t *value, char *error)
{
	const char *at = param->names;
	size_t len = strlen(text);

	if (!at)
		return parse_number(param, text, value, error);
	for (uint64_t place = 0; at; place++) {
		const char *comma = strchr(at, ',');

		if (len && !strncmp(at, text, len) && (at[len] == ',' || !at[len])) {
			*value = place;
			return true;
		}
		at = comma ? comma + 1 : NULL;
	}
	(void)fail(error, "parameter '%s' cannot be '%.64s'; it is one of %s", param->name, text, param->names);
	return false;
}

static int fail(char *error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error, QR_PARAMS_ERROR_LEN, format, arguments);
	va_end(arguments);
	return -1;
}
