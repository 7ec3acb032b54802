/* Many users' scripts after SDET: short commands, some of them subshells that run no other program. */
#include "workloads/tasks.h"

static const struct qr_lab_param params[] = {
	{"tasks", "5000", "tasks at a time, on all CPUs together; 8000 at most", NULL},
	{"parents", "each", "who forks: one parent for all, or one for each CPU", "one,each"},
	{"exec", "60", "of a hundred children, those that start another program", NULL},
	{"steps", "12", "steps of a task's life", NULL},
	{"text", "32", "pages of its program", NULL},
	{"heap", "16", "pages of its heap", NULL},
	{"maps", "8", "steps between two small mappings", NULL},
	{"folio", "base", "folios of one page, or as large as the manager likes", "base,auto"},
	{"think", "5000", "mean time of a step outside of the manager, ns", NULL},
	{NULL, NULL, NULL, NULL},
};

extern const struct qr_lab_workload qr_lab_sdet;
const struct qr_lab_workload qr_lab_sdet = {
	.name = "sdet",
	.help = "scripts of many users: short commands, fork, exec and exit; an operation is a step of a task",
	.params = params,
	.setup = qr_lab_tasks_setup,
	.run = qr_lab_tasks_run,
	.check = qr_lab_tasks_check,
};
