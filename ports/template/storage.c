/*
 * Template port: swap files, mapped files, compression, checksums.
 *
 * No device: qr_port_swap_open() says so, and core never submits a request. A machine with a disk numbers its swap
 * areas from 0, and sets request->done with release order from its completion interrupt, then wakes the word.
 *
 * No codec library: every page is reported as incompressible, and core keeps it in RAM. LZ4 is a good first one: it
 * is freestanding and needs only the workspace that core passes in.
 */
#include "template.h"

int qr_port_swap_open(struct qr_port *port, uint32_t *file)
{
	(void)port;
	(void)file;
	return QR_ENOSYS;
}

int qr_port_io_submit(struct qr_port *port, struct qr_io_request *request)
{
	(void)port;
	(void)request;
	return QR_ENOSYS;
}

void qr_port_io_wait(struct qr_port *port, struct qr_io_request *request)
{
	(void)port;
	QR_BUG_ON(!request->done); /* no request was ever started */
}

void qr_port_swap_discard(struct qr_port *port, uint32_t file, uint64_t offset_bytes, uint64_t len_bytes)
{
	(void)port;
	(void)file;
	(void)offset_bytes;
	(void)len_bytes;
}

int qr_port_file_read(struct qr_port *port, void *file, uint64_t offset_bytes, void *buffer, uint32_t len_bytes)
{
	(void)port;
	(void)file;
	(void)offset_bytes;
	(void)buffer;
	(void)len_bytes;
	return QR_EIO; /* there are no files, so none was mapped */
}

void qr_port_file_close(struct qr_port *port, void *file)
{
	(void)port;
	(void)file;
}

uint32_t qr_port_codec_workspace(enum qr_codec codec)
{
	(void)codec;
	return 0;
}

uint32_t qr_port_compress(enum qr_codec codec, const void *page, void *out, uint32_t capacity, void *workspace)
{
	(void)codec;
	(void)page;
	(void)out;
	(void)capacity;
	(void)workspace;
	return 0;
}

int qr_port_decompress(enum qr_codec codec, const void *in, uint32_t len_bytes, void *page, void *workspace)
{
	(void)codec;
	(void)in;
	(void)len_bytes;
	(void)page;
	(void)workspace;
	return QR_EILSEQ; /* nothing was ever compressed */
}

/* Without a secret that programs cannot know there is no safe digest. */
bool qr_port_digest(struct qr_port *port, const void *page, struct qr_digest *digest)
{
	(void)port;
	(void)page;
	(void)digest;
	return false;
}

/* FNV-1a, 64 bits (Fowler, Noll, Vo), with a final mix: every bit of the input reaches every bit of the result. */
uint64_t qr_port_checksum(const void *data, uint32_t len_bytes)
{
	const uint8_t *bytes = data;
	uint64_t hash = 0xcbf29ce484222325u;

	for (uint32_t i = 0; i < len_bytes; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3u;
	hash ^= hash >> 33;
	hash *= 0xff51afd7ed558ccdu;
	return hash ^ (hash >> 33);
}
