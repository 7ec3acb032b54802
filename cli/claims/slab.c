/* B: slab caches and shrinkers. */
#include "claims/claims.h"

static const struct qr_claim claims[] = {
	{
		.id = "B1",
		.source = "S2, S3",
		.mechanism = "slab caches, per CPU and per node, constructors",
		.claim = "objects of one kind are allocated fast and without fragmentation",
		.must = "ratio to mimalloc and jemalloc in one run",
		.how = "quire-lab-native --objects on this host: objects of 200 bytes, replaced at random places of a "
		       "set of 4096, by a slab cache and by malloc in turns; malloc is that of each library that is "
		       "there, preloaded. At least as fast as each of them, and both named ones are there",
		.unit = "times the fastest malloc's rate",
		.answer = qr_answer_objects,
	},
	{
		.id = "B2",
		.source = "S0; Linux 6.18",
		.mechanism = "sheaves and per-node barns: no contended node lock",
		.claim = "the lock of a slab's node is unsolved",
		.must = "at most one take of a node's lock per 32 objects, also for remote frees",
		.how = "objects per take of a node's lock",
		.unit = "objects per take",
	},
	{
		.id = "B3",
		.source = "S3",
		.mechanism = "NUMA-aware slab",
		.claim = "only the slab was not",
		.must = "at least 95 % local hits",
		.how = "objects handed out on the node of their memory",
		.unit = "% local",
	},
	{
		.id = "B4",
		.source = "S0",
		.mechanism = "shrinkers: lockless by reference count and RCU; the rwsem list as baseline",
		.claim = "one list of shrinkers under one lock does not scale",
		.must = "2000 groups, 1000 writers: no global lock; unregistering no slower than the baseline",
		.how = "takes of a global lock per walk",
		.unit = "takes",
	},
	{
		.id = "B5",
		.source = "S3",
		.mechanism = "accounting of every consumer of kernel memory",
		.claim = "buffer heads, dentries, inodes and page tables eat lowmem unseen",
		.must = "figures per consumer add up to 100 %",
		.how = "sum over consumers against memory in use",
		.unit = "%",
	},
};

const struct qr_claim_family qr_claims_slab = {'B', "Slab and shrinkers", claims, QR_ARRAY_SIZE(claims)};
