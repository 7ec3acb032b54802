/*
 * The lab's workloads on the host's own CPUs, for comparison with the simulated ones: two threads, pinned, run the same
 * code for a fraction of a millisecond at a time; turns of either CPU alone and of both alternate, so that all see the
 * same clock frequency and the same neighbours, and turns that were disturbed are dropped.
 */
#ifndef QR_NATIVE_NATIVE_H
#define QR_NATIVE_NATIVE_H

#include "fault/fault.h"
#include "workloads/workload.h"

#define QR_NATIVE_CPUS 2u

/* Turns of the processor's clock, and how many make a nanosecond. */
static inline uint64_t qr_native_ticks(void)
{
	return __builtin_ia32_rdtsc();
}
double qr_native_ticks_per_ns(void);

struct qr_native_time {
	double one_ns, two_ns; /* per operation and CPU: of one alone (the mean of both), and of both at a time */
	double transfer_ns;      /* one way of a word between the two CPUs, during the same turns */
	uint32_t nr_one, nr_two; /* undisturbed turns */
};

/* Measures a workload whose setup has run. Returns false when too few turns were undisturbed. */
bool qr_native_measure(struct qr_lab *lab, uint32_t nr_turns, struct qr_native_time *time);

/* A manager on frames of nr_bytes, with the mechanisms that are chosen. */
struct qr_vmm *qr_native_create(const struct qr_choices *choices, uint64_t nr_bytes);
void qr_native_set_cpu(uint32_t cpu);
/* The calling thread is at a point where it holds no reference; or, until it says so again, holds none at all. */
void qr_native_quiescent(void);
void qr_native_offline(void);

/* Prints what the host's caches and locks cost, as JSON. */
void qr_native_calibrate(void);

/* Prints as JSON what an object costs by a slab cache and by malloc, ns. Returns the exit status: 1 if the library, a
 * name or "-" for whichever there is, is not in this process. */
int qr_native_objects(struct qr_vmm *vmm, const char *library);

#endif
