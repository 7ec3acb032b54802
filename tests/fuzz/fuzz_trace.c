/*
 * Any bytes as a trace, for libFuzzer. The first byte chooses format and page size, the rest is the trace, plain or
 * compressed. Pages and errors must not depend on how many are asked for at a time; tests/fuzz/run.sh builds and runs
 * it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "replay/trace.h"

/* A few bytes can be unpacked to gigabytes. */
#define MAX_PAGES 200000u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nr_bytes);

static void require(bool condition, const char *what)
{
	if (condition)
		return;
	(void)fprintf(stderr, "fuzz_trace: %s\n", what);
	abort();
}

/* Reads all, nr_ask pages at a time; returns how many there are, and what is wrong with the trace in error. */
static size_t read_all(const uint8_t *bytes, size_t nr_bytes, size_t nr_ask, uint64_t *pages, char *error)
{
	unsigned choice = bytes[0];
	struct qr_source *source = qr_source_open_memory(bytes + 1, nr_bytes - 1, error);
	struct qr_trace trace;
	size_t nr = 0;
	long got = 0;

	if (!source)
		return 0;
	if (!qr_trace_open(&trace, source, (enum qr_trace_format)(choice % QR_NR_TRACE_FORMATS), choice / 8, error)) {
		while (nr < MAX_PAGES &&
		       (got = qr_trace_read(&trace, pages + nr, QR_MIN(nr_ask, MAX_PAGES - nr))) > 0) {
			require((size_t)got <= nr_ask, "more pages than asked for");
			nr += (size_t)got;
			require(trace.nr_accesses == nr, "wrong count");
			require(qr_source_progress(source) >= 0 && qr_source_progress(source) <= 1, "progress");
		}
		require(got >= 0 || error[0], "an error without words");
		/* Reading stopped short of an error that was found already. */
		if (nr == MAX_PAGES)
			error[0] = '\0';
	} else {
		require(error[0], "a refusal without words");
	}
	qr_trace_close(&trace);
	return nr;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nr_bytes)
{
	static uint64_t first[MAX_PAGES], second[MAX_PAGES];
	char first_error[QR_REPLAY_ERROR_MAX] = "", second_error[QR_REPLAY_ERROR_MAX] = "";
	size_t nr_first, nr_second;

	if (!nr_bytes)
		return 0;
	nr_first = read_all(bytes, nr_bytes, MAX_PAGES, first, first_error);
	nr_second = read_all(bytes, nr_bytes, 3, second, second_error);
	require(nr_first == nr_second && !memcmp(first, second, nr_first * sizeof(*first)), "pages differ");
	require(!strcmp(first_error, second_error), "errors differ");
	return 0;
}
