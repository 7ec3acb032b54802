/* See domain_fixture.h. */
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "domain_fixture.h"
#include "tap.h"

struct qr_domain domain;
char domain_path[64];

void domain_setup(uint64_t budget)
{
	struct qr_options options = {.size = sizeof(options), .ram_bytes = budget << QR_PAGE_SHIFT};

	tap_require(qr_domain_create(&domain, &options) == 0);
	qr_domain_set_max(&domain, 2 * budget);
	snprintf(domain_path, sizeof(domain_path), "/proc/%d/fd/%d", (int)getpid(), domain.fd);
}

void domain_sleep_ms(unsigned ms)
{
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&time, NULL);
}

/* After burying: what is free and what is in quotas is the budget, and exactly the expected. */
void domain_check_books(uint64_t expected_quota, uint64_t budget, uint32_t nr_live)
{
	struct qr_domain_sum sum;

	qr_domain_count(&domain, &sum);
	tap_check_equal(sum.quota_frames, expected_quota);
	tap_check_equal(sum.free_frames + sum.quota_frames - sum.debt_frames, budget);
	tap_check_equal(sum.free_frames, domain.shared->free_frames);
	tap_check_equal(sum.nr_live, nr_live);
	tap_check_equal(domain.shared->nr_live, nr_live);
}

uint64_t domain_fork_child(struct qr_domain *own, uint64_t nr)
{
	int slot = qr_domain_reserve_child(own, nr);
	uint64_t got = 0;
	int pipes[2];
	int pid;

	if (slot < 0)
		return UINT64_MAX;
	if (pipe(pipes) || (pid = fork()) < 0)
		_exit(99);
	if (!pid) {
		/* Adopts, checks what it owns, and leaves. */
		uint64_t quota;

		if (qr_domain_adopt(own, (uint32_t)slot))
			_exit(98);
		quota = own->shared->processes[own->slot].quota_frames;
		qr_domain_leave(own);
		_exit(write(pipes[1], &quota, sizeof(quota)) == sizeof(quota) ? 0 : 97);
	}
	qr_domain_set_child_pid(own, (uint32_t)slot, pid);
	if (read(pipes[0], &got, sizeof(got)) != sizeof(got))
		got = UINT64_MAX - 1;
	close(pipes[0]);
	close(pipes[1]);
	waitpid(pid, NULL, 0);
	return got;
}
