/* Groups of processes in a shared budget: patterns, sums of quotas under random takes by processes, fair shares. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "domain_fixture.h"
#include "tap.h"

#define NR_MEMBERS 6u
#define NR_STEPS 20000u

static void test_match(void)
{
	static const struct {
		const char *pattern, *text;
		bool does_match;
	} cases[] = {
		{"redis", "redis", true},
		{"redis", "redis-server", false},
		{"redis*", "redis-server", true},
		{"*", "", true},
		{"", "", true},
		{"", "a", false},
		{"?", "a", true},
		{"?", "", false},
		{"a*b*c", "aXbYbZc", true},
		{"a*b*c", "aXbYbZ", false},
		{"*server", "redis-server", true},
		{"*s*s*", "redis-server", true},
		{"**x", "aax", true},
		{"*x?", "xxa", true},
		{"py?hon3", "python3", true},
	};

	for (unsigned i = 0; i < QR_ARRAY_SIZE(cases); i++)
		tap_check(qr_domain_match(cases[i].pattern, cases[i].text) == cases[i].does_match);
}

/* Two groups; the first that matches counts. */
static void setup_groups(uint64_t max, uint64_t high, uint64_t low)
{
	struct qr_domain_group groups[2] = {
		{.name = "a", .match = "worker-a*", .max_frames = max, .high_frames = high, .low_frames = low},
		{.name = "all",
		 .match = "worker*",
		 .max_frames = QR_DOMAIN_NO_LIMIT,
		 .high_frames = QR_DOMAIN_NO_LIMIT},
	};

	domain_setup(BUDGET);
	qr_domain_set_groups(&domain, groups, 2);
}

static bool join_as(struct qr_domain *own, const char *command)
{
	return !prctl(PR_SET_NAME, command) && !qr_domain_attach(own, domain_path) && !qr_domain_join(own);
}

/* What each member of the group has for certain: raised after a take, lowered before a give. The version is odd while
 * it changes. */
struct holding {
	uint64_t version, nr;
	bool is_done;
};
static struct holding *holdings; /* [NR_MEMBERS], shared */

static void note_holding(unsigned number, uint64_t nr)
{
	(void)qr_fetch_add(&holdings[number].version, 1);
	qr_fence();
	qr_store_release(&holdings[number].nr, nr);
	(void)qr_fetch_add(&holdings[number].version, 1);
}

/* True if the group's members had more than max together at one moment. */
static bool is_above(uint64_t max)
{
	uint64_t versions[NR_MEMBERS], sum = 0;

	for (unsigned i = 0; i < NR_MEMBERS; i += 2) {
		versions[i] = qr_load_acquire(&holdings[i].version);
		sum += qr_load_acquire(&holdings[i].nr);
	}
	for (unsigned i = 0; i < NR_MEMBERS; i += 2) {
		if (versions[i] % 2 || qr_fetch_add(&holdings[i].version, 0) != versions[i])
			return false;
	}
	return sum > max;
}

/* Takes and gives at random; ends with 0 if its group never had more than its max. */
static int member_main(unsigned number, uint64_t max)
{
	struct qr_domain own;
	uint64_t seed = tap_seed() + number, nr_held = 0;

	if (!join_as(&own, number % 2 ? "worker-b" : "worker-a1"))
		return 2;
	if (own.shared->processes[own.slot].group != 1 + number % 2)
		return 3;
	for (unsigned i = 0; i < NR_STEPS; i++) {
		uint64_t nr = 1 + tap_random_below(&seed, (uint32_t)max);

		if (tap_random_below(&seed, 2)) {
			nr_held += qr_domain_take(&own, nr);
			note_holding(number, nr_held);
		} else {
			nr = QR_MIN(nr, nr_held);
			nr_held -= nr;
			note_holding(number, nr_held);
			qr_domain_give(&own, nr);
		}
		if (is_above(max))
			return 4;
	}
	if (own.shared->processes[own.slot].quota_frames != nr_held)
		return 5;
	qr_store_release(&holdings[number].is_done, true);
	pause();
	return 0;
}

static unsigned nr_done(void)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < NR_MEMBERS; i++)
		nr += qr_load_acquire(&holdings[i].is_done);
	return nr;
}

static void test_max_holds(void)
{
	const uint64_t max = 5000;
	pid_t pids[NR_MEMBERS];
	struct qr_domain_group_sum sum;

	holdings =
		mmap(NULL, NR_MEMBERS * sizeof(*holdings), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	tap_require(holdings != MAP_FAILED);
	setup_groups(max, QR_DOMAIN_NO_LIMIT, 0);
	for (unsigned i = 0; i < NR_MEMBERS; i++) {
		pids[i] = fork();
		tap_require(pids[i] >= 0);
		if (!pids[i])
			_exit(member_main(i, max));
	}
	for (unsigned ms = 0; ms < 10000 && nr_done() < NR_MEMBERS; ms += 50) {
		int status;

		domain_sleep_ms(50);
		tap_check(waitpid(-1, &status, WNOHANG) == 0);
	}
	tap_check_equal(nr_done(), NR_MEMBERS);
	qr_domain_count_group(domain.shared, 1, &sum);
	tap_check(sum.quota_frames <= max);
	tap_check_equal(sum.nr_live, NR_MEMBERS / 2);
	for (unsigned i = 0; i < NR_MEMBERS; i++) {
		int status;

		kill(pids[i], SIGKILL);
		tap_check(waitpid(pids[i], &status, 0) == pids[i] && WIFSIGNALED(status));
	}
	tap_check_equal(qr_domain_bury_dead(&domain), NR_MEMBERS);
	domain_check_books(0, BUDGET, 0);
	(void)munmap(holdings, NR_MEMBERS * sizeof(*holdings));
	qr_domain_count_group(domain.shared, 1, &sum);
	tap_check(!sum.quota_frames && !sum.nr_live);
	qr_domain_detach(&domain);
}

static void test_full_group(void)
{
	struct qr_domain own;

	setup_groups(5000, 4000, 0);
	tap_require(join_as(&own, "worker-a2"));
	tap_check_equal(qr_domain_room_to_high(&own), 4000);
	tap_check_equal(qr_domain_take(&own, 6000), 5000);
	tap_check_equal(qr_domain_take(&own, 1), 0);
	tap_check_equal(qr_domain_room_to_high(&own), 0);
	tap_check_equal(qr_domain_excess_over_high(&own), 1000);
	/* A child is in its parent's group, with what is reserved for it. */
	tap_check_equal(domain_fork_child(&own, 100), UINT64_MAX);
	qr_domain_give(&own, 2000);
	tap_check_equal(domain_fork_child(&own, 100), 100);
	tap_check_equal(qr_domain_room(own.shared, own.slot), 2000);
	qr_domain_leave(&own);
	qr_domain_detach(&own);
	qr_domain_detach(&domain);
}

/* Three processes: two of the group with a low mark of 12000 of 20000 frames, one other. */
static void test_shares(void)
{
	struct qr_domain members[3];
	pid_t holders[2];

	setup_groups(QR_DOMAIN_NO_LIMIT, QR_DOMAIN_NO_LIMIT, 12000);
	for (unsigned i = 0; i < 2; i++) {
		holders[i] = fork();
		tap_require(holders[i] >= 0);
		if (!holders[i]) {
			_exit(!join_as(&members[i], i ? "other" : "worker-a3") || pause());
		}
	}
	tap_require(join_as(&members[2], "worker-a4"));
	for (unsigned i = 0; i < 100 && members[2].shared->nr_live < 3; i++)
		domain_sleep_ms(20);
	tap_check_equal(qr_domain_fair_share(&members[2]), 20000 / 3);
	/* Alone in the group it has all of the mark, and the other what is left. */
	kill(holders[0], SIGKILL);
	waitpid(holders[0], NULL, 0);
	tap_check_equal(qr_domain_bury_dead(&members[2]), 1);
	tap_check_equal(qr_domain_fair_share(&members[2]), 12000);
	tap_check_equal(qr_domain_fair_share(&domain), 8000);
	kill(holders[1], SIGKILL);
	waitpid(holders[1], NULL, 0);
	qr_domain_leave(&members[2]);
	qr_domain_detach(&members[2]);
	qr_domain_detach(&domain);
}

/* A process that takes nr frames as command, is refused nr_lacking more, does not count them itself, and stays. */
static pid_t hold_and_lack(const char *command, uint64_t nr, uint64_t nr_lacking)
{
	struct qr_domain own;
	struct qr_domain_lack lack;
	pid_t pid = fork();

	if (pid)
		return pid;
	if (!join_as(&own, command) || qr_domain_take(&own, nr) != nr || qr_domain_take(&own, nr_lacking))
		_exit(1);
	qr_domain_lack(&own, &lack);
	_exit(lack.frames || lack.frames_to_fair || pause());
}

/* What this process sees when others lack something; waits until they do. */
static struct qr_domain_lack wait_for_lack(const struct qr_domain *own)
{
	struct qr_domain_lack lack = {0};

	for (unsigned i = 0; i < 100 && !lack.frames; i++) {
		domain_sleep_ms(2);
		qr_domain_lack(own, &lack);
	}
	return lack;
}

static void end_holder(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	qr_domain_bury_dead(&domain);
}

static void test_lack(void)
{
	struct qr_domain own;
	struct qr_domain_lack lack;
	pid_t holder;

	setup_groups(QR_DOMAIN_NO_LIMIT, QR_DOMAIN_NO_LIMIT, 0);
	tap_require(join_as(&own, "other"));
	tap_check_equal(qr_domain_take(&own, 12000), 12000);
	holder = hold_and_lack("worker-b", 8000, 3000);
	lack = wait_for_lack(&own);
	tap_check_equal(lack.frames, 3000);
	tap_check_equal(lack.frames_to_fair, 2000);
	qr_domain_give(&own, 2500);
	qr_domain_lack(&own, &lack);
	tap_check_equal(lack.frames, 500);
	tap_check_equal(lack.frames_to_fair, 0);
	/* Who does not ask again has found another way. */
	domain_sleep_ms(300);
	qr_domain_give(&own, 0);
	qr_domain_lack(&own, &lack);
	tap_check_equal(lack.frames, 0);
	end_holder(holder);
	qr_domain_leave(&own);
	qr_domain_detach(&own);
	qr_domain_detach(&domain);
}

/* Where a group's max is the obstacle only its members can help. */
static void test_lack_in_group(void)
{
	struct qr_domain own;
	struct qr_domain_lack lack;
	pid_t holder;

	setup_groups(5000, QR_DOMAIN_NO_LIMIT, 0);
	tap_require(join_as(&own, "worker-a1"));
	tap_check_equal(qr_domain_take(&own, 4000), 4000);
	holder = hold_and_lack("worker-a2", 1000, 700);
	lack = wait_for_lack(&own);
	tap_check_equal(lack.frames, 700);
	tap_check_equal(lack.frames_to_fair, 700);
	end_holder(holder);
	qr_domain_leave(&own);
	qr_domain_detach(&own);
	qr_domain_detach(&domain);
}

static uint64_t lack_of_all(void)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < domain.shared->nr_slots; i++)
		sum += qr_load_acquire(&domain.shared->processes[i].lack_frames);
	return sum;
}

static void test_lack_in_other_group(void)
{
	struct qr_domain own;
	struct qr_domain_lack lack;
	pid_t holders[2];

	setup_groups(5000, QR_DOMAIN_NO_LIMIT, 0);
	tap_require(join_as(&own, "other"));
	tap_check_equal(qr_domain_take(&own, 15000), 15000);
	holders[0] = hold_and_lack("worker-a1", 4000, 0);
	for (unsigned i = 0; i < 100 && qr_load_acquire(&domain.shared->free_frames) > 1000; i++)
		domain_sleep_ms(2);
	holders[1] = hold_and_lack("worker-a2", 1000, 700);
	for (unsigned i = 0; i < 100 && !lack_of_all(); i++)
		domain_sleep_ms(2);
	tap_check_equal(lack_of_all(), 700);
	qr_domain_lack(&own, &lack);
	tap_check_equal(lack.frames, 0);
	end_holder(holders[0]);
	end_holder(holders[1]);
	qr_domain_leave(&own);
	qr_domain_detach(&own);
	qr_domain_detach(&domain);
}

static const struct tap_test tests[] = {
	{"domain_group_patterns_match", test_match},
	{"domain_group_max_holds_for_processes", test_max_holds},
	{"domain_group_full_is_refused", test_full_group},
	{"domain_lack_is_that_of_others", test_lack},
	{"domain_lack_at_a_max_is_for_members", test_lack_in_group},
	{"domain_lack_at_a_max_is_not_for_others", test_lack_in_other_group},
	{"domain_group_low_raises_the_share", test_shares},
};

int main(int argc, char **argv)
{
	return tap_run(tests, QR_ARRAY_SIZE(tests), argc, argv);
}
