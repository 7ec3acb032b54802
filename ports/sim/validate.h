/* Comparison of the simulation with the host's own CPUs. */
#ifndef QR_SIM_VALIDATE_H
#define QR_SIM_VALIDATE_H

#include <stdbool.h>

/* Runs every configuration natively and simulated and prints the rows, the mean error of the slow-down from one CPU to
 * two, and how often two configurations rank alike. is_quick: fewer turns. Returns an exit status. */
int qr_validate(bool is_json, bool is_quick);

/* Replaces this process by the measurement of the host. */
int qr_calibrate(bool is_json);

#endif
