/* Clauses of port.h on the processor, waiting, time, read-copy-update and threads. */
#include "contract.h"

#include "sync/lock.h"

#define MS ((uint64_t)1000000)
#define NR_THREADS 4u

/* A thread of a test; steps are words that the two sides wait on. */
struct worker {
	int handle;
	uint32_t step;
	uint32_t result;
	const void *held;
};

static void open_or_skip(void)
{
	if (!contract_open(&machine))
		tap_skip("the port cannot be opened here");
}

/* Starts entry(worker); skips the test where the port has no threads. */
static void worker_start(struct worker *worker, void (*entry)(void *))
{
	worker->handle = qr_port_thread_start(machine.port, "fifteen-letters", 0, entry, worker);
	if (worker->handle == QR_ENOSYS) {
		contract_close(&machine);
		tap_skip("the port has no threads");
	}
	tap_require(worker->handle >= 0);
}

static void await(uint32_t *word, uint32_t value)
{
	uint32_t seen;

	while ((seen = qr_load_acquire(word)) != value)
		qr_port_wait(word, seen);
}

static void advance(uint32_t *word, uint32_t value)
{
	qr_store_release(word, value);
	qr_port_wake(word, UINT32_MAX);
}

static void pause_ms(uint64_t nr_ms)
{
	uint32_t word = 0;
	uint64_t end_ns = qr_port_now_ns() + nr_ms * MS;

	while (qr_port_now_ns() < end_ns)
		(void)qr_port_wait_timeout(&word, 0, MS);
}

/* ---- Processor and time ---- */

static void test_cpu_in_bounds(void)
{
	open_or_skip();
	tap_check(qr_port_nr_cpus() >= 1 && qr_port_nr_cpus() <= QR_MAX_CPUS);
	for (unsigned i = 0; i < 1000; i++) {
		tap_check(qr_port_cpu() < qr_port_nr_cpus());
		qr_port_cpu_relax(i);
	}
	contract_close(&machine);
}

static void note_held(void *argument)
{
	struct worker *worker = argument;

	worker->held = qr_port_held_locks();
	worker->result = qr_port_held_locks()->nr;
}

static void test_held_locks_per_thread(void)
{
	struct worker worker = {.result = 1};

	open_or_skip();
	tap_require(qr_port_held_locks() != NULL);
	tap_check(qr_port_held_locks() == qr_port_held_locks());
	tap_check_equal(qr_port_held_locks()->nr, 0);
	worker_start(&worker, note_held);
	qr_port_thread_join(machine.port, worker.handle);
	tap_check(worker.held && worker.held != qr_port_held_locks());
	tap_check_equal(worker.result, 0);
	contract_close(&machine);
}

static void test_clock_monotonic(void)
{
	uint64_t before;

	open_or_skip();
	before = qr_port_now_ns();
	for (unsigned i = 0; i < 10000; i++) {
		uint64_t now = qr_port_now_ns();

		tap_check(now >= before);
		before = now;
	}
	contract_close(&machine);
}

/* ---- Waiting ---- */

static void test_wait_other_value_returns(void)
{
	uint32_t word = 7;

	open_or_skip();
	qr_port_wait(&word, 8);
	tap_check(qr_port_wait_timeout(&word, 8, 3600 * 1000 * MS));
	qr_port_wake(&word, 1); /* of nobody */
	contract_close(&machine);
}

static void test_timeout_passes(void)
{
	uint32_t word = 0;
	uint64_t start_ns;
	bool was_woken = true;

	open_or_skip();
	start_ns = qr_port_now_ns();
	/* Spurious returns are allowed, a timeout that comes early is not. */
	while (was_woken && qr_port_now_ns() - start_ns < 1000 * MS) {
		uint64_t round_ns = qr_port_now_ns();

		was_woken = qr_port_wait_timeout(&word, 0, 20 * MS);
		tap_check(was_woken || qr_port_now_ns() - round_ns >= 20 * MS);
	}
	tap_check(!was_woken);
	contract_close(&machine);
}

static void wait_for_two_steps(void *argument)
{
	struct worker *worker = argument;

	await(&worker->step, 1);
	advance(&worker->step, 2);
	while (!qr_port_wait_timeout(&worker->step, 2, 10 * MS) || qr_load_acquire(&worker->step) == 2)
		;
	worker->result = qr_load_acquire(&worker->step);
}

static void test_wake_reaches_waiters(void)
{
	struct worker workers[NR_THREADS] = {{.step = 0}};

	open_or_skip();
	for (uint32_t i = 0; i < NR_THREADS; i++)
		worker_start(&workers[i], wait_for_two_steps);
	pause_ms(5);
	for (uint32_t i = 0; i < NR_THREADS; i++)
		advance(&workers[i].step, 1);
	for (uint32_t i = 0; i < NR_THREADS; i++) {
		await(&workers[i].step, 2);
		advance(&workers[i].step, 3);
	}
	for (uint32_t i = 0; i < NR_THREADS; i++) {
		qr_port_thread_join(machine.port, workers[i].handle);
		tap_check_equal(workers[i].result, 3);
	}
	contract_close(&machine);
}

static uint32_t gate;

static void wait_at_gate(void *argument)
{
	struct worker *worker = argument;

	while (!qr_load_acquire(&gate))
		qr_port_wait(&gate, 0);
	worker->result = 1;
}

static void test_wake_all_wakes_all(void)
{
	struct worker workers[NR_THREADS] = {{.result = 0}};

	open_or_skip();
	qr_store_release(&gate, 0);
	for (uint32_t i = 0; i < NR_THREADS; i++)
		worker_start(&workers[i], wait_at_gate);
	pause_ms(5);
	advance(&gate, 1);
	for (uint32_t i = 0; i < NR_THREADS; i++) {
		qr_port_thread_join(machine.port, workers[i].handle);
		tap_check_equal(workers[i].result, 1);
	}
	contract_close(&machine);
}

/* ---- Read-copy-update ---- */

static void test_synchronize_without_readers_returns(void)
{
	open_or_skip();
	qr_port_rcu_synchronize();
	qr_port_rcu_read_lock();
	qr_port_rcu_read_lock();
	qr_port_rcu_read_unlock();
	qr_port_rcu_read_unlock();
	qr_port_rcu_synchronize();
	contract_close(&machine);
}

static void read_section(void *argument)
{
	struct worker *worker = argument;

	qr_port_rcu_read_lock();
	qr_port_rcu_read_lock(); /* the outer section decides */
	qr_port_rcu_read_unlock();
	qr_store_release(&worker->step, 1);
	qr_port_wake(&worker->step, UINT32_MAX);
	while (qr_load_acquire(&worker->step) == 1)
		qr_port_cpu_relax(1);
	qr_store_release(&worker->result, 1);
	qr_port_rcu_read_unlock();
}

static void release_reader(void *argument)
{
	struct worker *reader = argument;

	pause_ms(20);
	qr_store_release(&reader->step, 2);
}

static void test_synchronize_waits_for_reader(void)
{
	struct worker reader = {.step = 0};
	int releaser;

	open_or_skip();
	worker_start(&reader, read_section);
	await(&reader.step, 1);
	releaser = qr_port_thread_start(machine.port, "releaser", 0, release_reader, &reader);
	tap_require(releaser >= 0);
	qr_port_rcu_synchronize();
	tap_check_equal(qr_load_acquire(&reader.result), 1);
	qr_port_thread_join(machine.port, releaser);
	qr_port_thread_join(machine.port, reader.handle);
	contract_close(&machine);
}

/* Readers follow a pointer to a cell that the writer poisons after each grace period. */
static uint32_t cells[2];
static uint32_t *current_cell;
static uint32_t is_ending;

static void read_cells(void *argument)
{
	struct worker *worker = argument;

	while (!qr_load_relaxed(&is_ending)) {
		uint32_t *cell;

		qr_port_rcu_read_lock();
		cell = qr_load_acquire(&current_cell);
		for (unsigned i = 0; i < 8; i++) {
			if (qr_load_relaxed(cell) != 1)
				worker->result++;
		}
		qr_port_rcu_read_unlock();
	}
}

static void test_grace_period_protects(void)
{
	struct worker workers[2] = {{.result = 0}};

	open_or_skip();
	cells[0] = 1;
	current_cell = &cells[0];
	is_ending = 0;
	for (uint32_t i = 0; i < 2; i++)
		worker_start(&workers[i], read_cells);
	for (uint32_t round = 1; round <= 1000; round++) {
		uint32_t *old = current_cell;

		qr_store_relaxed(&cells[round % 2], 1);
		qr_store_release(&current_cell, &cells[round % 2]);
		qr_port_rcu_synchronize();
		qr_store_relaxed(old, 0); /* the poison */
	}
	qr_store_relaxed(&is_ending, 1);
	for (uint32_t i = 0; i < 2; i++) {
		qr_port_thread_join(machine.port, workers[i].handle);
		tap_check_equal(workers[i].result, 0);
	}
	contract_close(&machine);
}

/* ---- Threads ---- */

static void count_once(void *argument)
{
	struct worker *worker = argument;

	worker->result++;
}

static void test_join_shows_effects(void)
{
	struct worker worker = {.result = 0};

	open_or_skip();
	for (uint32_t i = 1; i <= 100; i++) {
		worker_start(&worker, count_once);
		qr_port_thread_join(machine.port, worker.handle);
		tap_check_equal(worker.result, i);
	}
	contract_close(&machine);
}

static const struct tap_test tests[] = {
	{"cpu_number_is_in_bounds", test_cpu_in_bounds},
	{"held_locks_belong_to_a_thread", test_held_locks_per_thread},
	{"clock_never_goes_back", test_clock_monotonic},
	{"wait_other_value_returns_at_once", test_wait_other_value_returns},
	{"wait_timeout_is_not_early", test_timeout_passes},
	{"wake_reaches_each_waiter", test_wake_reaches_waiters},
	{"wake_all_wakes_all", test_wake_all_wakes_all},
	{"rcu_synchronize_without_readers_returns", test_synchronize_without_readers_returns},
	{"rcu_synchronize_waits_for_open_section", test_synchronize_waits_for_reader},
	{"rcu_grace_period_protects_readers", test_grace_period_protects},
	{"thread_join_shows_its_effects", test_join_shows_effects},
};

const struct contract_group contract_machine_group = {tests, QR_ARRAY_SIZE(tests)};
