/*
 * Address spaces of the simulated machine: the hardware's page table of each, the TLBs of the CPUs, shoot-downs.
 *
 * A CPU may use a translation that it has loaded until its interrupt has arrived; whoever takes a mapping away waits
 * for all CPUs that hold the space. An access through a translation whose mapping is gone for good ends the run.
 */
#ifndef QR_SIM_SPACE_H
#define QR_SIM_SPACE_H

#include "sim.h"

/* Programs' addresses; the first space begins here, and all have the same. */
#define QR_SIM_SPACE_START ((uint64_t)1 << 32)
#define QR_SIM_SPACE_BYTES ((uint64_t)64 << 30)

struct qr_port_space *qr_sim_space_create(struct qr_port *port);
/* Nothing is mapped in it. */
void qr_sim_space_destroy(struct qr_port_space *space);

/* The running CPU's program looks va up: true if it may make the access, which then costs the walk at most; false if
 * it has to fault. */
bool qr_sim_translate(struct qr_port_space *space, uint64_t va, bool is_write, uint32_t *pfn);

/* Pages that are mapped. */
uint64_t qr_sim_space_nr_mapped(const struct qr_port_space *space);

/* Who can tell whether a frame is in use: a page that is being taken away keeps its frame until the shoot-down has
 * ended. NULL: nobody can. */
void qr_sim_watch_frames(bool (*is_in_use)(uint32_t pfn));

/* Negative controls of the tests: unmap and protect leave the TLBs of other CPUs alone; gathered pages are shot down
 * when the next ones are gathered. */
void qr_sim_leave_out_shootdown(void);
void qr_sim_delay_shootdown(void);

#endif
