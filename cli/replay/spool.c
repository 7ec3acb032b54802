/* The temporary files of a replay, in $TMPDIR or /var/tmp; they have no name, so nothing is left behind. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab/words.h"
#include "replay/spool.h"

/* 2^64 divided by the golden ratio: Knuth, "The Art of Computer Programming" 3, section 6.4. */
#define HASH_FACTOR 0x9e3779b97f4a7c15ull
#define FIRST_BITS 12u

/* Pages and their numbers: open addressing, at most three quarters full; number UINT32_MAX: a free place. */
struct map {
	uint64_t *pages;
	uint32_t *numbers;
	unsigned bits;
	uint32_t nr;
};

static uint32_t number_of(struct map *map, uint64_t page);
static void grow(struct map *map);
static int make_file(char *error);
static int transfer(int fd, bool is_write, void *bytes, size_t nr_bytes, uint64_t at);
static void say_failed(char *error, int status);

int qr_spool_make(struct qr_spool *spool, struct qr_trace *trace, uint64_t limit, qr_spool_progress *progress,
		  void *argument)
{
	uint64_t *pages = qr_lab_alloc(QR_SPOOL_CHUNK, sizeof(*pages));
	uint32_t *numbers = qr_lab_alloc(QR_SPOOL_CHUNK, sizeof(*numbers));
	struct map map = {.bits = 0};
	long got = 1;
	int status;

	*spool = (struct qr_spool){.fd = make_file(trace->error), .next_fd = -1};
	status = spool->fd < 0 ? -1 : 0;
	while (!status && (!limit || spool->nr < limit)) {
		size_t nr = limit ? QR_MIN(limit - spool->nr, (uint64_t)QR_SPOOL_CHUNK) : QR_SPOOL_CHUNK;

		got = qr_trace_read(trace, pages, nr);
		if (got <= 0)
			break;
		for (long i = 0; i < got; i++)
			numbers[i] = number_of(&map, pages[i]);
		status = transfer(spool->fd, true, numbers, (size_t)got * sizeof(*numbers),
				  spool->nr * sizeof(*numbers));
		if (status)
			say_failed(trace->error, status);
		else
			spool->nr += (uint64_t)got;
		progress(argument, qr_source_progress(trace->source));
	}
	spool->nr_pages = map.nr;
	free(map.pages);
	free(map.numbers);
	free(pages);
	free(numbers);
	return status || got < 0 ? -1 : 0;
}

static uint32_t number_of(struct map *map, uint64_t page)
{
	size_t mask, at;

	if (!map->bits || map->nr >= 3ull << (map->bits - 2))
		grow(map);
	mask = ((size_t)1 << map->bits) - 1;
	for (at = page * HASH_FACTOR >> (64 - map->bits); map->numbers[at] != UINT32_MAX; at = (at + 1) & mask) {
		if (map->pages[at] == page)
			return map->numbers[at];
	}
	map->pages[at] = page;
	map->numbers[at] = map->nr;
	return map->nr++;
}

static void grow(struct map *map)
{
	struct map larger = {.bits = map->bits ? map->bits + 1 : FIRST_BITS, .nr = map->nr};
	size_t nr_old = map->bits ? (size_t)1 << map->bits : 0, mask = ((size_t)1 << larger.bits) - 1;

	larger.pages = qr_lab_alloc(mask + 1, sizeof(*larger.pages));
	larger.numbers = qr_lab_alloc(mask + 1, sizeof(*larger.numbers));
	memset(larger.numbers, 0xff, (mask + 1) * sizeof(*larger.numbers));
	for (size_t i = 0; i < nr_old; i++) {
		size_t at = map->pages[i] * HASH_FACTOR >> (64 - larger.bits);

		if (map->numbers[i] == UINT32_MAX)
			continue;
		while (larger.numbers[at] != UINT32_MAX)
			at = (at + 1) & mask;
		larger.pages[at] = map->pages[i];
		larger.numbers[at] = map->numbers[i];
	}
	free(map->pages);
	free(map->numbers);
	*map = larger;
}

int qr_spool_make_next(struct qr_spool *spool, qr_spool_progress *progress, void *argument, char *error)
{
	uint64_t *next_of_page = qr_lab_alloc(spool->nr_pages, sizeof(*next_of_page));
	uint32_t *pages = qr_lab_alloc(QR_SPOOL_CHUNK, sizeof(*pages));
	uint64_t *next = qr_lab_alloc(QR_SPOOL_CHUNK, sizeof(*next));
	int status = 0;

	memset(next_of_page, 0xff, spool->nr_pages * sizeof(*next_of_page));
	spool->next_fd = make_file(error);
	for (uint64_t end = spool->nr; end && !status && spool->next_fd >= 0;) {
		size_t nr = QR_MIN(end, (uint64_t)QR_SPOOL_CHUNK);
		uint64_t from = end - nr;

		status = qr_spool_read(spool, from, nr, pages, NULL);
		for (size_t i = nr; i-- > 0 && !status;) {
			next[i] = next_of_page[pages[i]];
			next_of_page[pages[i]] = from + i;
		}
		if (!status)
			status = transfer(spool->next_fd, true, next, nr * sizeof(*next), from * sizeof(*next));
		end = from;
		progress(argument, 1 - (double)end / (double)spool->nr);
	}
	if (status)
		say_failed(error, status);
	free(next_of_page);
	free(pages);
	free(next);
	return status || spool->next_fd < 0 ? -1 : 0;
}

void qr_spool_close(struct qr_spool *spool)
{
	if (spool->fd >= 0)
		(void)close(spool->fd);
	if (spool->next_fd >= 0)
		(void)close(spool->next_fd);
	spool->fd = spool->next_fd = -1;
}

int qr_spool_read(const struct qr_spool *spool, uint64_t from, size_t nr, uint32_t *pages, uint64_t *next)
{
	int status = transfer(spool->fd, false, pages, nr * sizeof(*pages), from * sizeof(*pages));

	if (!status && next)
		status = transfer(spool->next_fd, false, next, nr * sizeof(*next), from * sizeof(*next));
	return status;
}

static int make_file(char *error)
{
	const char *directory = getenv("TMPDIR");
	char *path = qr_lab_format("%s/quire-replay.XXXXXX", directory && *directory ? directory : "/var/tmp");
	int fd = mkostemp(path, O_CLOEXEC);

	if (fd < 0)
		(void)snprintf(error, QR_REPLAY_ERROR_MAX, "no temporary file %s: %s", path, strerror(errno));
	else
		(void)unlink(path);
	free(path);
	return fd;
}

/* All of it, whatever a single call transfers. Returns 0 or a negative errno value. */
static int transfer(int fd, bool is_write, void *bytes, size_t nr_bytes, uint64_t at)
{
	char *from = bytes;

	while (nr_bytes) {
		ssize_t nr = is_write ? pwrite(fd, from, nr_bytes, (off_t)at) : pread(fd, from, nr_bytes, (off_t)at);

		if (nr < 0 && errno == EINTR)
			continue;
		if (nr <= 0)
			return nr ? -errno : -EIO;
		from += nr;
		at += (uint64_t)nr;
		nr_bytes -= (size_t)nr;
	}
	return 0;
}

static void say_failed(char *error, int status)
{
	(void)snprintf(error, QR_REPLAY_ERROR_MAX, "temporary file: %s; $TMPDIR names another place",
		       strerror(-status));
}
