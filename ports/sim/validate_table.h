/* The configurations of the validation. */
#ifndef QR_SIM_VALIDATE_TABLE_H
#define QR_SIM_VALIDATE_TABLE_H

#include <stdint.h>

#define QR_VALIDATE_PARAMS 4u

struct qr_validate_config {
	const char *workload;
	const char *params[QR_VALIDATE_PARAMS]; /* NAME=VALUE, NULL behind the last */
	const char *choice;                     /* of a mechanism, or NULL */
};

extern const struct qr_validate_config qr_validate_configs[];
extern const uint32_t qr_nr_validate_configs;

#endif
