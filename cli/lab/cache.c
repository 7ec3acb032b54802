/*
 * One file per cell: an object with "key", which tells all that the result depends on, and "cell", the result. The
 * file is named after the key's XXH128; the key itself is compared when it is read, so that neither a collision nor
 * a file that was moved can answer for another cell.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cli.h"
#include "lab/cache.h"
#include "lab/words.h"

static json_t *make_key(const struct qr_runner *runner, const struct qr_lab_cell *cell);
static char *file_of(const struct qr_lab_cache *cache, const json_t *key);

static int write_file(const char *path, const json_t *content);

void qr_lab_cache_open(struct qr_lab_cache *cache, bool is_off)
{
	const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int length;

	memset(cache, 0, sizeof(*cache));
	cache->is_off = is_off;
	/* The XDG base directory specification ignores relative paths. */
	if (base && base[0] == '/')
		length = snprintf(cache->folder, sizeof(cache->folder), "%s/quire/lab", base);
	else if (home && home[0] == '/')
		length = snprintf(cache->folder, sizeof(cache->folder), "%s/.cache/quire/lab", home);
	else
		length = 0;
	if (length >= (int)sizeof(cache->folder))
		cache->folder[0] = '\0';
}

json_t *qr_lab_cache_load(const struct qr_lab_cache *cache, const struct qr_runner *runner,
			  const struct qr_lab_cell *cell)
{
	json_t *key, *content, *result = NULL;
	char *path;

	if (!cache->folder[0] || cache->is_off)
		return NULL;
	key = make_key(runner, cell);
	path = file_of(cache, key);
	content = json_load_file(path, 0, NULL);
	if (content && json_equal(json_object_get(content, "key"), key) &&
	    qr_lab_result_is_valid(json_object_get(content, "cell"), cell))
		result = json_incref(json_object_get(content, "cell"));
	json_decref(content);
	json_decref(key);
	free(path);
	return result;
}

void qr_lab_cache_store(struct qr_lab_cache *cache, const struct qr_runner *runner, const struct qr_lab_cell *cell)
{
	json_t *content;
	char *path;
	int err;

	if (!cache->folder[0] || cache->is_off || cache->has_failed)
		return;
	content = json_pack("{s:o, s:O}", "key", make_key(runner, cell), "cell", cell->result);
	path = file_of(cache, json_object_get(content, "key"));
	err = qr_lab_make_folder(cache->folder);
	if (!err)
		err = write_file(path, content);
	if (err) {
		cache->has_failed = true;
		qr_cli_say("lab: finished cells cannot be kept in %s: %s", cache->folder, strerror(-err));
	}
	free(path);
	json_decref(content);
}

bool qr_lab_result_is_valid(const json_t *result, const struct qr_lab_cell *cell)
{
	static const char *const numbers[] = {"ops", "virtual_ns", "ops_per_s", "accesses", "host_seconds"};

	for (size_t i = 0; i < QR_ARRAY_SIZE(numbers); i++) {
		if (!json_is_number(json_object_get(result, numbers[i])))
			return false;
	}
	return json_is_string(json_object_get(result, "hash")) && json_is_array(json_object_get(result, "locks")) &&
	       json_is_array(json_object_get(result, "lines")) && json_is_object(json_object_get(result, "counters")) &&
	       qr_lab_number(result, "cpus") == cell->cpus && qr_lab_number(result, "seed") == (double)cell->seed &&
	       !strcmp(qr_lab_string(result, "workload"), cell->workload);
}

static json_t *make_key(const struct qr_runner *runner, const struct qr_lab_cell *cell)
{
	/* A file's content says all; its name may change. */
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:O, s:O}", "runner", runner->hash, "machine",
			 cell->machine->hash[0] ? cell->machine->hash : cell->machine->label, "workload",
			 cell->workload, "cpus", (json_int_t)cell->cpus, "seed", (json_int_t)cell->seed, "ms",
			 (json_int_t)cell->ms, "settings", cell->settings, "params", cell->params);
}

static char *file_of(const struct qr_lab_cache *cache, const json_t *key)
{
	char *words = json_dumps(key, JSON_COMPACT | JSON_SORT_KEYS);
	XXH128_hash_t sum = XXH3_128bits(words ? words : "", words ? strlen(words) : 0);

	free(words);
	return qr_lab_format("%s/%016llx%016llx.json", cache->folder, (unsigned long long)sum.high64,
			     (unsigned long long)sum.low64);
}

int qr_lab_make_folder(const char *folder)
{
	char *path = qr_lab_format("%s", folder);
	int err = 0;

	for (char *slash = path + 1; !err && (slash = strchr(slash, '/')) != NULL; *slash++ = '/') {
		*slash = '\0';
		if (mkdir(path, 0777) && errno != EEXIST)
			err = -errno;
	}
	if (!err && mkdir(path, 0777) && errno != EEXIST)
		err = -errno;
	free(path);
	return err;
}

/* Under a name of its own, which is then replaced: readers see the whole file, however this process ends. */
static int write_file(const char *path, const json_t *content)
{
	char *draft = qr_lab_format("%s.%ld", path, (long)getpid());
	int err = 0;

	if (json_dump_file(content, draft, JSON_COMPACT | JSON_REAL_PRECISION(17)) || rename(draft, path)) {
		err = errno ? -errno : -EIO;
		(void)unlink(draft);
	}
	free(draft);
	return err;
}
