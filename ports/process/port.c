/* The process port's small services: CPUs, waiting, time, RCU, threads, reports. */
#define _LGPL_SOURCE /* liburcu's read sections inline: no access through the thread's dynamic TLS vector */
#include "process.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <urcu/urcu-bp.h>

#include "internal.h"
#include "sync/lock.h"

#define THREAD_STACK_BYTES ((size_t)256 << 10)
/* A spinning thread lets others run now and then: the holder may not be on a CPU. */
#define SPINS_PER_YIELD 64u

unsigned qr_port_nr_cpus(void)
{
	static unsigned nr_cpus;

	if (!nr_cpus) {
		long nr = sysconf(_SC_NPROCESSORS_CONF);

		nr_cpus = nr < 1 ? 1 : QR_MIN((unsigned)nr, QR_MAX_CPUS);
	}
	return nr_cpus;
}

unsigned qr_port_cpu(void)
{
	int cpu = sched_getcpu();

	return cpu < 0 ? 0 : (unsigned)cpu % qr_port_nr_cpus();
}

void qr_port_cpu_relax(unsigned nr_spins)
{
	if (nr_spins % SPINS_PER_YIELD == SPINS_PER_YIELD - 1)
		sched_yield();
	else
		__builtin_ia32_pause();
}

struct qr_held_locks *qr_port_held_locks(void)
{
	static __thread struct qr_held_locks held;

	return &held;
}

static long futex(uint32_t *word, int operation, uint32_t value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, timeout, NULL, 0);
}

void qr_port_wait(uint32_t *word, uint32_t expected)
{
	(void)futex(word, FUTEX_WAIT, expected, NULL);
}

bool qr_port_wait_timeout(uint32_t *word, uint32_t expected, uint64_t timeout_ns)
{
	struct timespec timeout = {
		.tv_sec = (time_t)(timeout_ns / 1000000000u),
		.tv_nsec = (long)(timeout_ns % 1000000000u),
	};

	return futex(word, FUTEX_WAIT, expected, &timeout) == 0 || errno != ETIMEDOUT;
}

void qr_port_wake(uint32_t *word, uint32_t nr_waiters)
{
	(void)futex(word, FUTEX_WAKE, QR_MIN(nr_waiters, (uint32_t)INT_MAX), NULL);
}

uint64_t qr_port_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void qr_port_rcu_read_lock(void)
{
	urcu_bp_read_lock();
}

void qr_port_rcu_read_unlock(void)
{
	urcu_bp_read_unlock();
}

void qr_port_rcu_synchronize(void)
{
	urcu_bp_synchronize_rcu();
}

static void *thread_main(void *argument)
{
	struct qr_port_thread *thread = argument;

	qr_internal_enter();
	pthread_setname_np(pthread_self(), thread->name);
	urcu_bp_register_thread();
	qr_store_release(&thread->is_ready, 1);
	qr_port_wake(&thread->is_ready, 1);
	thread->entry(thread->argument);
	return NULL;
}

int qr_port_thread_start(struct qr_port *port, const char *name, unsigned near_cpu, void (*entry)(void *argument),
			 void *argument)
{
	struct qr_port_thread *thread = NULL;
	pthread_attr_t attributes;
	sigset_t all, old;
	void *stack;
	int slot, err;

	(void)near_cpu;
	for (slot = 0; slot < (int)QR_MAX_THREADS; slot++)
		if (!port->threads[slot].is_used)
			break;
	if (slot == (int)QR_MAX_THREADS)
		return QR_EAGAIN;
	/* A stack of its own: those that the libc keeps for reuse have lived in the program. */
	stack = qr_kernel_mmap(0, THREAD_STACK_BYTES, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK);
	if (stack == MAP_FAILED)
		return QR_ENOMEM;
	thread = &port->threads[slot];
	*thread = (struct qr_port_thread){.is_used = true, .entry = entry, .argument = argument, .stack = stack};
	strncpy(thread->name, name, sizeof(thread->name) - 1);
	/* The program's signals are not for quire's threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	qr_internal_enter();
	pthread_attr_init(&attributes);
	pthread_attr_setstack(&attributes, stack, THREAD_STACK_BYTES);
	err = pthread_create(&thread->thread, &attributes, thread_main, thread);
	pthread_attr_destroy(&attributes);
	qr_internal_leave();
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err) {
		qr_kernel_munmap((uint64_t)(uintptr_t)stack, THREAD_STACK_BYTES);
		thread->is_used = false;
		return -err;
	}
	/* RCU registers threads under a lock that a fork holds: a fault handler that still waited for it could not read
	 * the event that this fork waits for. */
	while (!qr_load_acquire(&thread->is_ready))
		qr_port_wait(&thread->is_ready, 0);
	return slot;
}

void qr_port_thread_join(struct qr_port *port, int handle)
{
	qr_internal_enter();
	pthread_join(port->threads[handle].thread, NULL);
	qr_internal_leave();
	qr_kernel_munmap((uint64_t)(uintptr_t)port->threads[handle].stack, THREAD_STACK_BYTES);
	port->threads[handle].is_used = false;
}

/* One write(2) per message, so that messages of several processes do not mix. */
static void log_line(const char *format, va_list arguments)
{
	char line[1024] = "quire: ";
	size_t used = strlen(line);
	int nr = vsnprintf(line + used, sizeof(line) - used - 1, format, arguments);

	if (nr < 0)
		return;
	used = QR_MIN(used + (size_t)nr, sizeof(line) - 1);
	line[used++] = '\n';
	while (write(STDERR_FILENO, line, used) < 0 && errno == EINTR)
		;
}

void qr_port_log(struct qr_port *port, enum qr_log_level level, const char *format, ...)
{
	va_list arguments;

	(void)port;
	if (level > QR_LOG_WARN)
		return;
	va_start(arguments, format);
	log_line(format, arguments);
	va_end(arguments);
}

void qr_die(int status, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_line(format, arguments);
	va_end(arguments);
	_exit(status);
}

void qr_port_panic(const char *file, int line, const char *what)
{
	struct sigaction fallback = {.sa_handler = SIG_DFL};
	const char *name = strrchr(file, '/');

	qr_port_log(
		NULL, QR_LOG_ERROR,
		"internal error at %s:%d: %s. The program is stopped before bytes go wrong; please report this line.",
		name ? name + 1 : file, line, what);
	sigaction(SIGABRT, &fallback, NULL);
	syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), SIGABRT);
	_exit(134);
}
