/* Tasks, waiting, timers and grace periods of the simulated machine. */
#include "small_machine.h"
#include "tap.h"

static uint32_t word;
static uint64_t woken_at, waited_ns;
static bool is_timed_out;

static void waiter(void *argument)
{
	(void)argument;
	qr_port_wait(&word, 0);
	woken_at = qr_sim_current->clock;
}

static void waker(void *argument)
{
	(void)argument;
	qr_sim_current->clock += 5000 * QR_SIM_PS;
	qr_sim_yield();
	word = 1;
	qr_port_wake(&word, 1);
}

static void test_wait_and_wake(void)
{
	word = 0;
	(void)qr_sim_task_create("waiter", 0, false, waiter, NULL);
	(void)qr_sim_task_create("waker", 1, false, waker, NULL);
	qr_sim_run();
	tap_check(woken_at >= 5000 * QR_SIM_PS);
	/* The word has changed already: no wait. */
	(void)small_machine_step(0, waiter, NULL);
}

static void timed_waiter(void *argument)
{
	uint64_t begin = qr_sim_current->clock;

	is_timed_out = !qr_port_wait_timeout(argument, 0, 700);
	waited_ns = (qr_sim_current->clock - begin) / QR_SIM_PS;
}

static void test_timeout(void)
{
	uint32_t never = 0;

	(void)small_machine_step(2, timed_waiter, &never);
	tap_check(is_timed_out);
	tap_check(waited_ns >= 700 && waited_ns < 720);
	never = 1;
	(void)small_machine_step(2, timed_waiter, &never);
	tap_check(!is_timed_out);
}

static uint32_t order[16], nr_order;

static void note(void *argument)
{
	order[nr_order++] = (uint32_t)(uintptr_t)argument;
}

/* Two tasks of one CPU take their turns in the order of their start, those of the kernel first. */
static void spawner(void *argument)
{
	(void)argument;
	(void)qr_sim_task_create("one", 0, false, note, (void *)1);
	(void)qr_sim_task_create("two", 0, false, note, (void *)2);
	(void)qr_sim_task_create("kernel", 0, true, note, (void *)3);
	qr_sim_preempt_point();
	note((void *)4);
}

static void test_order(void)
{
	nr_order = 0;
	(void)small_machine_step(0, spawner, NULL);
	tap_check_equal(nr_order, 4);
	tap_check_equal(order[0], 3); /* at the preemption point */
	tap_check_equal(order[1], 1);
	tap_check_equal(order[2], 2);
	tap_check_equal(order[3], 4);
}

/* ---- Grace periods ---- */

static bool reader_is_inside, grace_is_over, saw_it_early;

static void reader(void *argument)
{
	(void)argument;
	qr_port_rcu_read_lock();
	reader_is_inside = true;
	for (uint32_t i = 0; i < 100; i++) {
		qr_sim_current->clock += 100 * QR_SIM_PS;
		qr_sim_yield();
		saw_it_early |= grace_is_over;
	}
	reader_is_inside = false;
	qr_port_rcu_read_unlock();
	qr_sim_preempt_point();
}

static void synchronizer(void *argument)
{
	(void)argument;
	qr_sim_current->clock += 1000 * QR_SIM_PS;
	qr_sim_yield();
	tap_check(reader_is_inside);
	qr_port_rcu_synchronize();
	grace_is_over = true;
	tap_check(!reader_is_inside);
}

static void test_grace(void)
{
	uint64_t now = 0;

	for (uint32_t i = 0; i < 4; i++)
		now = QR_MAX(now, qr_sim.cpus[i].clock);
	for (uint32_t i = 0; i < 4; i++)
		qr_sim.cpus[i].clock = now;
	(void)qr_sim_task_create("reader", 1, false, reader, NULL);
	(void)qr_sim_task_create("writer", 0, false, synchronizer, NULL);
	qr_sim_run();
	tap_check(grace_is_over && !saw_it_early);
}

static const struct tap_test tests[] = {
	{"task_wait_ends_with_the_wake", test_wait_and_wake},
	{"task_wait_ends_with_the_time", test_timeout},
	{"task_kernel_goes_first_others_in_order", test_order},
	{"rcu_grace_period_outlasts_readers", test_grace},
};

int main(int argc, char **argv)
{
	small_machine_create();
	return TAP_RUN(tests, argc, argv);
}
