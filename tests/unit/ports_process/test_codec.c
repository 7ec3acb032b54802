/* The process port's codecs: every kind of page comes back; what is too long or damaged is told. */
#include <stdlib.h>
#include <string.h>

#include <quire/port.h>

#include "base/base.h"
#include "tap.h"

static uint64_t page[512], back[512];
static uint8_t packed[4200];

static void fill(uint64_t seed, uint32_t nr_random)
{
	uint64_t state = seed;

	memset(page, 0, sizeof(page));
	for (uint32_t i = 0; i < nr_random; i++)
		page[tap_random_below(&state, 512)] = tap_random(&state);
}

static void round_trips(enum qr_codec codec)
{
	void *workspace = aligned_alloc(64, qr_port_codec_workspace(codec) + 64);
	uint64_t state = tap_seed();

	for (uint32_t i = 0; i < 500; i++) {
		uint32_t len_bytes;

		fill(i, i);
		len_bytes = qr_port_compress(codec, page, packed, 4096, workspace);
		if (len_bytes == 0) {
			tap_check(i > 300);
			continue;
		}
		tap_check(len_bytes <= 4096);
		memset(back, 0xff, sizeof(back));
		tap_check_equal(qr_port_decompress(codec, packed, len_bytes, back, workspace), 0);
		tap_check(!memcmp(page, back, sizeof(page)));
		/* One byte short of what it takes: refused, and nothing written behind the end. */
		packed[len_bytes - 1] = 0xa5;
		tap_check_equal(qr_port_compress(codec, page, packed, len_bytes - 1, workspace), 0);
		tap_check_equal(packed[len_bytes - 1], 0xa5);
		/* Cut short: an error, not a wild write. */
		len_bytes = qr_port_compress(codec, page, packed, 4096, workspace);
		tap_check_equal(qr_port_decompress(codec, packed, len_bytes / 2, back, workspace), QR_EILSEQ);
		/* Damage ends in an error or in other bytes; it stays inside of the page. */
		packed[tap_random_below(&state, len_bytes)] ^= (uint8_t)(1 + tap_random_below(&state, 255));
		(void)qr_port_decompress(codec, packed, len_bytes, back, workspace);
	}
	free(workspace);
}

static void test_lz4(void)
{
	round_trips(QR_CODEC_LZ4);
}

static void test_zstd(void)
{
	round_trips(QR_CODEC_ZSTD);
}

static void test_none(void)
{
	fill(1, 500);
	tap_check_equal(qr_port_codec_workspace(QR_CODEC_NONE), 0);
	tap_check_equal(qr_port_compress(QR_CODEC_NONE, page, packed, 4095, NULL), 0);
	tap_check_equal(qr_port_compress(QR_CODEC_NONE, page, packed, 4096, NULL), 4096);
	tap_check_equal(qr_port_decompress(QR_CODEC_NONE, packed, 4096, back, NULL), 0);
	tap_check(!memcmp(page, back, sizeof(page)));
	tap_check_equal(qr_port_decompress(QR_CODEC_NONE, packed, 4000, back, NULL), QR_EILSEQ);
}

static void test_checksum(void)
{
	uint64_t check;

	fill(2, 400);
	check = qr_port_checksum(page, sizeof(page));
	for (uint32_t i = 0; i < 512; i++) {
		page[i] ^= (uint64_t)1 << i % 64;
		tap_check(qr_port_checksum(page, sizeof(page)) != check);
		page[i] ^= (uint64_t)1 << i % 64;
	}
	tap_check_equal(qr_port_checksum(page, sizeof(page)), check);
	tap_check(qr_port_checksum(page, 100) != qr_port_checksum(page, 101));
}

static const struct tap_test tests[] = {
	{"codec_lz4_pages_come_back", test_lz4},
	{"codec_zstd_pages_come_back", test_zstd},
	{"codec_none_copies", test_none},
	{"checksum_sees_every_word", test_checksum},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
