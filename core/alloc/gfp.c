/*
 * The manager's allocator: takes frames from its zones, wakes kswapd when they run low, reclaims when they run out, and
 * zeroes.
 */
#include "alloc/alloc_priv.h"
#include "vmm/vmm.h"

/* Frames asked of one reclaim: enough to pay for its walk, few enough for a fault to wait for. */
#define RECLAIM_BATCH 32u
/* A block of several frames may not form however much is freed: give up after this many reclaims. */
#define MAX_ROUNDS_BLOCK 16u
/* Reclaims in a row that free nothing before memory counts as exhausted. Pauses of 1, 2, 4, ... 64 ms lie between
 * them: 127 ms, longer than a swap file's slowest transfer. */
#define MAX_FAILURES 8u
#define FIRST_PAUSE_NS 1000000u

/* What an allocation asks for, for the slow ways. */
struct request {
	uint32_t node;    /* where it begins */
	unsigned order;
	uint64_t allowed; /* set of nodes */
	qr_gfp_t gfp;
};

static struct qr_frame *alloc_on_nodes(struct qr_vmm *vmm, uint32_t node, uint64_t allowed, unsigned order,
				       qr_gfp_t gfp);
static void wake_nodes(struct qr_vmm *vmm, const struct request *request);
static struct qr_frame *alloc_finish(struct qr_vmm *vmm, struct qr_frame *frame, unsigned order, qr_gfp_t gfp);
static struct qr_frame *alloc_slow(struct qr_vmm *vmm, const struct request *request);
static struct qr_frame *alloc_reclaim(struct qr_vmm *vmm, const struct request *request);
static struct qr_frame *take_again(struct qr_vmm *vmm, const struct request *request);
static uint32_t reclaim_for(struct qr_vmm *vmm, const struct request *request);
static bool reclaim_last_resort(struct qr_vmm *vmm);
static void reclaim_pause(uint32_t nr_failures);
static void zero_block(struct qr_vmm *vmm, struct qr_frame *frame, unsigned order, qr_gfp_t gfp);
static void zero_run(struct qr_vmm *vmm, struct qr_frame *frame, uint32_t nr, bool is_fresh, qr_gfp_t gfp);

struct qr_frame *qr_alloc_pages(struct qr_vmm *vmm, unsigned order, qr_gfp_t gfp)
{
	struct qr_frame *frame;

	if (qr_vmm_has_zones(vmm))
		return alloc_on_nodes(vmm, qr_nodes_of_cpu(&vmm->nodes, qr_port_cpu()), QR_ALL_NODES, order, gfp);
	frame = qr_zone_take(&vmm->zone, order, gfp);
	if (!(gfp & QR_GFP_RECLAIM) && !qr_zone_is_above(&vmm->zone, QR_WMARK_LOW, 0))
		qr_kswapd_wake(vmm);
	if (qr_unlikely(!frame))
		frame = alloc_slow(vmm, &(struct request){.order = order, .gfp = gfp, .allowed = QR_ALL_NODES});
	return frame ? alloc_finish(vmm, frame, order, gfp) : NULL;
}

struct qr_frame *qr_alloc_pages_node(struct qr_vmm *vmm, uint32_t node, unsigned order, qr_gfp_t gfp)
{
	return qr_vmm_has_zones(vmm) ? alloc_on_nodes(vmm, node, QR_ALL_NODES, order, gfp)
				     : qr_alloc_pages(vmm, order, gfp);
}

struct qr_frame *qr_alloc_pages_bound(struct qr_vmm *vmm, uint64_t nodes, unsigned order, qr_gfp_t gfp)
{
	if (qr_vmm_has_zones(vmm))
		return alloc_on_nodes(vmm, qr_nodes_of_cpu(&vmm->nodes, qr_port_cpu()), nodes, order, gfp);
	return nodes & 1 ? qr_alloc_pages(vmm, order, gfp) : NULL;
}

static struct qr_frame *alloc_on_nodes(struct qr_vmm *vmm, uint32_t node, uint64_t allowed, unsigned order,
				       qr_gfp_t gfp)
{
	struct request request = {.node = node, .order = order, .gfp = gfp, .allowed = allowed};
	struct qr_frame *frame = qr_nodes_take(&vmm->nodes, node, allowed, order, gfp);

	if (!(gfp & QR_GFP_RECLAIM))
		wake_nodes(vmm, &request);
	if (qr_unlikely(!frame))
		frame = alloc_slow(vmm, &request);
	return frame ? alloc_finish(vmm, frame, order, gfp) : NULL;
}

/* Those that were passed over, or would be next time, for want of frames above the low mark. */
static void wake_nodes(struct qr_vmm *vmm, const struct request *request)
{
	const struct qr_node *self = &vmm->nodes.nodes[request->node];
	enum qr_zone_kind kind = qr_gfp_kind(request->gfp);

	for (uint32_t rank = 0; rank < vmm->nodes.nr_nodes; rank++) {
		uint32_t node = self->fallback[rank];

		if (!(request->allowed >> node & 1) || !qr_node_has_kind(&vmm->nodes.nodes[node], kind))
			continue;
		if (qr_node_is_above(&vmm->nodes.nodes[node], QR_WMARK_LOW, kind, 1u << request->order))
			return;
		qr_kswapd_wake_node(vmm, node, kind);
	}
}

static struct qr_frame *alloc_finish(struct qr_vmm *vmm, struct qr_frame *frame, unsigned order, qr_gfp_t gfp)
{
	if (qr_unlikely(qr_load_relaxed(&vmm->is_oom)))
		qr_store_relaxed(&vmm->is_oom, 0);
	if (gfp & QR_GFP_ZERO)
		zero_block(vmm, frame, order, gfp);
	qr_zone_forget_fresh(frame, order);
	return frame;
}

void qr_free_pages(struct qr_vmm *vmm, struct qr_frame *frame, unsigned order)
{
	qr_zone_free(qr_vmm_zone_of(vmm, frame), frame, order);
}

void qr_free_pages_cold(struct qr_vmm *vmm, struct qr_frame *frame, unsigned order)
{
	qr_zone_free_cold(qr_vmm_zone_of(vmm, frame), frame, order);
}

static struct qr_frame *alloc_slow(struct qr_vmm *vmm, const struct request *request)
{
	struct qr_frame *frame;
	uint64_t start_ns;

	if (!(request->gfp & QR_GFP_WAIT) || request->gfp & (QR_GFP_NORETRY | QR_GFP_RECLAIM))
		return NULL;
	start_ns = qr_port_now_ns();
	frame = alloc_reclaim(vmm, request);
	qr_stat_add(&vmm->stats, QR_STAT_direct_reclaims, 1);
	qr_stat_add(&vmm->stats, QR_STAT_stalled_ns, qr_port_now_ns() - start_ns);
	return frame;
}

/* Reclaims until there is a block. May sleep. */
static struct qr_frame *alloc_reclaim(struct qr_vmm *vmm, const struct request *request)
{
	bool is_bound = request->allowed != QR_ALL_NODES;
	uint32_t nr_failures = 0;

	for (uint32_t round = 1;; round++) {
		uint32_t nr_freed = reclaim_for(vmm, request);
		struct qr_frame *frame = take_again(vmm, request);

		if (frame)
			return frame;
		if (request->order && round == MAX_ROUNDS_BLOCK)
			return NULL;
		nr_failures = nr_freed ? 0 : nr_failures + 1;
		if (nr_failures == MAX_FAILURES || (nr_failures && qr_load_relaxed(&vmm->is_oom))) {
			if (request->order || is_bound || !reclaim_last_resort(vmm))
				return NULL;
			nr_failures = 0;
		} else if (nr_failures) {
			reclaim_pause(nr_failures);
		}
	}
}

static struct qr_frame *take_again(struct qr_vmm *vmm, const struct request *request)
{
	if (qr_vmm_has_zones(vmm))
		return qr_nodes_take(&vmm->nodes, request->node, request->allowed, request->order, request->gfp);
	return qr_zone_take(&vmm->zone, request->order, request->gfp);
}

/* Frees frames where the request may take them, on the nearest node that has any to give. */
static uint32_t reclaim_for(struct qr_vmm *vmm, const struct request *request)
{
	uint32_t nr = QR_MAX(RECLAIM_BATCH, 1u << request->order);
	uint32_t nr_freed = 0;

	for (uint32_t rank = 0; qr_vmm_has_zones(vmm) && rank < vmm->nodes.nr_nodes && !nr_freed; rank++) {
		uint32_t node = vmm->nodes.nodes[request->node].fallback[rank];

		if (request->allowed >> node & 1 &&
		    qr_node_has_kind(&vmm->nodes.nodes[node], qr_gfp_kind(request->gfp)))
			nr_freed = qr_reclaim_node(vmm, node, nr);
	}
	return nr_freed || request->allowed != QR_ALL_NODES ? nr_freed : qr_reclaim(vmm, nr);
}

/* True if the port made room. The port is asked once; until an allocation succeeds again the rest fail quickly. */
static bool reclaim_last_resort(struct qr_vmm *vmm)
{
	if (qr_load_relaxed(&vmm->is_oom))
		return false;
	if (qr_port_out_of_memory(vmm->port, "every frame of the RAM budget is in use and none can be reclaimed"))
		return true;
	qr_store_relaxed(&vmm->is_oom, 1);
	return false;
}

/* Another thread may be about to free: gives it time. */
static void reclaim_pause(uint32_t nr_failures)
{
	uint32_t never_changes = 0;

	(void)qr_port_wait_timeout(&never_changes, 0, (uint64_t)FIRST_PAUSE_NS << (nr_failures - 1));
}

static void zero_block(struct qr_vmm *vmm, struct qr_frame *frame, unsigned order, qr_gfp_t gfp)
{
	uint32_t nr = 1u << order;
	uint32_t end;

	for (uint32_t start = 0; start < nr; start = end) {
		bool is_fresh = qr_folio_test(&frame[start], QR_FRAME_FRESH);

		for (end = start + 1; end < nr; end++) {
			if (qr_folio_test(&frame[end], QR_FRAME_FRESH) != is_fresh)
				break;
		}
		zero_run(vmm, &frame[start], end - start, is_fresh, gfp);
	}
	qr_stat_add(&vmm->stats, QR_STAT_pages_zeroed, nr);
}

static void zero_run(struct qr_vmm *vmm, struct qr_frame *frame, uint32_t nr, bool is_fresh, qr_gfp_t gfp)
{
	/* The port's way may sleep. */
	if (gfp & QR_GFP_WAIT)
		qr_port_frames_zero(vmm->port, (qr_pfn_t){qr_zone_pfn(&vmm->zone, frame)}, nr, is_fresh);
	else
		memset(qr_zone_address(&vmm->zone, frame), 0, (size_t)nr << QR_PAGE_SHIFT);
}
