/*
 * The cache directory on cases computed by hand; the costs are those of small_machine.c. Then random accesses, after
 * each of which the directory must agree with a plain model of who has a copy.
 */
#include <string.h>

#include "small_machine.h"
#include "tap.h"

struct access {
	uint64_t address;
	enum qr_sim_access kind;
};

static void do_access(void *argument)
{
	const struct access *access = argument;

	qr_sim_access(access->address, 8, access->kind, 0);
}

static uint64_t once(uint32_t cpu, uint64_t address, enum qr_sim_access kind)
{
	struct access access = {address, kind};

	return small_machine_step(cpu, do_access, &access);
}

static uint64_t fresh_line(void)
{
	static uint64_t next = QR_SIM_ARENA;

	return next += 4096; /* on node 0 */
}

static const struct qr_sim_line *entry_at(uint64_t address)
{
	return qr_sim_line(qr_sim_line_of(address));
}

static void test_hit_and_miss(void)
{
	uint64_t near = fresh_line(), far = QR_SIM_ARENA + ((uint64_t)1 << 30);

	tap_check_equal(once(0, near, QR_LOAD), 1 + 100); /* from memory of the own node */
	tap_check_equal(once(0, near, QR_LOAD), 1);
	tap_check_equal(once(0, far, QR_LOAD), 1 + 180);
	tap_check_equal(once(0, QR_SIM_STACKS, QR_LOAD), 1); /* not in the arena */
	tap_check_equal(entry_at(near)->state, QR_LINE_OWNED);
	/* A second line of the same first-level set (16 KiB) leaves the first one in the second level. */
	tap_check_equal(once(0, near + (16 << 10), QR_LOAD), 1 + 100);
	tap_check_equal(once(0, near, QR_LOAD), 1 + 4);
}

static void test_read_of_others(void)
{
	uint64_t line = fresh_line();

	(void)once(0, line, QR_LOCKED);
	tap_check_equal(once(1, line, QR_LOAD), 1 + 50); /* modified, same cluster */
	tap_check_equal(entry_at(line)->state, QR_LINE_SHARED);
	tap_check_equal(once(2, line, QR_LOAD), 1 + 150); /* shared copy of another node */
	tap_check_equal(once(3, line, QR_LOAD), 1 + 30);  /* shared copy of the own cluster */
	tap_check_equal(entry_at(line)->nr_sharers, 4);
	line = fresh_line();
	(void)once(0, line, QR_LOCKED);
	tap_check_equal(once(2, line, QR_LOAD), 1 + 200); /* modified, another node */
}

static void test_upgrade(void)
{
	uint64_t line = fresh_line();
	uint32_t version;

	(void)once(0, line, QR_LOAD);
	(void)once(1, line, QR_LOAD);
	version = entry_at(line)->version;
	tap_check_equal(once(0, line, QR_LOCKED), 1 + 40); /* one sharer, same cluster */
	tap_check_equal(entry_at(line)->version, version + 1);
	tap_check_equal(entry_at(line)->state, QR_LINE_OWNED);
	tap_check_equal(entry_at(line)->owner, 0);
	tap_check_equal(once(0, line, QR_LOCKED), 1); /* owned */
	(void)once(1, line, QR_LOAD);
	(void)once(2, line, QR_LOAD);
	(void)once(3, line, QR_LOAD);
	tap_check_equal(once(0, line, QR_LOCKED), 1 + 160 + 2 * 5); /* three sharers, the farthest on another node */
	/* The copies of the others are void. */
	tap_check_equal(once(1, line, QR_LOAD), 1 + 50);
}

/* The owner wrote: the reader gets it for writing. It did not: both have it. */
static void test_migrates(void)
{
	uint64_t line = fresh_line();

	qr_sim.costs.migrates = true;
	(void)once(0, line, QR_LOCKED);
	tap_check_equal(once(1, line, QR_LOAD), 1 + 50);
	tap_check_equal(entry_at(line)->owner, 1);
	tap_check_equal(once(1, line, QR_LOCKED), 1);
	tap_check_equal(once(0, line, QR_LOAD), 1 + 50); /* its copy was void */
	tap_check_equal(entry_at(line)->state, QR_LINE_OWNED);
	tap_check_equal(once(1, line, QR_LOAD), 1 + 50);
	tap_check_equal(entry_at(line)->state, QR_LINE_SHARED);
	tap_check_equal(once(0, line, QR_LOAD), 1);
	qr_sim.costs.migrates = false;
}

/* Home on node 0, owner on node 1, reader on node 0 and the reverse; three nodes are not to be had here. */
static void test_further_nodes(void)
{
	uint64_t line = fresh_line();

	qr_sim.costs.third_node = 70 * QR_SIM_PS;
	(void)once(2, line, QR_LOCKED);
	tap_check_equal(once(0, line, QR_LOCKED), 1 + 200);
	tap_check_equal(once(2, line, QR_LOCKED), 1 + 200);
	qr_sim.costs.third_node = 0;
}

static void test_place(void)
{
	uint64_t element = QR_PAGE_SIZE / 2, nr = 8;
	const void *array = (const void *)(uintptr_t)(QR_SIM_METADATA + ((uint64_t)1 << 33));
	uint64_t first = qr_sim_line_of((uintptr_t)array);

	qr_sim_place(array, element, nr, QR_PLACE_BY_CPU);
	tap_check_equal(qr_sim_home(first), 0);
	/* The second page begins with what is for CPU 2, the third with what is for CPU 4: of four, CPU 0 again. */
	tap_check_equal(qr_sim_home(first + QR_PAGE_SIZE / QR_CACHE_LINE), 1);
	tap_check_equal(qr_sim_home(first + 2 * QR_PAGE_SIZE / QR_CACHE_LINE), 0);
	/* Frames of 1 GiB to a node: descriptor of the first frame of the second node. */
	array = (const void *)(uintptr_t)(QR_SIM_METADATA + ((uint64_t)2 << 33));
	first = qr_sim_line_of((uintptr_t)array);
	qr_sim_place(array, 32, (uint64_t)1 << 20, QR_PLACE_BY_FRAME);
	tap_check_equal(qr_sim_home(first + ((uint64_t)1 << 18) * 32 / QR_CACHE_LINE - 1), 0);
	tap_check_equal(qr_sim_home(first + ((uint64_t)1 << 18) * 32 / QR_CACHE_LINE), 1);
}

static void test_store_is_buffered(void)
{
	uint64_t line = fresh_line();

	(void)once(1, line, QR_LOCKED);
	tap_check_equal(once(0, line, QR_STORE), 1 + 1); /* does not wait for the 50 ns */
	tap_check_equal(entry_at(line)->owner, 0);
}

struct buffered {
	uint64_t store, locked;
};

static void store_then_lock(void *argument)
{
	const struct buffered *buffered = argument;

	qr_sim_access(buffered->store, 8, QR_STORE, 0);
	qr_sim_access(buffered->locked, 8, QR_LOCKED, 0);
}

static void test_locked_drains(void)
{
	struct buffered buffered = {fresh_line(), fresh_line()};

	(void)once(1, buffered.store, QR_LOCKED);
	(void)once(0, buffered.locked, QR_LOCKED);
	/* 1 for the store, which is issued in 1 more and drains 50 ns later; then the locked operation hits. */
	tap_check_equal(small_machine_step(0, store_then_lock, &buffered), 1 + 1 + 50);
}

/* ---- Several at once ---- */

static struct {
	uint64_t line;
	uint32_t nr_done;
	uint32_t order[8];
	uint64_t finish[8];
} race;

static void race_main(void *argument)
{
	uint32_t cpu = (uint32_t)(uintptr_t)argument;

	qr_sim_access(race.line, 8, QR_LOCKED, 0);
	race.order[race.nr_done] = cpu;
	race.finish[race.nr_done++] = qr_sim_current->clock / QR_SIM_PS;
}

/* Starts a locked operation on each of the CPUs at the given times, ns. */
static void run_race(const uint32_t *cpus, const uint64_t *times, uint32_t nr)
{
	uint64_t base = 0;

	race.line = fresh_line();
	race.nr_done = 0;
	(void)once(3, race.line, QR_LOCKED);
	base = qr_sim.cpus[3].clock + (uint64_t)1000000 * QR_SIM_PS;
	base -= base % QR_SIM_PS;
	for (uint32_t i = 0; i < nr; i++) {
		qr_sim.cpus[cpus[i]].clock = base + times[i] * QR_SIM_PS;
		(void)qr_sim_task_create("race", cpus[i], false, race_main, (void *)(uintptr_t)cpus[i]);
	}
	qr_sim_run();
	for (uint32_t i = 0; i < nr; i++)
		race.finish[i] -= base / QR_SIM_PS;
}

static void test_queue_is_fifo(void)
{
	static const uint32_t cpus[] = {1, 0, 2};
	static const uint64_t times[] = {0, 5, 9};

	run_race(cpus, times, 3);
	tap_check_equal(race.nr_done, 3);
	tap_check_equal(race.order[0], 2);
	tap_check_equal(race.order[1], 1);
	tap_check_equal(race.order[2], 0);
	/* CPU 3 has it. A quarter of a transfer passes until the request is there: CPU 2 of the same cluster asks last
	 * and is first, at 9 + 1 + 12.5; its transfer takes the other 37.5. CPU 1 of the other node waits for the end
	 * of that, then CPU 0 of its cluster. */
	tap_check_equal(race.finish[0], 60);
	tap_check_equal(race.finish[1], 60 + 150);
	tap_check_equal(race.finish[2], 60 + 150 + 37);
}

static void count_main(void *argument)
{
	for (uint32_t i = 0; i < 100; i++)
		qr_sim_access(race.line, 8, QR_LOCKED, 0);
	*(uint64_t *)argument = qr_sim_current->clock;
}

static void test_ping_pong(void)
{
	uint64_t ends[2], begin;

	race.line = fresh_line();
	/* A line that only one CPU ever touched may be used ahead of time. */
	(void)once(1, race.line, QR_LOCKED);
	(void)once(0, race.line, QR_LOCKED);
	begin = qr_sim.cpus[0].clock + (uint64_t)1000000 * QR_SIM_PS;
	for (uint32_t i = 0; i < 2; i++) {
		qr_sim.cpus[i].clock = begin;
		(void)qr_sim_task_create("pong", i, false, count_main, &ends[i]);
	}
	qr_sim_run();
	/* The owner goes on while the other's request travels, so an exchange moves the line less often than once per
	 * operation; it costs 50 ns each time, and 200 operations can take no longer than 200 exchanges. */
	tap_note("200 contended operations of two CPUs took %llu ns",
		 (unsigned long long)((QR_MAX(ends[0], ends[1]) - begin) / QR_SIM_PS));
	tap_check(QR_MAX(ends[0], ends[1]) - begin <= 200u * 51u * QR_SIM_PS);
	tap_check(QR_MAX(ends[0], ends[1]) - begin >= 10u * 50u * QR_SIM_PS);
}

/* ---- Random accesses: who has a valid copy, and whose is the last write ---- */

#define NR_LINES 24u

static void random_accesses(void)
{
	uint64_t seed = tap_seed(), lines[NR_LINES];
	uint32_t copies[NR_LINES] = {0}; /* [line] bitmap of CPUs */
	bool is_written[NR_LINES] = {false};

	for (uint32_t i = 0; i < NR_LINES; i++)
		lines[i] = fresh_line() + i * QR_CACHE_LINE;
	for (uint32_t round = 0; round < 400 && !tap_has_failed(); round++) {
		uint32_t i = tap_random_below(&seed, NR_LINES), cpu = tap_random_below(&seed, 4);
		enum qr_sim_access kind = (enum qr_sim_access)tap_random_below(&seed, 4);
		bool had_copy = copies[i] >> cpu & 1, was_alone = copies[i] == 1u << cpu;
		uint64_t took = once(cpu, lines[i], kind);

		/* A hit costs the access and, for stores, the issue; anything else at least the nearest cache. */
		if (kind == QR_LOAD || kind == QR_LOCKED)
			tap_check((took <= 1) == (kind == QR_LOAD ? had_copy : had_copy && was_alone));
		if (kind != QR_LOAD || (qr_sim.costs.migrates && !had_copy && is_written[i]))
			copies[i] = 1u << cpu;
		else
			copies[i] |= 1u << cpu;
		is_written[i] = kind != QR_LOAD || (is_written[i] && had_copy);
		tap_check(qr_sim_line_is_valid(qr_sim_line_of(lines[i])));
		tap_check_equal(entry_at(lines[i])->nr_sharers, __builtin_popcount(copies[i]));
	}
}

static void test_random(void)
{
	random_accesses();
	qr_sim.costs.migrates = true;
	random_accesses();
	qr_sim.costs.migrates = false;
}

static const struct tap_test tests[] = {
	{"directory_hit_and_miss_cost_what_they_should", test_hit_and_miss},
	{"directory_read_of_lines_of_others", test_read_of_others},
	{"directory_upgrade_voids_copies", test_upgrade},
	{"directory_read_of_a_written_line_takes_it_over", test_migrates},
	{"directory_transfers_between_two_nodes_ask_no_third", test_further_nodes},
	{"directory_arrays_lie_where_they_are_placed", test_place},
	{"directory_store_is_buffered", test_store_is_buffered},
	{"directory_locked_operation_drains_the_buffer", test_locked_drains},
	{"directory_queue_is_in_order_of_arrival", test_queue_is_fifo},
	{"directory_ping_pong_is_bounded", test_ping_pong},
	{"directory_random_accesses_equal_model", test_random},
};

int main(int argc, char **argv)
{
	small_machine_create();
	return TAP_RUN(tests, argc, argv);
}
