/*
 * The compressed pool. See zpool.h for the idea and the locks.
 *
 * A group begins, in its first frame, with struct qr_zgroup and one slot number per object; the objects follow
 * back to back across its frames. Size classes: 8 steps per power of two up to 1 KiB and 16 above, so that rounding
 * up wastes at most 12.5 % and 6.25 % of an object.
 *
 * A handle: bits 0-31 PFN of the group's first frame, 32-39 index of the object; RAW_INDEX: the frame is the object.
 */
#include "swap/zpool.h"

#include "vmm/vmm.h"

#define RAW_INDEX 0xffu
#define FINE_STEPS_ABOVE 1024u

struct qr_zgroup {
	struct qr_list order_link;   /* pool->groups */
	struct qr_list partial_link; /* class->partial, or alone */
	uint64_t used_bits;          /* bit i: object i is in use */
	uint32_t pfn[QR_ZGROUP_FRAMES]; /* (I) */
	uint8_t class_index;         /* (I) */
	uint8_t nr_used;
	bool is_draining;            /* takes no new objects */
	uint32_t slots[];            /* [object] */
};
_Static_assert(QR_ZGROUP_OBJECTS == 64, "one word of used_bits");

static void zpool_class_init(struct qr_zpool_class *class, uint32_t object_size);
static uint32_t zpool_class_of(uint32_t len_bytes);
static uint32_t zpool_class_size(uint32_t class_index);
static int zpool_insert_raw(struct qr_zpool *pool, uint32_t slot, const void *data, uint64_t *handle);
static struct qr_zgroup *zgroup_create(struct qr_zpool *pool, uint32_t class_index);
static void zgroup_release(struct qr_zpool *pool, const uint32_t *pfns, uint32_t nr);
static uint32_t zgroup_take_object(struct qr_zpool_class *class, struct qr_zgroup *group, uint32_t slot);
static void zgroup_copy(struct qr_zpool *pool, struct qr_zgroup *group, uint32_t index, uint32_t len_bytes,
			const void *in, void *out);
static void zpool_account(struct qr_zpool *pool, int nr_objects, int64_t nr_bytes, int nr_frames);
static bool zgroup_is_valid(struct qr_zpool *pool, struct qr_zgroup *group);

static inline void *zpool_address(struct qr_zpool *pool, uint32_t pfn)
{
	return qr_zone_address(&pool->vmm->zone, qr_zone_frame(&pool->vmm->zone, pfn));
}

void qr_zpool_init(struct qr_zpool *pool, struct qr_vmm *vmm)
{
	memset(pool, 0, sizeof(*pool));
	pool->vmm = vmm;
	qr_spin_init(&pool->lock, QR_RANK_ZPOOL);
	qr_list_init(&pool->groups);
	for (uint32_t i = 0; i < QR_ZPOOL_CLASSES; i++)
		zpool_class_init(&pool->classes[i], zpool_class_size(i));
	QR_ASSERT(zpool_class_of(QR_ZPOOL_MAX_OBJECT) == QR_ZPOOL_CLASSES - 1);
}

void qr_zpool_destroy(struct qr_zpool *pool)
{
	while (!qr_list_is_empty(&pool->groups)) {
		struct qr_zgroup *group = qr_list_entry(pool->groups.next, struct qr_zgroup, order_link);
		uint32_t nr_frames = pool->classes[group->class_index].nr_frames;
		uint32_t pfn[QR_ZGROUP_FRAMES];

		qr_list_remove(&group->order_link);
		memcpy(pfn, group->pfn, sizeof(pfn));
		zgroup_release(pool, pfn, nr_frames);
	}
}

int qr_zpool_insert(struct qr_zpool *pool, uint32_t slot, const void *data, uint32_t len_bytes, uint64_t *handle)
{
	struct qr_zpool_class *class;
	struct qr_zgroup *group = NULL;
	uint32_t class_index, index;

	if (len_bytes > QR_ZPOOL_MAX_OBJECT)
		return zpool_insert_raw(pool, slot, data, handle);
	class_index = zpool_class_of(len_bytes);
	class = &pool->classes[class_index];
	qr_spin_lock(&pool->lock);
	if (qr_list_is_empty(&class->partial)) {
		qr_spin_unlock(&pool->lock);
		group = zgroup_create(pool, class_index);
		if (!group)
			return QR_ENOMEM;
		qr_spin_lock(&pool->lock);
		qr_list_add_tail(&pool->groups, &group->order_link);
		qr_list_add_head(&class->partial, &group->partial_link);
		zpool_account(pool, 0, 0, class->nr_frames);
	}
	group = qr_list_entry(class->partial.next, struct qr_zgroup, partial_link);
	index = zgroup_take_object(class, group, slot);
	zpool_account(pool, 1, len_bytes, 0);
	qr_spin_unlock(&pool->lock);
	zgroup_copy(pool, group, index, len_bytes, data, NULL);
	*handle = group->pfn[0] | (uint64_t)index << 32;
	return 0;
}

void qr_zpool_copy(struct qr_zpool *pool, uint64_t handle, uint32_t len_bytes, void *out)
{
	void *first = zpool_address(pool, (uint32_t)handle);

	if (handle >> 32 == RAW_INDEX)
		memcpy(out, first, len_bytes);
	else
		zgroup_copy(pool, first, (uint32_t)(handle >> 32), len_bytes, NULL, out);
}

uint32_t qr_zpool_free(struct qr_zpool *pool, uint64_t handle, uint32_t len_bytes)
{
	struct qr_zgroup *group = zpool_address(pool, (uint32_t)handle);
	uint32_t index = (uint32_t)(handle >> 32), nr_frames = 0;
	uint32_t pfn[QR_ZGROUP_FRAMES] = {(uint32_t)handle};

	qr_spin_lock(&pool->lock);
	if (index == RAW_INDEX) {
		nr_frames = 1;
	} else {
		struct qr_zpool_class *class = &pool->classes[group->class_index];

		QR_BUG_ON(!(group->used_bits >> index & 1));
		group->used_bits &= ~((uint64_t)1 << index);
		if (group->nr_used-- == class->nr_objects && !group->is_draining)
			qr_list_add_tail(&class->partial, &group->partial_link);
		if (group->nr_used == 0) {
			nr_frames = class->nr_frames;
			memcpy(pfn, group->pfn, sizeof(pfn));
			qr_list_remove(&group->partial_link);
			qr_list_remove(&group->order_link);
		}
	}
	zpool_account(pool, -1, -(int64_t)len_bytes, -(int)nr_frames);
	qr_spin_unlock(&pool->lock);
	zgroup_release(pool, pfn, nr_frames);
	return nr_frames;
}

uint32_t qr_zpool_oldest(struct qr_zpool *pool, uint32_t slots[QR_ZGROUP_OBJECTS])
{
	struct qr_zgroup *group;
	uint32_t nr = 0;

	qr_spin_lock(&pool->lock);
	if (!qr_list_is_empty(&pool->groups)) {
		group = qr_list_entry(pool->groups.next, struct qr_zgroup, order_link);
		group->is_draining = true;
		qr_list_remove(&group->partial_link);
		for (uint64_t bits = group->used_bits; bits; bits &= bits - 1)
			slots[nr++] = group->slots[qr_low_bit_u64(bits)];
	}
	qr_spin_unlock(&pool->lock);
	return nr;
}

void qr_zpool_oldest_done(struct qr_zpool *pool, bool is_rotated)
{
	struct qr_zgroup *group;
	struct qr_zpool_class *class;

	qr_spin_lock(&pool->lock);
	if (!qr_list_is_empty(&pool->groups)) {
		group = qr_list_entry(pool->groups.next, struct qr_zgroup, order_link);
		class = &pool->classes[group->class_index];
		if (group->is_draining) {
			group->is_draining = false;
			if (group->nr_used < class->nr_objects)
				qr_list_add_tail(&class->partial, &group->partial_link);
			if (is_rotated) {
				qr_list_remove(&group->order_link);
				qr_list_add_tail(&pool->groups, &group->order_link);
			}
		}
	}
	qr_spin_unlock(&pool->lock);
}

bool qr_zpool_is_valid(struct qr_zpool *pool)
{
	uint32_t nr_objects = 0, nr_frames = 0;
	struct qr_list *node;
	bool is_valid = true;

	qr_spin_lock(&pool->lock);
	qr_list_for_each(node, &pool->groups) {
		struct qr_zgroup *group = qr_list_entry(node, struct qr_zgroup, order_link);

		is_valid = is_valid && zgroup_is_valid(pool, group);
		nr_objects += group->nr_used;
		nr_frames += pool->classes[group->class_index].nr_frames;
	}
	/* What is not in groups is a page in a frame of its own. */
	is_valid = is_valid && nr_objects <= pool->nr_objects &&
		   pool->nr_objects - nr_objects == pool->nr_frames - nr_frames;
	qr_spin_unlock(&pool->lock);
	return is_valid;
}

static bool zgroup_is_valid(struct qr_zpool *pool, struct qr_zgroup *group)
{
	const struct qr_zpool_class *class = &pool->classes[group->class_index];
	bool is_full = group->nr_used == class->nr_objects;
	bool is_listed = !qr_list_is_empty(&group->partial_link);
	uint32_t nr_bits = 0;

	for (uint64_t bits = group->used_bits; bits; bits &= bits - 1)
		nr_bits++;
	return group->nr_used > 0 && group->nr_used == nr_bits && group->nr_used <= class->nr_objects &&
	       is_listed == (!is_full && !group->is_draining) && zpool_address(pool, group->pfn[0]) == (void *)group;
}

/* Fills in the number of frames whose group wastes the least; the smaller group if it is as good within 1/64. */
static void zpool_class_init(struct qr_zpool_class *class, uint32_t object_size)
{
	uint32_t best_use = 0;

	class->object_size = (uint16_t)object_size;
	qr_list_init(&class->partial);
	for (uint32_t nr_frames = 1; nr_frames <= QR_ZGROUP_FRAMES; nr_frames++) {
		uint32_t nr_bytes = nr_frames * (uint32_t)QR_PAGE_SIZE;
		uint32_t nr = (nr_bytes - (uint32_t)sizeof(struct qr_zgroup)) / (object_size + 4);
		uint32_t use;

		nr = QR_MIN(nr, QR_ZGROUP_OBJECTS);
		use = nr * object_size * 64 / nr_bytes;
		if (use <= best_use)
			continue;
		best_use = use;
		class->nr_frames = (uint8_t)nr_frames;
		class->nr_objects = (uint8_t)nr;
	}
}

/* The step between the classes that a length lies between, as a shift. */
static uint32_t zpool_step_shift(uint32_t len_bytes)
{
	return qr_log2_u64(len_bytes - 1) - (len_bytes > FINE_STEPS_ABOVE ? 4 : 3);
}

static uint32_t zpool_class_of(uint32_t len_bytes)
{
	uint32_t shift, octave;

	if (len_bytes <= QR_ZPOOL_MIN_OBJECT)
		return 0;
	shift = zpool_step_shift(len_bytes);
	octave = qr_log2_u64(len_bytes - 1);
	if (len_bytes > FINE_STEPS_ABOVE) /* 1 + 4 * 8 classes up to 1 KiB, then 16 per octave */
		return 33 + (octave - 10) * 16 + ((len_bytes - 1 - (1u << octave)) >> shift);
	return 1 + (octave - 6) * 8 + ((len_bytes - 1 - (1u << octave)) >> shift);
}

/* The inverse: the largest length of a class. */
static uint32_t zpool_class_size(uint32_t class_index)
{
	if (class_index == 0)
		return QR_ZPOOL_MIN_OBJECT;
	if (class_index < 33) {
		uint32_t octave = 6 + (class_index - 1) / 8;

		return (1u << octave) + (((class_index - 1) % 8 + 1) << (octave - 3));
	}
	uint32_t octave = 10 + (class_index - 33) / 16;

	return (1u << octave) + (((class_index - 33) % 16 + 1) << (octave - 4));
}

static int zpool_insert_raw(struct qr_zpool *pool, uint32_t slot, const void *data, uint64_t *handle)
{
	struct qr_frame *frame = qr_alloc_pages(pool->vmm, 0, QR_GFP_RECLAIM);

	if (!frame)
		return QR_ENOMEM;
	frame->owner_word = slot;
	memcpy(qr_zone_address(&pool->vmm->zone, frame), data, QR_PAGE_SIZE);
	qr_spin_lock(&pool->lock);
	zpool_account(pool, 1, (int64_t)QR_PAGE_SIZE, 1);
	qr_spin_unlock(&pool->lock);
	*handle = qr_zone_pfn(&pool->vmm->zone, frame) | (uint64_t)RAW_INDEX << 32;
	return 0;
}

static struct qr_zgroup *zgroup_create(struct qr_zpool *pool, uint32_t class_index)
{
	struct qr_zpool_class *class = &pool->classes[class_index];
	uint32_t pfn[QR_ZGROUP_FRAMES];
	struct qr_zgroup *group;

	for (uint32_t i = 0; i < class->nr_frames; i++) {
		struct qr_frame *frame = qr_alloc_pages(pool->vmm, 0, QR_GFP_RECLAIM);

		if (!frame) {
			zgroup_release(pool, pfn, i);
			return NULL;
		}
		pfn[i] = qr_zone_pfn(&pool->vmm->zone, frame);
	}
	group = zpool_address(pool, pfn[0]);
	memset(group, 0, sizeof(*group));
	memcpy(group->pfn, pfn, class->nr_frames * sizeof(pfn[0]));
	group->class_index = (uint8_t)class_index;
	qr_list_init(&group->order_link);
	qr_list_init(&group->partial_link);
	return group;
}

static void zgroup_release(struct qr_zpool *pool, const uint32_t *pfns, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		qr_free_pages(pool->vmm, qr_zone_frame(&pool->vmm->zone, pfns[i]), 0);
}

static uint32_t zgroup_take_object(struct qr_zpool_class *class, struct qr_zgroup *group, uint32_t slot)
{
	uint32_t index = qr_low_bit_u64(~group->used_bits);

	QR_BUG_ON(index >= class->nr_objects);
	group->used_bits |= (uint64_t)1 << index;
	group->slots[index] = slot;
	if (++group->nr_used == class->nr_objects)
		qr_list_remove(&group->partial_link);
	return index;
}

/* Copies between an object, which may lie across frames, and a buffer: in or out, the other is NULL. */
static void zgroup_copy(struct qr_zpool *pool, struct qr_zgroup *group, uint32_t index, uint32_t len_bytes,
			const void *in, void *out)
{
	const struct qr_zpool_class *class = &pool->classes[group->class_index];
	uint32_t at = (uint32_t)sizeof(*group) + class->nr_objects * 4u + index * class->object_size;

	for (uint32_t done = 0; done < len_bytes;) {
		uint32_t in_frame = at & (uint32_t)(QR_PAGE_SIZE - 1);
		uint32_t nr = QR_MIN(len_bytes - done, (uint32_t)QR_PAGE_SIZE - in_frame);
		uint8_t *place = (uint8_t *)zpool_address(pool, group->pfn[at >> QR_PAGE_SHIFT]) + in_frame;

		if (in)
			memcpy(place, (const uint8_t *)in + done, nr);
		else
			memcpy((uint8_t *)out + done, place, nr);
		done += nr;
		at += nr;
	}
}

static void zpool_account(struct qr_zpool *pool, int nr_objects, int64_t nr_bytes, int nr_frames)
{
	pool->nr_objects += (uint32_t)nr_objects;
	pool->nr_bytes += (uint64_t)nr_bytes;
	qr_store_relaxed(&pool->nr_frames, pool->nr_frames + (uint32_t)nr_frames);
}
