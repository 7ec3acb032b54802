/*
 * Swap: reading records from the file.
 *
 * The records wanted are sorted by place; neighbours, with a small gap at most, share one transfer; all transfers
 * that fit in the reader's buffer are under way together. Each record must match its slot, its cluster's generation
 * and its check word. A transfer that fails is tried twice more, then record by record.
 * Locks: the reader is the caller's; the records' clusters are pinned.
 */
#include "swap/swap_priv.h"

#include "vmm/vmm.h"

/* Reading this much in vain costs less than another transfer (about 20 us each on flash at 1 GB/s or more). */
#define MAX_GAP_BYTES 16384u

static void read_sort(struct qr_reader *reader);
static uint32_t read_plan(struct qr_swap *swap, struct qr_reader *reader, uint32_t first);
static bool read_extend(struct qr_read_run *run, const struct qr_read_item *item, uint32_t room_bytes);
static void read_start(struct qr_swap *swap, struct qr_reader *reader);
static void read_finish(struct qr_swap *swap, struct qr_reader *reader, uint32_t first, void *const *pages,
			int *results);
static int read_alone(struct qr_swap *swap, struct qr_read_run *run, const struct qr_read_item *item);
static int read_check(struct qr_swap *swap, const struct qr_read_run *run, const struct qr_read_item *item, void *page);
static uint64_t item_start(const struct qr_read_item *item);
static uint64_t item_end(const struct qr_read_item *item);

void qr_swap_read_items(struct qr_swap *swap, struct qr_reader *reader, void *const *pages, int *results)
{
	uint32_t first = 0;

	read_sort(reader);
	while (first < reader->nr_items) {
		uint32_t end = read_plan(swap, reader, first);

		read_start(swap, reader);
		read_finish(swap, reader, first, pages, results);
		first = end;
	}
	for (uint32_t i = 0; i < reader->nr_items; i++)
		qr_cluster_unpin(&swap->log, &reader->items[i].place);
	reader->nr_items = 0;
}

/* Insertion sort by file and offset: few items, mostly in order already. */
static void read_sort(struct qr_reader *reader)
{
	for (uint32_t i = 1; i < reader->nr_items; i++) {
		struct qr_read_item item = reader->items[i];
		uint32_t at = i;

		for (; at > 0; at--) {
			const struct qr_log_place *before = &reader->items[at - 1].place;

			if (before->file < item.place.file ||
			    (before->file == item.place.file && before->offset_bytes <= item.place.offset_bytes))
				break;
			reader->items[at] = reader->items[at - 1];
		}
		reader->items[at] = item;
	}
}

/* Groups items from first on into runs, as many as the buffer has room for; returns one past the last. */
static uint32_t read_plan(struct qr_swap *swap, struct qr_reader *reader, uint32_t first)
{
	uint32_t room_bytes = (uint32_t)QR_PAGE_SIZE << swap->reader_order, next = first;
	uint8_t *buffer = reader->buffer;
	struct qr_read_run *run = NULL;

	reader->nr_runs = 0;
	for (; next < reader->nr_items; next++) {
		const struct qr_read_item *item = &reader->items[next];

		if (run && read_extend(run, item, room_bytes))
			continue;
		if (run) {
			buffer += run->request.len_bytes;
			room_bytes -= run->request.len_bytes;
		}
		if (reader->nr_runs == QR_READ_RUNS || item_end(item) - item_start(item) > room_bytes)
			break;
		run = &reader->runs[reader->nr_runs++];
		memset(run, 0, sizeof(*run));
		run->nr_items = 1;
		run->request.file = item->place.file;
		run->request.buffer = buffer;
		run->request.offset_bytes = item_start(item);
		run->request.len_bytes = (uint32_t)(item_end(item) - item_start(item));
	}
	return next;
}

/* Adds an item to the last run if it lies close behind it and there is room. */
static bool read_extend(struct qr_read_run *run, const struct qr_read_item *item, uint32_t room_bytes)
{
	uint64_t start = run->request.offset_bytes, end = start + run->request.len_bytes;

	if (item->place.file != run->request.file || item_start(item) > end + MAX_GAP_BYTES ||
	    item_end(item) - start > room_bytes)
		return false;
	run->request.len_bytes = (uint32_t)(QR_MAX(end, item_end(item)) - start);
	run->nr_items++;
	return true;
}

static void read_start(struct qr_swap *swap, struct qr_reader *reader)
{
	for (uint32_t i = 0; i < reader->nr_runs; i++) {
		struct qr_io_request *request = &reader->runs[i].request;
		int err;

		/* While the last one is under way there is nothing left to do but wait. */
		request->may_block = i + 1 == reader->nr_runs;
		err = qr_port_io_submit(swap->vmm->port, request);

		if (err) {
			request->result = err;
			qr_store_release(&request->done, 1); /* as the port would */
		}
	}
}

static void read_finish(struct qr_swap *swap, struct qr_reader *reader, uint32_t first, void *const *pages,
			int *results)
{
	struct qr_vmm *vmm = swap->vmm;
	const struct qr_read_item *item = &reader->items[first];

	/* All together: the first to be checked is not the last to arrive. */
	for (uint32_t i = 0; i < reader->nr_runs; i++)
		qr_port_io_wait(vmm->port, &reader->runs[i].request);
	for (uint32_t i = 0; i < reader->nr_runs; i++) {
		struct qr_read_run *run = &reader->runs[i];
		bool is_failed = run->request.result != 0;

		if (is_failed) {
			qr_stat_add(&vmm->stats, QR_STAT_io_errors, 1);
			is_failed = qr_log_read_sync(&swap->log, &run->request, QR_READ_TRIES - 1) != 0;
		} else {
			qr_stat_add(&vmm->stats, QR_STAT_file_read_bytes, run->request.len_bytes);
		}
		for (uint32_t j = 0; j < run->nr_items; j++, item++) {
			int err = is_failed ? read_alone(swap, run, item) : 0;

			if (!err)
				err = read_check(swap, run, item, pages[item->index]);
			results[item->index] = err;
		}
	}
}

/* Reads one record of a run that could not be read as a whole. */
static int read_alone(struct qr_swap *swap, struct qr_read_run *run, const struct qr_read_item *item)
{
	run->request.offset_bytes = item_start(item);
	run->request.len_bytes = (uint32_t)(item_end(item) - item_start(item));
	return qr_log_read_sync(&swap->log, &run->request, QR_READ_TRIES) ? QR_EIO : 0;
}

/* Finds the item's record in what the run read, checks it and expands it. */
static int read_check(struct qr_swap *swap, const struct qr_read_run *run, const struct qr_read_item *item, void *page)
{
	const uint8_t *bytes = run->request.buffer;
	const struct qr_record *record = (const void *)(bytes + (item->place.offset_bytes - run->request.offset_bytes));
	struct qr_workspace *workspace;
	int err = QR_EILSEQ;

	if (record->slot == item->slot && record->len_bytes == item->len_bytes &&
	    record->generation == item->place.generation &&
	    record->check == qr_port_checksum(record + 1, item->len_bytes)) {
		workspace = item->len_bytes == QR_PAGE_SIZE ? NULL : qr_workspace_take(swap);
		err = qr_swap_expand(swap, record + 1, item->len_bytes, page, workspace);
		if (workspace)
			qr_workspace_give(workspace);
	}
	if (err)
		qr_port_log(swap->vmm->port, QR_LOG_ERROR, "slot %u: its record in swap file %u at %llu is damaged",
			    (unsigned)item->slot, (unsigned)item->place.file,
			    (unsigned long long)item->place.offset_bytes);
	return err;
}

/* The blocks that hold the record. */
static uint64_t item_start(const struct qr_read_item *item)
{
	return QR_ALIGN_DOWN(item->place.offset_bytes, QR_IO_ALIGN);
}

static uint64_t item_end(const struct qr_read_item *item)
{
	return QR_ALIGN_UP(item->place.offset_bytes + qr_record_size(item->len_bytes), QR_IO_ALIGN);
}
