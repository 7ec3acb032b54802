/*
 * `quire record`: a run whose page faults become a trace. Members of the run put them into a ring in shared memory
 * (record.h of the process port); here they are written out at every tick of the launcher.
 *
 * oracle is libCacheSim's oracleGeneral: little-endian u32 seconds, u64 object, u32 size, i64 next access (-1: not
 * known; replay finds out itself). An object is a page of a process.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "options.h"
#include "record.h"
#include "run.h"

#define RECORD_BYTES 24u

struct recording {
	const char *path;
	bool is_text;
	bool is_quiet;
	bool is_help;
	char **run_argv; /* for quire run */
	int run_argc;
	FILE *file;
	int error; /* errno value of the first write that failed */
	struct qr_record *record;
	int fd;
	double started;
	uint64_t nr_written;
	uint64_t stuck_at; /* place that was not filled at the last tick; UINT64_MAX: none */
};

static bool parse(int argc, char **argv, struct recording *recording);
static bool take_option(int letter, struct recording *recording);
static void pass_on(struct recording *recording, const char *option, char *value);
static int record(struct recording *recording);
static int finish(struct recording *recording, int status);
static void on_ready(void *argument, struct qr_domain *domain);
static void on_tick(void *argument);
static void write_entry(struct recording *recording, uint64_t object);

int qr_cli_record(int argc, char **argv)
{
	struct recording recording = {.path = "quire.trace", .fd = -1, .stuck_at = UINT64_MAX};
	int status = QR_EXIT_FAILED;

	/* Each word may become two, and "run" and "--" are added. */
	recording.run_argv = calloc(2 * (size_t)argc + 4, sizeof(*recording.run_argv));
	if (!recording.run_argv) {
		qr_cli_say("record: out of memory");
		return status;
	}
	if (parse(argc, argv, &recording)) {
		if (recording.is_help)
			status = fputs(qr_cli_help_text("record"), stdout) < 0 ? QR_EXIT_FAILED : 0;
		else
			status = record(&recording);
	}
	free(recording.run_argv);
	return status;
}

static bool parse(int argc, char **argv, struct recording *recording)
{
	static const struct option known[] = {
		{"output", required_argument, NULL, 'o'},   {"format", required_argument, NULL, 'F'},
		{"ram", required_argument, NULL, 'r'},      {"swap", required_argument, NULL, 's'},
		{"delivery", required_argument, NULL, 'd'}, {"quiet", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
	};
	static char run_name[] = "run", end_of_options[] = "--";
	int letter;

	recording->run_argv[recording->run_argc++] = run_name;
	optind = 0;
	opterr = 0;
	while ((letter = getopt_long(argc, argv, "+:o:r:s:qh", known, NULL)) != -1) {
		if (letter == '?' || letter == ':') {
			qr_options_say_bad(letter, argv, known);
			return false;
		}
		if (!take_option(letter, recording))
			return false;
	}
	if (recording->is_help)
		return true;
	if (optind == argc) {
		qr_cli_say("record: no program given; write it after --, as in: quire record -- python3 big.py");
		return false;
	}
	recording->run_argv[recording->run_argc++] = end_of_options;
	while (optind < argc)
		recording->run_argv[recording->run_argc++] = argv[optind++];
	return true;
}

static bool take_option(int letter, struct recording *recording)
{
	switch (letter) {
	case 'o':
		recording->path = optarg;
		return true;
	case 'F':
		recording->is_text = !strcmp(optarg, "text");
		if (recording->is_text || !strcmp(optarg, "oracle"))
			return true;
		qr_cli_say("record: --format %s is unknown; it is oracle or text", optarg);
		return false;
	case 'r':
		pass_on(recording, "--ram", optarg);
		return true;
	case 's':
		pass_on(recording, "--swap", optarg);
		return true;
	case 'd':
		pass_on(recording, "--delivery", optarg);
		return true;
	case 'q':
		recording->is_quiet = true;
		pass_on(recording, "--quiet", NULL);
		return true;
	default:
		recording->is_help = true;
		return true;
	}
}

static void pass_on(struct recording *recording, const char *option, char *value)
{
	recording->run_argv[recording->run_argc++] = (char *)(uintptr_t)option;
	if (value)
		recording->run_argv[recording->run_argc++] = value;
}

static int record(struct recording *recording)
{
	struct qr_run_hooks hooks = {.on_ready = on_ready, .on_tick = on_tick, .argument = recording};
	int status = qr_record_create(&recording->record, &recording->fd);

	if (status) {
		qr_cli_say("record: cannot make the shared ring: %s", strerror(-status));
		return QR_EXIT_FAILED;
	}
	recording->file = fopen(recording->path, "we");
	if (recording->file) {
		recording->started = qr_cli_seconds();
		status = finish(recording, qr_run_hooked(recording->run_argc, recording->run_argv, &hooks));
	} else {
		qr_cli_say("record: %s: %s", recording->path, strerror(errno));
		status = QR_EXIT_FAILED;
	}
	qr_record_detach(recording->record);
	(void)close(recording->fd);
	return status;
}

static int finish(struct recording *recording, int status)
{
	char written[QR_CLI_NUMBER_MAX], lost[QR_CLI_NUMBER_MAX];
	uint64_t nr_lost = qr_load_relaxed(&recording->record->nr_lost);

	if (fclose(recording->file) && !recording->error)
		recording->error = errno;
	if (recording->error) {
		qr_cli_say("record: cannot write %s: %s; the trace is not complete", recording->path,
			   strerror(recording->error));
		return status ? status : QR_EXIT_FAILED;
	}
	qr_cli_format_count(written, recording->nr_written);
	if (nr_lost)
		qr_cli_say("record: %s accesses in %s; %s more came faster than they could be written and are lost",
			   written, recording->path, qr_cli_format_count(lost, nr_lost));
	else if (!recording->is_quiet)
		qr_cli_say("record: %s accesses in %s", written, recording->path);
	return nr_lost && !status ? QR_EXIT_FAILED : status;
}

static void on_ready(void *argument, struct qr_domain *domain)
{
	struct recording *recording = argument;

	(void)snprintf(domain->shared->record_path, sizeof(domain->shared->record_path), "/proc/%d/fd/%d",
		       (int)getpid(), recording->fd);
}

/* Of a writer that was killed a place remains that is never filled: it is waited for until the next tick. */
static void on_tick(void *argument)
{
	struct recording *recording = argument;
	struct qr_record *ring = recording->record;
	uint64_t tail = qr_load_relaxed(&ring->tail);
	uint64_t object;

	if (tail == recording->stuck_at && (object = qr_record_take(ring, false)))
		write_entry(recording, object);
	while ((object = qr_record_take(ring, true)))
		write_entry(recording, object);
	tail = qr_load_relaxed(&ring->tail);
	recording->stuck_at = tail == qr_load_relaxed(&ring->head) ? UINT64_MAX : tail;
}

static char *put_little_endian(char *at, uint64_t value, unsigned nr_bytes)
{
	for (unsigned i = 0; i < nr_bytes; i++)
		*at++ = (char)(value >> 8 * i);
	return at;
}

static void write_entry(struct recording *recording, uint64_t object)
{
	char bytes[RECORD_BYTES], *at = bytes;
	bool is_written;

	if (recording->error)
		return;
	if (recording->is_text) {
		is_written = fprintf(recording->file, "%llu\n", (unsigned long long)object) > 0;
	} else {
		at = put_little_endian(at, (uint64_t)(qr_cli_seconds() - recording->started), 4);
		at = put_little_endian(at, object, 8);
		at = put_little_endian(at, QR_PAGE_SIZE, 4);
		(void)put_little_endian(at, UINT64_MAX, 8);
		is_written = fwrite(bytes, sizeof(bytes), 1, recording->file) == 1;
	}
	if (is_written)
		recording->nr_written++;
	else
		recording->error = errno;
}
