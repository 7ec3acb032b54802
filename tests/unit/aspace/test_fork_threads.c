/*
 * Several threads, each with processes of its own that descend from one ancestor and share its pages; and a process
 * that forks while its threads write.
 */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "family.h"

#define NR_THREADS 3u

static void *world_thread(void *argument)
{
	struct world *world = argument;

	for (uint32_t step = 0; step < 1000 && !tap_has_failed(); step++) {
		world_step(world, step);
		if (step % 200 == 199)
			check_content(world);
	}
	return NULL;
}

static void run_threads(const struct qr_choices *choices)
{
	struct world *worlds[NR_THREADS];
	pthread_t threads[NR_THREADS];
	struct machine machine;

	worlds[0] = family_open(&machine, choices);
	world_map(worlds[0], &worlds[0]->processes[0]);
	for (uint32_t i = 0; i < 40; i++)
		world_access(worlds[0], &worlds[0]->processes[0]);
	/* A child of the first process goes to each of the others. */
	for (uint32_t i = 1; i < NR_THREADS; i++) {
		struct process *child = &worlds[0]->processes[1];

		while (!child->aspace)
			world_fork(worlds[0], &worlds[0]->processes[0]);
		worlds[i] = world_new(&machine, i);
		worlds[i]->processes[0] = *child;
		child->aspace = NULL;
		for (uint32_t n = 2; n < NR_PROCESSES; n++)
			if (worlds[0]->processes[n].aspace)
				world_exit(worlds[0], &worlds[0]->processes[n]);
	}
	port_test_set_chaos(machine.port, 60, tap_seed());
	for (uint32_t i = 0; i < NR_THREADS; i++)
		tap_require(!pthread_create(&threads[i], NULL, world_thread, worlds[i]));
	for (uint32_t i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	port_test_set_chaos(machine.port, 0, 0);
	check_sharing(worlds, NR_THREADS);
	for (uint32_t i = 0; i < NR_THREADS; i++) {
		check_content(worlds[i]);
		world_free(worlds[i]);
	}
	machine_close(&machine);
}

static void test_threads(void)
{
	struct qr_choices choices = {0};

	run_threads(&choices);
}

static void test_threads_baselines(void)
{
	struct qr_choices choices = {
		.lru_batch = QR_LRU_UNBATCHED,
		.pcp = QR_PCP_NONE,
		.mmap_lock = QR_MMAP_LOCK_RWSEM,
		.pt_lock = QR_PT_LOCK_ASPACE,
	};

	run_threads(&choices);
}

/* ---- A fork while threads of the process write ---- */

#define SNAPSHOT_PAGES 192u
#define NR_SNAPSHOTS 60u

static struct {
	struct qr_port_space *space;
	uint64_t started[SNAPSHOT_PAGES]; /* (A) counts the writes of each page, before and after them */
	uint64_t done[SNAPSHOT_PAGES];
	uint64_t nr_writes; /* (A) */
	bool is_over; /* (A) */
} writers;

static void *writer_thread(void *argument)
{
	uint32_t self = (uint32_t)(uintptr_t)argument;
	uint64_t random = tap_seed() + self;
	uint64_t words[PAGE / 8];

	while (!__atomic_load_n(&writers.is_over, __ATOMIC_RELAXED)) {
		uint32_t i = tap_random_below(&random, SNAPSHOT_PAGES / 2) * 2 + self;
		uint64_t count = __atomic_add_fetch(&writers.started[i], 1, __ATOMIC_SEQ_CST);

		for (uint32_t w = 0; w < QR_ARRAY_SIZE(words); w++)
			words[w] = count;
		tap_check_equal(port_test_write(writers.space, va_of(i), words, sizeof(words)), 0);
		__atomic_store_n(&writers.done[i], count, __ATOMIC_SEQ_CST);
		(void)__atomic_fetch_add(&writers.nr_writes, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Lets the writers do so many more writes. */
static void await_writes(uint64_t nr)
{
	uint64_t target = __atomic_load_n(&writers.nr_writes, __ATOMIC_RELAXED) + nr;

	while (__atomic_load_n(&writers.nr_writes, __ATOMIC_RELAXED) < target && !tap_has_failed())
		sched_yield();
}

/* The child has of each page what some moment of the fork had, whole, and keeps it. */
static void check_snapshot(struct qr_port_space *space, const uint64_t *least)
{
	static uint64_t found[SNAPSHOT_PAGES];

	for (uint32_t round = 0; round < 3; round++) {
		await_writes(SNAPSHOT_PAGES / 2);
		for (uint32_t i = 0; i < SNAPSHOT_PAGES && !tap_has_failed(); i++) {
			uint64_t words[PAGE / 8];

			tap_check_equal(port_test_read(space, va_of(i), words, sizeof(words)), 0);
			tap_check(words[0] == words[1] && words[0] == words[PAGE / 8 - 1]);
			if (round) {
				tap_check_equal(words[0], found[i]);
				continue;
			}
			found[i] = words[0];
			tap_check(words[0] >= least[i] &&
				  words[0] <= __atomic_load_n(&writers.started[i], __ATOMIC_SEQ_CST));
		}
	}
}

static void run_snapshots(const struct qr_choices *choices)
{
	pthread_t threads[2];
	struct machine machine;
	uint64_t va;

	machine_open_with(&machine, NR_FRAMES, false, BASE, BASE + NR_PAGES * PAGE, choices);
	memset(&writers, 0, sizeof(writers));
	writers.space = machine.space;
	tap_require(qr_map(machine.aspace, BASE, SNAPSHOT_PAGES * PAGE, PAGE, RW, QR_MAP_FIXED, NULL, 0, &va) == 0);
	for (uintptr_t i = 0; i < 2; i++)
		tap_require(!pthread_create(&threads[i], NULL, writer_thread, (void *)i));
	for (uint32_t n = 0; n < NR_SNAPSHOTS && !tap_has_failed(); n++) {
		struct qr_port_space *space = port_test_space_create(machine.port);
		uint64_t least[SNAPSHOT_PAGES];
		struct qr_aspace *child;

		await_writes(SNAPSHOT_PAGES);
		for (uint32_t i = 0; i < SNAPSHOT_PAGES; i++)
			least[i] = __atomic_load_n(&writers.done[i], __ATOMIC_SEQ_CST);
		tap_require(qr_aspace_fork(machine.aspace, space, &child) == 0);
		port_test_set_fault(space, family_fault, child);
		if (n % 3 == 0)
			(void)qr_reclaim(machine.vmm, 64);
		check_snapshot(space, least);
		qr_aspace_destroy(child);
		port_test_space_destroy(space);
	}
	__atomic_store_n(&writers.is_over, true, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	tap_note("%llu pages copied, %llu found private",
		 (unsigned long long)qr_vmm_stat(machine.vmm, QR_STAT_faults_cow),
		 (unsigned long long)qr_vmm_stat(machine.vmm, QR_STAT_faults_reuse));
	machine_close(&machine);
}

static void test_snapshots(void)
{
	struct qr_choices choices = {0};

	run_snapshots(&choices);
	choices.mmap_lock = QR_MMAP_LOCK_RWSEM;
	run_snapshots(&choices);
}

static const struct tap_test tests[] = {
	{"fork_threads_match_model", test_threads},
	{"fork_threads_with_baselines_match_model", test_threads_baselines},
	{"fork_while_threads_write_child_has_a_snapshot", test_snapshots},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
