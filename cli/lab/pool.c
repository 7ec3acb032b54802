/*
 * The pool of running cells. One poll(2) loop over a signalfd and two pipes per process; a process has ended when both
 * of its pipes are closed. Children keep to the process group, so the terminal's interrupt reaches them as well.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"
#include "lab/pool.h"
#include "lab/progress.h"
#include "lab/words.h"

/* The bar is redrawn that often even if nothing happens. */
#define TICK_MS 500
/* What the runner exits with when it was asked for something impossible. */
#define EXIT_USAGE 2

struct job {
	struct qr_lab_cell *cell; /* NULL: the slot is free */
	pid_t pid;
	struct qr_lab_text out;
	struct qr_lab_text err;
};

struct work {
	const struct qr_lab_pool *pool;
	struct qr_lab_cell **queue; /* heaviest first */
	unsigned nr_queued;
	unsigned next;
	struct job jobs[QR_LAB_MAX_JOBS];
	/* [0] is the signalfd; job i has its output in [1 + 2i] and its errors in [2 + 2i]; fd -1: closed. */
	struct pollfd poll[1 + 2 * QR_LAB_MAX_JOBS];
	struct qr_lab_progress progress;
	int signal; /* that asked for the end; 0: none */
	int status; /* as qr_lab_pool_run() returns */
};

static void take_cached(struct work *work, struct qr_lab_cell **cells, unsigned nr_cells);
static int by_weight(const void *first, const void *second);
static void run_queue(struct work *work);
static bool start_jobs(struct work *work);
static void read_pipes(struct work *work);
static bool read_some(struct pollfd *poll, struct qr_lab_text *text);
static void take_signal(struct work *work);
static void end_job(struct work *work, unsigned slot);
static void accept_result(struct work *work, struct qr_lab_cell *cell, const struct job *job, int status);
static void fail(struct work *work, struct qr_lab_cell *cell, char *error, int status);
static char *last_lines(const char *text);

int qr_lab_pool_run(const struct qr_lab_pool *pool, struct qr_lab_cell **cells, unsigned nr_cells)
{
	struct work *work = qr_lab_alloc(1, sizeof(*work));
	double weight = 0;
	sigset_t mask, old;
	int status;

	work->pool = pool;
	work->queue = qr_lab_alloc(nr_cells, sizeof(struct qr_lab_cell *));
	take_cached(work, cells, nr_cells);
	qsort(work->queue, work->nr_queued, sizeof(struct qr_lab_cell *), by_weight);
	for (unsigned i = 0; i < work->nr_queued; i++)
		weight += qr_lab_cell_weight(work->queue[i]);
	if (work->nr_queued) {
		(void)sigemptyset(&mask);
		(void)sigaddset(&mask, SIGINT);
		(void)sigaddset(&mask, SIGTERM);
		(void)sigaddset(&mask, SIGHUP);
		(void)sigprocmask(SIG_BLOCK, &mask, &old);
		work->poll[0] = (struct pollfd){.fd = signalfd(-1, &mask, SFD_CLOEXEC), .events = POLLIN};
		for (unsigned i = 1; i < QR_ARRAY_SIZE(work->poll); i++)
			work->poll[i].fd = -1;
		qr_lab_progress_start(&work->progress, pool->is_quiet, work->nr_queued, weight);
		run_queue(work);
		qr_lab_progress_clear(&work->progress);
		(void)close(work->poll[0].fd);
		(void)sigprocmask(SIG_SETMASK, &old, NULL);
	}
	status = work->signal ? 128 + work->signal : work->status;
	free(work->queue);
	free(work);
	return status;
}

static void take_cached(struct work *work, struct qr_lab_cell **cells, unsigned nr_cells)
{
	for (unsigned i = 0; i < nr_cells; i++) {
		struct qr_lab_cell *cell = cells[i];

		if (cell->state != QR_LAB_TO_RUN)
			continue;
		cell->result = qr_lab_cache_load(work->pool->cache, work->pool->runner, cell);
		cell->is_cached = cell->result != NULL;
		if (cell->is_cached)
			cell->state = QR_LAB_DONE;
		else
			work->queue[work->nr_queued++] = cell;
	}
}

/* The longest cells last would leave one process working alone at the end. */
static int by_weight(const void *first, const void *second)
{
	const struct qr_lab_cell *a = *(const struct qr_lab_cell *const *)first;
	const struct qr_lab_cell *b = *(const struct qr_lab_cell *const *)second;
	double difference = qr_lab_cell_weight(b) - qr_lab_cell_weight(a);

	if (difference < 0 || difference > 0)
		return difference < 0 ? -1 : 1;
	return a->seed < b->seed ? -1 : a->seed > b->seed;
}

static void run_queue(struct work *work)
{
	while (start_jobs(work)) {
		qr_lab_progress_draw(&work->progress);
		if (poll(work->poll, 1 + 2 * (nfds_t)work->pool->nr_jobs, TICK_MS) < 0 && errno != EINTR)
			break;
		if (work->poll[0].revents)
			take_signal(work);
		read_pipes(work);
	}
}

/* Fills free slots; returns whether anything runs. */
static bool start_jobs(struct work *work)
{
	bool is_over = work->signal || work->status == QR_EXIT_FAILED;

	for (unsigned slot = 0; slot < work->pool->nr_jobs && !is_over && work->next < work->nr_queued; slot++) {
		struct job *job = &work->jobs[slot];
		char **words;

		if (job->cell)
			continue;
		job->cell = work->queue[work->next++];
		words = qr_lab_cell_words(job->cell);
		job->pid = qr_runner_start(work->pool->runner, (const char *const *)words, &work->poll[1 + 2 * slot].fd,
					   &work->poll[2 + 2 * slot].fd);
		qr_lab_words_free(words);
		if (job->pid < 0) {
			qr_cli_say("lab: cannot start %s: %s", work->pool->runner->path, strerror((int)-job->pid));
			job->cell = NULL;
			work->status = QR_EXIT_FAILED;
			break;
		}
		work->poll[1 + 2 * slot].events = work->poll[2 + 2 * slot].events = POLLIN;
		work->progress.nr_running++;
	}
	return work->progress.nr_running > 0;
}

static void read_pipes(struct work *work)
{
	for (unsigned slot = 0; slot < work->pool->nr_jobs; slot++) {
		struct job *job = &work->jobs[slot];
		struct pollfd *out = &work->poll[1 + 2 * slot], *err = out + 1;
		bool is_open;

		if (!job->cell)
			continue;
		is_open = read_some(out, &job->out);
		is_open = read_some(err, &job->err) || is_open;
		if (!is_open)
			end_job(work, slot);
	}
}

/* Returns whether more may come. */
static bool read_some(struct pollfd *poll, struct qr_lab_text *text)
{
	char buffer[16384];
	ssize_t nr;

	if (poll->fd < 0)
		return false;
	if (!poll->revents)
		return true;
	nr = read(poll->fd, buffer, sizeof(buffer));
	if (nr > 0)
		qr_lab_text_add_bytes(text, buffer, (size_t)nr);
	if (nr > 0 || (nr < 0 && errno == EINTR))
		return true;
	(void)close(poll->fd);
	*poll = (struct pollfd){.fd = -1};
	return false;
}

static void take_signal(struct work *work)
{
	struct signalfd_siginfo info;

	if (read(work->poll[0].fd, &info, sizeof(info)) != sizeof(info))
		return;
	work->signal = (int)info.ssi_signo;
	for (unsigned slot = 0; slot < work->pool->nr_jobs; slot++) {
		if (work->jobs[slot].cell)
			(void)kill(work->jobs[slot].pid, SIGKILL);
	}
}

static void end_job(struct work *work, unsigned slot)
{
	struct job *job = &work->jobs[slot];
	struct qr_lab_cell *cell = job->cell;
	int status = 0;

	while (waitpid(job->pid, &status, 0) < 0 && errno == EINTR)
		;
	/* The terminal's interrupt may reach the cell first. */
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGINT && !work->signal)
		work->signal = SIGINT;
	/* A cell that was ended on purpose has not failed; it is still to be run. */
	if (!work->signal || !WIFSIGNALED(status))
		accept_result(work, cell, job, status);
	free(job->out.text);
	free(job->err.text);
	*job = (struct job){0};
	work->progress.nr_running--;
	if (cell->state != QR_LAB_TO_RUN)
		qr_lab_progress_note(&work->progress, cell);
}

static void accept_result(struct work *work, struct qr_lab_cell *cell, const struct job *job, int status)
{
	json_error_t error;

	if (WIFSIGNALED(status)) {
		fail(work, cell,
		     qr_lab_format("ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status))), 0);
		return;
	}
	if (WEXITSTATUS(status)) {
		char *reason = last_lines(job->err.text);

		fail(work, cell, *reason ? reason : qr_lab_format("exit status %d", WEXITSTATUS(status)),
		     WEXITSTATUS(status));
		if (!*reason)
			free(reason);
		return;
	}
	cell->result = json_loads(job->out.text ? job->out.text : "", 0, &error);
	if (!cell->result || !qr_lab_result_is_valid(cell->result, cell)) {
		fail(work, cell,
		     cell->result ? qr_lab_format("its output is not that of such a cell")
				  : qr_lab_format("its output is no JSON: %s", job->out.text ? error.text : "empty"),
		     0);
		json_decref(cell->result);
		cell->result = NULL;
		return;
	}
	cell->state = QR_LAB_DONE;
	qr_lab_cache_store(work->pool->cache, work->pool->runner, cell);
}

static void fail(struct work *work, struct qr_lab_cell *cell, char *error, int status)
{
	cell->state = QR_LAB_FAILED;
	cell->error = error;
	cell->exit_status = status;
	if (status == EXIT_USAGE && work->status != QR_EXIT_FAILED) {
		qr_lab_progress_clear(&work->progress);
		if (!work->pool->keeps_errors)
			qr_cli_say("lab: %s", error);
		work->status = QR_EXIT_FAILED;
	} else if (!work->status) {
		work->status = 1;
	}
}

/* Without the runner's name before and the newline at the end; a long story is cut at its beginning. */
static char *last_lines(const char *text)
{
	static const char prefix[] = "quire-lab-cell: ";
	const char *begin = text ? text : "";
	size_t length;

	if (!strncmp(begin, prefix, sizeof(prefix) - 1))
		begin += sizeof(prefix) - 1;
	length = strlen(begin);

	while (length && begin[length - 1] == '\n')
		length--;
	if (length > 1500) {
		begin += length - 1500;
		length = 1500;
	}
	return qr_lab_format("%.*s", (int)length, begin);
}

void qr_lab_pool_say_failed(const struct qr_lab_pool *pool, struct qr_lab_cell **cells, unsigned nr_cells)
{
	for (unsigned i = 0; i < nr_cells; i++) {
		char *title, *command;

		if (cells[i]->state != QR_LAB_FAILED || cells[i]->exit_status == EXIT_USAGE)
			continue;
		title = qr_lab_cell_title(cells[i]);
		command = qr_lab_cell_command(pool->runner, cells[i]);
		qr_cli_say("lab: failed: %s: %s\n  to run it alone: %s", title, cells[i]->error, command);
		free(command);
		free(title);
	}
}
