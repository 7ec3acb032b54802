/* A parallel kernel build after kernbench, `make -j 256`: compilers that one parent starts. */
#include "workloads/tasks.h"

static const struct qr_lab_param params[] = {
	{"tasks", "256", "tasks at a time, on all CPUs together; 8000 at most", NULL},
	{"parents", "one", "who forks: one parent for all, or one for each CPU", "one,each"},
	{"exec", "100", "of a hundred children, those that start another program", NULL},
	{"steps", "96", "steps of a task's life", NULL},
	{"text", "96", "pages of its program", NULL},
	{"heap", "64", "pages of its heap", NULL},
	{"maps", "16", "steps between two small mappings", NULL},
	{"folio", "base", "folios of one page, or as large as the manager likes", "base,auto"},
	{"think", "20000", "mean time of a step outside of the manager, ns", NULL},
	{NULL, NULL, NULL, NULL},
};

extern const struct qr_lab_workload qr_lab_kernbench;
const struct qr_lab_workload qr_lab_kernbench = {
	.name = "kernbench",
	.help = "a parallel build: compilers forked by one make; an operation is a step of a task",
	.params = params,
	.setup = qr_lab_tasks_setup,
	.run = qr_lab_tasks_run,
	.check = qr_lab_tasks_check,
};
