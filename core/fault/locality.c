/*
 * What lies near a page that comes back from swap is brought along as far as that has paid.
 *
 * A neighbour has a class. Class 0 is the page that follows. Around each page there are blocks of 2, 4, 8 and 16
 * pages, aligned to their size; the half of a block in which the page is not is class 1, 2, 3, 4. For each region of
 * the address space and each class the share of neighbours that are touched soon is measured (qr_locality_touched()):
 * now and then one that comes along, or one of the next class, is a probe, that is, it is in memory but not mapped, so
 * that its first touch is seen. The window is the block of the largest class that is worth it, with all those below,
 * and the page that follows.
 *
 * Fields are read and written without a lock: a lost update loses a sample.
 */
#include "fault/fault_priv.h"

/* A class is brought along if this share of its neighbours is touched: below it, loading them and evicting others for
 * them costs more than the faults that are saved (a neighbour is about 1/5 of a fault, the page it displaces the rest).
 */
#define WORTH_NUMERATOR 1u
#define WORTH_DENOMINATOR 3u
/* Probes of a class before its share is believed, and when both counts are halved. */
#define MIN_PROBES 8u
#define MAX_PROBES 64u
/* A fault in so many makes a probe, whose hit costs a cheap fault; in so many where the next class is known to be worth
 * little: below 1/8. */
#define PROBE_SHARE 4u
#define PROBE_SHARE_POOR 32u
#define POOR_DENOMINATOR 8u
/* Of the resident pages: a touch after so many came back from swap is soon. */
#define SOON_SHARE 16u

static uint32_t hash_page(uint64_t va)
{
	return (uint32_t)(va >> QR_PAGE_SHIFT) * 0x9e3779b9u;
}

static struct qr_locality_region *region_of(struct qr_locality *locality, uint64_t va)
{
	uint32_t hash = (uint32_t)(va >> QR_LOCALITY_REGION_SHIFT) * 0x9e3779b9u;

	return &locality->regions[hash >> 16 & (QR_LOCALITY_REGIONS - 1)];
}

static struct qr_locality_probe *probe_of(struct qr_locality *locality, uint64_t va)
{
	return &locality->probes[(hash_page(va) >> 16) * QR_LOCALITY_PROBES >> 16];
}

/* Never 0. */
static uint32_t probe_tag(uint64_t va, unsigned class)
{
	return (uint32_t)(va >> QR_PAGE_SHIFT) << 3 | (class + 1);
}

static bool class_pays(const struct qr_locality_class *class)
{
	uint32_t nr_probes = qr_load_relaxed(&class->nr_probes);

	return nr_probes >= MIN_PROBES &&
	       qr_load_relaxed(&class->nr_hits) * WORTH_DENOMINATOR >= nr_probes * WORTH_NUMERATOR;
}

static bool class_is_poor(const struct qr_locality_class *class)
{
	uint32_t nr_probes = qr_load_relaxed(&class->nr_probes);

	return nr_probes >= MIN_PROBES && qr_load_relaxed(&class->nr_hits) * POOR_DENOMINATOR < nr_probes;
}

unsigned qr_locality_order(const struct fault *fault, bool *takes_next)
{
	const struct qr_locality_class *classes = region_of(fault->aspace->locality, fault->va)->classes;
	unsigned order = 0;

	*takes_next = class_pays(&classes[0]);
	while (order < QR_LOCALITY_MAX_ORDER && class_pays(&classes[order + 1]))
		order++;
	return order;
}

unsigned qr_locality_probe(const struct fault *fault, unsigned order, uint64_t *probe_va)
{
	struct qr_locality *locality = fault->aspace->locality;
	const struct qr_locality_class *classes = region_of(locality, fault->va)->classes;
	uint32_t turn = qr_fetch_add_relaxed(&locality->nr_faults, 1);
	unsigned next = QR_MIN(order + 1, QR_LOCALITY_MAX_ORDER), class;
	bool is_poor = class_is_poor(&classes[next]) && (class_is_poor(&classes[0]) || order);
	uint32_t share = is_poor ? PROBE_SHARE_POOR : PROBE_SHARE;
	uint64_t half_bytes, at;

	if (turn % share)
		return QR_LOCALITY_NONE;
	turn /= share;
	/* The next class most of the time, since more hangs on it. */
	class = turn & 1 ? next : (turn >> 1) % (next + 1);
	*probe_va = fault->va + QR_PAGE_SIZE;
	if (!class)
		return class;
	half_bytes = QR_PAGE_SIZE << (class - 1);
	at = (uint64_t)(hash_page(fault->va) >> 8 ^ turn * 0x9e3779b9u >> 8) << QR_PAGE_SHIFT;
	*probe_va = QR_ALIGN_DOWN(fault->va ^ half_bytes, half_bytes) + (at & (half_bytes - 1));
	return class;
}

void qr_locality_note_probe(const struct fault *fault, uint64_t probe_va, unsigned class)
{
	struct qr_locality *locality = fault->aspace->locality;
	struct qr_locality_class *counts = &region_of(locality, probe_va)->classes[class];
	struct qr_locality_probe *probe = probe_of(locality, probe_va);
	uint32_t nr_probes = qr_load_relaxed(&counts->nr_probes) + 1;

	if (nr_probes == MAX_PROBES) {
		nr_probes /= 2;
		qr_store_relaxed(&counts->nr_hits, (uint8_t)(qr_load_relaxed(&counts->nr_hits) / 2));
	}
	qr_store_relaxed(&counts->nr_probes, (uint8_t)nr_probes);
	qr_store_relaxed(&probe->stamp, qr_load_relaxed(&locality->nr_pages));
	qr_store_relaxed(&probe->tag, probe_tag(probe_va, class));
	qr_stat_add(&fault->aspace->vmm->stats, QR_STAT_probes, 1);
}

void qr_locality_note_pages(const struct fault *fault, uint32_t nr)
{
	(void)qr_fetch_add_relaxed(&fault->aspace->locality->nr_pages, nr);
}

/* Only a touch that comes soon counts, before 1/16 of the resident pages was replaced: any page is touched at last if
 * it is kept long enough, and so are those that have to go for it. Nothing waits for a probe that is never touched:
 * hits are counted against probes made, so in a steady state it does not matter how long they take. */
void qr_locality_touched(const struct fault *fault)
{
	struct qr_locality *locality = fault->aspace->locality;
	struct qr_locality_probe *probe = probe_of(locality, fault->va);
	uint32_t tag = qr_load_relaxed(&probe->tag);
	unsigned class = (tag & 7u) - 1;
	struct qr_locality_class *counts;
	uint32_t nr_pages;

	if (!tag || tag != probe_tag(fault->va, class))
		return;
	nr_pages = qr_load_relaxed(&locality->nr_pages) - qr_load_relaxed(&probe->stamp);
	qr_store_relaxed(&probe->tag, 0);
	if ((uint64_t)nr_pages * SOON_SHARE > qr_aspace_nr_resident(fault->aspace))
		return;
	counts = &region_of(locality, fault->va)->classes[class];
	/* Late hits may belong to probes that were halved away. */
	if (qr_load_relaxed(&counts->nr_hits) < qr_load_relaxed(&counts->nr_probes))
		qr_store_relaxed(&counts->nr_hits, (uint8_t)(qr_load_relaxed(&counts->nr_hits) + 1));
	qr_stat_add(&fault->aspace->vmm->stats, QR_STAT_probe_hits, 1);
}
