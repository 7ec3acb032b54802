/*
 * Processes that fork, write, unmap, swap and exit at random, each against a plain array of pages. For tests of fork.
 * The address spaces share frames: the machine is not exclusive.
 */
#ifndef QR_TEST_ASPACE_FAMILY_H
#define QR_TEST_ASPACE_FAMILY_H

#include "machine.h"

#define PAGE QR_PAGE_SIZE
#define BASE ((uint64_t)1 << 32)
#define NR_PAGES 1280u /* of an address space: two and a half page-table pages */
#define NR_FRAMES 2048u
#define NR_PROCESSES 5u /* at most, of one world */
#define RW (QR_PROT_READ | QR_PROT_WRITE)

struct page {
	bool is_mapped, is_locked, is_left_out, is_wiped;
	uint32_t prot;
	uint64_t content; /* first and last word */
};

struct process {
	struct qr_port_space *space;
	struct qr_aspace *aspace; /* NULL: no such process */
	struct page pages[NR_PAGES];
};

/* Processes that one thread takes care of. */
struct world {
	struct machine *machine;
	struct process processes[NR_PROCESSES];
	uint64_t seed;
	uint64_t stamp; /* content is never written twice */
	uint64_t nr_forks, nr_exits;
};

static inline uint64_t va_of(uint32_t page)
{
	return BASE + page * PAGE;
}

/* What a space's accesses call; context is its address space. */
int family_fault(void *context, uint64_t va, uint32_t access);

/* Opens the machine; its address space is the first process. */
struct world *family_open(struct machine *machine, const struct qr_choices *choices);
/* A world without processes. */
struct world *world_new(struct machine *machine, uint32_t number);
/* Ends its processes, but for the machine's own. */
void world_free(struct world *world);

/* One random operation. */
void world_step(struct world *world, uint32_t step);
/* Some of them by themselves. */
void world_map(struct world *world, struct process *process);
void world_access(struct world *world, struct process *process);
void world_fork(struct world *world, struct process *process);
void world_exit(struct world *world, struct process *process);

/* Reads every page of every process. */
void check_content(const struct world *world);
/* Nobody else uses the machine, and these are all of its processes. A page that may be written to is named by one
 * entry; a folio has as many references as entries. */
void check_sharing(struct world *const *worlds, uint32_t nr_worlds);

#endif
