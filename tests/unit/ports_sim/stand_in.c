/* What the scheduler calls of a whole run: nothing is measured in unit tests. */
#include "sim.h"

void qr_sim_warm(void)
{
}

void qr_sim_end(void)
{
}
