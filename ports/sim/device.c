/*
 * The swap device: a number of transfers at a time, each with a latency and a rate. A transfer waits for the channel
 * that is free first. Contents are kept byte for byte, in memory that appears as it is written.
 */
#include <stdlib.h>
#include <string.h>

#include "directory.h"
#include "port_sim.h"

struct transfer {
	struct transfer *next;
	struct qr_io_request *request;
	uint64_t finish;
};

static struct channel {
	uint64_t free_at;
	struct transfer *head, *tail; /* in order of their ends */
} channels[QR_SIM_MAX_DEPTH];

static uint8_t *file_bytes(uint32_t file)
{
	return (uint8_t *)QR_SIM_DEVICE + ((uint64_t)file << 38); /* 256 GiB, the parameter's bound, for each */
}

static uint64_t file_size(void)
{
	return (uint64_t)(qr_sim.machine.device_gib * (1 << 30)) & QR_PAGE_MASK;
}

int qr_port_swap_open(struct qr_port *port, uint32_t *file)
{
	if (!file_size() || port->nr_swap_files == QR_MAX_SWAP_FILES)
		return QR_ENOSYS;
	(void)qr_sim_reserve((uintptr_t)file_bytes(port->nr_swap_files), file_size());
	*file = port->nr_swap_files++;
	return 0;
}

void qr_port_swap_discard(struct qr_port *port, uint32_t file, uint64_t offset_bytes, uint64_t len_bytes)
{
	(void)port;
	(void)file;
	(void)offset_bytes;
	(void)len_bytes;
}

static void transfer_bytes(const struct qr_io_request *request)
{
	uint8_t *at = file_bytes(request->file) + request->offset_bytes;
	uint64_t offset = (uintptr_t)request->buffer - QR_SIM_ARENA;

	if (request->is_write) {
		memcpy(at, request->buffer, request->len_bytes);
		return;
	}
	memcpy(request->buffer, at, request->len_bytes);
	for (uint64_t done = 0; done < request->len_bytes; done += QR_PAGE_SIZE)
		qr_sim_mark_backed(offset + done);
}

int qr_port_io_submit(struct qr_port *port, struct qr_io_request *request)
{
	uint32_t depth = (uint32_t)qr_sim.machine.device_depth;
	uint64_t now = qr_sim_current ? qr_sim_current->clock : 0;
	uint64_t length = (uint64_t)(request->len_bytes / qr_sim.machine.device_mib_s * 1e12 / (1 << 20));
	struct channel *channel = &channels[0];
	struct transfer *transfer;

	if (request->file >= port->nr_swap_files || request->offset_bytes + request->len_bytes > file_size())
		return request->is_write ? QR_ENOSPC : QR_EINVAL;
	request->result = 0;
	request->done = 0;
	if (!qr_sim_current) {
		transfer_bytes(request);
		request->done = 1;
		return 0;
	}
	for (uint32_t i = 1; i < depth; i++) {
		if (channels[i].free_at < channel->free_at)
			channel = &channels[i];
	}
	transfer = malloc(sizeof(*transfer));
	if (!transfer)
		return QR_ENOMEM;
	channel->free_at = QR_MAX(channel->free_at, now) + qr_sim.costs.device + length;
	*transfer = (struct transfer){NULL, request, channel->free_at};
	if (channel->tail)
		channel->tail->next = transfer;
	else
		qr_sim_heap_push(QR_SIM_ID_DEVICE + (uint32_t)(channel - channels), transfer->finish);
	if (!channel->tail)
		channel->head = transfer;
	channel->tail = transfer;
	qr_sim_set_limits();
	return 0;
}

void qr_sim_device_event(uint32_t slot, uint64_t at)
{
	struct channel *channel = &channels[slot];
	struct transfer *transfer = channel->head;
	struct qr_io_request *request = transfer->request;

	channel->head = transfer->next;
	if (channel->head)
		qr_sim_heap_push(QR_SIM_ID_DEVICE + slot, channel->head->finish);
	else
		channel->tail = NULL;
	free(transfer);
	transfer_bytes(request);
	request->done = 1;
	qr_sim_wake_word(&request->done, UINT32_MAX, at);
}

void qr_port_io_wait(struct qr_port *port, struct qr_io_request *request)
{
	(void)port;
	while (!request->done)
		qr_port_wait(&request->done, 0);
}
