/* Parameters of workloads from NAME=VALUE, for all programs that run workloads. */
#ifndef QR_SIM_PARAMS_H
#define QR_SIM_PARAMS_H

#include "workloads/workload.h"

#define QR_PARAMS_ERROR_LEN 512u

/* NULL, with the names that there are in error. */
const struct qr_lab_workload *qr_params_workload(const char *name, char error[QR_PARAMS_ERROR_LEN]);
/* The defaults of all parameters of a list. */
void qr_params_defaults(const struct qr_lab_param *params, const char **texts, uint64_t *values);
/* Sets the parameter of a list that NAME=VALUE names; texts may be NULL. Returns 0, 1 if the list has none of that
 * name, or -1 with a message in error. */
int qr_params_set(const struct qr_lab_param *params, const char **texts, uint64_t *values, const char *pair,
		  char error[QR_PARAMS_ERROR_LEN]);
/* Sets the mechanism that NAME=VALUE names. Returns 0, or -1 with a message in error. */
int qr_params_choose(struct qr_choices *choices, const char *pair, char error[QR_PARAMS_ERROR_LEN]);
/* Appends the names of a list to text of size bytes. */
void qr_params_names(const struct qr_lab_param *params, char *text, size_t size);

#endif
