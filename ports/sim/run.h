/* One cell of an experiment: a workload on a machine, with its settings, and what came out of it. */
#ifndef QR_SIM_RUN_H
#define QR_SIM_RUN_H

#include "machine.h"
#include "meter.h"
#include "fault/fault.h"
#include "workloads/workload.h"

/* What every workload has, behind its own parameters. */
#define QR_RUN_NR_COMMON 6u
extern const struct qr_lab_param qr_run_common[];

/* Negative controls, for tests of the simulation itself: something is left out, and the run must fail. */
enum qr_control {
	QR_CONTROL_NONE,
	QR_CONTROL_SHOOTDOWN, /* unmapping leaves the TLBs of other CPUs alone */
	QR_CONTROL_LOCK,      /* the lock of the LRU lists excludes nobody */
	QR_CONTROL_LOOP,      /* a CPU loops without an access */
	QR_CONTROL_LATE,      /* the shoot-down of gathered pages comes after their frames were freed */
	QR_CONTROL_CLEARING,  /* frames are handed out with the content of those who had them before */
};

struct qr_cell {
	const struct qr_lab_workload *workload;
	struct qr_machine machine;
	uint32_t nr_cpus;
	uint64_t seed;
	uint64_t run_ns;  /* that count */
	uint64_t warm_ns; /* before */
	struct qr_choices choices;
	const char *texts[QR_LAB_MAX_PARAMS]; /* [parameter] values as they were given, or the defaults */
	uint64_t values[QR_LAB_MAX_PARAMS];
	uint64_t common[QR_RUN_NR_COMMON]; /* [qr_run_common] */
	const char *common_texts[QR_RUN_NR_COMMON];
	bool trace;
	enum qr_control control;
};

struct qr_result {
	uint64_t ops, virtual_ns, accesses, hash;
	double host_seconds;
	struct qr_meter_row *locks;
	uint32_t nr_locks;
	uint64_t counters[QR_NR_STATS];
	uint64_t figures[QR_LAB_MAX_FIGURES]; /* the workload's own */
	uint64_t nr_misses, nr_remote, nr_yields, nr_parks, nr_tlb_misses, nr_ipis, nr_switches;
};

/* Runs the cell; a run that fails ends the program with status 1 and the reason. Once per process. */
void qr_run_cell(const struct qr_cell *cell, struct qr_result *result);

/* The manager of the run that ended, for reports. */
struct qr_vmm *qr_run_vmm(void);

#endif
