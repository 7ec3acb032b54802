/* Sharded counters: exact sums, names of all. */
#include <pthread.h>
#include <string.h>

#include "stat/stat.h"
#include "port_test.h"
#include "tap.h"

#define NR_THREADS 4u
#define NR_ADDS 20000u

static struct qr_stat_cpu cpus[PORT_TEST_CPUS];
static struct qr_stats stats = {.nr_cpus = PORT_TEST_CPUS, .cpus = cpus};

static void *add_thread(void *argument)
{
	for (uint32_t i = 0; i < NR_ADDS; i++) {
		qr_stat_add(&stats, QR_STAT_faults, 1);
		/* Threads migrate between CPU slots. */
		port_test_set_cpu((unsigned)((uintptr_t)argument + i / 64) % PORT_TEST_CPUS);
		qr_stat_add(&stats, QR_STAT_fault_ns, (uint64_t)1 << 32);
	}
	return NULL;
}

static void test_sum(void)
{
	pthread_t threads[NR_THREADS];

	memset(cpus, 0, sizeof(cpus));
	for (uintptr_t i = 0; i < NR_THREADS; i++)
		tap_require(!pthread_create(&threads[i], NULL, add_thread, (void *)i));
	for (uint32_t i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	tap_check_equal(qr_stat_sum(&stats, QR_STAT_faults), NR_THREADS * NR_ADDS);
	tap_check_equal(qr_stat_sum(&stats, QR_STAT_fault_ns), (uint64_t)NR_THREADS * NR_ADDS << 32);
	tap_check_equal(qr_stat_sum(&stats, QR_STAT_faults_zero), 0);
	tap_check_equal(sizeof(struct qr_stat_cpu) % QR_CACHE_LINE, 0);
}

static void test_names(void)
{
	tap_check(!strcmp(qr_stat_name(QR_STAT_faults), "faults"));
	tap_check(!strcmp(qr_stat_text(QR_STAT_faults), "page faults handled"));
	for (unsigned i = 0; i < QR_NR_STATS; i++) {
		const char *name = qr_stat_name((enum qr_stat)i);

		tap_require(name && *name && qr_stat_text((enum qr_stat)i) && *qr_stat_text((enum qr_stat)i));
		for (unsigned j = 0; j < i; j++)
			tap_check(strcmp(name, qr_stat_name((enum qr_stat)j)));
	}
	tap_check(!qr_stat_name(QR_NR_STATS));
	tap_check(!qr_stat_text(QR_NR_STATS));
}

static const struct tap_test tests[] = {
	{"stat_sum_threads_is_exact", test_sum},
	{"stat_name_all_are_distinct", test_names},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
