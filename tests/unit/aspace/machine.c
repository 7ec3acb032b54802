/* See machine.h. */
#include "machine.h"

#include <stdlib.h>
#include <string.h>

static int fault(void *context, uint64_t va, uint32_t access)
{
	return qr_fault(context, va, access == QR_PROT_WRITE ? QR_FAULT_WRITE : 0);
}

void machine_open(struct machine *machine, uint32_t nr_frames, bool is_exclusive, uint64_t start, uint64_t end)
{
	struct qr_choices choices = {0};

	machine_open_with(machine, nr_frames, is_exclusive, start, end, &choices);
}

void machine_open_with(struct machine *machine, uint32_t nr_frames, bool is_exclusive, uint64_t start, uint64_t end,
		       const struct qr_choices *choices)
{
	uint64_t size_bytes = QR_ALIGN_UP(qr_vmm_metadata_bytes(nr_frames), QR_PAGE_SIZE);

	machine->port = port_test_create(nr_frames);
	port_test_set_exclusive(machine->port, is_exclusive);
	machine->metadata = aligned_alloc(QR_PAGE_SIZE, size_bytes);
	tap_require(machine->metadata);
	memset(machine->metadata, 0, size_bytes);
	tap_require(qr_vmm_create(
			    &(struct qr_vmm_config){
				    .port = machine->port,
				    .pool_address = qr_port_frame_address(machine->port, (qr_pfn_t){0}),
				    .nr_frames = nr_frames,
				    .nr_frames_start = nr_frames,
				    .metadata = machine->metadata,
				    .swap = {.codec = QR_CODEC_LZ4, .has_file = true, .pool_max_percent = 25},
				    .choices = *choices,
			    },
			    &machine->vmm) == 0);
	machine->nr_free_frames = qr_zone_nr_free(&machine->vmm->zone);
	machine->space = port_test_space_create(machine->port);
	tap_require(qr_aspace_create(machine->vmm, machine->space, start, end, &machine->aspace) == 0);
	port_test_set_fault(machine->space, fault, machine->aspace);
}

void machine_close(struct machine *machine)
{
	struct qr_vmm *vmm = machine->vmm;
	struct qr_swap_usage usage;

	qr_aspace_destroy(machine->aspace);
	tap_check_equal(port_test_nr_mapped(machine->space), 0);
	port_test_space_destroy(machine->space);
	qr_lru_drain(&vmm->lru);
	tap_check(qr_lru_is_valid(&vmm->lru));
	for (unsigned list = 0; list < QR_NR_LRU_LISTS; list++)
		tap_check_equal(qr_lru_nr_pages(&vmm->lru, (enum qr_lru_list)list), 0);
	tap_check_equal(qr_slab_nr_in_use(&vmm->vma_cache), 0);
	tap_check_equal(qr_slab_nr_in_use(&vmm->object_cache), 0);
	qr_swap_usage(vmm->swap, &usage);
	tap_check_equal(usage.nr_slots, 0);
	tap_check(qr_zone_is_valid(&vmm->zone));
	qr_vmm_destroy(vmm);
	port_test_destroy(machine->port);
	free(machine->metadata);
}
