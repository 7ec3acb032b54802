/* The model of the balanced lists: see policy_model.h. */
#ifndef QR_TEST_POLICY_MODEL_BALANCED_H
#define QR_TEST_POLICY_MODEL_BALANCED_H

#include "policy_model.h"

extern const struct model_ops model_balanced;

#endif
