/*
 * Fills memory, protects most of it, and sees that every byte stays and every access that is forbidden traps, while
 * the memory does not fit. Chunks take turns in what they are:
 *
 *   CLOSED   may be read, for the whole run; read by all threads, and written, in vain, by one
 *   TURNING  may be read; now and then writable for a moment, in which one thread writes
 *   HIDDEN   no rights; now and then readable for a moment, in which one thread reads
 *   BARRED   no rights, for the whole run; read and written, in vain, by one thread
 *
 * A child that is forked in the middle finds all of it, and makes all of it writable in the end, as its parent does.
 *
 *   protect MIB ROUNDS    0 rounds: a part is CLOSED and shared with a child, and has to go out when memory is short
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096u
#define WORDS (PAGE / sizeof(uint64_t))
#define CHUNK_PAGES 24u /* not a power of two: chunks cut across folios */
#define NR_READERS 4u
#define SHARED_PART 16u /* one in so many chunks is shared with a child */

enum kind { CLOSED, TURNING, HIDDEN, BARRED, NR_KINDS };

struct state {
	uint64_t *data;
	_Atomic uint32_t *version; /* [page] of TURNING chunks: the last that is complete; one writer */
	uint64_t nr_chunks;
	unsigned nr_rounds;
	atomic_bool is_over;
	atomic_ulong nr_reads, nr_traps, nr_turns;
};

static struct state state;
static __thread sigjmp_buf on_trap;
static __thread volatile sig_atomic_t is_trapping;

static void fail(const char *what, uint64_t page, uint64_t detail)
{
	printf("protect: %s, page %llu, %llx (pid %d)\n", what, (unsigned long long)page, (unsigned long long)detail,
	       (int)getpid());
	fflush(stdout);
	_exit(1);
}

static uint64_t next_random(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return *random;
}

/* Half of the words of a page compress well. */
static uint64_t word_of(uint64_t page, uint64_t version, unsigned i)
{
	uint64_t mix = (page + 1) * UINT64_C(0x9e3779b97f4a7c15) + version * UINT64_C(0xc2b2ae3d27d4eb4f);

	return i % 2 ? mix : (mix ^ (i * UINT64_C(0x165667b19e3779f9))) * UINT64_C(0xff51afd7ed558ccd);
}

static enum kind kind_of(uint64_t chunk)
{
	static const enum kind kinds[] = {CLOSED, TURNING, CLOSED, HIDDEN, CLOSED, BARRED, CLOSED, TURNING};

	return kinds[chunk % 8];
}

static void write_page(uint64_t page, uint32_t version)
{
	volatile uint64_t *words = state.data + page * WORDS;

	for (unsigned i = 0; i < WORDS; i++)
		words[i] = word_of(page, version, i);
}

/* What is read while a page is written may be of the version before or after. */
static void check_page(uint64_t page, const char *where)
{
	const volatile uint64_t *words = state.data + page * WORDS;
	uint32_t first = atomic_load(&state.version[page]);
	uint64_t seen[WORDS];
	uint32_t last;

	for (unsigned i = 0; i < WORDS; i++)
		seen[i] = words[i];
	last = atomic_load(&state.version[page]) + 1;
	for (unsigned i = 0; i < WORDS; i++) {
		uint32_t version = first;

		while (version <= last && seen[i] != word_of(page, version, i))
			version++;
		if (version > last)
			fail(where, page, seen[i]);
	}
	atomic_fetch_add_explicit(&state.nr_reads, 1, memory_order_relaxed);
}

static void check_chunk(uint64_t chunk, const char *where)
{
	for (uint64_t page = chunk * CHUNK_PAGES; page < (chunk + 1) * CHUNK_PAGES; page++)
		check_page(page, where);
}

static void protect(uint64_t chunk, uint64_t nr, int prot)
{
	if (mprotect(state.data + chunk * CHUNK_PAGES * WORDS, (size_t)nr * CHUNK_PAGES * PAGE, prot))
		fail("mprotect", chunk * CHUNK_PAGES, (uint64_t)errno);
}

static uint64_t random_chunk(uint64_t *random, enum kind kind)
{
	for (;;) {
		uint64_t chunk = next_random(random) % state.nr_chunks;

		if (kind_of(chunk) == kind)
			return chunk;
	}
}

static void *read_all(void *argument)
{
	uint64_t random = (uintptr_t)argument * 77 + 1;

	while (!atomic_load(&state.is_over)) {
		uint64_t chunk = random_chunk(&random, next_random(&random) % 3 ? CLOSED : TURNING);

		check_page(chunk * CHUNK_PAGES + next_random(&random) % CHUNK_PAGES, "read");
	}
	return NULL;
}

static void *turn(void *argument)
{
	uint64_t random = (uintptr_t)argument * 99 + 5;

	while (!atomic_load(&state.is_over)) {
		bool is_turning = next_random(&random) % 4;
		uint64_t chunk = random_chunk(&random, is_turning ? TURNING : HIDDEN);
		uint64_t page = chunk * CHUNK_PAGES;

		protect(chunk, 1, is_turning ? PROT_READ | PROT_WRITE : PROT_READ);
		for (unsigned i = 0; i < 3; i++) {
			uint64_t at = page + next_random(&random) % CHUNK_PAGES;
			uint32_t version = atomic_load(&state.version[at]) + 1;

			check_page(at, is_turning ? "writable" : "no longer hidden");
			if (!is_turning)
				continue;
			write_page(at, version);
			atomic_store(&state.version[at], version);
		}
		protect(chunk, 1, is_turning ? PROT_READ : PROT_NONE);
		atomic_fetch_add(&state.nr_turns, 1);
	}
	return NULL;
}

static void on_segv(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	if (!is_trapping)
		fail("a segmentation fault that should not be", ((uint64_t *)info->si_addr - state.data) / WORDS, 0);
	is_trapping = 0;
	siglongjmp(on_trap, 1);
}

/* The access must trap. */
static void try_access(uint64_t page, bool is_write)
{
	volatile uint64_t *word = state.data + page * WORDS + page % WORDS;

	if (!sigsetjmp(on_trap, 1)) {
		is_trapping = 1;
		if (is_write)
			*word = 0;
		else
			(void)*word;
		fail(is_write ? "a write went through" : "a read went through", page, 0);
	}
	atomic_fetch_add(&state.nr_traps, 1);
}

/* The kernel must refuse to make it. */
static void try_call(uint64_t page, bool is_write, int zeros, const int *pipe_ends)
{
	uint64_t *words = state.data + page * WORDS;
	ssize_t n = is_write ? read(zeros, words, PAGE) : write(pipe_ends[1], words, PAGE);

	if (n != -1 || errno != EFAULT)
		fail(is_write ? "the kernel wrote" : "the kernel read", page, (uint64_t)n);
}

/* All pages in turn, since a page that is on its way out is not one that was touched just now. */
static void *trap(void *argument)
{
	uint64_t random = (uintptr_t)argument * 55 + 3;
	int zeros = open("/dev/zero", O_RDONLY), pipe_ends[2];

	if (zeros < 0 || pipe(pipe_ends))
		fail("pipe", 0, (uint64_t)errno);
	while (!atomic_load(&state.is_over)) {
		bool is_closed = next_random(&random) % 4;
		uint64_t chunk = random_chunk(&random, is_closed ? CLOSED : BARRED);

		for (uint64_t page = chunk * CHUNK_PAGES; page < (chunk + 1) * CHUNK_PAGES; page++)
			try_access(page, is_closed || page % 2);
		try_call(chunk * CHUNK_PAGES + next_random(&random) % CHUNK_PAGES, is_closed, zeros, pipe_ends);
	}
	close(zeros);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
	return NULL;
}

/* All of it, then all of it writable, and written. */
static void check_everything(const char *where)
{
	for (uint64_t chunk = 0; chunk < state.nr_chunks; chunk++) {
		if (state.nr_rounds && (kind_of(chunk) == HIDDEN || kind_of(chunk) == BARRED))
			protect(chunk, 1, PROT_READ);
		check_chunk(chunk, where);
	}
	protect(0, state.nr_chunks, PROT_READ | PROT_WRITE);
	for (uint64_t page = 0; page < state.nr_chunks * CHUNK_PAGES; page++) {
		check_page(page, where);
		atomic_fetch_add(&state.version[page], 1);
		write_page(page, state.version[page]);
	}
	for (uint64_t chunk = 0; chunk < state.nr_chunks; chunk++)
		check_chunk(chunk, where);
}

/* Memory that was executable for a time is as new when it is mapped again. */
static void check_executable(void)
{
	size_t len = (size_t)64 * PAGE;
	char *area = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(area, 'x', len);
	if (mprotect(area, len, PROT_READ | PROT_WRITE | PROT_EXEC))
		fail("mprotect", 0, (uint64_t)errno);
	memset(area, 'y', len);
	if (munmap(area, len) ||
	    mmap(area, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != area)
		fail("mmap", 0, (uint64_t)errno);
	for (size_t i = 0; i < len; i++) {
		if (area[i])
			fail("old content after mmap", i / PAGE, (uint64_t)area[i]);
	}
	munmap(area, len);
}

static void protect_all(void)
{
	static const int prots[NR_KINDS] = {PROT_READ, PROT_READ, PROT_NONE, PROT_NONE};

	protect(0, state.nr_chunks, PROT_READ);
	for (uint64_t chunk = 0; chunk < state.nr_chunks; chunk++)
		protect(chunk, 1, prots[kind_of(chunk)]);
}

/* The version of a page that is being written is not that of its content: all is quiet when this is called. */
static void fork_and_check(void)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		fail("fork", 0, (uint64_t)errno);
	if (pid == 0) {
		check_everything("a child");
		_exit(0);
	}
	/* The pages that are shared have to go out here as well. */
	for (uint64_t chunk = 0; chunk < state.nr_chunks; chunk++) {
		if (kind_of(chunk) == CLOSED || kind_of(chunk) == TURNING)
			check_chunk(chunk, "beside a child");
	}
	if (waitpid(pid, &status, 0) != pid || status)
		fail("a child ended badly", 0, (uint64_t)status);
}

/* Pages of the first chunks that are in RAM and that another process has as well; proc_pid_pagemap(5). */
static uint64_t count_shared(uint64_t nr_chunks)
{
	uint64_t first = (uint64_t)(uintptr_t)state.data / PAGE, nr_shared = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY);

	for (uint64_t page = 0; page < nr_chunks * CHUNK_PAGES; page++) {
		uint64_t entry = 0;

		if (pread(fd, &entry, sizeof(entry), (off_t)((first + page) * sizeof(entry))) != sizeof(entry))
			fail("pagemap", page, (uint64_t)errno);
		nr_shared += entry >> 63 && !(entry >> 56 & 1);
	}
	close(fd);
	return nr_shared;
}

/* The child keeps its pages until the parent has written so much that its own had to go. */
static void share_and_write(void)
{
	uint64_t nr_closed = state.nr_chunks / SHARED_PART, nr_shared, nr_left;
	int hold[2], status;
	char byte;
	pid_t pid;

	for (uint64_t page = 0; page < nr_closed * CHUNK_PAGES; page++)
		write_page(page, 0);
	protect(0, nr_closed, PROT_READ);
	if (pipe(hold))
		fail("pipe", 0, (uint64_t)errno);
	pid = fork();
	if (pid < 0)
		fail("fork", 0, (uint64_t)errno);
	if (pid == 0) {
		close(hold[1]);
		(void)!read(hold[0], &byte, 1); /* until the parent closes it */
		for (uint64_t chunk = 0; chunk < nr_closed; chunk++)
			check_chunk(chunk, "a child");
		_exit(0);
	}
	nr_shared = count_shared(nr_closed);
	for (uint64_t page = nr_closed * CHUNK_PAGES; page < state.nr_chunks * CHUNK_PAGES; page++)
		write_page(page, 0);
	nr_left = count_shared(nr_closed);
	printf("protect: %llu pages shared, %llu in the end\n", (unsigned long long)nr_shared,
	       (unsigned long long)nr_left);
	if (nr_shared < nr_closed * CHUNK_PAGES / 2 || nr_left > nr_shared / 2)
		fail("pages stay shared", nr_shared, nr_left);
	close(hold[0]);
	close(hold[1]);
	if (waitpid(pid, &status, 0) != pid || status)
		fail("a child ended badly", 0, (uint64_t)status);
	check_everything("at the end");
}

static void run_threads(unsigned round)
{
	pthread_t threads[NR_READERS + 2];
	unsigned nr = 0;

	atomic_store(&state.is_over, false);
	for (; nr < NR_READERS; nr++)
		pthread_create(&threads[nr], NULL, read_all, (void *)(uintptr_t)(round * 10 + nr + 1));
	pthread_create(&threads[nr++], NULL, turn, (void *)(uintptr_t)(round + 1));
	pthread_create(&threads[nr++], NULL, trap, (void *)(uintptr_t)(round + 1));
	sleep(2);
	atomic_store(&state.is_over, true);
	while (nr)
		pthread_join(threads[--nr], NULL);
}

static void turn_and_fork(void)
{
	for (uint64_t page = 0; page < state.nr_chunks * CHUNK_PAGES; page++)
		write_page(page, 0);
	check_executable();
	protect_all();
	for (unsigned round = 0; round < state.nr_rounds; round++) {
		run_threads(round);
		if (round == 0)
			fork_and_check();
	}
	check_everything("at the end");
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO};
	uint64_t mib = argc > 1 ? strtoull(argv[1], NULL, 10) : 96, nr_pages;

	state.nr_rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 2;
	state.nr_chunks = (mib << 20) / PAGE / CHUNK_PAGES;
	nr_pages = state.nr_chunks * CHUNK_PAGES;
	state.version = calloc(nr_pages, sizeof(*state.version));
	state.data = mmap(NULL, nr_pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!state.version || state.data == MAP_FAILED)
		fail("mmap", 0, (uint64_t)errno);
	sigaction(SIGSEGV, &action, NULL);
	if (state.nr_rounds)
		turn_and_fork();
	else
		share_and_write();
	printf("protect: all right; %llu pages, %lu reads, %lu traps, %lu turns\n", (unsigned long long)nr_pages,
	       atomic_load(&state.nr_reads), atomic_load(&state.nr_traps), atomic_load(&state.nr_turns));
	return 0;
}
