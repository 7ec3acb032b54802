/* What the tests of the shared budget have in common: a domain, a look at its books, a fork with a reservation. */
#ifndef QR_TEST_DOMAIN_FIXTURE_H
#define QR_TEST_DOMAIN_FIXTURE_H

#include "domain.h"

#define BUDGET 20000u

/* The test program's own view, and the path by which its children attach. */
extern struct qr_domain domain;
extern char domain_path[64];

/* Creates the domain. */
void domain_setup(uint64_t budget);
void domain_sleep_ms(unsigned ms);
/* After burying: what is free and what is in quotas is the budget, and the quotas are exactly the expected. */
void domain_check_books(uint64_t expected_quota, uint64_t budget, uint32_t nr_live);
/* Forks a child that adopts a reservation of nr frames and leaves. Returns the quota that it found, or UINT64_MAX if
 * nothing could be reserved. */
uint64_t domain_fork_child(struct qr_domain *own, uint64_t nr);

#endif
