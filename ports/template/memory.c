/*
 * Template port: frames and translation.
 *
 * The frames lie in one array, which is their direct map. Translation is a table in software that
 * qr_template_translate() looks up; with an MMU, map, unmap and protect write page-table entries instead, and unmap
 * and protect end with a TLB flush on every CPU that may have the space loaded: unmap must not return while any
 * CPU can still reach the frame.
 */
#include "template.h"

void qr_template_init(struct qr_port *port, void *memory, uint32_t nr_frames)
{
	port->memory = memory;
	port->nr_frames = nr_frames;
	/* Frames that were never written to must read as zero; boot memory does not. */
	memset(memory, 0, (size_t)((uint64_t)nr_frames << QR_PAGE_SHIFT));
}

void qr_template_space_init(struct qr_port_space *space)
{
	memset(space, 0, sizeof(*space));
}

/* ---- Frames ---- */

void *qr_port_frame_address(struct qr_port *port, qr_pfn_t pfn)
{
	return port->memory + ((uint64_t)pfn.nr << QR_PAGE_SHIFT);
}

void qr_port_frames_zero(struct qr_port *port, qr_pfn_t pfn, uint32_t nr, bool is_fresh)
{
	if (!is_fresh)
		memset(qr_port_frame_address(port, pfn), 0, (size_t)((uint64_t)nr << QR_PAGE_SHIFT));
}

void qr_port_frames_release(struct qr_port *port, qr_pfn_t pfn, uint32_t nr)
{
	/* There is nobody to give them to; they read as zero when next touched, as the contract says. */
	memset(qr_port_frame_address(port, pfn), 0, (size_t)((uint64_t)nr << QR_PAGE_SHIFT));
}

uint32_t qr_port_memory_grow(struct qr_port *port, uint32_t nr)
{
	/* The array is all there is. */
	(void)port;
	(void)nr;
	return 0;
}

/* ---- Translation ---- */

/* The record of va, NULL outside of what the space can translate. */
static struct qr_template_page *page_of(struct qr_port_space *space, uint64_t va)
{
	uint64_t index = (va - QR_TEMPLATE_VA_START) >> QR_PAGE_SHIFT;

	return va >= QR_TEMPLATE_VA_START && index < QR_TEMPLATE_NR_PAGES ? &space->pages[index] : NULL;
}

bool qr_port_is_exclusive(struct qr_port *port)
{
	/* The array stays in reach while its frames are mapped. */
	(void)port;
	return false;
}

int qr_port_map(struct qr_port *port, struct qr_port_space *space, uint64_t va, qr_pfn_t pfn, uint32_t nr,
		uint32_t prot, uint32_t *nr_done)
{
	(void)port;
	for (*nr_done = 0; *nr_done < nr; ++*nr_done) {
		struct qr_template_page *page = page_of(space, va + *nr_done * QR_PAGE_SIZE);

		if (!page || !page->is_added)
			return QR_EFAULT;
		if (page->is_mapped)
			return QR_EEXIST;
		page->is_mapped = true;
		page->prot = prot;
		page->pfn.nr = pfn.nr + *nr_done;
	}
	return 0;
}

int qr_port_unmap(struct qr_port *port, struct qr_port_space *space, uint64_t va, qr_pfn_t pfn, uint32_t nr,
		  uint32_t prot, uint32_t *nr_done)
{
	(void)port;
	(void)prot;
	for (*nr_done = 0; *nr_done < nr; ++*nr_done) {
		struct qr_template_page *page = page_of(space, va + *nr_done * QR_PAGE_SIZE);

		if (!page || !page->is_added)
			return QR_EFAULT;
		QR_BUG_ON(page->is_mapped && page->pfn.nr != pfn.nr + *nr_done);
		page->is_mapped = false;
	}
	return 0;
}

/* Each unmap() is whole by itself. */
void qr_port_unmap_begin(struct qr_port *port, struct qr_port_space *space)
{
	(void)port;
	(void)space;
}

void qr_port_unmap_end(struct qr_port *port, struct qr_port_space *space)
{
	(void)port;
	(void)space;
}

int qr_port_protect(struct qr_port *port, struct qr_port_space *space, uint64_t va, qr_pfn_t pfn, uint32_t nr,
		    uint32_t prot, uint32_t *nr_done)
{
	(void)port;
	for (*nr_done = 0; *nr_done < nr; ++*nr_done) {
		struct qr_template_page *page = page_of(space, va + *nr_done * QR_PAGE_SIZE);

		QR_BUG_ON(!page || !page->is_mapped || page->pfn.nr != pfn.nr + *nr_done);
		page->prot = prot;
	}
	return 0;
}

void qr_port_wake_faulters(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint64_t len_bytes)
{
	/* A fault here is a trap of the only CPU, which tries again when the handler returns. */
	(void)port;
	(void)space;
	(void)va;
	(void)len_bytes;
}

void *qr_template_translate(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint32_t access)
{
	struct qr_template_page *page = page_of(space, va);

	if (!page || !page->is_mapped || (page->prot & access) != access)
		return NULL;
	return (uint8_t *)qr_port_frame_address(port, page->pfn) + va % QR_PAGE_SIZE;
}

/* ---- The shape of an address space ---- */

int qr_port_range_add(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint64_t len_bytes, uint32_t prot)
{
	(void)port;
	(void)prot; /* each page gets its protection when it is mapped */
	if (!page_of(space, va) || !page_of(space, va + len_bytes - 1))
		return QR_ENOMEM;
	for (uint64_t at = 0; at < len_bytes; at += QR_PAGE_SIZE)
		page_of(space, va + at)->is_added = true;
	return 0;
}

int qr_port_range_remove(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint64_t len_bytes)
{
	(void)port;
	for (uint64_t at = 0; at < len_bytes; at += QR_PAGE_SIZE) {
		QR_BUG_ON(page_of(space, va + at)->is_mapped);
		page_of(space, va + at)->is_added = false;
	}
	return 0;
}

int qr_port_range_protect(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint64_t len_bytes,
			  uint32_t prot)
{
	(void)port;
	for (uint64_t at = 0; at < len_bytes; at += QR_PAGE_SIZE)
		page_of(space, va + at)->prot = prot;
	return 0;
}
