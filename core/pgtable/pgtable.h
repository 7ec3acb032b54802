/*
 * Page tables: the manager's own record of what every virtual page is, in the x86_64 4-level format
 * (arch/x86_64/pte.h), with one lock per page-table page (T2), stored in that page's descriptor, or, as a baseline, one
 * for the whole (T1).
 *
 * Page-table pages are frames; upper levels are filled in with compare-and-swap and never go away while the
 * address space lives, except through qr_pgtable_free_range().
 *
 * What a PTE can say:
 *   none      nothing there
 *   present   the page of that PFN is mapped in the hardware (or kernel) tables
 *   idle      the page of that PFN is in memory, and was taken out of the hardware's tables on purpose
 *   swap      the content is in that swap slot
 */
#ifndef QR_CORE_PGTABLE_H
#define QR_CORE_PGTABLE_H

#include "page/frame.h"

struct qr_vmm;

typedef struct {
	uint64_t raw QR_ALIGNED(8); /* i386 would align it to 4, and its atomic access needs 8 */
} qr_pte_t;

#include "pte.h" /* arch: encoding of qr_pte_t and the index of each level */

/* arch/x86_64/pte.h supplies, all static inline:
 *   bool qr_pte_is_none/is_present/is_idle/is_swap(qr_pte_t)
 *   bool qr_pte_is_writable(qr_pte_t)            hardware may write (present) or could when mapped (idle)
 *   qr_pte_t qr_pte_none(void)
 *   qr_pte_t qr_pte_present(qr_pfn_t, uint32_t prot), qr_pte_idle(qr_pfn_t, uint32_t prot)
 *   qr_pfn_t qr_pte_pfn(qr_pte_t)                present or idle
 *   uint32_t qr_pte_prot(qr_pte_t)               present or idle
 *   qr_pte_t qr_pte_with_prot(qr_pte_t, uint32_t prot), qr_pte_to_idle(qr_pte_t)
 *   qr_pte_t qr_pte_swap(uint32_t slot), uint32_t qr_pte_swap_slot(qr_pte_t)
 *   unsigned qr_pt_index(uint64_t va, unsigned level)   level 0 is the page-table page, 3 the top
 *   uint64_t qr_pt_entry_span(unsigned level)    bytes mapped by one entry
 *   QR_VA_END                                    one past the last address that the tables can map
 *   QR_PT_LEVELS, QR_PT_ENTRIES (512), QR_PT_SPAN (bytes mapped by one page-table page: 2 MiB)
 *   qr_pte_t qr_pte_table(qr_pfn_t), bool qr_pte_is_table(qr_pte_t)  upper levels
 */

struct qr_pgtable {
	struct qr_vmm *vmm;     /* (I) */
	struct qr_frame *root;  /* (I) top-level table */
	bool is_lock_shared;    /* (I) QR_PT_LOCK_ASPACE */
	uint32_t lock;          /* (A) that one lock's state */
	uint64_t nr_tables QR_ALIGNED(8); /* (A) frames in use as page tables, the root included */
};

int qr_pgtable_init(struct qr_pgtable *table, struct qr_vmm *vmm) QR_WARN_UNUSED;
/* Every PTE is none. */
void qr_pgtable_destroy(struct qr_pgtable *table);

/* The page-table page of va, made if missing. May sleep and reclaim; no page-table lock may be held.
 * Returns 0 or QR_ENOMEM. */
int qr_pgtable_populate(struct qr_pgtable *table, uint64_t va, struct qr_frame **page) QR_WARN_UNUSED;
/* The same, NULL if missing. Never sleeps. */
struct qr_frame *qr_pgtable_find(struct qr_pgtable *table, uint64_t va);

/* The lock of one page-table page (a mutex, rank QR_RANK_PT; its state is in the descriptor, or in the page table with
 * QR_PT_LOCK_ASPACE). May sleep. */
void qr_pt_lock(struct qr_frame *page);
bool qr_pt_trylock(struct qr_frame *page);
void qr_pt_unlock(struct qr_frame *page);
bool qr_pt_is_locked(struct qr_frame *page);
/* The locks of two pages, which may be one and the same. */
void qr_pt_lock_pair(struct qr_frame *one, struct qr_frame *other);
void qr_pt_unlock_pair(struct qr_frame *one, struct qr_frame *other);

/* The entry of va in its page-table page. Reads and writes of entries are atomic 64-bit; writes under the lock. */
qr_pte_t *qr_pt_entry(struct qr_pgtable *table, struct qr_frame *page, uint64_t va);
qr_pte_t qr_pte_read(const qr_pte_t *entry);
/* Writes an entry and keeps the page's count of entries in use (frame->refs). */
void qr_pte_write(struct qr_frame *page, qr_pte_t *entry, qr_pte_t pte);

/* Frees page-table pages that lie wholly in [floor, ceiling) and hold nothing but none entries.
 * The caller guarantees that nobody else can reach that range. Returns the number freed. */
uint64_t qr_pgtable_free_range(struct qr_pgtable *table, uint64_t floor, uint64_t ceiling);

bool qr_pgtable_is_valid(struct qr_pgtable *table);

#endif
