/* Pins of system calls in progress; pin.h has the idea. */
#define _LGPL_SOURCE /* liburcu's read sections inline */
#include "pin.h"
#include "record.h"

#include <unistd.h>
#include <urcu/urcu-bp.h>

#include "fault/fault.h"
#include "internal.h"

/* Attempts at a page for which there is no memory, 1 ms apart; then the system call fails as it must. */
#define SETTLE_RETRIES 1000u
#define SETTLE_RETRY_US 1000u

/* A call pins a 64th of the budget at most, so that some dozen threads can be in calls at a time; below 64 KiB pipes
 * and datagrams would be cut, above 1 MiB a longer piece gains nothing. */
#define LIMIT_SHARE 64u
#define LIMIT_MIN ((uint64_t)64 << 10)
#define LIMIT_MAX ((uint64_t)1 << 20)

static struct qr_pins *all_pins; /* (A) list through next; entries are never taken off */

static uint32_t settle_range(struct qr_manager *manager, uint64_t start, uint64_t end);

void qr_pins_add(struct qr_pins *pins)
{
	struct qr_pins *first = qr_load_relaxed(&all_pins);

	do
		pins->next = first;
	while (!qr_cas(&all_pins, &first, pins));
}

uint64_t qr_pins_limit(const struct qr_manager *manager)
{
	uint64_t share = qr_load_relaxed(&manager->options.ram_bytes) / LIMIT_SHARE;

	return QR_MAX(QR_MIN(share & QR_PAGE_MASK, (uint64_t)LIMIT_MAX), (uint64_t)LIMIT_MIN);
}

bool qr_pins_meet(uint64_t start, uint64_t end)
{
	for (struct qr_pins *pins = qr_load_acquire(&all_pins); pins; pins = pins->next) {
		uint32_t nr = qr_load_acquire(&pins->nr);

		for (uint32_t i = 0; i < nr; i++) {
			if (qr_load_relaxed(&pins->ranges[i].start) < end &&
			    qr_load_relaxed(&pins->ranges[i].end) > start)
				return true;
		}
	}
	return false;
}

void qr_pins_forget_others(const struct qr_pins *own)
{
	for (struct qr_pins *pins = all_pins; pins; pins = pins->next) {
		if (pins != own)
			qr_pins_pop(pins, 0);
	}
}

uint32_t qr_pins_settle(struct qr_manager *manager, const struct qr_pins *pins, uint32_t first)
{
	uint32_t nr_absent = 0;

	/* The first read section of a thread registers it with RCU: that must not happen under core's locks. */
	urcu_bp_read_lock();
	urcu_bp_read_unlock();
	pthread_rwlock_rdlock(&manager->fork.gate);
	for (uint32_t i = first; i < pins->nr; i++) {
		uint64_t start = QR_MAX(pins->ranges[i].start & QR_PAGE_MASK, manager->port.space.va_start);
		uint64_t end = QR_MIN(pins->ranges[i].end, manager->port.space.va_end);

		nr_absent += settle_range(manager, start, end);
	}
	pthread_rwlock_unlock(&manager->fork.gate);
	return nr_absent;
}

/* Looks at the pages from va on, in one VMA and one page-table page. Returns where it stopped: at the end of these, or
 * at a page that is not present, or has no mapping: *is_missing. */
static uint64_t find_missing(struct qr_manager *manager, uint64_t va, uint64_t end, bool *is_missing)
{
	struct qr_pgtable *table = &manager->aspace->pgtable;
	struct qr_vma *vma = qr_aspace_find_locked(manager->aspace, va); /* holds: vma(R), which keeps its tables */
	struct qr_frame *page;

	*is_missing = true;
	if (!vma)
		return va;
	end = QR_MIN(end, vma->end);
	end = QR_MIN(end, QR_ALIGN_DOWN(va, QR_PT_SPAN) + QR_PT_SPAN);
	page = qr_pgtable_find(table, va);
	if (page) {
		/* Whoever was unmapping has finished; whoever comes later sees the pin. */
		qr_pt_lock(page);
		while (va < end && qr_pte_is_present(qr_pte_read(qr_pt_entry(table, page, va))))
			va += QR_PAGE_SIZE;
		qr_pt_unlock(page);
		*is_missing = va < end;
	}
	qr_vma_unlock(vma);
	return va;
}

static uint32_t settle_range(struct qr_manager *manager, uint64_t start, uint64_t end)
{
	unsigned nr_retries = 0;
	uint32_t nr_absent = 0;

	for (uint64_t va = start; va < end;) {
		bool is_missing;
		int err;

		va = find_missing(manager, va, end, &is_missing);
		if (!is_missing)
			continue;
		err = qr_fault(manager->aspace, va, 0);
		if (!err && manager->record)
			qr_record_note(manager->record, &manager->domain, va);
		if (err == QR_EIO || err == QR_EILSEQ)
			qr_port_content_lost(&manager->port, va, err);
		if (err == QR_ENOMEM && nr_retries++ < SETTLE_RETRIES) {
			usleep(SETTLE_RETRY_US);
			continue;
		}
		/* No such mapping: the system call says so, or does not come that far. */
		if (err) {
			va += QR_PAGE_SIZE;
			nr_absent++;
		}
	}
	return nr_absent;
}
