/* Clauses of port.h on swap files, compression and checksums. */
#include <string.h>

#include "contract.h"
#include "sync/atomic.h"

#define NR_REQUESTS 16u
#define CLUSTER_PAGES 16u
#define MARGIN 64u /* bytes behind an output buffer that must stay as they are */

static uint8_t page[4096] QR_ALIGNED(64);
static uint8_t output[4096 + MARGIN] QR_ALIGNED(64);
static uint8_t back[4096] QR_ALIGNED(64);

static void open_or_skip(void)
{
	if (!contract_open(&machine))
		tap_skip("the port cannot be opened here");
}

/* ---- Swap files ---- */

static uint32_t open_file(void)
{
	uint32_t file = UINT32_MAX;
	int error;

	open_or_skip();
	error = qr_port_swap_open(machine.port, &file);
	if (error == QR_ENOSYS) {
		contract_close(&machine);
		tap_skip("the port has no swap files");
	}
	tap_require(!error && file < QR_MAX_SWAP_FILES);
	return file;
}

/* Request i moves cluster i of the file and frames [i * CLUSTER_PAGES, ...). */
static struct qr_io_request request_of(uint32_t file, uint32_t i, bool is_write)
{
	return (struct qr_io_request){
		.file = file,
		.is_write = is_write,
		.buffer = contract_slot(i * CLUSTER_PAGES),
		.len_bytes = CLUSTER_PAGES * QR_IO_ALIGN,
		.offset_bytes = (uint64_t)i * CLUSTER_PAGES * QR_IO_ALIGN,
		.result = 1,
	};
}

/* Starts all, then waits for all, the newest first. */
static void run_requests(uint32_t file, bool is_write)
{
	struct qr_io_request requests[NR_REQUESTS];

	for (uint32_t i = 0; i < NR_REQUESTS; i++) {
		requests[i] = request_of(file, i, is_write);
		tap_check_equal(qr_port_io_submit(machine.port, &requests[i]), 0);
	}
	for (uint32_t i = NR_REQUESTS; i-- > 0;) {
		qr_port_io_wait(machine.port, &requests[i]);
		tap_check(qr_load_acquire(&requests[i].done) != 0);
		tap_check_equal(requests[i].result, 0);
	}
}

static void fill_frames(uint64_t seed)
{
	for (uint32_t pfn = 0; pfn < NR_REQUESTS * CLUSTER_PAGES; pfn++) {
		for (uint32_t i = 0; i < QR_PAGE_SIZE / 8; i++)
			contract_slot(pfn)[i] = seed + pfn * 1000 + i;
	}
}

static void check_frame(uint32_t pfn, uint64_t seed)
{
	for (uint32_t i = 0; i < QR_PAGE_SIZE / 8; i++)
		tap_check_equal(contract_slot(pfn)[i], seed + pfn * 1000 + i);
}

static void test_io_round_trip(void)
{
	uint32_t file = open_file();

	for (uint64_t round = 1; round <= 2; round++) {
		fill_frames(round << 32);
		run_requests(file, true);
		fill_frames(0);
		run_requests(file, false);
		for (uint32_t pfn = 0; pfn < NR_REQUESTS * CLUSTER_PAGES; pfn++)
			check_frame(pfn, round << 32);
	}
	contract_close(&machine);
}

static void test_io_one_page(void)
{
	uint32_t file = open_file();
	struct qr_io_request request;

	fill_frames(1);
	run_requests(file, true);
	request = request_of(file, 2, false);
	request.len_bytes = QR_IO_ALIGN;
	request.offset_bytes += 3 * QR_IO_ALIGN; /* page 3 of cluster 2 to the first frame of it */
	tap_check_equal(qr_port_io_submit(machine.port, &request), 0);
	qr_port_io_wait(machine.port, &request);
	tap_check_equal(request.result, 0);
	tap_check_equal(*contract_slot(2 * CLUSTER_PAGES), 1 + (2 * CLUSTER_PAGES + 3) * 1000);
	check_frame(2 * CLUSTER_PAGES + 1, 1);
	contract_close(&machine);
}

static void test_io_files_are_apart(void)
{
	uint32_t first = open_file();
	uint32_t second = first;

	if (qr_port_swap_open(machine.port, &second)) {
		contract_close(&machine);
		tap_skip("the port has one swap file");
	}
	tap_check(second != first && second < QR_MAX_SWAP_FILES);
	fill_frames(1);
	run_requests(first, true);
	fill_frames(2);
	run_requests(second, true);
	run_requests(first, false);
	check_frame(0, 1);
	run_requests(second, false);
	check_frame(0, 2);
	contract_close(&machine);
}

static void test_discard_leaves_neighbours(void)
{
	uint32_t file = open_file();

	fill_frames(1);
	run_requests(file, true);
	qr_port_swap_discard(machine.port, file, CLUSTER_PAGES * QR_IO_ALIGN, 2 * CLUSTER_PAGES * QR_IO_ALIGN);
	fill_frames(2);
	run_requests(file, false);
	check_frame(CLUSTER_PAGES - 1, 1);
	check_frame(3 * CLUSTER_PAGES, 1);
	/* And the range takes new content. */
	fill_frames(3);
	run_requests(file, true);
	fill_frames(4);
	run_requests(file, false);
	check_frame(CLUSTER_PAGES, 3);
	contract_close(&machine);
}

/* ---- Compression: workspaces in frames ---- */

enum content { CONTENT_ZERO, CONTENT_TEXT, CONTENT_HALF, CONTENT_RANDOM, NR_CONTENTS };

static void fill_page(enum content content, uint64_t *random)
{
	static const char words[] = "page frame number, folio, zone, watermark, shoot-down; ";

	for (uint32_t i = 0; i < sizeof(page); i++) {
		bool is_random = content == CONTENT_RANDOM || (content == CONTENT_HALF && i < sizeof(page) / 2);

		page[i] = is_random ? (uint8_t)tap_random(random) : 0;
		if (content == CONTENT_TEXT)
			page[i] = (uint8_t)words[(i + (uint32_t)(*random & 7)) % (sizeof(words) - 1)];
	}
}

static void *workspace_of(enum qr_codec codec)
{
	uint32_t len_bytes = qr_port_codec_workspace(codec);

	tap_require(len_bytes <= machine.nr_frames * QR_PAGE_SIZE);
	return contract_slot(0);
}

/* Compresses the page; checks the bounds of what was written. Returns the length. */
static uint32_t compress(enum qr_codec codec, uint32_t capacity)
{
	uint32_t len_bytes;

	memset(output, 0xc3, sizeof(output));
	len_bytes = qr_port_compress(codec, page, output, capacity, workspace_of(codec));
	tap_check(len_bytes <= capacity);
	for (uint32_t i = capacity; i < capacity + MARGIN && i < sizeof(output); i++)
		tap_check(output[i] == 0xc3);
	return len_bytes;
}

static void codec_or_skip(enum qr_codec codec)
{
	uint64_t random = tap_seed();

	open_or_skip();
	fill_page(CONTENT_ZERO, &random);
	if (compress(codec, 4096))
		return;
	contract_close(&machine);
	tap_skip("the port has no such codec");
}

static void check_codec(enum qr_codec codec)
{
	uint64_t random = tap_seed();

	codec_or_skip(codec);
	for (uint32_t round = 0; round < 40 && !tap_has_failed(); round++) {
		uint32_t capacity = 64 + tap_random_below(&random, 4096 - 64 + 1);
		uint32_t len_bytes;

		fill_page((enum content)(round % NR_CONTENTS), &random);
		len_bytes = compress(codec, capacity);
		if (round % NR_CONTENTS == CONTENT_RANDOM)
			tap_check_equal(len_bytes, 0);
		if (round % NR_CONTENTS == CONTENT_ZERO)
			tap_check(len_bytes > 0);
		if (!len_bytes)
			continue;
		memset(back, 0x11, sizeof(back));
		tap_check_equal(qr_port_decompress(codec, output, len_bytes, back, workspace_of(codec)), 0);
		tap_check(!memcmp(page, back, sizeof(page)));
		/* Half of it is not a page; whatever it expands to, it says so. */
		tap_check_equal(qr_port_decompress(codec, output, len_bytes / 2, back, workspace_of(codec)), QR_EILSEQ);
	}
	contract_close(&machine);
}

static void test_lz4(void)
{
	check_codec(QR_CODEC_LZ4);
}
static void test_zstd(void)
{
	check_codec(QR_CODEC_ZSTD);
}

/* Damaged input may expand to a page of other bytes; it must not do anything worse. */
static void check_damage(enum qr_codec codec)
{
	uint64_t random = tap_seed();

	codec_or_skip(codec);
	for (uint32_t round = 0; round < 300; round++) {
		uint32_t len_bytes;
		int error;

		fill_page(CONTENT_TEXT, &random);
		len_bytes = compress(codec, 4096);
		tap_require(len_bytes);
		output[tap_random_below(&random, len_bytes)] ^= (uint8_t)(1 + tap_random_below(&random, 255));
		error = qr_port_decompress(codec, output, len_bytes, back, workspace_of(codec));
		tap_check(!error || error == QR_EILSEQ);
	}
	contract_close(&machine);
}

static void test_damage(void)
{
	check_damage(QR_CODEC_LZ4);
}

static void test_damage_zstd(void)
{
	check_damage(QR_CODEC_ZSTD);
}

/* ---- Checksum ---- */

static void test_checksum(void)
{
	uint64_t random = tap_seed();
	uint64_t sum;

	open_or_skip();
	fill_page(CONTENT_RANDOM, &random);
	sum = qr_port_checksum(page, sizeof(page));
	memcpy(back, page, sizeof(page));
	tap_check_equal(qr_port_checksum(back, sizeof(back)), sum);
	for (uint32_t bit = 0; bit < 8 * sizeof(page) && !tap_has_failed(); bit += 7) {
		page[bit / 8] ^= (uint8_t)(1u << bit % 8);
		tap_check(qr_port_checksum(page, sizeof(page)) != sum);
		page[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	/* The place of a word counts as well. */
	memcpy(page, back + 8, 8);
	memcpy(page + 8, back, 8);
	tap_check(qr_port_checksum(page, sizeof(page)) != sum);
	/* Of zeros the length alone makes the difference; odd lengths and addresses work. */
	memset(page, 0, sizeof(page));
	for (uint32_t len_bytes = 1; len_bytes < 256; len_bytes++) {
		tap_check(qr_port_checksum(page, len_bytes) != qr_port_checksum(page, len_bytes + 1));
		memcpy(output, back + 1, len_bytes);
		tap_check_equal(qr_port_checksum(back + 1, len_bytes), qr_port_checksum(output, len_bytes));
	}
	contract_close(&machine);
}

static const struct tap_test tests[] = {
	{"io_round_trip_keeps_content", test_io_round_trip},
	{"io_one_page_reads_that_page", test_io_one_page},
	{"io_two_files_are_apart", test_io_files_are_apart},
	{"swap_discard_leaves_neighbours", test_discard_leaves_neighbours},
	{"codec_lz4_round_trip", test_lz4},
	{"codec_zstd_round_trip", test_zstd},
	{"codec_lz4_damage_stays_in_bounds", test_damage},
	{"codec_zstd_damage_stays_in_bounds", test_damage_zstd},
	{"checksum_sees_every_bit_and_length", test_checksum},
};

const struct contract_group contract_storage_group = {tests, QR_ARRAY_SIZE(tests)};
