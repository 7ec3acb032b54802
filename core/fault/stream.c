/*
 * Streams of faults. A fault that falls where an earlier window ended continues its stream and doubles the window;
 * any other fault begins a new stream with a small one. So sequential access soon moves large units and random
 * access stays with single pages, for several streams side by side.
 *
 * Fields are read and written without a lock: a lost update makes one window smaller than it could be.
 */
#include "fault/fault_priv.h"

static struct qr_stream *stream_find(struct qr_aspace *aspace, uint64_t va)
{
	for (unsigned i = 0; i < QR_NR_STREAMS; i++) {
		struct qr_stream *stream = &aspace->streams[i];

		if (qr_load_relaxed(&stream->next_va) == va)
			return stream;
	}
	return NULL;
}

static struct qr_stream *stream_oldest(struct qr_aspace *aspace)
{
	struct qr_stream *oldest = &aspace->streams[0];

	for (unsigned i = 1; i < QR_NR_STREAMS; i++) {
		struct qr_stream *stream = &aspace->streams[i];

		if ((int32_t)(qr_load_relaxed(&stream->stamp) - qr_load_relaxed(&oldest->stamp)) < 0)
			oldest = stream;
	}
	return oldest;
}

unsigned qr_stream_order(struct qr_aspace *aspace, uint64_t va, unsigned initial, unsigned max)
{
	struct qr_stream *stream = stream_find(aspace, va);
	unsigned order = stream ? qr_load_relaxed(&stream->order) + 1 : initial;

	return QR_MIN(order, max);
}

void qr_stream_note(struct qr_aspace *aspace, uint64_t va, uint64_t end_va, unsigned order)
{
	struct qr_stream *stream = stream_find(aspace, va);

	if (!stream)
		stream = stream_oldest(aspace);
	qr_store_relaxed(&stream->next_va, end_va);
	qr_store_relaxed(&stream->order, order);
	qr_store_relaxed(&stream->stamp, qr_fetch_add_relaxed(&aspace->stream_clock, 1));
}
