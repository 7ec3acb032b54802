/*
 * The balanced lists again, in plain arithmetic: list 0 young, 1 protected, 2 ghosts, newest first. Of memories of less
 * than 512 pages, in which a shadow's time is exact, and of times below 8192.
 */
#include <math.h>
#include <string.h>

#include "policy_model_balanced.h"
#include "tap.h"

enum { YOUNG, PROTECTED, GHOST };
enum { TOUCHED = 1, WAS_PROTECTED = 2 };

static int place(const struct model_list *list, uint32_t page)
{
	for (uint32_t i = 0; i < list->nr; i++) {
		if (list->pages[i] == page)
			return (int)i;
	}
	return -1;
}

static void put_first(struct model_list *list, uint32_t page)
{
	memmove(&list->pages[1], &list->pages[0], list->nr++ * sizeof(page));
	list->pages[0] = page;
}

static void take_out(struct model_list *list, uint32_t page)
{
	int at = place(list, page);

	tap_require(at >= 0);
	list->nr--;
	memmove(&list->pages[at], &list->pages[at + 1], (list->nr - (uint32_t)at) * sizeof(page));
}

static uint32_t oldest(const struct model_list *list)
{
	return list->pages[list->nr - 1];
}

static uint32_t frames(const struct model *model)
{
	return model->capacity + model->pool_capacity;
}

static bool is_ghost(const struct model *model, uint32_t page)
{
	return place(&model->lists[GHOST], page) >= 0;
}

static void touch(struct model *model, uint32_t page)
{
	model->refs[page] |= TOUCHED;
}

/* The share of what a list gave up that came back soon, times both denominators. */
static double share(const struct model *model, int side)
{
	return (double)model->nr_returned[side] * (model->nr_given_up[!side] + 1);
}

static void note_returned(struct model *model, uint32_t page, uint32_t stamp)
{
	if (model->clock - stamp <= frames(model) / 4)
		model->nr_returned[model->refs[page] & WAS_PROTECTED ? PROTECTED : YOUNG]++;
}

/* The weight's logarithm goes down by 1/1024, or up by that or an eighth of it, between 0 and 6, or
 * 10 while young pages come back less than an eighth as often. */
static void steer(struct model *model)
{
	double young = share(model, YOUNG), protected = share(model, PROTECTED);
	double limit = 8 * young < protected ? 10 : 6;

	if (model->nr_given_up[YOUNG] + model->nr_given_up[PROTECTED] < 8)
		return;
	if (young > protected)
		model->log_weight -= 1.0 / 1024;
	else if (model->log_weight > limit)
		model->log_weight = fmax(limit, model->log_weight - 1.0 / 1024);
	else if (2 * young < protected)
		model->log_weight = fmin(limit, model->log_weight + 1.0 / 1024);
	else
		model->log_weight = fmin(limit, model->log_weight + 1.0 / 8192);
	model->log_weight = fmax(0, model->log_weight);
}

/* Of the list whose oldest page came longest ago, where young ages count more by the weight: between powers of two it
 * is a straight line, in steps of 1/256. */
static int choose(struct model *model)
{
	double power = floor(model->log_weight), rest = model->log_weight - power;
	double weight = (1 + floor(rest * 256) / 256) * pow(2, power);

	if (!model->lists[PROTECTED].nr) {
		model->tails[PROTECTED] = model->clock;
		return YOUNG;
	}
	if (!model->lists[YOUNG].nr) {
		model->tails[YOUNG] = model->clock;
		return PROTECTED;
	}
	return (model->clock - model->tails[YOUNG]) * weight >= model->clock - model->tails[PROTECTED] ? YOUNG
												       : PROTECTED;
}

/* Returns whether a page was given up; else one was protected. */
static bool look_at_oldest(struct model *model)
{
	int side = choose(model);
	uint32_t page = oldest(&model->lists[side]);

	take_out(&model->lists[side], page);
	model->tails[side] = model->stamp[page];
	if (++model->nr_given_up[side] > QR_MAX(frames(model) / 2, 8u)) {
		if (side == YOUNG && 2 * share(model, YOUNG) < share(model, PROTECTED))
			model->nr_returned[PROTECTED] -= model->nr_returned[PROTECTED] / 16;
		model->nr_given_up[side] /= 2;
		model->nr_returned[side] /= 2;
	}
	steer(model);
	model->stamp[page] = model->clock;
	if (model->refs[page] & TOUCHED) {
		model->nr_returned[side]++;
		model->refs[page] = 0;
		put_first(&model->lists[PROTECTED], page);
		return false;
	}
	model->refs[page] = side == PROTECTED ? WAS_PROTECTED : 0;
	model->is_resident[page] = false;
	model->nr_resident--;
	model->left = page;
	if (model->lists[GHOST].nr >= 31 * model->capacity)
		model->lists[GHOST].nr--;
	put_first(&model->lists[GHOST], page);
	return true;
}

/* Where a page goes that comes back from swap. */
static int list_of_returned(struct model *model, uint32_t page)
{
	uint32_t distance = model->clock - model->stamp[page];
	double soon = frames(model) / 4;

	note_returned(model, page, model->stamp[page]);
	if (model->log_weight <= 8 && ++model->nr_late % 32 == 0)
		return PROTECTED;
	if (distance > frames(model))
		return YOUNG;
	return soon * (model->nr_given_up[PROTECTED] + 1) > 2.0 * distance * model->nr_returned[PROTECTED] ? PROTECTED
													   : YOUNG;
}

static void fault(struct model *model, uint32_t page, enum qr_policy_why why)
{
	int list = YOUNG;

	if (why == QR_POLICY_RESCUED) {
		note_returned(model, page, model->stamp[page]);
		list = PROTECTED;
	} else if (is_ghost(model, page)) {
		list = list_of_returned(model, page);
	}
	if (is_ghost(model, page))
		take_out(&model->lists[GHOST], page);
	if (model->nr_resident == model->capacity) {
		while (!look_at_oldest(model))
			;
		model->clock += why != QR_POLICY_RESCUED;
	}
	model->refs[page] = 0;
	model->stamp[page] = model->clock;
	put_first(&model->lists[list], page);
	model->is_resident[page] = true;
	model->nr_resident++;
}

const struct model_ops model_balanced = {"balanced", NULL, touch, fault, is_ghost};
