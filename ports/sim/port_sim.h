/* A manager's machine: what the functions of port.h find behind struct qr_port. */
#ifndef QR_SIM_PORT_SIM_H
#define QR_SIM_PORT_SIM_H

#include "sim.h"

struct qr_port {
	uint32_t nr_frames;
	uint32_t nr_swap_files;
};

/* The port of a machine whose pool has nr_frames. Never freed: a process runs one machine. */
struct qr_port *qr_sim_port_create(uint32_t nr_frames);

#endif
