/* The workloads by name. */
#include "workloads/workload.h"

extern const struct qr_lab_workload qr_lab_fault, qr_lab_mmap, qr_lab_churn, qr_lab_slab, qr_lab_lru, qr_lab_lock,
	qr_lab_threads, qr_lab_kernbench, qr_lab_sdet, qr_lab_private, qr_lab_groups, qr_lab_database, qr_lab_stream,
	qr_lab_contexts, qr_lab_advice, qr_lab_mappings, qr_lab_worst, qr_lab_nodes;

static const struct qr_lab_workload *const workloads[] = {
	&qr_lab_fault,   &qr_lab_mmap,      &qr_lab_churn,  &qr_lab_slab,     &qr_lab_lru,    &qr_lab_lock,
	&qr_lab_threads, &qr_lab_kernbench, &qr_lab_sdet,   &qr_lab_private,  &qr_lab_groups, &qr_lab_database,
	&qr_lab_stream,  &qr_lab_contexts,  &qr_lab_advice, &qr_lab_mappings, &qr_lab_worst,  &qr_lab_nodes,
};

const struct qr_lab_workload *const *qr_lab_workloads(uint32_t *nr)
{
	*nr = QR_ARRAY_SIZE(workloads);
	return workloads;
}
