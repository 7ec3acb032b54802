/* port.h on the simulated machine: processor, waiting, time, threads, files, reports. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "directory.h"
#include "port_sim.h"

/* A poll that sees no change for so long is made for real: the line may have left by eviction. */
#define PARK_LIMIT (5u * 1000u * QR_SIM_PS)

struct qr_port *qr_sim_port_create(uint32_t nr_frames)
{
	struct qr_port *port = calloc(1, sizeof(*port));

	if (!port)
		qr_sim_fail("out of memory");
	port->nr_frames = nr_frames;
	return port;
}

unsigned qr_port_nr_cpus(void)
{
	return qr_sim.nr_cpus;
}

unsigned qr_port_cpu(void)
{
	return qr_sim_current ? qr_sim_current->id : 0;
}

/* A waiter of a spin lock is parked on the line that it read last. One that counts its turns, because it will go to
 * sleep after some, makes each of them. */
void qr_port_cpu_relax(unsigned nr_spins)
{
	struct qr_sim_cpu *cpu = qr_sim_current;

	(void)nr_spins;
	if (!cpu)
		return;
	cpu->clock += qr_sim.costs.pause + qr_sim_jitter(cpu, qr_sim.costs.pause / 4);
	if (qr_sim.running->is_spinning && cpu->polled_line != UINT64_MAX &&
	    qr_sim_line(cpu->polled_line)->version == cpu->polled_version)
		qr_sim_park(cpu->polled_line, cpu->clock + PARK_LIMIT);
	else if (cpu->clock > qr_sim.limit_shared)
		qr_sim_yield();
}

struct qr_held_locks *qr_port_held_locks(void)
{
	static struct qr_held_locks outside;

	return qr_sim.running ? &qr_sim.running->checked : &outside;
}

/* ---- Waiting ---- */

void qr_port_wait(uint32_t *word, uint32_t expected)
{
	if (!qr_sim_current)
		qr_sim_fail("a wait outside of the simulation, where nobody can wake");
	qr_sim_access((uintptr_t)word, sizeof(*word), QR_LOAD, 0);
	if (__atomic_load_n(word, __ATOMIC_RELAXED) == expected)
		qr_sim_wait_word(word, QR_SIM_NEVER);
}

bool qr_port_wait_timeout(uint32_t *word, uint32_t expected, uint64_t timeout_ns)
{
	if (!qr_sim_current)
		return false;
	qr_sim_access((uintptr_t)word, sizeof(*word), QR_LOAD, 0);
	if (__atomic_load_n(word, __ATOMIC_RELAXED) != expected)
		return true;
	qr_sim_wait_word(word, qr_sim_current->clock + timeout_ns * QR_SIM_PS);
	return !qr_sim.running->is_timed_out;
}

void qr_port_wake(uint32_t *word, uint32_t nr_waiters)
{
	qr_sim_wake_word(word, nr_waiters, qr_sim_current ? qr_sim_current->clock : 0);
}

uint64_t qr_port_now_ns(void)
{
	if (!qr_sim_current)
		return 0;
	qr_sim_current->clock += qr_sim.costs.clock;
	return qr_sim_current->clock / QR_SIM_PS;
}

/* ---- Kernel threads ---- */

int qr_port_thread_start(struct qr_port *port, const char *name, unsigned near_cpu, void (*entry)(void *argument),
			 void *argument)
{
	(void)port;
	return (int)qr_sim_task_create(name, near_cpu, true, entry, argument)->id;
}

void qr_port_thread_join(struct qr_port *port, int handle)
{
	uint32_t *word = &qr_sim.tasks[handle]->joiners;

	(void)port;
	while (!*word)
		qr_port_wait(word, 0);
}

/* ---- Files: of zeros ---- */

int qr_port_file_read(struct qr_port *port, void *file, uint64_t offset_bytes, void *buffer, uint32_t len_bytes)
{
	(void)file;
	(void)offset_bytes;
	qr_port_frames_zero(port, (qr_pfn_t){(uint32_t)(((uintptr_t)buffer - QR_SIM_ARENA) >> QR_PAGE_SHIFT)},
			    (uint32_t)qr_pages_up(len_bytes), false);
	return 0;
}

void qr_port_file_close(struct qr_port *port, void *file)
{
	(void)port;
	(void)file;
}

/* ---- Reports ---- */

void qr_port_log(struct qr_port *port, enum qr_log_level level, const char *format, ...)
{
	va_list arguments;

	(void)port;
	if (level > QR_LOG_WARN && !qr_sim.trace)
		return;
	fprintf(stderr, "core: ");
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\n");
}

void qr_port_content_lost(struct qr_port *port, uint64_t va, int error)
{
	(void)port;
	qr_sim_fail("the content of 0x%llx is lost: error %d", (unsigned long long)va, error);
}

bool qr_port_out_of_memory(struct qr_port *port, const char *why)
{
	(void)port;
	if (!qr_sim.may_run_out)
		qr_sim_fail("out of memory: %s", why);
	return false;
}

void qr_port_panic(const char *file, int line, const char *what)
{
	qr_sim_fail("core found its data broken at %s:%d: %s", file, line, what);
}
