/* The doubly linked list against a plain array. */
#include <string.h>

#include "ds/list.h"
#include "tap.h"

#define NR_NODES 48u
#define NR_STEPS 20000u

struct item {
	uint32_t before; /* so that the node is not at the start */
	struct qr_list link;
	bool is_on_list;
};

static struct item items[NR_NODES];
static struct qr_list head;
static struct item *model[NR_NODES];
static uint32_t nr_model;

static void setup(void)
{
	qr_list_init(&head);
	nr_model = 0;
	memset(items, 0, sizeof(items));
	for (uint32_t i = 0; i < NR_NODES; i++)
		qr_list_init(&items[i].link);
}

static void insert(struct item *item, bool is_tail)
{
	uint32_t at = is_tail ? nr_model : 0;

	if (is_tail)
		qr_list_add_tail(&head, &item->link);
	else
		qr_list_add_head(&head, &item->link);
	memmove(&model[at + 1], &model[at], (nr_model - at) * sizeof(model[0]));
	model[at] = item;
	nr_model++;
	item->is_on_list = true;
}

static void model_remove(struct item *item)
{
	uint32_t at = 0;

	while (model[at] != item)
		at++;
	nr_model--;
	memmove(&model[at], &model[at + 1], (nr_model - at) * sizeof(model[0]));
	item->is_on_list = false;
}

static void compare(void)
{
	struct qr_list *node;
	uint32_t i = 0;

	tap_check_equal(qr_list_is_empty(&head), nr_model == 0);
	qr_list_for_each(node, &head) {
		tap_require(i < nr_model);
		tap_check(qr_list_entry(node, struct item, link) == model[i]);
		tap_check(node->next->prev == node && node->prev->next == node);
		i++;
	}
	tap_check_equal(i, nr_model);
}

static void test_model(void)
{
	uint64_t random = tap_seed();

	setup();
	for (uint32_t step = 0; step < NR_STEPS && !tap_has_failed(); step++) {
		struct item *item = &items[tap_random_below(&random, NR_NODES)];

		if (!item->is_on_list) {
			insert(item, tap_random_below(&random, 2));
		} else {
			qr_list_remove(&item->link);
			tap_check(qr_list_is_empty(&item->link));
			model_remove(item);
		}
		compare();
	}
}

static void test_for_each_safe(void)
{
	struct qr_list *node, *ahead;
	uint32_t nr_seen = 0;

	setup();
	for (uint32_t i = 0; i < NR_NODES; i++)
		insert(&items[i], true);
	qr_list_for_each_safe(node, ahead, &head) {
		if (nr_seen++ % 2)
			continue;
		qr_list_remove(node);
		model_remove(qr_list_entry(node, struct item, link));
	}
	tap_check_equal(nr_seen, NR_NODES);
	tap_check_equal(nr_model, NR_NODES / 2);
	compare();
}

static void test_remove_twice(void)
{
	setup();
	insert(&items[0], true);
	insert(&items[1], true);
	qr_list_remove(&items[0].link);
	qr_list_remove(&items[0].link);
	model_remove(&items[0]);
	compare();
}

static const struct tap_test tests[] = {
	{"list_random_operations_match_model", test_model},
	{"list_for_each_safe_removing_visits_all", test_for_each_safe},
	{"list_remove_twice_is_harmless", test_remove_twice},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
