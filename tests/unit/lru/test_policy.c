/* Page replacement policies: each against its plain model, and what they are known for. */
#include <stdlib.h>
#include <string.h>

#include "lru/policy.h"
#include "policy_model.h"
#include "tap.h"

#define NR_ROUNDS 60u
#define NR_ACCESSES 4000u
/* A full check costs as much as some hundred accesses. */
#define CHECK_EVERY 101u

static struct qr_policy *make_policy(const char *name, uint32_t capacity, uint32_t pool_share)
{
	struct qr_policy_config config = {.capacity = capacity, .pool_share = pool_share};
	const struct qr_policy_ops *ops = qr_policy_find(name);
	struct qr_policy *policy;
	uint64_t nr_bytes;
	void *memory;

	tap_require(ops != NULL);
	nr_bytes = qr_policy_bytes(ops, &config);
	policy = malloc(sizeof(*policy));
	memory = malloc(nr_bytes);
	tap_require(policy && memory);
	memset(memory, 0x5a, nr_bytes);
	tap_require(!qr_policy_init(policy, ops, &config, memory));
	return policy;
}

static void free_policy(struct qr_policy *policy)
{
	free(policy->entries);
	free(policy);
}

/* Patterns that mix: random, skewed, scans and loops, so that queues of all kinds fill and empty. */
static uint32_t next_page(uint64_t *seed, uint32_t nr_pages, uint32_t *scan)
{
	uint32_t kind = tap_random_below(seed, 8);

	if (kind < 3)
		return tap_random_below(seed, nr_pages);
	if (kind < 6)
		return tap_random_below(seed, 1 + tap_random_below(seed, nr_pages));
	*scan = tap_random_below(seed, 200) ? (*scan + 1) % nr_pages : tap_random_below(seed, nr_pages);
	return *scan;
}

static void compare(const char *name, uint32_t capacity, uint32_t pool_share, uint32_t nr_pages, uint64_t *seed)
{
	struct qr_policy *policy = make_policy(name, capacity, pool_share);
	struct model *model = malloc(sizeof(*model));
	uint32_t scan = 0;

	tap_require(model && model_find(name));
	model_init(model, model_find(name), capacity, pool_share);
	for (uint32_t i = 0; i < NR_ACCESSES && !tap_has_failed(); i++) {
		uint32_t page = next_page(seed, nr_pages, &scan), victim;
		struct qr_policy_result result;
		bool is_hit, was_idle;

		/* Page numbers of all sizes. */
		qr_policy_access(policy, (uint64_t)page << 40 | page, &result);
		model_access(model, page, &is_hit, &was_idle, &victim);
		tap_check_equal(result.is_hit, is_hit);
		tap_check_equal(result.was_idle, was_idle);
		tap_check_equal(result.has_victim, victim != MODEL_NOBODY);
		if (result.has_victim)
			tap_check_equal((uint32_t)result.victim, victim);
		if (tap_has_failed())
			tap_note("%s, %u frames, share %u, %u pages, access %u", name, capacity, pool_share, nr_pages,
				 i);
		if (i % CHECK_EVERY == 0)
			tap_check(qr_policy_is_valid(policy));
	}
	model_free(model);
	free_policy(policy);
}

static void compare_all(uint32_t pool_share)
{
	uint64_t seed = tap_seed();

	for (uint32_t at = 0; qr_policy_at(at); at++) {
		for (uint32_t round = 0; round < NR_ROUNDS && !tap_has_failed(); round++) {
			uint32_t capacity = round < 6 ? round + 1 : 1 + tap_random_below(&seed, 60);
			uint32_t nr_pages = 1 + tap_random_below(&seed, QR_MIN(4 * capacity + 4, MODEL_MAX_PAGES));

			compare(qr_policy_at(at)->name, capacity, pool_share, nr_pages, &seed);
		}
	}
}

static void test_models(void)
{
	compare_all(0);
}

static void test_models_sampled(void)
{
	compare_all(16);
	compare_all(3);
}

/* Misses of a policy over a pattern of pages. */
static uint32_t count_misses(const char *name, uint32_t capacity, uint32_t pool_share, const uint32_t *pages,
			     uint32_t nr)
{
	struct qr_policy *policy = make_policy(name, capacity, pool_share);
	struct qr_policy_result result;
	uint32_t nr_misses = 0;

	for (uint32_t i = 0; i < nr; i++) {
		qr_policy_access(policy, pages[i], &result);
		nr_misses += !result.is_hit;
	}
	tap_check(qr_policy_is_valid(policy));
	free_policy(policy);
	return nr_misses;
}

/* Belady, Nelson, Shedler, "An anomaly in space-time characteristics", CACM 12(6), 1969. */
static void test_fifo_anomaly(void)
{
	static const uint32_t pages[] = {1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5};

	tap_check_equal(count_misses("fifo", 3, 0, pages, QR_ARRAY_SIZE(pages)), 9);
	tap_check_equal(count_misses("fifo", 4, 0, pages, QR_ARRAY_SIZE(pages)), 10);
	tap_check_equal(count_misses("lru", 3, 0, pages, QR_ARRAY_SIZE(pages)), 10);
	tap_check_equal(count_misses("lru", 4, 0, pages, QR_ARRAY_SIZE(pages)), 8);
}

static void test_no_pressure(void)
{
	uint32_t pages[2000];
	uint64_t seed = tap_seed();

	for (uint32_t i = 0; i < QR_ARRAY_SIZE(pages); i++)
		pages[i] = i < 100 ? i : tap_random_below(&seed, 100);
	for (uint32_t at = 0; qr_policy_at(at); at++) {
		tap_check_equal(count_misses(qr_policy_at(at)->name, 100, 0, pages, QR_ARRAY_SIZE(pages)), 100);
		tap_check_equal(count_misses(qr_policy_at(at)->name, 100, 16, pages, QR_ARRAY_SIZE(pages)), 100);
	}
}

/* A loop one page larger than memory: by recency nothing is ever hit, and all but a few could be. */
static void test_loop(void)
{
	static uint32_t pages[100000];
	const uint32_t nr = QR_ARRAY_SIZE(pages);

	for (uint32_t i = 0; i < nr; i++)
		pages[i] = i % 101;
	tap_check_equal(count_misses("lru", 100, 0, pages, nr), nr);
	tap_check_equal(count_misses("clock", 100, 0, pages, nr), nr);
	tap_check(count_misses("clock-pro", 100, 0, pages, nr) < nr / 10);
}

static void test_sampled_lru_is_fifo_with_rescue(void)
{
	static const uint32_t pages[] = {1, 2, 3, 4, 1, 5, 1};
	struct qr_policy *policy = make_policy("lru", 4, 4);
	struct qr_policy_result result;

	/* Three frames for LRU, one for the pool. The fourth page makes the first idle; its touch rescues it. */
	for (uint32_t i = 0; i < QR_ARRAY_SIZE(pages); i++)
		qr_policy_access(policy, pages[i], &result);
	tap_check(result.is_hit && !result.was_idle);
	tap_check(!qr_policy_is_resident(policy, 2));
	qr_policy_access(policy, 3, &result);
	tap_check(result.is_hit && result.was_idle && !result.has_victim);
	qr_policy_access(policy, 2, &result);
	tap_check(!result.is_hit && result.has_victim);
	tap_check_equal(result.victim, 4);
	free_policy(policy);
}

static void test_config(void)
{
	static const struct qr_policy_config none = {.capacity = 0};
	static const struct qr_policy_config large = {.capacity = QR_POLICY_MAX_CAPACITY + 1};
	const struct qr_policy_ops *ops = qr_policy_find("lru");
	struct qr_policy policy;

	tap_check_equal(qr_policy_bytes(ops, &none), 0);
	tap_check_equal(qr_policy_bytes(ops, &large), 0);
	tap_check_equal((int64_t)qr_policy_init(&policy, ops, &none, NULL), QR_EINVAL);
	tap_check(!qr_policy_find("") && !qr_policy_find("lr") && !qr_policy_find("lrus"));
	for (uint32_t at = 0; qr_policy_at(at); at++)
		tap_check(qr_policy_find(qr_policy_at(at)->name) == qr_policy_at(at));
}

static const struct tap_test tests[] = {
	{"policy_random_accesses_match_models", test_models},
	{"policy_sampled_random_accesses_match_models", test_models_sampled},
	{"policy_fifo_larger_memory_misses_more", test_fifo_anomaly},
	{"policy_no_pressure_misses_once_per_page", test_no_pressure},
	{"policy_loop_larger_than_memory_clockpro_keeps_a_part", test_loop},
	{"policy_sampled_touch_of_idle_page_rescues", test_sampled_lru_is_fifo_with_rescue},
	{"policy_config_out_of_range_is_refused", test_config},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
