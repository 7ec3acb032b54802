/*
 * The configurations of the validation: locks, LRU lists, page allocator, slabs, page tables and VMAs, at loads from
 * heavy to light, with the default mechanisms and their rivals.
 */
#include "validate_table.h"

#include "base/base.h"

const struct qr_validate_config qr_validate_configs[] = {
	{"lock", {"kind=spin", "think=0"}, NULL},
	{"lock", {"kind=spin", "think=100"}, NULL},
	{"lock", {"kind=spin", "think=200"}, NULL},
	{"lock", {"kind=spin", "think=500"}, NULL},
	{"lock", {"kind=mutex", "think=200"}, NULL},
	{"lock", {"kind=mutex", "think=1000"}, NULL},
	{"lock", {"kind=rwsem-read", "think=100"}, NULL},
	{"lock", {"kind=rwsem-read", "think=500"}, NULL},
	{"lock", {"kind=rwsem-write", "think=500"}, NULL},
	{"lock", {"kind=spin", "think=200", "counter=near"}, NULL},
	{"lock", {"kind=spin", "think=200", "work=8"}, NULL},
	{"lru", {"isolate=32", "think=100"}, "lru-batch=0"},
	{"lru", {"isolate=32", "think=500"}, "lru-batch=0"},
	{"lru", {"isolate=32", "think=2000"}, "lru-batch=0"},
	{"lru", {"isolate=1", "think=500"}, "lru-batch=0"},
	{"lru", {"isolate=32", "think=100"}, "lru-batch=14"},
	{"lru", {"isolate=32", "think=500"}, "lru-batch=14"},
	{"lru", {"isolate=32", "think=2000"}, "lru-batch=14"},
	{"lru", {"isolate=1", "think=500"}, "lru-batch=14"},
	{"churn", {"think=100"}, "pcp=auto"},
	{"churn", {"think=1000"}, "pcp=auto"},
	{"churn", {"think=100"}, "pcp=hot-cold"},
	{"churn", {"think=1000"}, "pcp=hot-cold"},
	{"churn", {"think=100"}, "pcp=none"},
	{"churn", {"think=1000"}, "pcp=none"},
	{"churn", {"order=1", "think=500"}, NULL},
	{"churn", {"order=3", "think=500"}, NULL},
	{"slab", {"frees=local", "think=50"}, NULL},
	{"slab", {"frees=local", "think=500"}, NULL},
	{"slab", {"frees=remote", "think=50"}, NULL},
	{"slab", {"frees=remote", "think=500"}, NULL},
	{"fault", {"spaces=separate", "think=100"}, NULL},
	{"fault", {"spaces=separate", "think=1000"}, NULL},
	{"fault", {"spaces=separate", "think=500"}, "lru-batch=0"},
	{"fault", {"spaces=separate", "think=500"}, "pcp=none"},
	{"fault", {"spaces=separate", "think=500"}, "mmap-lock=rwsem"},
	{"mmap", {"spaces=separate", "think=1000"}, NULL},
	{"fault", {"spaces=same", "think=100"}, NULL},
	{"fault", {"spaces=same", "think=1000"}, NULL},
	{"fault", {"spaces=same", "think=500"}, "lru-batch=0"},
	{"fault", {"spaces=same", "think=500"}, "pcp=none"},
	{"fault", {"spaces=same", "think=500"}, "mmap-lock=rwsem"},
	{"fault", {"spaces=same", "think=500"}, "pt-lock=aspace"},
	{"lru", {"isolate=32", "think=20"}, "lru-batch=0"},
	{"lru", {"isolate=32", "think=20"}, "lru-batch=14"},
	{"churn", {"think=20"}, "pcp=none"},
	{"churn", {"think=20"}, "pcp=auto"},
	{"churn", {"order=1", "think=20"}, NULL},
	{"slab", {"frees=local", "think=20"}, NULL},
	{"fault", {"spaces=separate", "think=20"}, NULL},
	{"fault", {"spaces=same", "think=20"}, NULL},
	{"fault", {"spaces=separate", "think=20"}, "pcp=none"},
};

const uint32_t qr_nr_validate_configs = QR_ARRAY_SIZE(qr_validate_configs);
