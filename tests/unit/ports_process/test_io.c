/*
 * The process port's block I/O on real files: against a model of a file's content, with the ring and without, from
 * several threads, across fork, with injected errors.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "io.h"
#include "tap.h"

#define NR_BLOCKS 512u
#define MAX_BLOCKS 64u
#define NR_REQUESTS 12u
#define NR_THREADS 3u

struct transfer {
	struct qr_io_request request;
	uint32_t first;
	uint32_t nr;
	uint64_t stamp;
	uint8_t *buffer;
};

static struct qr_io io;
static char dir[64];
static uint64_t stamps[NR_THREADS][NR_BLOCKS]; /* 0: never written */

static void set_up(bool is_synchronous, uint64_t max_bytes)
{
	strcpy(dir, "/var/tmp/quire-test-XXXXXX");
	tap_require(mkdtemp(dir) != NULL);
	tap_require(qr_io_init(&io, dir, max_bytes) == 0);
	io.is_synchronous = is_synchronous;
	memset(stamps, 0, sizeof(stamps));
}

static void tear_down(void)
{
	qr_io_destroy(&io);
	tap_check(rmdir(dir) == 0); /* empty: the files have no names */
}

static void block_fill(uint8_t *block, uint64_t stamp, uint32_t number)
{
	uint64_t state = stamp * 7919 + number, *words = (uint64_t *)(void *)block;

	for (uint32_t i = 0; i < QR_IO_ALIGN / sizeof(*words); i++)
		words[i] = tap_random(&state);
}

static void transfer_init(struct transfer *transfer, uint32_t file, uint32_t first, uint32_t nr, bool is_write)
{
	memset(&transfer->request, 0, sizeof(transfer->request));
	transfer->first = first;
	transfer->nr = nr;
	transfer->request.file = file;
	transfer->request.is_write = is_write;
	transfer->request.buffer = transfer->buffer;
	transfer->request.len_bytes = nr * QR_IO_ALIGN;
	transfer->request.offset_bytes = (uint64_t)first * QR_IO_ALIGN;
}

static void transfer_check(const struct transfer *transfer, const uint64_t *stamp)
{
	static _Thread_local uint8_t wanted[QR_IO_ALIGN] QR_ALIGNED(64);

	for (uint32_t i = 0; i < transfer->nr; i++) {
		block_fill(wanted, stamp[transfer->first + i], transfer->first + i);
		tap_check(!memcmp(wanted, transfer->buffer + (size_t)i * QR_IO_ALIGN, QR_IO_ALIGN));
	}
}

static int run_one(struct transfer *transfer)
{
	int err = qr_io_submit(&io, &transfer->request);

	if (err)
		return err;
	qr_io_wait(&io, &transfer->request);
	return transfer->request.result;
}

/* Random disjoint transfers, several under way, each checked or taken into the model when it is done. */
static void walk(uint32_t file, uint64_t *stamp, uint64_t seed, uint32_t nr_rounds)
{
	struct transfer transfers[NR_REQUESTS];
	uint64_t random = seed;

	for (uint32_t i = 0; i < NR_REQUESTS; i++)
		transfers[i].buffer = aligned_alloc(QR_IO_ALIGN, MAX_BLOCKS * QR_IO_ALIGN);
	for (uint32_t round = 0; round < nr_rounds && !tap_has_failed(); round++) {
		uint32_t at = 0, nr = 0;

		while (nr < NR_REQUESTS && at + MAX_BLOCKS <= NR_BLOCKS) {
			struct transfer *transfer = &transfers[nr];
			uint32_t len = 1 + tap_random_below(&random, MAX_BLOCKS);
			bool is_write = tap_random_below(&random, 2);

			for (uint32_t i = 0; i < len; i++)
				is_write = is_write || !stamp[at + i];
			transfer->stamp = tap_random(&random) | 1;
			transfer_init(transfer, file, at, len, is_write);
			for (uint32_t i = 0; i < len && is_write; i++) {
				block_fill(transfer->buffer + (size_t)i * QR_IO_ALIGN, transfer->stamp, at + i);
				stamp[at + i] = transfer->stamp;
			}
			tap_check_equal(qr_io_submit(&io, &transfer->request), 0);
			at += len;
			nr++;
		}
		while (nr--) {
			qr_io_wait(&io, &transfers[nr].request);
			tap_check_equal(transfers[nr].request.result, 0);
			if (!transfers[nr].request.is_write)
				transfer_check(&transfers[nr], stamp);
		}
	}
	for (uint32_t i = 0; i < NR_REQUESTS; i++)
		free(transfers[i].buffer);
}

static void test_model(void)
{
	uint32_t file;

	set_up(false, 0);
	tap_note("ring: %s", io.has_ring ? "yes" : "not permitted");
	tap_require(qr_io_swap_open(&io, &file) == 0);
	tap_note("direct: %s", io.direct_files & 1 ? "yes" : "no");
	walk(file, stamps[0], tap_seed(), 60);
	tap_check_equal(io.nr_in_flight, 0);
	tear_down();
}

static void test_model_synchronous(void)
{
	uint32_t file;

	set_up(true, 0);
	tap_require(qr_io_swap_open(&io, &file) == 0);
	walk(file, stamps[0], tap_seed() + 1, 60);
	tear_down();
}

struct walker {
	pthread_t thread;
	uint32_t file;
	uint32_t number;
};

static void *walker_main(void *argument)
{
	struct walker *walker = argument;

	walk(walker->file, stamps[walker->number], tap_seed() + walker->number, 40);
	return NULL;
}

static void test_threads(void)
{
	struct walker walkers[NR_THREADS];

	set_up(false, 0);
	for (uint32_t i = 0; i < NR_THREADS; i++) {
		walkers[i].number = i;
		tap_require(qr_io_swap_open(&io, &walkers[i].file) == 0);
		tap_check_equal(walkers[i].file, i);
		tap_require(!pthread_create(&walkers[i].thread, NULL, walker_main, &walkers[i]));
	}
	for (uint32_t i = 0; i < NR_THREADS; i++)
		pthread_join(walkers[i].thread, NULL);
	tap_check_equal(io.nr_in_flight, 0);
	tear_down();
}

/* Far more requests than the ring has entries, before anybody waits. */
static void test_many(void)
{
	enum { NR = 1000 };
	static struct transfer many[NR];
	static uint8_t block[QR_IO_ALIGN] QR_ALIGNED(4096);
	uint32_t file;

	set_up(false, 0);
	tap_require(qr_io_swap_open(&io, &file) == 0);
	block_fill(block, 1, 1);
	for (uint32_t i = 0; i < NR; i++) {
		many[i].buffer = block;
		transfer_init(&many[i], file, i % NR_BLOCKS, 1, true);
		tap_check_equal(qr_io_submit(&io, &many[i].request), 0);
	}
	for (uint32_t i = NR; i-- > 0;) {
		qr_io_wait(&io, &many[i].request);
		tap_check_equal(many[i].request.result, 0);
	}
	tap_check_equal(io.nr_in_flight, 0);
	tear_down();
}

static void test_errors_one_way(bool is_synchronous)
{
	struct transfer transfer = {.buffer = aligned_alloc(QR_IO_ALIGN, 4 * QR_IO_ALIGN)};
	uint32_t file;

	set_up(is_synchronous, 8 * QR_IO_ALIGN);
	tap_require(qr_io_swap_open(&io, &file) == 0);
	memset(transfer.buffer, 1, 4 * QR_IO_ALIGN);
	transfer_init(&transfer, file, 5, 4, true);
	tap_check_equal(run_one(&transfer), QR_ENOSPC); /* past the bound */
	transfer_init(&transfer, file, 4, 4, true);
	tap_check_equal(run_one(&transfer), 0);
	transfer_init(&transfer, file, 6, 4, false);
	tap_check_equal(run_one(&transfer), QR_EIO); /* past the end: cut short, then nothing */
	transfer_init(&transfer, file + 1, 0, 1, false);
	tap_check_equal(run_one(&transfer), QR_EINVAL);
	qr_io_swap_discard(&io, file, 4 * QR_IO_ALIGN, QR_IO_ALIGN);
	transfer_init(&transfer, file, 4, 2, false);
	tap_check_equal(run_one(&transfer), 0);
	tap_check_equal(transfer.buffer[QR_IO_ALIGN], 1);
	free(transfer.buffer);
	tear_down();
}

static void test_errors(void)
{
	test_errors_one_way(false);
	test_errors_one_way(true);
}

struct nth_fault {
	uint32_t countdown;
	int error;
};

static int fail_nth_write(void *context, const struct qr_io_request *request)
{
	struct nth_fault *fault = context;

	return request->is_write && --fault->countdown == 0 ? fault->error : 0;
}

static void test_faults(void)
{
	struct transfer transfer = {.buffer = aligned_alloc(QR_IO_ALIGN, QR_IO_ALIGN)};
	struct nth_fault fault = {3, QR_ENOSPC};
	uint32_t file;

	set_up(false, 0);
	io.faults.fail = fail_nth_write;
	io.faults.context = &fault;
	tap_require(qr_io_swap_open(&io, &file) == 0);
	memset(transfer.buffer, 2, QR_IO_ALIGN);
	for (uint32_t i = 1; i <= 4; i++) {
		transfer_init(&transfer, file, i, 1, true);
		tap_check_equal(run_one(&transfer), i == 3 ? QR_ENOSPC : 0);
	}
	free(transfer.buffer);
	tear_down();
}

/* The child reads the parent's file and writes its own, with a ring of its own; the parent goes on. */
static void test_fork(void)
{
	uint32_t file, child_file;
	int status = -1;
	pid_t pid;

	set_up(false, 0);
	tap_require(qr_io_swap_open(&io, &file) == 0);
	walk(file, stamps[0], tap_seed() + 9, 20);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct transfer transfer = {.buffer = aligned_alloc(QR_IO_ALIGN, QR_IO_ALIGN)};

		if (qr_io_after_fork_child(&io) || qr_io_swap_open(&io, &child_file) || child_file != file + 1)
			_exit(2);
		for (uint32_t i = 0; i < NR_BLOCKS && stamps[0][i]; i++) {
			transfer_init(&transfer, file, i, 1, false);
			if (run_one(&transfer))
				_exit(3);
			transfer_check(&transfer, stamps[0]);
		}
		walk(child_file, stamps[1], tap_seed() + 10, 20);
		_exit(tap_has_failed() ? 4 : 0);
	}
	walk(file, stamps[2], tap_seed() + 11, 0); /* the parent writes nothing that the child reads */
	tap_check(waitpid(pid, &status, 0) == pid && status == 0);
	walk(file, stamps[0], tap_seed() + 12, 20);
	tear_down();
}

static void test_open(void)
{
	bool is_direct;
	struct stat info;
	uint32_t file;
	int fd;

	set_up(false, 0);
	fd = qr_swapfile_create(dir, &is_direct);
	tap_check(fd >= 0 && fstat(fd, &info) == 0);
	tap_check_equal(info.st_nlink, 0);
	tap_check_equal(info.st_mode & 0777, 0600);
	close(fd);
	tap_check_equal(qr_swapfile_create("/nonexistent/place", &is_direct), QR_ENOENT);
	for (uint32_t i = 0; i < QR_MAX_SWAP_FILES; i++)
		tap_check_equal(qr_io_swap_open(&io, &file), 0);
	tap_check_equal(qr_io_swap_open(&io, &file), QR_EAGAIN);
	tear_down();
	tap_check_equal(qr_io_init(&io, NULL, 0), 0);
	tap_check_equal(qr_io_swap_open(&io, &file), QR_ENOSYS);
	qr_io_destroy(&io);
}

static const struct tap_test tests[] = {
	{"io_ring_matches_model", test_model},       {"io_synchronous_matches_model", test_model_synchronous},
	{"io_threads_share_the_ring", test_threads}, {"io_more_requests_than_entries", test_many},
	{"io_errors_are_told", test_errors},         {"io_faults_are_injected", test_faults},
	{"io_child_has_its_own_ring", test_fork},    {"swapfile_is_unlinked_and_private", test_open},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
