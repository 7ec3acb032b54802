/* The page fault loop. fault.c is the loop; anon.c cow.c file.c swapin.c one case each. */
#ifndef QR_CORE_FAULT_H
#define QR_CORE_FAULT_H

#include "aspace/aspace.h"

#define QR_FAULT_WRITE 0x1u
#define QR_FAULT_EXEC 0x2u
#define QR_FAULT_PREFETCH 0x4u /* nobody waits: give up rather than reclaim or block */

/* Makes the page of va accessible. Returns 0; QR_EFAULT (no VMA) or QR_EACCES (protection): the program gets a
 * segmentation fault; QR_ENOMEM; QR_EIO or QR_EILSEQ: the content is lost, the program must not go on.
 * May sleep; no locks held. */
int qr_fault(struct qr_aspace *aspace, uint64_t va, uint32_t flags) QR_WARN_UNUSED;

#endif
