/*
 * Swap: loading. Slots without storage, in the pool and in cluster buffers are served on the spot; those in the file
 * are gathered, pinned, and read together (read.c).
 *
 * A stored page is copied out, or its buffer pinned, under the slot's shard lock, and expanded after that: the slot
 * may move to another tier at any time.
 */
#include "swap/swap_priv.h"

#include "vmm/vmm.h"

static bool load_now(struct qr_swap *swap, uint32_t slot, void *page, struct qr_read_item *item, int *result);
static int load_copied(struct qr_swap *swap, uint32_t slot, uint32_t len_bytes, void *page,
		       struct qr_workspace *workspace);

int qr_swap_load(struct qr_swap *swap, const uint32_t *slots, uint32_t nr, void *const *pages, int *results)
{
	struct qr_reader *reader = NULL;
	struct qr_read_item item;
	uint64_t start_ns = 0, file_ns = 0;
	uint32_t nr_file = 0;
	int first_err = 0;

	for (uint32_t i = 0; i < nr; i++) {
		if (load_now(swap, slots[i], pages[i], &item, &results[i]))
			continue;
		if (!reader) {
			start_ns = qr_port_now_ns();
			reader = qr_reader_take(swap);
		}
		nr_file++;
		item.index = i;
		reader->items[reader->nr_items++] = item;
		if (reader->nr_items == QR_READ_ITEMS)
			qr_swap_read_items(swap, reader, pages, results);
	}
	if (reader) {
		qr_swap_read_items(swap, reader, pages, results);
		qr_reader_give(reader);
		file_ns = qr_port_now_ns() - start_ns;
	}
	qr_share_note_loads(swap, nr_file, nr - nr_file, file_ns);
	for (uint32_t i = 0; i < nr; i++) {
		if (results[i] && !first_err)
			first_err = results[i];
	}
	qr_stat_add(&swap->vmm->stats, QR_STAT_swapin_pages, nr);
	return first_err;
}

int qr_swap_expand(struct qr_swap *swap, const void *stored, uint32_t len_bytes, void *page,
		   struct qr_workspace *workspace)
{
	if (len_bytes == QR_PAGE_SIZE) {
		memcpy(page, stored, QR_PAGE_SIZE);
		return 0;
	}
	return qr_port_decompress(swap->config.codec, stored, len_bytes, page, workspace->codec);
}

/* Loads a slot that needs no device and returns true, or describes and pins the record to read. */
static bool load_now(struct qr_swap *swap, uint32_t slot, void *page, struct qr_read_item *item, int *result)
{
	struct qr_workspace *workspace = qr_workspace_take(swap);
	struct qr_slot *entry = qr_slot_lock(&swap->slots, slot); /* holds: workspace, shard */
	uint32_t len_bytes = qr_slot_len(entry);
	enum qr_tier tier = qr_slot_tier(entry);
	uint64_t value = entry->value;
	bool is_done = true;

	QR_BUG_ON(entry->refs == 0);
	if (tier == QR_TIER_POOL)
		qr_zpool_copy(&swap->pool, value, len_bytes, workspace->page);
	else if (tier == QR_TIER_FILE)
		qr_cluster_pin(&swap->log, (uint32_t)value, (uint32_t)(value >> 32), &item->place);
	qr_slot_unlock(&swap->slots, slot);
	if (tier == QR_TIER_SAME) {
		qr_same_fill(page, value);
		*result = 0;
	} else if (tier == QR_TIER_POOL) {
		*result = load_copied(swap, slot, len_bytes, page, workspace);
	} else if (item->place.address) {
		*result = qr_swap_expand(swap, item->place.address + sizeof(struct qr_record), len_bytes, page,
					 workspace);
		qr_cluster_unpin(&swap->log, &item->place);
	} else {
		item->slot = slot;
		item->len_bytes = len_bytes;
		is_done = false;
	}
	qr_workspace_give(workspace);
	return is_done;
}

static int load_copied(struct qr_swap *swap, uint32_t slot, uint32_t len_bytes, void *page,
		       struct qr_workspace *workspace)
{
	int err = qr_swap_expand(swap, workspace->page, len_bytes, page, workspace);

	if (err)
		qr_port_log(swap->vmm->port, QR_LOG_ERROR, "slot %u: compressed page in RAM is damaged",
			    (unsigned)slot);
	return err;
}
