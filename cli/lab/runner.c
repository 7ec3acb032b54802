/* Finds and starts quire-lab-cell. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cli.h"
#include "lab/runner.h"
#include "lab/words.h"

#ifndef QR_LIBEXECDIR
#define QR_LIBEXECDIR "/usr/local/libexec"
#endif
#define RUNNER_NAME "quire-lab-cell"

static bool find_beside(char path[PATH_MAX]);
static bool is_program(const char *candidate, char path[PATH_MAX]);
static void become_child(const struct qr_runner *runner, const char *const *argv, int out_fd, int err_fd, pid_t parent);
static void read_all(int fd, struct qr_lab_text *text);

int qr_runner_find(struct qr_runner *runner)
{
	const char *given = getenv("QUIRE_LAB_CELL");
	bool is_found = given && *given ? is_program(given, runner->path) : find_beside(runner->path);
	int err;

	if (!is_found) {
		qr_cli_say("lab: %s is %s; install quire with its lab, or set QUIRE_LAB_CELL to its path",
			   given && *given ? given : RUNNER_NAME,
			   given && *given ? "no executable file"
					   : "neither beside this binary nor in " QR_LIBEXECDIR "/quire");
		return QR_EXIT_FAILED;
	}
	err = qr_runner_hash_file(runner->path, runner->hash);
	if (err) {
		qr_cli_say("lab: cannot read %s: %s", runner->path, strerror(-err));
		return QR_EXIT_FAILED;
	}
	return 0;
}

static bool find_beside(char path[PATH_MAX])
{
	static const char *const places[] = {"%s/" RUNNER_NAME, "%s/ports/sim/" RUNNER_NAME,
					     "%s/../libexec/quire/" RUNNER_NAME, "%s/../libexec/" RUNNER_NAME};
	char folder[PATH_MAX - 64], candidate[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", folder, sizeof(folder) - 1);

	folder[length > 0 ? length : 0] = '\0';
	if (strrchr(folder, '/'))
		*strrchr(folder, '/') = '\0';
	for (unsigned i = 0; i < QR_ARRAY_SIZE(places); i++) {
		(void)snprintf(candidate, sizeof(candidate), places[i], folder);
		if (is_program(candidate, path))
			return true;
	}
	return is_program(QR_LIBEXECDIR "/quire/" RUNNER_NAME, path) || is_program(QR_LIBEXECDIR "/" RUNNER_NAME, path);
}

static bool is_program(const char *candidate, char path[PATH_MAX])
{
	struct stat status;

	return realpath(candidate, path) && !stat(path, &status) && S_ISREG(status.st_mode) && !access(path, X_OK);
}

int qr_runner_hash_file(const char *path, char hash[33])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;
	void *bytes = NULL;
	XXH128_hash_t sum;

	if (fd < 0 || fstat(fd, &status)) {
		int err = -errno;

		if (fd >= 0)
			(void)close(fd);
		return err;
	}
	if (status.st_size)
		bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	(void)close(fd);
	if (bytes == MAP_FAILED)
		return -errno;
	sum = XXH3_128bits(bytes, (size_t)status.st_size);
	if (bytes)
		(void)munmap(bytes, (size_t)status.st_size);
	(void)snprintf(hash, 33, "%016llx%016llx", (unsigned long long)sum.high64, (unsigned long long)sum.low64);
	return 0;
}

json_t *qr_runner_ask(const struct qr_runner *runner, const char *const *argv)
{
	struct qr_lab_text out = {0}, err = {0};
	int out_fd, err_fd, status = 0;
	pid_t pid = qr_runner_start(runner, argv, &out_fd, &err_fd);
	json_error_t error;
	json_t *answer;

	if (pid < 0) {
		qr_cli_say("lab: cannot start %s: %s", runner->path, strerror((int)-pid));
		return NULL;
	}
	/* Its errors are a few lines, which fit in their pipe, until its output has been read. */
	read_all(out_fd, &out);
	read_all(err_fd, &err);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	answer = out.text && !status ? json_loads(out.text, 0, &error) : NULL;
	if (status)
		qr_cli_say("lab: %s %s failed%s%s", runner->path, argv[1], err.length ? ": " : "",
			   err.length ? err.text : "");
	else if (!answer)
		qr_cli_say("lab: %s %s prints no JSON: %s", runner->path, argv[1],
			   out.text ? error.text : "nothing at all");
	free(out.text);
	free(err.text);
	return answer;
}

static void read_all(int fd, struct qr_lab_text *text)
{
	char buffer[4096];
	ssize_t nr;

	while ((nr = read(fd, buffer, sizeof(buffer))) > 0 || (nr < 0 && errno == EINTR)) {
		if (nr > 0)
			qr_lab_text_add_bytes(text, buffer, (size_t)nr);
	}
	(void)close(fd);
	while (text->length && text->text[text->length - 1] == '\n')
		text->text[--text->length] = '\0';
}

pid_t qr_runner_start(const struct qr_runner *runner, const char *const *argv, int *out_fd, int *err_fd)
{
	pid_t parent = getpid(), pid;
	int out[2], err[2];

	if (pipe2(out, O_CLOEXEC))
		return -errno;
	if (pipe2(err, O_CLOEXEC)) {
		pid = -errno;
		(void)close(out[0]);
		(void)close(out[1]);
		return pid;
	}
	pid = fork();
	if (!pid)
		become_child(runner, argv, out[1], err[1], parent);
	if (pid < 0)
		pid = -errno;
	(void)close(out[1]);
	(void)close(err[1]);
	if (pid < 0) {
		(void)close(out[0]);
		(void)close(err[0]);
		return pid;
	}
	*out_fd = out[0];
	*err_fd = err[0];
	return pid;
}

/* Never returns; that it could not be executed goes to its errors. */
static void become_child(const struct qr_runner *runner, const char *const *argv, int out_fd, int err_fd, pid_t parent)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(QR_EXIT_FAILED);
	if (null >= 0)
		(void)dup2(null, STDIN_FILENO);
	(void)dup2(out_fd, STDOUT_FILENO);
	(void)dup2(err_fd, STDERR_FILENO);
	(void)qr_runner_become(runner, argv);
	_exit(QR_EXIT_FAILED);
}

int qr_runner_become(const struct qr_runner *runner, const char *const *argv)
{
	/* execv(3) does not change the words; its type is older than const. */
	(void)execv(runner->path, (char *const *)(uintptr_t)argv);
	qr_cli_say("lab: cannot execute %s: %s", runner->path, strerror(errno));
	return QR_EXIT_FAILED;
}
