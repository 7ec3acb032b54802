/*
 * The heap under pressure: threads allocate, resize, check and free blocks of all sizes whose content is a function of
 * the block, so that any wrong, lost or stale byte is found; calloc must give zeros.
 *
 *   churn [--mib N] [--threads N] [--ops N (per thread)] [--seed N] [--max BYTES]
 */
#include <getopt.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_THREADS 64
#define MEAN_BYTES 6144u /* about what block_size() comes to */

struct block {
	uint64_t *words;
	size_t nr_words;
	uint64_t key;
};

struct churner {
	pthread_t thread;
	struct block *blocks;
	size_t nr_blocks;
	uint64_t nr_ops, random, max_bytes;
};

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* Half of the words repeat, half do not. */
static uint64_t word_of(uint64_t key, size_t i)
{
	return i & 256 ? key : (key + i) * 0xd6e8feb86659fd93u;
}

/* Many small ones, some of a few pages, few large ones. */
static size_t block_words(struct churner *churner)
{
	uint64_t what = next_random(&churner->random) % 1000, r = next_random(&churner->random);

	if (what < 600)
		return 1 + r % 64;
	if (what < 970)
		return 64 + r % 960;
	if (what < 998)
		return 1024 + r % 8192;
	return 1 + r % (churner->max_bytes / 8);
}

static void check_block(const struct block *block, size_t nr_words, const char *when)
{
	for (size_t i = 0; i < nr_words; i++) {
		if (block->words[i] == word_of(block->key, i))
			continue;
		printf("churn: %s: word %zu of %zu at %p is %016llx, not %016llx\n", when, i, block->nr_words,
		       (void *)(block->words + i), (unsigned long long)block->words[i],
		       (unsigned long long)word_of(block->key, i));
		fflush(stdout);
		_exit(1);
	}
}

static void fill_block(struct block *block, size_t from)
{
	for (size_t i = from; i < block->nr_words; i++)
		block->words[i] = word_of(block->key, i);
}

static void make_block(struct churner *churner, struct block *block)
{
	bool is_zeroed = next_random(&churner->random) % 4 == 0;

	block->nr_words = block_words(churner);
	block->key = next_random(&churner->random);
	block->words = is_zeroed ? calloc(block->nr_words, 8) : malloc(block->nr_words * 8);
	if (!block->words) {
		printf("churn: out of memory\n");
		_exit(1);
	}
	for (size_t i = 0; is_zeroed && i < block->nr_words; i++) {
		if (block->words[i]) {
			printf("churn: calloc: word %zu of %zu at %p is %016llx\n", i, block->nr_words,
			       (void *)(block->words + i), (unsigned long long)block->words[i]);
			fflush(stdout);
			_exit(1);
		}
	}
	fill_block(block, 0);
}

static void resize_block(struct churner *churner, struct block *block)
{
	size_t nr_words = block_words(churner), kept = nr_words < block->nr_words ? nr_words : block->nr_words;
	uint64_t *words = realloc(block->words, nr_words * 8);

	if (!words) {
		printf("churn: out of memory\n");
		_exit(1);
	}
	block->words = words;
	block->nr_words = nr_words;
	check_block(block, kept, "realloc");
	fill_block(block, kept);
}

static void *churn(void *argument)
{
	struct churner *churner = argument;

	for (size_t i = 0; i < churner->nr_blocks; i++)
		make_block(churner, &churner->blocks[i]);
	for (uint64_t op = 0; op < churner->nr_ops; op++) {
		struct block *block = &churner->blocks[next_random(&churner->random) % churner->nr_blocks];
		uint64_t what = next_random(&churner->random) % 100;

		check_block(block, block->nr_words, "check");
		if (what < 40) {
			free(block->words);
			make_block(churner, block);
		} else if (what < 55) {
			resize_block(churner, block);
		}
	}
	/* In order and all at once, as a program ends a phase. */
	for (size_t i = 0; i < churner->nr_blocks; i++) {
		check_block(&churner->blocks[i], churner->blocks[i].nr_words, "at the end");
		free(churner->blocks[i].words);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"mib", 1, NULL, 'm'},  {"threads", 1, NULL, 't'}, {"ops", 1, NULL, 'o'},
		{"seed", 1, NULL, 's'}, {"max", 1, NULL, 'x'},     {NULL, 0, NULL, 0},
	};
	static struct churner churners[MAX_THREADS];
	uint64_t values[128] = {['m'] = 64, ['t'] = 2, ['o'] = 20000, ['s'] = 1, ['x'] = 4 << 20};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == '?')
			return 2;
		values[option] = strtoull(optarg, NULL, 10);
	}
	if (values['t'] == 0 || values['t'] > MAX_THREADS || values['x'] < 8)
		return 2;
	for (unsigned i = 0; i < values['t']; i++) {
		struct churner *churner = &churners[i];

		churner->nr_blocks = (values['m'] << 20) / MEAN_BYTES / values['t'];
		churner->blocks = calloc(churner->nr_blocks, sizeof(struct block));
		churner->nr_ops = values['o'];
		churner->random = values['s'] * 100 + i;
		churner->max_bytes = values['x'];
		if (!churner->blocks || pthread_create(&churner->thread, NULL, churn, churner))
			return 1;
	}
	for (unsigned i = 0; i < values['t']; i++)
		pthread_join(churners[i].thread, NULL);
	printf("churn: %u threads, seed %llu: all blocks right\n", (unsigned)values['t'],
	       (unsigned long long)values['s']);
	return 0;
}
