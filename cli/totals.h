/* The sums over a domain: members that live and those that ended. */
#ifndef QR_CLI_TOTALS_H
#define QR_CLI_TOTALS_H

#include <jansson.h>

#include "domain.h"

struct qr_totals {
	uint64_t budget_bytes;
	uint64_t quota_bytes;     /* handed out to members */
	uint64_t peak_bytes;      /* most that was in use at once */
	uint64_t used_bytes, mapped_bytes, resident_bytes, swapped_bytes, locked_bytes;
	uint64_t compressed_pages, compressed_bytes, pool_bytes, file_bytes;
	uint64_t nr_live, nr_ended;
	uint64_t passed_maps, passed_bytes; /* mappings that went to the kernel untouched */
	uint64_t counters[QR_NR_STATS];
};

void qr_totals_collect(const struct qr_domain *domain, struct qr_totals *totals);

/* Objects with the documented keys (quire-stat(1)); NULL when out of memory. */
json_t *qr_totals_to_json(const struct qr_totals *totals);
json_t *qr_totals_options_json(const struct qr_domain_shared *shared);
json_t *qr_totals_processes_json(const struct qr_domain *domain);
json_t *qr_totals_groups_json(const struct qr_domain_shared *shared);

#endif
