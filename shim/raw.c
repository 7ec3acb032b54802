/*
 * Raw memory: a small allocator over plain kernel memory, outside of the manager and its budget.
 *
 * It serves what must not be managed: allocations before the manager is open, those of quire's own threads, the
 * shim's tables, and the few objects that libc touches in the middle of fork().
 * One reserved region, so that a pointer is recognised by its address; blocks are powers of two with a header of
 * 16 bytes before the object, free ones in a list per power. The region is never given back.
 *
 * Locks: one mutex, innermost; fork holds it across the system call.
 */
#include <string.h>
#include <sys/mman.h>

#include "internal.h"

#define RAW_RESERVE_BYTES ((size_t)8 << 30)
#define RAW_RESERVE_MIN ((size_t)64 << 20)
#define RAW_COMMIT_STEP ((size_t)1 << 20)
#define RAW_MIN_SHIFT 5u
#define RAW_MAX_SHIFT 32u
/* From here on a free block gives back all but its first page. */
#define RAW_RELEASE_SHIFT 17u
#define RAW_MAGIC 0x5152415700000000u

struct raw_header {
	uint64_t magic; /* RAW_MAGIC | shift, mixed with the header's own address */
	uint64_t block; /* address of the block */
};

struct raw_free {
	struct raw_free *next;
};

static struct {
	struct qr_mutex lock;
	uintptr_t start;     /* (A) 0 until the first use */
	size_t length;       /* (A) written before start */
	size_t used;         /* (lock) bytes handed out to blocks */
	size_t committed;    /* (lock) written, (A) read */
	struct raw_free *free[RAW_MAX_SHIFT + 1]; /* (lock) [shift] */
} raw;

static void *raw_alloc_block_locked(unsigned shift);
static bool raw_start_locked(void);
static struct raw_header *raw_header_of(const void *object);

void *qr_raw_alloc(size_t size_bytes, size_t align)
{
	struct raw_header *header;
	size_t slack = align > sizeof(*header) ? align : 0;
	uintptr_t object, block;
	unsigned shift;

	if (size_bytes >= ((size_t)1 << RAW_MAX_SHIFT) || slack >= ((size_t)1 << RAW_MAX_SHIFT))
		return NULL;
	shift = qr_log2_u64(QR_MAX(size_bytes + slack + sizeof(*header), (size_t)1 << RAW_MIN_SHIFT) - 1) + 1;
	if (shift > RAW_MAX_SHIFT)
		return NULL;
	qr_mutex_lock(&raw.lock);
	block = (uintptr_t)raw_alloc_block_locked(shift);
	qr_mutex_unlock(&raw.lock);
	if (!block)
		return NULL;
	object = QR_ALIGN_UP(block + sizeof(*header), slack ? align : sizeof(*header));
	header = (struct raw_header *)object - 1;
	header->magic = (RAW_MAGIC | shift) ^ (uintptr_t)header;
	header->block = block;
	return (void *)object;
}

void qr_raw_free(void *object)
{
	struct raw_header *header = raw_header_of(object);
	unsigned shift = (uint8_t)(header->magic ^ (uintptr_t)header);
	struct raw_free *block = (struct raw_free *)header->block;

	header->magic = 0; /* a second free of it is noticed */
	if (shift >= RAW_RELEASE_SHIFT) {
		/* Whole pages only: blocks are not aligned, neighbours begin where this one ends. */
		uintptr_t rest = QR_ALIGN_UP((uintptr_t)block + sizeof(*block), QR_PAGE_SIZE);
		uintptr_t end = QR_ALIGN_DOWN((uintptr_t)block + ((size_t)1 << shift), QR_PAGE_SIZE);

		(void)qr_shim_sys_madvise((void *)rest, end - rest, MADV_DONTNEED);
	}
	qr_mutex_lock(&raw.lock);
	block->next = raw.free[shift];
	raw.free[shift] = block;
	qr_mutex_unlock(&raw.lock);
}

size_t qr_raw_usable_size(const void *object)
{
	const struct raw_header *header = raw_header_of(object);
	unsigned shift = (uint8_t)(header->magic ^ (uintptr_t)header);

	return header->block + ((size_t)1 << shift) - (uintptr_t)object;
}

bool qr_raw_owns(const void *address)
{
	uintptr_t start = qr_load_acquire(&raw.start); /* pairs with raw_start_locked() */

	return start && (uintptr_t)address - start < qr_load_relaxed(&raw.length);
}

void *qr_raw_reserve(size_t length)
{
	void *address = qr_shim_sys_mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return address == MAP_FAILED ? NULL : address;
}

/* PROT_NONE first and writable later: under strict overcommit only what is in use is charged. */
bool qr_raw_commit(void *address, size_t length)
{
	return qr_shim_sys_mprotect(address, length, PROT_READ | PROT_WRITE) == 0;
}

uint64_t qr_raw_bytes(void)
{
	return qr_load_relaxed(&raw.committed);
}

void qr_raw_lock(void)
{
	qr_mutex_lock(&raw.lock);
}

void qr_raw_unlock(void)
{
	qr_mutex_unlock(&raw.lock);
}

static void *raw_alloc_block_locked(unsigned shift)
{
	struct raw_free *block = raw.free[shift];
	size_t size = (size_t)1 << shift;

	if (block) {
		raw.free[shift] = block->next;
		return block;
	}
	if (!raw_start_locked() || size > raw.length - raw.used)
		return NULL;
	if (raw.used + size > raw.committed) {
		size_t more = QR_MIN(QR_ALIGN_UP(raw.used + size - raw.committed, RAW_COMMIT_STEP),
				     raw.length - raw.committed);

		if (!qr_raw_commit((void *)(raw.start + raw.committed), more))
			return NULL;
		qr_store_relaxed(&raw.committed, raw.committed + more);
	}
	raw.used += size;
	return (void *)(raw.start + raw.used - size);
}

static bool raw_start_locked(void)
{
	size_t length = RAW_RESERVE_BYTES;
	void *start;

	if (raw.start)
		return true;
	while (!(start = qr_raw_reserve(length))) {
		length /= 2;
		if (length < RAW_RESERVE_MIN)
			return false;
	}
	qr_store_relaxed(&raw.length, length);
	qr_store_release(&raw.start, (uintptr_t)start); /* pairs with qr_raw_owns() */
	return true;
}

static struct raw_header *raw_header_of(const void *object)
{
	struct raw_header *header = (struct raw_header *)(uintptr_t)object - 1;

	if ((uintptr_t)object % sizeof(*header) || ((header->magic ^ (uintptr_t)header) & ~(uint64_t)0xff) != RAW_MAGIC)
		qr_shim_die("invalid or already freed pointer");
	return header;
}
