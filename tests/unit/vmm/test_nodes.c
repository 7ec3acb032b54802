/*
 * Managers with several nodes: pages come from the toucher's node and go back to it, LRU lists are those of a page's
 * memory, reclaim for a node and its kswapd keep to it, limits are shared out, bindings hold under pressure.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault/fault.h"
#include "port_test.h"
#include "tap.h"
#include "vmm/vmm.h"

#define NR_NODES 2u
#define CPUS_PER_NODE (PORT_TEST_CPUS / NR_NODES)
#define NR_FRAMES 8192u
#define SPACE_START ((uint64_t)1 << 32)
#define SPACE_END ((uint64_t)1 << 36)
#define WAIT_MS 5000u
/* Half of the way from the low mark to the high one: some of what kswapd frees is taken again. */
#define NR_FREED 32u

static struct {
	struct qr_port *port;
	struct qr_vmm *vmm;
	struct qr_port_space *space;
	struct qr_aspace *aspace;
	void *metadata;
} machine;

static int fault(void *context, uint64_t va, uint32_t access)
{
	return qr_fault(context, va, access == QR_PROT_WRITE ? QR_FAULT_WRITE : 0);
}

static void machine_open(const struct qr_choices *choices, const struct qr_nodes_config *nodes)
{
	struct qr_vmm_config config = {
		.port = port_test_create(NR_FRAMES),
		.nr_frames = NR_FRAMES,
		.nr_frames_start = NR_FRAMES,
		.nr_cpus_per_node = CPUS_PER_NODE,
		.nr_cpus_per_cluster = 1,
		.nodes = *nodes,
		.swap = {.codec = QR_CODEC_NONE, .has_file = true},
		.choices = *choices,
	};
	uint64_t size_bytes = QR_ALIGN_UP(qr_vmm_metadata_bytes_of(&config), QR_PAGE_SIZE);

	port_test_set_swap(config.port, 4, (uint64_t)256 << 20, false);
	machine.port = config.port;
	machine.metadata = config.metadata = aligned_alloc(QR_PAGE_SIZE, size_bytes);
	tap_require(config.metadata);
	memset(config.metadata, 0, size_bytes);
	config.pool_address = qr_port_frame_address(config.port, (qr_pfn_t){0});
	tap_require(qr_vmm_create(&config, &machine.vmm) == 0);
	machine.space = port_test_space_create(machine.port);
	tap_require(qr_aspace_create(machine.vmm, machine.space, SPACE_START, SPACE_END, &machine.aspace) == 0);
	port_test_set_fault(machine.space, fault, machine.aspace);
}

static void machine_close(void)
{
	tap_check(qr_aspace_is_valid(machine.aspace));
	qr_aspace_destroy(machine.aspace);
	port_test_space_destroy(machine.space);
	qr_lru_drain(&machine.vmm->lru);
	tap_check(qr_vmm_zones_are_valid(machine.vmm) && qr_lru_is_valid(&machine.vmm->lru));
	qr_vmm_destroy(machine.vmm);
	port_test_destroy(machine.port);
	free(machine.metadata);
	port_test_set_cpu(0);
}

static uint64_t map(uint64_t nr_pages)
{
	uint64_t va = 0;

	tap_require(qr_map(machine.aspace, 0, nr_pages * QR_PAGE_SIZE, QR_PAGE_SIZE, QR_PROT_READ | QR_PROT_WRITE, 0,
			   NULL, 0, &va) == 0);
	/* Single pages, so that counts are exact. */
	tap_require(qr_advise(machine.aspace, va, nr_pages * QR_PAGE_SIZE, QR_ADVISE_NOHUGE) == 0);
	return va;
}

static void touch(uint64_t va, uint64_t nr_pages, unsigned cpu)
{
	port_test_set_cpu(cpu);
	for (uint64_t i = 0; i < nr_pages; i++)
		tap_check_equal(port_test_write_u64(machine.space, va + i * QR_PAGE_SIZE, va + i), 0);
}

static uint64_t nr_listed(uint32_t node)
{
	struct qr_lru_target target = {.group = QR_LRU_ALL_GROUPS, .node = node + 1};

	return qr_lru_nr_pages_of(&machine.vmm->lru, &target, QR_LRU_ACTIVE) +
	       qr_lru_nr_pages_of(&machine.vmm->lru, &target, QR_LRU_PROTECTED) +
	       qr_lru_nr_pages_of(&machine.vmm->lru, &target, QR_LRU_INACTIVE);
}

/* Folios on LRU lists in the memory of a node, by looking at each. */
static uint64_t nr_folios(uint32_t node)
{
	const struct qr_zone *zone = &machine.vmm->zone;
	uint64_t nr = 0;

	for (uint32_t pfn = node * (NR_FRAMES / NR_NODES); pfn < (node + 1) * (NR_FRAMES / NR_NODES); pfn++) {
		struct qr_frame *frame = qr_zone_frame(zone, pfn);

		if (qr_frame_kind(frame) == QR_FRAME_FOLIO && qr_folio_test(frame, QR_FOLIO_LRU))
			nr += qr_folio_nr_pages(frame);
	}
	return nr;
}

static bool is_global(const struct qr_choices *choices)
{
	return choices->lru_scope == QR_LRU_GLOBAL;
}

/* Pages are local until the node is full, whoever adds them to the lists; reclaim for a node frees its own. */
static void try_scope(const struct qr_choices *choices, const struct qr_nodes_config *nodes)
{
	uint64_t nr_half = NR_FRAMES / NR_NODES / 2, before[NR_NODES], remote;
	uint64_t va;

	machine_open(choices, nodes);
	va = map(8 * nr_half);
	touch(va, nr_half, 0);
	touch(va + nr_half * QR_PAGE_SIZE, nr_half, PORT_TEST_CPUS - 1);
	qr_lru_drain(&machine.vmm->lru);
	for (uint32_t node = 0; node < NR_NODES; node++) {
		tap_check_equal(nr_folios(node), nr_half);
		tap_check_equal(nr_listed(node), is_global(choices) ? 2 * nr_half : nr_half);
	}
	/* More from one CPU than its node has. */
	touch(va + 2 * nr_half * QR_PAGE_SIZE, nr_half + nr_half / 2, 0);
	qr_lru_drain(&machine.vmm->lru);
	tap_check(nr_folios(1) > nr_half);
	for (uint32_t node = 0; node < NR_NODES; node++) {
		if (!is_global(choices))
			tap_check_equal(nr_listed(node), nr_folios(node));
		before[node] = nr_folios(node);
	}
	tap_check_equal(qr_vmm_stat(machine.vmm, QR_STAT_remote_scans), 0);
	tap_check(qr_reclaim_node(machine.vmm, 1, 256) >= 256);
	remote = qr_vmm_stat(machine.vmm, QR_STAT_remote_scans);
	tap_check_equal(remote > 0, is_global(choices));
	if (!is_global(choices)) {
		tap_check_equal(nr_folios(0), before[0]);
		tap_check(nr_folios(1) <= before[1] - 256);
	}
	tap_check(qr_vmm_stat(machine.vmm, QR_STAT_scanned_folios) > 0 && qr_lru_is_valid(&machine.vmm->lru));
	machine_close();
}

static void test_scopes(void)
{
	const struct qr_nodes_config nodes[] = {
		{.nr_nodes = NR_NODES},
		{.nr_nodes = NR_NODES, .dma_end = 1024, .normal_end = 3072, .movable_percent = 25},
	};

	for (unsigned i = 0; i < QR_ARRAY_SIZE(nodes); i++) {
		for (unsigned scope = QR_LRU_CLUSTER; scope <= QR_LRU_ZONE; scope++)
			try_scope(&(struct qr_choices){.lru_scope = (uint8_t)scope}, &nodes[i]);
	}
}

static void test_cluster_vecs(void)
{
	const struct qr_choices choices = {.lru_scope = QR_LRU_CLUSTER};
	uint64_t va;

	machine_open(&choices, &(struct qr_nodes_config){.nr_nodes = NR_NODES});
	tap_check_equal(machine.vmm->lru.nr_vecs, PORT_TEST_CPUS);
	va = map(PORT_TEST_CPUS * QR_LRU_BATCH);
	for (unsigned cpu = 0; cpu < PORT_TEST_CPUS; cpu++)
		touch(va + cpu * QR_LRU_BATCH * QR_PAGE_SIZE, QR_LRU_BATCH, cpu);
	for (unsigned cpu = 0; cpu < PORT_TEST_CPUS; cpu++)
		tap_check_equal(machine.vmm->lru.vecs[cpu].nr_pages[QR_LRU_ACTIVE], QR_LRU_BATCH);
	machine_close();
}

/* Each node's thread frees on its own node alone. */
static void test_kswapd(void)
{
	static const uint8_t scopes[] = {QR_LRU_CLUSTER, QR_LRU_NODE, QR_LRU_ZONE};
	uint64_t nr_pages = 3 * NR_FRAMES;

	for (unsigned i = 0; i < QR_ARRAY_SIZE(scopes); i++) {
		uint64_t va, word;

		machine_open(&(struct qr_choices){.lru_scope = scopes[i]},
			     &(struct qr_nodes_config){.nr_nodes = NR_NODES});
		tap_require(qr_kswapd_start(machine.vmm) == 0);
		for (uint32_t node = 0; node < NR_NODES; node++)
			tap_check(machine.vmm->kswapds[node].thread >= 0);
		va = map(nr_pages);
		touch(va, nr_pages, i % PORT_TEST_CPUS);
		for (uint64_t k = 0; k < nr_pages; k++) {
			tap_check_equal(port_test_read_u64(machine.space, va + k * QR_PAGE_SIZE, &word), 0);
			tap_check_equal(word, va + k);
		}
		qr_kswapd_stop(machine.vmm);
		tap_check(qr_vmm_stat(machine.vmm, QR_STAT_scanned_folios) > NR_FRAMES);
		tap_check(qr_vmm_stat(machine.vmm, QR_STAT_kswapd_wakeups) > 0);
		tap_check_equal(qr_vmm_stat(machine.vmm, QR_STAT_remote_scans), 0);
		machine_close();
	}
}

/* Frames of a node, for core's own use. Returns the first of a chain. */
static uint32_t take_frames(uint32_t node, uint32_t nr)
{
	uint32_t head = QR_PFN_NONE;

	for (uint32_t i = 0; i < nr; i++) {
		struct qr_frame *frame = qr_alloc_pages_bound(machine.vmm, (uint64_t)1 << node, 0, 0);

		tap_require(frame != NULL);
		frame->owner_word = head;
		head = qr_zone_pfn(&machine.vmm->zone, frame);
	}
	return head;
}

static void give_frames(uint32_t head)
{
	while (head != QR_PFN_NONE) {
		struct qr_frame *frame = qr_zone_frame(&machine.vmm->zone, head);

		head = (uint32_t)frame->owner_word;
		qr_free_pages(machine.vmm, frame, 0);
	}
}

/* A node that is short is helped by its own thread, and by no other node's pages. */
static void test_kswapd_of(void)
{
	for (uint32_t node = 0; node < NR_NODES; node++) {
		unsigned cpu = node * CPUS_PER_NODE;
		uint64_t va, nr_before;
		struct qr_zone *zone;
		uint32_t head;

		machine_open(&(struct qr_choices){0}, &(struct qr_nodes_config){.nr_nodes = NR_NODES});
		zone = machine.vmm->nodes.zones[node];
		tap_require(qr_kswapd_start(machine.vmm) == 0);
		va = map(NR_FRAMES);
		/* Most pages that could go are on the other node. */
		head = take_frames(node, NR_FRAMES / NR_NODES / 2);
		touch(va, NR_FRAMES / NR_NODES * 3 / 4, (cpu + CPUS_PER_NODE) % PORT_TEST_CPUS);
		qr_lru_drain(&machine.vmm->lru);
		nr_before = nr_folios(1 - node);
		va += NR_FRAMES / 2 * QR_PAGE_SIZE;
		touch(va, qr_zone_nr_free(zone) - zone->watermark[QR_WMARK_LOW] + 8, cpu);
		for (unsigned i = 0; i < WAIT_MS && !qr_zone_is_above(zone, QR_WMARK_LOW, NR_FREED); i++)
			usleep(1000);
		tap_check(qr_zone_is_above(zone, QR_WMARK_LOW, NR_FREED));
		qr_kswapd_stop(machine.vmm);
		tap_check(nr_folios(1 - node) >= nr_before);
		give_frames(head);
		machine_close();
	}
}

static void test_limit(void)
{
	machine_open(&(struct qr_choices){0}, &(struct qr_nodes_config){.nr_nodes = NR_NODES, .movable_percent = 50});
	for (uint32_t nr = NR_FRAMES; nr > 2000; nr -= 701) {
		tap_check_equal(qr_vmm_set_limit(machine.vmm, nr), nr);
		tap_check_equal(qr_vmm_nr_online(machine.vmm), nr);
		for (uint32_t i = 0; i < machine.vmm->nodes.nr_zones; i++) {
			uint32_t share = nr / machine.vmm->nodes.nr_zones;

			tap_check(machine.vmm->nodes.zones[i]->nr_online - share <= 1);
		}
	}
	tap_check_equal(qr_vmm_set_limit(machine.vmm, UINT32_MAX), NR_FRAMES);
	machine_close();
}

/* A strict binding under pressure: reclaim makes room on its node, and without anything to reclaim it fails. */
static void test_binding(void)
{
	uint32_t nr = 0, head = QR_PFN_NONE, nr_free;
	struct qr_frame *frame;

	machine_open(&(struct qr_choices){0}, &(struct qr_nodes_config){.nr_nodes = NR_NODES});
	touch(map(NR_FRAMES), NR_FRAMES - NR_FRAMES / 8, 0);
	nr_free = qr_zone_nr_free(machine.vmm->nodes.zones[0]);
	while ((frame = qr_alloc_pages_bound(machine.vmm, 2, 0, QR_GFP_USER))) {
		uint32_t pfn = qr_zone_pfn(&machine.vmm->zone, frame);

		tap_check(pfn >= NR_FRAMES / NR_NODES);
		frame->owner_word = head;
		head = pfn;
		nr++;
	}
	tap_check(nr > NR_FRAMES / NR_NODES * 3 / 4);
	tap_check_equal(qr_vmm_stat(machine.vmm, QR_STAT_remote_scans), 0);
	/* Whoever goes to another node all the same gets a frame. */
	tap_check(qr_zone_nr_free(machine.vmm->nodes.zones[0]) <= nr_free);
	tap_check(!qr_load_relaxed(&machine.vmm->is_oom));
	frame = qr_alloc_pages_node(machine.vmm, 1, 0, QR_GFP_USER);
	tap_check(frame && qr_zone_pfn(&machine.vmm->zone, frame) < NR_FRAMES / NR_NODES);
	qr_free_pages(machine.vmm, frame, 0);
	give_frames(head);
	machine_close();
}

/* One node: its number is the only one. */
static void test_single(void)
{
	struct qr_frame *frame;

	machine_open(&(struct qr_choices){0}, &(struct qr_nodes_config){0});
	tap_check(!qr_vmm_has_zones(machine.vmm));
	frame = qr_alloc_pages_node(machine.vmm, 0, 0, QR_GFP_USER);
	tap_check(frame != NULL);
	qr_free_pages(machine.vmm, frame, 0);
	tap_check(!qr_alloc_pages_bound(machine.vmm, 2, 0, QR_GFP_USER));
	frame = qr_alloc_pages_bound(machine.vmm, 3, 0, QR_GFP_USER);
	tap_check(frame != NULL);
	qr_free_pages(machine.vmm, frame, 0);
	machine_close();
}

static const struct tap_test tests[] = {
	{"nodes_pages_and_lists_are_local_in_each_scope", test_scopes},
	{"nodes_clusters_have_lists_of_their_own", test_cluster_vecs},
	{"nodes_kswapds_scan_their_own_alone", test_kswapd},
	{"nodes_kswapd_helps_its_own", test_kswapd_of},
	{"nodes_limit_is_shared_out", test_limit},
	{"nodes_binding_reclaims_at_home_or_fails", test_binding},
	{"nodes_one_is_all_there_is", test_single},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
