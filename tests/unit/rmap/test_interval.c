/* Interval trees against a plain array of ranges. */
#include <stdlib.h>
#include <string.h>

#include "port_test.h"
#include "rmap/interval.h"
#include "tap.h"

#define NR_NODES 300u
#define NR_STEPS 20000u
#define NR_PAGES 4096u

static struct qr_interval nodes[NR_NODES];
static bool is_in[NR_NODES];

struct visits {
	bool is_visited[NR_NODES];
	uint32_t nr, max;
	uint32_t first_before; /* of the node before this one */
};

static bool note_visit(const struct qr_interval *node, void *context)
{
	struct visits *visits = context;

	tap_check(!visits->is_visited[node - nodes]);
	tap_check(node->first >= visits->first_before);
	visits->first_before = node->first;
	visits->is_visited[node - nodes] = true;
	return ++visits->nr < visits->max;
}

static void check_walk(const struct qr_interval *root, uint32_t first, uint32_t last, uint32_t max)
{
	struct visits visits = {.max = max};
	uint32_t nr = 0;
	bool is_whole = qr_interval_walk(root, first, last, note_visit, &visits);

	for (uint32_t i = 0; i < NR_NODES; i++) {
		bool is_met = is_in[i] && nodes[i].first <= last && nodes[i].last >= first;

		nr += is_met;
		if (visits.is_visited[i])
			tap_check(is_met);
	}
	tap_check_equal(visits.nr, QR_MIN(nr, max));
	tap_check_equal(is_whole, nr < max);
}

static void test_model(void)
{
	struct qr_interval *root = NULL;
	uint64_t random = tap_seed();
	uint32_t depth;

	memset(nodes, 0, sizeof(nodes));
	memset(is_in, 0, sizeof(is_in));
	for (uint32_t step = 0; step < NR_STEPS && !tap_has_failed(); step++) {
		struct qr_interval *node = &nodes[tap_random_below(&random, NR_NODES)];
		uint32_t first = tap_random_below(&random, NR_PAGES);

		tap_check_equal(qr_interval_has(root, node), is_in[node - nodes]);
		if (is_in[node - nodes]) {
			qr_interval_remove(&root, node);
		} else {
			/* Many of them are equal, and some reach to the end of the index space. */
			node->first = tap_random_below(&random, 4) ? first : first / 512 * 512;
			node->last = node->first + tap_random_below(&random, 1u << tap_random_below(&random, 12));
			if (!tap_random_below(&random, 16))
				node->last = UINT32_MAX;
			qr_interval_insert(&root, node);
		}
		is_in[node - nodes] = !is_in[node - nodes];
		tap_check_equal(qr_interval_is_in_tree(node), is_in[node - nodes]);
		first = tap_random_below(&random, NR_PAGES + 100);
		check_walk(root, first, first + tap_random_below(&random, 600), UINT32_MAX);
		check_walk(root, first, UINT32_MAX, 1 + tap_random_below(&random, 20));
		if (step % 16 == 0)
			tap_check(qr_interval_is_valid(root, &depth));
	}
}

/* The mappings of one range by many processes, whose descriptors lie in a row. */
static void test_depth(void)
{
	uint32_t nr = 20000, depth = 0;
	struct qr_interval *many = calloc(nr, sizeof(*many));
	struct qr_interval *root = NULL;

	tap_require(many);
	for (uint32_t i = 0; i < nr; i++) {
		many[i].last = 99;
		qr_interval_insert(&root, &many[i]);
	}
	tap_check(qr_interval_is_valid(root, &depth));
	tap_note("%u equal ranges: depth %u", nr, depth);
	/* The expected depth is about 2 ln n = 20, and 3 times that is improbable beyond measure. */
	tap_check(depth < 60);
	for (uint32_t i = 0; i < nr; i += 2)
		qr_interval_remove(&root, &many[i]);
	tap_check(qr_interval_is_valid(root, &depth));
	tap_check(!qr_interval_has(root, &many[0]) && qr_interval_has(root, &many[1]));
	free(many);
}

static void test_damage(void)
{
	struct qr_interval *root = NULL;
	uint32_t depth;

	memset(nodes, 0, sizeof(nodes));
	for (uint32_t i = 0; i < 20; i++) {
		nodes[i].first = 10 * i;
		nodes[i].last = 10 * i + 5;
		qr_interval_insert(&root, &nodes[i]);
	}
	tap_check(qr_interval_is_valid(root, &depth));
	root->max_last++;
	tap_check(!qr_interval_is_valid(root, &depth));
	root->max_last--;
	nodes[7].first = 1000;
	tap_check(!qr_interval_is_valid(root, &depth));
	nodes[7].first = 70;
	tap_check(qr_interval_is_valid(root, &depth));
}

static const struct tap_test tests[] = {
	{"interval_random_operations_match_model", test_model},
	{"interval_many_equal_ranges_stay_shallow", test_depth},
	{"interval_is_valid_damaged_tree_is_false", test_damage},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
