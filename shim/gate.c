/*
 * The gate: who works on the shim's shared structures goes through it, and fork closes it, so that in the child
 * every lock of the shim and of the heap's slabs and zone is free and every structure whole.
 *
 * A thread marks its own word on entry and then looks whether the gate is closed; fork closes it and then looks at
 * every word (the sequentially consistent order of the two makes one of them see the other). So the common
 * case costs no shared write. Threads without a heap cache share one counter.
 *
 * Locks: none held while waiting. A thread inside may wait for a page fault or the manager; fork closes the gate
 * before it stops those.
 */
#include <sched.h>

#include <quire/port.h>

#include "heap.h"
#include "internal.h"

static struct {
	uint32_t closed;     /* (A) futex word */
	uint32_t nr_inside;  /* (A) threads without a cache that are inside */
} gate;

static QR_SHIM_TLS uint32_t gate_depth;       /* entries of this thread, nested */
static QR_SHIM_TLS bool gate_is_closer;       /* this thread closed it */
static QR_SHIM_TLS struct qr_heap_thread *gate_self; /* where the outermost entry was marked; NULL: nr_inside */

static void gate_mark(struct qr_heap_thread *self);
static void gate_unmark(struct qr_heap_thread *self);

void qr_gate_enter(void)
{
	struct qr_heap_thread *self = qr_heap_cache_of_thread();

	if (gate_is_closer || gate_depth++)
		return;
	for (;;) {
		gate_mark(self);
		if (qr_likely(!__atomic_load_n(&gate.closed, __ATOMIC_SEQ_CST)))
			break;
		gate_unmark(self);
		while (qr_load_relaxed(&gate.closed))
			qr_port_wait(&gate.closed, 1);
	}
	gate_self = self;
}

void qr_gate_leave(void)
{
	if (gate_is_closer || --gate_depth)
		return;
	gate_unmark(gate_self);
}

void qr_gate_close(void)
{
	const struct qr_heap_thread *own_cache = NULL;
	uint32_t nr_own = 0;

	while (__atomic_exchange_n(&gate.closed, 1, __ATOMIC_SEQ_CST))
		qr_port_wait(&gate.closed, 1);
	gate_is_closer = true;
	/* A signal handler that forks may have interrupted this very thread inside. Then the child goes on inside. */
	if (gate_depth && gate_self)
		own_cache = gate_self;
	else if (gate_depth)
		nr_own = 1;
	while (__atomic_load_n(&gate.nr_inside, __ATOMIC_SEQ_CST) > nr_own)
		(void)sched_yield();
	/* No thread registers a cache now: that happens inside. */
	for (struct qr_heap_thread *thread = qr_heap_first_cache(); thread; thread = thread->next_all) {
		while (thread != own_cache && __atomic_load_n(&thread->is_inside, __ATOMIC_SEQ_CST))
			(void)sched_yield();
	}
}

void qr_gate_open(void)
{
	gate_is_closer = false;
	qr_store_release(&gate.closed, 0);
	qr_port_wake(&gate.closed, UINT32_MAX);
}

void qr_gate_open_child(void)
{
	/* The parent's other threads are not inside here, and those that wait for the gate do not exist. */
	gate.nr_inside = gate_depth && !gate_self;
	gate_is_closer = false;
	qr_store_release(&gate.closed, 0);
}

static void gate_mark(struct qr_heap_thread *self)
{
	if (self)
		(void)__atomic_exchange_n(&self->is_inside, 1, __ATOMIC_SEQ_CST);
	else
		(void)__atomic_fetch_add(&gate.nr_inside, 1, __ATOMIC_SEQ_CST);
}

static void gate_unmark(struct qr_heap_thread *self)
{
	if (self)
		qr_store_release(&self->is_inside, 0);
	else
		(void)__atomic_fetch_sub(&gate.nr_inside, 1, __ATOMIC_RELEASE);
}
