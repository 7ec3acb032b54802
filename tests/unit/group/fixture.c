/* See fixture.h. */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

static int fault(void *context, uint64_t va, uint32_t access)
{
	return qr_fault(context, va, access == QR_PROT_WRITE ? QR_FAULT_WRITE : 0);
}

void world_open(struct world *world, uint32_t nr_frames, const struct qr_choices *choices)
{
	uint64_t size_bytes = QR_ALIGN_UP(qr_vmm_metadata_bytes(nr_frames), QR_PAGE_SIZE);
	struct qr_vmm_config config = {
		.nr_frames = nr_frames,
		.nr_frames_start = nr_frames,
		.swap = {.codec = QR_CODEC_LZ4, .has_file = true, .pool_max_percent = 25},
		.nr_cpus_per_cluster = PORT_TEST_CPUS / 2,
		.nr_cpus_per_node = PORT_TEST_CPUS / 2,
	};

	world->port = port_test_create(nr_frames);
	/* Frames move, and large folios are split before they are evicted. */
	port_test_set_exclusive(world->port, true);
	world->metadata = aligned_alloc(QR_PAGE_SIZE, size_bytes);
	tap_require(world->metadata);
	memset(world->metadata, 0, size_bytes);
	config.port = world->port;
	config.pool_address = qr_port_frame_address(world->port, (qr_pfn_t){0});
	config.metadata = world->metadata;
	if (choices)
		config.choices = *choices;
	tap_require(qr_vmm_create(&config, &world->vmm) == 0);
	world->nr_free_frames = qr_zone_nr_free(&world->vmm->zone);
}

void world_close(struct world *world)
{
	struct qr_vmm *vmm = world->vmm;

	qr_lru_drain(&vmm->lru);
	for (uint32_t i = 1; i < vmm->groups.nr; i++)
		tap_check_equal(vmm->groups.table[i]->refs, 0);
	tap_check_equal(qr_slab_nr_in_use(&vmm->vma_cache), 0);
	tap_check_equal(qr_slab_nr_in_use(&vmm->object_cache), 0);
	qr_vmm_destroy(vmm);
	tap_check(qr_zone_is_valid(&vmm->zone));
	port_test_destroy(world->port);
	free(world->metadata);
}

void space_open(struct world *world, struct space *space, bool has_group)
{
	space->port_space = port_test_space_create(world->port);
	space->group = NULL;
	tap_require(qr_aspace_create(world->vmm, space->port_space, SPACE_BASE, page_va(SPACE_PAGES), &space->aspace) ==
		    0);
	space_set_fault(space->port_space, space->aspace);
	if (has_group)
		tap_require(qr_group_create(world->vmm, &space->group) == 0);
}

void space_set_fault(struct qr_port_space *port_space, struct qr_aspace *aspace)
{
	port_test_set_fault(port_space, fault, aspace);
}

void space_close(struct space *space)
{
	qr_aspace_destroy(space->aspace);
	port_test_space_destroy(space->port_space);
	if (space->group)
		qr_group_destroy(space->group);
}

void space_map(struct space *space, uint64_t va, uint32_t nr_pages)
{
	struct qr_object *object = NULL;
	uint64_t at = 0;

	if (space->group) {
		object = qr_object_create(space->aspace->vmm, false, NULL);
		tap_require(object);
		qr_object_set_group(object, space->group);
	}
	tap_check_equal(qr_map(space->aspace, va, nr_pages * QR_PAGE_SIZE, QR_PAGE_SIZE, QR_PROT_READ | QR_PROT_WRITE,
			       QR_MAP_FIXED, object, 0, &at),
			0);
	if (object)
		qr_object_put(object);
}

uint64_t nr_folio_pages(const struct world *world, const struct qr_group *group)
{
	const struct qr_zone *zone = &world->vmm->zone;
	uint64_t nr = 0;

	for (uint32_t i = 0; i < zone->nr_onlined_span; i++) {
		const struct qr_frame *frame = &zone->memmap[i];
		const struct qr_object *object = frame->owner;

		if (qr_frame_kind(frame) == QR_FRAME_FOLIO && object->group == group)
			nr += qr_folio_nr_pages(frame);
	}
	return nr;
}
