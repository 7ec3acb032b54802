/*
 * Delivery of faults as SIGBUS in the faulting thread (UFFD_FEATURE_SIGBUS): no other thread has to wake up.
 *
 * The handler is installed once for the process; a SIGBUS outside all managed ranges goes to whoever handled it
 * before. It runs with all signals blocked: core's locks are held inside.
 */
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <ucontext.h>

static struct sigaction previous_action;
static pthread_once_t installed = PTHREAD_ONCE_INIT;
static int install_error;

/* Bit 1 of the page-fault error code: the access was a write (Intel SDM volume 3, 4.7). */
#define PAGE_FAULT_WRITE 2

static void pass_on(int signal_number, siginfo_t *info, void *context)
{
	if (previous_action.sa_flags & SA_SIGINFO) {
		previous_action.sa_sigaction(signal_number, info, context);
	} else if (previous_action.sa_handler != SIG_DFL && previous_action.sa_handler != SIG_IGN) {
		previous_action.sa_handler(signal_number);
	} else {
		/* The access is repeated with the default action in force. */
		sigaction(SIGBUS, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
	}
}

static void on_sigbus(int signal_number, siginfo_t *info, void *context)
{
	const ucontext_t *machine = context;
	uint64_t va = (uint64_t)(uintptr_t)info->si_addr;
	int saved_errno = errno;
	struct qr_manager *manager = qr_manager_at(va);

	if (!manager) {
		pass_on(signal_number, info, context);
		return;
	}
	pthread_rwlock_rdlock(&manager->fork.gate);
	qr_handle_fault(manager, va, machine->uc_mcontext.gregs[REG_ERR] & PAGE_FAULT_WRITE);
	pthread_rwlock_unlock(&manager->fork.gate);
	errno = saved_errno;
}

static void install(void)
{
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	sigfillset(&action.sa_mask);
	install_error = sigaction(SIGBUS, &action, &previous_action) ? -errno : 0;
}

int qr_signal_install(void)
{
	pthread_once(&installed, install);
	return install_error;
}
