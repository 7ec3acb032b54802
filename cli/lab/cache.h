/* Finished cells on disk: the same runner, machine, workload, settings and seed give the same result. */
#ifndef QR_CLI_LAB_CACHE_H
#define QR_CLI_LAB_CACHE_H

#include "lab/plan.h"

struct qr_lab_cache {
	char folder[PATH_MAX]; /* "": there is no place for it */
	bool is_off;           /* neither read nor written */
	bool has_failed;       /* said so once */
};

/* ${XDG_CACHE_HOME:-~/.cache}/quire/lab; where is_off nothing is read from it or kept in it. The folder is made when
 * it is first needed. */
void qr_lab_cache_open(struct qr_lab_cache *cache, bool is_off);

/* The result of an equal cell, NULL if there is none or its file is damaged. The caller owns the reference. */
json_t *qr_lab_cache_load(const struct qr_lab_cache *cache, const struct qr_runner *runner,
			  const struct qr_lab_cell *cell);
/* Keeps the result of a cell that is done: the file appears whole or not at all. That it could not be written is said
 * once and is no error. */
void qr_lab_cache_store(struct qr_lab_cache *cache, const struct qr_runner *runner, const struct qr_lab_cell *cell);

/* Makes a folder and those above it, as far as they are missing. Returns 0 or a negative errno value. */
int qr_lab_make_folder(const char *folder);

/* Whether this is the result of such a cell, with all that is printed of it. */
bool qr_lab_result_is_valid(const json_t *result, const struct qr_lab_cell *cell);

#endif
