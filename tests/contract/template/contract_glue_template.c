/* The contract on the template port, with a board that is this process.
 * Include path: ports/template, tests/contract, tests/harness and those of core. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "board.h"
#include "contract.h"
#include "template.h"

static uint8_t memory[CONTRACT_MIN_FRAMES * 4096] QR_ALIGNED(4096);
static struct qr_port port;
static struct qr_port_space space;

bool contract_open(struct contract_machine *opened)
{
	qr_template_init(&port, memory, CONTRACT_MIN_FRAMES);
	qr_template_space_init(&space);
	*opened = (struct contract_machine){&port, &space, CONTRACT_MIN_FRAMES, QR_TEMPLATE_VA_START};
	return true;
}

void contract_close(struct contract_machine *opened)
{
	(void)opened;
}

bool contract_access(struct contract_machine *opened, uint64_t va, void *buffer, uint32_t len_bytes, bool is_write)
{
	void *bytes = qr_template_translate(opened->port, opened->space, va, is_write ? QR_PROT_WRITE : QR_PROT_READ);

	if (!bytes)
		return false;
	memcpy(is_write ? bytes : buffer, is_write ? buffer : bytes, len_bytes);
	return true;
}

uint64_t qr_board_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void qr_board_print(const char *text)
{
	fprintf(stderr, "# %s\n", text);
}

void qr_board_stop(void)
{
	abort();
}
