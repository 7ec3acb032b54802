/*
 * The VMA tree against a sorted array: random drafts of several changes, published or dropped, with allocations
 * that fail; and readers under RCU while a writer changes the tree and frees its nodes. Nodes come from malloc, so
 * that a sanitizer sees a node that is used after it was freed.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "aspace/vma_tree.h"
#include "port_test.h"
#include "slab/slab.h"
#include "tap.h"

#define PAGE QR_PAGE_SIZE
#define NR_PAGES 3000u /* of the address range */
#define NR_MAX NR_PAGES

static uint32_t fail_in; /* the n-th allocation from now on fails; 0: none */
static uint64_t nr_nodes;

void *qr_kmalloc(struct qr_vmm *vmm, uint64_t size_bytes, qr_gfp_t gfp)
{
	(void)vmm;
	(void)gfp;
	if (fail_in && --fail_in == 0)
		return NULL;
	nr_nodes++;
	return calloc(1, size_bytes);
}

void qr_kfree(struct qr_vmm *vmm, void *object)
{
	(void)vmm;
	nr_nodes--;
	free(object);
}

/* The reference: VMAs in order. */
struct model {
	uint32_t nr;
	struct qr_vma *vmas[NR_MAX];
};

static uint32_t model_position(const struct model *model, uint64_t va)
{
	uint32_t low = 0, high = model->nr;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (model->vmas[middle]->end <= va)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void model_insert(struct model *model, struct qr_vma *vma)
{
	uint32_t at = model_position(model, vma->start);

	memmove(&model->vmas[at + 1], &model->vmas[at], (model->nr++ - at) * sizeof(model->vmas[0]));
	model->vmas[at] = vma;
}

static void model_erase(struct model *model, uint32_t at)
{
	memmove(&model->vmas[at], &model->vmas[at + 1], (--model->nr - at) * sizeof(model->vmas[0]));
}

/* The lowest fitting address by looking at every page; UINT64_MAX if none. */
static uint64_t model_gap(const struct model *model, const struct qr_vma_gap *gap)
{
	uint64_t va = gap->floor;

	while (va + gap->len_bytes <= gap->limit) {
		uint32_t at = model_position(model, va);

		if (at < model->nr && model->vmas[at]->start < va + gap->len_bytes) {
			va = model->vmas[at]->end;
			continue;
		}
		if ((va & (gap->align - 1)) == gap->offset)
			return va;
		va += PAGE;
	}
	return UINT64_MAX;
}

static bool is_free(const struct model *model, uint64_t start, uint64_t end)
{
	uint32_t at = model_position(model, start);

	return at == model->nr || model->vmas[at]->start >= end;
}

static void check_equal(struct qr_vma_tree *tree, const struct model *model)
{
	uint64_t va = 0;

	tap_check(qr_vma_tree_is_valid(tree));
	for (uint32_t i = 0; i < model->nr && !tap_has_failed(); i++) {
		tap_check(qr_vma_tree_find(tree, va) == model->vmas[i]);
		va = model->vmas[i]->end;
	}
	tap_check(qr_vma_tree_find(tree, va) == NULL);
}

static void check_lookups(struct qr_vma_tree *tree, const struct model *model, uint64_t *seed)
{
	uint64_t va = tap_random_below(seed, NR_PAGES + 2) * PAGE;
	uint32_t at = model_position(model, va);
	struct qr_vma_gap gap = {
		.floor = tap_random_below(seed, NR_PAGES) * PAGE,
		.limit = NR_PAGES * PAGE,
		.len_bytes = (1 + tap_random_below(seed, 1u << tap_random_below(seed, 9))) * PAGE,
		.align = PAGE << (tap_random_below(seed, 4) ? 0 : tap_random_below(seed, 6)),
	};
	uint64_t found = UINT64_MAX, expected;
	int err;

	tap_check(qr_vma_tree_find(tree, va) == (at < model->nr ? model->vmas[at] : NULL));
	while (at > 0 && (at == model->nr || model->vmas[at]->start >= va))
		at--;
	if (model->nr && model->vmas[at]->start < va)
		tap_check(qr_vma_tree_find_before(tree, va) == model->vmas[at]);
	else
		tap_check(qr_vma_tree_find_before(tree, va) == NULL);
	gap.offset = tap_random_below(seed, (uint32_t)(gap.align / PAGE)) * PAGE;
	expected = model_gap(model, &gap);
	err = qr_vma_tree_find_gap(tree, &gap, &found);
	tap_check((err == 0) == (expected != UINT64_MAX));
	if (gap.align == PAGE)
		tap_check_equal(found, expected);
	if (!err)
		tap_check(found >= gap.floor && found + gap.len_bytes <= gap.limit &&
			  (found & (gap.align - 1)) == gap.offset && is_free(model, found, found + gap.len_bytes));
}

/* All VMAs of a test, to free them at its end. */
static struct qr_vma *all_vmas;

static struct qr_vma *vma_new(uint64_t start, uint64_t end)
{
	struct qr_vma *vma = calloc(1, sizeof(*vma));

	tap_require(vma);
	vma->start = start;
	vma->end = end;
	vma->free_next = all_vmas;
	all_vmas = vma;
	return vma;
}

static void free_vmas(void)
{
	while (all_vmas) {
		struct qr_vma *next = all_vmas->free_next;

		free(all_vmas);
		all_vmas = next;
	}
}

/* One change of the draft and of the model of it. Returns false when the draft has to be dropped. */
static bool change(struct qr_vma_tree *tree, struct model *draft, uint32_t aim, uint64_t *seed)
{
	uint64_t start = tap_random_below(seed, NR_PAGES) * PAGE;
	uint64_t end = start + (1 + tap_random_below(seed, 3)) * PAGE;
	uint32_t at = model_position(draft, start);
	struct qr_vma *vma;

	if (is_free(draft, start, end) && tap_random_below(seed, NR_PAGES) < aim) {
		vma = vma_new(start, end);
		if (qr_vma_tree_insert(tree, vma, start, end))
			return false;
		model_insert(draft, vma);
		return true;
	}
	if (at == draft->nr)
		return true;
	vma = draft->vmas[at];
	if (tap_random_below(seed, 4)) {
		if (qr_vma_tree_erase(tree, vma->start))
			return false;
		model_erase(draft, at);
		return true;
	}
	/* A longer copy in its place, if there is room. */
	if (!is_free(draft, vma->end, vma->end + PAGE) || vma->end >= NR_PAGES * PAGE)
		return true;
	vma = vma_new(vma->start, vma->end + PAGE);
	if (qr_vma_tree_replace(tree, vma->start, vma, vma->start, vma->end))
		return false;
	draft->vmas[at] = vma;
	return true;
}

static void test_random(void)
{
	static struct model model, draft;
	struct qr_vma_tree *tree;
	uint64_t seed = tap_seed();
	uint32_t aim = NR_PAGES, nr_largest = 0, nr_failures = 0;

	model.nr = 0;
	tap_require(qr_vma_tree_create(NULL, &tree) == 0);
	for (uint32_t step = 0; step < 25000 && !tap_has_failed(); step++) {
		uint32_t nr_changes = 1 + tap_random_below(&seed, 7);
		bool is_whole = true;

		if (step % 2500 == 0)
			aim = step % 5000 ? NR_PAGES / 16 : NR_PAGES; /* fill and empty by turns */
		draft = model;
		fail_in = tap_random_below(&seed, 8) ? 0 : 1 + tap_random_below(&seed, 12);
		qr_vma_tree_begin(tree);
		for (uint32_t i = 0; i < nr_changes && is_whole; i++)
			is_whole = change(tree, &draft, aim, &seed);
		fail_in = 0;
		nr_failures += !is_whole;
		/* A failed change leaves the draft whole: it can be published as well. */
		if (tap_random_below(&seed, 6) || !step) {
			qr_vma_tree_publish(tree);
			model = draft;
		} else {
			qr_vma_tree_abort(tree);
		}
		check_lookups(tree, &model, &seed);
		if (step % 64 == 0)
			check_equal(tree, &model);
		if (tree->nr_retired > 100)
			qr_vma_tree_reap(tree);
		nr_largest = QR_MAX(nr_largest, model.nr);
	}
	check_equal(tree, &model);
	tap_note("%u VMAs at most, %u failed allocations", nr_largest, nr_failures);
	tap_check(nr_largest > 500 && nr_failures > 100);
	qr_vma_tree_destroy(tree);
	free_vmas();
	tap_check_equal(nr_nodes, 0);
}

static void test_large(void)
{
	enum { NR = 60000 };
	struct qr_vma *vmas = calloc(NR, sizeof(*vmas));
	struct qr_vma_gap gap = {.floor = 0, .limit = UINT64_MAX / 2, .len_bytes = 2 * PAGE, .align = PAGE};
	struct qr_vma_tree *tree = NULL;
	uint64_t va = 0;

	tap_require(vmas && qr_vma_tree_create(NULL, &tree) == 0);
	qr_vma_tree_begin(tree);
	for (uint32_t i = 0; i < NR; i++) {
		vmas[i].start = i * 2 * PAGE;
		vmas[i].end = vmas[i].start + PAGE;
		tap_require(qr_vma_tree_insert(tree, &vmas[i], vmas[i].start, vmas[i].end) == 0);
	}
	qr_vma_tree_publish(tree);
	tap_check(qr_vma_tree_is_valid(tree));
	tap_check_equal(qr_vma_tree_find_gap(tree, &gap, &va), 0);
	tap_check_equal(va, vmas[NR - 1].end);
	qr_vma_tree_begin(tree);
	tap_check_equal(qr_vma_tree_erase(tree, vmas[777].start), 0);
	qr_vma_tree_publish(tree);
	tap_check_equal(qr_vma_tree_find_gap(tree, &gap, &va), 0);
	tap_check_equal(va, vmas[776].end);
	qr_vma_tree_begin(tree);
	for (uint32_t i = 0; i < NR; i++) {
		if (i != 777)
			tap_require(qr_vma_tree_erase(tree, vmas[i].start) == 0);
	}
	qr_vma_tree_publish(tree);
	tap_check(qr_vma_tree_find(tree, 0) == NULL && qr_vma_tree_is_valid(tree));
	qr_vma_tree_destroy(tree);
	tap_check_equal(nr_nodes, 0);
	free(vmas);
}

#define NR_FIXED 200u
#define NR_READERS 3u

/* VMA 2i never changes; VMA 2i + 1 comes and goes. */
struct race {
	struct qr_vma_tree *tree;
	struct qr_vma vmas[2 * NR_FIXED];
	uint32_t is_over; /* atomic */
	uint32_t nr_wrong; /* atomic */
};

static void *race_reader(void *argument)
{
	struct race *race = argument;
	uint64_t seed = tap_seed() + (uintptr_t)&seed;

	while (!__atomic_load_n(&race->is_over, __ATOMIC_ACQUIRE)) {
		uint32_t i = tap_random_below(&seed, 2 * NR_FIXED - 1);
		struct qr_vma *vma;
		bool is_right;

		qr_port_rcu_read_lock();
		vma = qr_vma_tree_find(race->tree, race->vmas[i].start);
		is_right = vma == &race->vmas[i] || (i % 2 && vma == &race->vmas[i + 1]);
		qr_port_rcu_read_unlock();
		if (!is_right)
			__atomic_fetch_add(&race->nr_wrong, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void test_readers(void)
{
	struct race *race = calloc(1, sizeof(*race));
	bool is_in[2 * NR_FIXED] = {false};
	pthread_t readers[NR_READERS];
	uint64_t seed = tap_seed();

	tap_require(race && qr_vma_tree_create(NULL, &race->tree) == 0);
	qr_vma_tree_begin(race->tree);
	for (uint32_t i = 0; i < 2 * NR_FIXED; i++) {
		race->vmas[i].start = i * PAGE;
		race->vmas[i].end = (i + 1) * PAGE;
		if (i % 2 == 0)
			tap_require(qr_vma_tree_insert(race->tree, &race->vmas[i], i * PAGE, (i + 1) * PAGE) == 0);
	}
	qr_vma_tree_publish(race->tree);
	for (uint32_t i = 0; i < NR_READERS; i++)
		tap_require(pthread_create(&readers[i], NULL, race_reader, race) == 0);
	for (uint32_t step = 0; step < 3000; step++) {
		qr_vma_tree_begin(race->tree);
		for (uint32_t n = 1 + tap_random_below(&seed, 5); n; n--) {
			uint32_t i = 2 * tap_random_below(&seed, NR_FIXED - 1) + 1;

			if (is_in[i])
				tap_require(qr_vma_tree_erase(race->tree, i * PAGE) == 0);
			else
				tap_require(qr_vma_tree_insert(race->tree, &race->vmas[i], i * PAGE, (i + 1) * PAGE) ==
					    0);
			is_in[i] = !is_in[i];
		}
		qr_vma_tree_publish(race->tree);
		if (race->tree->nr_retired > 32) {
			qr_port_rcu_synchronize();
			qr_vma_tree_reap(race->tree);
		}
	}
	__atomic_store_n(&race->is_over, 1, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < NR_READERS; i++)
		pthread_join(readers[i], NULL);
	tap_check_equal(race->nr_wrong, 0);
	tap_check(qr_vma_tree_is_valid(race->tree));
	qr_vma_tree_destroy(race->tree);
	tap_check_equal(nr_nodes, 0);
	free(race);
}

static const struct tap_test tests[] = {
	{"vma_tree_random_drafts_match_model", test_random},
	{"vma_tree_60000_vmas_find_gap", test_large},
	{"vma_tree_readers_see_whole_drafts", test_readers},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
