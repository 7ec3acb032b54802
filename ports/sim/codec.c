/*
 * Compression, as a cost and a size: every page shrinks to the machine's share. The bytes are kept, so that what comes
 * back is what went in: a page with less than a kilobyte of content (programs' pages hold a token) is stored as the
 * words that are not zero, and a fuller one is refused as incompressible.
 */
#include <string.h>

#include "sim.h"

#define PAGE_WORDS (QR_PAGE_SIZE / sizeof(uint64_t))

/* One word that is not zero. */
struct word {
	uint64_t value;
	uint32_t index;
	uint32_t check;
};

static void charge(uint64_t amount)
{
	if (qr_sim_current)
		qr_sim_current->clock += amount;
}

uint32_t qr_port_compress(enum qr_codec codec, const void *page, void *out, uint32_t capacity, void *workspace)
{
	uint32_t modelled = (uint32_t)(qr_sim.machine.compressed_share * QR_PAGE_SIZE) & ~15u;
	const uint64_t *words = page;
	uint8_t *at = out;
	uint32_t len = 0;

	(void)codec;
	(void)workspace;
	charge(qr_sim.costs.compress);
	for (uint32_t i = 0; i < PAGE_WORDS; i++) {
		struct word word = {words[i], i, ~i};

		if (!words[i])
			continue;
		if (len + sizeof(word) > capacity)
			return 0;
		memcpy(at + len, &word, sizeof(word));
		len += (uint32_t)sizeof(word);
	}
	if (modelled > capacity)
		return 0;
	if (len < modelled)
		memset(at + len, 0, modelled - len);
	return QR_MAX(len, modelled);
}

int qr_port_decompress(enum qr_codec codec, const void *in, uint32_t len_bytes, void *page, void *workspace)
{
	const uint8_t *at = in;
	uint64_t *words = page;

	(void)codec;
	(void)workspace;
	charge(qr_sim.costs.expand);
	memset(page, 0, QR_PAGE_SIZE);
	for (uint32_t len = 0; len + sizeof(struct word) <= len_bytes; len += (uint32_t)sizeof(struct word)) {
		struct word word;

		memcpy(&word, at + len, sizeof(word));
		if (!word.value && !word.check)
			break;
		if (word.index >= PAGE_WORDS || word.check != ~word.index)
			return QR_EILSEQ;
		words[word.index] = word.value;
	}
	return 0;
}

uint32_t qr_port_codec_workspace(enum qr_codec codec)
{
	(void)codec;
	return QR_CACHE_LINE;
}

/* Pages have no content of their own here. */
bool qr_port_digest(struct qr_port *port, const void *page, struct qr_digest *digest)
{
	(void)port;
	(void)page;
	(void)digest;
	return false;
}

/* A sum of words, each turned by its place; time is the processor's for a pass over the data. */
uint64_t qr_port_checksum(const void *data, uint32_t len_bytes)
{
	const uint8_t *bytes = data;
	uint64_t sum = len_bytes;

	charge(len_bytes / sizeof(uint64_t) * qr_sim.costs.access);
	for (uint32_t i = 0; i < len_bytes; i += sizeof(uint64_t)) {
		uint64_t word = 0;

		memcpy(&word, bytes + i, QR_MIN((size_t)(len_bytes - i), sizeof(word)));
		sum = (sum << 7 | sum >> 57) * 0x9e3779b97f4a7c15u ^ word;
	}
	return sum;
}
