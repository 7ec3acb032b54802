/* What the lab has: workloads, machines, mechanisms and their choices, as the runner lists them. */
#ifndef QR_CLI_LAB_CATALOG_H
#define QR_CLI_LAB_CATALOG_H

#include <stdbool.h>
#include <stdint.h>

#include "lab/runner.h"

/* A list of the catalogue is an array of objects with "name". */
struct qr_catalog {
	json_t *root;
	json_t *workloads; /* name, help, params: array of name, default, help */
	json_t *machines;  /* name, cpus, nodes, ram_gib, help; file, where the machine is a file */
	json_t *choices;   /* name, values: array of strings, default */
};

/* Returns 0, or QR_EXIT_FAILED after saying what went wrong. */
int qr_catalog_load(const struct qr_runner *runner, struct qr_catalog *catalog);
void qr_catalog_free(struct qr_catalog *catalog);

/* The entry of that name, NULL if there is none. */
const json_t *qr_catalog_find(const json_t *list, const char *name);
/* Whether a mechanism has that choice; one that lists no values takes any. */
bool qr_catalog_has_value(const json_t *choice, const char *value);
/* Says that there is no such thing, what there is, and which name was probably meant. kind: "workload". */
void qr_catalog_say_unknown(const char *kind, const char *name, const json_t *list);

/* The table of `quire lab list`. */
void qr_catalog_print(const struct qr_catalog *catalog);

#endif
