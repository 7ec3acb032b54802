/* Address spaces of a workload. */
#include "workloads/spaces.h"

struct qr_aspace **qr_lab_spaces_create(struct qr_lab *lab, enum qr_lab_sharing sharing)
{
	struct qr_aspace **spaces = qr_lab_alloc(lab, lab->nr_cpus * sizeof(*spaces));

	for (uint32_t cpu = 0; cpu < lab->nr_cpus; cpu++) {
		struct qr_port_space *port_space;
		uint64_t start, end;

		if (cpu > 0 && sharing == QR_LAB_SAME) {
			spaces[cpu] = spaces[0];
			continue;
		}
		port_space = qr_lab_space_create(lab, &start, &end);
		if (qr_aspace_create(lab->vmm, port_space, start, end, &spaces[cpu]))
			return NULL;
	}
	return spaces;
}

const char *qr_lab_spaces_check(struct qr_lab *lab, struct qr_aspace *const *spaces)
{
	for (uint32_t cpu = 0; cpu < lab->nr_cpus; cpu++) {
		if ((cpu == 0 || spaces[cpu] != spaces[0]) && !qr_aspace_is_valid(spaces[cpu]))
			return "an address space is not valid";
	}
	return NULL;
}
