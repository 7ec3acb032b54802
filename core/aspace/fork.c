/*
 * Fork: an address space with the same content, shared page by page until somebody writes.
 *
 * Parent and child have their VMAs on the same objects, so that a folio finds all its entries through its object; an
 * index of an object then stands for a page in each of them, and which folio each has there is up to its entry
 * (docs/adr/0005). Entries lose the right to write on both sides; slots of swap are counted.
 *
 * Each VMA is locked for writing while its pages are shared, which keeps its faults away; reclaim goes on, and sees an
 * entry on one side or on both, since both page-table pages are locked while entries are copied.
 *
 * Locks: parent's aspace lock, vma(W), page-table pages of both. The child is not reached by anybody else but reclaim.
 */
#include "aspace/aspace_priv.h"

struct fork {
	struct qr_aspace *parent;
	struct qr_aspace *child;
	struct qr_frame *from; /* page-table pages of the parent and the child */
	struct qr_frame *to;
	struct qr_group *group; /* of the VMA in work, or NULL */
};

static int fork_vma(struct fork *fork, struct qr_vma *vma);
static int fork_pages(struct fork *fork, const struct qr_vma *vma);
static void fork_table(struct fork *fork, uint64_t start, uint64_t end);
static uint32_t fork_entries(struct fork *fork, uint64_t va, uint64_t end);
static uint32_t fork_run(struct fork *fork, uint64_t va, uint64_t end);

int qr_aspace_fork(struct qr_aspace *parent, struct qr_port_space *child_space, struct qr_aspace **out)
{
	struct fork fork = {.parent = parent};
	struct qr_vma *vma;
	int err;

	if (qr_port_is_exclusive(parent->vmm->port))
		return QR_ENOSYS;
	err = qr_aspace_create(parent->vmm, child_space, parent->va_start, parent->va_end, &fork.child);
	if (err)
		return err;
	qr_aspace_lock(parent);
	qr_vma_tree_begin(fork.child->tree);
	for (uint64_t va = 0; !err && (vma = qr_vma_tree_find(parent->tree, va)); va = vma->end) {
		if (!(vma->flags & QR_VMA_DONTFORK))
			err = fork_vma(&fork, vma);
	}
	/* On errors as well: what is there is taken down as any address space is. */
	qr_vma_tree_publish(fork.child->tree);
	qr_aspace_unlock(parent);
	if (err) {
		qr_aspace_destroy(fork.child);
		return err;
	}
	qr_stat_add(&parent->vmm->stats, QR_STAT_forks, 1);
	*out = fork.child;
	return 0;
}

/* holds: aspace. */
static int fork_vma(struct fork *fork, struct qr_vma *vma)
{
	struct qr_aspace *child = fork->child;
	uint64_t len_bytes = vma->end - vma->start;
	struct qr_vma *copy = qr_vma_create(child, vma->object);
	int err;

	if (!copy)
		return QR_ENOMEM;
	err = qr_port_range_add(child->vmm->port, child->port_space, vma->start, len_bytes, vma->prot);
	if (err)
		goto discard;
	err = qr_vma_tree_insert(child->tree, copy, vma->start, vma->end);
	if (err)
		goto remove_range;
	qr_vma_write_lock(vma); /* holds: aspace, vma(W) */
	copy->prot = vma->prot;
	copy->flags = vma->flags & ~QR_VMA_LOCKED; /* as fork(2) has it */
	qr_vma_set_range(copy, vma->start, vma->end, vma->index);
	/* Before the first entry: reclaim has to find it. */
	qr_vma_link(copy);
	qr_store_relaxed(&vma->object->is_forked, true);
	if (!(vma->flags & QR_VMA_WIPEONFORK))
		err = fork_pages(fork, vma);
	qr_vma_write_unlock(vma);
	return err;
remove_range:
	(void)!qr_port_range_remove(child->vmm->port, child->port_space, vma->start, len_bytes);
discard:
	qr_vma_discard(copy);
	return err;
}

/* holds: aspace, vma(W). */
static int fork_pages(struct fork *fork, const struct qr_vma *vma)
{
	fork->group = vma->object->group;
	for (uint64_t va = vma->start; va < vma->end;) {
		uint64_t table_end = QR_MIN(QR_ALIGN_DOWN(va, QR_PT_SPAN) + QR_PT_SPAN, vma->end);

		fork->from = qr_pgtable_find(&fork->parent->pgtable, va);
		if (fork->from && qr_load_relaxed(&fork->from->refs) != 0) {
			int err = qr_pgtable_populate(&fork->child->pgtable, va, &fork->to);

			if (err)
				return err;
			fork_table(fork, va, table_end);
		}
		va = table_end;
	}
	return 0;
}

static void fork_table(struct fork *fork, uint64_t start, uint64_t end)
{
	unsigned spins = 0;

	for (uint64_t va = start; va < end;) {
		uint32_t nr_done = 1;

		qr_pt_lock_pair(fork->from, fork->to); /* holds: aspace, vma(W), both page-table pages */
		while (va < end && nr_done) {
			nr_done = fork_entries(fork, va, end);
			va += nr_done * QR_PAGE_SIZE;
		}
		qr_pt_unlock_pair(fork->from, fork->to);
		/* The machine could not go on for the moment. */
		if (!nr_done)
			qr_port_cpu_relax(spins++);
	}
}

/* holds: both page-table pages. Shares what is at va, or the run that begins there; returns the pages done. */
static uint32_t fork_entries(struct fork *fork, uint64_t va, uint64_t end)
{
	struct qr_vmm *vmm = fork->parent->vmm;
	qr_pte_t *entry = qr_pt_entry(&fork->parent->pgtable, fork->from, va);
	qr_pte_t *copy = qr_pt_entry(&fork->child->pgtable, fork->to, va);
	qr_pte_t pte = qr_pte_read(entry);

	if (qr_pte_is_present(pte))
		return fork_run(fork, va, end);
	if (qr_pte_is_swap(pte)) {
		qr_swap_get(vmm->swap, qr_pte_swap_slot(pte));
		qr_pte_write(fork->to, copy, pte);
		qr_aspace_count(fork->child, 0, 1);
		if (fork->group)
			qr_group_count_swapped(fork->group, 1);
	} else if (qr_pte_is_idle(pte)) {
		pte = qr_pte_with_prot(pte, qr_pte_prot(pte) & ~QR_PROT_WRITE);
		qr_folio_get(qr_folio_of_pfn(&vmm->zone, qr_pte_pfn(pte).nr), 1);
		qr_pte_write(fork->from, entry, pte);
		qr_pte_write(fork->to, copy, pte);
		qr_aspace_count(fork->child, 1, 0);
	}
	return 1;
}

/* Present entries from va on with one protection and consecutive PFNs, within one folio. */
static uint32_t run_length(struct fork *fork, uint64_t va, uint64_t end)
{
	struct qr_pgtable *table = &fork->parent->pgtable;
	const struct qr_zone *zone = &fork->parent->vmm->zone;
	qr_pte_t first = qr_pte_read(qr_pt_entry(table, fork->from, va));
	const struct qr_frame *folio = qr_folio_of_pfn(zone, qr_pte_pfn(first).nr);
	uint32_t nr_max = qr_zone_pfn(zone, folio) + qr_folio_nr_pages(folio) - qr_pte_pfn(first).nr;
	uint32_t nr = 1;

	nr_max = (uint32_t)QR_MIN((uint64_t)nr_max, (end - va) >> QR_PAGE_SHIFT);
	for (; nr < nr_max; nr++) {
		qr_pte_t pte = qr_pte_read(qr_pt_entry(table, fork->from, va + nr * QR_PAGE_SIZE));

		if (!qr_pte_is_present(pte) || qr_pte_pfn(pte).nr != qr_pte_pfn(first).nr + nr ||
		    qr_pte_prot(pte) != qr_pte_prot(first))
			break;
	}
	return nr;
}

/* holds: both page-table pages. The entry of va is present. */
static uint32_t fork_run(struct fork *fork, uint64_t va, uint64_t end)
{
	struct qr_aspace *parent = fork->parent, *child = fork->child;
	struct qr_port *port = parent->vmm->port;
	qr_pte_t first = qr_pte_read(qr_pt_entry(&parent->pgtable, fork->from, va));
	qr_pfn_t pfn = qr_pte_pfn(first);
	uint32_t prot = qr_pte_prot(first) & ~QR_PROT_WRITE;
	uint32_t nr = run_length(fork, va, end), nr_mapped = 0;

	if (qr_pte_is_writable(first))
		(void)!qr_port_protect(port, parent->port_space, va, pfn, nr, prot, &nr);
	if (!nr)
		return 0;
	qr_folio_get(qr_folio_of_pfn(&parent->vmm->zone, pfn.nr), nr);
	/* What cannot be mapped now is mapped when it is touched. */
	(void)!qr_port_map(port, child->port_space, va, pfn, nr, prot, &nr_mapped);
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t at = va + i * QR_PAGE_SIZE;
		qr_pte_t pte = qr_pte_present((qr_pfn_t){pfn.nr + i}, prot);

		qr_pte_write(fork->from, qr_pt_entry(&parent->pgtable, fork->from, at), pte);
		qr_pte_write(fork->to, qr_pt_entry(&child->pgtable, fork->to, at),
			     i < nr_mapped ? pte : qr_pte_to_idle(pte));
	}
	qr_aspace_count(child, nr, 0);
	return nr;
}
