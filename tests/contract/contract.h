/*
 * The clauses of port.h as tests. They are written against port.h alone; what they need of a port beyond it (to make
 * one, to have a program access its memory) comes from a glue file, one per port.
 *
 * A program links contract_main.c, contract_machine.c, contract_memory.c, contract_storage.c, tap.c, one glue file
 * and the port.
 */
#ifndef QR_TEST_CONTRACT_H
#define QR_TEST_CONTRACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <quire/port.h>

#include "base/base.h"
#include "tap.h"

struct contract_machine {
	struct qr_port *port;
	struct qr_port_space *space;
	uint32_t nr_frames;  /* of PFN 0 and up that the tests may use, at least 512 */
	uint64_t va_start;   /* 8 MiB of addresses, aligned to 2 MiB, in no range yet */
};
#define CONTRACT_VA_BYTES ((uint64_t)8 << 20)
#define CONTRACT_MIN_FRAMES 512u

/* ---- The glue supplies ---- */

/* A fresh port before each test; false: not possible here, the test is skipped. */
bool contract_open(struct contract_machine *machine);
void contract_close(struct contract_machine *machine);

/* What a program's load (is_write: store) at va does that no fault handler helps: returns true, and has moved the
 * bytes, if the page is mapped and its protection allows the access. The bytes lie in one page. */
bool contract_access(struct contract_machine *machine, uint64_t va, void *buffer, uint32_t len_bytes, bool is_write);

/* ---- Shared by the tests ---- */

extern struct contract_machine machine; /* of the running test */

/* Maps or unmaps a whole run, going on after the passing states that the contract allows. Returns what is left. */
int contract_map(uint64_t va, uint32_t pfn, uint32_t nr, uint32_t prot);
int contract_unmap(uint64_t va, uint32_t pfn, uint32_t nr, uint32_t prot);
bool contract_load(uint64_t va, uint64_t *value);
bool contract_store(uint64_t va, uint64_t value);
/* The first word of a frame's slot. */
uint64_t *contract_slot(uint32_t pfn);

struct contract_group {
	const struct tap_test *tests;
	size_t nr_tests;
};
extern const struct contract_group contract_machine_group, contract_memory_group, contract_storage_group;

#endif
