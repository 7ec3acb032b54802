/* Shared by group.c and charge.c. */
#ifndef QR_CORE_GROUP_PRIV_H
#define QR_CORE_GROUP_PRIV_H

#include "group/group.h"
#include "vmm/vmm.h"

/* Gives the stocks of all CPUs back; returns how many pages they held. O(CPUs). */
uint32_t qr_group_drain_stocks(struct qr_group *group);
/* Reclaims until at most nr pages are charged; false if that cannot be had. May sleep. */
bool qr_group_shrink(struct qr_group *group, uint32_t nr);

#endif
