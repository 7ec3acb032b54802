/* Bringing up a manager: zones, slabs, LRU and swap in metadata that the port supplies. */
#include "vmm/vmm.h"

/* Bump allocation within the metadata, in the order of vmm_layout(). */
struct layout {
	uint8_t *base;
	uint64_t used;
};

static void *layout_take(struct layout *layout, uint64_t size_bytes)
{
	void *taken = layout->base ? layout->base + layout->used : NULL;

	layout->used += QR_ALIGN_UP(size_bytes, (uint64_t)QR_CACHE_LINE);
	return taken;
}

struct vmm_arrays {
	struct qr_vmm *vmm;
	struct qr_kswapd *kswapds;
	struct qr_nodes_arrays nodes;
	struct qr_frame *memmap;
	uint64_t *fresh_bits;
	struct qr_pcp *pcps;
	struct qr_lru_batch *batches;
	struct qr_lruvec *lruvecs;
	struct qr_lruvec **lru_sets;
	struct qr_group **groups;
	struct qr_stat_cpu *stats;
	struct qr_slab_cpu *vma_cpus;
	struct qr_slab_cpu *object_cpus;
};

static uint32_t nr_cpus_per_lruvec(const struct qr_vmm_config *config)
{
	switch ((enum qr_lru_scope_choice)config->choices.lru_scope) {
	case QR_LRU_CLUSTER:
		return config->nr_cpus_per_cluster;
	case QR_LRU_NODE:
	case QR_LRU_GROUP:
		return config->nr_cpus_per_node;
	default:
		return 0;
	}
}

/* Whether the lists of a folio are those of where its memory is; where there is one zone only the CPUs count. */
static bool has_lists_by_memory(const struct qr_vmm_config *config)
{
	return config->choices.lru_scope != QR_LRU_GLOBAL &&
	       qr_nodes_count_zones(&config->nodes, config->nr_frames) > 1;
}

/* How many lruvecs the lists by memory have for each node; 0: one for each zone. */
static uint32_t nr_lruvecs_per_node(const struct qr_vmm_config *config)
{
	uint32_t nr_nodes = QR_MAX(1u, config->nodes.nr_nodes);
	uint32_t nr_cpus = config->nr_cpus_per_node ? config->nr_cpus_per_node : qr_port_nr_cpus();

	if (config->choices.lru_scope == QR_LRU_ZONE)
		return 0;
	if (config->choices.lru_scope != QR_LRU_CLUSTER || !config->nr_cpus_per_cluster)
		return 1;
	return QR_MAX(1u, QR_MIN(nr_cpus / config->nr_cpus_per_cluster, QR_MAX_LRUVECS / nr_nodes));
}

static uint32_t nr_lruvecs(const struct qr_vmm_config *config)
{
	uint32_t nr_each = nr_lruvecs_per_node(config);

	if (!has_lists_by_memory(config))
		return QR_MIN(qr_port_nr_cpus(), QR_MAX_LRUVECS);
	return nr_each ? nr_each * QR_MAX(1u, config->nodes.nr_nodes)
		       : qr_nodes_count_zones(&config->nodes, config->nr_frames);
}

/* Lays the arrays out from base; with base NULL only the size matters. */
static uint64_t vmm_layout(uint8_t *base, const struct qr_vmm_config *config, struct vmm_arrays *arrays)
{
	struct layout layout = {.base = base};
	uint64_t nr_cpus = qr_port_nr_cpus();
	uint64_t nr_nodes = QR_MAX(1u, config->nodes.nr_nodes);
	uint64_t nr_zones = qr_nodes_count_zones(&config->nodes, config->nr_frames);
	uint64_t nr_frames = config->nr_frames;

	arrays->vmm = layout_take(&layout, sizeof(struct qr_vmm));
	arrays->kswapds = layout_take(&layout, nr_nodes * sizeof(struct qr_kswapd));
	arrays->nodes.nodes = layout_take(&layout, nr_nodes * sizeof(struct qr_node));
	arrays->nodes.zones = layout_take(&layout, nr_zones * sizeof(struct qr_zone *));
	arrays->nodes.more_zones = layout_take(&layout, (nr_zones - 1) * sizeof(struct qr_zone));
	arrays->pcps = layout_take(&layout, nr_zones * nr_cpus * sizeof(struct qr_pcp));
	arrays->batches = layout_take(&layout, nr_cpus * sizeof(struct qr_lru_batch));
	arrays->lruvecs = layout_take(&layout, nr_lruvecs(config) * sizeof(struct qr_lruvec));
	arrays->lru_sets = layout_take(&layout, sizeof(*arrays->lru_sets) << QR_FOLIO_LRUVEC_BITS);
	arrays->groups = layout_take(&layout, sizeof(*arrays->groups) << QR_FOLIO_LRUVEC_BITS);
	arrays->stats = layout_take(&layout, nr_cpus * sizeof(struct qr_stat_cpu));
	arrays->vma_cpus = layout_take(&layout, nr_cpus * sizeof(struct qr_slab_cpu));
	arrays->object_cpus = layout_take(&layout, nr_cpus * sizeof(struct qr_slab_cpu));
	arrays->fresh_bits = layout_take(&layout, (nr_frames + 63) / 64 * sizeof(uint64_t));
	arrays->memmap = layout_take(&layout, nr_frames * sizeof(struct qr_frame));
	return layout.used;
}

uint64_t qr_vmm_metadata_bytes(uint32_t nr_frames)
{
	return qr_vmm_metadata_bytes_of(&(struct qr_vmm_config){.nr_frames = nr_frames});
}

uint64_t qr_vmm_metadata_bytes_of(const struct qr_vmm_config *config)
{
	struct vmm_arrays arrays;

	return vmm_layout(NULL, config, &arrays);
}

static int vmm_init_slabs(struct qr_vmm *vmm, const struct vmm_arrays *arrays)
{
	uint32_t nr_cpus = qr_port_nr_cpus();
	int err = qr_kmalloc_init(&vmm->kmalloc, &vmm->zone);

	/* Each fault counts readers of its VMA and users of its object: neighbours must not share their lines. */
	if (!err)
		err = qr_slab_cache_init(&vmm->vma_cache, &vmm->zone, "vma", sizeof(struct qr_vma), QR_CACHE_LINE, NULL,
					 arrays->vma_cpus, nr_cpus);
	if (!err)
		err = qr_slab_cache_init(&vmm->object_cache, &vmm->zone, "object", sizeof(struct qr_object),
					 QR_CACHE_LINE, NULL, arrays->object_cpus, nr_cpus);
	return err;
}

static bool has_lists_per_group(const struct qr_vmm_config *config)
{
	return config->choices.lru_scope == QR_LRU_CLUSTER || config->choices.lru_scope == QR_LRU_GROUP;
}

static bool is_valid(const struct qr_vmm_config *config)
{
	return qr_choices_is_valid(&config->choices) && qr_nodes_config_is_valid(&config->nodes, config->nr_frames) &&
	       nr_lruvecs(config) <= QR_MAX_LRUVECS;
}

static void vmm_init_zones(struct qr_vmm *vmm, const struct qr_vmm_config *config, struct vmm_arrays *arrays)
{
	struct qr_zone_config whole = {
		.vmm = vmm,
		.memmap = arrays->memmap,
		.fresh_bits = arrays->fresh_bits,
		.base_address = config->pool_address,
		.nr_span = config->nr_frames,
		.pcps = arrays->pcps,
		.nr_pcps = qr_port_nr_cpus(),
		.pcp = (enum qr_pcp_choice)config->choices.pcp,
	};

	arrays->nodes.first_zone = &vmm->zone;
	qr_nodes_init(&vmm->nodes, &config->nodes, (enum qr_node_order_choice)config->choices.node_order,
		      config->nr_cpus_per_node, &whole, &arrays->nodes);
	vmm->kswapds = arrays->kswapds;
	for (uint32_t node = 0; node < vmm->nodes.nr_nodes; node++)
		vmm->kswapds[node] = (struct qr_kswapd){.vmm = vmm, .node = node, .thread = -1};
	(void)qr_vmm_set_limit(vmm, config->nr_frames_start);
}

static void vmm_init_lru(struct qr_vmm *vmm, const struct qr_vmm_config *config, const struct vmm_arrays *arrays)
{
	qr_lru_init(&vmm->lru, &vmm->zone, arrays->lruvecs, nr_cpus_per_lruvec(config), arrays->batches,
		    config->choices.lru_batch == QR_LRU_UNBATCHED ? 0 : qr_port_nr_cpus());
	if (has_lists_by_memory(config))
		qr_lru_init_nodes(&vmm->lru, &vmm->nodes, nr_lruvecs_per_node(config));
	if (has_lists_per_group(config))
		qr_lru_init_groups(&vmm->lru, arrays->lru_sets);
}

int qr_vmm_create(const struct qr_vmm_config *config, struct qr_vmm **out)
{
	struct vmm_arrays arrays;
	struct qr_vmm *vmm;
	int err;

	if (!is_valid(config))
		return QR_EINVAL;
	(void)vmm_layout(config->metadata, config, &arrays);
	vmm = arrays.vmm;
	vmm->port = config->port;
	vmm->choices = config->choices;
	vmm->stats.nr_cpus = qr_port_nr_cpus();
	vmm->stats.cpus = arrays.stats;
	vmm_init_zones(vmm, config, &arrays);
	vmm_init_lru(vmm, config, &arrays);
	qr_balance_init(&vmm->balance, config->nr_frames_usual ? config->nr_frames_usual : config->nr_frames);
	qr_groups_init(&vmm->groups, arrays.groups);
	err = vmm_init_slabs(vmm, &arrays);
	if (!err)
		err = qr_swap_create(vmm, &config->swap, &vmm->swap);
	if (!err)
		*out = vmm;
	return err;
}

static uint64_t zone_stat(const struct qr_vmm *vmm, enum qr_stat stat)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < vmm->nodes.nr_zones; i++)
		sum += qr_load_relaxed(stat == QR_STAT_zone_lock_takes ? &vmm->nodes.zones[i]->nr_lock_takes
								       : &vmm->nodes.zones[i]->nr_lock_waits);
	return sum;
}

uint64_t qr_vmm_stat(const struct qr_vmm *vmm, enum qr_stat stat)
{
	switch (stat) {
	case QR_STAT_lru_lock_takes:
		return qr_lru_nr_lock_takes(&vmm->lru);
	case QR_STAT_lru_lock_waits:
		return qr_lru_nr_lock_waits(&vmm->lru);
	case QR_STAT_zone_lock_takes:
	case QR_STAT_zone_lock_waits:
		return zone_stat(vmm, stat);
	default:
		return qr_stat_sum(&vmm->stats, stat);
	}
}

void qr_vmm_destroy(struct qr_vmm *vmm)
{
	qr_kswapd_stop(vmm);
	/* Folios that died in a batch are freed when it is emptied. */
	qr_lru_drain(&vmm->lru);
	qr_swap_destroy(vmm->swap);
	qr_groups_destroy(vmm);
	qr_slab_cache_destroy(&vmm->object_cache);
	qr_slab_cache_destroy(&vmm->vma_cache);
}
