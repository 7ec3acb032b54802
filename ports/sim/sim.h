/*
 * The simulated machine, inside. One host thread runs everything; each task is a fiber, and the CPU with the smallest
 * clock runs next. All times are picoseconds of virtual time unless a name says otherwise.
 *
 * Nothing in this folder is instrumented: what it does costs no virtual time but what it adds to a clock itself.
 */
#ifndef QR_SIM_SIM_H
#define QR_SIM_SIM_H

#include <quire/port.h>

#include "base/base.h"
#include "machine.h"
#include "sync/lock.h"

/* ---- Where things lie. Fixed addresses, so that a run depends on nothing but its seed; above what the address
 * sanitizer reserves on x86-64. ---- */
#define QR_SIM_ARENA 0x200000000000u /* all memory whose lines are modelled: pool, metadata, shared data */
#define QR_SIM_POOL_BYTES ((uint64_t)2 << 40)
#define QR_SIM_METADATA (QR_SIM_ARENA + QR_SIM_POOL_BYTES)
#define QR_SIM_METADATA_BYTES ((uint64_t)64 << 30)
#define QR_SIM_SHARED (QR_SIM_METADATA + QR_SIM_METADATA_BYTES)
#define QR_SIM_SHARED_BYTES ((uint64_t)64 << 30)
#define QR_SIM_ARENA_BYTES (QR_SIM_POOL_BYTES + QR_SIM_METADATA_BYTES + QR_SIM_SHARED_BYTES)
#define QR_SIM_DIRECTORY 0x240000000000u
#define QR_SIM_STACKS 0x270000000000u
#define QR_SIM_TAGS 0x280000000000u
#define QR_SIM_LLC_TAGS 0x290000000000u
#define QR_SIM_TABLES 0x2a0000000000u
#define QR_SIM_BACKED 0x2b0000000000u
#define QR_SIM_DEVICE 0x2c0000000000u

#define QR_SIM_MAX_TASKS 1024u
#define QR_SIM_MAX_DEPTH 1024u /* of the swap device */

/* What the scheduler orders by time: CPUs, then timers of tasks, transfers, and single events. */
#define QR_SIM_ID_TIMERS QR_MAX_CPUS
#define QR_SIM_ID_DEVICE (QR_SIM_ID_TIMERS + QR_SIM_MAX_TASKS)
#define QR_SIM_ID_WARM (QR_SIM_ID_DEVICE + QR_SIM_MAX_DEPTH)
#define QR_SIM_ID_END (QR_SIM_ID_WARM + 1u)
#define QR_SIM_ID_GRACE (QR_SIM_ID_END + 1u)
#define QR_SIM_NR_IDS (QR_SIM_ID_GRACE + 1u)

#define QR_SIM_PS 1000u /* per nanosecond */
#define QR_SIM_NEVER (UINT64_MAX / 4)

/* A machine's parameters as the hot paths want them: picoseconds, shares as parts of 1024, masks. */
struct qr_sim_costs {
	uint64_t access, l1, l2, locked, pause, store, atomic_store;
	uint64_t dirty[QR_NR_DISTANCES], clean[QR_NR_DISTANCES], invalidate[QR_NR_DISTANCES];
	uint64_t invalidate_sharer, invalidate_further, third_node, remote_page, dram_local, dram_remote, store_gap,
		store_buffer, link, bus, jitter;
	uint64_t request_share, shared_occupancy;
	bool migrates;
	uint64_t l1_mask, l2_mask, llc_mask; /* lines; llc_mask 0: no last-level cache */
	uint64_t tlb_walk, tlb_flush, ipi_send, ipi_latency, ipi_handle, trap, zero_page, copy_page, pte;
	uint64_t switch_task, wake, wake_latency, slice, grace, device, compress, expand, clock;
	uint32_t tlb_mask, interleave_shift;
};

enum qr_sim_task_state { QR_TASK_READY, QR_TASK_RUNNING, QR_TASK_ASLEEP, QR_TASK_DEAD };

#define QR_SIM_CALL_DEPTH 256u /* a power of two */
#define QR_SIM_MAX_LOCKS 64u

struct qr_sim_held {
	const void *lock;
	uint32_t row; /* of the meter */
	uint64_t begin, taken;
};

struct qr_sim_task {
	uint32_t id;
	char name[16];
	struct qr_sim_cpu *cpu;
	enum qr_sim_task_state state;
	bool is_kernel; /* does not keep the run going, and preempts */
	void *context;  /* its stack pointer while another task runs */
	void (*entry)(void *argument);
	void *argument;
	struct qr_sim_task *next; /* in a run queue or among waiters */
	uint32_t *wait_word;
	bool is_timed_out;
	uint32_t joiners; /* word that changes when the task ends */
	uint32_t nr_read_sections;
	uint64_t nr_sleeps;
	uint32_t depth; /* of calls */
	uintptr_t calls[QR_SIM_CALL_DEPTH]; /* [depth] where each function was called from */
	uint32_t nr_held;
	bool is_spinning; /* for a lock whose waiters never sleep */
	struct qr_sim_held held[QR_SIM_MAX_LOCKS];
	bool is_gathering; /* between unmap_begin and unmap_end: */
	uint64_t gathered_start, gathered_end; /* pages that are unmapped but not shot down, and others */
	struct qr_held_locks checked; /* debug builds of core */
};

struct qr_sim_tlb_entry {
	uint64_t key;   /* space and page, 0: empty */
	uint64_t value; /* the translation as it was loaded */
};

#define QR_SIM_MAX_FLUSHES 16u
struct qr_sim_flush {
	uint64_t at; /* when the interrupt arrives */
	uint32_t space;
	uint32_t nr;
	uint64_t page; /* first; nr pages */
};

struct qr_sim_cpu {
	uint64_t clock;
	uint64_t drained; /* when the store buffer is empty */
	uint64_t *l1;     /* [set] tags of lines that the CPU has a copy of */
	uint64_t *l2;
	uint64_t polled_line; /* last line that was read */
	uint32_t polled_version;
	uint32_t id;
	uint32_t node, cluster;
	uint64_t random;
	uint64_t nr_accesses, nr_misses, nr_remote, nr_yields, nr_parks, nr_tlb_misses, nr_ipis, nr_switches;
	uint64_t interrupts; /* time to be charged when it runs next */
	bool is_parked;
	uint64_t parked_line, parked_until;
	uint32_t parked_next, parked_prev; /* CPU + 1; 0: none */
	struct qr_sim_task *task;          /* NULL: idle */
	struct qr_sim_task *ready_head, *ready_tail;
	uint64_t slice_start;
	uint64_t grace_seen;
	struct qr_sim_tlb_entry *tlb;
	uint32_t nr_flushes;
	struct qr_sim_flush flushes[QR_SIM_MAX_FLUSHES];
	uint64_t nr_ops;
	uint64_t end; /* clock when the workload's task ended */
} QR_ALIGNED(QR_CACHE_LINE);

struct qr_sim {
	struct qr_sim_costs costs;
	struct qr_machine machine;
	uint32_t nr_cpus, nr_nodes, nr_clusters;
	uint32_t nr_frames_per_node; /* consecutive frames of each node; 0: memory is spread over them */
	uint64_t limit_private, limit_shared; /* a CPU past it lets others run first */
	uint64_t seed;
	uint64_t warm_at, end_at, stuck_at;
	bool is_measuring; /* between warm_at and end_at */
	bool trace;
	bool may_run_out; /* of memory: the run goes on */
	uint32_t nr_live; /* tasks that keep the run going */
	uint32_t nr_tasks;
	void *main_context;
	struct qr_sim_task *running;
	struct qr_sim_task *tasks[QR_SIM_MAX_TASKS];
	struct qr_sim_cpu *cpus;
	volatile uint64_t progress; /* of the watchdog: counts yields and accesses of the CPU that runs */
};

extern struct qr_sim qr_sim;
/* The CPU that runs; NULL outside of the simulation, where nothing costs anything. */
extern struct qr_sim_cpu *qr_sim_current;

/* ---- Life; sim.c ---- */

/* Sets the machine up for nr_cpus CPUs, empty caches, clock 0. Once per process. */
void qr_sim_create(const struct qr_machine *machine, uint32_t nr_cpus, uint64_t seed);
/* Sparse zeroed memory at a fixed address; ends the program with a message if there is none. */
void *qr_sim_reserve(uint64_t address, uint64_t len_bytes);
/* A failed run: reports why on stderr and ends the program with status 1. Any context. */
QR_NORETURN void qr_sim_fail(const char *format, ...) QR_PRINTF(1, 2);

/* ---- Random numbers ---- */

/* splitmix64 */
static inline uint64_t qr_sim_random(uint64_t *state)
{
	uint64_t mixed = *state += 0x9e3779b97f4a7c15u;

	mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
	mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
	return mixed ^ (mixed >> 31);
}

/* In [0, bound). */
static inline uint64_t qr_sim_jitter(struct qr_sim_cpu *cpu, uint64_t bound)
{
	return bound ? ((qr_sim_random(&cpu->random) >> 40) * bound) >> 24 : 0;
}

/* ---- Fibers; fiber.c ---- */

/* Saves the callee's registers on the stack, stores the stack pointer to *save and continues at resume. */
void qr_sim_switch(void **save, void *resume);
/* A context that calls entry(), which must not return, on the stack that ends at top. */
void *qr_sim_context(uint8_t *top, void (*entry)(void));

/* ---- Time; heap.c and sched.c ---- */
void qr_sim_heap_push(uint32_t id, uint64_t key);
void qr_sim_heap_set(uint32_t id, uint64_t key); /* pushes or moves */
void qr_sim_heap_remove(uint32_t id);            /* nothing if it is not there */
uint32_t qr_sim_heap_pop(uint64_t *key);
bool qr_sim_heap_is_empty(void);
uint64_t qr_sim_heap_first(void); /* QR_SIM_NEVER when empty */
bool qr_sim_heap_is_valid(void);

/* Lets CPUs with smaller clocks run. */
void qr_sim_yield(void);
/* After a change of the heap: the running CPU may have to stop earlier. */
void qr_sim_set_limits(void);
/* Runs until all tasks that count have ended. From outside of the simulation. */
void qr_sim_run(void);
/* Parks the running CPU until the line changes, at most for a while. */
void qr_sim_park(uint64_t line, uint64_t until);
/* CPUs parked on the line notice at the first poll after an invalidation that leaves at from has reached them. */
void qr_sim_unpark_all(uint64_t line, uint64_t from);

/* ---- Tasks; task.c ---- */

/* A task on a CPU, ready at once. is_kernel: see struct qr_sim_task. */
struct qr_sim_task *qr_sim_task_create(const char *name, uint32_t cpu, bool is_kernel, void (*entry)(void *argument),
				       void *argument);
/* Puts the running task to sleep; another or none takes its CPU. */
void qr_sim_sleep(void);
/* A sleeping task can run from at on. */
void qr_sim_make_ready(struct qr_sim_task *task, uint64_t at);
void qr_sim_wake_word(uint32_t *word, uint32_t nr_waiters, uint64_t at);
/* A point where nothing is held: other tasks of the CPU may have their turn. */
void qr_sim_preempt_point(void);
/* Puts the running task to sleep on the word, at most until then. */
void qr_sim_wait_word(uint32_t *word, uint64_t until);
void qr_sim_timer(uint32_t task, uint64_t at); /* a task's wait timed out */

/* ---- Grace periods; rcu.c ---- */
void qr_sim_quiescent(struct qr_sim_cpu *cpu);
void qr_sim_grace_end(uint64_t at); /* the event */

/* ---- Memory ---- */

/* Zeroed memory whose lines are modelled, for data that workloads share; 64-byte aligned, never freed. */
void *qr_sim_shared_alloc(uint64_t len_bytes);
/* A program's access to a frame: its first word says which page it is, since the first write to it. A frame that says
 * that it is another page ends the run. va: of the access. */
void qr_sim_content_access(uint32_t pfn, uint64_t va, bool is_write);
/* Negative control of the tests: frames are not cleared. */
void qr_sim_leave_out_clearing(void);
/* The frame holds bytes that core or a program wrote. */
void qr_sim_mark_backed(uint64_t pool_offset);
/* A copy of at least half a page within the arena; see memory.c. */
void qr_sim_copy_bulk(void *to, const void *from, uint64_t len_bytes);

/* ---- Device; device.c ---- */
void qr_sim_device_event(uint32_t slot, uint64_t at);

/* ---- The ends of the warm-up and of the measurement: all counts begin anew, and stop; run.c ---- */
void qr_sim_warm(void);
void qr_sim_end(void);

/* ---- Watchdog; watchdog.c ---- */
void qr_sim_watchdog_start(uint32_t seconds);

#endif
