/*
 * Page-table entries of x86_64, 4-level paging. Source: Intel SDM volume 3A, section 4.5 ("4-level paging and
 * 5-level paging"), table 4-20 for an entry that maps a 4 KiB page. Bits 9-11 of an entry, and all but bit 0 of one
 * whose bit 0 is clear, are ignored by the processor and hold the manager's own state:
 *
 *            63  62-44  43-12        11  10  9   8-7  6  5  4-3  2   1   0
 *   present  NX  0      PFN          0   0   0   0    D  A  0    US  RW  1
 *   idle     NX  0      PFN          0   0   1   0    D  A  0    US  RW  0
 *   swap     0   0      slot         0   1   0   0    0  0  0    0   0   0
 *   none     all bits 0
 *
 * The right to read is the US bit: a page without it is out of the program's reach, as PROT_NONE says.
 */
#ifndef QR_ARCH_X86_64_PTE_H
#define QR_ARCH_X86_64_PTE_H

#include <quire/port.h>

#include "base/base.h"

#define QR_PT_LEVELS 4u
#define QR_PT_INDEX_BITS 9u
#define QR_PT_ENTRIES (1u << QR_PT_INDEX_BITS)
#define QR_PT_SPAN ((uint64_t)QR_PT_ENTRIES << QR_PAGE_SHIFT)
/* One past the largest address of the lower, canonical half of 48-bit linear addresses (SDM volume 1, 3.3.7.1). */
#define QR_VA_END ((uint64_t)1 << 47)

#define QR_PTE_PRESENT ((uint64_t)1 << 0)
#define QR_PTE_WRITE ((uint64_t)1 << 1)
#define QR_PTE_USER ((uint64_t)1 << 2)
#define QR_PTE_ACCESSED ((uint64_t)1 << 5) /* set by processors that walk these tables */
#define QR_PTE_DIRTY ((uint64_t)1 << 6)
#define QR_PTE_IDLE ((uint64_t)1 << 9)
#define QR_PTE_SWAP ((uint64_t)1 << 10)
#define QR_PTE_NO_EXEC ((uint64_t)1 << 63)
#define QR_PTE_NUMBER_SHIFT 12u /* PFN or slot: 32 bits from here */
#define QR_PTE_PROT_BITS (QR_PTE_WRITE | QR_PTE_USER | QR_PTE_NO_EXEC)

static inline uint64_t qr_pte_prot_bits(uint32_t prot)
{
	return ((prot & QR_PROT_READ) ? QR_PTE_USER : 0) | ((prot & QR_PROT_WRITE) ? QR_PTE_USER | QR_PTE_WRITE : 0) |
	       ((prot & QR_PROT_EXEC) ? QR_PTE_USER : QR_PTE_NO_EXEC);
}

static inline qr_pte_t qr_pte_none(void)
{
	return (qr_pte_t){0};
}

static inline qr_pte_t qr_pte_present(qr_pfn_t pfn, uint32_t prot)
{
	return (qr_pte_t){QR_PTE_PRESENT | qr_pte_prot_bits(prot) | (uint64_t)pfn.nr << QR_PTE_NUMBER_SHIFT};
}

static inline qr_pte_t qr_pte_idle(qr_pfn_t pfn, uint32_t prot)
{
	return (qr_pte_t){QR_PTE_IDLE | qr_pte_prot_bits(prot) | (uint64_t)pfn.nr << QR_PTE_NUMBER_SHIFT};
}

static inline qr_pte_t qr_pte_swap(uint32_t slot)
{
	return (qr_pte_t){QR_PTE_SWAP | (uint64_t)slot << QR_PTE_NUMBER_SHIFT};
}

static inline bool qr_pte_is_none(qr_pte_t pte)
{
	return pte.raw == 0;
}

static inline bool qr_pte_is_present(qr_pte_t pte)
{
	return (pte.raw & QR_PTE_PRESENT) != 0;
}

static inline bool qr_pte_is_idle(qr_pte_t pte)
{
	return (pte.raw & (QR_PTE_PRESENT | QR_PTE_IDLE)) == QR_PTE_IDLE;
}

static inline bool qr_pte_is_swap(qr_pte_t pte)
{
	return (pte.raw & (QR_PTE_PRESENT | QR_PTE_IDLE | QR_PTE_SWAP)) == QR_PTE_SWAP;
}

/* The hardware may write to the page (present), or could when it is mapped again (idle). */
static inline bool qr_pte_is_writable(qr_pte_t pte)
{
	return (pte.raw & QR_PTE_WRITE) != 0 && (qr_pte_is_present(pte) || qr_pte_is_idle(pte));
}

/* Of a present or idle entry. */
static inline qr_pfn_t qr_pte_pfn(qr_pte_t pte)
{
	return (qr_pfn_t){(uint32_t)(pte.raw >> QR_PTE_NUMBER_SHIFT)};
}

static inline uint32_t qr_pte_swap_slot(qr_pte_t pte)
{
	return (uint32_t)(pte.raw >> QR_PTE_NUMBER_SHIFT);
}

/* QR_PROT_* of a present or idle entry. x86 cannot withhold reading from who may write or execute. */
static inline uint32_t qr_pte_prot(qr_pte_t pte)
{
	if (!(pte.raw & QR_PTE_USER))
		return 0;
	return QR_PROT_READ | ((pte.raw & QR_PTE_WRITE) ? QR_PROT_WRITE : 0) |
	       ((pte.raw & QR_PTE_NO_EXEC) ? 0 : QR_PROT_EXEC);
}

/* The same entry, present or idle, with another protection. */
static inline qr_pte_t qr_pte_with_prot(qr_pte_t pte, uint32_t prot)
{
	return (qr_pte_t){(pte.raw & ~QR_PTE_PROT_BITS) | qr_pte_prot_bits(prot)};
}

/* A present entry as idle. */
static inline qr_pte_t qr_pte_to_idle(qr_pte_t pte)
{
	return (qr_pte_t){(pte.raw & ~QR_PTE_PRESENT) | QR_PTE_IDLE};
}

/* Entries of the upper levels. The rights are decided at the bottom level, so all are granted here. */
static inline qr_pte_t qr_pte_table(qr_pfn_t pfn)
{
	return (qr_pte_t){QR_PTE_PRESENT | QR_PTE_WRITE | QR_PTE_USER | (uint64_t)pfn.nr << QR_PTE_NUMBER_SHIFT};
}

static inline bool qr_pte_is_table(qr_pte_t pte)
{
	return (pte.raw & QR_PTE_PRESENT) != 0;
}

/* Bytes mapped by one entry of a level: 4 KiB at level 0. */
static inline uint64_t qr_pt_entry_span(unsigned level)
{
	return QR_PAGE_SIZE << (QR_PT_INDEX_BITS * level);
}

/* Which entry of its table of that level maps va; level 0 is the page-table page, 3 the top. */
static inline unsigned qr_pt_index(uint64_t va, unsigned level)
{
	return (unsigned)(va >> (QR_PAGE_SHIFT + QR_PT_INDEX_BITS * level)) & (QR_PT_ENTRIES - 1);
}

#endif
