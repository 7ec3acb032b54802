/* What a manager asks of all its zones together: sums, the zone of a frame, and the limit on the frames in use. */
#include "alloc/alloc_priv.h"
#include "vmm/vmm.h"

static uint32_t zone_set_limit(struct qr_zone *zone, uint32_t nr_wanted);

static uint32_t nr_zones_of(const struct qr_vmm *vmm)
{
	return QR_MAX(1u, vmm->nodes.nr_zones);
}

/* The first one is there without any nodes. */
static struct qr_zone *zone_at(const struct qr_vmm *vmm, uint32_t number)
{
	return number ? vmm->nodes.zones[number] : (struct qr_zone *)&vmm->zone;
}

struct qr_zone *qr_vmm_zone_of(struct qr_vmm *vmm, const struct qr_frame *frame)
{
	return qr_vmm_has_zones(vmm) ? qr_nodes_zone_of(&vmm->nodes, qr_zone_pfn(&vmm->zone, frame)) : &vmm->zone;
}

struct qr_zone *qr_vmm_local_zone(struct qr_vmm *vmm)
{
	const struct qr_node *node;

	if (!qr_vmm_has_zones(vmm))
		return &vmm->zone;
	node = &vmm->nodes.nodes[qr_nodes_of_cpu(&vmm->nodes, qr_port_cpu())];
	return vmm->nodes.zones[node->first_zone + node->nr_zones - 1];
}

uint32_t qr_vmm_nr_online(const struct qr_vmm *vmm)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < nr_zones_of(vmm); i++)
		nr += qr_load_relaxed(&zone_at(vmm, i)->nr_online);
	return nr;
}

uint32_t qr_vmm_nr_free(const struct qr_vmm *vmm)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < nr_zones_of(vmm); i++)
		nr += qr_zone_nr_free(zone_at(vmm, i));
	return nr;
}

bool qr_vmm_is_above(const struct qr_vmm *vmm, enum qr_watermark mark, uint32_t nr_more)
{
	const struct qr_nodes *nodes = &vmm->nodes;

	if (!qr_vmm_has_zones(vmm))
		return qr_zone_is_above(&vmm->zone, mark, nr_more);
	return qr_node_is_above(&nodes->nodes[qr_nodes_of_cpu(nodes, qr_port_cpu())], mark, QR_ZONE_MOVABLE, nr_more);
}

bool qr_vmm_zones_are_valid(struct qr_vmm *vmm)
{
	for (uint32_t i = 0; i < nr_zones_of(vmm); i++) {
		if (!qr_zone_is_valid(zone_at(vmm, i)))
			return false;
	}
	return true;
}

/* nr * part / whole, rounded down, with part at most whole, bit by bit: 32-bit machines have no division of 64 bits. */
static uint32_t proportion(uint32_t nr, uint64_t part, uint64_t whole)
{
	uint64_t rest = 0;
	uint32_t quotient = 0;

	if (part == whole)
		return nr;
	for (uint32_t bit = 1u << 31; bit; bit >>= 1) {
		rest = 2 * rest + (nr & bit ? part : 0);
		quotient *= 2;
		for (; rest >= whole; rest -= whole)
			quotient++;
	}
	return quotient;
}

/* Each zone gets its part of nr_frames in proportion to its span: what is left over by rounding down goes to the last
 * ones. Returns what came of it. */
uint32_t qr_vmm_set_limit(struct qr_vmm *vmm, uint32_t nr_frames)
{
	uint64_t nr_span = 0, nr_spans_before = 0;
	uint32_t nr_wanted, nr_before = 0, nr_now = 0;

	for (uint32_t i = 0; i < nr_zones_of(vmm); i++)
		nr_span += zone_at(vmm, i)->nr_span;
	nr_wanted = (uint32_t)QR_MIN((uint64_t)nr_frames, nr_span);
	qr_mutex_lock(&vmm->zone.resize_lock);
	for (uint32_t i = 0; i < nr_zones_of(vmm); i++) {
		uint32_t nr_until;

		nr_spans_before += zone_at(vmm, i)->nr_span;
		nr_until = proportion(nr_wanted, nr_spans_before, nr_span);
		nr_now += zone_set_limit(zone_at(vmm, i), nr_until - nr_before);
		nr_before = nr_until;
	}
	qr_store_relaxed(&vmm->nr_limit, nr_now);
	if (qr_vmm_has_zones(vmm))
		qr_nodes_set_watermarks(&vmm->nodes);
	qr_mutex_unlock(&vmm->zone.resize_lock);
	return nr_now;
}

/* holds: the manager's resize lock. Returns the number in force. */
static uint32_t zone_set_limit(struct qr_zone *zone, uint32_t nr_wanted)
{
	uint32_t nr_now = qr_load_relaxed(&zone->nr_online);

	if (nr_now > nr_wanted) {
		nr_now -= qr_zone_balloon_inflate(zone, nr_now - nr_wanted);
	} else if (nr_now < nr_wanted) {
		nr_now += qr_zone_balloon_deflate(zone, nr_wanted - nr_now);
		nr_now += qr_zone_online(zone, nr_wanted - nr_now);
		qr_store_relaxed(&zone->vmm->is_oom, 0);
	}
	qr_zone_set_watermarks(zone);
	return nr_now;
}
