/*
 * LRU lists against plain arrays, with and without threads. The test supplies qr_folio_put(), so that it sees which
 * folios are freed and when.
 *
 * Links: core/lru/lru.c, core/page, core/sync, the harness.
 */
#include <stdlib.h>
#include <string.h>

#include "alloc/alloc.h"
#include "lru/lru.h"
#include "port_test.h"
#include "reclaim/reclaim.h"
#include "tap.h"

#define NR_FOLIOS 96u
#define MAX_ORDER 2u
#define NR_STEPS 20000u
#define NR_THREADS 4u
#define THREAD_FOLIOS 24u
#define THREAD_STEPS 8000u
#define NR_ADDS (200u * QR_LRU_BATCH)

static struct qr_zone zone;
static struct qr_lru lru;
static struct qr_lruvec lruvecs[PORT_TEST_CPUS];
static struct qr_lru_batch batches[PORT_TEST_CPUS];

/* Frees as the manager does, but only marks the frame. */
void qr_folio_put(struct qr_vmm *vmm, struct qr_frame *folio, uint32_t nr)
{
	uint32_t before = qr_fetch_sub(&folio->refs, nr);

	(void)vmm;
	tap_check(before >= nr);
	if (before != nr)
		return;
	if (qr_folio_test(folio, QR_FOLIO_LRU))
		tap_check(qr_lru_remove(&lru, folio));
	tap_check(!qr_folio_test(folio, QR_FOLIO_LRU | QR_FOLIO_ACTIVE | QR_FOLIO_LRU_UNEVICTABLE));
	/* Release: pairs with the acquire of is_free(). */
	qr_store_release(&folio->flags, (uint32_t)QR_FRAME_FREE);
}

static bool is_free(const struct qr_frame *folio)
{
	return (qr_load_acquire(&folio->flags) & QR_FRAME_KIND_MASK) == QR_FRAME_FREE;
}

static void setup_with(uint32_t nr_folios, uint32_t nr_batches, uint32_t nr_cpus_per_vec)
{
	memset(&zone, 0, sizeof(zone));
	zone.nr_span = nr_folios << MAX_ORDER;
	zone.nr_onlined_span = zone.nr_map = zone.nr_span;
	zone.pfn_base = 1u << QR_MAX_ORDER;
	zone.memmap = calloc(zone.nr_span, sizeof(*zone.memmap));
	tap_require(zone.memmap);
	for (uint32_t i = 0; i < zone.nr_span; i++)
		qr_frame_set_kind(&zone.memmap[i], QR_FRAME_FREE, 0);
	memset(batches, 0, sizeof(batches));
	qr_lru_init(&lru, &zone, lruvecs, nr_cpus_per_vec, batches, nr_batches);
}

static void setup(uint32_t nr_folios)
{
	setup_with(nr_folios, PORT_TEST_CPUS, 0);
}

static void teardown(void)
{
	free(zone.memmap);
}

static struct qr_frame *folio_at(uint32_t i)
{
	return &zone.memmap[i << MAX_ORDER];
}

static void folio_make(struct qr_frame *folio, unsigned order)
{
	qr_store_relaxed(&folio->refs, 1);
	qr_frame_set_kind(folio, QR_FRAME_FOLIO, order);
}

/* ---- The model: arrays of folio numbers, the head first ---- */

struct sequence {
	uint32_t nr;
	uint32_t items[NR_FOLIOS];
};

enum place { PLACE_FREE, PLACE_BATCH, PLACE_LIST, PLACE_ISOLATED };

static struct {
	uint32_t nr_vecs, nr_cpus_per_vec;
	struct sequence lists[PORT_TEST_CPUS][QR_NR_LRU_LISTS]; /* [lruvec][list] */
	unsigned vec[NR_FOLIOS];
	struct sequence batches[PORT_TEST_CPUS]; /* the oldest first */
	enum place place[NR_FOLIOS];
	unsigned list[NR_FOLIOS];
	uint32_t user_refs[NR_FOLIOS]; /* without pins */
	bool is_unevictable[NR_FOLIOS];
	unsigned cpu;
	uint64_t random;
} model;

static void sequence_insert(struct sequence *sequence, uint32_t at, uint32_t item)
{
	memmove(&sequence->items[at + 1], &sequence->items[at], (sequence->nr - at) * sizeof(item));
	sequence->items[at] = item;
	sequence->nr++;
}

static void sequence_remove(struct sequence *sequence, uint32_t item)
{
	uint32_t at = 0;

	while (sequence->items[at] != item)
		at++;
	sequence->nr--;
	memmove(&sequence->items[at], &sequence->items[at + 1], (sequence->nr - at) * sizeof(item));
}

static void model_list_add(uint32_t i, unsigned list, bool is_tail)
{
	sequence_insert(&model.lists[model.vec[i]][list], is_tail ? model.lists[model.vec[i]][list].nr : 0, i);
	model.place[i] = PLACE_LIST;
	model.list[i] = list;
}

static void model_free(uint32_t i)
{
	if (model.place[i] == PLACE_LIST)
		sequence_remove(&model.lists[model.vec[i]][model.list[i]], i);
	model.place[i] = PLACE_FREE;
}

static void model_flush(unsigned cpu)
{
	struct sequence *batch = &model.batches[cpu];

	for (uint32_t k = 0; k < batch->nr; k++) {
		uint32_t i = batch->items[k];

		model.vec[i] = QR_MIN(cpu / model.nr_cpus_per_vec, model.nr_vecs - 1);
		model_list_add(i, model.is_unevictable[i] ? QR_LRU_UNEVICTABLE : QR_LRU_ACTIVE, false);
	}
	for (uint32_t k = 0; k < batch->nr; k++) {
		if (!model.user_refs[batch->items[k]])
			model_free(batch->items[k]);
	}
	batch->nr = 0;
}

/* ---- One random operation on both ---- */

static void step_add(uint32_t i)
{
	if (model.place[i] != PLACE_FREE)
		return;
	folio_make(folio_at(i), tap_random_below(&model.random, MAX_ORDER + 1));
	model.is_unevictable[i] = !tap_random_below(&model.random, 5);
	if (model.is_unevictable[i])
		qr_folio_set(folio_at(i), QR_FOLIO_UNEVICTABLE);
	qr_lru_add(&lru, folio_at(i));
	model.user_refs[i] = 1;
	model.place[i] = PLACE_BATCH;
	sequence_insert(&model.batches[model.cpu], model.batches[model.cpu].nr, i);
	if (model.batches[model.cpu].nr == QR_LRU_BATCH || !lru.nr_batches)
		model_flush(model.cpu);
}

static void step_drop(uint32_t i)
{
	if (model.place[i] == PLACE_FREE || !model.user_refs[i])
		return;
	qr_folio_put(NULL, folio_at(i), 1);
	model.user_refs[i] = 0;
	if (model.place[i] == PLACE_LIST)
		model_free(i);
}

/* Drops several at once. */
static void step_drop_many(void)
{
	struct qr_frame *folios[2 * QR_LRU_BATCH];
	uint32_t nr = 0;

	for (uint32_t k = 0; k < QR_ARRAY_SIZE(folios); k++) {
		uint32_t i = tap_random_below(&model.random, NR_FOLIOS);

		if (model.place[i] != PLACE_LIST || !model.user_refs[i])
			continue;
		model.user_refs[i] = 0;
		model_free(i);
		folios[nr++] = folio_at(i);
		qr_store_relaxed(&folio_at(i)->refs, 0);
	}
	qr_lru_remove_dying(&lru, folios, nr);
	for (uint32_t k = 0; k < nr; k++) {
		tap_check(!qr_folio_test(folios[k], QR_FOLIO_LRU | QR_FOLIO_ACTIVE | QR_FOLIO_LRU_UNEVICTABLE));
		qr_store_release(&folios[k]->flags, (uint32_t)QR_FRAME_FREE);
	}
}

static void step_rescue(uint32_t i)
{
	if (model.place[i] == PLACE_FREE)
		return;
	qr_folio_clear(folio_at(i), QR_FOLIO_UNEVICTABLE);
	model.is_unevictable[i] = false;
	qr_lru_rescue(&lru, folio_at(i));
	if (model.place[i] != PLACE_LIST || model.list[i] != QR_LRU_UNEVICTABLE)
		return;
	sequence_remove(&model.lists[model.vec[i]][QR_LRU_UNEVICTABLE], i);
	model_list_add(i, QR_LRU_ACTIVE, false);
}

/* Flags change while the folio is wherever it is; its list must not. */
static void step_toggle_unevictable(uint32_t i)
{
	if (model.place[i] == PLACE_FREE)
		return;
	model.is_unevictable[i] = !model.is_unevictable[i];
	if (model.is_unevictable[i])
		qr_folio_set(folio_at(i), QR_FOLIO_UNEVICTABLE);
	else
		qr_folio_clear(folio_at(i), QR_FOLIO_UNEVICTABLE);
}

static void step_remove(uint32_t i)
{
	bool is_on_list = model.place[i] == PLACE_LIST;

	tap_check_equal(qr_lru_remove(&lru, folio_at(i)), is_on_list);
	if (!is_on_list)
		return;
	qr_folio_get(folio_at(i), 1); /* isolated folios have a pin in this model */
	sequence_remove(&model.lists[model.vec[i]][model.list[i]], i);
	model.place[i] = PLACE_ISOLATED;
}

static void step_put_back(uint32_t i)
{
	unsigned list = tap_random_below(&model.random, QR_NR_LRU_LISTS);
	bool is_tail = tap_random_below(&model.random, 2);

	if (model.place[i] != PLACE_ISOLATED)
		return;
	qr_lru_put_back(&lru, folio_at(i), (enum qr_lru_list)list, is_tail);
	if (list == QR_LRU_UNEVICTABLE) {
		is_tail = false;
		list = model.is_unevictable[i] ? QR_LRU_UNEVICTABLE : QR_LRU_ACTIVE;
	}
	model_list_add(i, list, is_tail);
	qr_folio_put(NULL, folio_at(i), 1);
	if (!model.user_refs[i])
		model_free(i);
}

/* The lruvec with the most pages on the list, the first of them. */
static unsigned model_longest(unsigned list)
{
	uint32_t nr_most = 0;
	unsigned found = 0;

	for (unsigned vec = 0; vec < model.nr_vecs; vec++) {
		const struct sequence *sequence = &model.lists[vec][list];
		uint32_t nr = 0;

		for (uint32_t k = 0; k < sequence->nr; k++)
			nr += qr_folio_nr_pages(folio_at(sequence->items[k]));
		if (nr > nr_most) {
			nr_most = nr;
			found = vec;
		}
	}
	return found;
}

static void step_isolate(void)
{
	unsigned list = tap_random_below(&model.random, QR_NR_LRU_LISTS);
	uint32_t nr = tap_random_below(&model.random, 6);
	struct sequence *sequence = &model.lists[model_longest(list)][list];
	struct qr_frame *folios[6];
	uint32_t expected = QR_MIN(nr, sequence->nr);

	tap_check_equal(qr_lru_isolate(&lru, (enum qr_lru_list)list, nr, folios), expected);
	for (uint32_t k = 0; k < expected && !tap_has_failed(); k++) {
		uint32_t i = sequence->items[sequence->nr - 1];

		tap_check(folios[k] == folio_at(i));
		tap_check_equal(folios[k]->refs, model.user_refs[i] + 1);
		sequence_remove(sequence, i);
		model.place[i] = PLACE_ISOLATED;
	}
}

static void compare_list(unsigned vec, unsigned list)
{
	const struct sequence *sequence = &model.lists[vec][list];
	uint32_t next = lruvecs[vec].lists[list].head;

	tap_check_equal(lruvecs[vec].lists[list].nr, sequence->nr);
	for (uint32_t k = 0; k < sequence->nr && !tap_has_failed(); k++) {
		tap_require(next != QR_PFN_NONE);
		tap_check(qr_zone_frame(&zone, next) == folio_at(sequence->items[k]));
		next = qr_zone_frame(&zone, next)->next;
	}
	tap_check_equal(next, QR_PFN_NONE);
}

static void compare(void)
{
	tap_check(qr_lru_is_valid(&lru));
	for (unsigned vec = 0; vec < model.nr_vecs; vec++) {
		for (unsigned list = 0; list < QR_NR_LRU_LISTS && !tap_has_failed(); list++)
			compare_list(vec, list);
	}
	for (uint32_t i = 0; i < NR_FOLIOS; i++)
		tap_check_equal(is_free(folio_at(i)), model.place[i] == PLACE_FREE);
}

static void run_model(uint32_t nr_batches, uint32_t nr_cpus_per_vec)
{
	memset(&model, 0, sizeof(model));
	model.random = tap_seed();
	model.nr_cpus_per_vec = nr_cpus_per_vec ? nr_cpus_per_vec : PORT_TEST_CPUS;
	model.nr_vecs = (PORT_TEST_CPUS - 1) / model.nr_cpus_per_vec + 1;
	setup_with(NR_FOLIOS, nr_batches, nr_cpus_per_vec);
	tap_check_equal(lru.nr_vecs, model.nr_vecs);
	for (uint32_t step = 0; step < NR_STEPS && !tap_has_failed(); step++) {
		uint32_t i = tap_random_below(&model.random, NR_FOLIOS);

		model.cpu = tap_random_below(&model.random, PORT_TEST_CPUS);
		port_test_set_cpu(model.cpu);
		switch (tap_random_below(&model.random, 18)) {
		case 0:
			qr_lru_drain(&lru);
			for (unsigned cpu = 0; cpu < PORT_TEST_CPUS; cpu++)
				model_flush(cpu);
			break;
		case 1 ... 6:
			step_add(i);
			break;
		case 7 ... 8:
			step_drop(i);
			break;
		case 9 ... 10:
			step_remove(i);
			break;
		case 11 ... 13:
			step_put_back(i);
			break;
		case 14:
			step_toggle_unevictable(i);
			break;
		case 15:
			step_rescue(i);
			break;
		case 16:
			step_drop_many();
			break;
		default:
			step_isolate();
		}
		compare();
	}
	teardown();
}

static void test_model(void)
{
	run_model(PORT_TEST_CPUS, 0);
	run_model(0, 0);
}

static void test_model_several(void)
{
	run_model(PORT_TEST_CPUS, 1);
	run_model(0, (PORT_TEST_CPUS + 1) / 2);
}

/* ---- Single properties ---- */

static void test_isolate_skips_dying(void)
{
	struct qr_frame *folios[4];

	setup(4);
	for (uint32_t i = 0; i < 4; i++) {
		folio_make(folio_at(i), 0);
		qr_lru_add(&lru, folio_at(i));
	}
	qr_lru_drain(&lru);
	/* The oldest and the third are being freed by somebody who has not come to take them off yet. */
	qr_store_relaxed(&folio_at(0)->refs, 0);
	qr_store_relaxed(&folio_at(2)->refs, 0);
	tap_check_equal(qr_lru_isolate(&lru, QR_LRU_ACTIVE, 4, folios), 2);
	tap_check(folios[0] == folio_at(1) && folios[1] == folio_at(3));
	tap_check(qr_lru_remove(&lru, folio_at(0)) && qr_lru_remove(&lru, folio_at(2)));
	tap_check(qr_lru_is_valid(&lru));
	tap_check_equal(qr_lru_nr_pages(&lru, QR_LRU_ACTIVE), 0);
	teardown();
}

static void test_put_back_twice_panics(void)
{
	setup(1);
	folio_make(folio_at(0), 0);
	qr_lru_put_back(&lru, folio_at(0), QR_LRU_INACTIVE, false);
	tap_check(PORT_TEST_PANICS(qr_lru_put_back(&lru, folio_at(0), QR_LRU_ACTIVE, false)));
	teardown();
}

static void test_is_valid_sees_damage(void)
{
	setup(2);
	folio_make(folio_at(0), 1);
	qr_lru_put_back(&lru, folio_at(0), QR_LRU_INACTIVE, false);
	tap_check(qr_lru_is_valid(&lru));
	qr_folio_set(folio_at(0), QR_FOLIO_ACTIVE);
	tap_check(!qr_lru_is_valid(&lru));
	qr_folio_clear(folio_at(0), QR_FOLIO_ACTIVE);
	lruvecs[0].nr_pages[QR_LRU_INACTIVE]++;
	tap_check(!qr_lru_is_valid(&lru));
	teardown();
}

/* ---- Threads ---- */

static struct qr_port *port;

static void run_threads(void (*entry)(void *))
{
	int handles[NR_THREADS];

	port = port_test_create(1);
	for (uintptr_t i = 0; i < NR_THREADS; i++) {
		handles[i] = qr_port_thread_start(port, "lru", 0, entry, (void *)i);
		tap_check(handles[i] >= 0);
	}
	for (uint32_t i = 0; i < NR_THREADS; i++)
		qr_port_thread_join(port, handles[i]);
	port_test_destroy(port);
}

static void add_many(void *argument)
{
	uint32_t first = (uint32_t)(uintptr_t)argument * NR_ADDS;

	for (uint32_t i = 0; i < NR_ADDS; i++) {
		folio_make(folio_at(first + i), 0);
		qr_lru_add(&lru, folio_at(first + i));
	}
}

/* L2: one take of the lruvec's lock per batch, where one list without batches takes it for each addition. */
static void test_batches_save_lock_takes(void)
{
	const uint64_t nr_adds = (uint64_t)NR_THREADS * NR_ADDS;
	uint64_t limit = nr_adds / QR_LRU_BATCH + PORT_TEST_CPUS;

	setup((uint32_t)nr_adds);
	run_threads(add_many);
	qr_lru_drain(&lru);
	tap_check(qr_lru_nr_lock_takes(&lru) <= limit);
	tap_check_equal(qr_lru_nr_pages(&lru, QR_LRU_ACTIVE), nr_adds);
	tap_check(qr_lru_is_valid(&lru));
	teardown();
}

/* Folios that are dropped together cost one take for a batch of them, or one each without batches. */
static void test_dying_together(void)
{
	for (uint32_t nr_batches = 0; nr_batches <= PORT_TEST_CPUS; nr_batches += PORT_TEST_CPUS) {
		struct qr_frame *folios[3 * QR_LRU_BATCH];
		uint32_t nr = QR_ARRAY_SIZE(folios);
		uint64_t nr_takes;

		setup_with(nr, nr_batches, 0);
		for (uint32_t i = 0; i < nr; i++) {
			folios[i] = folio_at(i);
			folio_make(folios[i], 0);
			qr_lru_add(&lru, folios[i]);
		}
		qr_lru_drain(&lru);
		tap_check_equal(qr_lru_nr_lock_takes(&lru), nr_batches ? 3 : nr);
		nr_takes = qr_lru_nr_lock_takes(&lru);
		qr_lru_remove_dying(&lru, folios, nr);
		nr_takes += nr_batches ? (nr - 1) / QR_LRU_REMOVAL_BATCH + 1 : nr;
		tap_check_equal(qr_lru_nr_lock_takes(&lru), nr_takes);
		tap_check_equal(qr_lru_nr_pages(&lru, QR_LRU_ACTIVE), 0);
		tap_check(qr_lru_is_valid(&lru));
		/* Not on a list any more: nothing to take the lock for. */
		qr_lru_remove_dying(&lru, folios, nr);
		tap_check_equal(qr_lru_nr_lock_takes(&lru), nr_takes);
		teardown();
	}
}

/* A folio whose last mapping went while it waited in its batch never sees a list. */
static void test_dead_in_batch(void)
{
	setup(QR_LRU_BATCH);
	for (uint32_t i = 0; i < QR_LRU_BATCH; i++) {
		folio_make(folio_at(i), 0);
		qr_lru_add(&lru, folio_at(i));
		if (i < QR_LRU_BATCH - 1)
			qr_folio_put(NULL, folio_at(i), 1);
	}
	tap_check_equal(qr_lru_nr_lock_takes(&lru), 1);
	tap_check_equal(qr_lru_nr_pages(&lru, QR_LRU_ACTIVE), 1);
	for (uint32_t i = 0; i < QR_LRU_BATCH - 1; i++)
		tap_check(is_free(folio_at(i)));
	teardown();
}

/* Isolates from anywhere and puts back elsewhere, as aging and eviction do. */
static void shuffle(uint64_t *random)
{
	struct qr_frame *folios[8];
	uint32_t nr = qr_lru_isolate(&lru, (enum qr_lru_list)tap_random_below(random, QR_NR_LRU_LISTS), 8, folios);

	for (uint32_t k = 0; k < nr; k++) {
		qr_lru_put_back(&lru, folios[k], (enum qr_lru_list)tap_random_below(random, QR_NR_LRU_LISTS),
				tap_random_below(random, 2));
		qr_folio_put(NULL, folios[k], 1);
	}
}

static void churn(void *argument)
{
	uint32_t first = (uint32_t)(uintptr_t)argument * THREAD_FOLIOS;
	uint64_t random = tap_seed() + first;
	bool has_ref[THREAD_FOLIOS] = {false};

	for (uint32_t step = 0; step < THREAD_STEPS && !tap_has_failed(); step++) {
		uint32_t i = tap_random_below(&random, THREAD_FOLIOS);
		struct qr_frame *folio = folio_at(first + i);

		if (has_ref[i] && tap_random_below(&random, 4)) {
			/* Races with the isolation of the same folio: one of the two gets it. */
			if (qr_lru_remove(&lru, folio))
				qr_lru_put_back(&lru, folio, QR_LRU_INACTIVE, true);
		} else if (has_ref[i]) {
			qr_folio_put(NULL, folio, 1);
			has_ref[i] = false;
		} else if (is_free(folio)) {
			folio_make(folio, tap_random_below(&random, MAX_ORDER + 1));
			qr_lru_add(&lru, folio);
			has_ref[i] = true;
		}
		if (!tap_random_below(&random, 8))
			shuffle(&random);
		if (!tap_random_below(&random, 64))
			qr_lru_drain(&lru);
	}
	for (uint32_t i = 0; i < THREAD_FOLIOS; i++) {
		if (has_ref[i])
			qr_folio_put(NULL, folio_at(first + i), 1);
	}
}

static void run_threads_churn(uint32_t nr_cpus_per_vec)
{
	setup_with(NR_THREADS * THREAD_FOLIOS, PORT_TEST_CPUS, nr_cpus_per_vec);
	run_threads(churn);
	qr_lru_drain(&lru);
	tap_check(qr_lru_is_valid(&lru));
	for (unsigned list = 0; list < QR_NR_LRU_LISTS; list++)
		tap_check_equal(qr_lru_nr_pages(&lru, (enum qr_lru_list)list), 0);
	for (uint32_t i = 0; i < NR_THREADS * THREAD_FOLIOS; i++)
		tap_check(is_free(folio_at(i)));
	teardown();
}

static void test_threads_churn(void)
{
	run_threads_churn(0);
	run_threads_churn(1);
}

static const struct tap_test tests[] = {
	{"lru_random_operations_match_model", test_model},
	{"lru_random_operations_with_several_lruvecs_match_model", test_model_several},
	{"lru_isolate_dying_folio_skips_it", test_isolate_skips_dying},
	{"lru_put_back_twice_panics", test_put_back_twice_panics},
	{"lru_is_valid_damaged_list_is_false", test_is_valid_sees_damage},
	{"lru_add_batched_takes_lock_once_per_batch", test_batches_save_lock_takes},
	{"lru_remove_dying_takes_lock_once_per_batch", test_dying_together},
	{"lru_add_folio_dies_in_batch_is_on_no_list", test_dead_in_batch},
	{"lru_threads_churn_loses_nothing", test_threads_churn},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
