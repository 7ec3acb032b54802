/*
 * The compressed pool: objects of 1 to QR_ZPOOL_MAX_OBJECT bytes, packed into groups of up to four single frames.
 *
 * A group holds objects of one size class, which may lie across its frames, so that sizes above half a page pack
 * well and no allocation needs contiguous frames (which are scarce when reclaim runs). Groups are kept in the order
 * of their making, oldest first: content leaves for the file a group at a time, which gives whole frames back.
 * Pages that do not compress may be kept as they are, one frame each, outside of that order.
 *
 * Locks: pool->lock (QR_RANK_ZPOOL) guards lists and groups. The bytes of an object and what tells its place are
 * constant from insertion to qr_zpool_free(); callers order the two by the lock of the object's slot.
 */
#ifndef QR_CORE_SWAP_ZPOOL_H
#define QR_CORE_SWAP_ZPOOL_H

#include "ds/list.h"
#include "page/frame.h"

struct qr_vmm;

#define QR_ZPOOL_MAX_OBJECT 3072u
#define QR_ZPOOL_MIN_OBJECT 64u
#define QR_ZPOOL_CLASSES 57u
#define QR_ZGROUP_FRAMES 4u
#define QR_ZGROUP_OBJECTS 64u

struct qr_zpool_class {
	uint16_t object_size;  /* (I) bytes */
	uint8_t nr_frames;     /* (I) of a group */
	uint8_t nr_objects;    /* (I) of a group */
	struct qr_list partial; /* (lock) groups with room, youngest first */
};

struct qr_zpool {
	struct qr_vmm *vmm;        /* (I) */
	struct qr_spinlock lock;   /* QR_RANK_ZPOOL */
	struct qr_list groups;     /* (lock) oldest first */
	uint64_t nr_bytes;         /* (lock) stored lengths */
	uint32_t nr_objects;       /* (lock) */
	uint32_t nr_frames;        /* (A) written under lock */
	struct qr_zpool_class classes[QR_ZPOOL_CLASSES];
};

void qr_zpool_init(struct qr_zpool *pool, struct qr_vmm *vmm);
/* Frees all groups, whatever is in them. Frames of pages kept as they are must have been freed. */
void qr_zpool_destroy(struct qr_zpool *pool);

/* Copies data in for a slot. len up to QR_ZPOOL_MAX_OBJECT, or a whole page. Never sleeps. *handle names the object.
 * Returns 0 or QR_ENOMEM. */
int qr_zpool_insert(struct qr_zpool *pool, uint32_t slot, const void *data, uint32_t len_bytes,
		    uint64_t *handle) QR_WARN_UNUSED;
/* Copies the first len bytes of an object out. No lock taken. */
void qr_zpool_copy(struct qr_zpool *pool, uint64_t handle, uint32_t len_bytes, void *out);
/* Frees an object; len as inserted. Returns the number of frames given back. Never sleeps. */
uint32_t qr_zpool_free(struct qr_zpool *pool, uint64_t handle, uint32_t len_bytes);

/* The slots of the oldest group's objects; from now on nothing is added to that group. Returns how many, 0 when
 * there is no group. */
uint32_t qr_zpool_oldest(struct qr_zpool *pool, uint32_t slots[QR_ZGROUP_OBJECTS]);
/* Ends that: a group that was not emptied takes objects again and becomes the youngest if is_rotated. */
void qr_zpool_oldest_done(struct qr_zpool *pool, bool is_rotated);

/* Index of the lowest set bit, without a call into the compiler's run-time library on 32-bit machines. */
static inline uint32_t qr_low_bit_u64(uint64_t bits)
{
	return qr_log2_u64(bits & (~bits + 1));
}

bool qr_zpool_is_valid(struct qr_zpool *pool);

#endif
