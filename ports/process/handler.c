/*
 * Delivery of faults to handler threads.
 *
 * A handler reads messages from userfaultfd and runs the fault loop for each. After a fault it spins for a short
 * time, since the next fault of a program that is short of memory comes soon and a sleep costs 5 us to wake from;
 * then it sleeps in poll(2).
 *
 * Reading is serialised by read_lock, and an event is dealt with before the lock is released: a fault that the
 * kernel queued after an event is never handled before it.
 */
#include "internal.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fault/fault.h"
#include "uffd_abi.h"

/* Messages taken at a time: few, so that another handler gets its share. */
#define READ_BATCH 4
/* A handler spins this long after it did something: 20 us, a few faults. */
#define SPIN_NS 20000u
/* Wait before a fault that could not get memory is tried again: 1 ms. */
#define STARVED_US 1000u

static void handler_main(void *argument);

int qr_handlers_start(struct qr_manager *manager)
{
	manager->handlers_end = 0;
	manager->handler_eventfd = qr_adopt_fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (manager->handler_eventfd < 0)
		return -errno;
	for (uint32_t i = 0; i < manager->nr_handlers; i++) {
		manager->handler_threads[i] =
			qr_port_thread_start(&manager->port, "quire-fault", handler_main, manager);
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

/* Returns the number of page faults read into messages; events among them are dealt with here. */
static int handler_read(struct qr_manager *manager, struct uffd_msg *messages)
{
	int nr_faults = 0;
	ssize_t nr_bytes;

	pthread_mutex_lock(&manager->read_lock);
	nr_bytes = read(manager->port.uffd_space, messages, READ_BATCH * sizeof(messages[0]));
	for (ssize_t i = 0; i * (ssize_t)sizeof(messages[0]) < nr_bytes; i++) {
		if (messages[i].event == UFFD_EVENT_PAGEFAULT)
			messages[nr_faults++] = messages[i];
		else
			qr_handle_event(manager, &messages[i]);
	}
	pthread_mutex_unlock(&manager->read_lock);
	return nr_bytes > 0 ? nr_faults : -1;
}

static void handler_sleep(struct qr_manager *manager)
{
	struct pollfd fds[2] = {
		{.fd = manager->port.uffd_space, .events = POLLIN},
		{.fd = manager->handler_eventfd, .events = POLLIN},
	};

	(void)poll(fds, 2, -1);
}

static void handler_main(void *argument)
{
	struct qr_manager *manager = argument;
	struct uffd_msg messages[READ_BATCH];
	uint64_t spin_until_ns = 0;

	while (!qr_load_acquire(&manager->handlers_end)) {
		int nr = handler_read(manager, messages);

		for (int i = 0; i < nr; i++)
			handle_pagefault(manager, &messages[i]);
		if (nr >= 0)
			spin_until_ns = qr_port_now_ns() + SPIN_NS;
		else if (qr_port_now_ns() < spin_until_ns)
			__builtin_ia32_pause();
		else
			handler_sleep(manager);
	}
}
