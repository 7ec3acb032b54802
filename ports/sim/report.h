/* What the cell runner prints: JSON of a result, of what there is to choose from. */
#ifndef QR_SIM_REPORT_H
#define QR_SIM_REPORT_H

#include "run.h"

void qr_report_cell(const struct qr_cell *cell, const struct qr_result *result);
/* Workloads, machines, mechanisms. */
void qr_report_list(bool is_json);

#endif
