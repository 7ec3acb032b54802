/*
 * Coherent caches: a directory with one entry for each 64-byte line of the arena, and per CPU the tags of two private
 * levels. A tag holds the version of the line that the CPU has; whoever gains the line for writing raises the version,
 * so that all other copies become stale at no cost. A read of a line that its owner wrote to takes it over for writing
 * as well where the machine does so (migratory sharing: P. Stenstrom, M. Brorsson, L. Sandberg, "An Adaptive Cache
 * Coherence Protocol Optimized for Migratory Sharing", ISCA 1993); the next such read finds it unwritten and shares it.
 *
 * Transfers of a line stand in a queue (first come, first served), since its home serialises them; the owner goes on
 * using the line until the snoop arrives. Stores retire into a buffer that drains in order (x86-TSO).
 */
#ifndef QR_SIM_DIRECTORY_H
#define QR_SIM_DIRECTORY_H

#include "sim.h"

enum qr_sim_access { QR_LOAD, QR_STORE, QR_LOCKED, QR_ATOMIC_STORE };
/* MEMORY: never cached. OWNED: one CPU has it, alone. SHARED: several may have it. */
enum qr_sim_line_state { QR_LINE_MEMORY, QR_LINE_SHARED, QR_LINE_OWNED };

#define QR_LINE_EVER_SHARED 1u  /* a second CPU touched it once: its order is kept strictly */
#define QR_LINE_POLLED 2u       /* CPUs are parked on it */
#define QR_LINE_READ_PENDING 4u /* the last transfer that was queued is a read */
#define QR_LINE_WRITTEN 8u      /* its owner wrote to it since it got it */

struct qr_sim_line {
	uint64_t busy;     /* until when its place in the queue is taken */
	uint64_t done;     /* when the last change of ownership is complete */
	uint64_t clusters; /* bitmap of those that may have it */
	uint64_t readers;  /* bitmap of the CPUs that missed on it, CPU modulo 64 */
	uint32_t version;
	uint32_t nr_misses;        /* transfers from another CPU */
	uint32_t nr_invalidations; /* copies of other CPUs that were taken away */
	uint32_t site;             /* where the last of these misses came from: an address of the program */
	uint16_t owner;
	uint16_t nr_sharers;
	uint16_t heir; /* who stands last in the queue, as long as that is busy */
	uint8_t state;
	uint8_t flags;
} QR_ALIGNED(QR_CACHE_LINE);
_Static_assert(sizeof(struct qr_sim_line) == 64, "an entry is as large as its line, so that its place is a sum");

static inline uint64_t qr_sim_line_of(uintptr_t address)
{
	return (address - QR_SIM_ARENA) / QR_CACHE_LINE;
}

static inline struct qr_sim_line *qr_sim_line(uint64_t line)
{
	return (struct qr_sim_line *)QR_SIM_DIRECTORY + line;
}

/* The low 8 bits of a line number are part of every set number. */
#define QR_SIM_TAG_SHIFT 8u

static inline uint64_t qr_sim_tag(uint64_t line, uint32_t version)
{
	return (uint64_t)1 << 63 | (line >> QR_SIM_TAG_SHIFT) << 32 | version;
}

static inline uint64_t qr_sim_l2_set(uint64_t line)
{
	return (line ^ (line >> 15)) & qr_sim.costs.l2_mask;
}

static inline bool qr_sim_owns(const struct qr_sim_cpu *cpu, const struct qr_sim_line *entry)
{
	return entry->state == QR_LINE_OWNED && entry->owner == cpu->id;
}

/* An access that the first level cannot serve. site: the address in the program that it comes from. */
void qr_sim_miss(struct qr_sim_cpu *cpu, uint64_t line, enum qr_sim_access access, uintptr_t site);

/* The node whose memory holds the line, or the frame. */
uint32_t qr_sim_home(uint64_t line);
uint32_t qr_sim_node_of_frame(uint64_t pfn);

/* Lays an array of metadata, page by page, onto the nodes of the frames or CPUs that its elements are for; those for
 * CPUs begin anew after the last one. */
enum qr_sim_placement { QR_PLACE_BY_FRAME, QR_PLACE_BY_CPU };
void qr_sim_place(const void *array, uint64_t element_bytes, uint64_t nr, enum qr_sim_placement by);

/* Lines that more than one CPU touched, in order of the second touch; *nr: how many. */
const uint64_t *qr_sim_shared_lines(uint64_t *nr);
/* Forgets all counts of lines. */
void qr_sim_lines_reset(void);
/* The entry's fields agree with each other. */
bool qr_sim_line_is_valid(uint64_t line);

/* One access to one line by the running CPU; the time of the computation around it is charged by the caller. */
static inline void qr_sim_access_line(struct qr_sim_cpu *cpu, uint64_t line, enum qr_sim_access access, uintptr_t site)
{
	const struct qr_sim_costs *costs = &qr_sim.costs;
	struct qr_sim_line *entry = qr_sim_line(line);
	bool is_store = access == QR_STORE || access == QR_ATOMIC_STORE;

	/* A locked operation begins with an empty store buffer. */
	if (access == QR_LOCKED && cpu->drained > cpu->clock)
		cpu->clock = cpu->drained;
	if (access == QR_ATOMIC_STORE)
		cpu->clock += costs->atomic_store;
	if (qr_unlikely(cpu->clock > (entry->flags & QR_LINE_EVER_SHARED ? qr_sim.limit_shared : qr_sim.limit_private)))
		qr_sim_yield();
	if (qr_likely(cpu->l1[line & costs->l1_mask] == qr_sim_tag(line, entry->version) &&
		      (access == QR_LOAD || qr_sim_owns(cpu, entry)))) {
		cpu->clock += access == QR_LOAD ? costs->l1 : 0;
		if (access != QR_LOAD)
			entry->flags |= QR_LINE_WRITTEN;
		if (is_store) {
			/* It leaves the buffer behind the stores before it; until then the line stays here. */
			if (cpu->drained > entry->busy && cpu->drained > cpu->clock)
				entry->busy = cpu->drained;
			cpu->clock += costs->store;
		}
		if (qr_unlikely(access != QR_LOAD && entry->flags & QR_LINE_POLLED))
			qr_sim_unpark_all(line, QR_MAX(cpu->drained, cpu->clock));
	} else {
		if (!is_store && qr_unlikely(cpu->clock > qr_sim.limit_shared))
			qr_sim_yield();
		if (is_store)
			cpu->clock += costs->store;
		qr_sim_miss(cpu, line, is_store ? QR_STORE : access, site);
	}
	if (access == QR_LOCKED)
		cpu->clock += costs->locked + qr_sim_jitter(cpu, costs->locked / 4);
	if (access == QR_LOAD) {
		cpu->polled_line = line;
		cpu->polled_version = entry->version;
	}
}

/* Any access of core; memory outside of the arena (stacks, constants) costs the computation only. */
static inline void qr_sim_access(uintptr_t address, uint64_t len_bytes, enum qr_sim_access access, uintptr_t site)
{
	struct qr_sim_cpu *cpu = qr_sim_current;
	uint64_t line, last;

	if (qr_unlikely(!cpu))
		return;
	cpu->nr_accesses++;
	cpu->clock += qr_sim.costs.access;
	if (address - QR_SIM_ARENA >= QR_SIM_ARENA_BYTES)
		return;
	line = qr_sim_line_of(address);
	last = qr_sim_line_of(address + len_bytes - 1);
	qr_sim_access_line(cpu, line, access, site);
	while (qr_unlikely(line < last)) {
		cpu->clock += qr_sim.costs.access;
		qr_sim_access_line(cpu, ++line, access, site);
	}
}

#endif
