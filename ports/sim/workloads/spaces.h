/* Address spaces of a workload: one for each CPU, or one for all. */
#ifndef QR_LAB_SPACES_H
#define QR_LAB_SPACES_H

#include "workloads/workload.h"

enum qr_lab_sharing { QR_LAB_SEPARATE, QR_LAB_SAME };

/* [cpu]; entries are equal where the space is shared. NULL when out of memory. */
struct qr_aspace **qr_lab_spaces_create(struct qr_lab *lab, enum qr_lab_sharing sharing);
/* NULL, or what is wrong with one of them. */
const char *qr_lab_spaces_check(struct qr_lab *lab, struct qr_aspace *const *spaces);

#endif
