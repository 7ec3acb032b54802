/* Machines: of the catalogue or files. The runner parses and checks machine files; here they are only read for the
 * report: lines of the form "name = value  # measured|cited:SOURCE|assumed". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "lab/plan.h"
#include "lab/words.h"

static char *file_label(const char *path);
static json_t *read_params(const char *path);
static bool split_line(char *line, char **name, char **value, char **tag);
static char *trim(char *text);

int qr_lab_machine_find(const struct qr_catalog *catalog, const char *name, struct qr_lab_machine *machine)
{
	const json_t *entry = qr_catalog_find(catalog->machines, name);
	const char *path = entry ? qr_lab_string(entry, "file") : name;
	const json_t *param;
	size_t i;
	int err = 0;

	memset(machine, 0, sizeof(*machine));
	machine->name = qr_lab_format("%s", name);
	machine->label = entry ? qr_lab_format("%s", name) : file_label(name);
	machine->help = qr_lab_format("%s", qr_lab_string(entry, "help"));
	machine->cpus = (uint32_t)qr_lab_number(entry, "cpus");
	if (*path) {
		machine->path = qr_lab_format("%s", path);
		err = qr_runner_hash_file(path, machine->hash);
	}
	if (err) {
		qr_cli_say("lab: machine file %s cannot be read: %s", path, strerror(-err));
		qr_lab_machine_free(machine);
		return QR_EXIT_FAILED;
	}
	machine->params = machine->path ? read_params(machine->path) : json_array();
	json_array_foreach(machine->params, i, param)
	{
		if (!machine->cpus && !strcmp(qr_lab_name_of(param), "cpus"))
			machine->cpus = (uint32_t)strtoul(qr_lab_string(param, "value"), NULL, 10);
		if (!entry && !strcmp(qr_lab_name_of(param), "title")) {
			free(machine->help);
			machine->help = qr_lab_format("%s", qr_lab_string(param, "value"));
		}
	}
	return 0;
}

void qr_lab_machine_free(struct qr_lab_machine *machine)
{
	free(machine->name);
	free(machine->label);
	free(machine->path);
	free(machine->help);
	json_decref(machine->params);
	memset(machine, 0, sizeof(*machine));
}

static char *file_label(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	const char *dot = strrchr(name, '.');

	return qr_lab_format("%.*s", dot && dot > name ? (int)(dot - name) : (int)strlen(name), name);
}

static json_t *read_params(const char *path)
{
	json_t *params = json_array();
	FILE *file = fopen(path, "re");
	char line[1024];

	while (file && fgets(line, sizeof(line), file)) {
		char *name, *value, *tag;

		if (split_line(line, &name, &value, &tag))
			(void)json_array_append_new(
				params, json_pack("{s:s, s:s, s:s}", "name", name, "value", value, "tag", tag));
	}
	if (file)
		(void)fclose(file);
	return params;
}

static bool split_line(char *line, char **name, char **value, char **tag)
{
	char *hash = strchr(line, '#');
	char *equals;

	if (hash)
		*hash = '\0';
	equals = strchr(line, '=');
	if (!equals)
		return false;
	*equals = '\0';
	*name = trim(line);
	*value = trim(equals + 1);
	*tag = hash ? trim(hash + 1) : equals + strlen(equals);
	return **name != '\0';
}

static char *trim(char *text)
{
	size_t length;

	text += strspn(text, " \t\r\n");
	length = strlen(text);
	while (length && strchr(" \t\r\n", text[length - 1]))
		length--;
	text[length] = '\0';
	return text;
}
