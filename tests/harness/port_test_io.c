/*
 * The test port: swap files in memory, compression, checksums.
 *
 * Requests complete at submission, or by a worker that takes the newest first, so that callers which rely on order
 * fail. Discarded ranges are filled with 0xDD, so that callers which read them again fail as well.
 */
#include <lz4.h>
#include <string.h>
#include <sys/mman.h>

/* For contexts in the caller's memory. */
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include "port_test_priv.h"

#define DEFAULT_CAPACITY ((uint64_t)256 << 20)
#define DISCARDED 0xDD

static void io_transfer(struct qr_port *port, struct qr_io_request *request);
static void *io_worker(void *argument);

void port_test_io_init(struct qr_port *port)
{
	pthread_mutex_init(&port->io_lock, NULL);
	pthread_cond_init(&port->io_queued, NULL);
	port_test_set_swap(port, QR_MAX_SWAP_FILES, DEFAULT_CAPACITY, false);
}

void port_test_io_destroy(struct qr_port *port)
{
	port_test_lock(&port->io_lock);
	port_test_must_at(!port->io_queue, "requests are in flight at the end");
	port->is_io_ending = true;
	pthread_cond_signal(&port->io_queued);
	port_test_unlock(&port->io_lock);
	if (port->has_io_worker)
		pthread_join(port->io_worker, NULL);
	for (uint32_t i = 0; i < port->nr_files; i++)
		munmap(port->files[i].bytes, port->capacity_bytes);
	pthread_cond_destroy(&port->io_queued);
	pthread_mutex_destroy(&port->io_lock);
}

void port_test_set_swap(struct qr_port *port, uint32_t nr_files, uint64_t capacity_bytes, bool is_async)
{
	port_test_must(!port->nr_files && nr_files <= QR_MAX_SWAP_FILES && !(capacity_bytes % QR_IO_ALIGN));
	port->nr_files_max = nr_files;
	port->capacity_bytes = capacity_bytes;
	port->is_io_async = is_async;
	if (!is_async || port->has_io_worker)
		return;
	port->has_io_worker = true;
	port_test_must(!pthread_create(&port->io_worker, NULL, io_worker, port));
}

int qr_port_swap_open(struct qr_port *port, uint32_t *file)
{
	int error = QR_ENOSYS;

	port_test_lock(&port->io_lock);
	if (port->nr_files < port->nr_files_max) {
		void *bytes = mmap(NULL, port->capacity_bytes, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		port_test_must(bytes != MAP_FAILED);
		port->files[port->nr_files].bytes = bytes;
		*file = port->nr_files++;
		error = 0;
	}
	port_test_unlock(&port->io_lock);
	return error;
}

int qr_port_io_submit(struct qr_port *port, struct qr_io_request *request)
{
	port_test_lock(&port->io_lock);
	port_test_must(request->file < port->nr_files && request->len_bytes);
	port_test_must(!(request->len_bytes % QR_IO_ALIGN) && !(request->offset_bytes % QR_IO_ALIGN));
	port_test_must(!((uintptr_t)request->buffer % QR_IO_ALIGN));
	port_test_must_at(!__atomic_load_n(&request->done, __ATOMIC_RELAXED), "submits a request that is done");
	if (port_test_strikes(&port->fail_submit)) {
		port_test_unlock(&port->io_lock);
		return port->fail_submit.error;
	}
	if (port->is_io_async) {
		request->port_private = port->io_queue;
		port->io_queue = request;
		pthread_cond_signal(&port->io_queued);
	} else {
		io_transfer(port, request);
	}
	port_test_unlock(&port->io_lock);
	return 0;
}

void qr_port_io_wait(struct qr_port *port, struct qr_io_request *request)
{
	(void)port;
	/* Acquire pairs with the release in io_transfer. */
	while (!__atomic_load_n(&request->done, __ATOMIC_ACQUIRE))
		qr_port_wait(&request->done, 0);
}

void qr_port_swap_discard(struct qr_port *port, uint32_t file, uint64_t offset_bytes, uint64_t len_bytes)
{
	port_test_lock(&port->io_lock);
	port_test_must(file < port->nr_files && offset_bytes <= port->capacity_bytes);
	port_test_must(len_bytes <= port->capacity_bytes - offset_bytes);
	memset(port->files[file].bytes + offset_bytes, DISCARDED, len_bytes);
	port_test_unlock(&port->io_lock);
	count_add(port, nr_discards, 1);
}

static void *io_worker(void *argument)
{
	struct qr_port *port = argument;

	port_test_lock(&port->io_lock);
	for (;;) {
		struct qr_io_request *request = port->io_queue;

		if (request) {
			port->io_queue = request->port_private;
			io_transfer(port, request);
		} else if (port->is_io_ending) {
			break;
		} else {
			pthread_cond_wait(&port->io_queued, &port->io_lock);
		}
	}
	port_test_unlock(&port->io_lock);
	return NULL;
}

static int32_t io_result(struct qr_port *port, const struct qr_io_request *request)
{
	struct port_test_injection *injection = &port->fail_io[request->is_write];

	if (port_test_strikes(injection)) {
		if (injection->nr_more) {
			injection->nr_more--;
			injection->countdown = 1;
		}
		return injection->error;
	}
	if (request->offset_bytes > port->capacity_bytes ||
	    request->len_bytes > port->capacity_bytes - request->offset_bytes)
		return request->is_write ? QR_ENOSPC : QR_EIO;
	return 0;
}

/* holds: io_lock. The request is the caller's again once done is set. */
static void io_transfer(struct qr_port *port, struct qr_io_request *request)
{
	uint8_t *place = port->files[request->file].bytes + request->offset_bytes;

	request->result = io_result(port, request);
	if (request->is_write) {
		count_add(port, nr_writes, 1);
		count_add(port, written_bytes, request->len_bytes);
		if (!request->result)
			memcpy(place, request->buffer, request->len_bytes);
	} else {
		count_add(port, nr_reads, 1);
		count_add(port, read_bytes, request->len_bytes);
		if (!request->result)
			memcpy(request->buffer, place, request->len_bytes);
	}
	__atomic_store_n(&request->done, 1, __ATOMIC_RELEASE);
	qr_port_wake(&request->done, UINT32_MAX);
}

/* ---- Fault injection ---- */

void port_test_fail_io(struct qr_port *port, uint32_t nth, uint32_t nr_more, bool is_write, int error)
{
	port_test_lock(&port->io_lock);
	port->fail_io[is_write] = (struct port_test_injection){nth, nr_more, error};
	port_test_unlock(&port->io_lock);
}

void port_test_fail_submit(struct qr_port *port, uint32_t nth, int error)
{
	port_test_lock(&port->io_lock);
	port->fail_submit = (struct port_test_injection){nth, 0, error};
	port_test_unlock(&port->io_lock);
}

void port_test_corrupt(struct qr_port *port, uint32_t file, uint64_t offset_bytes)
{
	port_test_lock(&port->io_lock);
	port_test_must(file < port->nr_files && offset_bytes < port->capacity_bytes);
	port->files[file].bytes[offset_bytes] ^= 0x10;
	port_test_unlock(&port->io_lock);
}

/* ---- Compression: the libraries' own state is the only memory ---- */

uint32_t qr_port_codec_workspace(enum qr_codec codec)
{
	size_t zstd = QR_MAX(ZSTD_estimateCCtxSize_usingCParams(ZSTD_getCParams(1, QR_PAGE_SIZE, 0)),
			     ZSTD_estimateDCtxSize());

	if (codec == QR_CODEC_LZ4)
		return (uint32_t)QR_ALIGN_UP((uint64_t)LZ4_sizeofState(), 64u);
	return codec == QR_CODEC_ZSTD ? (uint32_t)QR_ALIGN_UP((uint64_t)zstd, 64u) : 0;
}

uint32_t qr_port_compress(enum qr_codec codec, const void *page, void *out, uint32_t capacity, void *workspace)
{
	size_t len_bytes = 0;

	port_test_must(!((uintptr_t)workspace % 64));
	if (codec == QR_CODEC_LZ4) {
		len_bytes =
			(size_t)LZ4_compress_fast_extState(workspace, page, out, (int)QR_PAGE_SIZE, (int)capacity, 1);
	} else if (codec == QR_CODEC_ZSTD) {
		ZSTD_CCtx *context = ZSTD_initStaticCCtx(workspace, qr_port_codec_workspace(codec));

		port_test_must(context);
		len_bytes = ZSTD_compressCCtx(context, out, capacity, page, QR_PAGE_SIZE, 1);
		if (ZSTD_isError(len_bytes))
			len_bytes = 0;
	} else if (capacity >= QR_PAGE_SIZE) {
		memcpy(out, page, QR_PAGE_SIZE);
		len_bytes = QR_PAGE_SIZE;
	}
	return (uint32_t)len_bytes;
}

int qr_port_decompress(enum qr_codec codec, const void *in, uint32_t len_bytes, void *page, void *workspace)
{
	if (codec == QR_CODEC_LZ4)
		return LZ4_decompress_safe(in, page, (int)len_bytes, (int)QR_PAGE_SIZE) == (int)QR_PAGE_SIZE
			       ? 0
			       : QR_EILSEQ;
	if (codec == QR_CODEC_ZSTD) {
		ZSTD_DCtx *context = ZSTD_initStaticDCtx(workspace, qr_port_codec_workspace(codec));

		port_test_must(context);
		return ZSTD_decompressDCtx(context, page, QR_PAGE_SIZE, in, len_bytes) == QR_PAGE_SIZE ? 0 : QR_EILSEQ;
	}
	if (len_bytes != QR_PAGE_SIZE)
		return QR_EILSEQ;
	memcpy(page, in, QR_PAGE_SIZE);
	return 0;
}

bool qr_port_digest(struct qr_port *port, const void *page, struct qr_digest *digest)
{
	const uint8_t *bytes = page;

	(void)port;
	/* Two sums that start with different bytes. */
	digest->words[0] = qr_port_checksum(page, QR_PAGE_SIZE);
	digest->words[1] = qr_port_checksum(bytes + 8, QR_PAGE_SIZE - 8) * 0x9e3779b97f4a7c15u + bytes[0];
	return true;
}

/* Multiply and fold eight bytes at a time, the way of wyhash; unaligned lengths end with a zero-padded word. */
uint64_t qr_port_checksum(const void *data, uint32_t len_bytes)
{
	const uint8_t *bytes = data;
	uint64_t hash = 0x9e3779b97f4a7c15u ^ len_bytes;

	for (uint32_t i = 0; i < len_bytes; i += 8) {
		uint64_t word = 0;

		memcpy(&word, bytes + i, QR_MIN(8u, len_bytes - i));
		hash = (hash ^ word) * 0xff51afd7ed558ccdu;
		hash ^= hash >> 32;
	}
	return hash;
}
