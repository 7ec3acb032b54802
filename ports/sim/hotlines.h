/* The lines that CPUs took from each other most often, named by what lies in them. */
#ifndef QR_SIM_HOTLINES_H
#define QR_SIM_HOTLINES_H

#include "vmm/vmm.h"

struct qr_hot_line {
	char symbol[64]; /* the object: "qr_zone", "slab vma", "page table" */
	char field[48];  /* the first field of it that lies in the line, or its offset */
	uint64_t misses, invalidations;
	uint32_t cpus;    /* that missed on it: exact up to 64 CPUs, groups of equal numbers modulo 64 beyond */
	const char *site; /* function of the last miss */
};

/* The nr hottest; returns how many there are. Lines of alike objects (frame descriptors, page tables, objects of one
 * slab cache) are summed up. */
uint32_t qr_hot_lines(struct qr_vmm *vmm, struct qr_hot_line *lines, uint32_t nr);

#endif
