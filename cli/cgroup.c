/*
 * /proc/self/cgroup tells the path inside each hierarchy, /proc/self/mountinfo where the hierarchies are mounted;
 * see cgroups(7). A limit may stand on any level above, so each is read.
 */
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup.h"

/* Version 1 writes "no limit" as the largest multiple of the page size. */
#define NO_LIMIT_FROM ((uint64_t)1 << 60)

static bool find_path(bool is_v2, char path[PATH_MAX]);
static bool find_mount(bool is_v2, char mount[PATH_MAX], char top[PATH_MAX]);
static bool has_word(const char *list, const char *word);
static uint64_t lowest_limit(const char *mount, char *path, const char *file);
static uint64_t read_limit(const char *mount, const char *path, const char *file);

uint64_t qr_cgroup_memory_limit(void)
{
	uint64_t lowest = UINT64_MAX;

	for (unsigned version = 1; version <= 2; version++) {
		char path[PATH_MAX], mount[PATH_MAX], top[PATH_MAX];
		uint64_t limit;
		size_t top_length;

		if (!find_path(version == 2, path) || !find_mount(version == 2, mount, top))
			continue;
		/* In a container only a part of the hierarchy may be mounted. */
		top_length = strcmp(top, "/") ? strlen(top) : 0;
		if (!strncmp(path, top, top_length))
			memmove(path, path + top_length, strlen(path) - top_length + 1);
		limit = lowest_limit(mount, path, version == 2 ? "memory.max" : "memory.limit_in_bytes");
		if (limit < lowest)
			lowest = limit;
	}
	return lowest;
}

/* Lines are "hierarchy:controllers:path"; version 2 has hierarchy 0 and no controllers. */
static bool find_path(bool is_v2, char path[PATH_MAX])
{
	char line[PATH_MAX + 256];
	bool is_found = false;
	FILE *file = fopen("/proc/self/cgroup", "re");
	while (file && !is_found && fgets(line, sizeof(line), file)) {
		char *controllers = strchr(line, ':');
		char *own = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!own)
			continue;
		*own++ = '\0';
		own[strcspn(own, "\n")] = '\0';
		is_found = is_v2 ? !strcmp(line, "0:") : has_word(controllers + 1, "memory");
		if (is_found)
			(void)snprintf(path, PATH_MAX, "%s", own);
	}
	if (file)
		(void)fclose(file);
	return is_found;
}

/* Lines are "id parent device top mount options ... - type source superoptions". */
static bool find_mount(bool is_v2, char mount[PATH_MAX], char top[PATH_MAX])
{
	char line[2 * PATH_MAX];
	char type[64], options[512];
	bool is_found = false;
	FILE *file = fopen("/proc/self/mountinfo", "re");
	while (file && !is_found && fgets(line, sizeof(line), file)) {
		char *rest = strstr(line, " - ");

		if (!rest || sscanf(rest, " - %63s %*s %511s", type, options) != 2)
			continue;
		if (sscanf(line, "%*s %*s %*s %4095s %4095s", top, mount) != 2)
			continue;
		is_found = is_v2 ? !strcmp(type, "cgroup2") : !strcmp(type, "cgroup") && has_word(options, "memory");
	}
	if (file)
		(void)fclose(file);
	return is_found;
}

static bool has_word(const char *list, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = strstr(list, word); at; at = strstr(at + 1, word)) {
		if ((at == list || at[-1] == ',') && (at[length] == ',' || at[length] == '\0'))
			return true;
	}
	return false;
}

static uint64_t lowest_limit(const char *mount, char *path, const char *file)
{
	uint64_t lowest = UINT64_MAX;

	for (;;) {
		uint64_t limit = read_limit(mount, path, file);
		char *slash = strrchr(path, '/');

		if (limit < lowest)
			lowest = limit;
		if (!slash)
			return lowest;
		*slash = '\0';
	}
}

static uint64_t read_limit(const char *mount, const char *path, const char *file)
{
	char name[2 * PATH_MAX + 64];
	unsigned long long limit = 0;
	bool is_read = false;
	FILE *stream;

	(void)snprintf(name, sizeof(name), "%s%s/%s", mount, path, file);
	stream = fopen(name, "re");
	if (stream) {
		is_read = fscanf(stream, "%llu", &limit) == 1; /* version 2 writes "max" for none */
		(void)fclose(stream);
	}
	return is_read && limit < NO_LIMIT_FROM ? limit : UINT64_MAX;
}
