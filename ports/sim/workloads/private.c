/* Accesses to memory of the CPU's own, in cache: nothing to wait for. An operation is a pass over it. */
#include "workloads/workload.h"

enum { LINES };

static const struct qr_lab_param params[] = {
	{"lines", "256", "cache lines of a pass, each read and written", NULL},
	{NULL, NULL, NULL, NULL},
};

#define WORDS_PER_LINE (QR_CACHE_LINE / sizeof(uint64_t))

static int setup(struct qr_lab *lab)
{
	uint64_t **buffers = qr_lab_alloc(lab, lab->nr_cpus * sizeof(*buffers));

	for (uint32_t cpu = 0; cpu < lab->nr_cpus; cpu++)
		buffers[cpu] = qr_lab_alloc(lab, lab->values[LINES] * QR_CACHE_LINE);
	lab->state = buffers;
	return 0;
}

static void run(struct qr_lab *lab, uint32_t cpu)
{
	uint64_t *const *buffers = lab->state;
	uint64_t *buffer = buffers[cpu];

	while (qr_lab_running(lab)) {
		for (uint64_t i = 0; i < lab->values[LINES] * WORDS_PER_LINE; i += WORDS_PER_LINE)
			qr_lab_store(&buffer[i], qr_lab_load(&buffer[i]) + 1);
	}
}

extern const struct qr_lab_workload qr_lab_private;
const struct qr_lab_workload qr_lab_private = {
	.name = "private",
	.help = "accesses to private memory: what cannot contend; an operation is a pass",
	.params = params,
	.setup = setup,
	.run = run,
};
