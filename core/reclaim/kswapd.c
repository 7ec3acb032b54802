/*
 * The background reclaimers, one for each node (L3): each sleeps until the low watermark of its node is crossed, and
 * works on the node's LRU lists until the high one is reached.
 */
#include "reclaim/reclaim_priv.h"

#define KSWAPD_ASLEEP 0u
#define KSWAPD_WORK 1u
#define KSWAPD_END 2u

#define KSWAPD_BATCH 64u
/* When nothing can be reclaimed, wait this long before trying again: 10 ms. */
#define KSWAPD_BACKOFF_NS 10000000u

/* For a stream kswapd is woken this many min watermarks above the low one, and goes on so many above the high one:
 * with 1/256 of the frames each, less than 3 % of memory, and only while the stream lasts. */
#define AHEAD_WAKE 4u
#define AHEAD_GOAL 7u

static void kswapd_main(void *argument);

/* On the last CPU of its node. */
static uint32_t cpu_of(const struct qr_vmm *vmm, uint32_t node)
{
	uint64_t end = (uint64_t)(node + 1) * vmm->nodes.nr_cpus_per_node;

	return (uint32_t)QR_MIN(end, (uint64_t)qr_port_nr_cpus()) - 1;
}

int qr_kswapd_start(struct qr_vmm *vmm)
{
	for (uint32_t node = 0; node < vmm->nodes.nr_nodes; node++) {
		struct qr_kswapd *kswapd = &vmm->kswapds[node];

		kswapd->wake = KSWAPD_ASLEEP;
		kswapd->thread =
			qr_port_thread_start(vmm->port, "quire-kswapd", cpu_of(vmm, node), kswapd_main, kswapd);
		if (kswapd->thread < 0) {
			int err = kswapd->thread;

			qr_kswapd_stop(vmm);
			return err;
		}
	}
	return 0;
}

void qr_kswapd_stop(struct qr_vmm *vmm)
{
	for (uint32_t node = 0; node < vmm->nodes.nr_nodes; node++) {
		struct qr_kswapd *kswapd = &vmm->kswapds[node];

		if (kswapd->thread < 0)
			continue;
		qr_store_release(&kswapd->wake, KSWAPD_END);
		qr_port_wake(&kswapd->wake, 1);
		qr_port_thread_join(vmm->port, kswapd->thread);
		kswapd->thread = -1;
	}
}

static void kswapd_wake(struct qr_kswapd *kswapd)
{
	uint32_t asleep = KSWAPD_ASLEEP;

	if (qr_load_relaxed(&kswapd->wake) == KSWAPD_ASLEEP && qr_cas(&kswapd->wake, &asleep, KSWAPD_WORK))
		qr_port_wake(&kswapd->wake, 1);
}

void qr_kswapd_wake(struct qr_vmm *vmm)
{
	kswapd_wake(vmm->kswapds);
}

void qr_kswapd_wake_node(struct qr_vmm *vmm, uint32_t node, enum qr_zone_kind kind)
{
	struct qr_kswapd *kswapd = &vmm->kswapds[node];

	if (!(qr_load_relaxed(&kswapd->asked) >> kind & 1))
		(void)qr_fetch_or(&kswapd->asked, 1u << kind);
	kswapd_wake(kswapd);
}

static uint32_t min_of(const struct qr_vmm *vmm, uint32_t node)
{
	const struct qr_node *self = &vmm->nodes.nodes[node];
	uint32_t min = 0;

	if (!qr_vmm_has_zones(vmm))
		return qr_load_relaxed(&vmm->zone.watermark[QR_WMARK_MIN]);
	for (uint32_t i = 0; i < self->nr_zones; i++)
		min = QR_MAX(min, qr_load_relaxed(&vmm->nodes.zones[self->first_zone + i]->watermark[QR_WMARK_MIN]));
	return min;
}

void qr_kswapd_run_ahead(struct qr_vmm *vmm, uint32_t nr)
{
	uint32_t node = qr_vmm_has_zones(vmm) ? qr_nodes_of_cpu(&vmm->nodes, qr_port_cpu()) : 0;

	if (qr_vmm_is_above(vmm, QR_WMARK_LOW, nr + AHEAD_WAKE * min_of(vmm, node)))
		return;
	qr_store_relaxed(&vmm->kswapds[node].is_ahead, 1);
	qr_kswapd_wake_node(vmm, node, QR_ZONE_MOVABLE);
}

/* Whether allocations of each kind that asked find enough in one of the node's zones. */
static bool is_balanced(const struct qr_kswapd *kswapd, uint32_t asked, uint32_t ahead)
{
	const struct qr_vmm *vmm = kswapd->vmm;

	if (!qr_vmm_has_zones(vmm))
		return qr_zone_is_above(&vmm->zone, QR_WMARK_HIGH, ahead);
	for (unsigned kind = 0; kind < QR_NR_ZONE_KINDS; kind++) {
		if (asked >> kind & 1 &&
		    !qr_node_is_above(&vmm->nodes.nodes[kswapd->node], QR_WMARK_HIGH, (enum qr_zone_kind)kind, ahead))
			return false;
	}
	return true;
}

static void kswapd_balance(struct qr_kswapd *kswapd)
{
	struct qr_vmm *vmm = kswapd->vmm;
	uint32_t asked = qr_exchange(&kswapd->asked, 0);
	uint32_t ahead = qr_exchange(&kswapd->is_ahead, 0) ? AHEAD_GOAL * min_of(vmm, kswapd->node) : 0;

	while (!is_balanced(kswapd, asked, ahead) && qr_load_relaxed(&kswapd->wake) != KSWAPD_END) {
		if (qr_reclaim_node(vmm, kswapd->node, KSWAPD_BATCH))
			continue;
		(void)qr_port_wait_timeout(&kswapd->wake, KSWAPD_WORK, KSWAPD_BACKOFF_NS);
		return;
	}
}

static void kswapd_main(void *argument)
{
	struct qr_kswapd *kswapd = argument;

	for (;;) {
		uint32_t work = KSWAPD_WORK;

		while (qr_load_acquire(&kswapd->wake) == KSWAPD_ASLEEP)
			qr_port_wait(&kswapd->wake, KSWAPD_ASLEEP);
		if (qr_load_acquire(&kswapd->wake) == KSWAPD_END)
			return;
		qr_stat_add(&kswapd->vmm->stats, QR_STAT_kswapd_wakeups, 1);
		kswapd_balance(kswapd);
		/* Fails if somebody asked it to end. */
		(void)qr_cas(&kswapd->wake, &work, KSWAPD_ASLEEP);
	}
}
