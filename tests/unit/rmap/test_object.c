/* Object-based reverse mapping against a look at every page of every VMA. */
#include <stdlib.h>
#include <string.h>

#include "aspace/aspace.h"
#include "port_test.h"
#include "tap.h"
#include "vmm/vmm.h"

#define NR_VMAS 24u
#define NR_INDICES 4096u

static struct qr_vmm vmm;
static uint32_t nr_objects, nr_closed;

void *qr_slab_alloc(struct qr_slab_cache *cache, qr_gfp_t gfp)
{
	(void)cache;
	(void)gfp;
	nr_objects++;
	return malloc(sizeof(struct qr_object));
}

void qr_slab_free(struct qr_slab_cache *cache, void *object)
{
	(void)cache;
	nr_objects--;
	free(object);
}

void qr_port_file_close(struct qr_port *port, void *file)
{
	(void)port;
	++*(uint32_t *)file;
}

struct visits {
	struct qr_vma *vmas; /* [NR_VMAS] */
	uint8_t nr[NR_VMAS][1u << QR_FOLIO_MAX_ORDER]; /* visits of the folio's page in the VMA */
	uint32_t nr_calls, max_calls;
};

static bool note_visit(struct qr_vma *vma, uint64_t va, uint32_t first, uint32_t nr, void *context)
{
	struct visits *visits = context;

	tap_check(nr > 0 && va >= vma->start && va + nr * QR_PAGE_SIZE <= vma->end);
	tap_check(va / QR_PT_SPAN == (va + (nr - 1) * QR_PAGE_SIZE) / QR_PT_SPAN);
	for (uint32_t i = first; i < first + nr; i++)
		visits->nr[vma - visits->vmas][i]++;
	/* The address belongs to the page. */
	tap_check_equal((va - vma->start) / QR_PAGE_SIZE + vma->index, vma->prot + first);
	return ++visits->nr_calls < visits->max_calls;
}

static void choose_vma(struct qr_vma *vma, struct qr_object *object, uint64_t *seed)
{
	memset(vma, 0, sizeof(*vma));
	vma->object = object;
	vma->start = ((uint64_t)1 << 30) + tap_random_below(seed, 4096) * QR_PAGE_SIZE;
	vma->end = vma->start + (1 + tap_random_below(seed, 1500)) * QR_PAGE_SIZE;
	vma->index = tap_random_below(seed, NR_INDICES);
	qr_rwsem_init(&vma->lock, QR_RANK_VMA);
}

static void check_walk(struct qr_vma *vmas, const bool *is_in, struct qr_object *object, uint64_t *seed)
{
	static struct visits visits;
	struct qr_frame folio = {.owner = object};
	uint32_t order = tap_random_below(seed, QR_FOLIO_MAX_ORDER + 1);

	qr_frame_set_kind(&folio, QR_FRAME_FOLIO, order);
	folio.index = tap_random_below(seed, NR_INDICES + 1024);
	memset(&visits, 0, sizeof(visits));
	visits.vmas = vmas;
	visits.max_calls = UINT32_MAX;
	/* note_visit() finds the folio's index there. */
	for (uint32_t i = 0; i < NR_VMAS; i++)
		vmas[i].prot = folio.index;
	qr_rmap_walk(&folio, note_visit, &visits);
	for (uint32_t i = 0; i < NR_VMAS; i++) {
		for (uint32_t page = 0; page < 1u << order; page++) {
			uint64_t index = folio.index + page;
			bool is_covered = is_in[i] && index >= vmas[i].index &&
					  index - vmas[i].index < (vmas[i].end - vmas[i].start) / QR_PAGE_SIZE;

			tap_check_equal(visits.nr[i][page], is_covered);
		}
	}
	if (visits.nr_calls > 1) {
		visits.max_calls = 1 + tap_random_below(seed, visits.nr_calls - 1);
		visits.nr_calls = 0;
		qr_rmap_walk(&folio, note_visit, &visits);
		tap_check_equal(visits.nr_calls, visits.max_calls);
	}
}

static void test_walk(void)
{
	struct qr_object *object = qr_object_create(&vmm, false, NULL);
	struct qr_vma vmas[NR_VMAS];
	bool is_in[NR_VMAS] = {false};
	uint64_t seed = tap_seed();

	tap_require(object);
	memset(vmas, 0, sizeof(vmas));
	for (uint32_t step = 0; step < 3000 && !tap_has_failed(); step++) {
		uint32_t i = tap_random_below(&seed, NR_VMAS);

		if (is_in[i]) {
			qr_object_remove_vma(object, &vmas[i]);
		} else {
			choose_vma(&vmas[i], object, &seed);
			qr_object_add_vma(object, &vmas[i]);
		}
		is_in[i] = !is_in[i];
		check_walk(vmas, is_in, object, &seed);
	}
	for (uint32_t i = 0; i < NR_VMAS; i++) {
		if (is_in[i])
			qr_object_remove_vma(object, &vmas[i]);
	}
	qr_object_put(object);
	tap_check_equal(nr_objects, 0);
}

static void test_references(void)
{
	struct qr_object *object;

	nr_closed = 0;
	object = qr_object_create(&vmm, true, &nr_closed);
	tap_require(object);
	tap_check(object->is_file && object->file == &nr_closed && object->refs == 1);
	qr_object_get(object);
	qr_object_put(object);
	tap_check_equal(nr_objects, 1);
	tap_check_equal(nr_closed, 0);
	qr_object_put(object);
	tap_check_equal(nr_objects, 0);
	tap_check_equal(nr_closed, 1);
}

static const struct tap_test tests[] = {
	{"rmap_walk_visits_each_mapping_once", test_walk},
	{"object_last_put_closes_the_file", test_references},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
