/* Lists of frames against an array that holds the same PFNs in the same order. */
#include <stdlib.h>
#include <string.h>

#include "alloc/alloc.h"
#include "tap.h"

#define NR_FRAMES 200u
#define PFN_BASE (3u << QR_MAX_ORDER)
#define NR_STEPS 20000u

struct list_model {
	uint32_t nr;
	uint32_t pfns[NR_FRAMES];
	bool is_on[NR_FRAMES];
};

static struct qr_frame memmap[NR_FRAMES];
static struct qr_zone zone;

static void zone_set_up(void)
{
	memset(memmap, 0, sizeof(memmap));
	qr_zone_init(&zone, &(struct qr_zone_config){.memmap = memmap, .pfn_base = PFN_BASE, .nr_span = NR_FRAMES});
	zone.nr_onlined_span = NR_FRAMES;
}

static void model_add(struct list_model *model, uint32_t at, uint32_t pfn)
{
	memmove(&model->pfns[at + 1], &model->pfns[at], (model->nr - at) * sizeof(*model->pfns));
	model->pfns[at] = pfn;
	model->nr++;
	model->is_on[pfn - PFN_BASE] = true;
}

static void model_remove(struct list_model *model, uint32_t at)
{
	model->is_on[model->pfns[at] - PFN_BASE] = false;
	model->nr--;
	memmove(&model->pfns[at], &model->pfns[at + 1], (model->nr - at) * sizeof(*model->pfns));
}

static void check_same(const struct qr_frame_list *list, const struct list_model *model)
{
	uint32_t pfn = list->head;

	tap_check(qr_frame_list_is_valid(&zone, list));
	tap_check_equal(list->nr, model->nr);
	for (uint32_t i = 0; i < model->nr && pfn != QR_PFN_NONE; i++) {
		tap_check_equal(pfn, model->pfns[i]);
		pfn = qr_zone_frame(&zone, pfn)->next;
	}
	tap_check_equal(pfn, QR_PFN_NONE);
	if (!model->nr) {
		tap_check(!qr_frame_list_head(&zone, list) && !qr_frame_list_tail(&zone, list));
		return;
	}
	tap_check_equal(qr_zone_pfn(&zone, qr_frame_list_head(&zone, list)), model->pfns[0]);
	tap_check_equal(qr_zone_pfn(&zone, qr_frame_list_tail(&zone, list)), model->pfns[model->nr - 1]);
}

/* A second list of up to three frames that are on none goes in front. */
static void splice_some(struct qr_frame_list *list, struct list_model *model, uint64_t *random)
{
	struct qr_frame_list chain;

	qr_frame_list_init(&chain);
	for (uint32_t i = tap_random_below(random, 4); i > 0; i--) {
		uint32_t pfn = PFN_BASE + tap_random_below(random, NR_FRAMES);

		if (model->is_on[pfn - PFN_BASE])
			continue;
		model_add(model, 0, pfn);
		qr_frame_list_add_head(&zone, &chain, qr_zone_frame(&zone, pfn));
	}
	qr_frame_list_splice_head(&zone, list, &chain);
	tap_check(!chain.nr && qr_frame_list_is_valid(&zone, &chain));
}

static void test_list_random(void)
{
	static struct list_model model;
	struct qr_frame_list list;
	uint64_t random = tap_seed();

	zone_set_up();
	memset(&model, 0, sizeof(model));
	qr_frame_list_init(&list);
	for (uint32_t step = 0; step < NR_STEPS && !tap_has_failed(); step++) {
		uint32_t pfn = PFN_BASE + tap_random_below(&random, NR_FRAMES);
		uint32_t at = 0;

		if (!tap_random_below(&random, 8)) {
			splice_some(&list, &model, &random);
		} else if (model.is_on[pfn - PFN_BASE]) {
			while (model.pfns[at] != pfn)
				at++;
			model_remove(&model, at);
			qr_frame_list_remove(&zone, &list, qr_zone_frame(&zone, pfn));
		} else if (tap_random_below(&random, 2)) {
			model_add(&model, 0, pfn);
			qr_frame_list_add_head(&zone, &list, qr_zone_frame(&zone, pfn));
		} else {
			model_add(&model, model.nr, pfn);
			qr_frame_list_add_tail(&zone, &list, qr_zone_frame(&zone, pfn));
		}
		if (step % 16 == 0)
			check_same(&list, &model);
	}
}

static void test_list_damaged(void)
{
	struct qr_frame_list list;

	zone_set_up();
	qr_frame_list_init(&list);
	for (uint32_t i = 0; i < 5; i++)
		qr_frame_list_add_tail(&zone, &list, &memmap[i]);
	tap_check(qr_frame_list_is_valid(&zone, &list));
	memmap[2].prev = PFN_BASE + 4;
	tap_check(!qr_frame_list_is_valid(&zone, &list));
	memmap[2].prev = PFN_BASE + 1;
	list.nr = 4;
	tap_check(!qr_frame_list_is_valid(&zone, &list));
	list.nr = 5;
	memmap[4].next = PFN_BASE;
	tap_check(!qr_frame_list_is_valid(&zone, &list));
	memmap[4].next = QR_PFN_NONE;
	memmap[1].next = PFN_BASE + NR_FRAMES;
	tap_check(!qr_frame_list_is_valid(&zone, &list));
}

static void test_frame_flags(void)
{
	struct qr_frame frame = {0};

	tap_check_equal(sizeof(frame), 32);
	qr_frame_set_kind(&frame, QR_FRAME_FOLIO, 9);
	qr_folio_set(&frame, QR_FOLIO_DIRTY);
	tap_check_equal(qr_frame_kind(&frame), QR_FRAME_FOLIO);
	tap_check_equal(qr_frame_order(&frame), 9);
	tap_check_equal(qr_folio_nr_pages(&frame), 512);
	tap_check(qr_folio_test(&frame, QR_FOLIO_DIRTY));
	qr_frame_set_kind(&frame, QR_FRAME_PT, 0);
	tap_check(!qr_folio_test(&frame, QR_FOLIO_DIRTY));
}

static const struct tap_test tests[] = {
	{"frame_list_random_operations_match_model", test_list_random},
	{"frame_list_damaged_is_invalid", test_list_damaged},
	{"frame_flags_keep_kind_and_order", test_frame_flags},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
