/*
 * Threads read and write pages of one large block at random; every page's content is a function of its number and
 * its version, so any wrong, lost or mixed page is found. Half-way the program forks, more than once: each child
 * checks its snapshot of the whole block, and writes to it, while the parent goes on.
 *
 *   checker [--mib N] [--threads N] [--ops N (per thread)] [--forks N] [--seed N] [--mmap]
 *
 * Operations: check a page, rewrite a page, drop a page (MADV_DONTNEED; with --mmap), send a page through a pipe
 * and read it back into another place by system calls. Prints one line and exits with 0, or 1 on the first fault.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096u
#define WORDS (PAGE / 8)
#define MAX_THREADS 64

struct checker {
	uint64_t *data;
	uint32_t *version; /* [page]; 0: reads as zero */
	uint64_t nr_pages, nr_ops, seed;
	unsigned nr_threads, nr_forks;
	bool is_mmap;
	pthread_rwlock_t quiet; /* held for reading during an operation; for writing by whoever forks */
};

struct worker {
	struct checker *checker;
	pthread_t thread;
	unsigned id;
	int pipe[2];
	uint64_t random;
};

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* The kind of content depends on the page: constant, half random, all random. */
static uint64_t word_of(uint64_t page, uint32_t version, unsigned i)
{
	uint64_t base = page * 0x100000001b3u + version;
	unsigned kind = (unsigned)(page % 4);

	if (version == 0)
		return 0;
	if (i == 0)
		return base;
	if (kind == 0 || (kind < 3 && i >= WORDS / 2))
		return page ^ version;
	return (base + i) * 0xd6e8feb86659fd93u ^ (base >> 7);
}

static void write_page(struct checker *checker, uint64_t page)
{
	uint64_t *at = checker->data + page * WORDS;
	uint32_t version = ++checker->version[page];

	for (unsigned i = 0; i < WORDS; i++)
		at[i] = word_of(page, version, i);
}

static void check_words(const uint64_t *at, uint64_t page, uint32_t version, const char *where)
{
	for (unsigned i = 0; i < WORDS; i++) {
		if (at[i] == word_of(page, version, i))
			continue;
		printf("checker: %s: page %llu version %u word %u is %016llx, not %016llx (pid %d)\n", where,
		       (unsigned long long)page, version, i, (unsigned long long)at[i],
		       (unsigned long long)word_of(page, version, i), (int)getpid());
		fflush(stdout);
		_exit(1);
	}
}

static void check_page(struct checker *checker, uint64_t page, const char *where)
{
	check_words(checker->data + page * WORDS, page, checker->version[page], where);
}

static void fail(const char *what)
{
	printf("checker: %s: %s\n", what, strerror(errno));
	fflush(stdout);
	_exit(1);
}

/* The kernel reads the page, and writes into a page that may not be in RAM either. */
static void pipe_page(struct worker *worker, uint64_t from, uint64_t to)
{
	struct checker *checker = worker->checker;
	uint64_t *target = checker->data + to * WORDS;

	if (write(worker->pipe[1], checker->data + from * WORDS, PAGE) != PAGE)
		fail("write from managed memory");
	for (size_t got = 0; got < PAGE;) {
		ssize_t n = read(worker->pipe[0], (char *)target + got, PAGE - got);

		if (n <= 0)
			fail("read into managed memory");
		got += (size_t)n;
	}
	check_words(target, from, checker->version[from], "through a pipe");
	write_page(checker, to);
}

static void drop_page(struct checker *checker, uint64_t page)
{
	if (madvise(checker->data + page * WORDS, PAGE, MADV_DONTNEED))
		fail("madvise");
	checker->version[page] = 0;
}

/* Each thread owns the pages that are its id modulo the number of threads. */
static uint64_t own_page(struct worker *worker)
{
	struct checker *checker = worker->checker;
	uint64_t own = checker->nr_pages / checker->nr_threads;

	return next_random(&worker->random) % own * checker->nr_threads + worker->id;
}

static void *work(void *argument)
{
	struct worker *worker = argument;
	struct checker *checker = worker->checker;

	if (pipe(worker->pipe))
		fail("pipe");
	for (uint64_t op = 0; op < checker->nr_ops; op++) {
		uint64_t page = own_page(worker), what = next_random(&worker->random) % 100;

		pthread_rwlock_rdlock(&checker->quiet);
		if (what < 55)
			check_page(checker, page, "read");
		else if (what < 95)
			write_page(checker, page);
		else if (what < 97 && checker->is_mmap)
			drop_page(checker, page);
		else
			pipe_page(worker, page, own_page(worker));
		pthread_rwlock_unlock(&checker->quiet);
	}
	close(worker->pipe[0]);
	close(worker->pipe[1]);
	return NULL;
}

/* The snapshot: all of it twice, with writes in between. */
static void child(struct checker *checker)
{
	uint64_t random = checker->seed + 77;

	for (uint64_t page = 0; page < checker->nr_pages; page++)
		check_page(checker, page, "snapshot of a child");
	for (uint64_t i = 0; i < checker->nr_pages / 8; i++)
		write_page(checker, next_random(&random) % checker->nr_pages);
	for (uint64_t page = 0; page < checker->nr_pages; page++)
		check_page(checker, page, "own pages of a child");
	_exit(0);
}

static void fork_and_check(struct checker *checker, pid_t *pid)
{
	pthread_rwlock_wrlock(&checker->quiet);
	*pid = fork();
	if (*pid == 0)
		child(checker);
	if (*pid < 0)
		fail("fork");
	pthread_rwlock_unlock(&checker->quiet);
}

static void await_child(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		fail("waitpid");
	if (status) {
		printf("checker: a child ended with status 0x%x\n", (unsigned)status);
		_exit(1);
	}
}

static void run(struct checker *checker)
{
	static struct worker workers[MAX_THREADS];

	for (uint64_t page = 0; page < checker->nr_pages; page++)
		write_page(checker, page);
	for (unsigned i = 0; i < checker->nr_threads; i++) {
		workers[i] = (struct worker){.checker = checker, .id = i, .random = checker->seed * 1000 + i};
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			fail("pthread_create");
	}
	for (unsigned i = 0; i < checker->nr_forks; i++) {
		pid_t pid;

		usleep(100000);
		fork_and_check(checker, &pid);
		await_child(pid);
	}
	for (unsigned i = 0; i < checker->nr_threads; i++)
		pthread_join(workers[i].thread, NULL);
	for (uint64_t page = 0; page < checker->nr_pages; page++)
		check_page(checker, page, "at the end");
}

static bool parse(struct checker *checker, uint64_t *mib, int argc, char **argv)
{
	static const struct option options[] = {
		{"mib", 1, NULL, 'm'},  {"threads", 1, NULL, 't'}, {"ops", 1, NULL, 'o'}, {"forks", 1, NULL, 'f'},
		{"seed", 1, NULL, 's'}, {"mmap", 0, NULL, 'M'},    {NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		uint64_t value = optarg ? strtoull(optarg, NULL, 10) : 0;

		if (option == 'm')
			*mib = value;
		else if (option == 't')
			checker->nr_threads = (unsigned)value;
		else if (option == 'o')
			checker->nr_ops = value;
		else if (option == 'f')
			checker->nr_forks = (unsigned)value;
		else if (option == 's')
			checker->seed = value;
		else if (option == 'M')
			checker->is_mmap = true;
		else
			return false;
	}
	return optind == argc && *mib && checker->nr_threads && checker->nr_threads <= MAX_THREADS;
}

int main(int argc, char **argv)
{
	static struct checker checker = {.nr_threads = 8, .nr_ops = 10000, .nr_forks = 1, .seed = 1};
	pthread_rwlockattr_t writer_first;
	uint64_t mib = 128;

	if (!parse(&checker, &mib, argc, argv)) {
		fprintf(stderr, "usage: checker [--mib N] [--threads N] [--ops N] [--forks N] [--seed N] [--mmap]\n");
		return 2;
	}
	checker.nr_pages = (mib << 20) / PAGE / checker.nr_threads * checker.nr_threads;
	/* Else the thread that forks waits for ever on busy readers. */
	pthread_rwlockattr_init(&writer_first);
	pthread_rwlockattr_setkind_np(&writer_first, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&checker.quiet, &writer_first);
	checker.version = calloc(checker.nr_pages, sizeof(*checker.version));
	if (checker.is_mmap)
		checker.data =
			mmap(NULL, checker.nr_pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	else
		checker.data = aligned_alloc(PAGE, checker.nr_pages * PAGE);
	if (!checker.version || !checker.data || checker.data == MAP_FAILED)
		fail("memory");
	run(&checker);
	printf("checker: %llu pages, %u threads, %u forks, seed %llu: all pages right\n",
	       (unsigned long long)checker.nr_pages, checker.nr_threads, checker.nr_forks,
	       (unsigned long long)checker.seed);
	return 0;
}
