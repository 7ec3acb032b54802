/*
 * Transfers of lines between CPUs, caches and memory.
 *
 * The request of a miss travels to the line's home, where it takes its place in a queue; when its turn comes, a snoop
 * travels to the owner, who goes on using the line until then; the state changes; the data comes back. Parked CPUs
 * notice a write when the invalidation reaches them, the near ones first and before the writer is done.
 */
#include "directory.h"

#include <stdlib.h>

struct transfer {
	struct qr_sim_cpu *cpu;
	struct qr_sim_line *entry;
	uint64_t line;
	enum qr_sim_access access;
	bool has_copy;  /* a valid one, that may not be written to */
	bool is_remote; /* crosses the link between nodes */
	uint64_t expected; /* its time, when it took its place */
};

#define LLC_FOLD 0x9e3779b1u /* odd, without a pattern */

#define MAX_PLACEMENTS 16u

/* Arrays whose pages lie on the nodes of what they describe. */
static struct placement {
	uintptr_t start, end;
	uint64_t element_bytes;
	enum qr_sim_placement by;
} placements[MAX_PLACEMENTS];
static uint32_t nr_placements;

static uint64_t *shared_lines;
static uint64_t nr_shared_lines, max_shared_lines;
static uint64_t link_free[64], bus_free[64]; /* [node] when the link and the bus are free again */

/* Where the copies of a shared line are, from the CPU that wants it. */
struct sharers {
	enum qr_distance nearest, farthest;
	uint32_t nr_other_nodes;
	bool is_cached; /* the nearest still has it */
};

static uint64_t request_time(uint64_t latency);
static void travel(struct transfer *transfer, uint64_t tag);
static uint64_t expected_time(struct transfer *transfer);
static uint64_t take_place(struct transfer *transfer, uint64_t *place);
static uint64_t await_turn(struct transfer *transfer, uint64_t start, uint64_t tag);
static uint64_t transfer_time(struct transfer *transfer);
static uint64_t transfer_from_owner(struct transfer *transfer, uint64_t from_memory);
static void find_sharers(const struct transfer *transfer, struct sharers *sharers);
static uint64_t queued_time(struct transfer *transfer);
static uint64_t transfer_upgrade(struct transfer *transfer, const struct sharers *sharers);
static uint64_t occupy_wires(struct transfer *transfer, uint64_t latency, uint64_t start);
static void change_state(struct transfer *transfer);
static void note_shared(struct transfer *transfer, uintptr_t site);
static void keep_copy(struct qr_sim_cpu *cpu, uint64_t line, const struct qr_sim_line *entry);
static void finish_store(struct qr_sim_cpu *cpu, struct qr_sim_line *entry, uint64_t finish);
static bool owner_has_it(const struct transfer *transfer);

/* The llc tags of a cluster follow those of the one before. */
static uint32_t *llc_tag(uint32_t cluster, uint64_t line)
{
	uint32_t *tags = (uint32_t *)QR_SIM_LLC_TAGS + cluster * (qr_sim.costs.llc_mask + 1);

	/* Folded, as processors do it, so that arrays at round addresses do not fall on each other. */
	return &tags[(line ^ line / (qr_sim.costs.llc_mask + 1) * LLC_FOLD) & qr_sim.costs.llc_mask];
}

/* Never 0, so that an empty set matches no line. */
static uint32_t llc_tag_of(uint64_t line)
{
	return (uint32_t)(line / (qr_sim.costs.llc_mask + 1)) + 1;
}

static bool llc_has(uint32_t cluster, uint64_t line)
{
	return qr_sim.costs.llc_mask && *llc_tag(cluster, line) == llc_tag_of(line);
}

void qr_sim_miss(struct qr_sim_cpu *cpu, uint64_t line, enum qr_sim_access access, uintptr_t site)
{
	const struct qr_sim_costs *costs = &qr_sim.costs;
	struct qr_sim_line *entry = qr_sim_line(line);
	struct transfer transfer = {.cpu = cpu, .entry = entry, .line = line, .access = access};
	uint64_t tag = qr_sim_tag(line, entry->version);
	bool is_write = access != QR_LOAD;
	uint32_t version;
	uint64_t start, latency, finish, place;

	transfer.has_copy = cpu->l1[line & costs->l1_mask] == tag;
	if (!transfer.has_copy && cpu->l2[qr_sim_l2_set(line)] == tag && (!is_write || qr_sim_owns(cpu, entry))) {
		cpu->clock += access == QR_STORE ? 0 : costs->l2;
		if (is_write)
			entry->flags |= QR_LINE_WRITTEN;
		keep_copy(cpu, line, entry);
		return;
	}
	transfer.has_copy |= cpu->l2[qr_sim_l2_set(line)] == tag;
	if (access != QR_STORE)
		travel(&transfer, tag);
	start = take_place(&transfer, &place);
	if (access == QR_STORE)
		start = QR_MAX(start, entry->done);
	else
		start = await_turn(&transfer, start, tag);
	latency = transfer_time(&transfer);
	if (access != QR_STORE)
		latency -= request_time(latency);
	finish = start + latency + (latency ? qr_sim_jitter(cpu, costs->jitter) : 0);
	finish = QR_MAX(finish, cpu->clock);
	if (is_write || entry->state == QR_LINE_OWNED)
		entry->done = finish;
	note_shared(&transfer, site);
	version = entry->version;
	change_state(&transfer);
	keep_copy(cpu, line, entry);
	cpu->nr_misses++;
	cpu->nr_remote += transfer.is_remote;
	if (access == QR_STORE) {
		finish_store(cpu, entry, finish);
	} else {
		cpu->clock = finish;
		if (is_write && entry->busy == place && finish > place)
			entry->busy = finish;
	}
	if (entry->version != version && entry->flags & QR_LINE_POLLED)
		qr_sim_unpark_all(line, start);
}

/* The part of a transfer's time in which a request or a snoop is on its way. */
static uint64_t request_time(uint64_t latency)
{
	return latency * qr_sim.costs.request_share >> 10;
}

static void let_others_run(struct qr_sim_cpu *cpu)
{
	if (cpu->clock > qr_sim.limit_shared)
		qr_sim_yield();
}

/* The request reaches the line's home: those that come from nearer get there first. tag: of the copy that the CPU
 * had. */
static void travel(struct transfer *transfer, uint64_t tag)
{
	transfer->cpu->clock += request_time(expected_time(transfer));
	let_others_run(transfer->cpu);
	transfer->has_copy = transfer->has_copy && qr_sim_tag(transfer->line, transfer->entry->version) == tag;
}

/* What the transfer will take, as far as it can be told before its turn. */
static uint64_t expected_time(struct transfer *transfer)
{
	const struct qr_sim_line *entry = transfer->entry;
	bool is_queued = entry->busy > transfer->cpu->clock && entry->heir != transfer->cpu->id;

	return is_queued ? queued_time(transfer) : transfer_time(transfer);
}

/* Stands in the line's queue until *place; returns when its turn comes, as far as that can be told. */
static uint64_t take_place(struct transfer *transfer, uint64_t *place)
{
	const struct qr_sim_costs *costs = &qr_sim.costs;
	struct qr_sim_line *entry = transfer->entry;
	bool is_write = transfer->access != QR_LOAD;
	uint64_t latency = transfer->expected = expected_time(transfer);
	uint64_t start = occupy_wires(transfer, latency, QR_MAX(entry->busy, transfer->cpu->clock));

	if (transfer->access != QR_STORE)
		latency -= request_time(latency);
	/* A read that waits will leave the line shared: reads behind it are served from the shared copy. */
	*place = start + latency;
	if (!is_write && (entry->state != QR_LINE_OWNED || entry->flags & QR_LINE_READ_PENDING))
		*place = start + (latency * costs->shared_occupancy >> 10);
	entry->busy = *place;
	entry->heir = (uint16_t)transfer->cpu->id;
	entry->flags = (uint8_t)((entry->flags & ~QR_LINE_READ_PENDING) | (is_write ? 0 : QR_LINE_READ_PENDING));
	return start;
}

/* The snoop starts when the transfer before is complete; until it arrives the owner goes on using the line. */
static uint64_t await_turn(struct transfer *transfer, uint64_t start, uint64_t tag)
{
	struct qr_sim_cpu *cpu = transfer->cpu;
	uint64_t snoop = request_time(transfer->expected);

	for (;;) {
		cpu->clock = start + snoop;
		let_others_run(cpu);
		if (transfer->entry->done <= start)
			break;
		start = transfer->entry->done;
	}
	transfer->has_copy = transfer->has_copy && qr_sim_tag(transfer->line, transfer->entry->version) == tag;
	return start;
}

/* The latency of a transfer in the line's present state. */
static uint64_t transfer_time(struct transfer *transfer)
{
	const struct qr_sim_costs *costs = &qr_sim.costs;
	const struct qr_sim_line *entry = transfer->entry;
	bool is_home = qr_sim_home(transfer->line) == transfer->cpu->node;
	uint64_t from_memory = is_home ? costs->dram_local : costs->dram_remote;
	struct sharers sharers;

	transfer->is_remote = !is_home;
	if (entry->state == QR_LINE_MEMORY)
		return from_memory;
	if (entry->state == QR_LINE_OWNED)
		return transfer_from_owner(transfer, from_memory);
	find_sharers(transfer, &sharers);
	if (transfer->access != QR_LOAD) {
		transfer->is_remote = sharers.farthest == QR_REMOTE;
		return transfer_upgrade(transfer, &sharers);
	}
	if (!sharers.is_cached)
		return from_memory;
	transfer->is_remote = sharers.nearest == QR_REMOTE;
	return costs->clean[sharers.nearest];
}

static uint64_t transfer_from_owner(struct transfer *transfer, uint64_t from_memory)
{
	const struct qr_sim_costs *costs = &qr_sim.costs;
	const struct qr_sim_cpu *cpu = transfer->cpu;
	const struct qr_sim_cpu *owner = &qr_sim.cpus[transfer->entry->owner];
	uint32_t home = qr_sim_home(transfer->line);

	if (owner == cpu) {
		transfer->is_remote &= !llc_has(cpu->cluster, transfer->line);
		return llc_has(cpu->cluster, transfer->line) ? costs->clean[QR_SAME_CLUSTER] : from_memory;
	}
	if (!owner_has_it(transfer))
		return from_memory;
	/* The home decides, even between two clusters of one node. */
	transfer->is_remote = owner->cluster != cpu->cluster && (owner->node != cpu->node || home != cpu->node);
	if (owner->cluster == cpu->cluster)
		return costs->dirty[QR_SAME_CLUSTER];
	if (!transfer->is_remote)
		return costs->dirty[QR_SAME_NODE];
	return costs->dirty[QR_REMOTE] + (home != owner->node && home != cpu->node ? costs->third_node : 0);
}

static void find_sharers(const struct transfer *transfer, struct sharers *sharers)
{
	uint32_t own_node = transfer->cpu->node;
	uint64_t nodes = 0;

	*sharers = (struct sharers){.nearest = QR_REMOTE, .farthest = QR_SAME_CLUSTER};
	for (uint64_t left = transfer->entry->clusters; left; left &= left - 1) {
		uint32_t cluster = (uint32_t)__builtin_ctzll(left);
		uint32_t node = cluster * qr_sim.nr_nodes / qr_sim.nr_clusters;
		enum qr_distance distance = QR_REMOTE;

		if (cluster == transfer->cpu->cluster)
			distance = QR_SAME_CLUSTER;
		else if (node == own_node)
			distance = QR_SAME_NODE;
		sharers->is_cached |=
			distance <= sharers->nearest && (llc_has(cluster, transfer->line) || !qr_sim.costs.llc_mask);
		sharers->nearest = QR_MIN(sharers->nearest, distance);
		sharers->farthest = QR_MAX(sharers->farthest, distance);
		nodes |= node == own_node ? 0 : (uint64_t)1 << node;
	}
	sharers->nr_other_nodes = (uint32_t)__builtin_popcountll(nodes);
}

/* The latency of a transfer behind others: the line comes from the one who is last in the queue. */
static uint64_t queued_time(struct transfer *transfer)
{
	const struct qr_sim_costs *costs = &qr_sim.costs;
	const struct qr_sim_cpu *heir = &qr_sim.cpus[transfer->entry->heir];
	const struct qr_sim_cpu *cpu = transfer->cpu;
	enum qr_distance distance = QR_REMOTE;

	if (heir->cluster == cpu->cluster)
		distance = QR_SAME_CLUSTER;
	else if (heir->node == cpu->node)
		distance = QR_SAME_NODE;
	transfer->is_remote = distance == QR_REMOTE;
	if (!(transfer->entry->flags & QR_LINE_READ_PENDING))
		return costs->dirty[distance];
	return transfer->access == QR_LOAD ? costs->clean[distance] : costs->invalidate[distance];
}

/* A write to a line that is shared: the copies of others are taken away. */
static uint64_t transfer_upgrade(struct transfer *transfer, const struct sharers *sharers)
{
	const struct qr_sim_costs *costs = &qr_sim.costs;
	const struct qr_sim_line *entry = transfer->entry;
	uint32_t nr_others = entry->nr_sharers - (transfer->has_copy && entry->nr_sharers ? 1u : 0);
	uint64_t latency;

	if (!nr_others)
		return 0;
	latency = costs->invalidate[sharers->farthest] + (nr_others - 1) * costs->invalidate_sharer;
	if (sharers->nr_other_nodes > 1)
		latency += (sharers->nr_other_nodes - 1) * costs->invalidate_further;
	return transfer->has_copy ? latency : QR_MAX(latency, costs->clean[sharers->nearest]);
}

/* Private levels are looked up as they are; behind them is the owner's cluster. */
static bool owner_has_it(const struct transfer *transfer)
{
	const struct qr_sim_cpu *owner = &qr_sim.cpus[transfer->entry->owner];
	uint64_t tag = qr_sim_tag(transfer->line, transfer->entry->version);

	return owner->l2[qr_sim_l2_set(transfer->line)] == tag ||
	       owner->l1[transfer->line & qr_sim.costs.l1_mask] == tag || llc_has(owner->cluster, transfer->line);
}

/* The bus of the node and the links of both nodes carry one transfer at a time; returns when it can start. */
static uint64_t occupy_wires(struct transfer *transfer, uint64_t latency, uint64_t start)
{
	const struct qr_sim_costs *costs = &qr_sim.costs;
	uint32_t here = transfer->cpu->node;
	uint32_t there = qr_sim_home(transfer->line);

	if (latency && costs->bus) {
		start = QR_MAX(start, bus_free[here]);
		bus_free[here] = start + costs->bus;
	}
	if (transfer->is_remote && costs->link) {
		if (transfer->entry->state == QR_LINE_OWNED)
			there = qr_sim.cpus[transfer->entry->owner].node;
		start = QR_MAX(start, QR_MAX(link_free[here], link_free[there]));
		link_free[here] = link_free[there] = start + costs->link;
	}
	return start;
}

/* Whether the transfer leaves the CPU as the only one that has the line. */
static bool takes_over(const struct transfer *transfer)
{
	const struct qr_sim_line *entry = transfer->entry;

	if (transfer->access != QR_LOAD || entry->state == QR_LINE_MEMORY)
		return true;
	return qr_sim.costs.migrates && entry->state == QR_LINE_OWNED && entry->flags & QR_LINE_WRITTEN;
}

static void change_state(struct transfer *transfer)
{
	struct qr_sim_line *entry = transfer->entry;
	const struct qr_sim_cpu *cpu = transfer->cpu;
	uint64_t mine = (uint64_t)1 << cpu->cluster;

	if (entry->state == QR_LINE_OWNED && entry->owner == cpu->id) {
		/* Had been evicted. */
		if (transfer->access != QR_LOAD)
			entry->flags |= QR_LINE_WRITTEN;
	} else if (takes_over(transfer)) {
		if (entry->state == QR_LINE_MEMORY)
			qr_sim_mark_backed(transfer->line * QR_CACHE_LINE);
		else
			entry->version++;
		entry->state = QR_LINE_OWNED;
		entry->owner = (uint16_t)cpu->id;
		entry->nr_sharers = 1;
		entry->clusters = mine;
		entry->flags &= (uint8_t)~QR_LINE_WRITTEN;
		if (transfer->access != QR_LOAD)
			entry->flags |= QR_LINE_WRITTEN;
	} else if (entry->state == QR_LINE_OWNED) {
		entry->state = QR_LINE_SHARED;
		entry->nr_sharers = 2;
		entry->clusters |= mine;
	} else {
		/* Copies that were evicted are still counted, as in a directory that evictions do not reach. */
		if (!transfer->has_copy && entry->nr_sharers < qr_sim.nr_cpus)
			entry->nr_sharers++;
		entry->clusters |= mine;
	}
}

/* Counts the transfer if another CPU is concerned, before the state changes. */
static void note_shared(struct transfer *transfer, uintptr_t site)
{
	struct qr_sim_line *entry = transfer->entry;
	uint32_t nr_others = entry->nr_sharers;

	if (entry->state == QR_LINE_MEMORY || qr_sim_owns(transfer->cpu, entry))
		return;
	if (!(entry->flags & QR_LINE_EVER_SHARED)) {
		entry->flags |= QR_LINE_EVER_SHARED;
		if (nr_shared_lines == max_shared_lines) {
			max_shared_lines = max_shared_lines ? 2 * max_shared_lines : 4096;
			shared_lines = realloc(shared_lines, max_shared_lines * sizeof(*shared_lines));
			if (!shared_lines)
				qr_sim_fail("out of memory for the list of shared lines");
		}
		shared_lines[nr_shared_lines++] = transfer->line;
	}
	if (!qr_sim.is_measuring)
		return;
	entry->nr_misses++;
	entry->readers |= (uint64_t)1 << transfer->cpu->id % 64;
	entry->site = (uint32_t)site;
	if (transfer->access != QR_LOAD)
		entry->nr_invalidations += nr_others - (transfer->has_copy && nr_others ? 1u : 0);
}

static void keep_copy(struct qr_sim_cpu *cpu, uint64_t line, const struct qr_sim_line *entry)
{
	uint64_t tag = qr_sim_tag(line, entry->version);

	cpu->l1[line & qr_sim.costs.l1_mask] = tag;
	cpu->l2[qr_sim_l2_set(line)] = tag;
	if (qr_sim.costs.llc_mask)
		*llc_tag(cpu->cluster, line) = llc_tag_of(line);
}

/* Retires into the store buffer, which drains in order; the CPU waits only when the buffer is full. */
static void finish_store(struct qr_sim_cpu *cpu, struct qr_sim_line *entry, uint64_t finish)
{
	const struct qr_sim_costs *costs = &qr_sim.costs;

	finish = QR_MAX(finish, cpu->drained + costs->store_gap);
	cpu->drained = finish;
	entry->busy = QR_MAX(entry->busy, finish);
	entry->done = finish;
	if (finish > cpu->clock + costs->store_buffer)
		cpu->clock = finish - costs->store_buffer;
}

void qr_sim_place(const void *array, uint64_t element_bytes, uint64_t nr, enum qr_sim_placement by)
{
	if (nr_placements == MAX_PLACEMENTS)
		qr_sim_fail("more than %u arrays are placed", MAX_PLACEMENTS);
	placements[nr_placements++] =
		(struct placement){(uintptr_t)array, (uintptr_t)array + element_bytes * nr, element_bytes, by};
}

uint32_t qr_sim_node_of_frame(uint64_t pfn)
{
	if (qr_sim.nr_frames_per_node)
		return (uint32_t)QR_MIN(pfn / qr_sim.nr_frames_per_node, qr_sim.nr_nodes - 1u);
	return (uint32_t)((pfn << QR_PAGE_SHIFT >> qr_sim.costs.interleave_shift) % qr_sim.nr_nodes);
}

uint32_t qr_sim_home(uint64_t line)
{
	uintptr_t page = (QR_SIM_ARENA + line * QR_CACHE_LINE) & QR_PAGE_MASK;

	if (page < QR_SIM_METADATA)
		return qr_sim_node_of_frame((page - QR_SIM_ARENA) >> QR_PAGE_SHIFT);
	for (uint32_t i = 0; i < nr_placements; i++) {
		const struct placement *placed = &placements[i];
		uint64_t element;

		if (page >= placed->end || page + QR_PAGE_SIZE <= placed->start)
			continue;
		/* A page goes where most of what begins on it belongs: to the first such. */
		element = page > placed->start
				  ? (page - placed->start + placed->element_bytes - 1) / placed->element_bytes
				  : 0;
		if (placed->by == QR_PLACE_BY_FRAME)
			return qr_sim_node_of_frame(element);
		return qr_sim.cpus[element % qr_sim.nr_cpus].node;
	}
	return (uint32_t)((page >> qr_sim.costs.interleave_shift) % qr_sim.nr_nodes);
}

const uint64_t *qr_sim_shared_lines(uint64_t *nr)
{
	*nr = nr_shared_lines;
	return shared_lines;
}

void qr_sim_lines_reset(void)
{
	for (uint64_t i = 0; i < nr_shared_lines; i++) {
		struct qr_sim_line *entry = qr_sim_line(shared_lines[i]);

		entry->nr_misses = entry->nr_invalidations = 0;
		entry->readers = 0;
	}
}

bool qr_sim_line_is_valid(uint64_t line)
{
	const struct qr_sim_line *entry = qr_sim_line(line);
	uint64_t clusters = qr_sim.nr_clusters == 64 ? 0 : entry->clusters >> qr_sim.nr_clusters;

	if (entry->state == QR_LINE_MEMORY)
		return !entry->version && !entry->clusters && !entry->nr_sharers;
	if (clusters || entry->owner >= qr_sim.nr_cpus || !entry->nr_sharers || entry->state > QR_LINE_OWNED)
		return false;
	if (entry->state == QR_LINE_OWNED)
		return entry->nr_sharers == 1 && entry->clusters == (uint64_t)1 << qr_sim.cpus[entry->owner].cluster;
	return (entry->flags & QR_LINE_EVER_SHARED) && entry->clusters;
}
