/*
 * The guard's start, and the records of its threads: pins, a stack for quire's own code, an alternate signal stack.
 *
 * A record is given back when its thread ends. One that a thread takes again after that, or of a thread that ended
 * unseen, is found by its owner's thread ID when records are wanted.
 */
#include <cpuid.h>
#include <gnu/libc-version.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "guard.h"
#include "patch.h"

#define XSAVE_HEADER_END 576u
#define OWNER_UNKNOWN UINT32_MAX
/* From this version of glibc on a cancelled thread is told from others by the address of its system call. */
#define GLIBC_CANCEL_MAJOR 2
#define GLIBC_CANCEL_MINOR 41

extern uint64_t qr_guard_xsave_bytes;
void qr_guard_enter(void);

static struct {
	struct qr_guard_thread *all; /* (A) list through next */
	bool is_on;                  /* (I) */
	pthread_key_t key;           /* (I) gives records back */
} guard;

static bool check_machine(const char **error_text);
static void thread_end(void *self);
static struct qr_guard_thread *take_free(uint32_t owner);
static struct qr_guard_thread *make_record(uint32_t owner);

int qr_shim_guard_calls(struct qr_manager *manager, const char **error_text)
{
	struct qr_patch patch = {
		.is_guarded = qr_guard_classes,
		.nr_calls = QR_GUARD_NR_CALLS,
		.entry = qr_guard_enter,
	};
	int err;

	if (!check_machine(error_text))
		return QR_ENOSYS;
	qr_guard_process = (uint32_t)getpid();
	qr_guard_limit = (size_t)qr_pins_limit(manager);
	qr_guard_fill_classes();
	if (pthread_key_create(&guard.key, thread_end))
		return QR_EAGAIN;
	err = qr_patch_objects(&patch);
	if (!err && (!patch.nr_sites || patch.nr_left)) {
		*error_text = "a system call of a loaded library cannot be rewritten; use --delivery thread";
		return QR_ENOSYS;
	}
	if (err) {
		*error_text = err == QR_EACCES
				      ? "a security policy forbids to rewrite system calls; use --delivery thread"
				      : "no address space to rewrite system calls";
		return err;
	}
	guard.is_on = true;
	qr_guard_thread_start();
	return qr_guard_self ? 0 : QR_ENOMEM;
}

bool qr_guard_is_on(void)
{
	return guard.is_on;
}

static bool check_machine(const char **error_text)
{
	unsigned eax, ebx, ecx, edx;
	char *end;
	long major = strtol(gnu_get_libc_version(), &end, 10);
	long minor = *end ? strtol(end + 1, NULL, 10) : 0;

	if (major > GLIBC_CANCEL_MAJOR || (major == GLIBC_CANCEL_MAJOR && minor >= GLIBC_CANCEL_MINOR)) {
		*error_text =
			"delivery by signals is not for this version of the C library (2.41 or later); use --delivery "
			"thread";
		return false;
	}
	if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_OSXSAVE) ||
	    !__get_cpuid_count(0xd, 0, &eax, &ebx, &ecx, &edx)) {
		*error_text = "this processor has no XSAVE; use --delivery thread";
		return false;
	}
	/* ebx: what all enabled state takes (Intel SDM volume 1, 13.2) */
	qr_guard_xsave_bytes = QR_ALIGN_UP(QR_MAX(ebx, XSAVE_HEADER_END), 64u);
	return true;
}

void qr_guard_thread_start(void)
{
	if (!guard.is_on)
		return;
	qr_guard_take_self(NULL);
	if (!qr_guard_self)
		return;
	(void)pthread_setspecific(guard.key, qr_guard_self);
	qr_guard_signal_thread_start(qr_guard_self);
}

static void thread_end(void *argument)
{
	struct qr_guard_thread *self = argument;
	stack_t none = {.ss_flags = SS_DISABLE};

	(void)syscall(SYS_sigaltstack, &none, NULL);
	qr_guard_self = NULL;
	qr_pins_pop(&self->pins, 0);
	qr_store_release(&self->owner, 0);
}

void qr_guard_fork_child(void)
{
	if (!guard.is_on)
		return;
	qr_guard_process = (uint32_t)getpid();
	for (struct qr_guard_thread *thread = guard.all; thread; thread = thread->next)
		thread->owner = thread == qr_guard_self ? (uint32_t)gettid() : 0;
	qr_pins_forget_others(qr_guard_self ? &qr_guard_self->pins : NULL);
}

void qr_guard_take_self(void *unused)
{
	/* A child of vfork() borrows its parent's thread-local storage: what it takes is the parent's. */
	bool is_borrowed = (uint32_t)syscall(SYS_getpid) != qr_guard_process;
	uint32_t owner = is_borrowed ? OWNER_UNKNOWN : (uint32_t)syscall(SYS_gettid);
	struct qr_guard_thread *self;

	(void)unused;
	if (qr_guard_self)
		return;
	self = take_free(owner);
	qr_guard_self = self ? self : make_record(owner);
}

void qr_shim_run_apart(void (*function)(void *argument), void *argument)
{
	if (!qr_guard_is_on()) {
		function(argument);
		return;
	}
	qr_guard_take_self(NULL);
	if (qr_guard_self)
		qr_guard_switch(function, argument, qr_guard_self->stack + QR_GUARD_STACK_BYTES);
	else
		function(argument);
}

static struct qr_guard_thread *take_free(uint32_t owner)
{
	uint32_t nobody;

	for (struct qr_guard_thread *thread = qr_load_acquire(&guard.all); thread; thread = thread->next) {
		nobody = 0;
		if (qr_cas(&thread->owner, &nobody, owner))
			return thread;
	}
	for (struct qr_guard_thread *thread = qr_load_acquire(&guard.all); thread; thread = thread->next) {
		uint32_t last = qr_load_acquire(&thread->owner);

		if (last == OWNER_UNKNOWN || !last || !syscall(SYS_tgkill, (long)qr_guard_process, (long)last, 0L) ||
		    errno != ESRCH || !qr_cas(&thread->owner, &last, owner))
			continue;
		qr_pins_pop(&thread->pins, 0);
		return thread;
	}
	return NULL;
}

static struct qr_guard_thread *make_record(uint32_t owner)
{
	size_t stacks = QR_GUARD_STACK_BYTES + QR_GUARD_SIGNAL_STACK_BYTES;
	struct qr_guard_thread *self = qr_raw_alloc(sizeof(*self), QR_CACHE_LINE);
	uint8_t *memory;

	if (!self)
		return NULL;
	memory = qr_shim_sys_mmap(NULL, stacks, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (memory == MAP_FAILED) {
		qr_raw_free(self);
		return NULL;
	}
	memset(self, 0, sizeof(*self));
	self->stack = memory;
	self->signal_stack = memory + QR_GUARD_STACK_BYTES;
	self->owner = owner;
	self->next = qr_load_relaxed(&guard.all);
	while (!qr_cas(&guard.all, &self->next, self))
		;
	qr_pins_add(&self->pins);
	return self;
}
