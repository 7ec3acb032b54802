/*
 * The guard's entry, its threads and their stacks; guard.h has the idea.
 *
 * Pins are a stack per thread. A call that is left by a jump out of a signal handler never withdraws its pins: each
 * remembers the stack pointer of its call, and the next call from a frame above it drops them.
 *
 * Locks: none. The list of threads only grows; a thread's record is taken by compare-and-swap of its owner.
 */
#include "guard_code.h"
QR_GUARD_CODE_BEGIN

#include <signal.h>
#include <sys/mman.h>

#include "guard.h"
#include "patch.h"

/* A dead call's frame lies within this distance below the next call's. */
#define STALE_BYTES ((uintptr_t)64 << 10)
/* A single range longer than this is a mistaken argument, or one that the kernel fills in part (process_vm_readv). */
#define PIN_BYTES_MAX ((size_t)16 << 20)
/* What qr_guard_hook() and those whom it may be inlined in use of the stack at most. */
#define HOOK_FRAME_BYTES 1024u

uint64_t qr_guard_xsave_bytes;
QR_SHIM_TLS struct qr_guard_thread *qr_guard_self;
size_t qr_guard_limit;
uint32_t qr_guard_process;

struct range {
	uintptr_t start;
	size_t length;
};

long qr_guard_hook(struct qr_guard_call *call);
void qr_guard_enter(void);
static void settle_on_own_stack(void *argument);
static void drop_stale(struct qr_guard_thread *self, uintptr_t frame);

/* The trampolines come here: %r11 is where they go on, %rcx the address behind the call in the program's object, which
 * the unwind table gives out as the return address. The 128 bytes below the stack pointer may be in use. */
__asm__(".pushsection .text\n"
	".globl qr_guard_enter\n"
	".hidden qr_guard_enter\n"
	".type qr_guard_enter, @function\n"
	"qr_guard_enter:\n"
	"	.cfi_startproc\n"
	"	.cfi_def_cfa rsp, 0\n"
	"	.cfi_register rip, rcx\n"
	"	lea -128(%rsp), %rsp\n"
	"	.cfi_def_cfa_offset 128\n"
	"	push %rcx\n"
	"	.cfi_def_cfa_offset 136\n"
	"	.cfi_offset rip, -136\n"
	"	push %rbp\n"
	"	.cfi_def_cfa_offset 144\n"
	"	.cfi_offset rbp, -144\n"
	"	mov %rsp, %rbp\n"
	"	.cfi_def_cfa_register rbp\n"
	"	push %r11\n"
	"	push %r9\n"
	"	push %r8\n"
	"	push %r10\n"
	"	push %rdx\n"
	"	push %rsi\n"
	"	push %rdi\n"
	"	push %rax\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call qr_guard_hook\n"
	"	lea -56(%rbp), %rsp\n"
	"	pop %rdi\n"
	"	pop %rsi\n"
	"	pop %rdx\n"
	"	pop %r10\n"
	"	pop %r8\n"
	"	pop %r9\n"
	"	pop %r11\n"
	"	pop %rbp\n"
	"	.cfi_def_cfa rsp, 136\n"
	"	lea 136(%rsp), %rsp\n"
	"	.cfi_def_cfa_offset 0\n"
	"	jmp *%r11\n"
	"	.cfi_endproc\n"
	".size qr_guard_enter, . - qr_guard_enter\n"
	/* qr_guard_switch(function, argument, top): x87, SSE, AVX and AVX-512 state is saved at the top (XSAVE, Intel
	 * SDM volume 1, 13.7; the header's bytes 8-23 must be zero for XRSTOR). */
	".globl qr_guard_switch\n"
	".hidden qr_guard_switch\n"
	".type qr_guard_switch, @function\n"
	"qr_guard_switch:\n"
	"	.cfi_startproc\n"
	"	push %rbp\n"
	"	.cfi_def_cfa_offset 16\n"
	"	.cfi_offset rbp, -16\n"
	"	mov %rsp, %rbp\n"
	"	.cfi_def_cfa_register rbp\n"
	"	push %rbx\n"
	"	.cfi_offset rbx, -24\n"
	"	mov %rdi, %r8\n"
	"	mov %rdx, %rsp\n"
	"	sub qr_guard_xsave_bytes(%rip), %rsp\n"
	"	and $-64, %rsp\n"
	"	mov %rsp, %rbx\n"
	"	xor %eax, %eax\n"
	"	mov %rax, 512(%rbx)\n"
	"	mov %rax, 520(%rbx)\n"
	"	mov %rax, 528(%rbx)\n"
	"	mov $0xe7, %eax\n"
	"	xor %edx, %edx\n"
	"	xsave64 (%rbx)\n"
	"	mov %rsi, %rdi\n"
	"	call *%r8\n"
	"	mov $0xe7, %eax\n"
	"	xor %edx, %edx\n"
	"	xrstor64 (%rbx)\n"
	"	lea -8(%rbp), %rsp\n"
	"	pop %rbx\n"
	"	pop %rbp\n"
	"	.cfi_def_cfa rsp, 8\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size qr_guard_switch, . - qr_guard_switch\n"
	".popsection\n");

static bool points_to_managed(const struct qr_guard_call *call)
{
	for (unsigned i = 0; i < 6; i++) {
		if (qr_guard_is_managed(call->args[i]))
			return true;
	}
	return false;
}

/* Called by qr_guard_enter. */
__attribute__((used)) long qr_guard_hook(struct qr_guard_call *call)
{
	unsigned class = qr_guard_classes[call->number];
	struct qr_guard_thread *self = qr_guard_self;

	if (class == QR_GUARD_REFUSE)
		return -ENOSYS;
	if ((class == QR_GUARD_PLAIN || class == QR_GUARD_TRANSFER) && !points_to_managed(call))
		return qr_guard_make(call);
	if (!self) {
		qr_guard_switch(qr_guard_take_self, NULL, (uint8_t *)__builtin_frame_address(0) - HOOK_FRAME_BYTES);
		self = qr_guard_self;
		if (!self)
			return qr_guard_make(call);
	}
	drop_stale(self, (uintptr_t)__builtin_frame_address(0));
	switch (class) {
	case QR_GUARD_TRANSFER:
		return qr_guard_transfer(self, call);
	case QR_GUARD_VECTOR:
		return qr_guard_vector(self, call);
	case QR_GUARD_MESSAGE:
		return qr_guard_message(self, call);
	case QR_GUARD_SIGNAL:
		return qr_guard_signal(self, call);
	case QR_GUARD_EXEC:
		return qr_guard_exec(self, call);
	default:
		return qr_guard_make_pinned(self, call);
	}
}

long qr_guard_make_pinned(struct qr_guard_thread *self, const struct qr_guard_call *call)
{
	uint32_t first = self->pins.nr;
	long result;

	qr_guard_pin_args(self, call);
	(void)qr_guard_settle(self, first);
	result = qr_guard_make(call);
	qr_guard_unpin(self, first);
	return result;
}

static bool is_on_signal_stack(const struct qr_guard_thread *self, uintptr_t address)
{
	return address - (uintptr_t)self->signal_stack < QR_GUARD_SIGNAL_STACK_BYTES ||
	       address - self->own_signal_stack < self->own_signal_bytes;
}

static void drop_stale(struct qr_guard_thread *self, uintptr_t frame)
{
	uint32_t nr = self->pins.nr;

	if (!nr || is_on_signal_stack(self, frame))
		return;
	while (nr && frame > self->marks[nr - 1] && frame - self->marks[nr - 1] < STALE_BYTES)
		nr--;
	qr_guard_unpin(self, nr);
}

void qr_guard_pin(struct qr_guard_thread *self, uintptr_t start, size_t length)
{
	uintptr_t end = start + QR_MIN(length, (size_t)PIN_BYTES_MAX);
	uint32_t nr = self->pins.nr;

	start = QR_MAX(start, qr_shim.start);
	end = QR_MIN(end, qr_shim.start + qr_shim.length);
	if (start >= end || nr == QR_PINS_MAX)
		return;
	self->marks[nr] = (uintptr_t)__builtin_frame_address(0);
	(void)qr_pins_push(&self->pins, start, end);
}

bool qr_guard_settle(struct qr_guard_thread *self, uint32_t first)
{
	uint64_t all = ~(uint64_t)0, old;

	if (self->pins.nr == first)
		return true;
	self->settle_from = first;
	/* No handler of the program may run on that stack, nor while core's locks are held. */
	(void)qr_guard_raw(SYS_rt_sigprocmask, SIG_SETMASK, (uintptr_t)&all, (uintptr_t)&old, QR_GUARD_SET_BYTES, 0, 0);
	qr_guard_switch(settle_on_own_stack, self, self->stack + QR_GUARD_STACK_BYTES);
	(void)qr_guard_raw(SYS_rt_sigprocmask, SIG_SETMASK, (uintptr_t)&old, 0, QR_GUARD_SET_BYTES, 0, 0);
	return !self->nr_absent;
}

static void settle_on_own_stack(void *argument)
{
	struct qr_guard_thread *self = argument;

	qr_shim_internal_enter();
	self->nr_absent = qr_pins_settle(qr_shim.manager, &self->pins, self->settle_from);
	qr_shim_internal_leave();
}

static void lock_apart(void *argument)
{
	const struct range *range = argument;

	(void)qr_shim_manager(qr_manager_lock, (void *)range->start, range->length);
}

void qr_guard_lock(uintptr_t start, size_t length)
{
	struct range range = {start, length};

	qr_guard_switch(lock_apart, &range, (uint8_t *)__builtin_frame_address(0) - HOOK_FRAME_BYTES);
}

QR_GUARD_CODE_END
