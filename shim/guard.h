/*
 * The guard of system calls: what makes delivery of faults by signals right for unmodified programs.
 *
 * With signals, the kernel does not wait for a page that a system call needs: the call fails. So every call of the
 * program passes through here (patch.c rewrites the instructions): what it points to is pinned (ports/process/pin.h),
 * the call is made, the pins are withdrawn. Calls about signals keep SIGBUS deliverable at every moment, as page faults
 * are, while the program sees its own handler, mask and alternate stack.
 *
 *   guard.c         entry, threads, pins            guard_args.c    what each call points to
 *   guard_io.c      long transfers, in pieces       guard_signal.c  calls about signals
 *
 * The program's vector registers hold live values when guarded code runs: it uses general registers only, and calls
 * nothing outside of these files but through qr_guard_switch(), which saves the others.
 */
#ifndef QR_SHIM_GUARD_H
#define QR_SHIM_GUARD_H

#include "internal.h"
#include "pin.h"

/* The registers of a system call, as guard.c's assembly stores them. */
struct qr_guard_call {
	long number;
	uintptr_t args[6];
};

/* What a thread needs to be guarded; made in raw memory when first needed. Fields without a letter: its own. */
struct qr_guard_thread {
	struct qr_pins pins;
	uintptr_t marks[QR_PINS_MAX]; /* [pin] frame of the call that pinned */
	uint32_t settle_from; /* argument and result of a settle */
	uint32_t nr_absent;
	uint32_t owner; /* (A) thread ID, 0: nobody */
	struct qr_guard_thread *next; /* (I) list of all there ever were */
	uint8_t *stack; /* (I) for quire's own code: bottom */
	uint8_t *signal_stack; /* (I) for page faults: bottom */
	uintptr_t own_signal_stack; /* the alternate stack that the program gave */
	size_t own_signal_bytes; /* 0: none; then the kernel has ours */
	bool is_sigbus_blocked; /* as the program sees it */
	bool is_sigbus_pending; /* one was sent meanwhile */
	uint8_t *exec_area; /* copies of the arguments of the last execve(2) */
	size_t exec_bytes;
};
extern QR_SHIM_TLS struct qr_guard_thread *qr_guard_self;

#define QR_GUARD_STACK_BYTES ((size_t)128 << 10)
#define QR_GUARD_SIGNAL_STACK_BYTES ((size_t)64 << 10)
#define QR_GUARD_NR_CALLS 512u
#define QR_GUARD_SET_BYTES 8u /* of the kernel's sigset_t */

enum qr_guard_class {
	QR_GUARD_PASS,
	QR_GUARD_PLAIN, /* pin what the arguments point to */
	QR_GUARD_NESTED, /* the same, and what that points to in turn */
	QR_GUARD_TRANSFER, /* read, write and the like: long ones in pieces */
	QR_GUARD_VECTOR, /* the same with an array of buffers */
	QR_GUARD_MESSAGE, /* sendmsg and recvmsg, one or several */
	QR_GUARD_SIGNAL, /* guard_signal.c */
	QR_GUARD_EXEC, /* the arguments are copied: of a call that succeeds nobody withdraws pins */
	QR_GUARD_REFUSE, /* ENOSYS: the kernel would reach for the program's memory later, on its own */
};
/* [number of the call] enum qr_guard_class. Filled by qr_guard_fill_classes(). */
extern uint8_t qr_guard_classes[QR_GUARD_NR_CALLS];
void qr_guard_fill_classes(void);

/* Starts guarding: rewrites code, gives the first thread its stacks. Returns 0 or an error with a text. The port calls
 * it when the manager is complete but for its threads, which must not run code that is being rewritten. */
QR_SHIM_EXPORT int qr_shim_guard_calls(struct qr_manager *manager, const char **error_text);
bool qr_guard_is_on(void);

/* At the start of a thread and in the child of a fork. */
void qr_guard_thread_start(void);
void qr_guard_fork_child(void);
/* Gives the calling thread its record: sets qr_guard_self, to NULL without memory. Async-signal-safe. */
void qr_guard_take_self(void *unused);

/* Runs function(argument) on quire's own stack of the thread: for signal handlers. Signals are blocked. */
QR_SHIM_EXPORT void qr_shim_run_apart(void (*function)(void *argument), void *argument);

/* ---- guard_signal.c ---- */
/* The program's SIGBUS was sent, and it has blocked that: true, and it stays pending. */
QR_SHIM_EXPORT bool qr_shim_defer_sigbus(void);
/* The alternate stack and mask of a thread that begins. */
void qr_guard_signal_thread_start(struct qr_guard_thread *self);

/* ---- Within guarded code: general registers only ---- */

static inline long qr_guard_raw(long number, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e,
				uintptr_t f)
{
	register uintptr_t r10 __asm__("r10") = d;
	register uintptr_t r8 __asm__("r8") = e;
	register uintptr_t r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

static inline long qr_guard_make(const struct qr_guard_call *call)
{
	return qr_guard_raw(call->number, call->args[0], call->args[1], call->args[2], call->args[3], call->args[4],
			    call->args[5]);
}

static inline bool qr_guard_is_managed(uintptr_t address)
{
	return address - qr_shim.start < qr_shim.length;
}

/* Notes the managed part of [start, start + length) for the next settle. */
void qr_guard_pin(struct qr_guard_thread *self, uintptr_t start, size_t length);
/* Makes what was noted from pin number first on present; from then on it stays so. False: some of it is not mapped. */
bool qr_guard_settle(struct qr_guard_thread *self, uint32_t first);
static inline void qr_guard_unpin(struct qr_guard_thread *self, uint32_t first)
{
	if (self->pins.nr > first)
		qr_pins_pop(&self->pins, first);
}

/* Notes all that the call points to. */
void qr_guard_pin_args(struct qr_guard_thread *self, const struct qr_guard_call *call);

/* Pins what the arguments point to, makes the call, withdraws the pins. */
long qr_guard_make_pinned(struct qr_guard_thread *self, const struct qr_guard_call *call);

/* (I) what one call pins at most. */
extern size_t qr_guard_limit;

/* (I) this process's ID. */
extern uint32_t qr_guard_process;

/* Keeps a range of managed memory present for good, best effort. */
void qr_guard_lock(uintptr_t start, size_t length);

long qr_guard_transfer(struct qr_guard_thread *self, struct qr_guard_call *call);
long qr_guard_vector(struct qr_guard_thread *self, struct qr_guard_call *call);
/* Calls with one message or several. */
long qr_guard_message(struct qr_guard_thread *self, struct qr_guard_call *call);
long qr_guard_signal(struct qr_guard_thread *self, struct qr_guard_call *call);
long qr_guard_exec(struct qr_guard_thread *self, struct qr_guard_call *call);

/* Runs function(argument) on another stack, from top down, with all vector registers saved around it. Where that is the
 * thread's stack for quire's code, signals are blocked. */
void qr_guard_switch(void (*function)(void *argument), void *argument, void *top);

#endif
