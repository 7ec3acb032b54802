/*
 * The ring of recorded faults: random notes and takes against a plain queue; processes and threads that write at once
 * while one reads; places that are never filled.
 */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "domain_fixture.h"
#include "record.h"
#include "tap.h"

#define NR_WRITERS 4u
#define NR_NOTES 100000u

static struct qr_record *ring;
static char ring_path[64];
static int ring_fd;

static void setup(void)
{
	domain_setup(BUDGET);
	tap_require(qr_domain_join(&domain) == 0);
	tap_require(qr_record_create(&ring, &ring_fd) == 0);
	snprintf(ring_path, sizeof(ring_path), "/proc/%d/fd/%d", (int)getpid(), ring_fd);
}

static void teardown(void)
{
	qr_record_detach(ring);
	close(ring_fd);
	qr_domain_leave(&domain);
	qr_domain_detach(&domain);
}

static uint64_t expected_entry(uint64_t page)
{
	uint64_t generation = domain.shared->processes[domain.slot].owner >> 56;

	return generation << QR_RECORD_GENERATION_SHIFT | (uint64_t)domain.slot << QR_RECORD_SLOT_SHIFT | page;
}

static void test_model(void)
{
	static uint64_t model[QR_RECORD_ENTRIES];
	uint64_t random = tap_seed(), nr_in = 0, nr_out = 0, nr_lost = 0;

	setup();
	for (unsigned round = 0; round < 400 && !tap_has_failed(); round++) {
		uint64_t nr_notes = tap_random_below(&random, 3000), nr_takes = tap_random_below(&random, 2700);

		for (uint64_t i = 0; i < nr_notes; i++) {
			uint64_t page = tap_random_below(&random, UINT32_MAX);

			qr_record_note(ring, &domain, page << QR_PAGE_SHIFT | tap_random_below(&random, 4096));
			if (nr_in - nr_out == QR_RECORD_ENTRIES)
				nr_lost++;
			else
				model[nr_in++ % QR_RECORD_ENTRIES] = expected_entry(page);
		}
		for (uint64_t i = 0; i < nr_takes; i++)
			tap_check_equal(qr_record_take(ring, true),
					nr_in == nr_out ? 0 : model[nr_out++ % QR_RECORD_ENTRIES]);
		tap_check_equal(ring->nr_lost, nr_lost);
	}
	tap_check(nr_lost > 0 && nr_out > QR_RECORD_ENTRIES);
	teardown();
}

/* Each writes its numbers in their order; none may come twice, or out of its writer's order. */
static void writer(void)
{
	struct qr_record *own;

	if (qr_domain_join(&domain) || qr_record_attach(&own, ring_path))
		_exit(1);
	for (uint64_t i = 0; i < NR_NOTES; i++)
		qr_record_note(own, &domain, i << QR_PAGE_SHIFT);
	_exit(0);
}

static void test_writers(void)
{
	uint64_t next[QR_DOMAIN_PROCESSES] = {0}, nr_taken = 0, entry;
	unsigned nr_live = NR_WRITERS;

	setup();
	for (unsigned i = 0; i < NR_WRITERS; i++) {
		if (!fork())
			writer();
	}
	do {
		int status;

		while (nr_live && waitpid(-1, &status, WNOHANG) > 0) {
			tap_check_equal(status, 0);
			nr_live--;
		}
		while ((entry = qr_record_take(ring, true))) {
			uint64_t slot = entry >> QR_RECORD_SLOT_SHIFT & (QR_DOMAIN_PROCESSES - 1);
			uint64_t page = entry & ((1ull << QR_RECORD_SLOT_SHIFT) - 1);

			tap_check(page >= next[slot]);
			next[slot] = page + 1;
			nr_taken++;
		}
	} while (nr_live || ring->tail != ring->head);
	tap_check_equal(nr_taken + ring->nr_lost, NR_WRITERS * NR_NOTES);
	teardown();
}

static void test_killed_writer(void)
{
	setup();
	qr_record_note(ring, &domain, 1 << QR_PAGE_SHIFT);
	ring->head++; /* a place that was taken and not filled */
	qr_record_note(ring, &domain, 2 << QR_PAGE_SHIFT);
	tap_check_equal(qr_record_take(ring, true), expected_entry(1));
	tap_check_equal(qr_record_take(ring, true), 0);
	tap_check_equal(qr_record_take(ring, false), expected_entry(2));
	tap_check_equal(ring->nr_lost, 1);
	tap_check_equal(qr_record_take(ring, false), 0);
	teardown();
}

static void test_attach_errors(void)
{
	struct qr_record *other;

	setup();
	tap_check_equal(qr_record_attach(&other, "/proc/self/fd/999"), QR_ENOENT);
	tap_check_equal(qr_record_attach(&other, "/dev/null"), QR_EINVAL);
	ring->magic++;
	tap_check_equal(qr_record_attach(&other, ring_path), QR_EINVAL);
	teardown();
}

static const struct tap_test tests[] = {
	{"record_random_notes_match_a_queue", test_model},
	{"record_writers_at_once_lose_nothing_unseen", test_writers},
	{"record_place_never_filled_is_skipped", test_killed_writer},
	{"record_attach_to_something_else_fails", test_attach_errors},
};

int main(int argc, char **argv)
{
	return tap_run(tests, QR_ARRAY_SIZE(tests), argc, argv);
}
