/* A manager on the test port, and address spaces whose mappings are all in one group. */
#ifndef QR_TEST_GROUP_FIXTURE_H
#define QR_TEST_GROUP_FIXTURE_H

#include "fault/fault.h"
#include "port_test.h"
#include "tap.h"
#include "vmm/vmm.h"

#define SPACE_BASE ((uint64_t)1 << 32)
#define SPACE_PAGES 8192u

struct world {
	struct qr_port *port;
	struct qr_vmm *vmm;
	void *metadata;
	uint32_t nr_free_frames; /* of an empty manager */
};

struct space {
	struct qr_port_space *port_space;
	struct qr_aspace *aspace;
	struct qr_group *group; /* NULL: none */
};

/* choices NULL: the defaults. */
void world_open(struct world *world, uint32_t nr_frames, const struct qr_choices *choices);
/* Checks that every frame came back. */
void world_close(struct world *world);

/* has_group: makes a group for it as well. */
void space_open(struct world *world, struct space *space, bool has_group);
/* Unmaps all, and ends the group. */
void space_close(struct space *space);
/* Accesses to a machine's address space fault into one of core. */
void space_set_fault(struct qr_port_space *port_space, struct qr_aspace *aspace);
/* Maps pages there, in place of what is there, in the group. */
void space_map(struct space *space, uint64_t va, uint32_t nr_pages);

static inline uint64_t page_va(uint32_t page)
{
	return SPACE_BASE + page * QR_PAGE_SIZE;
}

/* Pages of all folios of a group, from the frames themselves. Nobody else uses the manager. */
uint64_t nr_folio_pages(const struct world *world, const struct qr_group *group);

#endif
