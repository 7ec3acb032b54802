/*
 * The test port: emulated translation. A space is a hash table of pages (open addressing, linear probing, deletion
 * by shifting back) and a list of the ranges that were added. The program's accesses go page by page through
 * access_page(), which calls the test's fault function for what is missing and tries again.
 *
 * Locks: one mutex per port, never held while the fault function runs.
 */
#include <stdlib.h>
#include <string.h>

#include "port_test_priv.h"
#include "sync/lock.h"
#include "tap.h"

#define PFN_FOREIGN UINT32_MAX /* populated behind the manager's back */
#define MAX_FAULTS 100000u     /* in a row for one access: a fault loop without progress */
#define INITIAL_CAPACITY 1024u

struct mapping {
	uint64_t page; /* va / 4096 + 1; 0: the entry is free */
	uint32_t pfn;
	uint32_t prot;
	bool is_dropped; /* the content was lost behind the manager's back */
};

struct range {
	uint64_t start, end;
	uint32_t prot;
};

struct qr_port_space {
	struct qr_port *port;
	struct mapping *table; /* (mmu) [capacity], a power of two, at most half full */
	uint32_t capacity, nr_mapped;
	struct range *ranges;  /* (mmu) in no order, disjoint */
	uint32_t nr_ranges, ranges_capacity;
	port_test_fault_fn fault;
	void *fault_context;
};

static int access_bytes(struct qr_port_space *space, uint64_t va, uint8_t *buffer, uint64_t len_bytes, uint32_t access);

/* ---- The table of mappings ---- */

static uint32_t table_home(const struct qr_port_space *space, uint64_t page)
{
	return (uint32_t)((page * 0x9e3779b97f4a7c15u) >> 32) & (space->capacity - 1);
}

/* The entry of a page, or the free one where it would go. */
static struct mapping *table_slot(struct qr_port_space *space, uint64_t page)
{
	uint32_t i = table_home(space, page);

	while (space->table[i].page && space->table[i].page != page)
		i = (i + 1) & (space->capacity - 1);
	return &space->table[i];
}

static struct mapping *table_find(struct qr_port_space *space, uint64_t va)
{
	struct mapping *mapping = table_slot(space, (va >> QR_PAGE_SHIFT) + 1);

	return mapping->page ? mapping : NULL;
}

static void table_grow(struct qr_port_space *space)
{
	struct mapping *old = space->table;
	uint32_t old_capacity = space->capacity;

	space->capacity = old_capacity ? 2 * old_capacity : INITIAL_CAPACITY;
	space->table = calloc(space->capacity, sizeof(*space->table));
	port_test_must(space->table);
	for (uint32_t i = 0; i < old_capacity; i++) {
		if (old[i].page)
			*table_slot(space, old[i].page) = old[i];
	}
	free(old);
}

static void table_insert(struct qr_port_space *space, uint64_t va, uint32_t pfn, uint32_t prot)
{
	if (2 * (space->nr_mapped + 1) > space->capacity)
		table_grow(space);
	*table_slot(space, (va >> QR_PAGE_SHIFT) + 1) = (struct mapping){(va >> QR_PAGE_SHIFT) + 1, pfn, prot, false};
	space->nr_mapped++;
}

static void table_remove(struct qr_port_space *space, struct mapping *mapping)
{
	uint32_t mask = space->capacity - 1;
	uint32_t hole = (uint32_t)(mapping - space->table);

	for (uint32_t i = (hole + 1) & mask; space->table[i].page; i = (i + 1) & mask) {
		uint32_t home = table_home(space, space->table[i].page);

		/* An entry may move back to the hole unless its home lies behind the hole. */
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			space->table[hole] = space->table[i];
			hole = i;
		}
	}
	space->table[hole].page = 0;
	space->nr_mapped--;
}

/* ---- Life ---- */

struct qr_port_space *port_test_space_create(struct qr_port *port)
{
	struct qr_port_space *space = calloc(1, sizeof(*space));

	if (!space)
		abort();
	space->port = port;
	table_grow(space);
	port_test_lock(&port->mmu);
	port->nr_spaces++;
	port_test_unlock(&port->mmu);
	return space;
}

void port_test_space_destroy(struct qr_port_space *space)
{
	port_test_lock(&space->port->mmu);
	port_test_must(!space->nr_mapped);
	space->port->nr_spaces--;
	port_test_unlock(&space->port->mmu);
	free(space->table);
	free(space->ranges);
	free(space);
}

void port_test_set_fault(struct qr_port_space *space, port_test_fault_fn fault, void *context)
{
	space->fault = fault;
	space->fault_context = context;
}

/* ---- Frames and their content ---- */

bool qr_port_is_exclusive(struct qr_port *port)
{
	return port->is_exclusive;
}

static uint8_t *slot_of(struct qr_port *port, uint32_t pfn)
{
	return port->pool + ((uint64_t)pfn << QR_PAGE_SHIFT);
}

/* Where the content of a mapped frame is. */
static uint8_t *content_of(struct qr_port *port, uint32_t pfn)
{
	return (port->is_exclusive ? port->aside : port->pool) + ((uint64_t)pfn << QR_PAGE_SHIFT);
}

static void frame_take_out(struct qr_port *port, uint32_t pfn)
{
	port_test_must_at(!port->nr_mappings[pfn] || !port->is_exclusive, "maps a frame that is mapped elsewhere");
	port->nr_mappings[pfn]++;
	if (!port->is_exclusive)
		return;
	memcpy(content_of(port, pfn), slot_of(port, pfn), QR_PAGE_SIZE);
	memset(slot_of(port, pfn), PORT_TEST_SCRIBBLE, QR_PAGE_SIZE);
}

static void frame_bring_back(struct qr_port *port, uint32_t pfn)
{
	const uint8_t *slot = slot_of(port, pfn);

	port->nr_mappings[pfn]--;
	if (!port->is_exclusive)
		return;
	port_test_must_at(slot[0] == PORT_TEST_SCRIBBLE && !memcmp(slot, slot + 1, QR_PAGE_SIZE - 1),
			  "the slot of a mapped frame was written to");
	memcpy(slot_of(port, pfn), content_of(port, pfn), QR_PAGE_SIZE);
}

bool port_test_is_frame_mapped(struct qr_port *port, qr_pfn_t pfn)
{
	bool is_mapped;

	port_test_lock(&port->mmu);
	is_mapped = port->nr_mappings[pfn.nr] != 0;
	port_test_unlock(&port->mmu);
	return is_mapped;
}

/* ---- Ranges ---- */

static const struct range *range_find(const struct qr_port_space *space, uint64_t va)
{
	for (uint32_t i = 0; i < space->nr_ranges; i++) {
		if (space->ranges[i].start <= va && va < space->ranges[i].end)
			return &space->ranges[i];
	}
	return NULL;
}

static void range_append(struct qr_port_space *space, uint64_t start, uint64_t end, uint32_t prot)
{
	if (start >= end)
		return;
	if (space->nr_ranges == space->ranges_capacity) {
		space->ranges_capacity = 2 * space->ranges_capacity + 16;
		space->ranges = realloc(space->ranges, space->ranges_capacity * sizeof(*space->ranges));
		port_test_must(space->ranges);
	}
	space->ranges[space->nr_ranges++] = (struct range){start, end, prot};
}

/* Takes [start, end) out of all ranges; returns the number of bytes that were there. */
static uint64_t range_cut(struct qr_port_space *space, uint64_t start, uint64_t end)
{
	uint64_t nr_bytes = 0;

	for (uint32_t i = 0; i < space->nr_ranges;) {
		struct range range = space->ranges[i];

		if (range.end <= start || end <= range.start) {
			i++;
			continue;
		}
		nr_bytes += QR_MIN(range.end, end) - QR_MAX(range.start, start);
		space->ranges[i] = space->ranges[--space->nr_ranges];
		range_append(space, range.start, QR_MIN(start, range.end), range.prot);
		range_append(space, QR_MAX(end, range.start), range.end, range.prot);
		i = 0;
	}
	return nr_bytes;
}

static void range_must_be_sane(uint64_t va, uint64_t len_bytes)
{
	port_test_must(len_bytes && !(va % QR_PAGE_SIZE) && !(len_bytes % QR_PAGE_SIZE) && va + len_bytes > va);
}

int qr_port_range_add(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint64_t len_bytes, uint32_t prot)
{
	range_must_be_sane(va, len_bytes);
	port_test_lock(&port->mmu);
	port_test_must_at(!range_cut(space, va, va + len_bytes), "adds a range that overlaps one");
	range_append(space, va, va + len_bytes, prot);
	port_test_unlock(&port->mmu);
	return 0;
}

int qr_port_range_remove(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint64_t len_bytes)
{
	range_must_be_sane(va, len_bytes);
	port_test_lock(&port->mmu);
	for (uint32_t i = 0; i < space->capacity; i++) {
		uint64_t page_va = (space->table[i].page - 1) << QR_PAGE_SHIFT;

		port_test_must_at(!space->table[i].page || page_va < va || page_va >= va + len_bytes,
				  "removes a range with a mapped page");
	}
	port_test_must_at(range_cut(space, va, va + len_bytes) == len_bytes, "removes a range that was not added");
	port_test_unlock(&port->mmu);
	return 0;
}

int qr_port_range_protect(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint64_t len_bytes,
			  uint32_t prot)
{
	range_must_be_sane(va, len_bytes);
	port_test_lock(&port->mmu);
	port_test_must_at(range_cut(space, va, va + len_bytes) == len_bytes, "protects a range that was not added");
	range_append(space, va, va + len_bytes, prot);
	for (uint32_t i = 0; i < space->capacity; i++) {
		uint64_t page_va = (space->table[i].page - 1) << QR_PAGE_SHIFT;

		if (space->table[i].page && page_va >= va && page_va < va + len_bytes)
			space->table[i].prot = prot;
	}
	port_test_unlock(&port->mmu);
	return 0;
}

/* ---- Map and unmap ---- */

static void run_must_be_sane(const struct qr_port *port, uint64_t va, qr_pfn_t pfn, uint32_t nr)
{
	port_test_must(nr && !(va % QR_PAGE_SIZE));
	port_test_must_at(va >> 21 == (va + (nr - 1) * QR_PAGE_SIZE) >> 21, "a run crosses a page-table page");
	port_test_must(pfn.nr < port->nr_frames && nr <= port->nr_frames - pfn.nr);
}

/* How many pages this call may do; *error is what it returns when it stops there. */
static uint32_t injected_limit(struct qr_port *port, enum port_test_op op, uint32_t nr, int *error)
{
	struct port_test_injection *injection = &port->fail_translation[op];

	*error = 0;
	if (port_test_strikes(injection)) {
		*error = injection->error;
		return QR_MIN(injection->nr_more, nr);
	}
	if (port->chaos_one_in && !tap_random_below(&port->chaos_state, port->chaos_one_in)) {
		*error = op == PORT_TEST_UNMAP && tap_random_below(&port->chaos_state, 2) ? QR_EBUSY : QR_EAGAIN;
		return tap_random_below(&port->chaos_state, nr);
	}
	return nr;
}

static int map_page(struct qr_port_space *space, uint64_t va, uint32_t pfn, uint32_t prot)
{
	struct mapping *mapping = table_find(space, va);

	if (!range_find(space, va))
		return QR_EFAULT;
	if (mapping && mapping->pfn == PFN_FOREIGN)
		return QR_EEXIST;
	if (mapping) {
		/* The page went away behind the manager's back; it may put the same frame there again. */
		port_test_must_at(mapping->is_dropped && mapping->pfn == pfn, "maps over a mapped page");
		mapping->is_dropped = false;
		mapping->prot = prot;
		return 0;
	}
	frame_take_out(space->port, pfn);
	table_insert(space, va, pfn, prot);
	return 0;
}

int qr_port_map(struct qr_port *port, struct qr_port_space *space, uint64_t va, qr_pfn_t pfn, uint32_t nr,
		uint32_t prot, uint32_t *nr_done)
{
	uint32_t limit;
	uint32_t i = 0;
	int stop, error = 0;

	run_must_be_sane(port, va, pfn, nr);
	port_test_lock(&port->mmu);
	limit = injected_limit(port, PORT_TEST_MAP, nr, &stop);
	for (; i < limit && !error; i += !error)
		error = map_page(space, va + i * QR_PAGE_SIZE, pfn.nr + i, prot);
	port_test_unlock(&port->mmu);
	count_add(port, nr_map_calls, 1);
	count_add(port, nr_mapped_pages, i);
	*nr_done = i;
	return error ? error : stop;
}

static void unmap_page(struct qr_port_space *space, uint64_t va, uint32_t pfn)
{
	struct mapping *mapping = table_find(space, va);

	port_test_must_at(mapping && mapping->pfn != PFN_FOREIGN, "unmaps a page that is not mapped");
	port_test_must_at(mapping->pfn == pfn, "unmaps a page of another frame");
	frame_bring_back(space->port, pfn);
	table_remove(space, mapping);
}

/* Between unmap_begin() and unmap_end(). */
static __thread bool is_unmap_group;

/* Where frames are exclusive, as the process port has it: it could not keep reads of a range without rights from
 * getting through, nor an executable one from losing that right for a moment. */
static bool can_take_out(const struct qr_port *port, uint32_t prot)
{
	uint32_t without_read = prot & (QR_PROT_WRITE | QR_PROT_EXEC);

	return !port->is_exclusive || is_unmap_group || prot == QR_PROT_READ || without_read == QR_PROT_WRITE;
}

int qr_port_unmap(struct qr_port *port, struct qr_port_space *space, uint64_t va, qr_pfn_t pfn, uint32_t nr,
		  uint32_t prot, uint32_t *nr_done)
{
	uint32_t limit;
	uint32_t i = 0;
	int stop;

	run_must_be_sane(port, va, pfn, nr);
	*nr_done = 0;
	if (!can_take_out(port, prot))
		return QR_EBUSY;
	port_test_lock(&port->mmu);
	limit = injected_limit(port, PORT_TEST_UNMAP, nr, &stop);
	for (; i < limit; i++)
		unmap_page(space, va + i * QR_PAGE_SIZE, pfn.nr + i);
	port_test_unlock(&port->mmu);
	count_add(port, nr_unmap_calls, 1);
	count_add(port, nr_unmapped_pages, i);
	*nr_done = i;
	return stop;
}

/* Each unmap() is whole by itself. */
void qr_port_unmap_begin(struct qr_port *port, struct qr_port_space *space)
{
	(void)port;
	(void)space;
	is_unmap_group = true;
}

void qr_port_unmap_end(struct qr_port *port, struct qr_port_space *space)
{
	(void)port;
	(void)space;
	is_unmap_group = false;
}

int qr_port_protect(struct qr_port *port, struct qr_port_space *space, uint64_t va, qr_pfn_t pfn, uint32_t nr,
		    uint32_t prot, uint32_t *nr_done)
{
	uint32_t limit;
	uint32_t i = 0;
	int stop;

	run_must_be_sane(port, va, pfn, nr);
	*nr_done = 0;
	if (port->is_exclusive)
		return QR_ENOSYS;
	port_test_lock(&port->mmu);
	limit = injected_limit(port, PORT_TEST_PROTECT, nr, &stop);
	for (; i < limit; i++) {
		struct mapping *mapping = table_find(space, va + i * QR_PAGE_SIZE);

		port_test_must_at(mapping && mapping->pfn == pfn.nr + i, "protects a page that does not map the frame");
		mapping->prot = prot;
	}
	port_test_unlock(&port->mmu);
	count_add(port, nr_protect_calls, 1);
	count_add(port, nr_protected_pages, i);
	*nr_done = i;
	return stop;
}

void qr_port_wake_faulters(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint64_t len_bytes)
{
	(void)space;
	range_must_be_sane(va, len_bytes);
	count_add(port, nr_wake_faulters, 1);
}

/* ---- The program's accesses ---- */

int port_test_read(struct qr_port_space *space, uint64_t va, void *buffer, uint64_t len_bytes)
{
	return access_bytes(space, va, buffer, len_bytes, QR_PROT_READ);
}

int port_test_write(struct qr_port_space *space, uint64_t va, const void *buffer, uint64_t len_bytes)
{
	/* The buffer is only read: access_page() copies from it. */
	return access_bytes(space, va, (uint8_t *)(uintptr_t)buffer, len_bytes, QR_PROT_WRITE);
}

int port_test_read_u64(struct qr_port_space *space, uint64_t va, uint64_t *value)
{
	return port_test_read(space, va, value, sizeof(*value));
}

int port_test_write_u64(struct qr_port_space *space, uint64_t va, uint64_t value)
{
	return port_test_write(space, va, &value, sizeof(value));
}

/* One try at bytes of one page. Returns 0, QR_EFAULT, QR_EACCES, or QR_EAGAIN when the page has to be faulted in. */
static int access_page(struct qr_port_space *space, uint64_t va, uint8_t *buffer, uint64_t len_bytes, uint32_t access)
{
	struct qr_port *port = space->port;
	const struct range *range;
	struct mapping *mapping;
	int error = 0;

	port_test_lock(&port->mmu);
	range = range_find(space, va);
	mapping = table_find(space, va);
	if (!range) {
		error = QR_EFAULT;
	} else if (!(range->prot & access)) {
		error = QR_EACCES;
	} else if (!mapping || mapping->pfn == PFN_FOREIGN || mapping->is_dropped || !(mapping->prot & access)) {
		error = QR_EAGAIN;
	} else {
		uint8_t *bytes = content_of(port, mapping->pfn) + va % QR_PAGE_SIZE;

		memcpy(access == QR_PROT_WRITE ? bytes : buffer, access == QR_PROT_WRITE ? buffer : bytes, len_bytes);
	}
	port_test_unlock(&port->mmu);
	return error;
}

static int access_bytes(struct qr_port_space *space, uint64_t va, uint8_t *buffer, uint64_t len_bytes, uint32_t access)
{
	uint32_t nr_faults = 0;

	while (len_bytes) {
		uint64_t nr_bytes = QR_MIN(len_bytes, QR_PAGE_SIZE - va % QR_PAGE_SIZE);
		int error = access_page(space, va, buffer, nr_bytes, access);

		if (!error) {
			va += nr_bytes;
			buffer += nr_bytes;
			len_bytes -= nr_bytes;
			nr_faults = 0;
			continue;
		}
		if (error != QR_EAGAIN)
			return error;
		if (!space->fault)
			return QR_EFAULT;
		port_test_must_at(nr_faults++ < MAX_FAULTS, "a fault loop makes no progress");
		count_add(space->port, nr_faults, 1);
		error = space->fault(space->fault_context, va, access);
		if (error)
			return error;
	}
	return 0;
}

bool port_test_lookup(struct qr_port_space *space, uint64_t va, qr_pfn_t *pfn, uint32_t *prot)
{
	struct mapping *mapping;
	bool is_mapped;

	port_test_lock(&space->port->mmu);
	mapping = table_find(space, va);
	is_mapped = mapping && mapping->pfn != PFN_FOREIGN && !mapping->is_dropped;
	if (is_mapped && pfn)
		pfn->nr = mapping->pfn;
	if (is_mapped && prot)
		*prot = mapping->prot;
	port_test_unlock(&space->port->mmu);
	return is_mapped;
}

uint64_t port_test_nr_mapped(struct qr_port_space *space)
{
	uint64_t nr_mapped;

	port_test_lock(&space->port->mmu);
	nr_mapped = space->nr_mapped;
	port_test_unlock(&space->port->mmu);
	return nr_mapped;
}

/* ---- Behind the manager's back ---- */

void port_test_drop(struct qr_port_space *space, uint64_t va)
{
	struct mapping *mapping;

	port_test_lock(&space->port->mmu);
	mapping = table_find(space, va);
	port_test_must(mapping && mapping->pfn != PFN_FOREIGN);
	mapping->is_dropped = true;
	memset(content_of(space->port, mapping->pfn), 0, QR_PAGE_SIZE);
	port_test_unlock(&space->port->mmu);
}

void port_test_populate(struct qr_port_space *space, uint64_t va)
{
	port_test_lock(&space->port->mmu);
	port_test_must(!table_find(space, va));
	table_insert(space, va, PFN_FOREIGN, 0);
	port_test_unlock(&space->port->mmu);
}

void port_test_unpopulate(struct qr_port_space *space, uint64_t va)
{
	struct mapping *mapping;

	port_test_lock(&space->port->mmu);
	mapping = table_find(space, va);
	port_test_must(mapping && mapping->pfn == PFN_FOREIGN);
	table_remove(space, mapping);
	port_test_unlock(&space->port->mmu);
}

/* ---- Fault injection ---- */

void port_test_fail_translation(struct qr_port *port, enum port_test_op op, uint32_t nth, uint32_t nr_pages, int error)
{
	port_test_lock(&port->mmu);
	port->fail_translation[op] = (struct port_test_injection){nth, nr_pages, error};
	port_test_unlock(&port->mmu);
}

void port_test_set_chaos(struct qr_port *port, uint32_t one_in, uint64_t seed)
{
	port_test_lock(&port->mmu);
	port->chaos_one_in = one_in;
	port->chaos_state = seed;
	port_test_unlock(&port->mmu);
}
