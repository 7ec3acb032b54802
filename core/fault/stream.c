/*
 * Streams of faults. A fault that falls where an earlier window ended continues its stream and, from the second time
 * on, doubles the window (things that lie across two pages make no stream); any other fault begins a new stream with a
 * small one. So sequential access soon moves large units and random
 * access stays with single pages, for several streams side by side.
 *
 * Fields are read and written without a lock: a lost update makes one window smaller than it could be.
 */
#include "fault/fault_priv.h"

/* VMAs lie a few lines apart; the golden ratio spreads what is left of their addresses. */
static struct qr_stream_set *stream_set(const struct fault *fault)
{
	uint32_t hash = (uint32_t)((uintptr_t)fault->vma / sizeof(*fault->vma)) * 0x9e3779b9u;

	return &fault->aspace->stream_sets[hash >> 16 & (QR_NR_STREAM_SETS - 1)];
}

static struct qr_stream *stream_find(struct qr_stream_set *set, uint64_t va)
{
	for (unsigned i = 0; i < QR_NR_STREAMS; i++) {
		struct qr_stream *stream = &set->streams[i];

		if (qr_load_relaxed(&stream->next_va) == va)
			return stream;
	}
	return NULL;
}

static struct qr_stream *stream_oldest(struct qr_stream_set *set)
{
	struct qr_stream *oldest = &set->streams[0];

	for (unsigned i = 1; i < QR_NR_STREAMS; i++) {
		struct qr_stream *stream = &set->streams[i];

		if ((int32_t)(qr_load_relaxed(&stream->stamp) - qr_load_relaxed(&oldest->stamp)) < 0)
			oldest = stream;
	}
	return oldest;
}

unsigned qr_stream_order(const struct fault *fault, unsigned initial, unsigned max)
{
	struct qr_stream *stream = stream_find(stream_set(fault), fault->va);
	unsigned order = initial;

	if (stream && (qr_load_relaxed(&stream->order) || qr_load_relaxed(&stream->is_continued)))
		order = qr_load_relaxed(&stream->order) + 1;
	return QR_MIN(order, max);
}

void qr_stream_note(const struct fault *fault, uint64_t end_va, unsigned order)
{
	struct qr_stream_set *set = stream_set(fault);
	struct qr_stream *stream = stream_find(set, fault->va);
	bool is_continued = stream != NULL;

	if (!stream)
		stream = stream_oldest(set);
	qr_store_relaxed(&stream->is_continued, is_continued);
	qr_store_relaxed(&stream->next_va, end_va);
	qr_store_relaxed(&stream->order, (uint16_t)order);
	qr_store_relaxed(&stream->stamp, qr_fetch_add_relaxed(&set->clock, 1));
}
