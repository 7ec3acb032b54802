/*
 * Workloads: what programs ask of the manager, over and over, on each CPU. Written against core's interface and the few
 * functions here, so that the same file runs on the simulated machine and natively on the host's own CPUs.
 */
#ifndef QR_LAB_WORKLOAD_H
#define QR_LAB_WORKLOAD_H

#include "vmm/vmm.h"

#define QR_LAB_MAX_PARAMS 12u
#define QR_LAB_MAX_FIGURES 8u

/* A parameter: a number, or one of names, separated by commas, whose value is then the place in the list. */
struct qr_lab_param {
	const char *name;
	const char *fallback; /* the default */
	const char *help;
	const char *names; /* NULL: a number */
};

struct qr_lab;

struct qr_lab_workload {
	const char *name;
	const char *help;
	const struct qr_lab_param *params; /* ends with a NULL name; the values are lab->values[] in this order */
	/* Before the CPUs start. Returns 0 or an error of core. */
	int (*setup)(struct qr_lab *lab);
	/* On each CPU: operations until qr_lab_running() says no. */
	void (*run)(struct qr_lab *lab, uint32_t cpu);
	/* After the CPUs have ended: NULL, or what is wrong. May be NULL. */
	const char *(*check)(struct qr_lab *lab);
	/* Names of what the workload measures itself: lab->figures[] in this order, reported beside the counters, for
	 * the whole run. Ends with NULL; NULL: nothing. */
	const char *const *figures;
	bool is_check;    /* no load: the first CPU tries one property, the others do nothing */
	bool may_run_out; /* of memory: whoever allocates is told so, and the run goes on */
};

/* One run, as a workload sees it. */
struct qr_lab {
	const struct qr_lab_workload *workload;
	uint32_t nr_cpus;
	struct qr_vmm *vmm;
	uint64_t values[QR_LAB_MAX_PARAMS]; /* [parameter] */
	uint64_t figures[QR_LAB_MAX_FIGURES]; /* [figure] */
	void *state; /* the workload's own */
};

/* All workloads; *nr: how many. */
const struct qr_lab_workload *const *qr_lab_workloads(uint32_t *nr);

/* ---- Supplied by whoever runs the workload ---- */

/* Between two operations: counts the one that ended; false when it is time to stop. */
bool qr_lab_running(struct qr_lab *lab);
/* Computes for a random time, exponentially distributed. */
void qr_lab_think(struct qr_lab *lab, uint64_t mean_ns);
/* How often the calling task has given up its CPU to wait. */
uint64_t qr_lab_nr_sleeps(struct qr_lab *lab);
/* The CPU's own stream. */
uint64_t qr_lab_random(struct qr_lab *lab);
/* Zeroed memory that CPUs share, 64-byte aligned, never freed. */
void *qr_lab_alloc(struct qr_lab *lab, uint64_t len_bytes);
/* Accesses to it. */
uint64_t qr_lab_load(const uint64_t *at);
void qr_lab_store(uint64_t *at, uint64_t value);
uint64_t qr_lab_exchange(uint64_t *at, uint64_t value);
/* A machine's address space for qr_aspace_create(), and its bounds. */
struct qr_port_space *qr_lab_space_create(struct qr_lab *lab, uint64_t *va_start, uint64_t *va_end);
/* After qr_aspace_destroy(), or the fork that failed. */
void qr_lab_space_destroy(struct qr_lab *lab, struct qr_port_space *space);
/* How far a node's memory is from another, as the manager was told. */
uint32_t qr_lab_distance(struct qr_lab *lab, uint32_t from, uint32_t to);
/* The program's access to va, with the page fault that it may need. Returns 0 or what the fault ended with. */
int qr_lab_touch(struct qr_lab *lab, struct qr_aspace *aspace, uint64_t va, bool is_write);
/* The workload cannot go on: ends the program with status 1. */
QR_NORETURN void qr_lab_fail(const char *what, int error);

#endif
