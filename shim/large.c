/*
 * Large allocations: each a mapping of its own, and a table of them by address outside of them.
 *
 * The table is a hash with open addressing and linear probing; a removal shifts the entries behind it back, so
 * there are no tombstones (Knuth, TAOCP 3, 6.4, algorithm R). It is kept at most half full.
 *
 * Locks: table.lock, never held across a call of the manager. Callers are inside the gate.
 */
#include <string.h>
#include <sys/mman.h>

#include "heap.h"

#define LARGE_TABLE_MIN 1024u

struct large_entry {
	uintptr_t address; /* 0: empty */
	size_t length;
};

static struct {
	struct qr_mutex lock;
	struct large_entry *entries; /* (lock) [capacity] */
	uint64_t capacity;           /* (lock) a power of two, or 0 */
	uint64_t nr;                 /* (lock) */
	uint64_t nr_bytes;           /* (lock) */
} table;

static bool table_insert(uintptr_t address, size_t length);
static size_t table_remove(uintptr_t address);
static bool table_reserve_locked(void);
static uint64_t table_slot_locked(uintptr_t address);
static void table_close_gap_locked(uint64_t gap);

static inline uint64_t table_home(uintptr_t address)
{
	/* Fibonacci hashing: the high bits of a product with 2^64 / phi. */
	return ((address >> QR_PAGE_SHIFT) * 0x9e3779b97f4a7c15u) >> 32 & (table.capacity - 1);
}

void *qr_large_alloc(size_t size_bytes, size_t align)
{
	size_t length = QR_ALIGN_UP(size_bytes, QR_PAGE_SIZE), slack = align > QR_PAGE_SIZE ? align - QR_PAGE_SIZE : 0;
	uintptr_t start, aligned;
	void *address = NULL;

	if (length < size_bytes || length + slack < length)
		return NULL;
	if (qr_shim_manager(qr_manager_map, &address, length + slack, PROT_READ | PROT_WRITE, 0))
		return NULL;
	start = (uintptr_t)address;
	aligned = slack ? QR_ALIGN_UP(start, align) : start;
	if (aligned > start)
		(void)qr_shim_manager(qr_manager_unmap, (void *)start, aligned - start);
	if (start + slack > aligned)
		(void)qr_shim_manager(qr_manager_unmap, (void *)(aligned + length), start + slack - aligned);
	if (!table_insert(aligned, length)) {
		(void)qr_shim_manager(qr_manager_unmap, (void *)aligned, length);
		return NULL;
	}
	return (void *)aligned;
}

bool qr_large_free(void *object)
{
	/* Out of the table first: as soon as the addresses are free somebody else may get them. */
	size_t length = table_remove((uintptr_t)object);

	if (!length)
		return false;
	(void)qr_shim_manager(qr_manager_unmap, object, length);
	return true;
}

size_t qr_large_size(const void *object)
{
	size_t length = 0;

	qr_mutex_lock(&table.lock);
	if (table.capacity)
		length = table.entries[table_slot_locked((uintptr_t)object)].length;
	qr_mutex_unlock(&table.lock);
	return length;
}

void *qr_large_realloc(void *object, size_t new_size)
{
	size_t new_length = QR_ALIGN_UP(new_size, QR_PAGE_SIZE), old_length;
	void *address = object;

	if (new_length < new_size)
		return NULL;
	old_length = table_remove((uintptr_t)object);
	if (!old_length)
		return NULL;
	if (new_length != old_length &&
	    qr_shim_manager(qr_manager_remap, object, old_length, new_length, MREMAP_MAYMOVE, &address)) {
		address = NULL;
		new_length = old_length;
	}
	/* An entry was just taken out; only a table full to the last entry, without raw memory to grow, has no room. */
	if (!table_insert((uintptr_t)(address ? address : object), new_length))
		qr_shim_die("the table of large allocations is corrupt");
	return address;
}

void qr_large_usage(uint64_t *nr, uint64_t *nr_bytes)
{
	qr_mutex_lock(&table.lock);
	*nr = table.nr;
	*nr_bytes = table.nr_bytes;
	qr_mutex_unlock(&table.lock);
}

static bool table_insert(uintptr_t address, size_t length)
{
	bool has_room;

	qr_mutex_lock(&table.lock);
	has_room = table_reserve_locked();
	if (has_room) {
		table.entries[table_slot_locked(address)] = (struct large_entry){address, length};
		table.nr++;
		table.nr_bytes += length;
	}
	qr_mutex_unlock(&table.lock);
	return has_room;
}

/* Returns the length, 0 where there is no such entry. */
static size_t table_remove(uintptr_t address)
{
	size_t length = 0;
	uint64_t slot;

	qr_mutex_lock(&table.lock);
	if (table.capacity) {
		slot = table_slot_locked(address);
		length = table.entries[slot].length;
		if (length) {
			table_close_gap_locked(slot);
			table.nr--;
			table.nr_bytes -= length;
		}
	}
	qr_mutex_unlock(&table.lock);
	return length;
}

/* Makes sure that one more entry leaves half of the table empty. */
static bool table_reserve_locked(void)
{
	struct large_entry *old = table.entries, *entries;
	uint64_t old_capacity = table.capacity;
	uint64_t capacity = QR_MAX(2 * old_capacity, (uint64_t)LARGE_TABLE_MIN);

	if ((table.nr + 1) * 2 <= old_capacity)
		return true;
	entries = qr_raw_alloc(capacity * sizeof(*entries), QR_HEAP_ALIGN);
	if (!entries) /* go on while any is empty at all: a search must end */
		return table.nr + 1 < old_capacity;
	memset(entries, 0, capacity * sizeof(*entries));
	table.entries = entries;
	table.capacity = capacity;
	for (uint64_t i = 0; i < old_capacity; i++) {
		if (old[i].address)
			entries[table_slot_locked(old[i].address)] = old[i];
	}
	if (old)
		qr_raw_free(old);
	return true;
}

/* Where the address is, or the empty slot where it would be (length 0). */
static uint64_t table_slot_locked(uintptr_t address)
{
	uint64_t slot = table_home(address);

	while (table.entries[slot].address && table.entries[slot].address != address)
		slot = (slot + 1) & (table.capacity - 1);
	return slot;
}

/* Empties a slot; entries behind it that would no longer be found move up. */
static void table_close_gap_locked(uint64_t gap)
{
	uint64_t mask = table.capacity - 1, slot = gap;

	for (;;) {
		slot = (slot + 1) & mask;
		if (!table.entries[slot].address)
			break;
		/* It may move up to the gap if its home is not within (gap, slot]. */
		if (((slot - table_home(table.entries[slot].address)) & mask) < ((slot - gap) & mask))
			continue;
		table.entries[gap] = table.entries[slot];
		gap = slot;
	}
	table.entries[gap] = (struct large_entry){0, 0};
}
