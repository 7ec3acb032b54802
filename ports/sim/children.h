/* Child processes of the validation. */
#ifndef QR_SIM_CHILDREN_H
#define QR_SIM_CHILDREN_H

#include "run.h"

#define QR_NATIVE_PROGRAM "quire-lab-native"

/* What the program beside this one prints, NULL if it fails or takes longer than a minute; the caller frees it. */
char *qr_child_output(const char *const *words);
/* Runs a cell in a process of its own, since a process runs one; returns ns per operation and CPU, 0 if it failed. */
double qr_child_cell(const struct qr_cell *cell);

#endif
