/* The background reclaimer: sleeps until the low watermark is crossed, works until the high one is reached. */
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

int qr_kswapd_start(struct qr_vmm *vmm)
{
	vmm->kswapd.wake = KSWAPD_ASLEEP;
	vmm->kswapd.thread = qr_port_thread_start(vmm->port, "quire-kswapd", kswapd_main, vmm);
	return vmm->kswapd.thread < 0 ? vmm->kswapd.thread : 0;
}

void qr_kswapd_stop(struct qr_vmm *vmm)
{
	if (vmm->kswapd.thread < 0)
		return;
	qr_store_release(&vmm->kswapd.wake, KSWAPD_END);
	qr_port_wake(&vmm->kswapd.wake, 1);
	qr_port_thread_join(vmm->port, vmm->kswapd.thread);
	vmm->kswapd.thread = -1;
}

void qr_kswapd_wake(struct qr_vmm *vmm)
{
	uint32_t asleep = KSWAPD_ASLEEP;

	if (qr_load_relaxed(&vmm->kswapd.wake) == KSWAPD_ASLEEP && qr_cas(&vmm->kswapd.wake, &asleep, KSWAPD_WORK))
		qr_port_wake(&vmm->kswapd.wake, 1);
}

void qr_kswapd_run_ahead(struct qr_vmm *vmm, uint32_t nr)
{
	uint32_t min = qr_load_relaxed(&vmm->zone.watermark[QR_WMARK_MIN]);

	if (qr_zone_is_above(&vmm->zone, QR_WMARK_LOW, nr + AHEAD_WAKE * min))
		return;
	qr_store_relaxed(&vmm->kswapd.is_ahead, 1);
	qr_kswapd_wake(vmm);
}

static void kswapd_balance(struct qr_vmm *vmm)
{
	uint32_t min = qr_load_relaxed(&vmm->zone.watermark[QR_WMARK_MIN]);
	uint32_t ahead = qr_exchange(&vmm->kswapd.is_ahead, 0) ? AHEAD_GOAL * min : 0;

	while (!qr_zone_is_above(&vmm->zone, QR_WMARK_HIGH, ahead) &&
	       qr_load_relaxed(&vmm->kswapd.wake) != KSWAPD_END) {
		if (qr_reclaim(vmm, KSWAPD_BATCH))
			continue;
		(void)qr_port_wait_timeout(&vmm->kswapd.wake, KSWAPD_WORK, KSWAPD_BACKOFF_NS);
		return;
	}
}

static void kswapd_main(void *argument)
{
	struct qr_vmm *vmm = argument;

	for (;;) {
		uint32_t work = KSWAPD_WORK;

		while (qr_load_acquire(&vmm->kswapd.wake) == KSWAPD_ASLEEP)
			qr_port_wait(&vmm->kswapd.wake, KSWAPD_ASLEEP);
		if (qr_load_acquire(&vmm->kswapd.wake) == KSWAPD_END)
			return;
		qr_stat_add(&vmm->stats, QR_STAT_kswapd_wakeups, 1);
		kswapd_balance(vmm);
		/* Fails if somebody asked it to end. */
		(void)qr_cas(&vmm->kswapd.wake, &work, KSWAPD_ASLEEP);
	}
}
