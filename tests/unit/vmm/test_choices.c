/* The table of mechanisms: names, values, defaults; and a manager for each of them. */
#include <stdlib.h>
#include <string.h>

#include "fault/fault.h"
#include "port_test.h"
#include "tap.h"
#include "vmm/vmm.h"

#define NR_FRAMES 4096u
#define NR_PAGES 1024u

static void test_defaults(void)
{
	struct qr_choices choices = {0};
	const struct qr_choice *list;
	uint32_t nr;

	list = qr_choices_list(&nr);
	tap_check_equal(nr, sizeof(struct qr_choices));
	for (uint32_t i = 0; i < nr; i++) {
		tap_check(list[i].name[0] && list[i].help[0] && list[i].values[0][0]);
		tap_check(!strcmp(qr_choices_value(&choices, &list[i]), list[i].values[0]));
		for (uint32_t j = 0; j < i; j++)
			tap_check(strcmp(list[i].name, list[j].name) && list[i].offset != list[j].offset);
	}
	tap_check(qr_choices_is_valid(&choices));
}

static void test_parse(void)
{
	struct qr_choices choices = {0};
	const struct qr_choice *list;
	uint32_t nr;

	list = qr_choices_list(&nr);
	for (uint32_t i = 0; i < nr; i++) {
		for (uint32_t v = 0; v < QR_MAX_CHOICE_VALUES && list[i].values[v][0]; v++) {
			tap_check_equal(qr_choices_parse(&choices, list[i].name, list[i].values[v]), 0);
			tap_check(!strcmp(qr_choices_value(&choices, &list[i]), list[i].values[v]));
			tap_check(qr_choices_is_valid(&choices));
			tap_check_equal(qr_choices_parse(&choices, list[i].name, "no-such-value"), QR_EINVAL);
			tap_check_equal(qr_choices_parse(&choices, list[i].name, ""), QR_EINVAL);
			tap_check(!strcmp(qr_choices_value(&choices, &list[i]), list[i].values[v]));
		}
	}
	tap_check_equal(qr_choices_parse(&choices, "no-such-mechanism", "0"), QR_ENOENT);
	tap_check_equal(qr_choices_parse(&choices, "", "0"), QR_ENOENT);
	choices.pcp = 77;
	tap_check(!qr_choices_is_valid(&choices));
}

static int fault(void *context, uint64_t va, uint32_t access)
{
	return qr_fault(context, va, access == QR_PROT_WRITE ? QR_FAULT_WRITE : 0);
}

/* Touches, protects and unmaps a range. */
static void use(struct qr_aspace *aspace, struct qr_port_space *space)
{
	uint64_t va, word;

	tap_require(qr_map(aspace, 0, NR_PAGES * QR_PAGE_SIZE, QR_PAGE_SIZE, QR_PROT_READ | QR_PROT_WRITE, 0, NULL, 0,
			   &va) == 0);
	for (uint64_t i = 0; i < NR_PAGES; i++)
		tap_check_equal(port_test_write_u64(space, va + i * QR_PAGE_SIZE, i), 0);
	tap_check_equal(qr_protect(aspace, va, QR_PAGE_SIZE, QR_PROT_READ), 0);
	tap_check_equal(qr_remap(aspace, va + QR_PAGE_SIZE, QR_PAGE_SIZE, 2 * QR_PAGE_SIZE, QR_REMAP_MAYMOVE, 0, &word),
			0);
	tap_check_equal(qr_reclaim(aspace->vmm, 64) > 0, true);
	for (uint64_t i = 2; i < NR_PAGES; i++) {
		tap_check_equal(port_test_read_u64(space, va + i * QR_PAGE_SIZE, &word), 0);
		tap_check_equal(word, i);
	}
	tap_check(qr_aspace_is_valid(aspace));
}

static void run(const struct qr_choices *choices)
{
	struct qr_port *port = port_test_create(NR_FRAMES);
	uint64_t size_bytes = QR_ALIGN_UP(qr_vmm_metadata_bytes(NR_FRAMES), QR_PAGE_SIZE);
	struct qr_vmm_config config = {
		.port = port,
		.pool_address = qr_port_frame_address(port, (qr_pfn_t){0}),
		.nr_frames = NR_FRAMES,
		.nr_frames_start = NR_FRAMES,
		.metadata = aligned_alloc(QR_PAGE_SIZE, size_bytes),
		.swap = {.codec = QR_CODEC_LZ4, .has_file = true, .pool_max_percent = 25},
		.choices = *choices,
	};
	struct qr_port_space *space;
	struct qr_aspace *aspace;
	struct qr_vmm *vmm;

	port_test_set_exclusive(port, false);
	tap_require(config.metadata != NULL);
	memset(config.metadata, 0, size_bytes);
	tap_require(qr_vmm_create(&config, &vmm) == 0);
	space = port_test_space_create(port);
	tap_require(qr_aspace_create(vmm, space, (uint64_t)1 << 32, (uint64_t)1 << 36, &aspace) == 0);
	port_test_set_fault(space, fault, aspace);
	use(aspace, space);
	tap_check(qr_vmm_stat(vmm, QR_STAT_lru_lock_takes) > 0 && qr_vmm_stat(vmm, QR_STAT_zone_lock_takes) > 0);
	tap_check_equal(qr_vmm_stat(vmm, QR_STAT_lru_lock_waits), 0);
	tap_check_equal(qr_vmm_stat(vmm, QR_STAT_zone_lock_waits), 0);
	/* With the VMA's own lock the faults leave the lock of the address space alone. */
	tap_check_equal(qr_vmm_stat(vmm, QR_STAT_mmap_lock_takes) > qr_vmm_stat(vmm, QR_STAT_faults),
			choices->mmap_lock == QR_MMAP_LOCK_RWSEM);
	qr_aspace_destroy(aspace);
	port_test_space_destroy(space);
	qr_lru_drain(&vmm->lru);
	tap_check(qr_zone_is_valid(&vmm->zone) && qr_lru_is_valid(&vmm->lru));
	qr_vmm_destroy(vmm);
	port_test_destroy(port);
	free(config.metadata);
}

static void test_each(void)
{
	const struct qr_choice *list;
	uint32_t nr;

	list = qr_choices_list(&nr);
	for (uint32_t i = 0; i < nr; i++) {
		for (uint32_t v = 0; v < QR_MAX_CHOICE_VALUES && list[i].values[v][0]; v++) {
			struct qr_choices choices = {0};

			tap_check_equal(qr_choices_parse(&choices, list[i].name, list[i].values[v]), 0);
			run(&choices);
		}
	}
}

static const struct tap_test tests[] = {
	{"choices_zeroed_are_the_defaults", test_defaults},
	{"choices_parse_sets_by_name_or_changes_nothing", test_parse},
	{"choices_each_value_makes_a_working_manager", test_each},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
