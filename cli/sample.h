/* The course of a run: figures of the domain over time, in bounded memory. */
#ifndef QR_CLI_SAMPLE_H
#define QR_CLI_SAMPLE_H

#include "totals.h"

#define QR_SAMPLES_MAX 4096u
#define QR_SAMPLED_PROCESSES 256u

struct qr_sample {
	double seconds; /* since the start */
	double used_bytes, swapped_bytes, pool_bytes, file_bytes;
	double faults, swapin_pages, swapout_pages, stalled_ns; /* since the start */
};

/* A member as last seen alive. */
struct qr_sampled_process {
	int32_t pid;
	uint64_t owner;
	char command[33];
	double first_seen, last_seen; /* seconds */
	uint64_t peak_bytes, faults, swapin_pages, swapout_pages, passed_maps;
};

struct qr_sampler {
	const struct qr_domain *domain;
	uint32_t nr;           /* samples */
	uint32_t ticks;        /* calls since the last kept sample */
	uint32_t ticks_per_sample;
	uint32_t nr_processes; /* rows in use */
	uint64_t nr_more;      /* sightings of members for which no row was left */
	struct qr_sample samples[QR_SAMPLES_MAX];
	struct qr_sampled_process processes[QR_SAMPLED_PROCESSES];
};

/* NULL when out of memory; free() ends it. */
struct qr_sampler *qr_sampler_new(const struct qr_domain *domain);
/* One tick. Above QR_SAMPLES_MAX samples every second one is dropped and ticks count half. */
void qr_sampler_tick(struct qr_sampler *sampler);
/* The last sample, whatever the resolution. */
void qr_sampler_finish(struct qr_sampler *sampler);
double qr_sampler_seconds(const struct qr_domain *domain);

#endif
