/*
 * Finding the domain of a process. The launcher holds the memfd itself; every other process has the path to it in its
 * environment.
 */
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attach.h"
#include "cli.h"

static bool find_in_descriptors(int pid, char *path, size_t size);
static int find_in_environment(int pid, char *path, size_t size);
static void say_denied(const char *command, int pid);

bool qr_attach_parse_pid(const char *text, int *pid)
{
	char *end;
	long value = strtol(text, &end, 10);

	*pid = (int)value;
	return end != text && !*end && value > 0 && value <= INT32_MAX;
}

bool qr_attach(const char *command, int pid, bool is_writable, struct qr_domain *domain)
{
	char path[256];
	int err;

	if (kill(pid, 0) && errno == ESRCH) {
		qr_cli_say("%s: there is no process %d", command, pid);
		return false;
	}
	err = find_in_descriptors(pid, path, sizeof(path)) ? 0 : find_in_environment(pid, path, sizeof(path));
	if (err == EACCES || err == EPERM) {
		say_denied(command, pid);
		return false;
	}
	if (err) {
		qr_cli_say("%s: process %d does not run under quire run", command, pid);
		return false;
	}
	err = is_writable ? qr_domain_attach(domain, path) : qr_domain_attach_readonly(domain, path);
	if (err == QR_ENOENT)
		qr_cli_say("%s: the quire run that started process %d has ended, and its figures with it", command,
			   pid);
	else if (err == QR_EACCES)
		say_denied(command, pid);
	else if (err == QR_EINVAL)
		qr_cli_say("%s: process %d was started by another version of quire", command, pid);
	else if (err)
		qr_cli_say("%s: cannot read the figures of process %d: %s", command, pid, strerror(-err));
	return !err;
}

/* The launcher's own: a descriptor that is the memfd. */
static bool find_in_descriptors(int pid, char *path, size_t size)
{
	char folder[64], target[64];
	struct dirent *entry;
	bool is_found = false;
	DIR *directory;

	(void)snprintf(folder, sizeof(folder), "/proc/%d/fd", pid);
	directory = opendir(folder);
	while (directory && !is_found && (entry = readdir(directory))) {
		ssize_t length;

		(void)snprintf(path, size, "%s/%.16s", folder, entry->d_name);
		length = readlink(path, target, sizeof(target) - 1);
		target[length > 0 ? length : 0] = '\0';
		is_found = !strncmp(target, "/memfd:quire-domain", 19);
	}
	if (directory)
		(void)closedir(directory);
	return is_found;
}

/* Returns 0 or an errno value; ENOENT if the variable is not there. */
static int find_in_environment(int pid, char *path, size_t size)
{
	static const char name[] = QR_DOMAIN_ENV "=";
	char *entry = NULL;
	size_t capacity = 0;
	int err = ENOENT;
	FILE *file;

	(void)snprintf(path, size, "/proc/%d/environ", pid);
	file = fopen(path, "re");
	if (!file)
		return errno;
	errno = 0;
	while (err == ENOENT && getdelim(&entry, &capacity, '\0', file) > 0) {
		if (!strncmp(entry, name, sizeof(name) - 1)) {
			(void)snprintf(path, size, "%s", entry + sizeof(name) - 1);
			err = 0;
		}
	}
	/* The permission to read is looked at by the read, not by the open, on some kernels. */
	if (err && (errno == EACCES || errno == EPERM))
		err = errno;
	free(entry);
	(void)fclose(file);
	return err;
}

static void say_denied(const char *command, int pid)
{
	char path[64];
	struct stat status;
	struct passwd *user = NULL;

	(void)snprintf(path, sizeof(path), "/proc/%d", pid);
	if (!stat(path, &status))
		user = getpwuid(status.st_uid);
	qr_cli_say("%s: no permission to look at process %d of user %s; run this as that user or as root", command, pid,
		   user ? user->pw_name : "?");
}
