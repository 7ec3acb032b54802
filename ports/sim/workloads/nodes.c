/*
 * Nodes and kinds of memory: where allocations go as memory fills up. An operation is one node and kind, or one set.
 *
 * For each node and each kind of memory that an allocation may ask for, frames are taken until there are no more. Each
 * zone of the machine and such a request are a pair: it is obeyed if the zone serves the request only where it may, and
 * for the first time when it is its turn. Whose turn it is follows from what the machine says of itself, not from
 * core's own lists. Then allocations are bound to each set of nodes, and must use all of it and nothing else.
 */
#include "workloads/workload.h"

enum { PAIRS, PAIRS_OBEYED, ORDERS, ORDERS_EXACT, SETS, SETS_USED, SETS_LEFT, NR_FRAMES };

#define MAX_ZONES (QR_MAX_NODES * QR_NR_ZONE_KINDS)
/* Sets of more nodes than that would be too many. */
#define MAX_SET_NODES 6u

static const struct qr_lab_param params[] = {
	{NULL, NULL, NULL, NULL},
};

struct state {
	struct qr_frame *taken; /* frames, each with the address of the one before in its owner word */
	uint32_t nr_served;
	uint32_t served[MAX_ZONES]; /* [turn] numbers of zones, by their first frame */
	bool has_served[MAX_ZONES]; /* [zone] */
};

static int setup(struct qr_lab *lab)
{
	lab->state = qr_lab_alloc(lab, sizeof(struct state));
	return 0;
}

/* The zone of a frame, by the zones' bounds. */
static uint32_t zone_of(const struct qr_vmm *vmm, const struct qr_frame *frame)
{
	uint32_t pfn = qr_zone_pfn(&vmm->zone, frame), i = 0;

	while (pfn - vmm->nodes.zones[i]->pfn_base >= vmm->nodes.zones[i]->nr_span)
		i++;
	return i;
}

static void note(struct qr_lab *lab, struct qr_frame *frame)
{
	struct state *state = lab->state;
	uint32_t zone = zone_of(lab->vmm, frame);

	frame->owner = state->taken;
	state->taken = frame;
	lab->figures[NR_FRAMES]++;
	if (state->has_served[zone])
		return;
	state->has_served[zone] = true;
	state->served[state->nr_served++] = zone;
}

static void begin(struct qr_lab *lab)
{
	struct state *state = lab->state;

	state->nr_served = 0;
	memset(state->has_served, 0, sizeof(state->has_served));
}

static void give_back(struct qr_lab *lab)
{
	struct state *state = lab->state;

	while (state->taken) {
		struct qr_frame *frame = state->taken;

		state->taken = frame->owner;
		qr_free_pages(lab->vmm, frame, 0);
	}
	for (uint32_t i = 0; i < lab->vmm->nodes.nr_zones; i++)
		qr_zone_drain_pcps(lab->vmm->nodes.zones[i]);
}

/* Whether an allocation of a node goes to one node before the other, by the chosen order. */
static bool is_nearer(struct qr_lab *lab, uint32_t from, uint32_t one, uint32_t other)
{
	uint32_t nr = lab->vmm->nodes.nr_nodes;
	uint32_t steps_one = (one + nr - from) % nr, steps_other = (other + nr - from) % nr;
	uint32_t far_one = qr_lab_distance(lab, from, one), far_other = qr_lab_distance(lab, from, other);

	if (lab->vmm->choices.node_order == QR_NODE_DISTANCE && far_one != far_other)
		return far_one < far_other;
	return steps_one < steps_other;
}

/* How many zones have their turn before the given one. */
static uint32_t turn_of(struct qr_lab *lab, uint32_t from, unsigned kind, const struct qr_zone *zone)
{
	const struct qr_nodes *nodes = &lab->vmm->nodes;
	uint32_t turn = 0;

	for (uint32_t i = 0; i < nodes->nr_zones; i++) {
		const struct qr_zone *other = nodes->zones[i];

		if (other->kind > kind || other == zone)
			continue;
		turn += other->node == zone->node ? other->kind > zone->kind
						  : is_nearer(lab, from, other->node, zone->node);
	}
	return turn;
}

static void judge_pairs(struct qr_lab *lab, uint32_t node, unsigned kind)
{
	const struct qr_nodes *nodes = &lab->vmm->nodes;
	const struct state *state = lab->state;

	for (uint32_t i = 0; i < nodes->nr_zones; i++) {
		bool is_obeyed = !state->has_served[i];

		if (nodes->zones[i]->kind <= kind) {
			uint32_t turn = turn_of(lab, node, kind, nodes->zones[i]);

			is_obeyed = turn < state->nr_served && state->served[turn] == i;
		}
		lab->figures[PAIRS]++;
		lab->figures[PAIRS_OBEYED] += is_obeyed;
	}
}

/* The order in which nodes were met, over all kinds of their memory. */
static void judge_order(struct qr_lab *lab, uint32_t node)
{
	const struct qr_nodes *nodes = &lab->vmm->nodes;
	const struct state *state = lab->state;
	uint32_t last = node, nr_met = 1;
	bool is_exact = state->nr_served > 0 && nodes->zones[state->served[0]]->node == node;

	for (uint32_t i = 1; i < state->nr_served; i++) {
		uint32_t next = nodes->zones[state->served[i]]->node;

		if (next == last)
			continue;
		is_exact = is_exact && is_nearer(lab, node, last, next);
		nr_met++;
		last = next;
	}
	lab->figures[ORDERS]++;
	lab->figures[ORDERS_EXACT] += is_exact && nr_met == nodes->nr_nodes;
}

static void try_kinds(struct qr_lab *lab, uint32_t node)
{
	static const qr_gfp_t kinds[QR_NR_ZONE_KINDS] = {[QR_ZONE_DMA] = QR_GFP_DMA,
							 [QR_ZONE_DMA32] = QR_GFP_DMA32,
							 [QR_ZONE_HIGHMEM] = QR_GFP_HIGHMEM,
							 [QR_ZONE_MOVABLE] = QR_GFP_MOVABLE};

	for (unsigned kind = 0; kind < QR_NR_ZONE_KINDS; kind++) {
		struct qr_frame *frame;

		begin(lab);
		while ((frame = qr_alloc_pages_node(lab->vmm, node, 0, kinds[kind])))
			note(lab, frame);
		judge_pairs(lab, node, kind);
		if (kind == QR_ZONE_MOVABLE)
			judge_order(lab, node);
		give_back(lab);
		(void)qr_lab_running(lab);
	}
}

/* Bound to a set: even an allocation that may wait gets none of another node. */
static void try_set(struct qr_lab *lab, uint64_t set)
{
	const struct qr_nodes *nodes = &lab->vmm->nodes;
	const struct state *state = lab->state;
	uint64_t met = 0;
	struct qr_frame *frame;

	begin(lab);
	while ((frame = qr_alloc_pages_bound(lab->vmm, set, 0, QR_GFP_MOVABLE)))
		note(lab, frame);
	frame = qr_alloc_pages_bound(lab->vmm, set, 0, QR_GFP_USER);
	if (frame)
		note(lab, frame);
	for (uint32_t i = 0; i < state->nr_served; i++)
		met |= (uint64_t)1 << nodes->zones[state->served[i]]->node;
	lab->figures[SETS]++;
	lab->figures[SETS_USED] += (met & set) == set;
	lab->figures[SETS_LEFT] += (met & ~set) != 0;
	give_back(lab);
	(void)qr_lab_running(lab);
}

static void run(struct qr_lab *lab, uint32_t cpu)
{
	uint32_t nr_nodes = lab->vmm->nodes.nr_nodes;

	if (cpu)
		return;
	(void)qr_lab_running(lab);
	for (uint32_t node = 0; node < nr_nodes && lab->vmm->nodes.nr_zones > 1; node++)
		try_kinds(lab, node);
	for (uint64_t set = 1; set < (uint64_t)1 << nr_nodes && nr_nodes > 1 && nr_nodes <= MAX_SET_NODES; set++)
		try_set(lab, set);
}

static const char *const figures[] = {"zone_pairs",        "zone_pairs_obeyed", "node_orders",
				      "node_orders_exact", "bound_sets",        "bound_sets_used",
				      "bound_leaks",       "frames_taken",      NULL};

extern const struct qr_lab_workload qr_lab_nodes;
const struct qr_lab_workload qr_lab_nodes = {
	.name = "nodes",
	.help = "fills memory from each node, by kind and bound to sets of nodes; an operation is one such filling",
	.params = params,
	.setup = setup,
	.run = run,
	.figures = figures,
	.is_check = true,
	.may_run_out = true,
};
