/*
 * Compression and checksums of the process port: LZ4, Zstandard level 1, XXH3. The libraries work in the caller's
 * workspace only, so that nothing here allocates.
 */
#include <string.h>

#include <lz4.h>
/* For contexts in the caller's memory. */
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "process.h"

#include "base/base.h"

#define ZSTD_LEVEL 1
#define WORKSPACE_ALIGN 64u

uint32_t qr_port_codec_workspace(enum qr_codec codec)
{
	size_t nr_bytes = 0;

	if (codec == QR_CODEC_LZ4) {
		nr_bytes = (size_t)LZ4_sizeofState();
	} else if (codec == QR_CODEC_ZSTD) {
		size_t out = ZSTD_estimateCCtxSize_usingCParams(ZSTD_getCParams(ZSTD_LEVEL, QR_PAGE_SIZE, 0));
		size_t in = ZSTD_estimateDCtxSize();

		nr_bytes = QR_MAX(out, in);
	}
	return (uint32_t)QR_ALIGN_UP(nr_bytes, (size_t)WORKSPACE_ALIGN);
}

uint32_t qr_port_compress(enum qr_codec codec, const void *page, void *out, uint32_t capacity, void *workspace)
{
	if (codec == QR_CODEC_LZ4)
		return (uint32_t)LZ4_compress_fast_extState(workspace, page, out, (int)QR_PAGE_SIZE, (int)capacity, 1);
	if (codec == QR_CODEC_ZSTD) {
		ZSTD_CCtx *context = ZSTD_initStaticCCtx(workspace, qr_port_codec_workspace(codec));
		size_t len_bytes;

		if (!context)
			return 0;
		len_bytes = ZSTD_compressCCtx(context, out, capacity, page, QR_PAGE_SIZE, ZSTD_LEVEL);
		return ZSTD_isError(len_bytes) ? 0 : (uint32_t)len_bytes;
	}
	if (capacity < QR_PAGE_SIZE)
		return 0;
	memcpy(out, page, QR_PAGE_SIZE);
	return (uint32_t)QR_PAGE_SIZE;
}

int qr_port_decompress(enum qr_codec codec, const void *in, uint32_t len_bytes, void *page, void *workspace)
{
	bool is_whole = len_bytes == QR_PAGE_SIZE;

	if (codec == QR_CODEC_LZ4) {
		is_whole = LZ4_decompress_safe(in, page, (int)len_bytes, (int)QR_PAGE_SIZE) == (int)QR_PAGE_SIZE;
	} else if (codec == QR_CODEC_ZSTD) {
		ZSTD_DCtx *context = ZSTD_initStaticDCtx(workspace, qr_port_codec_workspace(codec));

		is_whole = context && ZSTD_decompressDCtx(context, page, QR_PAGE_SIZE, in, len_bytes) == QR_PAGE_SIZE;
	} else if (is_whole) {
		memcpy(page, in, QR_PAGE_SIZE);
	}
	return is_whole ? 0 : QR_EILSEQ;
}

uint64_t qr_port_checksum(const void *data, uint32_t len_bytes)
{
	return XXH3_64bits(data, len_bytes);
}

/* The secret is random, so that nobody can choose two pages with the same digest. */
bool qr_port_digest(struct qr_port *port, const void *page, struct qr_digest *digest)
{
	XXH128_hash_t hash;

	if (!port->has_digest_secret)
		return false;
	hash = XXH3_128bits_withSecret(page, QR_PAGE_SIZE, port->digest_secret, sizeof(port->digest_secret));
	*digest = (struct qr_digest){{hash.low64, hash.high64}};
	return true;
}
