/* Tasks that come and go: what kernbench and sdet share. */
#ifndef QR_LAB_TASKS_H
#define QR_LAB_TASKS_H

#include "workloads/workload.h"

/* The parameters, in this order. */
enum qr_lab_tasks_param {
	QR_TASKS_NR,
	QR_TASKS_PARENTS,
	QR_TASKS_EXEC,
	QR_TASKS_STEPS,
	QR_TASKS_TEXT,
	QR_TASKS_HEAP,
	QR_TASKS_MAPS,
	QR_TASKS_FOLIO,
	QR_TASKS_THINK
};
enum qr_lab_tasks_parents { QR_TASKS_ONE_PARENT, QR_TASKS_PARENT_EACH };

int qr_lab_tasks_setup(struct qr_lab *lab);
void qr_lab_tasks_run(struct qr_lab *lab, uint32_t cpu);
const char *qr_lab_tasks_check(struct qr_lab *lab);

#endif
