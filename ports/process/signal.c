/*
 * Delivery of faults as SIGBUS in the faulting thread (UFFD_FEATURE_SIGBUS): no other thread has to wake up.
 *
 * The handler is installed once for the process; a SIGBUS outside all managed ranges goes to whoever handled it
 * before, or to the program's own action, which the preload library keeps here. It runs with all signals blocked:
 * core's locks are held inside.
 */
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <ucontext.h>

#include "sigbus.h"

struct fault_at {
	struct qr_manager *manager;
	uint64_t va;
	bool is_write;
};

static struct qr_signal_action program_action; /* (action_lock) */
static pthread_mutex_t action_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t installed = PTHREAD_ONCE_INIT;
static int install_error;

/* Bit 1 of the page-fault error code: the access was a write (Intel SDM volume 3, 4.7). */
#define PAGE_FAULT_WRITE 2
#define SIGBUS_BIT ((uint64_t)1 << (SIGBUS - 1))

static void on_sigbus(int signal_number, siginfo_t *info, void *context);
static void resolve(void *argument);
static void pass_on(int signal_number, siginfo_t *info, ucontext_t *context);
static void default_action(bool was_sent);

static void install(void)
{
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	(void)qr_kernel_signal_call(SYS_rt_sigaction, SIGBUS, NULL, &program_action);
	sigfillset(&action.sa_mask);
	install_error = sigaction(SIGBUS, &action, NULL) ? -errno : 0;
}

int qr_signal_install(void)
{
	pthread_once(&installed, install);
	return install_error;
}

void qr_sigbus_swap(const struct qr_signal_action *action, struct qr_signal_action *old)
{
	struct qr_signal_action last;
	struct qr_signal_action wanted = action ? *action : (struct qr_signal_action){0};

	pthread_mutex_lock(&action_lock);
	last = program_action;
	if (action)
		program_action = wanted;
	pthread_mutex_unlock(&action_lock);
	if (old)
		*old = last;
}

static void on_sigbus(int signal_number, siginfo_t *info, void *context)
{
	ucontext_t *machine = context;
	struct fault_at fault = {
		.va = (uint64_t)(uintptr_t)info->si_addr,
		.is_write = machine->uc_mcontext.gregs[REG_ERR] & PAGE_FAULT_WRITE,
	};
	int saved_errno = errno;

	if (info->si_code > 0)
		fault.manager = qr_manager_at(fault.va);
	if (!fault.manager)
		pass_on(signal_number, info, machine);
	else if (qr_shim_run_apart)
		qr_shim_run_apart(resolve, &fault);
	else
		resolve(&fault);
	errno = saved_errno;
}

static void resolve(void *argument)
{
	const struct fault_at *fault = argument;

	qr_internal_enter();
	pthread_rwlock_rdlock(&fault->manager->fork.gate);
	qr_handle_fault(fault->manager, fault->va, fault->is_write);
	pthread_rwlock_unlock(&fault->manager->fork.gate);
	qr_internal_leave();
}

/* Somebody else's: a file that was cut short under its mapping, or a signal that was sent. */
static void pass_on(int signal_number, siginfo_t *info, ucontext_t *context)
{
	bool was_sent = info->si_code <= 0;
	struct qr_signal_action action;
	uint64_t mask;

	if (was_sent && qr_shim_defer_sigbus && qr_shim_defer_sigbus())
		return;
	qr_sigbus_swap(NULL, &action);
	if (action.handler == (uintptr_t)SIG_IGN && was_sent)
		return;
	if (action.handler == (uintptr_t)SIG_DFL || action.handler == (uintptr_t)SIG_IGN) {
		default_action(was_sent);
		return;
	}
	if (action.flags & SA_RESETHAND) {
		struct qr_signal_action reset = {.handler = (uintptr_t)SIG_DFL};

		qr_sigbus_swap(&reset, NULL);
	}
	/* The program's handler may touch managed memory, so that SIGBUS has to stay deliverable. */
	memcpy(&mask, &context->uc_sigmask, sizeof(mask));
	mask = (mask | action.mask) & ~SIGBUS_BIT;
	(void)qr_kernel_signal_call(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL);
	if (action.flags & SA_SIGINFO)
		((void (*)(int, siginfo_t *, void *))action.handler)(signal_number, info, context);
	else
		((void (*)(int))action.handler)(signal_number);
}

/* The access is repeated, or the signal sent again, with the default action in force. */
static void default_action(bool was_sent)
{
	struct qr_signal_action action = {.handler = (uintptr_t)SIG_DFL};

	(void)qr_kernel_signal_call(SYS_rt_sigaction, SIGBUS, &action, NULL);
	if (was_sent)
		(void)syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), SIGBUS);
}
