/*
 * The template port's machine: one CPU, memory in one fixed array, translation by a table in software, no swap
 * device. Replace the structs by what your kernel has; core sees pointers to them only.
 */
#ifndef QR_TEMPLATE_H
#define QR_TEMPLATE_H

#include <quire/port.h>

#include "base/base.h"

/* Addresses that a space can translate: 16 MiB from 1 GiB on. */
#define QR_TEMPLATE_VA_START ((uint64_t)1 << 30)
#define QR_TEMPLATE_NR_PAGES 4096u

/* One page of a space. A machine with an MMU has this in its page tables. */
struct qr_template_page {
	bool is_added;  /* lies in a range of qr_port_range_add() */
	bool is_mapped;
	uint32_t prot;
	qr_pfn_t pfn;
};

struct qr_port_space {
	struct qr_template_page pages[QR_TEMPLATE_NR_PAGES]; /* [(va - QR_TEMPLATE_VA_START) / 4096] */
};

struct qr_port {
	uint8_t *memory;    /* slot of PFN 0 */
	uint32_t nr_frames;
};

/* memory: nr_frames pages, page-aligned. */
void qr_template_init(struct qr_port *port, void *memory, uint32_t nr_frames);
void qr_template_space_init(struct qr_port_space *space);

/* What the MMU does for an access: the place of va in memory, NULL where it would fault. access: QR_PROT_*. */
void *qr_template_translate(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint32_t access);

#endif
