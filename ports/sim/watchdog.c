/*
 * The watchdog of real time: a loop of core that makes no access stops virtual time for good, and only a timer of the
 * host can see that.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "sim.h"

static uint32_t limit_seconds;
static uint32_t nr_still; /* seconds without progress */
static uint64_t last_progress;

/* Accesses count as well: a CPU alone never yields. */
static uint64_t progress(void)
{
	return qr_sim.progress + (qr_sim_current ? qr_sim_current->nr_accesses : 0);
}

static void tick(int signal_number)
{
	uint64_t now = progress();

	(void)signal_number;
	nr_still = now == last_progress && qr_sim_current ? nr_still + 1 : 0;
	last_progress = now;
	/* The run is over whatever state the program is in: reporting from the handler does no more harm. */
	if (nr_still == limit_seconds)
		qr_sim_fail("watchdog: CPU %u makes no access to memory for %u seconds: a loop without an end",
			    qr_sim_current->id, limit_seconds);
}

void qr_sim_watchdog_start(uint32_t seconds)
{
	static uint8_t stack[64 << 10];
	struct sigaction action = {.sa_handler = tick, .sa_flags = SA_ONSTACK | SA_RESTART};
	stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct itimerval timer = {{1, 0}, {1, 0}};

	limit_seconds = seconds;
	if (sigaltstack(&alternate, NULL) || sigaction(SIGALRM, &action, NULL) || setitimer(ITIMER_REAL, &timer, NULL))
		qr_sim_fail("the watchdog cannot be started");
}
