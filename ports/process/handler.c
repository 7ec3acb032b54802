/*
 * Delivery of faults to handler threads.
 *
 * One handler leads: it alone reads userfaultfd, since the kernel wakes everybody who waits for it. After a fault it
 * spins for a short time, because the next fault of a program that is short of memory comes soon and a sleep costs
 * 5 us to wake from; then it sleeps in poll(2). Before it waits for the swap file it hands the lead over, if faults
 * of other threads were seen to wait for such a one: a follower that is woken for nothing costs more than it saves.
 *
 * An event is dealt with before the lead is given up: a fault that the kernel queued after an event is never handled
 * before it.
 */
#include "internal.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fault/fault.h"
#include "record.h"
#include "uffd_abi.h"

/* A handler spins this long after it did something: 20 us, a few faults. */
#define SPIN_NS 20000u
/* Wait before a fault that could not get memory is tried again: 1 ms. */
#define STARVED_US 1000u
/* Waits of the swap file, in excess of those during which nobody faulted, from which on the lead is handed over; the
 * excess counted at most. */
#define CROWD_FROM 2u
#define CROWD_MAX 8u

/* The handler that this thread is. */
struct handler {
	struct qr_manager *leads; /* NULL: it does not lead */
	bool is_in_event;         /* the lead is kept until it is dealt with */
	struct qr_manager *waits; /* NULL: it does not wait for a transfer */
	uint32_t nr_read_before;  /* messages that had been read when it began to wait */
	uint64_t spin_until_ns;
};
static __thread struct handler handler_self;

static void handler_main(void *argument);

int qr_handlers_start(struct qr_manager *manager)
{
	manager->handlers_end = 0;
	manager->handler_eventfd = qr_adopt_fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (manager->handler_eventfd < 0)
		return -errno;
	for (uint32_t i = 0; i < manager->nr_handlers; i++) {
		manager->handler_threads[i] =
			qr_port_thread_start(&manager->port, "quire-fault", 0, handler_main, manager);
		if (manager->handler_threads[i] < 0)
			return manager->handler_threads[i];
	}
	return 0;
}

void qr_handlers_stop(struct qr_manager *manager)
{
	uint64_t one = 1;

	qr_store_release(&manager->handlers_end, 1);
	(void)!write(manager->handler_eventfd, &one, sizeof(one));
	for (uint32_t i = 0; i < manager->nr_handlers; i++)
		qr_port_thread_join(&manager->port, manager->handler_threads[i]);
	qr_close_fd(manager->handler_eventfd);
}

void qr_handle_fault(struct qr_manager *manager, uint64_t va, bool is_write)
{
	struct qr_port *port = &manager->port;
	int err = qr_fault(manager->aspace, va, is_write ? QR_FAULT_WRITE : 0);

	switch (err) {
	case 0:
		if (is_write)
			qr_guard_resolve(manager, va);
		if (qr_unlikely(manager->record != NULL))
			qr_record_note(manager->record, &manager->domain, va);
		return;
	case QR_EIO:
	case QR_EILSEQ:
		qr_port_content_lost(port, va, err);
		return;
	case QR_ENOMEM:
		usleep(STARVED_US);
		break;
	default:
		/* No mapping, or not with that right: the kernel's own tables say the same, so when the access is
		 * tried again it ends in the segmentation fault that the program expects. */
		break;
	}
	qr_port_wake_faulters(port, &manager->port.space, va & QR_PAGE_MASK, QR_PAGE_SIZE);
}

/* One page fault message. While a fork stills core the thread is sent back to fault again. */
static void handle_pagefault(struct qr_manager *manager, const struct uffd_msg *message)
{
	uint64_t va = message->arg.pagefault.address & QR_PAGE_MASK;
	uint64_t flags = message->arg.pagefault.flags;

	if (pthread_rwlock_tryrdlock(&manager->fork.gate)) {
		qr_port_wake_faulters(&manager->port, &manager->port.space, va, QR_PAGE_SIZE);
		sched_yield();
		return;
	}
	qr_handle_fault(manager, va, flags & (UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP));
	pthread_rwlock_unlock(&manager->fork.gate);
}

void qr_handler_wait_begin(void)
{
	struct handler *self = &handler_self;
	struct qr_manager *manager = self->leads;

	if (!manager || self->is_in_event)
		return;
	self->waits = manager;
	self->nr_read_before = qr_load_relaxed(&manager->nr_messages);
	if (qr_load_relaxed(&manager->crowd) < CROWD_FROM)
		return;
	self->leads = NULL;
	pthread_mutex_unlock(&manager->read_lock);
}

/* Whether somebody faulted while this handler waited: looked at before its own fault is resolved, since the thread that
 * waits for that one may fault again at once. */
void qr_handler_wait_end(void)
{
	struct handler *self = &handler_self;
	struct qr_manager *manager = self->waits;
	uint32_t crowd;
	bool is_crowded;

	if (!manager)
		return;
	self->waits = NULL;
	if (self->leads) {
		struct pollfd fd = {.fd = manager->port.uffd_space, .events = POLLIN};

		is_crowded = poll(&fd, 1, 0) > 0;
	} else {
		is_crowded = qr_load_relaxed(&manager->nr_messages) != self->nr_read_before;
	}
	crowd = qr_load_relaxed(&manager->crowd);
	if (is_crowded)
		qr_store_relaxed(&manager->crowd, QR_MIN(crowd + 1, CROWD_MAX));
	else if (crowd)
		qr_store_relaxed(&manager->crowd, crowd - 1);
}

/* Returns with the lead, or false when the handlers are to end. */
static bool handler_lead(struct handler *self, struct qr_manager *manager)
{
	if (!self->leads)
		pthread_mutex_lock(&manager->read_lock);
	self->leads = manager;
	if (!qr_load_acquire(&manager->handlers_end))
		return true;
	self->leads = NULL;
	pthread_mutex_unlock(&manager->read_lock);
	return false;
}

static void handler_sleep(struct qr_manager *manager)
{
	struct pollfd fds[2] = {
		{.fd = manager->port.uffd_space, .events = POLLIN},
		{.fd = manager->handler_eventfd, .events = POLLIN},
	};

	(void)poll(fds, 2, -1);
}

/* Reads the next message; false if there is none yet, after a turn of the spin or a sleep. The caller leads. */
static bool handler_next(struct handler *self, struct qr_manager *manager, struct uffd_msg *message)
{
	bool has_message = read(manager->port.uffd_space, message, sizeof(*message)) == (ssize_t)sizeof(*message);

	if (has_message)
		qr_store_relaxed(&manager->nr_messages, manager->nr_messages + 1);
	else if (qr_port_now_ns() < self->spin_until_ns)
		__builtin_ia32_pause();
	else
		handler_sleep(manager);
	return has_message;
}

static void handler_main(void *argument)
{
	struct handler *self = &handler_self;
	struct qr_manager *manager = argument;
	struct uffd_msg message;

	*self = (struct handler){0};
	while (handler_lead(self, manager)) {
		if (!handler_next(self, manager, &message))
			continue;
		self->is_in_event = message.event != UFFD_EVENT_PAGEFAULT;
		if (self->is_in_event)
			qr_handle_event(manager, &message);
		else
			handle_pagefault(manager, &message);
		self->is_in_event = false;
		self->spin_until_ns = qr_port_now_ns() + SPIN_NS;
	}
}
