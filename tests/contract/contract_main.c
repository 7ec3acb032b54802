/* Runs the clauses, each on a fresh port. */
#include "contract.h"

#define MAX_TESTS 64u
#define MAX_ROUNDS 1000u /* of a call that keeps saying QR_EAGAIN or QR_EBUSY */

struct contract_machine machine;

static const struct contract_group *const groups[] = {
	&contract_machine_group,
	&contract_memory_group,
	&contract_storage_group,
};

int contract_map(uint64_t va, uint32_t pfn, uint32_t nr, uint32_t prot)
{
	int error = QR_EAGAIN;

	for (uint32_t round = 0; nr && error == QR_EAGAIN && round < MAX_ROUNDS; round++) {
		uint32_t nr_done = UINT32_MAX;

		error = qr_port_map(machine.port, machine.space, va, (qr_pfn_t){pfn}, nr, prot, &nr_done);
		tap_require(nr_done <= nr && (error || nr_done == nr));
		va += nr_done * QR_PAGE_SIZE;
		pfn += nr_done;
		nr -= nr_done;
	}
	return error;
}

int contract_unmap(uint64_t va, uint32_t pfn, uint32_t nr, uint32_t prot)
{
	int error = QR_EAGAIN;

	for (uint32_t round = 0; nr && (error == QR_EAGAIN || error == QR_EBUSY) && round < MAX_ROUNDS; round++) {
		uint32_t nr_done = UINT32_MAX;

		error = qr_port_unmap(machine.port, machine.space, va, (qr_pfn_t){pfn}, nr, prot, &nr_done);
		tap_require(nr_done <= nr && (error || nr_done == nr));
		va += nr_done * QR_PAGE_SIZE;
		pfn += nr_done;
		nr -= nr_done;
	}
	return error;
}

bool contract_load(uint64_t va, uint64_t *value)
{
	return contract_access(&machine, va, value, sizeof(*value), false);
}

bool contract_store(uint64_t va, uint64_t value)
{
	return contract_access(&machine, va, &value, sizeof(value), true);
}

uint64_t *contract_slot(uint32_t pfn)
{
	return qr_port_frame_address(machine.port, (qr_pfn_t){pfn});
}

int main(int argc, char **argv)
{
	struct tap_test tests[MAX_TESTS];
	size_t nr_tests = 0;

	for (size_t g = 0; g < QR_ARRAY_SIZE(groups); g++) {
		for (size_t i = 0; i < groups[g]->nr_tests && nr_tests < MAX_TESTS; i++)
			tests[nr_tests++] = groups[g]->tests[i];
	}
	return tap_run(tests, nr_tests, argc, argv);
}
