/* The model of CLOCK-Pro, which is too long for a file with the others. */
#ifndef QR_TEST_POLICY_MODEL_CLOCKPRO_H
#define QR_TEST_POLICY_MODEL_CLOCKPRO_H

#include "policy_model.h"

extern const struct model_ops model_clockpro;

#endif
