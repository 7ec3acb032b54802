/* The models, written from the papers' algorithms without regard to speed. */
#include <stdlib.h>
#include <string.h>

#include "policy_model.h"
#include "policy_model_balanced.h"
#include "policy_model_clockpro.h"
#include "tap.h"

static int find(const struct model_list *list, uint32_t page)
{
	for (uint32_t i = 0; i < list->nr; i++) {
		if (list->pages[i] == page)
			return (int)i;
	}
	return -1;
}

static bool has(const struct model *model, unsigned list, uint32_t page)
{
	return find(&model->lists[list], page) >= 0;
}

static void insert_at(struct model_list *list, uint32_t at, uint32_t page)
{
	memmove(&list->pages[at + 1], &list->pages[at], (list->nr - at) * sizeof(page));
	list->pages[at] = page;
	list->nr++;
}

static void drop(struct model_list *list, uint32_t page)
{
	int at = find(list, page);

	tap_require(at >= 0);
	list->nr--;
	memmove(&list->pages[at], &list->pages[at + 1], (list->nr - (uint32_t)at) * sizeof(page));
}

static uint32_t last(const struct model *model, unsigned list)
{
	const struct model_list *own = &model->lists[list];

	tap_require(own->nr > 0);
	return own->pages[own->nr - 1];
}

static void push(struct model *model, unsigned list, uint32_t page)
{
	insert_at(&model->lists[list], 0, page);
}

static void drop_from(struct model *model, unsigned list, uint32_t page)
{
	drop(&model->lists[list], page);
}

/* To the head of another list, or of the same. */
static void move(struct model *model, unsigned from, unsigned to, uint32_t page)
{
	drop_from(model, from, page);
	push(model, to, page);
}

static bool is_full(const struct model *model)
{
	return model->nr_resident == model->capacity;
}

static void give_up(struct model *model, uint32_t page)
{
	tap_require(model->left == MODEL_NOBODY && model->is_resident[page]);
	model->is_resident[page] = false;
	model->nr_resident--;
	model->left = page;
}

static void come(struct model *model, uint32_t page)
{
	model->is_resident[page] = true;
	model->nr_resident++;
}

/* ---- lru, fifo, clock, sieve ---- */

static void ignore(struct model *model, uint32_t page)
{
	(void)model;
	(void)page;
}

static void mark(struct model *model, uint32_t page)
{
	model->refs[page] = 1;
}

static void lru_touch(struct model *model, uint32_t page)
{
	move(model, 0, 0, page);
}

static void fifo_fault(struct model *model, uint32_t page, enum qr_policy_why why)
{
	(void)why;
	if (is_full(model)) {
		uint32_t oldest = last(model, 0);

		drop_from(model, 0, oldest);
		give_up(model, oldest);
	}
	push(model, 0, page);
	come(model, page);
}

static void clock_fault(struct model *model, uint32_t page, enum qr_policy_why why)
{
	while (is_full(model) && model->refs[last(model, 0)]) {
		model->refs[last(model, 0)] = 0;
		move(model, 0, 0, last(model, 0));
	}
	fifo_fault(model, page, why);
	model->refs[page] = 0;
}

/* hands[0]: the page under the hand. */
static void sieve_fault(struct model *model, uint32_t page, enum qr_policy_why why)
{
	struct model_list *list = &model->lists[0];

	(void)why;
	if (is_full(model)) {
		int at = find(list, model->hands[0]);
		uint32_t victim;

		at = at < 0 ? (int)list->nr - 1 : at;
		while (model->refs[list->pages[at]]) {
			model->refs[list->pages[at]] = 0;
			at = at ? at - 1 : (int)list->nr - 1;
		}
		victim = list->pages[at];
		model->hands[0] = at ? list->pages[at - 1] : MODEL_NOBODY;
		drop(list, victim);
		give_up(model, victim);
	}
	push(model, 0, page);
	model->refs[page] = 0;
	come(model, page);
}

/* ---- 2q: A1in 0, Am 1, A1out 2 ---- */

static void two_touch(struct model *model, uint32_t page)
{
	if (has(model, 1, page))
		move(model, 1, 1, page);
}

static void two_fault(struct model *model, uint32_t page, enum qr_policy_why why)
{
	uint32_t nr_out = QR_MAX(model->capacity / 2, 1u);

	if (has(model, 2, page))
		drop_from(model, 2, page);
	if (is_full(model)) {
		bool is_in = model->lists[0].nr > model->capacity / 4 || !model->lists[1].nr;
		uint32_t victim = last(model, is_in ? 0 : 1);

		drop_from(model, is_in ? 0 : 1, victim);
		give_up(model, victim);
		if (is_in)
			push(model, 2, victim);
		if (model->lists[2].nr > nr_out)
			drop_from(model, 2, last(model, 2));
	}
	push(model, why == QR_POLICY_NEW ? 0 : 1, page);
	come(model, page);
}

static bool two_is_ghost(const struct model *model, uint32_t page)
{
	return has(model, 2, page);
}

/* ---- arc: T1 0, T2 1, B1 2, B2 3 ---- */

static void arc_touch(struct model *model, uint32_t page)
{
	move(model, has(model, 0, page) ? 0 : 1, 1, page);
}

static void arc_replace(struct model *model, bool is_in_b2)
{
	uint32_t nr = model->lists[0].nr;
	bool is_first = nr >= 1 && ((is_in_b2 && nr == model->target) || nr > model->target);
	unsigned from = is_first || !model->lists[1].nr ? 0 : 1;
	uint32_t victim = last(model, from);

	move(model, from, from + 2, victim);
	give_up(model, victim);
}

static void arc_new(struct model *model)
{
	uint32_t nr_1 = model->lists[0].nr + model->lists[2].nr, nr_2 = model->lists[1].nr + model->lists[3].nr;

	if (nr_1 >= model->capacity && !model->lists[2].nr) {
		uint32_t victim = last(model, 0);

		drop_from(model, 0, victim);
		give_up(model, victim);
		return;
	}
	if (nr_1 >= model->capacity)
		drop_from(model, 2, last(model, 2));
	else if (nr_1 + nr_2 >= 2 * model->capacity)
		drop_from(model, 3, last(model, 3));
	if (is_full(model))
		arc_replace(model, false);
}

static void arc_fault(struct model *model, uint32_t page, enum qr_policy_why why)
{
	double b1 = model->lists[2].nr, b2 = model->lists[3].nr;
	bool is_b1 = has(model, 2, page), is_b2 = has(model, 3, page);

	if (why == QR_POLICY_GHOST && is_b1)
		model->target = QR_MIN(model->target + (b1 >= b2 ? 1 : (uint32_t)(b2 / b1)), model->capacity);
	if (why == QR_POLICY_GHOST && is_b2) {
		uint32_t step = b2 >= b1 ? 1 : (uint32_t)(b1 / b2);

		model->target = model->target > step ? model->target - step : 0;
	}
	if (is_b1 || is_b2) {
		drop_from(model, is_b1 ? 2 : 3, page);
		if (is_full(model))
			arc_replace(model, is_b2);
	} else {
		arc_new(model);
	}
	push(model, why == QR_POLICY_NEW ? 0 : 1, page);
	come(model, page);
}

static bool arc_is_ghost(const struct model *model, uint32_t page)
{
	return has(model, 2, page) || has(model, 3, page);
}

/* ---- s3-fifo: small 0, main 1, ghosts 2 ---- */

static void s3_touch(struct model *model, uint32_t page)
{
	if (model->refs[page] < 3)
		model->refs[page]++;
}

static bool s3_evict_small(struct model *model)
{
	while (model->lists[0].nr) {
		uint32_t page = last(model, 0);

		if (model->refs[page] <= 1) {
			move(model, 0, 2, page);
			give_up(model, page);
			if (model->lists[2].nr > model->capacity - model->capacity / 10)
				drop_from(model, 2, last(model, 2));
			return true;
		}
		model->refs[page] = 0;
		move(model, 0, 1, page);
	}
	return false;
}

static void s3_evict_main(struct model *model)
{
	for (;;) {
		uint32_t page = last(model, 1);

		if (!model->refs[page]) {
			drop_from(model, 1, page);
			give_up(model, page);
			return;
		}
		model->refs[page]--;
		move(model, 1, 1, page);
	}
}

static void s3_fault(struct model *model, uint32_t page, enum qr_policy_why why)
{
	if (has(model, 2, page))
		drop_from(model, 2, page);
	if (is_full(model)) {
		bool is_small = model->lists[0].nr >= QR_MAX(model->capacity / 10, 1u) || !model->lists[1].nr;

		if (!is_small || !s3_evict_small(model))
			s3_evict_main(model);
	}
	model->refs[page] = 0;
	push(model, why == QR_POLICY_NEW ? 0 : 1, page);
	come(model, page);
}

/* ---- mglru: one list of all pages; stamp is the generation; [0] came into its generation last ---- */

static void mglru_init(struct model *model)
{
	model->clock = 1;
}

static void mglru_to_youngest(struct model *model, uint32_t page)
{
	model->refs[page] = 0;
	model->stamp[page] = model->clock;
	move(model, 0, 0, page);
}

/* The page of the oldest generation that has been in it longest. */
static uint32_t mglru_oldest(const struct model *model)
{
	const struct model_list *list = &model->lists[0];

	for (uint32_t i = list->nr; i-- > 0;) {
		if (model->stamp[list->pages[i]] == model->clock_min)
			return list->pages[i];
	}
	return MODEL_NOBODY;
}

static void mglru_age(struct model *model)
{
	uint32_t touched[MODEL_MAX_PAGES], nr = 0;

	model->clock++;
	for (uint32_t generation = model->clock_min; generation < model->clock; generation++) {
		for (uint32_t i = model->lists[0].nr; i-- > 0;) {
			uint32_t page = model->lists[0].pages[i];

			if (model->refs[page] && model->stamp[page] == generation)
				touched[nr++] = page;
		}
	}
	for (uint32_t i = 0; i < nr; i++)
		mglru_to_youngest(model, touched[i]);
}

static void mglru_fault(struct model *model, uint32_t page, enum qr_policy_why why)
{
	(void)why;
	while (is_full(model)) {
		uint32_t oldest;

		while (mglru_oldest(model) == MODEL_NOBODY && model->clock_min < model->clock)
			model->clock_min++;
		if (model->clock - model->clock_min < 2)
			mglru_age(model);
		oldest = mglru_oldest(model);
		if (oldest != MODEL_NOBODY && model->refs[oldest]) {
			mglru_to_youngest(model, oldest);
		} else if (oldest != MODEL_NOBODY) {
			drop_from(model, 0, oldest);
			give_up(model, oldest);
		}
	}
	push(model, 0, page);
	model->refs[page] = 0;
	model->stamp[page] = model->clock;
	come(model, page);
}

/* ---- split: inactive 0, active 1, ghosts 2 ---- */

static void split_touch(struct model *model, uint32_t page)
{
	if (has(model, 0, page) && model->refs[page]) {
		model->refs[page] = 0;
		model->clock++;
		move(model, 0, 1, page);
	} else {
		model->refs[page] = 1;
	}
}

static void split_fault(struct model *model, uint32_t page, enum qr_policy_why why)
{
	bool is_ghost = has(model, 2, page), is_active = why == QR_POLICY_RESCUED;

	if (is_ghost) {
		is_active |= model->clock - model->stamp[page] <= model->lists[1].nr;
		drop_from(model, 2, page);
	}
	if (is_full(model)) {
		uint32_t victim;

		while (model->lists[1].nr > model->lists[0].nr) {
			model->refs[last(model, 1)] = 0;
			move(model, 1, 0, last(model, 1));
		}
		victim = last(model, 0);
		model->stamp[victim] = model->clock++;
		move(model, 0, 2, victim);
		give_up(model, victim);
		if (model->lists[2].nr > model->capacity)
			drop_from(model, 2, last(model, 2));
	}
	model->refs[page] = 0;
	push(model, is_active ? 1 : 0, page);
	model->clock += is_active;
	come(model, page);
}

/* ---- duel: list 0: resident pages, as they changed hands last; stamp: bits of the experts that have them ---- */

static void duel_init(struct model *model)
{
	static const char *const names[] = {"lru", "clock-pro"};

	for (unsigned i = 0; i < 2; i++) {
		model->experts[i] = malloc(sizeof(*model));
		tap_require(model->experts[i] != NULL);
		model_init(model->experts[i], model_find(names[i]), model->capacity, 0);
	}
}

static void duel_set(struct model *model, uint32_t page, uint32_t bits)
{
	if (model->stamp[page] == bits && bits == 3)
		return;
	model->stamp[page] = bits;
	move(model, 0, 0, page);
}

static void duel_touch(struct model *model, uint32_t page)
{
	bool is_hit[2], was_idle;
	uint32_t victim;

	for (unsigned i = 0; i < 2; i++) {
		model_access(model->experts[i], page, &is_hit[i], &was_idle, &victim);
		if (victim != MODEL_NOBODY && model->is_resident[victim])
			duel_set(model, victim, model->stamp[victim] & ~(1u << i));
	}
	/* refs[0] and [1]: misses that the other did not have. */
	model->refs[0] += !is_hit[0] && is_hit[1];
	model->refs[1] += is_hit[0] && !is_hit[1];
	if (is_hit[0] != is_hit[1] && model->refs[0] + model->refs[1] >= QR_MAX(model->capacity, 64u)) {
		model->refs[0] /= 2;
		model->refs[1] /= 2;
	}
	if (model->is_resident[page])
		duel_set(model, page, 3);
}

static void duel_fault(struct model *model, uint32_t page, enum qr_policy_why why)
{
	const struct model_list *list = &model->lists[0];

	(void)why;
	duel_touch(model, page);
	if (is_full(model)) {
		uint32_t bit = 5 * model->refs[1] / 4 < model->refs[0] ? 2 : 1, victim = MODEL_NOBODY;

		for (uint32_t i = list->nr; i-- > 0 && victim == MODEL_NOBODY;)
			victim = model->stamp[list->pages[i]] ? MODEL_NOBODY : list->pages[i];
		for (uint32_t i = list->nr; i-- > 0 && victim == MODEL_NOBODY;)
			victim = model->stamp[list->pages[i]] & bit ? MODEL_NOBODY : list->pages[i];
		drop_from(model, 0, victim);
		give_up(model, victim);
	}
	model->stamp[page] = 3;
	push(model, 0, page);
	come(model, page);
}

/* ---- The ground ---- */

static const struct model_ops models[] = {
	{"lru", NULL, lru_touch, fifo_fault, NULL},
	{"fifo", NULL, ignore, fifo_fault, NULL},
	{"clock", NULL, mark, clock_fault, NULL},
	{"sieve", NULL, mark, sieve_fault, NULL},
	{"2q", NULL, two_touch, two_fault, two_is_ghost},
	{"arc", NULL, arc_touch, arc_fault, arc_is_ghost},
	{"s3-fifo", NULL, s3_touch, s3_fault, two_is_ghost},
	{"mglru", mglru_init, mark, mglru_fault, NULL},
	{"duel", duel_init, duel_touch, duel_fault, NULL},
	{"split", NULL, split_touch, split_fault, two_is_ghost},
};

const struct model_ops *model_find(const char *name)
{
	for (size_t i = 0; i < QR_ARRAY_SIZE(models); i++) {
		if (!strcmp(models[i].name, name))
			return &models[i];
	}
	if (!strcmp(model_balanced.name, name))
		return &model_balanced;
	return !strcmp(model_clockpro.name, name) ? &model_clockpro : NULL;
}

void model_init(struct model *model, const struct model_ops *ops, uint32_t capacity, uint32_t pool_share)
{
	memset(model, 0, sizeof(*model));
	model->ops = ops;
	model->is_sampled = pool_share;
	if (pool_share && capacity > 1)
		model->pool_capacity = QR_MIN(QR_MAX(capacity / pool_share, 1u), capacity - 1);
	model->capacity = capacity - model->pool_capacity;
	model->left = MODEL_NOBODY;
	model->hands[0] = MODEL_NOBODY;
	if (ops->init)
		ops->init(model);
}

void model_free(struct model *model)
{
	free(model->experts[0]);
	free(model->experts[1]);
	free(model);
}

void model_access(struct model *model, uint32_t page, bool *is_hit, bool *was_idle, uint32_t *victim)
{
	enum qr_policy_why why = QR_POLICY_NEW;

	*victim = MODEL_NOBODY;
	*was_idle = find(&model->pool, page) >= 0;
	*is_hit = model->is_resident[page] || *was_idle;
	if (model->is_resident[page]) {
		if (!model->is_sampled)
			model->ops->touch(model, page);
		return;
	}
	if (model->ops->is_ghost && model->ops->is_ghost(model, page))
		why = QR_POLICY_GHOST;
	if (*was_idle) {
		drop(&model->pool, page);
		why = QR_POLICY_RESCUED;
	}
	model->ops->fault(model, page, why);
	if (model->left == MODEL_NOBODY)
		return;
	insert_at(&model->pool, 0, model->left);
	model->left = MODEL_NOBODY;
	if (model->pool.nr <= model->pool_capacity)
		return;
	*victim = model->pool.pages[model->pool.nr - 1];
	drop(&model->pool, *victim);
}
