/*
 * Traces of page accesses, done for real: what `quire replay` computes, the process port does.
 *
 *   refaults [--ram SIZE] [--hot PAGES] [--scatter] [--lz4] [--delivery thread|signal] [--dir DIR] [--json] [TRACE...]
 *
 * A trace has a page number in each line, as `quire replay --generate` writes it; without one it is standard input.
 * Each page gets half a page of random words at its first touch and is checked at every other. Shown are the faults:
 * first touches, touches of pages that were only unmapped, and misses, which came from swap. --hot: misses of pages
 * below that number are counted apart. --scatter: neighbours in the trace are no neighbours in memory.
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <quire/quire.h>

#define PAGE_BYTES 4096u
#define WORDS (PAGE_BYTES / sizeof(uint64_t))
#define MAX_COUNTERS 256u
#define DEFAULT_RAM ((uint64_t)64 << 20)

struct config {
	struct qr_options options;
	uint64_t nr_hot;
	bool is_scattered;
	bool is_json;
};

struct trace {
	uint32_t *pages;
	size_t nr, room;
	uint64_t nr_pages; /* one more than the highest */
};

struct result {
	uint64_t nr_first, nr_idle, nr_misses, nr_pages_in, nr_pages_out;
	uint64_t nr_hot_touches, nr_hot_misses;
	double seconds;
};

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "refaults: %s: %s\n", what, why);
	exit(1);
}

static void read_trace(const char *path, struct trace *trace)
{
	FILE *file = path ? fopen(path, "re") : stdin;
	unsigned long long page;
	int got;

	if (!file)
		fail(path, strerror(errno));
	while ((got = fscanf(file, "%llu", &page)) == 1) {
		if (page > UINT32_MAX)
			fail(path ? path : "-", "a page number is too large");
		if (trace->nr == trace->room) {
			trace->room = trace->room ? 2 * trace->room : 1 << 16;
			trace->pages = realloc(trace->pages, trace->room * sizeof(*trace->pages));
			if (!trace->pages)
				fail("the trace", "out of memory");
		}
		trace->pages[trace->nr++] = (uint32_t)page;
		if (trace->nr_pages <= page)
			trace->nr_pages = page + 1;
	}
	if (got != EOF || !trace->nr)
		fail(path ? path : "-", "is no list of page numbers");
	if (path)
		fclose(file);
}

static uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

static uint64_t first_word(uint64_t page)
{
	return page * 0x9e3779b97f4a7c15u + 1;
}

static void touch(uint64_t *at, uint64_t page)
{
	uint64_t state = first_word(page);

	if (at[0] == state)
		return;
	if (at[0] != 0)
		fail("a page", "holds what was never written to it");
	for (unsigned i = 1; i < WORDS / 2; i++)
		at[i] = next_random(&state);
	at[0] = first_word(page);
}

static uint64_t counter(struct qr_manager *manager, const char *name)
{
	static unsigned known; /* the last one asked for: the hot pages' is asked for at each touch */
	uint64_t counts[MAX_COUNTERS];
	unsigned nr = qr_manager_counters(manager, counts, MAX_COUNTERS);

	if (known < nr && !strcmp(qr_counter_name(known), name))
		return counts[known];
	for (known = 0; known < nr; known++) {
		if (!strcmp(qr_counter_name(known), name))
			return counts[known];
	}
	fail(name, "no such counter");
	return 0;
}

static uint64_t greatest_divisor(uint64_t a, uint64_t b)
{
	return b ? greatest_divisor(b, a % b) : a;
}

/* Near nr times the golden ratio, without a common divisor with nr: its multiples are spread over all of nr. */
static uint64_t spread_of(const struct config *config, uint64_t nr)
{
	uint64_t spread = config->is_scattered ? (uint64_t)((double)nr * 0.6180339887) | 1 : 1;

	while (greatest_divisor(spread, nr) != 1)
		spread++;
	return spread;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void run(const struct config *config, const struct trace *trace, struct result *result)
{
	uint64_t spread = spread_of(config, trace->nr_pages);
	struct qr_manager *manager;
	const char *why = NULL;
	void *address = NULL;
	uint64_t *data;
	double start;

	if (qr_manager_open(&config->options, &manager, &why))
		fail("the manager", why);
	if (qr_manager_map(manager, &address, trace->nr_pages * PAGE_BYTES, PROT_READ | PROT_WRITE, 0))
		fail("the memory", "cannot be mapped");
	data = address;
	start = now();
	for (size_t i = 0; i < trace->nr; i++) {
		uint64_t page = trace->pages[i];
		bool is_hot = page < config->nr_hot;
		uint64_t before = is_hot ? counter(manager, "faults_swapin") : 0;

		touch(data + page * spread % trace->nr_pages * WORDS, page);
		if (!is_hot)
			continue;
		result->nr_hot_touches++;
		result->nr_hot_misses += counter(manager, "faults_swapin") - before;
	}
	result->seconds = now() - start;
	result->nr_first = counter(manager, "faults_zero");
	result->nr_idle = counter(manager, "faults_idle");
	result->nr_misses = counter(manager, "faults_swapin");
	result->nr_pages_in = counter(manager, "swapin_pages");
	result->nr_pages_out = counter(manager, "swapout_pages");
	qr_manager_close(manager);
}

static void show(const struct config *config, const char *path, const struct trace *trace, const struct result *result)
{
	const char *format =
		config->is_json ? "{\"trace\": \"%s\", \"accesses\": %zu, \"seconds\": %.3f, \"first\": %llu, "
				  "\"idle\": %llu, \"misses\": %llu, \"pages_in\": %llu, \"pages_out\": %llu, "
				  "\"hot_touches\": %llu, \"hot_misses\": %llu}\n"
				: "%s: %zu accesses, %.2f s; faults: %llu first, %llu idle, %llu misses; %llu pages "
				  "in, %llu out; %llu hot touches, %llu misses of them\n";

	printf(format, path ? path : "-", trace->nr, result->seconds, (unsigned long long)result->nr_first,
	       (unsigned long long)result->nr_idle, (unsigned long long)result->nr_misses,
	       (unsigned long long)result->nr_pages_in, (unsigned long long)result->nr_pages_out,
	       (unsigned long long)result->nr_hot_touches, (unsigned long long)result->nr_hot_misses);
}

static uint64_t parse_size(const char *text)
{
	char *end;
	uint64_t size = strtoull(text, &end, 10);

	if (*end == 'K' || *end == 'M' || *end == 'G')
		size <<= *end == 'K' ? 10 : *end == 'M' ? 20 : 30;
	else if (*end)
		fail(text, "is no size");
	return size;
}

static void parse(struct config *config, int argc, char **argv)
{
	static const struct option options[] = {
		{"ram", 1, NULL, 'r'},      {"hot", 1, NULL, 'h'}, {"scatter", 0, NULL, 's'}, {"lz4", 0, NULL, 'l'},
		{"delivery", 1, NULL, 'd'}, {"dir", 1, NULL, 'D'}, {"json", 0, NULL, 'j'},    {NULL, 0, NULL, 0},
	};
	int letter;

	qr_options_init(&config->options);
	config->options.ram_bytes = DEFAULT_RAM;
	config->options.compression = QR_COMPRESS_NONE;
	config->options.delivery = QR_DELIVERY_THREAD;
	while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (letter) {
		case 'r':
			config->options.ram_bytes = parse_size(optarg);
			break;
		case 'h':
			config->nr_hot = parse_size(optarg);
			break;
		case 's':
			config->is_scattered = true;
			break;
		case 'l':
			config->options.compression = QR_COMPRESS_LZ4;
			break;
		case 'd':
			config->options.delivery = strcmp(optarg, "signal") ? QR_DELIVERY_THREAD : QR_DELIVERY_SIGNAL;
			break;
		case 'D':
			config->options.swap_dir = optarg;
			break;
		case 'j':
			config->is_json = true;
			break;
		default:
			exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	struct config config = {.nr_hot = 0};

	parse(&config, argc, argv);
	do {
		const char *path = optind < argc ? argv[optind] : NULL;
		struct trace trace = {.pages = NULL};
		struct result result = {.seconds = 0};

		read_trace(path, &trace);
		run(&config, &trace, &result);
		show(&config, path, &trace, &result);
		free(trace.pages);
	} while (++optind < argc);
	return 0;
}
