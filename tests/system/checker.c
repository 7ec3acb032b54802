/*
 * Threads read and write pages of one large block at random; every page's content is a function of its number and
 * its version, so any wrong, lost or mixed page is found. Half-way the program forks, more than once: each child
 * checks its snapshot of the whole block, and writes to it, while the parent goes on.
 *
 *   checker [--mib N] [--threads N] [--ops N (per thread)] [--forks N] [--seed N] [--mmap] [--advice] [--seconds N]
 *
 * Operations: check a page, rewrite a page, drop a page (MADV_DONTNEED; with --mmap), send a page through a pipe
 * and read it back into another place by system calls; with --advice also COLD, PAGEOUT and WILLNEED for some pages.
 * With --seconds it goes on so long and forks over and over. On SIGUSR1 the handler checks and rewrites pages of its
 * own, in whichever thread it runs. Prints one line and exits with 0, or 1 on the first fault.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096u
#define WORDS (PAGE / 8)
#define MAX_THREADS 64
/* Pages that the signal handler works on; they follow those of the threads. */
#define SIGNAL_PAGES 64u
#define ADVICE_PAGES 32u

struct checker {
	uint64_t *data;
	uint32_t *version; /* [page]; 0: reads as zero */
	uint64_t nr_pages, nr_ops, seed;
	unsigned nr_threads, nr_forks, nr_forked;
	bool is_mmap, has_advice;
	double end_seconds; /* CLOCK_MONOTONIC; 0: the operations are counted */
	pthread_rwlock_t quiet; /* held for reading during an operation; for writing by whoever forks */
};

struct worker {
	struct checker *checker;
	pthread_t thread;
	unsigned id;
	int pipe[2];
	uint64_t random;
};

static struct checker *signalled; /* what the handler works on */
static atomic_flag is_in_handler = ATOMIC_FLAG_INIT;
static atomic_ulong nr_signals, nr_done;

static double now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

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

/* Content stays what it is. */
static void advise_pages(struct checker *checker, uint64_t page, uint64_t which)
{
	static const int advice[] = {MADV_COLD, MADV_PAGEOUT, MADV_WILLNEED};
	uint64_t nr = checker->nr_pages - page < ADVICE_PAGES ? checker->nr_pages - page : ADVICE_PAGES;

	if (madvise(checker->data + page * WORDS, nr * PAGE, advice[which % 3]))
		fail("madvise");
}

/* One handler at a time, in any thread: it may have interrupted anything but another one. */
static void on_signal(int number)
{
	static uint64_t random = 5;
	int saved_errno = errno;
	uint64_t page;

	(void)number;
	if (atomic_flag_test_and_set(&is_in_handler))
		return;
	page = signalled->nr_pages + next_random(&random) % SIGNAL_PAGES;
	check_page(signalled, page, "in a signal handler");
	write_page(signalled, page);
	atomic_fetch_add(&nr_signals, 1);
	atomic_flag_clear(&is_in_handler);
	errno = saved_errno;
}

/* A fork copies the handler's pages in the middle of its work, maybe: they begin anew. */
static void handle_signals(struct checker *checker)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	for (uint64_t i = 0; i < SIGNAL_PAGES; i++)
		write_page(checker, checker->nr_pages + i);
	signalled = checker;
	atomic_flag_clear(&is_in_handler);
	sigaction(SIGUSR1, &action, NULL);
}

static void block_signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(how, &set, NULL);
}

static bool is_over(const struct checker *checker, uint64_t nr)
{
	return checker->end_seconds > 0 ? now_seconds() >= checker->end_seconds : nr >= checker->nr_ops;
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
	for (uint64_t op = 0; !is_over(checker, op); op++) {
		uint64_t page = own_page(worker), what = next_random(&worker->random) % 100;

		pthread_rwlock_rdlock(&checker->quiet);
		if (what < 55)
			check_page(checker, page, "read");
		else if (what < 95)
			write_page(checker, page);
		else if (what < 97 && checker->is_mmap)
			drop_page(checker, page);
		else if (what < 98 && checker->has_advice)
			advise_pages(checker, page, op);
		else
			pipe_page(worker, page, own_page(worker));
		pthread_rwlock_unlock(&checker->quiet);
		atomic_fetch_add_explicit(&nr_done, 1, memory_order_relaxed);
	}
	close(worker->pipe[0]);
	close(worker->pipe[1]);
	return NULL;
}

/* The snapshot: all of it twice, with writes in between. */
static void child(struct checker *checker)
{
	uint64_t random = checker->seed + 77;

	handle_signals(checker);
	block_signals(SIG_UNBLOCK);
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
	/* The child's handler waits until its pages are there. */
	block_signals(SIG_BLOCK);
	*pid = fork();
	if (*pid == 0)
		child(checker);
	if (*pid < 0)
		fail("fork");
	block_signals(SIG_UNBLOCK);
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
	handle_signals(checker);
	if (checker->end_seconds > 0) {
		printf("checker: filled\n"); /* and ready for signals */
		fflush(stdout);
	}
	for (unsigned i = 0; i < checker->nr_threads; i++) {
		workers[i] = (struct worker){.checker = checker, .id = i, .random = checker->seed * 1000 + i};
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			fail("pthread_create");
	}
	for (unsigned i = 0; checker->end_seconds > 0 ? !is_over(checker, 0) : i < checker->nr_forks; i++) {
		pid_t pid;

		usleep(100000);
		fork_and_check(checker, &pid);
		await_child(pid);
		checker->nr_forked++;
	}
	for (unsigned i = 0; i < checker->nr_threads; i++)
		pthread_join(workers[i].thread, NULL);
	for (uint64_t page = 0; page < checker->nr_pages; page++)
		check_page(checker, page, "at the end");
}

static bool parse(struct checker *checker, uint64_t *mib, int argc, char **argv)
{
	static const struct option options[] = {
		{"mib", 1, NULL, 'm'},    {"threads", 1, NULL, 't'}, {"ops", 1, NULL, 'o'},
		{"forks", 1, NULL, 'f'},  {"seed", 1, NULL, 's'},    {"mmap", 0, NULL, 'M'},
		{"advice", 0, NULL, 'A'}, {"seconds", 1, NULL, 'S'}, {NULL, 0, NULL, 0},
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
		else if (option == 'A')
			checker->has_advice = true;
		else if (option == 'S')
			checker->end_seconds = now_seconds() + (double)value;
		else
			return false;
	}
	return optind == argc && *mib && checker->nr_threads && checker->nr_threads <= MAX_THREADS;
}

int main(int argc, char **argv)
{
	static struct checker checker = {.nr_threads = 8, .nr_ops = 10000, .nr_forks = 1, .seed = 1};
	pthread_rwlockattr_t writer_first;
	uint64_t mib = 128, nr_pages;

	if (!parse(&checker, &mib, argc, argv)) {
		fprintf(stderr,
			"usage: checker [--mib N] [--threads N] [--ops N] [--forks N] [--seed N] [--mmap] [--advice] "
			"[--seconds N]\n");
		return 2;
	}
	checker.nr_pages = (mib << 20) / PAGE / checker.nr_threads * checker.nr_threads;
	/* Else the thread that forks waits for ever on busy readers. */
	pthread_rwlockattr_init(&writer_first);
	pthread_rwlockattr_setkind_np(&writer_first, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&checker.quiet, &writer_first);
	nr_pages = checker.nr_pages + SIGNAL_PAGES;
	checker.version = calloc(nr_pages, sizeof(*checker.version));
	if (checker.is_mmap)
		checker.data = mmap(NULL, nr_pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	else
		checker.data = aligned_alloc(PAGE, nr_pages * PAGE);
	if (!checker.version || !checker.data || checker.data == MAP_FAILED)
		fail("memory");
	run(&checker);
	printf("checker: %llu pages, %u threads, %u forks, seed %llu: all pages right; %lu operations, %lu signals\n",
	       (unsigned long long)checker.nr_pages, checker.nr_threads, checker.nr_forked,
	       (unsigned long long)checker.seed, atomic_load(&nr_done), atomic_load(&nr_signals));
	return 0;
}
