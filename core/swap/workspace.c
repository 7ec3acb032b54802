/*
 * Scratch memory of the swap: workspaces to compress and expand in, readers with bounce buffers for the file.
 *
 * A handful of each, a mutex apiece: a thread starts its search at the one of its CPU slot, and waits there if all
 * are taken.
 */
#include "swap/swap_priv.h"

#include "vmm/vmm.h"

/* Scratch takes at most this share of the frames online. */
#define WORKSPACE_SHARE_SHIFT 7u
#define SMALL_BUDGET_FRAMES (64u << (20 - QR_PAGE_SHIFT))

static int scratch_init_readers(struct qr_swap *swap);

void *qr_swap_block_alloc(struct qr_vmm *vmm, uint64_t nr_bytes, struct qr_frame **frames, uint32_t *order)
{
	uint64_t nr_pages = qr_pages_up(nr_bytes);

	*order = nr_pages > 1 ? qr_log2_u64(nr_pages - 1) + 1 : 0;
	if (*order > QR_MAX_ORDER)
		return NULL;
	*frames = qr_alloc_pages(vmm, *order, QR_GFP_RECLAIM);
	return *frames ? qr_zone_address(&vmm->zone, *frames) : NULL;
}

int qr_swap_scratch_init(struct qr_swap *swap)
{
	uint32_t codec_bytes = qr_port_codec_workspace(swap->config.codec);
	uint32_t nr = QR_MIN(qr_port_nr_cpus(), QR_MAX_WORKSPACES);
	uint32_t budget = qr_vmm_nr_online(swap->vmm) >> WORKSPACE_SHARE_SHIFT;

	for (uint32_t i = 0; i < nr; i++) {
		struct qr_workspace *workspace = &swap->workspaces[i];

		/* At least one; the others only if they are a small part of the budget. */
		if (i > 0 && (i + 1) << swap->workspace_order > budget)
			break;
		qr_mutex_init(&workspace->lock, QR_RANK_NONE);
		workspace->page = qr_swap_block_alloc(swap->vmm, QR_PAGE_SIZE + codec_bytes, &workspace->frames,
						      &swap->workspace_order);
		if (!workspace->page && i == 0)
			return QR_ENOMEM;
		if (!workspace->page)
			break;
		workspace->codec = workspace->page + QR_PAGE_SIZE;
		swap->nr_workspaces++;
	}
	return swap->config.has_file ? scratch_init_readers(swap) : 0;
}

void qr_swap_scratch_destroy(struct qr_swap *swap)
{
	for (uint32_t i = 0; i < swap->nr_readers; i++)
		qr_free_pages(swap->vmm, swap->readers[i].frames, swap->reader_order);
	for (uint32_t i = 0; i < swap->nr_workspaces; i++)
		qr_free_pages(swap->vmm, swap->workspaces[i].frames, swap->workspace_order);
	swap->nr_readers = 0;
	swap->nr_workspaces = 0;
}

void qr_swap_scratch_reset(struct qr_swap *swap)
{
	for (uint32_t i = 0; i < swap->nr_readers; i++) {
		qr_mutex_init(&swap->readers[i].lock, QR_RANK_NONE);
		swap->readers[i].nr_items = 0;
	}
	for (uint32_t i = 0; i < swap->nr_workspaces; i++)
		qr_mutex_init(&swap->workspaces[i].lock, QR_RANK_NONE);
}

struct qr_workspace *qr_workspace_take(struct qr_swap *swap)
{
	uint32_t start = qr_port_cpu() % swap->nr_workspaces;

	for (uint32_t i = 0; i < swap->nr_workspaces; i++) {
		struct qr_workspace *workspace = &swap->workspaces[(start + i) % swap->nr_workspaces];

		if (qr_mutex_trylock(&workspace->lock))
			return workspace;
	}
	qr_mutex_lock(&swap->workspaces[start].lock);
	return &swap->workspaces[start];
}

void qr_workspace_give(struct qr_workspace *workspace)
{
	qr_mutex_unlock(&workspace->lock);
}

struct qr_reader *qr_reader_take(struct qr_swap *swap)
{
	uint32_t start = qr_port_cpu() % swap->nr_readers;

	for (uint32_t i = 0; i < swap->nr_readers; i++) {
		struct qr_reader *reader = &swap->readers[(start + i) % swap->nr_readers];

		if (qr_mutex_trylock(&reader->lock))
			return reader;
	}
	qr_mutex_lock(&swap->readers[start].lock);
	return &swap->readers[start];
}

void qr_reader_give(struct qr_reader *reader)
{
	QR_ASSERT(reader->nr_items == 0);
	qr_mutex_unlock(&reader->lock);
}

static int scratch_init_readers(struct qr_swap *swap)
{
	uint32_t budget = qr_vmm_nr_online(swap->vmm);
	uint32_t nr_bytes = budget < SMALL_BUDGET_FRAMES ? 32u << 10 : 128u << 10;
	uint32_t nr = budget < SMALL_BUDGET_FRAMES ? 2 : budget < 4 * SMALL_BUDGET_FRAMES ? 4 : QR_MAX_READERS;

	for (uint32_t i = 0; i < nr; i++) {
		struct qr_reader *reader = &swap->readers[i];

		qr_mutex_init(&reader->lock, QR_RANK_NONE);
		reader->buffer = qr_swap_block_alloc(swap->vmm, nr_bytes, &reader->frames, &swap->reader_order);
		if (!reader->buffer)
			return i > 0 ? 0 : QR_ENOMEM;
		/* Touched now: the device is the first to write to it, and cannot take a fault of the pool. */
		memset(reader->buffer, 0, nr_bytes);
		swap->nr_readers++;
	}
	return 0;
}
