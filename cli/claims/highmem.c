/* H: large memory on 32 bits. */
#include "claims/claims.h"

static const struct qr_claim claims[] = {
	{
		.id = "H1",
		.source = "S3",
		.mechanism = "3:1 split, 896 MiB of lowmem, the rest highmem",
		.claim = "lowmem runs out long before memory does",
		.must = "boots with 16 GiB; a warning before lowmem runs out",
		.how = "memory of a machine that boots",
		.unit = "GiB",
	},
	{
		.id = "H2",
		.source = "S3",
		.mechanism = "persistent kmap: 512 slots, use count, lock, global flush when the pool wraps",
		.claim = "O(N^2)",
		.must = "flushes = mappings / 512; the curve",
		.how = "mappings per global flush",
		.unit = "mappings",
	},
	{
		.id = "H3",
		.source = "S3",
		.mechanism = "atomic kmap: slots per CPU, one entry flushed, no sleep",
		.claim = "no global flush",
		.must = "no global flush; the fallback of a user copy that faults works",
		.how = "global flushes",
		.unit = "flushes",
	},
	{
		.id = "H4",
		.source = "S3",
		.mechanism = "page tables in highmem",
		.claim = "+8 % system time",
		.must = "a switch, and its cost",
		.how = "time of a fault mix with and without",
		.unit = "% more time",
	},
	{
		.id = "H5",
		.source = "S3",
		.mechanism = "UKVA: a window of 8 MiB, 2048 entries, 4 PTE pages, set up with the top-level table",
		.claim = "a process sees its own page tables without kmap",
		.must = "no kmap on one's own tables; 8 MiB, 2048 and 4",
		.how = "kmaps of a task's own tables",
		.unit = "kmaps",
	},
	{
		.id = "H6",
		.source = "S3",
		.mechanism = "cost of PTEs: 6 MB for 3 GB",
		.claim = "0.2 %",
		.must = "6 MiB; 0.195 %",
		.how = "page tables of 3 GiB with 8-byte entries",
		.unit = "MiB",
	},
};

const struct qr_claim_family qr_claims_highmem = {'H', "Large memory on 32 bits", claims, QR_ARRAY_SIZE(claims)};
