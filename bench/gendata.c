/*
 * Writes text of a given size to standard output: lines "key count word word ..." in random order, the same for the
 * same seed. Input of the demonstration, the system tests and the benchmarks.
 *
 *   gendata MIB [SEED [WORDS]]     lines of 6 words (60 bytes) unless given; 600 words are 3600 bytes
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_WORDS 1000u
#define MIX 0x9e3779b97f4a7c15u

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += MIX;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static const char *const words[] = {"page", "frame", "folio", "fault",  "zone",   "slab",    "swap",    "rmap",
				    "node", "lock",  "order", "memory", "budget", "mapping", "reclaim", "refault"};

static char *put_hex(char *at, uint64_t value, unsigned nr_digits)
{
	while (nr_digits-- > 0)
		*at++ = "0123456789abcdef"[(value >> (4 * nr_digits)) & 15];
	return at;
}

static char *put_text(char *at, const char *text)
{
	while (*text)
		*at++ = *text++;
	return at;
}

static size_t make_line(char *line, uint64_t nr_words, uint64_t *state)
{
	uint64_t key = next_random(state), bits = next_random(state);
	char *at = put_hex(line, key, 16);

	*at++ = ' ';
	at = put_hex(at, bits & 0xfffff, 5);
	bits >>= 20;
	for (uint64_t i = 0; i < nr_words; i++) {
		if (i % 10 == 9)
			bits = next_random(state);
		*at++ = ' ';
		at = put_text(at, words[bits & 15]);
		bits >>= 4;
	}
	*at++ = '\n';
	return (size_t)(at - line);
}

int main(int argc, char **argv)
{
	uint64_t left = (argc > 1 ? strtoull(argv[1], NULL, 10) : 1) << 20;
	uint64_t state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	uint64_t nr_words = argc > 3 ? strtoull(argv[3], NULL, 10) : 6;

	if (nr_words > MAX_WORDS) {
		fprintf(stderr, "gendata: at most %u words\n", MAX_WORDS);
		return 2;
	}
	while (left > 0) {
		static char line[32 + MAX_WORDS * 8];
		size_t len = make_line(line, nr_words, &state);

		if (len > left) {
			len = (size_t)left;
			line[len - 1] = '\n';
		}
		if (fwrite(line, 1, len, stdout) != len) {
			perror("gendata");
			return 1;
		}
		left -= len;
	}
	return fflush(stdout) ? 1 : 0;
}
