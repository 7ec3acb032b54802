/*
 * Paging benchmark: data larger than RAM, quire against the kernel's own ways, interleaved in one run.
 *
 *   paging [--json[=FILE]] [--rounds N] [--data SIZE] [--ram SIZE] [--ops N] [--dir DIR] [--only NAME] [--quick]
 *
 * In each round every subject runs in a child process of its own, once for each number of threads: it fills the
 * data in order (seq_write), reads it in order (seq_read), reads pages uniformly at random (random) and with a
 * Zipf distribution of 0.99 (zipf). Half of each page is random, half constant; each page visited is checked.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <quire/quire.h>

#include "paging.h"

#define MIB ((uint64_t)1 << 20)
#define REASON_BYTES 256

/* What a child sends: its samples, or why there are none. */
struct outcome {
	struct sample samples[NR_WORKS];
	char why[REASON_BYTES];
};

#define QUIRE_SUBJECT(title, how, codec)                                                                               \
	{.name = title, .delivery = how, .compression = codec, .map = qr_bench_quire_map, .count = qr_bench_quire_count}
const struct subject qr_bench_subjects[] = {
	QUIRE_SUBJECT("quire-thread-lz4", QR_DELIVERY_THREAD, QR_COMPRESS_LZ4),
	QUIRE_SUBJECT("quire-signal-lz4", QR_DELIVERY_SIGNAL, QR_COMPRESS_LZ4),
	QUIRE_SUBJECT("quire-thread-file", QR_DELIVERY_THREAD, QR_COMPRESS_NONE),
	QUIRE_SUBJECT("quire-signal-file", QR_DELIVERY_SIGNAL, QR_COMPRESS_NONE),
	{.name = "kernel-swap",
	 .is_peer = true,
	 .prepare = qr_bench_disk_prepare,
	 .undo = qr_bench_kernel_undo,
	 .map = qr_bench_anon_map,
	 .count = qr_bench_swap_count},
	{.name = "zram",
	 .is_peer = true,
	 .prepare = qr_bench_zram_prepare,
	 .undo = qr_bench_kernel_undo,
	 .map = qr_bench_anon_map,
	 .count = qr_bench_swap_count},
	{.name = "kernel-mmap",
	 .is_peer = true,
	 .prepare = qr_bench_file_prepare,
	 .undo = qr_bench_kernel_undo,
	 .map = qr_bench_file_map,
	 .before_work = qr_bench_file_before_work,
	 .count = qr_bench_file_count},
};
#define NR_SUBJECTS (sizeof(qr_bench_subjects) / sizeof(qr_bench_subjects[0]))
const unsigned qr_bench_nr_subjects = NR_SUBJECTS;

static volatile sig_atomic_t is_interrupted;
static char reasons[NR_SUBJECTS][REASON_BYTES];
static sample_grid samples[NR_SUBJECTS];

static void on_signal(int signal)
{
	(void)signal;
	is_interrupted = 1;
}

static void child(const struct subject *subject, const struct config *config, unsigned nr_threads, int fd)
{
	struct outcome outcome = {.why = ""};
	struct block block = {.nr_pages = config->data_bytes / PAGE_BYTES};
	const char *why = subject->map(subject, config, &block);

	if (why)
		snprintf(outcome.why, sizeof(outcome.why), "%s", why);
	for (unsigned work = 0; !why && work < NR_WORKS; work++) {
		struct sample *sample = &outcome.samples[work];
		struct counts before = {0}, after = {0};
		bool is_sequential = work == WORK_SEQ_WRITE || work == WORK_SEQ_READ;

		if (subject->before_work)
			subject->before_work((enum work)work, &block);
		subject->count(&before);
		sample->seconds = qr_bench_run_work((enum work)work, &block, nr_threads, config->nr_ops);
		subject->count(&after);
		sample->nr_pages = is_sequential ? block.nr_pages : config->nr_ops * nr_threads;
		sample->nr_faults = after.nr_faults - before.nr_faults;
		sample->bytes_in = after.bytes_in - before.bytes_in;
		sample->bytes_out = after.bytes_out - before.bytes_out;
	}
	_exit(write(fd, &outcome, sizeof(outcome)) == (ssize_t)sizeof(outcome) ? 0 : 4);
}

/* Reads what the child sends and waits for its end; an interruption ends the child. */
static void await_child(pid_t pid, int fd, struct outcome *outcome)
{
	size_t got = 0;
	int status = 0;

	while (got < sizeof(*outcome)) {
		ssize_t n = read(fd, (char *)outcome + got, sizeof(*outcome) - got);

		if (n < 0 && errno == EINTR && !is_interrupted)
			continue;
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	if (is_interrupted)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (got == sizeof(*outcome) && !status)
		return;
	memset(outcome, 0, sizeof(*outcome));
	snprintf(outcome->why, sizeof(outcome->why), "the child ended early with status 0x%x", (unsigned)status);
}

static void run_child(const struct subject *subject, const struct config *config, unsigned nr_threads,
		      struct outcome *outcome)
{
	int ends[2];
	pid_t pid;

	fflush(NULL);
	pid = pipe(ends) ? -1 : fork();
	if (pid < 0) {
		snprintf(outcome->why, sizeof(outcome->why), "fork: %s", strerror(errno));
		return;
	}
	if (pid == 0) {
		signal(SIGINT, SIG_DFL);
		signal(SIGTERM, SIG_DFL);
		signal(SIGHUP, SIG_DFL);
		close(ends[0]);
		child(subject, config, nr_threads, ends[1]);
	}
	close(ends[1]);
	await_child(pid, ends[0], outcome);
	close(ends[0]);
}

static void measure(const struct config *config, unsigned at, unsigned threads, unsigned round)
{
	const struct subject *subject = &qr_bench_subjects[at];
	struct outcome outcome = {.why = ""};
	const char *why = subject->prepare ? subject->prepare(config) : NULL;

	if (why)
		snprintf(outcome.why, sizeof(outcome.why), "%s", why);
	else
		run_child(subject, config, config->threads[threads], &outcome);
	if (subject->undo)
		subject->undo();
	if (is_interrupted)
		return;
	if (outcome.why[0]) {
		snprintf(reasons[at], sizeof(reasons[at]), "%s", outcome.why);
		fprintf(stderr, "paging: %s is left out: %s\n", subject->name, outcome.why);
		return;
	}
	memcpy(samples[at][threads][round], outcome.samples, sizeof(outcome.samples));
	fprintf(stderr, "round %u of %u, %u threads, %-18s", round + 1, config->nr_rounds, config->threads[threads],
		subject->name);
	for (unsigned work = 0; work < NR_WORKS; work++)
		fprintf(stderr, "  %s %.2f s", qr_bench_work_names[work], outcome.samples[work].seconds);
	fprintf(stderr, "\n");
}

/* Interleaved; each round begins with another subject, so that nobody always comes after the same neighbour. */
static void measure_all(const struct config *config)
{
	for (unsigned round = 0; round < config->nr_rounds; round++) {
		for (unsigned threads = 0; threads < NR_THREAD_COUNTS; threads++) {
			for (unsigned i = 0; i < NR_SUBJECTS && !is_interrupted; i++) {
				unsigned at = (i + round) % NR_SUBJECTS;

				if (config->only && !strstr(qr_bench_subjects[at].name, config->only))
					continue;
				if (!reasons[at][0])
					measure(config, at, threads, round);
			}
		}
	}
}

static uint64_t parse_size(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);

	switch (*end) {
	case 'G':
	case 'g':
		return value << 30;
	case 'M':
	case 'm':
		return value << 20;
	case 'K':
	case 'k':
		return value << 10;
	default:
		return value;
	}
}

static bool parse(struct config *config, int argc, char **argv)
{
	static const struct option options[] = {
		{"json", 2, NULL, 'j'},  {"rounds", 1, NULL, 'r'}, {"data", 1, NULL, 'd'},
		{"ram", 1, NULL, 'm'},   {"ops", 1, NULL, 'o'},    {"dir", 1, NULL, 'D'},
		{"quick", 0, NULL, 'q'}, {"only", 1, NULL, 'O'},   {NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'j')
			config->json = optarg ? optarg : "-";
		else if (option == 'r')
			config->nr_rounds = (unsigned)strtoul(optarg, NULL, 10);
		else if (option == 'd')
			config->data_bytes = parse_size(optarg);
		else if (option == 'm')
			config->ram_bytes = parse_size(optarg);
		else if (option == 'o')
			config->nr_ops = parse_size(optarg);
		else if (option == 'D')
			config->dir = optarg;
		else if (option == 'O')
			config->only = optarg;
		else if (option == 'q')
			*config = (struct config){256 * MIB, 128 * MIB,   20000,        1,
						  {1, 2},    config->dir, config->only, config->json};
		else
			return false;
	}
	return optind == argc && config->nr_rounds > 0 && config->nr_rounds <= MAX_ROUNDS &&
	       config->data_bytes >= MIB && config->ram_bytes >= MIB && config->nr_ops > 0;
}

int main(int argc, char **argv)
{
	struct config config = {1024 * MIB, 512 * MIB, 100000, 3, {1, 2}, "/var/tmp", NULL, NULL};
	struct sigaction action = {.sa_handler = on_signal};
	const char *skipped[NR_SUBJECTS];

	if (!parse(&config, argc, argv)) {
		fprintf(stderr,
			"usage: paging [--json[=FILE]] [--rounds N] [--data SIZE] [--ram SIZE] [--ops N] [--dir DIR] "
			"[--only NAME] [--quick]\n");
		return 2;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	measure_all(&config);
	if (is_interrupted)
		return 130;
	for (unsigned i = 0; i < NR_SUBJECTS; i++)
		skipped[i] = reasons[i][0] ? reasons[i] : NULL;
	if (!config.json || strcmp(config.json, "-"))
		qr_bench_print(&config, samples);
	return config.json ? qr_bench_write_json(&config, samples, skipped) : 0;
}
