/*
 * The shared budget, against a plain model with real processes: the parent tells workers over sockets what to do,
 * kills some, and compares the books after each step. Further cases: execve(), reused pids, a first thread that ends
 * before the others.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "domain_fixture.h"
#include "tap.h"

#define NR_WORKERS 6u

struct command {
	char what; /* T take, G give, L leave, J join, P publish, F fork with a reservation, Q quit */
	uint64_t nr;
};

struct worker {
	int pid;
	int socket;
	bool is_joined;
	uint64_t quota;
	uint64_t published;
};

static uint64_t worker_do(struct qr_domain *own, struct command command)
{
	struct qr_usage usage = {.size = sizeof(usage), .used_bytes = command.nr << QR_PAGE_SHIFT};
	uint64_t counters[QR_NR_STATS] = {0};

	switch (command.what) {
	case 'T':
		return qr_domain_take(own, command.nr);
	case 'G':
		qr_domain_give(own, command.nr);
		return 0;
	case 'J':
		return (uint64_t)qr_domain_join(own);
	case 'L':
		qr_domain_leave(own);
		return 0;
	case 'P':
		counters[0] = command.nr;
		counters[QR_NR_STATS - 1] = 2 * command.nr;
		qr_domain_publish(own, &usage, counters);
		return 0;
	case 'F':
		return domain_fork_child(own, command.nr);
	default:
		_exit(0);
	}
}

static void worker_start(struct worker *worker)
{
	int sockets[2];

	tap_require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0);
	memset(worker, 0, sizeof(*worker));
	worker->socket = sockets[0];
	worker->pid = fork();
	tap_require(worker->pid >= 0);
	if (!worker->pid) {
		struct qr_domain own;
		struct command command;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(sockets[0]);
		if (qr_domain_attach(&own, domain_path))
			_exit(99);
		while (read(sockets[1], &command, sizeof(command)) == sizeof(command)) {
			uint64_t answer = worker_do(&own, command);

			if (write(sockets[1], &answer, sizeof(answer)) < 0)
				break;
		}
		_exit(0);
	}
	close(sockets[1]);
}

static uint64_t tell(struct worker *worker, char what, uint64_t nr)
{
	struct command command = {.what = what, .nr = nr};
	uint64_t answer = 0;

	tap_require(write(worker->socket, &command, sizeof(command)) == sizeof(command));
	tap_require(read(worker->socket, &answer, sizeof(answer)) == sizeof(answer));
	return answer;
}

static void worker_end(struct worker *worker)
{
	kill(worker->pid, SIGKILL);
	waitpid(worker->pid, NULL, 0);
	close(worker->socket);
}

static uint64_t model_quota(const struct worker *workers)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < NR_WORKERS; i++)
		sum += workers[i].quota;
	return sum;
}

/* One random step; *ended is the model of the counters of those that are gone. */
static void model_step(struct worker *workers, uint64_t *random, uint64_t budget, uint64_t *ended)
{
	struct worker *worker = &workers[tap_random_below(random, NR_WORKERS)];
	uint64_t quota = model_quota(workers);
	uint64_t nr_free = budget > quota ? budget - quota : 0;
	uint64_t nr = 1 + tap_random_below(random, 6000);
	unsigned what = tap_random_below(random, 100);

	if (what < 6) {
		*ended += worker->published;
		worker_end(worker);
		worker_start(worker);
	} else if (!worker->is_joined) {
		tap_check_equal(tell(worker, 'J', 0), 0);
		worker->is_joined = true;
	} else if (what < 50) {
		uint64_t expected = QR_MIN(nr, nr_free);

		tap_check_equal(tell(worker, 'T', nr), expected);
		worker->quota += expected;
	} else if (what < 75) {
		tell(worker, 'G', nr);
		worker->quota -= QR_MIN(nr, worker->quota);
	} else if (what < 85) {
		tap_check_equal(tell(worker, 'F', nr), nr <= nr_free ? nr : UINT64_MAX);
	} else if (what < 95) {
		tell(worker, 'P', nr);
		worker->published = nr;
	} else {
		tell(worker, 'L', 0);
		*ended += worker->published;
		worker->is_joined = false;
		worker->quota = 0;
		worker->published = 0;
	}
}

static void test_model(void)
{
	struct worker workers[NR_WORKERS];
	uint64_t random = tap_seed();
	uint64_t budget = BUDGET, ended = 0;
	uint32_t nr_live;

	domain_setup(budget);
	for (unsigned i = 0; i < NR_WORKERS; i++)
		worker_start(&workers[i]);
	for (unsigned step = 0; step < 3000 && !tap_has_failed(); step++) {
		model_step(workers, &random, budget, &ended);
		if (!tap_random_below(&random, 50)) {
			budget = BUDGET / 2 + tap_random_below(&random, BUDGET);
			qr_domain_set_budget(&domain, budget);
		}
		nr_live = 0;
		for (unsigned i = 0; i < NR_WORKERS; i++)
			nr_live += workers[i].is_joined;
		qr_domain_bury_dead(&domain);
		domain_check_books(model_quota(workers), budget, nr_live);
		tap_check_equal(domain.shared->ended_counters[0], ended);
		tap_check_equal(domain.shared->ended_counters[QR_NR_STATS - 1], 2 * ended);
	}
	for (unsigned i = 0; i < NR_WORKERS; i++)
		worker_end(&workers[i]);
	qr_domain_bury_dead(&domain);
	domain_check_books(0, budget, 0);
	qr_domain_detach(&domain);
}

static void test_attach_errors(void)
{
	struct qr_domain other;
	char path[] = "/tmp/test_domain_XXXXXX";
	int fd = mkstemp(path);

	tap_require(fd >= 0);
	domain_setup(BUDGET);
	tap_check_equal(qr_domain_attach(&other, "/proc/self/fd/999"), QR_ENOENT);
	tap_check_equal(qr_domain_attach(&other, path), QR_EINVAL);
	tap_require(!ftruncate(fd, sizeof(struct qr_domain_shared)));
	tap_check_equal(qr_domain_attach(&other, path), QR_EINVAL);
	tap_check_equal(qr_domain_attach(&other, "/tmp"), -EISDIR);
	tap_check_equal(qr_domain_attach_readonly(&other, "/tmp"), QR_EINVAL);
	tap_check(ftruncate(domain.fd, 4096) < 0 && errno == EPERM);
	tap_require(qr_domain_attach_readonly(&other, domain_path) == 0);
	tap_check_equal(other.shared->budget_frames, BUDGET);
	tap_check_equal(qr_domain_fair_share(&other), BUDGET);
	qr_domain_detach(&other);
	close(fd);
	unlink(path);
	qr_domain_detach(&domain);
}

static void test_budget_grows_to_max(void)
{
	domain_setup(BUDGET);
	tap_require(qr_domain_join(&domain) == 0);
	tap_check_equal(qr_domain_take(&domain, 2 * BUDGET), BUDGET);
	qr_domain_set_budget(&domain, BUDGET + 5);
	tap_check_equal(domain.shared->free_frames, 5);
	tap_check_equal(qr_domain_take(&domain, 2 * BUDGET), 5);
	qr_domain_set_budget(&domain, UINT64_MAX);
	tap_check_equal(domain.shared->budget_frames, 2 * BUDGET);
	qr_domain_set_max(&domain, 1);
	tap_check_equal(domain.shared->max_frames, 2 * BUDGET);
	qr_domain_give(&domain, UINT64_MAX);
	qr_domain_leave(&domain);
	qr_domain_detach(&domain);
}

static void test_budget_shrinks(void)
{
	uint32_t demand;

	domain_setup(BUDGET);
	tap_require(qr_domain_join(&domain) == 0);
	tap_check_equal(qr_domain_take(&domain, 15000), 15000);
	demand = domain.shared->demand;
	qr_domain_set_budget(&domain, 10000);
	tap_check(domain.shared->demand != demand);
	tap_check_equal(domain.shared->debt_frames, 5000);
	tap_check_equal(qr_domain_take(&domain, 1), 0);
	qr_domain_give(&domain, 5000);
	tap_check_equal(domain.shared->debt_frames, 0);
	tap_check_equal(qr_domain_take(&domain, 1), 0);
	qr_domain_give(&domain, 1);
	errno = 77;
	tap_check_equal(qr_domain_take(&domain, 100), 1);
	tap_check_equal(qr_domain_take(&domain, 100), 0);
	tap_check_equal(errno, 77);
	qr_domain_give(&domain, UINT64_MAX);
	qr_domain_bury_dead(&domain);
	domain_check_books(0, 10000, 1);
	qr_domain_leave(&domain);
	tap_check_equal(qr_domain_take(&domain, 1), 0);
	qr_domain_detach(&domain);
}

/* A child that joins, takes 1000 frames and goes on as program, with the path of the domain as its argument. */
static int start_exec(const char *program, const char *first, const char *second)
{
	int pid = fork();

	tap_require(pid >= 0);
	if (!pid) {
		struct qr_domain own;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (qr_domain_attach(&own, domain_path) || qr_domain_join(&own) || qr_domain_take(&own, 1000) != 1000)
			_exit(99);
		execl(program, program, first, second, (char *)NULL);
		_exit(98);
	}
	return pid;
}

static void test_exec_outside_is_buried(void)
{
	struct qr_domain_sum sum;
	int pid;

	domain_setup(BUDGET);
	pid = start_exec("/bin/sleep", "20", NULL);
	for (unsigned tries = 0; tries < 500; tries++) {
		qr_domain_bury_dead(&domain);
		qr_domain_count(&domain, &sum);
		if (domain.shared->nr_ended && !sum.quota_frames)
			break;
		domain_sleep_ms(10);
	}
	tap_check_equal(kill(pid, 0), 0);
	domain_check_books(0, BUDGET, 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	qr_domain_detach(&domain);
}

/* What this program does when it is started by test_exec_rejoins(). */
static int run_exec_child(const char *path)
{
	struct qr_domain own;

	if (qr_domain_attach(&own, path) || qr_domain_join(&own))
		return 1;
	/* The old program's 1000 frames are free again. */
	return qr_domain_take(&own, BUDGET) == BUDGET && own.shared->nr_ended == 1 ? 0 : 2;
}

static void test_exec_rejoins(void)
{
	int status = -1;

	domain_setup(BUDGET);
	tap_require(waitpid(start_exec("/proc/self/exe", "--exec-child", domain_path), &status, 0) > 0);
	tap_check_equal(status, 0);
	tap_check_equal(qr_domain_bury_dead(&domain), 1);
	domain_check_books(0, BUDGET, 0);
	qr_domain_detach(&domain);
}

static void test_reused_pid_is_buried(void)
{
	struct worker worker;

	domain_setup(BUDGET);
	worker_start(&worker);
	tap_check_equal(tell(&worker, 'J', 0), 0);
	tap_check_equal(tell(&worker, 'T', 50), 50);
	tap_check_equal(qr_domain_bury_dead(&domain), 0);
	/* As if another process had had this pid, one tick before. */
	domain.shared->processes[0].owner -= 1ull << 24;
	tap_check_equal(qr_domain_bury_dead(&domain), 1);
	domain_check_books(0, BUDGET, 0);
	worker_end(&worker);
	qr_domain_detach(&domain);
}

static void *second_thread(void *argument)
{
	domain_sleep_ms(10000);
	return argument;
}

static void test_first_thread_ends_first(void)
{
	int pipes[2], pid = -1;
	char byte;

	domain_setup(BUDGET);
	tap_require(!pipe(pipes) && (pid = fork()) >= 0);
	if (!pid) {
		struct qr_domain own;
		pthread_t thread;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (qr_domain_attach(&own, domain_path) || qr_domain_join(&own) || !qr_domain_take(&own, 7) ||
		    pthread_create(&thread, NULL, second_thread, NULL) || write(pipes[1], "x", 1) != 1)
			_exit(99);
		pthread_exit(NULL);
	}
	tap_check_equal(read(pipes[0], &byte, 1), 1);
	domain_sleep_ms(50);
	tap_check_equal(qr_domain_bury_dead(&domain), 0);
	domain_check_books(7, BUDGET, 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	tap_check_equal(qr_domain_bury_dead(&domain), 1);
	domain_check_books(0, BUDGET, 0);
	close(pipes[0]);
	close(pipes[1]);
	qr_domain_detach(&domain);
}

/* The parent dies between fork and telling the child's pid, the slot is buried, and the child still gets what it
 * holds, on credit. */
static void test_adopt_after_burial_owes(void)
{
	int pids[2], go[2], pid = -1;
	uint32_t slot = 0;
	char byte = 'x';

	domain_setup(BUDGET);
	tap_require(!pipe(pids) && !pipe(go) && (pid = fork()) >= 0);
	if (!pid) {
		struct qr_domain own;

		if (qr_domain_attach(&own, domain_path) || qr_domain_join(&own))
			_exit(99);
		slot = (uint32_t)qr_domain_reserve_child(&own, 500);
		pid = fork();
		if (pid)
			_exit(write(pids[1], &pid, sizeof(pid)) != sizeof(pid));
		if (read(go[0], &byte, 1) != 1 || qr_domain_adopt(&own, slot) || write(pids[1], "done", 4) != 4)
			_exit(99);
		domain_sleep_ms(5000);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	tap_require(read(pids[0], &pid, sizeof(pid)) == sizeof(pid));
	tap_check_equal(qr_domain_bury_dead(&domain), 2);
	domain_check_books(0, BUDGET, 0);
	qr_domain_set_budget(&domain, 400);
	tap_require(write(go[1], &byte, 1) == 1 && read(pids[0], &slot, 4) == 4);
	qr_domain_bury_dead(&domain);
	domain_check_books(500, 400, 1);
	tap_check_equal(domain.shared->debt_frames, 100);
	kill(pid, SIGKILL);
	for (unsigned tries = 0; tries < 500 && !qr_domain_bury_dead(&domain); tries++)
		domain_sleep_ms(10);
	domain_check_books(0, 400, 0);
	qr_domain_detach(&domain);
}

static void test_slots_run_out(void)
{
	struct worker worker;

	domain_setup(BUDGET);
	worker_start(&worker);
	/* All taken by a process that lives: the first one. */
	for (unsigned i = 0; i < QR_DOMAIN_PROCESSES; i++)
		domain.shared->processes[i].owner = QR_DOMAIN_CLAIMED | 1ull << 2;
	domain.shared->nr_slots = QR_DOMAIN_PROCESSES;
	tap_check_equal((int)tell(&worker, 'J', 0), QR_EAGAIN);
	/* One of them by a process that does not: pid_max is never a pid. */
	domain.shared->processes[777].owner = QR_DOMAIN_CLAIMED | 0x3fffffull << 2;
	tap_check_equal((int)tell(&worker, 'J', 0), 0);
	tap_check_equal(domain.shared->processes[777].pid, worker.pid);
	worker_end(&worker);
	qr_domain_detach(&domain);
}

static const struct tap_test tests[] = {
	{"attach_wrong_path_fails", test_attach_errors},
	{"set_budget_grows_to_the_max", test_budget_grows_to_max},
	{"set_budget_below_quota_makes_debt", test_budget_shrinks},
	{"join_without_free_slot_buries_or_fails", test_slots_run_out},
	{"bury_dead_after_exec_outside_returns_quota", test_exec_outside_is_buried},
	{"join_after_exec_returns_quota", test_exec_rejoins},
	{"bury_dead_reused_pid_returns_quota", test_reused_pid_is_buried},
	{"bury_dead_first_thread_gone_keeps_quota", test_first_thread_ends_first},
	{"adopt_after_burial_owes", test_adopt_after_burial_owes},
	{"random_operations_match_model", test_model},
};

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--exec-child"))
		return run_exec_child(argv[2]);
	signal(SIGPIPE, SIG_IGN);
	return TAP_RUN(tests, argc, argv);
}
