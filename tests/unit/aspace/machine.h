/* A manager with one address space on the test port. */
#ifndef QR_TEST_ASPACE_MACHINE_H
#define QR_TEST_ASPACE_MACHINE_H

#include "aspace/aspace.h"
#include "fault/fault.h"
#include "port_test.h"
#include "tap.h"
#include "vmm/vmm.h"

struct machine {
	struct qr_port *port;
	struct qr_port_space *space;
	struct qr_vmm *vmm;
	void *metadata;
	struct qr_aspace *aspace;
	uint32_t nr_free_frames; /* before the address space was made */
};

/* Addresses [start, end) are for mappings. */
void machine_open(struct machine *machine, uint32_t nr_frames, bool is_exclusive, uint64_t start, uint64_t end);
/* The same with mechanisms other than the default ones. */
void machine_open_with(struct machine *machine, uint32_t nr_frames, bool is_exclusive, uint64_t start, uint64_t end,
		       const struct qr_choices *choices);
/* Checks that everything was given back. */
void machine_close(struct machine *machine);

#endif
