/*
 * The contract on the test port. QR_TEST_PORT chooses a variant: "shared" for translation in shared mode, "chaos" for
 * partial progress at random and swap files that complete asynchronously.
 */
#include <stdlib.h>
#include <string.h>

#include "contract.h"
#include "port_test.h"

#define NR_FRAMES 1024u
#define VA_START ((uint64_t)1 << 40)

bool contract_open(struct contract_machine *opened)
{
	const char *variant = getenv("QR_TEST_PORT");
	bool is_chaos = variant && !strcmp(variant, "chaos");

	opened->port = port_test_create(NR_FRAMES);
	opened->nr_frames = NR_FRAMES;
	opened->va_start = VA_START;
	port_test_set_exclusive(opened->port, !variant || strcmp(variant, "shared"));
	port_test_set_chaos(opened->port, is_chaos ? 3 : 0, tap_seed());
	port_test_set_swap(opened->port, 2, (uint64_t)4 << 20, is_chaos);
	port_test_set_spurious(is_chaos ? 4 : 0);
	opened->space = port_test_space_create(opened->port);
	return true;
}

void contract_close(struct contract_machine *opened)
{
	port_test_set_spurious(0);
	port_test_space_destroy(opened->space);
	port_test_destroy(opened->port);
}

bool contract_access(struct contract_machine *opened, uint64_t va, void *buffer, uint32_t len_bytes, bool is_write)
{
	/* Without a fault function a missing page is an error. */
	if (is_write)
		return !port_test_write(opened->space, va, buffer, len_bytes);
	return !port_test_read(opened->space, va, buffer, len_bytes);
}
