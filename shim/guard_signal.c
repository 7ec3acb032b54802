/*
 * Calls about signals. Page faults come as SIGBUS, so for the kernel it is never blocked and always has quire's
 * handler, on an alternate stack of quire's unless the program gave one: code may run on a stack that is managed
 * memory. What the program asked for is kept here and in the port (signal.c), and answered as the kernel would.
 *
 * Where no thread of the program has an alternate stack, its handlers that ask for one run on the ordinary stack, as
 * they would without quire.
 */
#include "guard_code.h"
QR_GUARD_CODE_BEGIN

#include <signal.h>

#include "guard.h"
#include "sigbus.h"

#define SIGBUS_BIT ((uint64_t)1 << (SIGBUS - 1))
#define NR_SIGNALS 65u
#define SS_AUTODISARM_FLAG (1u << 31) /* linux/signal.h */
#define FRAME_BYTES 1024u             /* as HOOK_FRAME_BYTES */

/* What the program asked for of a signal, and the kernel does not have. */
static struct {
	bool blocks_sigbus; /* in its sa_mask */
	bool wants_stack;   /* SA_ONSTACK */
} wishes[NR_SIGNALS];   /* [signal] */

static bool has_program_stack; /* some thread of the program has an alternate stack */

struct swap {
	const struct qr_signal_action *action;
	struct qr_signal_action *old;
};

static long set_action(struct qr_guard_call *call);
static long set_mask(struct qr_guard_thread *self, const struct qr_guard_call *call);
static long set_stack(struct qr_guard_thread *self, const struct qr_guard_call *call);
static long wait_with_mask(struct qr_guard_thread *self, struct qr_guard_call *call);
static long list_pending(struct qr_guard_thread *self, const struct qr_guard_call *call);
static void allow_stacks(void);

long qr_guard_signal(struct qr_guard_thread *self, struct qr_guard_call *call)
{
	switch (call->number) {
	case SYS_rt_sigaction:
		return set_action(call);
	case SYS_rt_sigprocmask:
		return set_mask(self, call);
	case SYS_sigaltstack:
		return set_stack(self, call);
	case SYS_rt_sigpending:
		return list_pending(self, call);
	default:
		return wait_with_mask(self, call);
	}
}

static void swap_action(void *argument)
{
	const struct swap *swap = argument;

	qr_sigbus_swap(swap->action, swap->old);
}

static long set_sigbus_action(const struct qr_signal_action *action, struct qr_signal_action *old)
{
	struct qr_signal_action wanted, last;
	struct swap swap = {action ? &wanted : NULL, &last};
	uint64_t all = ~(uint64_t)0, mask;
	bool is_borrowed = (uint32_t)qr_guard_raw(SYS_getpid, 0, 0, 0, 0, 0, 0) != qr_guard_process;

	/* A child of vfork() or posix_spawn(), on its way to exec: the handler kept here is its parent's. */
	if (is_borrowed)
		swap.action = NULL;
	else if (action)
		wanted = *action;
	/* The handler takes the same lock. */
	(void)qr_guard_raw(SYS_rt_sigprocmask, SIG_SETMASK, (uintptr_t)&all, (uintptr_t)&mask, QR_GUARD_SET_BYTES, 0,
			   0);
	qr_guard_switch(swap_action, &swap, (uint8_t *)__builtin_frame_address(0) - FRAME_BYTES);
	(void)qr_guard_raw(SYS_rt_sigprocmask, SIG_SETMASK, (uintptr_t)&mask, 0, QR_GUARD_SET_BYTES, 0, 0);
	if (old)
		*old = last;
	return 0;
}

static long set_action(struct qr_guard_call *call)
{
	const struct qr_signal_action *action = (const struct qr_signal_action *)call->args[1];
	struct qr_signal_action *old = (struct qr_signal_action *)call->args[2];
	uintptr_t number = call->args[0];
	struct qr_signal_action kernel, was;
	bool blocked_sigbus, wanted_stack;
	long result;

	if (number == 0 || number >= NR_SIGNALS || call->args[3] != QR_GUARD_SET_BYTES)
		return qr_guard_make(call);
	if (number == SIGBUS)
		return set_sigbus_action(action, old);
	blocked_sigbus = wishes[number].blocks_sigbus;
	wanted_stack = wishes[number].wants_stack;
	if (action) {
		kernel = *action;
		kernel.mask &= ~SIGBUS_BIT;
		if (!has_program_stack)
			kernel.flags &= ~(unsigned long)SA_ONSTACK;
	}
	result = qr_guard_raw(SYS_rt_sigaction, number, action ? (uintptr_t)&kernel : 0, old ? (uintptr_t)&was : 0,
			      QR_GUARD_SET_BYTES, 0, 0);
	if (result < 0)
		return result;
	if (action) {
		wishes[number].blocks_sigbus = action->mask & SIGBUS_BIT;
		wishes[number].wants_stack = action->flags & SA_ONSTACK;
	}
	if (old) {
		was.mask |= blocked_sigbus ? SIGBUS_BIT : 0;
		was.flags |= wanted_stack ? SA_ONSTACK : 0;
		*old = was;
	}
	return result;
}

static long set_mask(struct qr_guard_thread *self, const struct qr_guard_call *call)
{
	const uint64_t *set = (const uint64_t *)call->args[1];
	uint64_t *old = (uint64_t *)call->args[2];
	bool was_blocked = self->is_sigbus_blocked;
	uint64_t wanted = 0, kernel = 0, was;
	long result;

	if (call->args[3] != QR_GUARD_SET_BYTES)
		return qr_guard_make(call);
	if (set) {
		wanted = *set;
		kernel = wanted & ~SIGBUS_BIT;
	}
	result = qr_guard_raw(SYS_rt_sigprocmask, call->args[0], set ? (uintptr_t)&kernel : 0, (uintptr_t)&was,
			      QR_GUARD_SET_BYTES, 0, 0);
	if (result < 0)
		return result;
	if (set && (int)call->args[0] == SIG_SETMASK)
		self->is_sigbus_blocked = wanted & SIGBUS_BIT;
	else if (set && wanted & SIGBUS_BIT)
		self->is_sigbus_blocked = (int)call->args[0] == SIG_BLOCK;
	if (old)
		*old = was | (was_blocked ? SIGBUS_BIT : 0);
	if (self->is_sigbus_pending && !self->is_sigbus_blocked) {
		self->is_sigbus_pending = false;
		(void)qr_guard_raw(SYS_tgkill, qr_guard_process, (uintptr_t)qr_guard_raw(SYS_gettid, 0, 0, 0, 0, 0, 0),
				   SIGBUS, 0, 0, 0);
	}
	return result;
}

bool qr_shim_defer_sigbus(void)
{
	struct qr_guard_thread *self = qr_guard_self;

	if (!self || !self->is_sigbus_blocked)
		return false;
	self->is_sigbus_pending = true;
	return true;
}

static long list_pending(struct qr_guard_thread *self, const struct qr_guard_call *call)
{
	uint64_t pending = 0;
	long result = qr_guard_raw(SYS_rt_sigpending, (uintptr_t)&pending, call->args[1], 0, 0, 0, 0);

	if (result < 0 || call->args[1] > sizeof(pending))
		return result;
	pending |= self->is_sigbus_pending ? SIGBUS_BIT : 0;
	for (size_t i = 0; i < call->args[1]; i++)
		((volatile uint8_t *)call->args[0])[i] = (uint8_t)(pending >> 8 * i);
	return result;
}

/* sigsuspend, ppoll, pselect, epoll_pwait: a mask for the time of the call. */
static long wait_with_mask(struct qr_guard_thread *self, struct qr_guard_call *call)
{
	struct {
		uintptr_t mask;
		size_t nr_bytes;
	} packed, *given = (void *)call->args[5]; /* of pselect6 */
	struct qr_guard_call made = *call;
	uint32_t first = self->pins.nr;
	unsigned at = call->number == SYS_rt_sigsuspend ? 0 : call->number == SYS_ppoll ? 3 : 4;
	uintptr_t *mask = &made.args[at];
	uint64_t kernel;
	long result;

	if (call->number == SYS_pselect6 && given) {
		packed = *given;
		mask = &packed.mask;
		made.args[5] = (uintptr_t)&packed;
	}
	if (*mask && (call->number != SYS_pselect6 || given)) {
		kernel = *(const uint64_t *)*mask & ~SIGBUS_BIT;
		*mask = (uintptr_t)&kernel;
	}
	qr_guard_pin_args(self, call);
	(void)qr_guard_settle(self, first);
	result = qr_guard_make(&made);
	qr_guard_unpin(self, first);
	return result;
}

static long set_stack(struct qr_guard_thread *self, const struct qr_guard_call *call)
{
	const stack_t *wanted = (const stack_t *)call->args[0];
	stack_t *old = (stack_t *)call->args[1];
	stack_t kernel = {.ss_sp = self->signal_stack, .ss_size = QR_GUARD_SIGNAL_STACK_BYTES}, was;
	long result;

	if (wanted && !((unsigned)wanted->ss_flags & SS_DISABLE))
		kernel = *wanted;
	result = qr_guard_raw(SYS_sigaltstack, wanted ? (uintptr_t)&kernel : 0, (uintptr_t)&was, 0, 0, 0, 0);
	if (result < 0)
		return result;
	if (old && !self->own_signal_bytes)
		was = (stack_t){.ss_flags = SS_DISABLE};
	if (old)
		*old = was;
	if (!wanted)
		return result;
	self->own_signal_stack = (uintptr_t)kernel.ss_sp;
	self->own_signal_bytes = kernel.ss_sp == self->signal_stack ? 0 : kernel.ss_size;
	if (self->own_signal_bytes && !has_program_stack)
		allow_stacks();
	/* The kernel writes to it at any time. */
	if (self->own_signal_bytes && qr_guard_is_managed(self->own_signal_stack))
		qr_guard_lock(self->own_signal_stack, self->own_signal_bytes);
	return result;
}

/* From now on handlers that ask for an alternate stack get it. */
static void allow_stacks(void)
{
	has_program_stack = true;
	for (uintptr_t number = 1; number < NR_SIGNALS; number++) {
		struct qr_signal_action action;

		if (!wishes[number].wants_stack ||
		    qr_guard_raw(SYS_rt_sigaction, number, 0, (uintptr_t)&action, QR_GUARD_SET_BYTES, 0, 0))
			continue;
		action.flags |= SA_ONSTACK;
		(void)qr_guard_raw(SYS_rt_sigaction, number, (uintptr_t)&action, 0, QR_GUARD_SET_BYTES, 0, 0);
	}
}

void qr_guard_signal_thread_start(struct qr_guard_thread *self)
{
	stack_t stack = {.ss_sp = self->signal_stack, .ss_size = QR_GUARD_SIGNAL_STACK_BYTES};
	uint64_t sigbus = SIGBUS_BIT, was = 0;

	self->own_signal_stack = 0;
	self->own_signal_bytes = 0;
	(void)qr_guard_raw(SYS_sigaltstack, (uintptr_t)&stack, 0, 0, 0, 0, 0);
	/* A mask that was inherited through exec. */
	(void)qr_guard_raw(SYS_rt_sigprocmask, SIG_UNBLOCK, (uintptr_t)&sigbus, (uintptr_t)&was, QR_GUARD_SET_BYTES, 0,
			   0);
	if (was & SIGBUS_BIT)
		self->is_sigbus_blocked = true;
}

QR_GUARD_CODE_END
