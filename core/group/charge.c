/*
 * Charging pages to a group.
 *
 * The shared count is raised by an addition that is only made if the result is within the limit, so max is never
 * exceeded, not even for a moment. It moves in stocks: a charge takes from the CPU's stock, one that finds it short
 * takes a stock more than it needs, and one that finds the group full takes what it needs alone, then the stocks of
 * all CPUs, then pages by reclaim. Near its limit a group is thus charged page by page.
 */
#include "group/group_priv.h"

/* Pages asked of one reclaim: as for a whole manager, enough to pay for its walk. */
#define RECLAIM_BATCH 32u
/* Reclaims in a row that free nothing before a full group counts as exhausted, with pauses of 1, 2, 4, ... ms between
 * them: what the allocator does for a whole manager. */
#define MAX_FAILURES 8u
#define PAUSE_NS 1000000u
/* Above high: a pause for each 1/64 of the mark that a group is above it, up to as many. */
#define HIGH_STEPS 64u

static int charge(struct qr_group *group, uint32_t nr, qr_gfp_t gfp);
static int charge_full(struct qr_group *group, uint32_t nr);
static void throttle(struct qr_group *group);
static uint32_t reclaim(struct qr_group *group, uint32_t nr);
static void pause_ns(uint64_t ns);
static bool stock_take(struct qr_group *group, uint32_t nr);
static bool count_add(struct qr_group *group, uint32_t nr, uint32_t limit);

struct qr_frame *qr_group_alloc_pages(struct qr_vmm *vmm, struct qr_group *group, unsigned order, qr_gfp_t gfp)
{
	struct qr_frame *frame;

	if (!group)
		return qr_alloc_pages(vmm, order, gfp);
	if (charge(group, 1u << order, gfp))
		return NULL;
	frame = qr_alloc_pages(vmm, order, gfp);
	if (!frame)
		qr_group_uncharge(group, 1u << order);
	return frame;
}

void qr_group_free_pages(struct qr_vmm *vmm, struct qr_group *group, struct qr_frame *frame, unsigned order)
{
	if (group)
		qr_group_uncharge(group, 1u << order);
	qr_free_pages(vmm, frame, order);
}

void qr_group_make_room(struct qr_group *group, uint32_t nr)
{
	uint32_t max = qr_load_relaxed(&group->max);
	uint32_t limit = QR_MIN(max, qr_load_relaxed(&group->high));
	uint32_t nr_charged = qr_load_relaxed(&group->nr_charged);
	uint64_t start_ns;

	if (nr_charged <= limit && nr <= limit - nr_charged)
		return;
	if (qr_group_drain_stocks(group) || nr >= limit)
		return;
	(void)qr_fetch_add_relaxed(limit == max ? &group->nr_max_events : &group->nr_high_events, 1);
	start_ns = qr_port_now_ns();
	(void)reclaim(group, nr);
	(void)qr_fetch_add_relaxed(&group->stalled_ns, qr_port_now_ns() - start_ns);
}

static struct qr_group_cpu *my_share(const struct qr_group *group)
{
	return &group->cpus[qr_port_cpu() % group->nr_cpus];
}

void qr_group_uncharge(struct qr_group *group, uint32_t nr)
{
	uint32_t *stock = &my_share(group)->nr_stock;
	uint32_t seen = qr_fetch_add(stock, nr) + nr;

	while (seen > 2 * QR_GROUP_STOCK) {
		if (qr_cas(stock, &seen, QR_GROUP_STOCK)) {
			(void)qr_fetch_sub(&group->nr_charged, seen - QR_GROUP_STOCK);
			break;
		}
	}
	if (qr_unlikely(qr_load_relaxed(&group->is_oom)))
		qr_store_relaxed(&group->is_oom, 0);
}

void qr_group_count_swapped(struct qr_group *group, uint32_t nr)
{
	(void)qr_fetch_add_relaxed(&my_share(group)->nr_swapped, nr);
}

void qr_group_count_slab(struct qr_group *group, uint64_t bytes)
{
	(void)qr_fetch_add_relaxed(&my_share(group)->slab_bytes, bytes);
}

uint32_t qr_group_drain_stocks(struct qr_group *group)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < group->nr_cpus; i++) {
		if (qr_load_relaxed(&group->cpus[i].nr_stock))
			nr += qr_exchange(&group->cpus[i].nr_stock, 0);
	}
	if (nr)
		(void)qr_fetch_sub(&group->nr_charged, nr);
	return nr;
}

bool qr_group_shrink(struct qr_group *group, uint32_t nr)
{
	uint32_t nr_failures = 0;

	while (qr_load_relaxed(&group->nr_charged) > nr && nr_failures < MAX_FAILURES) {
		if (qr_group_drain_stocks(group))
			continue;
		nr_failures = reclaim(group, qr_load_relaxed(&group->nr_charged) - nr) ? 0 : nr_failures + 1;
	}
	return nr_failures < MAX_FAILURES;
}

/* Charges nr pages; 0 or QR_ENOMEM. */
static int charge(struct qr_group *group, uint32_t nr, qr_gfp_t gfp)
{
	bool may_wait = gfp & QR_GFP_WAIT && !(gfp & (QR_GFP_NORETRY | QR_GFP_RECLAIM));
	uint32_t high = qr_load_relaxed(&group->high);
	uint32_t max = qr_load_relaxed(&group->max);
	uint64_t start_ns;
	int err = 0;

	if (stock_take(group, nr))
		return 0;
	if (count_add(group, nr + QR_GROUP_STOCK, QR_MIN(high, max))) {
		(void)qr_fetch_add(&my_share(group)->nr_stock, QR_GROUP_STOCK);
		return 0;
	}
	if (count_add(group, nr, QR_MIN(high, max)))
		return 0;
	/* Full, or above high. Who can do without leaves the group its reclaim. */
	if (!may_wait)
		return QR_ENOMEM;
	start_ns = qr_port_now_ns();
	if (!count_add(group, nr, max))
		err = charge_full(group, nr);
	if (!err && qr_load_relaxed(&group->nr_charged) > high)
		throttle(group);
	(void)qr_fetch_add_relaxed(&group->stalled_ns, qr_port_now_ns() - start_ns);
	return err;
}

/* The group is full: stocks, then reclaim, then the manager's rule for memory that is exhausted. */
static int charge_full(struct qr_group *group, uint32_t nr)
{
	uint32_t nr_failures = 0;

	(void)qr_fetch_add_relaxed(&group->nr_max_events, 1);
	for (;;) {
		bool is_freed = qr_group_drain_stocks(group) || reclaim(group, QR_MAX(RECLAIM_BATCH, nr));

		if (stock_take(group, nr) || count_add(group, nr, qr_load_relaxed(&group->max)))
			return 0;
		nr_failures = is_freed ? 0 : nr_failures + 1;
		if (nr_failures == MAX_FAILURES || (nr_failures && qr_load_relaxed(&group->is_oom))) {
			if (qr_load_relaxed(&group->is_oom) ||
			    !qr_port_out_of_memory(group->vmm->port,
						   "a memory group is at its max, and nothing of it can "
						   "be reclaimed")) {
				qr_store_relaxed(&group->is_oom, 1);
				return QR_ENOMEM;
			}
			nr_failures = 0;
		} else if (nr_failures) {
			pause_ns((uint64_t)PAUSE_NS << (nr_failures - 1));
		}
	}
}

/* Who charges above high pays for it: with reclaim, and with time where that is not enough. */
static void throttle(struct qr_group *group)
{
	uint32_t high = qr_load_relaxed(&group->high);
	uint32_t nr_over = qr_load_relaxed(&group->nr_charged);

	nr_over -= QR_MIN(nr_over, high);
	(void)qr_fetch_add_relaxed(&group->nr_high_events, 1);
	if (!nr_over || qr_group_drain_stocks(group) >= nr_over || reclaim(group, QR_MIN(nr_over, RECLAIM_BATCH)))
		return;
	pause_ns((uint64_t)QR_MIN(nr_over / (high / HIGH_STEPS + 1) + 1, HIGH_STEPS) * PAUSE_NS);
}

static uint32_t reclaim(struct qr_group *group, uint32_t nr)
{
	struct qr_lru_target target = {.group = group->number};

	return qr_reclaim_from(group->vmm, &target, nr);
}

static void pause_ns(uint64_t ns)
{
	uint32_t never_changes = 0;

	(void)qr_port_wait_timeout(&never_changes, 0, ns);
}

/* Takes nr pages from the CPU's stock, if it has them. */
static bool stock_take(struct qr_group *group, uint32_t nr)
{
	uint32_t *stock = &my_share(group)->nr_stock;
	uint32_t seen = qr_load_relaxed(stock);

	while (seen >= nr) {
		/* A drain may take it away, and threads of one CPU slot may meet here. */
		if (qr_cas(stock, &seen, seen - nr))
			return true;
	}
	return false;
}

/* Raises the shared count by nr if it stays within the limit. */
static bool count_add(struct qr_group *group, uint32_t nr, uint32_t limit)
{
	uint32_t seen = qr_load_relaxed(&group->nr_charged);
	uint32_t peak;

	do {
		if (seen > limit || nr > limit - seen)
			return false;
	} while (!qr_cas(&group->nr_charged, &seen, seen + nr));
	peak = qr_load_relaxed(&group->nr_peak);
	while (peak < seen + nr && !qr_cas(&group->nr_peak, &peak, seen + nr))
		continue;
	return true;
}
