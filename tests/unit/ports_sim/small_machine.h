/* A machine with round costs: 4 CPUs, two clusters on two nodes, no jitter. */
#ifndef QR_TEST_SMALL_MACHINE_H
#define QR_TEST_SMALL_MACHINE_H

#include "directory.h"

/* Sets it up, once per process. Memory of the arena's first GiB is on node 0, of the second on node 1. */
void small_machine_create(void);
/* Runs step on a CPU, with all others idle, and returns how long it took, ns. All caches' past is over by then. */
uint64_t small_machine_step(uint32_t cpu, void (*step)(void *argument), void *argument);

#endif
