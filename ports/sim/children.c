/* Child processes of the validation. */
#include "children.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_OUTPUT (64u << 10)
#define LIMIT_SECONDS 60u
#define MAX_PATH_LEN 4096u

static bool read_all(int fd, char *text, size_t size);
static bool wait_for(pid_t child);

/* Programs of the same build lie side by side. */
static void program_path(const char *name, char path[MAX_PATH_LEN])
{
	ssize_t len = readlink("/proc/self/exe", path, MAX_PATH_LEN - 64);
	char *slash;

	path[len > 0 ? len : 0] = 0;
	slash = strrchr(path, '/');
	snprintf(slash ? slash + 1 : path, 64, "%s", name);
}

char *qr_child_output(const char *const *words)
{
	char path[MAX_PATH_LEN];
	char *text = calloc(1, MAX_OUTPUT);
	int pipes[2];
	pid_t child;

	program_path(words[0], path);
	if (!text || pipe(pipes)) {
		free(text);
		return NULL;
	}
	fflush(NULL);
	child = fork();
	if (!child) {
		alarm(LIMIT_SECONDS);
		dup2(pipes[1], STDOUT_FILENO);
		close(pipes[0]);
		close(pipes[1]);
		execv(path, (char *const *)(uintptr_t)words);
		fprintf(stderr, "quire-lab-cell: %s: %s\n", path, strerror(errno));
		_Exit(127);
	}
	close(pipes[1]);
	if (child < 0 || !read_all(pipes[0], text, MAX_OUTPUT) || !wait_for(child)) {
		free(text);
		text = NULL;
	}
	close(pipes[0]);
	return text;
}

double qr_child_cell(const struct qr_cell *cell)
{
	double time = 0;
	int pipes[2];
	pid_t child;

	if (pipe(pipes))
		return 0;
	fflush(NULL);
	child = fork();
	if (!child) {
		struct qr_result result;

		alarm(LIMIT_SECONDS);
		qr_run_cell(cell, &result);
		time = result.ops ? (double)result.virtual_ns * cell->nr_cpus / (double)result.ops : 0;
		_Exit(write(pipes[1], &time, sizeof(time)) != sizeof(time));
	}
	close(pipes[1]);
	if (child < 0 || read(pipes[0], &time, sizeof(time)) != sizeof(time))
		time = 0;
	close(pipes[0]);
	return child > 0 && wait_for(child) ? time : 0;
}

static bool read_all(int fd, char *text, size_t size)
{
	size_t len = 0;

	while (len < size - 1) {
		ssize_t got = read(fd, text + len, size - 1 - len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got == 0;
		len += (size_t)got;
	}
	return false;
}

static bool wait_for(pid_t child)
{
	int status;

	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return false;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
