/*
 * The launcher stays in the program's process group, so that the terminal's signals and job control reach the
 * program without it. It blocks the signals that would end it and reads them from a signalfd: what kill(2) sent to
 * the launcher is passed on; what the terminal sent has reached the program already. Deaths of member processes
 * show on their pidfds (pidfd_open(2), Linux 5.3) or at the next tick.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "launch.h"

#define TICK_MS 100
#define MAX_WATCHED 62u

/* poll[0] is the signalfd, the rest are pidfds of members; pids[i] belongs to poll[i]. */
struct watch {
	struct pollfd poll[1 + MAX_WATCHED];
	int32_t pids[1 + MAX_WATCHED];
	unsigned nr;
};

static const int forwarded[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT, SIGTSTP};

static int prepare_signals(sigset_t *old_mask, struct sigaction *old_child);
static void become_program(const struct qr_launch *launch, int report_fd, const sigset_t *mask,
			   const struct sigaction *child_action, int launcher);
static void set_environment(const struct qr_launch *launch, int launcher);
static int read_exec_error(int fd, int pid, const char *name);
static void let_go_of_pipes(void);
static void stand_by(struct qr_launch *launch, int pid, int signal_fd);
static bool handle_signal(struct qr_launch *launch, int pid, int signal_fd);
static void watch_members(struct watch *watch, const struct qr_domain *domain);
static bool forget_ended(struct watch *watch);
static uint64_t now_ms(void);

int qr_launch_run(struct qr_launch *launch)
{
	struct sigaction old_child;
	sigset_t old_mask;
	int signal_fd = prepare_signals(&old_mask, &old_child);
	int launcher = (int)getpid();
	int report[2];
	int pid, status;

	if (signal_fd < 0 || pipe2(report, O_CLOEXEC)) {
		qr_cli_say("run: cannot watch for signals: %s", strerror(errno));
		return QR_EXIT_FAILED;
	}
	pid = (int)fork();
	if (pid < 0) {
		qr_cli_say("run: cannot start a process: %s", strerror(errno));
		return QR_EXIT_FAILED;
	}
	if (!pid)
		become_program(launch, report[1], &old_mask, &old_child, launcher);
	(void)close(report[1]);
	status = read_exec_error(report[0], pid, launch->program[0]);
	(void)close(report[0]);
	if (status)
		return status;
	let_go_of_pipes();
	stand_by(launch, pid, signal_fd);
	(void)close(signal_fd);
	return 0;
}

/* Returns the signalfd, or -1. */
static int prepare_signals(sigset_t *old_mask, struct sigaction *old_child)
{
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t mask;

	(void)sigemptyset(&mask);
	for (unsigned i = 0; i < QR_ARRAY_SIZE(forwarded); i++)
		(void)sigaddset(&mask, forwarded[i]);
	(void)sigaddset(&mask, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &mask, old_mask);
	/* A parent that ignores its children hands that down, and then nothing could be waited for. */
	(void)sigaction(SIGCHLD, &action, old_child);
	return signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* In the child: never returns. The reason for a failure goes through report_fd as an errno value. */
static void become_program(const struct qr_launch *launch, int report_fd, const sigset_t *mask,
			   const struct sigaction *child_action, int launcher)
{
	int error;

	/* A launcher that is killed takes the program along, as if there were none. */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if ((int)getppid() != launcher)
		_exit(QR_EXIT_FAILED);
	(void)sigaction(SIGCHLD, child_action, NULL);
	(void)sigprocmask(SIG_SETMASK, mask, NULL);
	set_environment(launch, launcher);
	(void)execvp(launch->program[0], launch->program);
	error = errno;
	(void)!write(report_fd, &error, sizeof(error));
	_exit(QR_EXIT_FAILED);
}

/* LD_PRELOAD: our library first, then what was there, without a quire library of an outer `quire run`. */
static void set_environment(const struct qr_launch *launch, int launcher)
{
	const char *old = getenv("LD_PRELOAD");
	size_t size = strlen(launch->preload) + (old ? strlen(old) : 0) + 2;
	char *preload = malloc(size);
	char *copy = strdup(old ? old : "");
	char path[64];
	char *rest;

	if (!preload || !copy)
		_exit(QR_EXIT_FAILED);
	(void)strcpy(preload, launch->preload);
	for (char *entry = strtok_r(copy, " :", &rest); entry; entry = strtok_r(NULL, " :", &rest)) {
		if (!strstr(entry, "libquire-preload.so")) {
			(void)strcat(preload, ":");
			(void)strcat(preload, entry);
		}
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", launcher, launch->domain->fd);
	if (setenv("LD_PRELOAD", preload, 1) || setenv(QR_DOMAIN_ENV, path, 1))
		_exit(QR_EXIT_FAILED);
	free(copy);
	free(preload);
}

/* The pipe closes without a word when the program starts. */
static int read_exec_error(int fd, int pid, const char *name)
{
	int error = 0;
	ssize_t length;

	do {
		length = read(fd, &error, sizeof(error));
	} while (length < 0 && errno == EINTR);
	if (length != sizeof(error))
		return 0;
	(void)waitpid(pid, NULL, 0);
	qr_cli_say("run: %s: %s", name, strerror(error));
	return error == ENOENT ? QR_EXIT_NOT_FOUND : QR_EXIT_NOT_EXECUTABLE;
}

/* Who reads the program's output must see its end when the program closes it, not when the launcher ends. */
static void let_go_of_pipes(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return;
	(void)dup2(null, STDIN_FILENO);
	(void)dup2(null, STDOUT_FILENO);
	if (null > STDERR_FILENO)
		(void)close(null);
}

static void stand_by(struct qr_launch *launch, int pid, int signal_fd)
{
	struct watch watch = {.poll = {{.fd = signal_fd, .events = POLLIN}}, .nr = 1};
	uint64_t next_tick = now_ms() + TICK_MS;
	bool has_ended = false;

	while (!has_ended) {
		uint64_t now = now_ms();
		int nr_ready = poll(watch.poll, watch.nr, next_tick > now ? (int)(next_tick - now) : 0);
		bool is_death = nr_ready > 0 && forget_ended(&watch);

		if (nr_ready > 0 && watch.poll[0].revents)
			has_ended = handle_signal(launch, pid, signal_fd);
		if (has_ended || is_death || now_ms() >= next_tick)
			(void)qr_domain_bury_dead(launch->domain);
		if (has_ended || now_ms() >= next_tick) {
			next_tick = now_ms() + TICK_MS;
			watch_members(&watch, launch->domain);
			if (launch->on_tick)
				launch->on_tick(launch->argument);
		}
	}
	while (watch.nr > 1)
		(void)close(watch.poll[--watch.nr].fd);
}

/* Reads one signal; returns true when the program has ended. */
static bool handle_signal(struct qr_launch *launch, int pid, int signal_fd)
{
	struct signalfd_siginfo info;
	int status;

	if (read(signal_fd, &info, sizeof(info)) != sizeof(info))
		return false;
	if (info.ssi_signo == SIGCHLD) {
		if (waitpid(pid, &status, WNOHANG) != pid)
			return false;
		launch->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
		launch->exit_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		return true;
	}
	/* Sent by a process, and not by the program itself, which would only hear its own echo. */
	if ((info.ssi_code == SI_USER || info.ssi_code == SI_QUEUE || info.ssi_code == SI_TKILL) &&
	    info.ssi_pid != (uint32_t)pid)
		(void)kill(pid, (int)info.ssi_signo);
	/* A shell waits for the launcher to stop before it takes the terminal back. */
	if (info.ssi_signo == SIGTSTP)
		(void)raise(SIGSTOP);
	return false;
}

/* Opens pidfds for members that have none. */
static void watch_members(struct watch *watch, const struct qr_domain *domain)
{
	uint32_t nr_slots = qr_load_acquire(&domain->shared->nr_slots);

	for (uint32_t slot = 0; slot < nr_slots && watch->nr <= MAX_WATCHED; slot++) {
		const struct qr_domain_process *process = &domain->shared->processes[slot];
		int32_t pid = qr_load_relaxed(&process->pid);
		unsigned at = 1;
		int fd;

		while (at < watch->nr && watch->pids[at] != pid)
			at++;
		if (at < watch->nr || pid <= 0 || !qr_domain_is_live(process))
			continue;
		fd = (int)syscall(SYS_pidfd_open, (long)pid, 0L);
		if (fd < 0)
			continue;
		watch->pids[watch->nr] = pid;
		watch->poll[watch->nr++] = (struct pollfd){.fd = fd, .events = POLLIN};
	}
}

/* Closes the pidfds of members that ended; returns true if there were any. */
static bool forget_ended(struct watch *watch)
{
	bool is_any = false;

	for (unsigned i = watch->nr - 1; i >= 1; i--) {
		if (!watch->poll[i].revents)
			continue;
		is_any = true;
		(void)close(watch->poll[i].fd);
		watch->nr--;
		watch->poll[i] = watch->poll[watch->nr];
		watch->pids[i] = watch->pids[watch->nr];
	}
	return is_any;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
