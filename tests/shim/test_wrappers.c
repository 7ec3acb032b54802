/*
 * The wrappers of mmap and its relatives, brk, fork handlers and descriptors, against a stand-in for the manager:
 * what goes to whom, how ranges are split, and the errors of the manual pages.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/tap.h"
#include "heap.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define PAGE 4096ul
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)

/* The shim's, which no header declares. */
extern int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *dso);
extern void __cxa_finalize(void *dso);
extern int daemon(int no_chdir, int no_close);

#define check_fails(call, error)                                                                                       \
	do {                                                                                                           \
		errno = 0;                                                                                             \
		tap_check((intptr_t)(call) == -1);                                                                     \
		tap_check_equal(errno, error);                                                                         \
	} while (0)

static uint64_t nr_passed(void)
{
	uint64_t nr_maps, nr_bytes, raw_bytes;

	qr_shim_passed(&nr_maps, &nr_bytes, &raw_bytes);
	return nr_maps;
}

static void test_map_routes(void)
{
	static const int kernel_flags[] = {MAP_STACK, MAP_GROWSDOWN, MAP_32BIT};
	int fd = open("/proc/self/exe", O_RDONLY);
	uint64_t nr = nr_passed();
	char *anon = mmap(NULL, 10 * PAGE, RW, ANON | MAP_NORESERVE, -1, 0);
	char *file = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	char *shared = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *code = mmap(NULL, PAGE, RW | PROT_EXEC, ANON, -1, 0);
	char *hinted = mmap((void *)0x12340000000, PAGE, RW, ANON, -1, 0);
	char *low = mmap((void *)0x10000000, PAGE, RW, ANON, -1, 0);

	tap_check(qr_shim_is_managed(anon) && qr_shim_is_managed(hinted));
	tap_check(file != MAP_FAILED && !qr_shim_is_managed(file) && !memcmp(file, "\177ELF", 4));
	tap_check(shared != MAP_FAILED && !qr_shim_is_managed(shared));
	tap_check(code != MAP_FAILED && !qr_shim_is_managed(code));
	tap_check(low != MAP_FAILED && !qr_shim_is_managed(low));
	tap_check_equal(nr_passed() - nr, 4);
	for (size_t i = 0; i < QR_ARRAY_SIZE(kernel_flags); i++) {
		char *map = mmap(NULL, PAGE, RW, ANON | kernel_flags[i], -1, 0);

		tap_check(map != MAP_FAILED && !qr_shim_is_managed(map));
		tap_check(!munmap(map, PAGE));
	}
	memset(anon, 1, 10 * PAGE);
	tap_check(!munmap(anon + PAGE, PAGE) && !munmap(anon, 10 * PAGE));
	tap_check(!munmap(file, PAGE) && !munmap(shared, PAGE) && !munmap(code, PAGE) && !munmap(hinted, PAGE));
	tap_check(!munmap(low, PAGE));
	(void)close(fd);
}

static void test_map_fixed(void)
{
	char *area = mmap(NULL, 8 * PAGE, RW, ANON, -1, 0);
	char *again, *outside;

	memset(area, 7, 8 * PAGE);
	again = mmap(area + PAGE, 2 * PAGE, RW, ANON | MAP_FIXED, -1, 0);
	tap_check(again == area + PAGE && !again[0] && area[0] == 7 && area[3 * PAGE] == 7);
	check_fails(mmap(area, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
	check_fails(mmap(area + 1, PAGE, RW, ANON | MAP_FIXED, -1, 0), EINVAL);
	check_fails(mmap(NULL, 0, RW, ANON, -1, 0), EINVAL);
	check_fails(mmap(NULL, SIZE_MAX - 1, RW, ANON, -1, 0), ENOMEM);
	check_fails(mmap(area, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0), ENOMEM);
	check_fails(mmap(area, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
	tap_check_equal(area[0], 7);
	again = mmap(area, PAGE, RW | PROT_EXEC, ANON | MAP_FIXED, -1, 0);
	tap_check(again == area && !area[0]);
	outside = qr_shim_sys_mmap(NULL, 4 * PAGE, RW, ANON, -1, 0);
	again = mmap(outside + PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0);
	tap_check(again == outside + PAGE);
	tap_check(!munmap(outside, 4 * PAGE) && !munmap(area, 8 * PAGE));
}

/* Two kernel pages and the first two of the managed range. */
static void test_split_ranges(void)
{
	/* The stand-in keeps some addresses before its range free for this. */
	char *both = (char *)qr_shim.start - 2 * PAGE;
	unsigned char resident[4] = {9, 9, 9, 9};

	tap_require(mmap(both, 4 * PAGE, RW, ANON | MAP_FIXED, -1, 0) == both);
	memset(both, 5, 4 * PAGE);
	tap_check(!mincore(both, 4 * PAGE, resident));
	tap_check(resident[0] == 1 && resident[1] == 1 && resident[2] == 1 && resident[3] == 1);
	tap_check(!madvise(both, 4 * PAGE, MADV_DONTNEED));
	tap_check(!both[0] && !both[2 * PAGE]);
	tap_check(!mprotect(both, 4 * PAGE, PROT_READ) && !both[PAGE] && !both[3 * PAGE]);
	tap_check(!mlock(both + 1, 4 * PAGE - 1) && !munlock(both + 1, 4 * PAGE - 1));
	tap_check(!msync(both, 4 * PAGE, MS_ASYNC));
	tap_check(!munmap(both + PAGE, 3 * PAGE));
	check_fails(msync(both, 4 * PAGE, MS_ASYNC), ENOMEM);
	check_fails(mprotect(both + PAGE, 3 * PAGE, RW), ENOMEM);
	check_fails(mincore(both, 4 * PAGE, resident), ENOMEM);
	tap_check(!munmap(both, PAGE));
}

static void test_remap(void)
{
	char *area = mmap(NULL, 4 * PAGE, RW, ANON, -1, 0), *moved, *other, *file;

	area[0] = 1;
	area[3 * PAGE] = 4;
	moved = mremap(area, 4 * PAGE, 2 * PAGE, 0);
	tap_check(moved == area);
	moved = mremap(area, 2 * PAGE, 400 * PAGE, MREMAP_MAYMOVE);
	tap_check(qr_shim_is_managed(moved) && moved[0] == 1 && !moved[3 * PAGE]);
	other = mmap(NULL, 500 * PAGE, PROT_NONE, ANON, -1, 0);
	area = mremap(moved, 400 * PAGE, 400 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, other);
	tap_check(area == other && area[0] == 1);
	check_fails(mremap(area + 1, PAGE, PAGE, 0), EINVAL);
	check_fails(mremap(area, PAGE, 0, 0), EINVAL);
	check_fails(mremap(area, 0, PAGE, MREMAP_MAYMOVE), EINVAL);
	check_fails(mremap(area, PAGE, PAGE, MREMAP_FIXED, other), EINVAL);
	check_fails(mremap(area, PAGE, PAGE, MREMAP_FIXED | MREMAP_MAYMOVE, other + 1), EINVAL);
	check_fails(mremap(area, PAGE, PAGE, MREMAP_FIXED | MREMAP_MAYMOVE, (void *)0x10000), ENOMEM);
	check_fails(mremap(area, PAGE, PAGE, MREMAP_MAYMOVE | 4, NULL), EINVAL);
	file = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check_fails(mremap(file, PAGE, PAGE, MREMAP_FIXED | MREMAP_MAYMOVE, other), ENOMEM);
	moved = mremap(file, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
	tap_check(moved != MAP_FAILED && !qr_shim_is_managed(moved));
	tap_check(!munmap(moved, 2 * PAGE) && !munmap(area, 500 * PAGE));
}

static void test_advice(void)
{
	char *area = mmap(NULL, 4 * PAGE, RW, ANON | MAP_POPULATE, -1, 0);

	area[0] = 1;
	tap_check(!madvise(area, PAGE, MADV_MERGEABLE) && !madvise(area, PAGE, MADV_DONTDUMP));
	tap_check(!madvise(area, 0, MADV_DONTNEED) && area[0] == 1);
	check_fails(madvise(area, PAGE, 9999), EINVAL);
	check_fails(madvise(area + 1, PAGE, MADV_DONTNEED), EINVAL);
	tap_check(!posix_madvise(area, PAGE, POSIX_MADV_DONTNEED) && area[0] == 1);
	errno = 7;
	tap_check_equal(posix_madvise(area, PAGE, 9999), EINVAL);
	tap_check_equal(errno, 7);
	tap_check(!madvise(area, 1, MADV_DONTNEED) && !area[0]);
	check_fails(msync(area, PAGE, MS_ASYNC | MS_SYNC), EINVAL);
	check_fails(mlockall(0), EINVAL);
	tap_check(!mlockall(MCL_CURRENT) && !munlockall());
	check_fails(pkey_mprotect(area, PAGE, PROT_READ, 1), ENOSYS);
	tap_check(!pkey_mprotect(area, PAGE, RW, -1));
	tap_check(!munmap(area, 4 * PAGE));
	check_fails(madvise(area, PAGE, MADV_WILLNEED), ENOMEM);
	check_fails(munmap(area + 1, PAGE), EINVAL);
}

static void test_break(void)
{
	char *start = sbrk(0), *old;

	tap_require(qr_shim_is_managed(start));
	old = sbrk(100000);
	tap_check(old == start && sbrk(0) == start + 100000);
	memset(start, 3, 100000);
	tap_check(!brk(start + 50) && sbrk(0) == start + 50 && start[49] == 3);
	tap_check(!brk(start + 3 * PAGE));
	tap_check(!start[2 * PAGE] && start[10] == 3);
	check_fails(brk(start - 1), ENOMEM);
	check_fails(sbrk(INTPTR_MAX), ENOMEM);
	check_fails(sbrk(-(3 * (intptr_t)PAGE + 1)), ENOMEM);
	tap_check(sbrk(-3 * (intptr_t)PAGE) == start + 3 * PAGE && sbrk(0) == start);
}

/* ---- Fork handlers ---- */

static char trace[64];
static void note(char what)
{
	size_t length = strlen(trace);

	if (length + 1 < sizeof(trace))
		trace[length] = what;
}
static void prepare_a(void)
{
	note('a');
}
static void prepare_b(void)
{
	note('b');
}
static void parent_a(void)
{
	note('P');
}
static void parent_b(void)
{
	note('Q');
}
static void child_a(void)
{
	note('C');
}
static void child_b(void)
{
	note('D');
}

static void test_fork_handlers(void)
{
	static int dso;
	int status = -1;
	pid_t pid;

	/* Enough to grow the table: of an object that goes again. */
	for (uint32_t i = 0; i < 100; i++)
		tap_check(!__register_atfork(prepare_b, parent_b, child_b, &dso));
	tap_check(!__register_atfork(prepare_a, parent_a, child_a, NULL));
	__cxa_finalize(&dso);
	tap_check(!__register_atfork(prepare_b, parent_b, child_b, NULL));
	tap_check(!__register_atfork(NULL, NULL, NULL, NULL));
	pid = fork();
	if (!pid)
		_exit(strcmp(trace, "baCD") ? 1 : 0);
	tap_check(waitpid(pid, &status, 0) == pid && status == 0);
	tap_check(!strcmp(trace, "baPQ"));
}

/* ---- Fork with threads that allocate ---- */

static uint32_t is_stopping;

/* Sizes whose thread caches are short, so that the slabs and the zone are busy. */
static void *thread_churn(void *argument)
{
	void *kept[64];
	size_t size = 2000 * (1 + (uintptr_t)argument);

	while (!qr_load_relaxed(&is_stopping)) {
		for (uint32_t i = 0; i < 64; i++)
			kept[i] = malloc(size + (i % 8 ? 0 : 40000));
		for (uint32_t i = 0; i < 64; i++)
			free(kept[i]);
	}
	return NULL;
}

static void *thread_touch(void *argument)
{
	char *text = malloc(100);

	memset(text, 1, 100);
	free(text);
	return argument;
}

/* All that a child may do: use what the parent left, allocate, start threads, fork again. */
static int child_work(const char *kept)
{
	static void *objects[600];
	pthread_t thread;
	int status = 1;
	pid_t pid;

	for (uint32_t i = 0; i < 600; i++) {
		objects[i] = malloc(i * 13 % 3000 + 1);
		memset(objects[i], (int)i, i * 13 % 3000 + 1);
	}
	for (uint32_t i = 0; i < 600; i++) {
		if (((uint8_t *)objects[i])[i * 13 % 3000] != (uint8_t)i)
			return 2;
		free(objects[i]);
	}
	(void)malloc_usable_size(objects[0] = malloc(1));
	if (strcmp(kept, "kept") || !qr_zone_is_valid(&qr_heap.zone))
		return 3;
	for (uint32_t class = 0; class < QR_HEAP_NR_CLASSES; class ++) {
		if (!qr_slab_cache_is_valid(&qr_heap.caches[class]))
			return 4;
	}
	for (uint32_t i = 0; i < 4; i++) {
		if (pthread_create(&thread, NULL, thread_touch, NULL) || pthread_join(thread, NULL))
			return 5;
	}
	pid = fork();
	if (!pid)
		_exit(strcmp(kept, "kept"));
	return waitpid(pid, &status, 0) == pid && !status ? 0 : 6;
}

static void test_fork_with_threads(void)
{
	pthread_t threads[3];
	char *kept = malloc(5);

	memcpy(kept, "kept", 5);
	is_stopping = 0;
	for (uintptr_t i = 0; i < 3; i++)
		tap_require(!pthread_create(&threads[i], NULL, thread_churn, (void *)i));
	for (uint32_t i = 0; i < 100 && !tap_has_failed(); i++) {
		int status = -1;
		pid_t pid = i % 2 ? fork() : _Fork();

		if (!pid)
			_exit(child_work(kept));
		tap_check(pid > 0 && waitpid(pid, &status, 0) == pid);
		tap_check_equal(status, 0);
		free(malloc(100));
	}
	qr_store_relaxed(&is_stopping, 1);
	for (uint32_t i = 0; i < 3; i++)
		(void)pthread_join(threads[i], NULL);
	tap_check(qr_zone_is_valid(&qr_heap.zone));
	free(kept);
}

/* ---- The window of a fork, where a touch of managed memory is a segmentation fault ---- */

static char *touched;
static void touch(void)
{
	touched[0]++;
}

static int resting_pipe[2];
static pthread_key_t keys[40];

static void *thread_rest(void *argument)
{
	char byte;

	for (uint32_t i = 0; i < 40; i++)
		(void)pthread_setspecific(keys[i], argument);
	(void)!read(resting_pipe[0], &byte, 1);
	return argument;
}

static void test_fork_window(void)
{
	FILE *file = fopen("/dev/null", "w");
	pthread_t thread;
	int status = -1;
	pid_t pid;

	touched = malloc(10000);
	touched[0] = 0;
	tap_require(file && !pipe(resting_pipe) && !__register_atfork(touch, touch, touch, NULL));
	for (uint32_t i = 0; i < 40; i++)
		tap_require(!pthread_key_create(&keys[i], NULL));
	tap_require(!pthread_create(&thread, NULL, thread_rest, touched));
	(void)usleep(20000); /* until it rests */
	tap_check(fputs("text", file) >= 0);
	(void)setenv("QR_FAKE_STRICT_FORK", "1", 1);
	pid = fork();
	if (!pid)
		_exit(touched[0] != 2 || fputs("text", file) < 0 || fclose(file));
	(void)unsetenv("QR_FAKE_STRICT_FORK");
	tap_check(waitpid(pid, &status, 0) == pid && !status && touched[0] == 2);
	tap_check(!fclose(file) && write(resting_pipe[1], "x", 1) == 1 && !pthread_join(thread, NULL));
	for (uint32_t i = 0; i < 40; i++)
		(void)pthread_key_delete(keys[i]);
	(void)close(resting_pipe[0]);
	(void)close(resting_pipe[1]);
}

/* ---- Descriptors ---- */

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void test_descriptors(void)
{
	int ours = fcntl(0, F_DUPFD, 50), theirs = fcntl(0, F_DUPFD, 52), far = fcntl(0, F_DUPFD, 60);

	qr_shim_protect_fd(ours);
	check_fails(close(ours), EBADF);
	check_fails(dup2(0, ours), EBADF);
	check_fails(dup3(0, ours, 0), EBADF);
	check_fails(dup2(ours, 90), EBADF);
	tap_check(!close_range(40, UINT32_MAX, 0));
	tap_check(is_open(ours) && !is_open(theirs) && !is_open(far));
	theirs = fcntl(0, F_DUPFD, 49);
	closefrom(40);
	tap_check(is_open(ours) && !is_open(theirs));
	tap_check(!close_range((unsigned int)ours, (unsigned int)ours, 0) && is_open(ours));
	check_fails(close_range(60, 50, 0), EINVAL);
	qr_shim_internal_enter();
	tap_check(dup2(0, ours) == ours);
	qr_shim_internal_leave();
	qr_shim_unprotect_fd(ours);
	tap_check(!close(ours) && !is_open(ours));
	check_fails(close(-1), EBADF);
	theirs = fcntl(0, F_DUPFD, 3);
	ours = qr_shim_adopt_fd(theirs);
	tap_check(ours > theirs + 100 && !is_open(theirs) && fcntl(ours, F_GETFD) == FD_CLOEXEC);
	check_fails(close(ours), EBADF);
	qr_shim_unprotect_fd(ours);
	tap_check(!close(ours));
	tap_check_equal(qr_shim_adopt_fd(-1), -1);
}

static void test_daemon(void)
{
	int ends[2], status = -1;
	char text[3] = "";
	pid_t pid;

	tap_require(!pipe(ends));
	pid = fork();
	if (!pid) {
		if (daemon(0, 0))
			_exit(1);
		_exit(write(ends[1], strcmp(getcwd(malloc(100), 100), "/") ? "no" : "ok", 2) != 2);
	}
	tap_check(waitpid(pid, &status, 0) == pid && !status);
	tap_check(read(ends[0], text, 2) == 2 && !strcmp(text, "ok"));
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static const struct tap_test tests[] = {
	{"mmap_routes_by_kind", test_map_routes},
	{"mmap_fixed_follows_manual", test_map_fixed},
	{"ranges_across_the_border_are_split", test_split_ranges},
	{"mremap_follows_manual", test_remap},
	{"advice_and_locks_follow_manual", test_advice},
	{"brk_moves_a_managed_break", test_break},
	{"atfork_runs_in_posix_order", test_fork_handlers},
	{"fork_with_threads_leaves_whole_heap", test_fork_with_threads},
	{"fork_window_touches_nothing_managed", test_fork_window},
	{"descriptors_of_quire_stay_open", test_descriptors},
	{"daemon_child_keeps_memory", test_daemon},
};

int main(int argc, char **argv)
{
	if (!getenv("QUIRE_DOMAIN")) { /* the constructor looks for it */
		(void)setenv("QUIRE_DOMAIN", "test", 1);
		(void)execv("/proc/self/exe", argv);
		return 1;
	}
	return TAP_RUN(tests, argc, argv);
}
