/*
 * Cells are dealt to processes; each process takes the accesses in chunks and gives every chunk to all of its cells, so
 * that the spool is read once. Counts lie in memory that all processes share.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "lab/words.h"
#include "replay/cells.h"
#include "replay/min.h"
#include "sync/atomic.h"

#define TICK_NS 100000000

struct shared {
	uint64_t nr_done; /* (A) accesses times cells */
	struct qr_replay_cell cells[];
};

/* What a process keeps of one of its cells. */
struct state {
	struct qr_replay_cell *cell;
	struct qr_policy policy;
	void *memory;
	struct qr_min min;
};

struct work {
	const struct qr_spool *spool;
	struct shared *shared;
	struct state *states;
	unsigned nr_states;
	uint64_t nr_warmup;
};

static pid_t start_job(struct work *work, unsigned nr_cells, unsigned job, unsigned nr_jobs);
static int run_job(struct work *work);
static int start_cell(struct state *state, const struct qr_spool *spool);
static void run_chunk(struct state *state, const uint32_t *pages, const uint64_t *next, size_t nr, size_t nr_uncounted);
static int wait_for(pid_t *pids, unsigned nr_jobs, const struct shared *shared, double total, struct qr_bar *progress);
static int status_of(int wait_status);

int qr_replay_run_cells(const struct qr_spool *spool, struct qr_replay_cell *cells, unsigned nr_cells,
			uint64_t nr_warmup, unsigned nr_jobs, struct qr_bar *progress)
{
	size_t nr_bytes = sizeof(struct shared) + nr_cells * sizeof(*cells);
	struct shared *shared = mmap(NULL, nr_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct work work = {.spool = spool, .shared = shared, .nr_warmup = nr_warmup};
	pid_t pids[QR_REPLAY_MAX_JOBS];
	int status;

	if (shared == MAP_FAILED) {
		qr_cli_say("replay: out of memory");
		return QR_EXIT_FAILED;
	}
	memcpy(shared->cells, cells, nr_cells * sizeof(*cells));
	nr_jobs = QR_MIN(nr_jobs, nr_cells);
	for (unsigned job = 0; job < nr_jobs; job++)
		pids[job] = start_job(&work, nr_cells, job, nr_jobs);
	status = wait_for(pids, nr_jobs, shared, (double)spool->nr * nr_cells, progress);
	memcpy(cells, shared->cells, nr_cells * sizeof(*cells));
	(void)munmap(shared, nr_bytes);
	return status;
}

/* Every nr_jobs-th cell. Cells of one policy follow each other, so that all processes get some of the slow ones. */
static pid_t start_job(struct work *work, unsigned nr_cells, unsigned job, unsigned nr_jobs)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid < 0)
		qr_cli_say("replay: no process can be started: %s", strerror(errno));
	if (pid)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(QR_EXIT_FAILED);
	work->states = qr_lab_alloc(nr_cells, sizeof(*work->states));
	for (unsigned i = job; i < nr_cells; i += nr_jobs)
		work->states[work->nr_states++].cell = &work->shared->cells[i];
	_exit(run_job(work));
}

/* In the process of its own, whose end frees all. */
static int run_job(struct work *work)
{
	uint32_t *pages = qr_lab_alloc(QR_SPOOL_CHUNK, sizeof(*pages));
	uint64_t *next = NULL;

	for (unsigned i = 0; i < work->nr_states; i++) {
		if (start_cell(&work->states[i], work->spool))
			return QR_EXIT_FAILED;
		if (!work->states[i].cell->ops && !next)
			next = qr_lab_alloc(QR_SPOOL_CHUNK, sizeof(*next));
	}
	for (uint64_t from = 0; from < work->spool->nr; from += QR_SPOOL_CHUNK) {
		size_t nr = QR_MIN(work->spool->nr - from, (uint64_t)QR_SPOOL_CHUNK);
		size_t nr_uncounted = QR_MIN(work->nr_warmup - QR_MIN(work->nr_warmup, from), (uint64_t)nr);
		int status = qr_spool_read(work->spool, from, nr, pages, next);

		if (status) {
			qr_cli_say("replay: temporary file: %s", strerror(-status));
			return QR_EXIT_FAILED;
		}
		for (unsigned i = 0; i < work->nr_states; i++) {
			run_chunk(&work->states[i], pages, next, nr, nr_uncounted);
			(void)qr_fetch_add_relaxed(&work->shared->nr_done, nr);
		}
	}
	return 0;
}

static int start_cell(struct state *state, const struct qr_spool *spool)
{
	struct qr_policy_config config = {state->cell->capacity, state->cell->pool_share,
					  (uint32_t)QR_MIN(spool->nr_pages, (uint64_t)UINT32_MAX)};

	if (!state->cell->ops) {
		qr_min_init(&state->min, state->cell->capacity, spool->nr_pages);
		return 0;
	}
	state->memory = malloc(qr_policy_bytes(state->cell->ops, &config));
	if (!state->memory || qr_policy_init(&state->policy, state->cell->ops, &config, state->memory)) {
		qr_cli_say("replay: out of memory for %s with %u pages", state->cell->ops->name, state->cell->capacity);
		return QR_EXIT_FAILED;
	}
	return 0;
}

static void run_chunk(struct state *state, const uint32_t *pages, const uint64_t *next, size_t nr, size_t nr_uncounted)
{
	struct qr_replay_cell *cell = state->cell;
	struct qr_policy_result result = {.is_hit = false};

	for (size_t i = 0; i < nr; i++) {
		if (cell->ops)
			qr_policy_access(&state->policy, pages[i], &result);
		else
			result.is_hit = qr_min_access(&state->min, pages[i], next[i]);
		if (i < nr_uncounted)
			continue;
		cell->nr_misses += !result.is_hit;
		cell->nr_idle += result.was_idle;
	}
	cell->nr_accesses += nr - nr_uncounted;
}

/* Until all have ended; the first that fails decides. */
static int wait_for(pid_t *pids, unsigned nr_jobs, const struct shared *shared, double total, struct qr_bar *progress)
{
	const struct timespec tick = {0, TICK_NS};
	unsigned nr_left = nr_jobs;
	int status = 0;

	for (unsigned job = 0; job < nr_jobs; job++) {
		if (pids[job] < 0) {
			status = QR_EXIT_FAILED;
			nr_left--;
		}
	}
	while (nr_left) {
		for (unsigned job = 0; job < nr_jobs; job++) {
			int wait_status;

			if (pids[job] <= 0 || waitpid(pids[job], &wait_status, WNOHANG) != pids[job])
				continue;
			pids[job] = 0;
			nr_left--;
			status = status ? status : status_of(wait_status);
		}
		for (unsigned job = 0; job < nr_jobs && status; job++) {
			if (pids[job] > 0)
				(void)kill(pids[job], SIGKILL);
		}
		qr_bar_draw(progress, (double)qr_load_relaxed(&shared->nr_done) / total);
		if (nr_left)
			(void)nanosleep(&tick, NULL);
	}
	return status;
}

static int status_of(int wait_status)
{
	if (WIFEXITED(wait_status))
		return WEXITSTATUS(wait_status) ? QR_EXIT_FAILED : 0;
	/* The kernel ends what needs more memory than there is. */
	if (WTERMSIG(wait_status) == SIGKILL)
		qr_cli_say("replay: a process was killed; with --jobs 1, fewer policies or sizes it needs less memory");
	return 128 + WTERMSIG(wait_status);
}
