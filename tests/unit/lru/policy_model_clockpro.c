/* CLOCK-Pro as an array of places; hands are indices. list 0 is the clock, in the direction of the hands. */
#include <string.h>

#include "policy_model.h"
#include "policy_model_clockpro.h"
#include "tap.h"

enum { COLD, COLD_TEST, HOT };
enum { HAND_HOT, HAND_COLD, HAND_TEST };

static struct model_list *clock_of(struct model *model)
{
	return &model->lists[0];
}

static uint32_t count(const struct model *model, bool is_resident, bool is_hot)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < model->lists[0].nr; i++) {
		uint32_t page = model->lists[0].pages[i];

		nr += model->is_resident[page] == is_resident &&
		      (!is_resident || (model->stamp[page] == HOT) == is_hot);
	}
	return nr;
}

static uint32_t place_of(const struct model *model, uint32_t page)
{
	uint32_t at = 0;

	while (at < model->lists[0].nr && model->lists[0].pages[at] != page)
		at++;
	return at;
}

static void forget(struct model *model, uint32_t page)
{
	struct model_list *list = clock_of(model);
	uint32_t at = place_of(model, page);

	list->nr--;
	memmove(&list->pages[at], &list->pages[at + 1], (list->nr - at) * sizeof(page));
	for (unsigned i = 0; i < 3; i++) {
		if (model->hands[i] > at)
			model->hands[i]--;
		if (model->hands[i] >= list->nr)
			model->hands[i] = 0;
	}
}

static void put_at_head(struct model *model, uint32_t page)
{
	struct model_list *list = clock_of(model);
	uint32_t at = model->hands[HAND_HOT], was_empty = !list->nr;

	memmove(&list->pages[at + 1], &list->pages[at], (list->nr - at) * sizeof(page));
	list->pages[at] = page;
	list->nr++;
	for (unsigned i = 0; i < 3 && !was_empty; i++)
		model->hands[i] += model->hands[i] >= at;
}

static void advance(struct model *model, unsigned hand)
{
	model->hands[hand] = (model->hands[hand] + 1) % clock_of(model)->nr;
}

static void end_test(struct model *model, uint32_t page)
{
	if (!model->refs[page] && model->target > 1)
		model->target--;
	model->stamp[page] = COLD;
	if (!model->is_resident[page])
		forget(model, page);
}

static void hot_hand(struct model *model)
{
	for (;;) {
		uint32_t page = clock_of(model)->pages[model->hands[HAND_HOT]];

		advance(model, HAND_HOT);
		if (!model->is_resident[page] || model->stamp[page] == COLD_TEST) {
			end_test(model, page);
		} else if (model->stamp[page] == HOT) {
			if (!model->refs[page]) {
				model->stamp[page] = COLD;
				return;
			}
			model->refs[page] = 0;
		}
	}
}

static void test_hand(struct model *model)
{
	bool is_ghost;

	do {
		uint32_t page = clock_of(model)->pages[model->hands[HAND_TEST]];

		is_ghost = !model->is_resident[page];
		advance(model, HAND_TEST);
		if (is_ghost || model->stamp[page] == COLD_TEST)
			end_test(model, page);
	} while (!is_ghost);
}

static void balance(struct model *model)
{
	while (count(model, true, true) > model->capacity - model->target && count(model, true, true))
		hot_hand(model);
}

static void rearm(struct model *model, uint32_t page)
{
	bool is_hot = model->stamp[page] == COLD_TEST;

	model->refs[page] = 0;
	forget(model, page);
	model->stamp[page] = is_hot ? HOT : COLD_TEST;
	if (is_hot && model->target < model->capacity)
		model->target++;
	put_at_head(model, page);
	balance(model);
}

static void make_room(struct model *model)
{
	for (;;) {
		uint32_t page;

		if (!count(model, true, false))
			hot_hand(model);
		page = clock_of(model)->pages[model->hands[HAND_COLD]];
		if (!model->is_resident[page] || model->stamp[page] == HOT) {
			advance(model, HAND_COLD);
			continue;
		}
		if (model->refs[page]) {
			rearm(model, page);
			continue;
		}
		advance(model, HAND_COLD);
		model->is_resident[page] = false;
		model->nr_resident--;
		model->left = page;
		if (model->stamp[page] == COLD) {
			forget(model, page);
			return;
		}
		/* Hands that stood here have been passed on by then. */
		for (unsigned i = 0; i < 3; i++) {
			if (model->hands[i] == place_of(model, page))
				advance(model, i);
		}
		while (count(model, false, false) > model->capacity)
			test_hand(model);
		return;
	}
}

static void init(struct model *model)
{
	model->target = QR_MAX(model->capacity / 100, 1u);
	model->hands[HAND_HOT] = 0;
}

static void touch(struct model *model, uint32_t page)
{
	model->refs[page] = 1;
}

static bool is_ghost(const struct model *model, uint32_t page)
{
	return !model->is_resident[page] && place_of(model, page) < model->lists[0].nr;
}

static void fault(struct model *model, uint32_t page, enum qr_policy_why why)
{
	bool is_hot = is_ghost(model, page);

	if (is_hot) {
		if (why == QR_POLICY_GHOST && model->target < model->capacity)
			model->target++;
		forget(model, page);
	}
	if (why == QR_POLICY_RESCUED)
		is_hot = true;
	if (model->nr_resident == model->capacity)
		make_room(model);
	else if (count(model, true, true) < model->capacity - model->target)
		is_hot = true;
	model->refs[page] = 0;
	model->stamp[page] = is_hot ? HOT : COLD_TEST;
	put_at_head(model, page);
	model->is_resident[page] = true;
	model->nr_resident++;
	balance(model);
}

const struct model_ops model_clockpro = {"clock-pro", init, touch, fault, is_ghost};
