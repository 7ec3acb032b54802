/*
 * The lock meter: who takes which lock, how long it is held and waited for, by class of lock and by call site. The
 * notes come from core/base/meter.h and cost no virtual time.
 *
 * After: R. Bryant, J. Hawkes, "Lockmeter: Highly-Informative Instrumentation for Spin Locks in the Linux Kernel",
 * Atlanta Linux Showcase 2000.
 */
#ifndef QR_SIM_METER_H
#define QR_SIM_METER_H

#include <stdbool.h>
#include <stdint.h>

#include "symbols.h"

struct qr_meter_row {
	const char *name; /* of the class */
	const char *site; /* function that took it */
	uint64_t total, contended;
	uint64_t hold_ps, hold_max_ps; /* holds that ended */
	uint64_t wait_ps, wait_max_ps;
};

/* Sums by class first (site "" and all classes that were taken), each followed by its sites, longest wait first.
 * The caller frees the result. */
struct qr_meter_row *qr_meter_table(uint32_t *nr_rows);
/* At the ends of the warm-up and of the measurement. Takes and waits that are under way at the end count with the time
 * so far. */
void qr_meter_reset(void);
void qr_meter_stop(void);
/* Negative control: locks of that rank count as free whoever holds them. */
void qr_meter_leave_out(unsigned rank);
/* Name of the class of a row that a task's held lock names. */
const char *qr_meter_row_name(uint32_t row);

#endif
