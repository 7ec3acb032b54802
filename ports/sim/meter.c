/* The lock meter's tables: class of each lock by address, rows by class and call site. */
#include "meter.h"

#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define MAX_ROWS 512u
#define MAX_SITES 4096u /* a power of two */

static const char *const class_names[QR_NR_RANKS] = {
	[QR_RANK_NONE] = "other",       [QR_RANK_ASPACE] = "aspace.lock",     [QR_RANK_VMA] = "vma.lock",
	[QR_RANK_FOLIO] = "folio lock", [QR_RANK_OBJECT] = "object.lock",     [QR_RANK_PT] = "pt.lock",
	[QR_RANK_SWAP_IO] = "swap log", [QR_RANK_SWAP] = "swap slots",        [QR_RANK_ZPOOL] = "zpool.lock",
	[QR_RANK_SLAB] = "slab.lock",   [QR_RANK_SLAB_CPU] = "slab_cpu.lock", [QR_RANK_LRU_CPU] = "lru_batch.lock",
	[QR_RANK_LRU] = "lruvec.lock",  [QR_RANK_PCP] = "pcp.lock",           [QR_RANK_ZONE] = "zone.lock",
	[QR_RANK_STAT] = "stat.lock",
};

struct row {
	unsigned rank;
	struct qr_meter_row row;
};

static struct row rows[MAX_ROWS];
static uint32_t nr_rows;
static unsigned rank_left_out = QR_RANK_NONE;

/* Call sites that were looked up before. */
static struct {
	uintptr_t address;
	const char *function;
	bool is_wrapper;
} sites[MAX_SITES];

/* Classes by lock: open addressing, at most half full. */
static struct known_lock {
	const void *lock;
	unsigned rank;
} *locks;
static uint64_t nr_locks, max_locks;

static void count_wait(struct qr_meter_row *row, const struct qr_sim_held *held, uint64_t until);
static void count_hold(struct qr_meter_row *row, const struct qr_sim_held *held, uint64_t until);

static struct known_lock *lock_slot(const void *lock)
{
	uint64_t i = ((uintptr_t)lock >> 2) * 0x9e3779b97f4a7c15u >> 20;

	for (i &= max_locks - 1; locks[i].lock && locks[i].lock != lock;)
		i = (i + 1) & (max_locks - 1);
	return &locks[i];
}

void qr_port_meter_init(const void *lock, unsigned rank)
{
	struct known_lock *slot;

	if (2 * nr_locks >= max_locks) {
		struct known_lock *old = locks;
		uint64_t nr_old = max_locks;

		max_locks = max_locks ? 2 * max_locks : 1024;
		locks = calloc(max_locks, sizeof(*locks));
		if (!locks)
			qr_sim_fail("out of memory for the lock meter");
		for (uint64_t i = 0; i < nr_old; i++) {
			if (old[i].lock)
				*lock_slot(old[i].lock) = old[i];
		}
		free(old);
	}
	slot = lock_slot(lock);
	nr_locks += !slot->lock;
	*slot = (struct known_lock){lock, rank};
}

static bool ends_with_lock(const char *name)
{
	size_t len = strlen(name);

	return len >= 4 && !strcmp(name + len - 4, "lock");
}

/* The function that wanted a lock: the innermost of the callers whose name does not end in "lock". */
static const char *call_site(const struct qr_sim_task *task)
{
	const char *function = "";

	for (uint32_t depth = task->depth; depth > 0; depth--) {
		uintptr_t address = task->calls[(depth - 1) % QR_SIM_CALL_DEPTH];
		uint64_t i = (address * 0x9e3779b97f4a7c15u >> 40) & (MAX_SITES - 1);

		if (sites[i].address != address) {
			sites[i].address = address;
			sites[i].function = qr_symbol_name(address);
			sites[i].is_wrapper = ends_with_lock(sites[i].function) ||
					      !strncmp(sites[i].function, "qr_spin_", strlen("qr_spin_"));
		}
		function = sites[i].function;
		if (!sites[i].is_wrapper)
			break;
	}
	return function;
}

static uint32_t row_of(unsigned rank, const char *site)
{
	for (uint32_t i = 0; i < nr_rows; i++) {
		if (rows[i].rank == rank && rows[i].row.site == site)
			return i;
	}
	if (nr_rows == MAX_ROWS)
		qr_sim_fail("more than %u call sites of locks", MAX_ROWS);
	rows[nr_rows] = (struct row){.rank = rank, .row = {.name = class_names[rank], .site = site}};
	return nr_rows++;
}

void qr_port_meter_begin(const void *lock, unsigned rank, bool may_sleep)
{
	struct qr_sim_task *task = qr_sim.running;

	if (!task)
		return;
	if (task->nr_held == QR_SIM_MAX_LOCKS)
		qr_sim_fail("task %s holds more than %u locks", task->name, QR_SIM_MAX_LOCKS);
	if (rank == QR_RANK_NONE)
		rank = max_locks ? lock_slot(lock)->rank : rank;
	if (qr_unlikely(rank == rank_left_out && rank != QR_RANK_NONE))
		__atomic_store_n((uint32_t *)(uintptr_t)lock, 0, __ATOMIC_RELAXED);
	task->is_spinning = !may_sleep;
	task->held[task->nr_held++] = (struct qr_sim_held){
		.lock = lock,
		.row = row_of(rank, call_site(task)),
		.begin = qr_sim_current->clock,
	};
}

void qr_port_meter_taken(const void *lock, bool had_to_wait)
{
	struct qr_sim_task *task = qr_sim.running;
	struct qr_sim_held *held;
	struct qr_meter_row *row;

	(void)lock; /* it is the one that was begun last */
	if (!task)
		return;
	held = &task->held[task->nr_held - 1];
	held->taken = QR_MAX(qr_sim_current->clock, 1u);
	task->is_spinning = false;
	if (!qr_sim.is_measuring)
		return;
	row = &rows[held->row].row;
	row->total++;
	if (had_to_wait)
		count_wait(row, held, held->taken);
}

void qr_port_meter_release(const void *lock)
{
	struct qr_sim_task *task = qr_sim.running;
	uint32_t i;

	if (!task)
		return;
	for (i = task->nr_held; i > 0 && task->held[i - 1].lock != lock; i--)
		;
	if (!i)
		return; /* another task took it */
	i--;
	if (qr_sim.is_measuring)
		count_hold(&rows[task->held[i].row].row, &task->held[i], qr_sim_current->clock);
	for (task->nr_held--; i < task->nr_held; i++)
		task->held[i] = task->held[i + 1];
}

void qr_meter_stop(void)
{
	for (uint32_t i = 0; i < qr_sim.nr_tasks; i++) {
		const struct qr_sim_task *task = qr_sim.tasks[i];

		for (uint32_t k = 0; k < task->nr_held; k++) {
			const struct qr_sim_held *held = &task->held[k];
			struct qr_meter_row *row = &rows[held->row].row;

			if (held->taken) {
				count_hold(row, held, qr_sim.end_at);
			} else {
				row->total++;
				count_wait(row, held, qr_sim.end_at);
			}
		}
	}
}

/* The part of [from, to) that was measured. */
static uint64_t measured(uint64_t from, uint64_t to)
{
	from = QR_MAX(from, qr_sim.warm_at);
	to = QR_MIN(to, qr_sim.end_at);
	return to > from ? to - from : 0;
}

static void count_wait(struct qr_meter_row *row, const struct qr_sim_held *held, uint64_t until)
{
	uint64_t wait = measured(held->begin, until);

	row->contended++;
	row->wait_ps += wait;
	row->wait_max_ps = QR_MAX(row->wait_max_ps, wait);
}

static void count_hold(struct qr_meter_row *row, const struct qr_sim_held *held, uint64_t until)
{
	uint64_t hold = measured(held->taken, until);

	row->hold_ps += hold;
	row->hold_max_ps = QR_MAX(row->hold_max_ps, hold);
}

void qr_meter_reset(void)
{
	for (uint32_t i = 0; i < nr_rows; i++)
		rows[i].row = (struct qr_meter_row){.name = rows[i].row.name, .site = rows[i].row.site};
}

void qr_meter_leave_out(unsigned rank)
{
	rank_left_out = rank;
}

const char *qr_meter_row_name(uint32_t row)
{
	return rows[row].row.name;
}

static int compare_rows(const void *left, const void *right)
{
	const struct qr_meter_row *a = left, *b = right;

	if (a->wait_ps != b->wait_ps)
		return a->wait_ps > b->wait_ps ? -1 : 1;
	if (a->hold_ps != b->hold_ps)
		return a->hold_ps > b->hold_ps ? -1 : 1;
	return strcmp(a->site, b->site);
}

/* Appends the rows of one class behind its sum; returns how many. */
static uint32_t append_class(unsigned rank, struct qr_meter_row *table)
{
	struct qr_meter_row *sum = table;
	uint32_t nr = 1;

	*sum = (struct qr_meter_row){.name = class_names[rank], .site = ""};
	for (uint32_t i = 0; i < nr_rows; i++) {
		const struct qr_meter_row *row = &rows[i].row;

		if (rows[i].rank != rank || !row->total)
			continue;
		table[nr++] = *row;
		sum->total += row->total;
		sum->contended += row->contended;
		sum->hold_ps += row->hold_ps;
		sum->wait_ps += row->wait_ps;
		sum->hold_max_ps = QR_MAX(sum->hold_max_ps, row->hold_max_ps);
		sum->wait_max_ps = QR_MAX(sum->wait_max_ps, row->wait_max_ps);
	}
	qsort(table + 1, nr - 1, sizeof(*table), compare_rows);
	return nr > 1 ? nr : 0;
}

struct qr_meter_row *qr_meter_table(uint32_t *nr)
{
	struct qr_meter_row *table = calloc(MAX_ROWS + QR_NR_RANKS + 1, sizeof(*table));
	struct qr_meter_row sums[QR_NR_RANKS];
	uint32_t nr_sums = 0;

	*nr = 0;
	if (!table)
		qr_sim_fail("out of memory for the lock table");
	for (unsigned rank = 0; rank < QR_NR_RANKS; rank++) {
		if (append_class(rank, table)) {
			table[0].site = class_names[rank];
			sums[nr_sums++] = table[0];
		}
	}
	/* The class that was waited for longest comes first. */
	qsort(sums, nr_sums, sizeof(sums[0]), compare_rows);
	for (uint32_t i = 0; i < nr_sums; i++) {
		for (unsigned rank = 0; rank < QR_NR_RANKS; rank++) {
			if (class_names[rank] == sums[i].name)
				*nr += append_class(rank, table + *nr);
		}
	}
	return table;
}
