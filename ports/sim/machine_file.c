/* Machine files on disk: in the program's own folder (build tree or installation), or where the user says. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine.h"

#define SUFFIX ".machine"
#define MAX_FILE_BYTES (1u << 20)
#define MAX_PATH_LEN 4096u

static int read_file(const char *path, char **text, size_t *len);
static void set_name(const char *path, struct qr_machine *machine);
static void fail_missing(const char *name, char error[QR_MACHINE_ERROR_LEN]);

int qr_machine_load(const char *name, struct qr_machine *machine, char error[QR_MACHINE_ERROR_LEN])
{
	char path[MAX_PATH_LEN];
	char *text;
	size_t len;
	int err;

	snprintf(path, sizeof(path), "%s", name);
	err = read_file(path, &text, &len);
	if (err == ENOENT && !strchr(name, '/')) {
		snprintf(path, sizeof(path), "%s/%s" SUFFIX, qr_machine_folder(), name);
		err = read_file(path, &text, &len);
		if (err == ENOENT) {
			fail_missing(name, error);
			return -1;
		}
	}
	if (err) {
		snprintf(error, QR_MACHINE_ERROR_LEN, "%.512s: %s", path, strerror(err));
		return -1;
	}
	err = qr_machine_parse(path, text, len, machine, error);
	set_name(path, machine);
	free(text);
	return err;
}

const char *qr_machine_folder(void)
{
	/* An installed program finds its files at a fixed place, one of the build tree in the sources. */
	return access(QR_SIM_MACHINES_INSTALLED, R_OK) ? QR_SIM_MACHINES_SOURCE : QR_SIM_MACHINES_INSTALLED;
}

static int compare_names(const void *left, const void *right)
{
	return strcmp(left, right);
}

void qr_machine_names(char (*names)[QR_MACHINE_NAME_LEN], uint32_t max, uint32_t *nr)
{
	DIR *folder = opendir(qr_machine_folder());
	struct dirent *entry;

	*nr = 0;
	while (folder && *nr < max && (entry = readdir(folder))) {
		size_t len = strlen(entry->d_name);

		if (len <= strlen(SUFFIX) || len - strlen(SUFFIX) >= QR_MACHINE_NAME_LEN ||
		    strcmp(entry->d_name + len - strlen(SUFFIX), SUFFIX))
			continue;
		memcpy(names[*nr], entry->d_name, len - strlen(SUFFIX));
		names[(*nr)++][len - strlen(SUFFIX)] = 0;
	}
	if (folder)
		closedir(folder);
	qsort(names, *nr, sizeof(names[0]), compare_names);
}

/* Returns 0 or an errno value; the caller frees *text. */
static int read_file(const char *path, char **text, size_t *len)
{
	FILE *file = fopen(path, "r");
	struct stat status;
	int err = 0;

	if (!file)
		return errno;
	if (fstat(fileno(file), &status))
		err = errno;
	else if (S_ISDIR(status.st_mode))
		err = EISDIR;
	*text = err ? NULL : malloc(MAX_FILE_BYTES);
	if (!err && !*text)
		err = ENOMEM;
	if (!err) {
		*len = fread(*text, 1, MAX_FILE_BYTES, file);
		if (ferror(file))
			err = errno;
		else if (*len == MAX_FILE_BYTES)
			err = EFBIG;
		if (err)
			free(*text);
	}
	fclose(file);
	return err;
}

static void set_name(const char *path, struct qr_machine *machine)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	size_t len = strlen(base);

	if (len > strlen(SUFFIX) && !strcmp(base + len - strlen(SUFFIX), SUFFIX))
		len -= strlen(SUFFIX);
	if (len >= QR_MACHINE_NAME_LEN)
		len = QR_MACHINE_NAME_LEN - 1;
	memcpy(machine->name, base, len);
	machine->name[len] = 0;
}

static void fail_missing(const char *name, char error[QR_MACHINE_ERROR_LEN])
{
	char names[32][QR_MACHINE_NAME_LEN];
	uint32_t nr;
	int len = snprintf(error, QR_MACHINE_ERROR_LEN, "no machine '%.64s'; there are:", name);

	qr_machine_names(names, 32, &nr);
	for (uint32_t i = 0; i < nr && len < (int)QR_MACHINE_ERROR_LEN; i++)
		len += snprintf(error + len, QR_MACHINE_ERROR_LEN - (size_t)len, " %s", names[i]);
}
