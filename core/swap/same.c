/* Same-filled pages: one 64-bit word over and over, most often zero. They need no storage. */
#include "swap/swap_priv.h"

bool qr_same_test(const void *page, uint64_t *word)
{
	const uint64_t *words = page;
	const uint32_t nr = QR_PAGE_SIZE / sizeof(*words);

	/* Most pages differ at once or at the end (headers at the start, padding behind): look there first. */
	if (words[0] != words[nr - 1])
		return false;
	for (uint32_t i = 1; i < nr - 1; i++) {
		if (words[i] != words[0])
			return false;
	}
	*word = words[0];
	return true;
}

void qr_same_fill(void *page, uint64_t word)
{
	uint64_t *words = page;

	if (word == 0) {
		memset(page, 0, QR_PAGE_SIZE);
		return;
	}
	for (uint32_t i = 0; i < QR_PAGE_SIZE / sizeof(*words); i++)
		words[i] = word;
}
