/*
 * Runs a command and samples, every 50 ms, how much RAM its process tree holds: the sum of the proportional set
 * sizes (smaps_rollup), so that pages shared between processes count once.
 *
 *   sample_rss [--timeout SECONDS] [--series FILE] --out FILE -- COMMAND ARGS...
 *
 * The exit status is the command's (128 + signal when it was killed, 124 after a timeout, when the whole tree is
 * killed). FILE receives "max_kib samples milliseconds"; the series "ms kib" of each sample.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL_MS 50
#define MAX_PIDS 4096

struct sampler {
	const char *out, *series;
	long timeout_ms;
	uint64_t max_kib, nr_samples;
	FILE *series_file;
	pid_t pids[MAX_PIDS];
	size_t nr_pids;
};

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static pid_t parent_of(pid_t pid)
{
	char path[64], line[512];
	int parent = -1;
	FILE *file;
	char *after;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	if (!file)
		return -1;
	/* The command may hold blanks and parentheses: the fields go on behind the last one. */
	if (fgets(line, sizeof(line), file) && (after = strrchr(line, ')')))
		sscanf(after + 1, " %*c %d", &parent);
	fclose(file);
	return parent;
}

/* Adds the descendants of the processes found so far until a pass finds no more. */
static void find_tree(struct sampler *sampler, pid_t root)
{
	static pid_t all[MAX_PIDS * 4], parent[MAX_PIDS * 4];
	size_t nr = 0;
	struct dirent *entry;
	DIR *proc = opendir("/proc");

	while (proc && (entry = readdir(proc)) && nr < MAX_PIDS * 4) {
		all[nr] = (pid_t)atoi(entry->d_name);
		if (all[nr] > 0 && all[nr] != getpid() && (parent[nr] = parent_of(all[nr])) > 0)
			nr++;
	}
	if (proc)
		closedir(proc);
	sampler->nr_pids = 0;
	/* Orphans come to this process, which is a subreaper: all its descendants are the tree. */
	for (size_t i = 0; i < nr && sampler->nr_pids < MAX_PIDS; i++) {
		if (all[i] == root || parent[i] == getpid())
			sampler->pids[sampler->nr_pids++] = all[i];
	}
	for (size_t done = 0; done < sampler->nr_pids; done++) {
		for (size_t i = 0; i < nr && sampler->nr_pids < MAX_PIDS; i++) {
			if (parent[i] == sampler->pids[done])
				sampler->pids[sampler->nr_pids++] = all[i];
		}
	}
}

static uint64_t pss_kib(pid_t pid)
{
	char path[64], line[256];
	unsigned long long kib = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	file = fopen(path, "r");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "Pss: %llu", &kib) == 1)
			break;
	}
	fclose(file);
	return kib;
}

static uint64_t tree_kib(struct sampler *sampler, pid_t root)
{
	uint64_t sum_kib = 0;

	find_tree(sampler, root);
	for (size_t i = 0; i < sampler->nr_pids; i++)
		sum_kib += pss_kib(sampler->pids[i]);
	return sum_kib;
}

/* Processes are read one after the other: what one gives back and another takes in between counts twice. So a new
 * maximum counts as far as a second look confirms it. */
static void sample(struct sampler *sampler, pid_t root, long elapsed_ms)
{
	uint64_t sum_kib = tree_kib(sampler, root);

	if (sum_kib > sampler->max_kib) {
		uint64_t again_kib = tree_kib(sampler, root);

		sum_kib = again_kib < sum_kib ? again_kib : sum_kib;
	}
	if (sum_kib > sampler->max_kib)
		sampler->max_kib = sum_kib;
	sampler->nr_samples++;
	if (sampler->series_file)
		fprintf(sampler->series_file, "%ld %llu\n", elapsed_ms, (unsigned long long)sum_kib);
}

/* Waits without reaping the root's status from under us: orphans are reaped by and by. */
static bool has_ended(pid_t root, int *status)
{
	pid_t pid;
	int any;

	while ((pid = waitpid(-1, &any, WNOHANG)) > 0) {
		if (pid == root) {
			*status = any;
			return true;
		}
	}
	return pid < 0 && errno == ECHILD;
}

static int watch(struct sampler *sampler, pid_t root)
{
	long started = now_ms(), next = started;
	bool is_late = false;
	int status = 0;

	while (!has_ended(root, &status)) {
		struct timespec pause = {0, 2000000};

		if (now_ms() >= next) {
			sample(sampler, root, now_ms() - started);
			next = now_ms() + INTERVAL_MS;
		}
		if (sampler->timeout_ms && !is_late && now_ms() - started > sampler->timeout_ms) {
			is_late = true;
			find_tree(sampler, root);
			for (size_t i = 0; i < sampler->nr_pids; i++)
				kill(sampler->pids[i], SIGKILL);
		}
		nanosleep(&pause, NULL);
	}
	if (sampler->out) {
		FILE *file = fopen(sampler->out, "w");

		if (file) {
			fprintf(file, "%llu %llu %ld\n", (unsigned long long)sampler->max_kib,
				(unsigned long long)sampler->nr_samples, now_ms() - started);
			fclose(file);
		}
	}
	if (is_late)
		return 124;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int usage(void)
{
	fprintf(stderr, "usage: sample_rss [--timeout SECONDS] [--series FILE] --out FILE -- COMMAND ARGS...\n");
	return 2;
}

int main(int argc, char **argv)
{
	static struct sampler sampler;
	int at = 1;
	pid_t root;

	for (; at < argc && strcmp(argv[at], "--"); at += 2) {
		if (at + 1 >= argc)
			return usage();
		if (!strcmp(argv[at], "--timeout"))
			sampler.timeout_ms = atol(argv[at + 1]) * 1000;
		else if (!strcmp(argv[at], "--series"))
			sampler.series = argv[at + 1];
		else if (!strcmp(argv[at], "--out"))
			sampler.out = argv[at + 1];
		else
			return usage();
	}
	if (++at >= argc)
		return usage();
	if (sampler.series)
		sampler.series_file = fopen(sampler.series, "w");
	if (sampler.series_file)
		setlinebuf(sampler.series_file); /* somebody may be watching */
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	root = fork();
	if (root < 0)
		return 2;
	if (root == 0) {
		execvp(argv[at], argv + at);
		fprintf(stderr, "sample_rss: %s: %s\n", argv[at], strerror(errno));
		_exit(127);
	}
	at = watch(&sampler, root);
	if (sampler.series_file)
		fclose(sampler.series_file);
	return at;
}
