/*
 * Frames. The pool is address space only: host memory comes with the first byte that is written to a frame, so that a
 * machine of 2 TiB fits into a small one. Of programs' pages only the first word has content: which page it is. A frame
 * that was written to (that, page tables, slabs, compressed pages) is marked as backed, and only those are really
 * cleared.
 */
#include <string.h>

#include "directory.h"
#include "port_sim.h"

static uint64_t shared_used;
static bool is_clearing_left_out;

static uint64_t *backed_word(uint64_t pfn)
{
	return (uint64_t *)QR_SIM_BACKED + pfn / 64;
}

void qr_sim_mark_backed(uint64_t offset)
{
	uint64_t pfn = offset >> QR_PAGE_SHIFT;

	if (offset < QR_SIM_POOL_BYTES)
		*backed_word(pfn) |= (uint64_t)1 << pfn % 64;
}

static bool is_backed(uint64_t pfn)
{
	return *backed_word(pfn) >> pfn % 64 & 1;
}

static void charge(uint64_t amount)
{
	if (qr_sim_current)
		qr_sim_current->clock += amount;
}

/* Frames of another node cost more. */
static void charge_pages(uint64_t pfn, uint32_t nr, uint64_t each)
{
	uint64_t remote = 0;

	for (uint32_t i = 0; i < nr && qr_sim_current; i++)
		remote += qr_sim_node_of_frame(pfn + i) != qr_sim_current->node;
	charge(nr * each + remote * qr_sim.costs.remote_page);
}

static uint8_t *slot_of(qr_pfn_t pfn)
{
	return (uint8_t *)QR_SIM_ARENA + ((uint64_t)pfn.nr << QR_PAGE_SHIFT);
}

void *qr_port_frame_address(struct qr_port *port, qr_pfn_t pfn)
{
	(void)port;
	return slot_of(pfn);
}

/* Every frame is cleared, fresh or not: no machine knows what its memory holds after a start. */
void qr_port_frames_zero(struct qr_port *port, qr_pfn_t pfn, uint32_t nr, bool is_fresh)
{
	(void)port;
	charge_pages(pfn.nr, nr, qr_sim.costs.zero_page);
	for (uint32_t i = 0; i < nr && !is_fresh && !is_clearing_left_out; i++) {
		if (is_backed(pfn.nr + i))
			memset(slot_of((qr_pfn_t){pfn.nr + i}), 0, QR_PAGE_SIZE);
	}
}

void qr_port_frames_release(struct qr_port *port, qr_pfn_t pfn, uint32_t nr)
{
	(void)port;
	for (uint32_t i = 0; i < nr; i++) {
		if (is_backed(pfn.nr + i))
			memset(slot_of((qr_pfn_t){pfn.nr + i}), 0, QR_PAGE_SIZE);
	}
}

void qr_sim_leave_out_clearing(void)
{
	is_clearing_left_out = true;
}

void qr_sim_content_access(uint32_t pfn, uint64_t va, bool is_write)
{
	uint64_t page = va >> QR_PAGE_SHIFT;
	uint64_t *word = (uint64_t *)(void *)slot_of((qr_pfn_t){pfn});

	if (is_backed(pfn) && *word && *word != page)
		qr_sim_fail("wrong content: page 0x%llx is in frame %u, which holds page 0x%llx",
			    (unsigned long long)page, pfn, (unsigned long long)*word);
	if (is_write && !(is_backed(pfn) && *word)) {
		*word = page;
		qr_sim_mark_backed((uint64_t)pfn << QR_PAGE_SHIFT);
	}
}

uint32_t qr_port_memory_grow(struct qr_port *port, uint32_t nr)
{
	(void)port;
	(void)nr;
	return 0;
}

void *qr_sim_shared_alloc(uint64_t len_bytes)
{
	uint64_t at = shared_used;

	shared_used += QR_ALIGN_UP(len_bytes, (uint64_t)QR_CACHE_LINE);
	if (shared_used > QR_SIM_SHARED_BYTES)
		qr_sim_fail("the workload's shared data do not fit");
	return (void *)(uintptr_t)(QR_SIM_SHARED + at);
}

/* Copies go at the machine's rate for whole pages; lines of program data are not modelled. */
void qr_sim_copy_bulk(void *to, const void *from, uint64_t len_bytes)
{
	uint64_t to_offset = (uintptr_t)to - QR_SIM_ARENA, from_offset = (uintptr_t)from - QR_SIM_ARENA;

	charge(len_bytes * qr_sim.costs.copy_page >> QR_PAGE_SHIFT);
	if (from_offset < QR_SIM_POOL_BYTES && to_offset < QR_SIM_POOL_BYTES && len_bytes == QR_PAGE_SIZE &&
	    !is_backed(from_offset >> QR_PAGE_SHIFT) && !is_backed(to_offset >> QR_PAGE_SHIFT))
		return; /* neither has any content */
	memmove(to, from, len_bytes);
	for (uint64_t at = 0; at < len_bytes; at += QR_PAGE_SIZE)
		qr_sim_mark_backed(to_offset + at);
}
