/* The command line of `quire replay`. */
#ifndef QR_CLI_REPLAY_REQUEST_H
#define QR_CLI_REPLAY_REQUEST_H

#include "lru/policy.h"
#include "replay/trace.h"

/* The offline optimum's name among the policies. */
#define QR_REPLAY_MIN_NAME "min"

struct qr_replay_size {
	const char *text; /* as it was given; length characters */
	int length;
	double percent; /* of the distinct pages of a trace; 0: bytes count */
	uint64_t bytes;
};

struct qr_replay_request {
	char **traces; /* ended by NULL; of argv */
	unsigned nr_traces;
	const struct qr_policy_ops **policies; /* [nr_policies] NULL: MIN */
	unsigned nr_policies;
	struct qr_replay_size *sizes;
	unsigned nr_sizes;
	enum qr_trace_format format;
	uint64_t page_size; /* bytes, a power of 2 */
	uint32_t pool_share; /* 0: all touches are seen */
	double warmup_percent;
	uint64_t limit; /* accesses; 0: all */
	unsigned nr_jobs;
	bool is_json;
	bool is_quiet;
	bool is_help;
	const char *svg; /* NULL: none */
	/* To make a trace, not to replay one: */
	const char *pattern; /* NULL: replay */
	uint64_t nr_pages;
	uint64_t nr_accesses;
	uint64_t seed;
};

/* Returns 0, or QR_EXIT_FAILED after saying what is wrong. The request is to be freed in both cases. */
int qr_replay_request_parse(int argc, char **argv, struct qr_replay_request *request);
void qr_replay_request_free(struct qr_replay_request *request);

/* The name of a policy of a request. */
const char *qr_replay_policy_name(const struct qr_policy_ops *ops);

#endif
