/*
 * The shared budget under load: processes and threads that take and give at once, and SIGKILL at random moments.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "domain_fixture.h"
#include "tap.h"

#define NR_WORKERS 6u

/* A process of the kill test: all that a member does, as fast as it can. in_use counts what is held at this moment
 * by those that were not killed in between; NULL where some are. */
static void churn(uint64_t seed, uint64_t *in_use)
{
	struct qr_domain own;
	uint64_t held = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (qr_domain_attach(&own, domain_path) || qr_domain_join(&own))
		_exit(99);
	for (unsigned i = 0; in_use ? i < 20000 : true; i++) {
		uint64_t nr = 1 + tap_random_below(&seed, 8000);
		unsigned what = tap_random_below(&seed, 64);

		if (!in_use && what == 0) {
			(void)domain_fork_child(&own, nr);
		} else if (!in_use && what == 1) {
			qr_domain_leave(&own);
			(void)qr_domain_join(&own);
		} else if (what == 2) {
			(void)qr_domain_bury_dead(&own);
		} else if (what < 34) {
			nr = qr_domain_take(&own, nr);
			held += nr;
			if (in_use && __atomic_add_fetch(in_use, nr, __ATOMIC_SEQ_CST) > BUDGET)
				_exit(96);
		} else {
			nr = QR_MIN(nr, held);
			if (in_use)
				__atomic_sub_fetch(in_use, nr, __ATOMIC_SEQ_CST);
			qr_domain_give(&own, nr);
			held -= nr;
		}
	}
	/* Dies with what it holds: free again only when others see it dead, after this. */
	__atomic_sub_fetch(in_use, held, __ATOMIC_SEQ_CST);
	_exit(0);
}

static int start_churn(uint64_t seed, uint64_t *in_use)
{
	int pid = fork();

	tap_require(pid >= 0);
	if (!pid)
		churn(seed, in_use);
	return pid;
}

static void test_never_above_budget(void)
{
	uint64_t *in_use = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int pids[NR_WORKERS], status;

	tap_require(in_use != MAP_FAILED);
	domain_setup(BUDGET);
	for (unsigned i = 0; i < NR_WORKERS; i++)
		pids[i] = start_churn(tap_seed() + i, in_use);
	for (unsigned i = 0; i < NR_WORKERS; i++) {
		tap_require(waitpid(pids[i], &status, 0) == pids[i]);
		tap_check_equal(status, 0);
	}
	(void)qr_domain_bury_dead(&domain); /* the last ones; the first were buried by the others */
	domain_check_books(0, BUDGET, 0);
	tap_check_equal(domain.shared->nr_ended, NR_WORKERS);
	munmap(in_use, 4096);
	qr_domain_detach(&domain);
}

/* With all stopped the books must hold: each dead one's quota is back, no slot is stuck. */
static void check_stopped(const int *pids)
{
	struct qr_domain_sum sum;

	for (unsigned i = 0; i < NR_WORKERS; i++) {
		int status;

		kill(pids[i], SIGSTOP);
		waitpid(pids[i], &status, WUNTRACED);
	}
	(void)qr_domain_bury_dead(&domain);
	qr_domain_count(&domain, &sum);
	/* Children of the workers may run: only bounds hold. */
	tap_check(sum.nr_live <= 3 * NR_WORKERS);
	tap_check(sum.free_frames <= BUDGET);
	for (unsigned i = 0; i < NR_WORKERS; i++)
		kill(pids[i], SIGCONT);
}

static void test_random_kills(void)
{
	uint64_t random = tap_seed();
	int pids[NR_WORKERS];
	struct qr_domain_sum sum;

	domain_setup(BUDGET);
	for (unsigned i = 0; i < NR_WORKERS; i++)
		pids[i] = start_churn(tap_random(&random), NULL);
	for (unsigned round = 0; round < 400 && !tap_has_failed(); round++) {
		unsigned victim = tap_random_below(&random, NR_WORKERS);
		struct timespec pause = {.tv_nsec = 100000 + tap_random_below(&random, 1500000)};

		nanosleep(&pause, NULL);
		kill(pids[victim], SIGKILL);
		waitpid(pids[victim], NULL, 0);
		pids[victim] = start_churn(tap_random(&random), NULL);
		if (round % 40 == 0)
			check_stopped(pids);
	}
	for (unsigned i = 0; i < NR_WORKERS; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	/* Orphaned children of killed workers end on their own. */
	for (unsigned tries = 0; tries < 500; tries++) {
		qr_domain_bury_dead(&domain);
		qr_domain_count(&domain, &sum);
		if (!sum.quota_frames && !sum.nr_live)
			break;
		domain_sleep_ms(10);
	}
	domain_check_books(0, BUDGET, 0);
	for (unsigned i = 0; i < QR_DOMAIN_PROCESSES; i++)
		tap_check_equal(domain.shared->processes[i].owner & 3, QR_DOMAIN_FREE);
	tap_check(domain.shared->nr_slots <= 8 * NR_WORKERS);
	qr_domain_detach(&domain);
}

static uint64_t thread_in_use;

static void *thread_churn(void *argument)
{
	uint64_t seed = (uint64_t)(uintptr_t)argument;
	uint64_t held = 0;

	for (unsigned i = 0; i < 5000; i++) {
		uint64_t nr = 1 + tap_random_below(&seed, 8000);

		if (tap_random_below(&seed, 2)) {
			nr = qr_domain_take(&domain, nr);
			held += nr;
			tap_check(__atomic_add_fetch(&thread_in_use, nr, __ATOMIC_SEQ_CST) <= BUDGET);
		} else {
			nr = QR_MIN(nr, held);
			__atomic_sub_fetch(&thread_in_use, nr, __ATOMIC_SEQ_CST);
			qr_domain_give(&domain, nr);
			held -= nr;
		}
	}
	__atomic_sub_fetch(&thread_in_use, held, __ATOMIC_SEQ_CST);
	qr_domain_give(&domain, held);
	return NULL;
}

static void test_threads(void)
{
	pthread_t threads[4];

	domain_setup(BUDGET);
	tap_require(qr_domain_join(&domain) == 0);
	for (unsigned i = 0; i < 4; i++)
		tap_require(!pthread_create(&threads[i], NULL, thread_churn, (void *)(uintptr_t)(tap_seed() + i)));
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	qr_domain_bury_dead(&domain);
	domain_check_books(0, BUDGET, 1);
	qr_domain_leave(&domain);
	domain_check_books(0, BUDGET, 0);
	qr_domain_detach(&domain);
}

static const struct tap_test tests[] = {
	{"concurrent_takes_stay_in_budget", test_never_above_budget},
	{"threads_stay_in_budget", test_threads},
	{"random_kills_keep_books", test_random_kills},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
