/*
 * LRU lists of memory groups against plain arrays: random additions on several CPUs, removals, isolation from one group
 * or from all. The test supplies qr_folio_put(), as in test_lru.c.
 *
 * Links: core/lru, core/page, core/sync, the harness.
 */
#include <stdlib.h>
#include <string.h>

#include "alloc/alloc.h"
#include "lru/lru.h"
#include "port_test.h"
#include "reclaim/reclaim.h"
#include "tap.h"

#define NR_FOLIOS 160u
#define NR_GROUPS 5u /* counting the memory in none */
#define CPUS_PER_VEC 2u
#define NR_VECS ((PORT_TEST_CPUS + CPUS_PER_VEC - 1) / CPUS_PER_VEC)
#define NR_STEPS 30000u

enum place { PLACE_FREE, PLACE_BATCH, PLACE_LIST };

static struct qr_zone zone;
static struct qr_lru lru;
static struct qr_lruvec vecs[NR_GROUPS][NR_VECS];
static struct qr_lruvec **sets;
static struct qr_lru_batch batches[PORT_TEST_CPUS];

/* Order on a list: larger is younger. */
static struct {
	enum place place[NR_FOLIOS];
	uint32_t group[NR_FOLIOS], vec[NR_FOLIOS];
	uint64_t age[NR_FOLIOS];
	uint64_t clock, seed;
	uint32_t batched[PORT_TEST_CPUS][QR_LRU_BATCH], nr_batched[PORT_TEST_CPUS];
	unsigned cpu;
} model;

void qr_folio_put(struct qr_vmm *vmm, struct qr_frame *folio, uint32_t nr)
{
	(void)vmm;
	tap_check(qr_fetch_sub(&folio->refs, nr) > nr);
}

static uint32_t below(uint32_t bound)
{
	return tap_random_below(&model.seed, bound);
}

static void setup(void)
{
	memset(&model, 0, sizeof(model));
	memset(&zone, 0, sizeof(zone));
	memset(batches, 0, sizeof(batches));
	model.seed = tap_seed();
	zone.nr_span = NR_FOLIOS;
	zone.nr_onlined_span = zone.nr_map = NR_FOLIOS;
	zone.memmap = calloc(NR_FOLIOS, sizeof(*zone.memmap));
	tap_require(zone.memmap);
	qr_lru_init(&lru, &zone, vecs[0], CPUS_PER_VEC, batches, PORT_TEST_CPUS);
	tap_check_equal(lru.nr_vecs, NR_VECS);
	sets = calloc(qr_lru_max_groups(&lru), sizeof(struct qr_lruvec *));
	tap_require(sets);
	qr_lru_init_groups(&lru, sets);
	for (uint32_t i = 1; i < NR_GROUPS; i++)
		qr_lru_add_group(&lru, vecs[i]);
}

static void flush_model(unsigned cpu)
{
	for (uint32_t i = 0; i < model.nr_batched[cpu]; i++) {
		uint32_t folio = model.batched[cpu][i];

		model.place[folio] = PLACE_LIST;
		model.vec[folio] = cpu / CPUS_PER_VEC;
		model.age[folio] = ++model.clock;
	}
	model.nr_batched[cpu] = 0;
}

static void add(uint32_t at)
{
	struct qr_frame *folio = &zone.memmap[at];

	if (model.place[at] != PLACE_FREE)
		return;
	qr_frame_set_kind(folio, QR_FRAME_FOLIO, 0);
	qr_store_relaxed(&folio->refs, 1);
	model.group[at] = below(NR_GROUPS);
	qr_lru_set_group(&lru, folio, model.group[at]);
	qr_lru_add(&lru, folio);
	model.place[at] = PLACE_BATCH;
	model.batched[model.cpu][model.nr_batched[model.cpu]++] = at;
	if (model.nr_batched[model.cpu] == QR_LRU_BATCH)
		flush_model(model.cpu);
}

static void take(uint32_t at)
{
	tap_check_equal(qr_lru_remove(&lru, &zone.memmap[at]), model.place[at] == PLACE_LIST);
	if (model.place[at] == PLACE_LIST)
		model.place[at] = PLACE_FREE;
}

static uint32_t nr_on(uint32_t group, uint32_t vec)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < NR_FOLIOS; i++)
		nr += model.place[i] == PLACE_LIST && model.group[i] == group && model.vec[i] == vec;
	return nr;
}

/* The longest list of the groups [first, end), the first of equals. */
static void longest(uint32_t first, uint32_t end, uint32_t *group, uint32_t *vec)
{
	uint32_t most = 0;

	*group = first;
	*vec = 0;
	for (uint32_t g = first; g < end; g++) {
		for (uint32_t v = 0; v < NR_VECS; v++) {
			if (nr_on(g, v) <= most)
				continue;
			most = nr_on(g, v);
			*group = g;
			*vec = v;
		}
	}
}

static uint32_t oldest(uint32_t group, uint32_t vec)
{
	uint32_t found = NR_FOLIOS;

	for (uint32_t i = 0; i < NR_FOLIOS; i++) {
		if (model.place[i] == PLACE_LIST && model.group[i] == group && model.vec[i] == vec &&
		    (found == NR_FOLIOS || model.age[i] < model.age[found]))
			found = i;
	}
	return found;
}

static void isolate(void)
{
	uint32_t wanted = below(NR_GROUPS + 1), nr = 1 + below(12);
	bool is_all = wanted == NR_GROUPS;
	struct qr_lru_target target = {.group = is_all ? QR_LRU_ALL_GROUPS : wanted};
	struct qr_frame *folios[12];
	uint32_t group, vec, nr_isolated;

	longest(is_all ? 0 : wanted, is_all ? NR_GROUPS : wanted + 1, &group, &vec);
	nr_isolated = qr_lru_isolate_from(&lru, is_all && below(2) ? NULL : &target, QR_LRU_ACTIVE, nr, folios);
	tap_check_equal(nr_isolated, QR_MIN(nr, nr_on(group, vec)));
	for (uint32_t i = 0; i < nr_isolated; i++) {
		uint32_t at = oldest(group, vec);

		tap_require(at < NR_FOLIOS);
		tap_check(folios[i] == &zone.memmap[at]);
		model.place[at] = PLACE_FREE;
		/* Some go back, young, to the group that they came from. */
		if (below(3)) {
			qr_folio_put(NULL, folios[i], 1);
			continue;
		}
		qr_lru_put_back(&lru, folios[i], QR_LRU_ACTIVE, false);
		qr_folio_put(NULL, folios[i], 1);
	}
	for (uint32_t i = 0; i < nr_isolated; i++) {
		if (!qr_folio_test(folios[i], QR_FOLIO_LRU))
			continue;
		model.place[folios[i] - zone.memmap] = PLACE_LIST;
		model.age[folios[i] - zone.memmap] = ++model.clock;
	}
}

static void check_counts(void)
{
	uint64_t total = 0;

	for (uint32_t group = 0; group < NR_GROUPS; group++) {
		struct qr_lru_target target = {.group = group};
		uint32_t nr = 0;

		for (uint32_t vec = 0; vec < NR_VECS; vec++)
			nr += nr_on(group, vec);
		tap_check_equal(qr_lru_nr_pages_of(&lru, &target, QR_LRU_ACTIVE), nr);
		total += nr;
	}
	tap_check_equal(qr_lru_nr_pages(&lru, QR_LRU_ACTIVE), total);
	tap_check(qr_lru_is_valid(&lru));
}

static void test_model(void)
{
	setup();
	for (uint32_t i = 0; i < NR_STEPS && !tap_has_failed(); i++) {
		model.cpu = below(PORT_TEST_CPUS);
		port_test_set_cpu(model.cpu);
		switch (below(8)) {
		case 0:
			take(below(NR_FOLIOS));
			break;
		case 1:
			isolate();
			break;
		case 2:
			if (below(20))
				break;
			qr_lru_drain(&lru);
			for (unsigned cpu = 0; cpu < PORT_TEST_CPUS; cpu++)
				flush_model(cpu);
			break;
		default:
			add(below(NR_FOLIOS));
			break;
		}
		if (i % 16 == 0)
			check_counts();
	}
	port_test_set_cpu(0);
	free(sets);
	free(zone.memmap);
}

static void test_numbers(void)
{
	struct qr_frame folio = {0};

	setup();
	/* Eleven bits: one names the lruvec, ten the group. */
	tap_check_equal(qr_lru_max_groups(&lru), 1024);
	qr_frame_set_kind(&folio, QR_FRAME_FOLIO, 9);
	qr_lru_set_group(&lru, &folio, 1023);
	tap_check_equal(qr_frame_order(&folio), 9);
	tap_check_equal(folio.flags & QR_FOLIO_LRUVEC_MASK, 1023u << (QR_FOLIO_LRUVEC_SHIFT + 1));
	/* Without lists of their own groups leave no mark. */
	lru.sets = NULL;
	qr_frame_set_kind(&folio, QR_FRAME_FOLIO, 0);
	qr_lru_set_group(&lru, &folio, 5);
	tap_check_equal(folio.flags & QR_FOLIO_LRUVEC_MASK, 0);
	free(sets);
	free(zone.memmap);
}

static const struct tap_test tests[] = {
	{"lru_group_random_operations_match_model", test_model},
	{"lru_group_numbers_fit_in_flags", test_numbers},
};

int main(int argc, char **argv)
{
	return tap_run(tests, QR_ARRAY_SIZE(tests), argc, argv);
}
