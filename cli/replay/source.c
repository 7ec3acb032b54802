/* Bytes of a trace. Compression is told by its first bytes: gzip (RFC 1952), zstd (RFC 8878). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zlib.h>
#include <zstd.h>

#include "lab/words.h"
#include "replay/source.h"

#define INPUT_SIZE (256u << 10)

enum packing { PLAIN, GZIP, ZSTD };

struct qr_source {
	int fd; /* -1: memory */
	const unsigned char *memory;
	size_t memory_left;
	uint64_t nr_read;  /* bytes taken from the file or the memory */
	uint64_t nr_total; /* 0: unknown */
	enum packing packing;
	unsigned char *input; /* [INPUT_SIZE] */
	size_t at, end;       /* what of it is not used yet */
	bool is_at_end;       /* the file has no more */
	bool is_within;       /* a compressed stream has begun and not ended */
	z_stream gzip;
	ZSTD_DStream *zstd;
};

static struct qr_source *start(struct qr_source *source, char *error);
static bool fill(struct qr_source *source, char *error);
static long read_plain(struct qr_source *source, void *bytes, size_t nr_bytes);
static long read_gzip(struct qr_source *source, void *bytes, size_t nr_bytes, char *error);
static long read_zstd(struct qr_source *source, void *bytes, size_t nr_bytes, char *error);
static uint64_t offset(const struct qr_source *source);

struct qr_source *qr_source_open(const char *path, char *error)
{
	bool is_stdin = !strcmp(path, "-");
	int fd = is_stdin ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	struct qr_source *source;
	struct stat status;

	if (fd < 0 || fstat(fd, &status)) {
		(void)snprintf(error, QR_REPLAY_ERROR_MAX, "cannot be opened: %s", strerror(errno));
		if (fd >= 0)
			(void)close(fd);
		return NULL;
	}
	source = qr_lab_alloc(1, sizeof(*source));
	source->fd = fd;
	source->nr_total = S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0;
	return start(source, error);
}

struct qr_source *qr_source_open_memory(const void *bytes, size_t nr_bytes, char *error)
{
	struct qr_source *source = qr_lab_alloc(1, sizeof(*source));

	source->fd = -1;
	source->memory = bytes;
	source->memory_left = nr_bytes;
	source->nr_total = nr_bytes;
	return start(source, error);
}

static struct qr_source *start(struct qr_source *source, char *error)
{
	static const unsigned char gzip_magic[] = {0x1f, 0x8b}, zstd_magic[] = {0x28, 0xb5, 0x2f, 0xfd};

	source->input = qr_lab_alloc(1, INPUT_SIZE);
	if (!fill(source, error)) {
		qr_source_close(source);
		return NULL;
	}
	if (source->end >= sizeof(gzip_magic) && !memcmp(source->input, gzip_magic, sizeof(gzip_magic))) {
		source->packing = GZIP;
		/* 15: the largest window; 16: a gzip header. */
		if (inflateInit2(&source->gzip, 15 + 16) != Z_OK)
			abort();
	} else if (source->end >= sizeof(zstd_magic) && !memcmp(source->input, zstd_magic, sizeof(zstd_magic))) {
		source->packing = ZSTD;
		source->zstd = ZSTD_createDStream();
		if (!source->zstd)
			abort();
	}
	return source;
}

void qr_source_close(struct qr_source *source)
{
	if (source->fd >= 0)
		(void)close(source->fd);
	if (source->packing == GZIP)
		(void)inflateEnd(&source->gzip);
	(void)ZSTD_freeDStream(source->zstd);
	free(source->input);
	free(source);
}

long qr_source_read(struct qr_source *source, void *bytes, size_t nr_bytes, char *error)
{
	for (;;) {
		long nr = 0;

		if (source->at == source->end && !source->is_at_end && !fill(source, error))
			return -1;
		if (source->packing == GZIP)
			nr = read_gzip(source, bytes, nr_bytes, error);
		else if (source->packing == ZSTD)
			nr = read_zstd(source, bytes, nr_bytes, error);
		else
			nr = read_plain(source, bytes, nr_bytes);
		if (nr || (source->is_at_end && source->at == source->end && !source->is_within))
			return nr;
		if (source->is_at_end && source->at == source->end) {
			(void)snprintf(error, QR_REPLAY_ERROR_MAX,
				       "ends at compressed byte %llu within a compressed stream: it was cut off",
				       (unsigned long long)offset(source));
			return -1;
		}
	}
}

/* Gets more input behind what is used up. */
static bool fill(struct qr_source *source, char *error)
{
	ssize_t nr;

	if (source->fd < 0) {
		nr = (ssize_t)QR_MIN(source->memory_left, (size_t)INPUT_SIZE);
		if (nr)
			memcpy(source->input, source->memory, (size_t)nr);
		source->memory += nr;
		source->memory_left -= (size_t)nr;
	} else {
		do
			nr = read(source->fd, source->input, INPUT_SIZE);
		while (nr < 0 && errno == EINTR);
	}
	if (nr < 0) {
		(void)snprintf(error, QR_REPLAY_ERROR_MAX, "byte %llu cannot be read: %s",
			       (unsigned long long)source->nr_read, strerror(errno));
		return false;
	}
	source->is_at_end = !nr;
	source->nr_read += (uint64_t)nr;
	source->at = 0;
	source->end = (size_t)nr;
	return true;
}

static long read_plain(struct qr_source *source, void *bytes, size_t nr_bytes)
{
	size_t nr = QR_MIN(nr_bytes, source->end - source->at);

	memcpy(bytes, source->input + source->at, nr);
	source->at += nr;
	return (long)nr;
}

/* A gzip file may have several members, one behind the other. */
static long read_gzip(struct qr_source *source, void *bytes, size_t nr_bytes, char *error)
{
	z_stream *gzip = &source->gzip;
	size_t had = source->end - source->at;
	int status;

	if (!had && !source->is_within)
		return 0;
	gzip->next_in = source->input + source->at;
	gzip->avail_in = (unsigned)had;
	gzip->next_out = bytes;
	gzip->avail_out = (unsigned)nr_bytes;
	status = inflate(gzip, Z_NO_FLUSH);
	source->at = source->end - gzip->avail_in;
	source->is_within = status != Z_STREAM_END;
	if (status == Z_STREAM_END) {
		(void)inflateReset(gzip);
	} else if (status != Z_OK && status != Z_BUF_ERROR) {
		(void)snprintf(error, QR_REPLAY_ERROR_MAX, "compressed byte %llu: damaged gzip data: %s",
			       (unsigned long long)offset(source), gzip->msg ? gzip->msg : "it needs a dictionary");
		return -1;
	}
	return (long)(nr_bytes - gzip->avail_out);
}

static long read_zstd(struct qr_source *source, void *bytes, size_t nr_bytes, char *error)
{
	ZSTD_inBuffer in = {source->input, source->end, source->at};
	ZSTD_outBuffer out = {bytes, nr_bytes, 0};
	size_t status;

	if (source->at == source->end && !source->is_within)
		return 0;
	status = ZSTD_decompressStream(source->zstd, &out, &in);
	source->at = in.pos;
	if (ZSTD_isError(status)) {
		(void)snprintf(error, QR_REPLAY_ERROR_MAX, "compressed byte %llu: damaged zstd data: %s",
			       (unsigned long long)offset(source), ZSTD_getErrorName(status));
		return -1;
	}
	source->is_within = status != 0;
	return (long)out.pos;
}

static uint64_t offset(const struct qr_source *source)
{
	return source->nr_read - (source->end - source->at);
}

double qr_source_progress(const struct qr_source *source)
{
	return source->nr_total ? (double)offset(source) / (double)source->nr_total : 0;
}
