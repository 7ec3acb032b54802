/*
 * An experiment: machines and variants, their cells, and what came out of them. A cell is one run of the simulated
 * machine: workload, machine, number of CPUs, seed, settings, parameters. A variant is all cells that differ in the
 * number of CPUs and the seed only.
 */
#ifndef QR_CLI_LAB_PLAN_H
#define QR_CLI_LAB_PLAN_H

#include "lab/request.h"

struct qr_lab_machine {
	char *name;      /* as the runner takes it: a name of the catalogue or a path */
	char *label;     /* for tables: the name, or the file's without folder and suffix */
	char *path;      /* of its file; NULL: it is built into the runner */
	char hash[33];   /* of the file's bytes; "" without a file */
	uint32_t cpus;   /* 0: the file does not say */
	json_t *params;  /* array of name, value, tag (measured, cited: source, assumed) as the file has them */
	char *help;
};

enum qr_lab_state { QR_LAB_TO_RUN, QR_LAB_DONE, QR_LAB_FAILED };

struct qr_lab_cell {
	const char *workload;
	const struct qr_lab_machine *machine;
	json_t *settings; /* objects name -> string, shared by the cells of a variant */
	json_t *params;
	uint64_t ms;      /* 0: the workload's own */
	uint64_t seed;
	uint32_t cpus;
	enum qr_lab_state state;
	json_t *result;   /* of a cell that is done: the object of quire-lab-cell run */
	char *error;      /* of a cell that failed: why */
	int exit_status;  /* of a cell that failed; 2: it was asked for something impossible */
	bool is_cached;   /* was not run now */
};

struct qr_lab_variant {
	const struct qr_lab_machine *machine;
	json_t *settings;
	json_t *params;
	char *label;               /* what it does not share with all others; the settings if it is the only one */
	struct qr_lab_cpus cpus;
	struct qr_lab_cell *cells; /* [cpus.nr][nr_seeds] */
};

struct qr_lab_plan {
	const char *workload;
	uint64_t ms;
	uint32_t nr_seeds;
	unsigned nr_machines;
	struct qr_lab_machine *machines;
	unsigned nr_variants;
	struct qr_lab_variant *variants;
	unsigned nr_cells;
	struct qr_lab_cell **cells; /* all of all variants */
};

/* Lays out the product of all that was asked for. Returns 0, or QR_EXIT_FAILED after saying what is impossible. */
int qr_lab_plan_make(const struct qr_lab_request *request, const struct qr_catalog *catalog, struct qr_lab_plan *plan);
void qr_lab_plan_free(struct qr_lab_plan *plan);

/* The words of `quire-lab-cell run ...` for a cell, ended by NULL; free with qr_lab_words_free(). */
char **qr_lab_cell_words(const struct qr_lab_cell *cell);
void qr_lab_words_free(char **words);
/* The same as a line for a shell; free(3) it. */
char *qr_lab_cell_command(const struct qr_runner *runner, const struct qr_lab_cell *cell);
/* "fault, epyc, 8 CPUs, mmap-lock vma, seed 3"; free(3) it. */
char *qr_lab_cell_title(const struct qr_lab_cell *cell);
/* "mmap-lock vma, think 100", "" for an empty object; free(3) it. */
char *qr_lab_join_pairs(const json_t *pairs);

/* A machine by its name or path. Returns 0, or QR_EXIT_FAILED after saying what is wrong. */
int qr_lab_machine_find(const struct qr_catalog *catalog, const char *name, struct qr_lab_machine *machine);
void qr_lab_machine_free(struct qr_lab_machine *machine);

/* Operations per virtual second at one number of CPUs of a variant. */
struct qr_lab_point {
	uint32_t nr;      /* seeds that are done */
	double median;
	double min;
	double max;
	const struct qr_lab_cell *middle; /* the cell nearest to the median; NULL if none is done */
};
struct qr_lab_point qr_lab_point_of(const struct qr_lab_plan *plan, const struct qr_lab_variant *variant, unsigned at);
/* The middle cell of the most CPUs of which any seed is done; NULL if there is none. */
const struct qr_lab_cell *qr_lab_largest_of(const struct qr_lab_plan *plan, const struct qr_lab_variant *variant);

#endif
