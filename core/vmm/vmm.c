/* Bringing up a manager: zone, slabs, LRU and swap in metadata that the port supplies. */
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

/* Lays the arrays out from base; with base NULL only the size matters. */
static uint64_t vmm_layout(uint8_t *base, uint32_t nr_frames, struct vmm_arrays *arrays)
{
	struct layout layout = {.base = base};
	uint64_t nr_cpus = qr_port_nr_cpus();

	arrays->vmm = layout_take(&layout, sizeof(struct qr_vmm));
	arrays->pcps = layout_take(&layout, nr_cpus * sizeof(struct qr_pcp));
	arrays->batches = layout_take(&layout, nr_cpus * sizeof(struct qr_lru_batch));
	arrays->lruvecs = layout_take(&layout, QR_MIN(nr_cpus, QR_MAX_LRUVECS) * sizeof(struct qr_lruvec));
	arrays->lru_sets = layout_take(&layout, sizeof(*arrays->lru_sets) << QR_FOLIO_LRUVEC_BITS);
	arrays->groups = layout_take(&layout, sizeof(*arrays->groups) << QR_FOLIO_LRUVEC_BITS);
	arrays->stats = layout_take(&layout, nr_cpus * sizeof(struct qr_stat_cpu));
	arrays->vma_cpus = layout_take(&layout, nr_cpus * sizeof(struct qr_slab_cpu));
	arrays->object_cpus = layout_take(&layout, nr_cpus * sizeof(struct qr_slab_cpu));
	arrays->fresh_bits = layout_take(&layout, (uint64_t)(nr_frames + 63) / 64 * sizeof(uint64_t));
	arrays->memmap = layout_take(&layout, (uint64_t)nr_frames * sizeof(struct qr_frame));
	return layout.used;
}

uint64_t qr_vmm_metadata_bytes(uint32_t nr_frames)
{
	struct vmm_arrays arrays;

	return vmm_layout(NULL, nr_frames, &arrays);
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

static bool has_lists_per_group(const struct qr_vmm_config *config)
{
	return config->choices.lru_scope == QR_LRU_CLUSTER || config->choices.lru_scope == QR_LRU_GROUP;
}

int qr_vmm_create(const struct qr_vmm_config *config, struct qr_vmm **out)
{
	struct vmm_arrays arrays;
	struct qr_vmm *vmm;
	int err;

	if (!qr_choices_is_valid(&config->choices))
		return QR_EINVAL;
	(void)vmm_layout(config->metadata, config->nr_frames, &arrays);
	vmm = arrays.vmm;
	vmm->port = config->port;
	vmm->choices = config->choices;
	vmm->kswapd.thread = -1;
	vmm->stats.nr_cpus = qr_port_nr_cpus();
	vmm->stats.cpus = arrays.stats;
	qr_zone_init(&vmm->zone, &(struct qr_zone_config){
					 .vmm = vmm,
					 .memmap = arrays.memmap,
					 .fresh_bits = arrays.fresh_bits,
					 .base_address = config->pool_address,
					 .nr_span = config->nr_frames,
					 .pcps = arrays.pcps,
					 .nr_pcps = qr_port_nr_cpus(),
					 .pcp = (enum qr_pcp_choice)config->choices.pcp,
				 });
	vmm->nr_limit = qr_zone_online(&vmm->zone, config->nr_frames_start);
	qr_zone_set_watermarks(&vmm->zone);
	qr_lru_init(&vmm->lru, &vmm->zone, arrays.lruvecs, nr_cpus_per_lruvec(config), arrays.batches,
		    config->choices.lru_batch == QR_LRU_UNBATCHED ? 0 : qr_port_nr_cpus());
	if (has_lists_per_group(config))
		qr_lru_init_groups(&vmm->lru, arrays.lru_sets);
	qr_balance_init(&vmm->balance, config->nr_frames_usual ? config->nr_frames_usual : config->nr_frames);
	qr_groups_init(&vmm->groups, arrays.groups);
	err = vmm_init_slabs(vmm, &arrays);
	if (!err)
		err = qr_swap_create(vmm, &config->swap, &vmm->swap);
	if (!err)
		*out = vmm;
	return err;
}

uint64_t qr_vmm_stat(const struct qr_vmm *vmm, enum qr_stat stat)
{
	switch (stat) {
	case QR_STAT_lru_lock_takes:
		return qr_lru_nr_lock_takes(&vmm->lru);
	case QR_STAT_lru_lock_waits:
		return qr_lru_nr_lock_waits(&vmm->lru);
	case QR_STAT_zone_lock_takes:
		return qr_load_relaxed(&vmm->zone.nr_lock_takes);
	case QR_STAT_zone_lock_waits:
		return qr_load_relaxed(&vmm->zone.nr_lock_waits);
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
