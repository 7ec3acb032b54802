/*
 * libCacheSim's oracleGeneral: packed little-endian records of u32 time, u64 object, u32 size, i64 time of the next
 * access. An object counts as a page; the other fields are not used, the future is found anew (spool.c).
 */
#include <stdio.h>

#include "replay/trace_priv.h"

#define RECORD_SIZE 24u
#define OBJECT_AT 4u

static uint64_t little_endian_u64(const char *bytes)
{
	uint64_t value = 0;

	for (unsigned i = 8; i-- > 0;)
		value = value << 8 | (unsigned char)bytes[i];
	return value;
}

long qr_trace_read_oracle(struct qr_trace *trace, uint64_t *pages, size_t nr)
{
	size_t nr_done = 0;

	while (nr_done < nr) {
		if (trace->end - trace->at >= RECORD_SIZE) {
			pages[nr_done++] = little_endian_u64(trace->buffer + trace->at + OBJECT_AT);
			trace->at += RECORD_SIZE;
			continue;
		}
		if (trace->is_at_end || !qr_trace_fill(trace))
			break;
	}
	if (!nr_done && trace->is_at_end && trace->end != trace->at && !trace->error[0])
		(void)snprintf(trace->error, QR_REPLAY_ERROR_MAX,
			       "byte %llu: expected a record of %u bytes (oracleGeneral), found %zu bytes and the end",
			       (unsigned long long)trace->offset + trace->at, RECORD_SIZE, trace->end - trace->at);
	return (long)nr_done;
}
