/* Turns of the first CPU, of the second, and of both. */
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include "native.h"

#define TURN_NS 400000u
#define PAUSE_NS 1200000u  /* between turns, so that the host gives both CPUs at once */
#define MAX_TRIES 12u      /* turns for each that has to be undisturbed */
#define FIRST_TURNS 8u     /* are not counted: caches are cold */
#define LONGEST_GAP_NS 30000u /* between looks at the clock: longer, and somebody else ran */
#define LATEST_START_NS 5000u
#define LEAST_TURNS 5u
/* Passes of the word between the CPUs before each turn of both, in groups; the quickest group counts. */
#define NR_PASSES 16u
#define NR_GROUPS 12u
/* Turns whose transfers took so much more or less than the median ones: the host had moved a virtual CPU. */
#define TRANSFER_SPREAD 1.3
#define NR_DRAWS 4096u /* a power of two */

struct thread {
	uint64_t nr_ops;
	uint64_t begin, end, last, longest_gap;
	uint64_t next_look; /* operation at which it looks at the clock again */
	uint64_t random;
	long nr_switches;
} QR_ALIGNED(2 * QR_CACHE_LINE);

static struct thread threads[QR_NATIVE_CPUS];
static uint64_t start_ns, limit_ticks, look_every;
static uint32_t nr_threads, first_cpu; /* that work in this turn: first_cpu and up */
static bool is_ending;
static pthread_barrier_t barrier;
static uint32_t met[QR_NATIVE_CPUS];
static struct {
	uint64_t word QR_ALIGNED(2 * QR_CACHE_LINE);
} pass[QR_NATIVE_CPUS];
static double transfer_ns; /* of this turn */
static _Thread_local struct thread *self;
/* Exponentially distributed, mean 1, in 1/65536. */
static uint64_t draws[NR_DRAWS];

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

double qr_native_ticks_per_ns(void)
{
	static double rate;

	if (rate <= 0) {
		uint64_t ns = now_ns(), ticks = qr_native_ticks();

		while (now_ns() < ns + 20000000u)
			;
		rate = (double)(qr_native_ticks() - ticks) / (double)(now_ns() - ns);
	}
	return rate;
}

/* ---- What workloads call ---- */

bool qr_lab_running(struct qr_lab *lab)
{
	uint64_t now;

	(void)lab;
	qr_native_quiescent();
	if (self->nr_ops++ < self->next_look)
		return true;
	self->next_look = self->nr_ops + look_every;
	now = qr_native_ticks();
	self->longest_gap = QR_MAX(self->longest_gap, now - self->last);
	self->last = now;
	return now < limit_ticks;
}

uint64_t qr_lab_nr_sleeps(struct qr_lab *lab)
{
	struct rusage usage;

	(void)lab;
	return getrusage(RUSAGE_THREAD, &usage) ? 0 : (uint64_t)usage.ru_nvcsw;
}

uint64_t qr_lab_random(struct qr_lab *lab)
{
	(void)lab;
	self->random = self->random * 6364136223846793005u + 1442695040888963407u;
	return self->random >> 24;
}

void qr_lab_think(struct qr_lab *lab, uint64_t mean_ns)
{
	uint64_t begin;
	uint64_t wait;

	if (!mean_ns)
		return;
	/* Begins when the operation before has ended: else it would hide what that waits for. */
	__builtin_ia32_lfence();
	begin = qr_native_ticks();
	wait = (uint64_t)((double)mean_ns * qr_native_ticks_per_ns()) * draws[qr_lab_random(lab) % NR_DRAWS] >> 16;
	while (qr_native_ticks() - begin < wait)
		;
}

void *qr_lab_alloc(struct qr_lab *lab, uint64_t len_bytes)
{
	void *memory = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	(void)lab;
	if (memory == MAP_FAILED)
		qr_lab_fail("no memory", QR_ENOMEM);
	return memory;
}

uint64_t qr_lab_load(const uint64_t *at)
{
	return *(const volatile uint64_t *)at;
}

void qr_lab_store(uint64_t *at, uint64_t value)
{
	*(volatile uint64_t *)at = value;
}

uint64_t qr_lab_exchange(uint64_t *at, uint64_t value)
{
	return __atomic_exchange_n(at, value, __ATOMIC_ACQ_REL);
}

void qr_lab_fail(const char *what, int error)
{
	fprintf(stderr, "quire-lab-native: %s: %s\n", what, strerror(-error));
	exit(1);
}

/* ---- Turns ---- */

static long involuntary_switches(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nivcsw;
}

static uint64_t shorter(uint64_t left, uint64_t right)
{
	return left < right ? left : right;
}

/* A word goes to and fro; returns ns for one way. */
static double measure_transfer(uint32_t cpu)
{
	uint64_t quickest = UINT64_MAX, begin = 0;

	for (uint64_t i = 1; i <= (uint64_t)NR_PASSES * NR_GROUPS; i++) {
		if (i % NR_PASSES == 1)
			begin = qr_native_ticks();
		if (cpu == 0)
			__atomic_store_n(&pass[0].word, i, __ATOMIC_RELEASE);
		while (__atomic_load_n(&pass[!cpu].word, __ATOMIC_ACQUIRE) < i)
			;
		if (cpu == 1)
			__atomic_store_n(&pass[1].word, i, __ATOMIC_RELEASE);
		if (i % NR_PASSES == 0)
			quickest = shorter(quickest, qr_native_ticks() - begin);
	}
	return (double)quickest / qr_native_ticks_per_ns() / (2 * NR_PASSES);
}

static void turn(struct qr_lab *lab, uint32_t cpu)
{
	struct timespec start = {(time_t)(start_ns / 1000000000u), (long)(start_ns % 1000000000u)};
	long switches;

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &start, NULL);
	if (cpu < first_cpu || cpu >= first_cpu + nr_threads)
		return;
	__atomic_store_n(&met[cpu], 1, __ATOMIC_SEQ_CST);
	while (nr_threads > 1 && !__atomic_load_n(&met[!cpu], __ATOMIC_SEQ_CST))
		__builtin_ia32_pause();
	if (nr_threads > 1) {
		double transfer = measure_transfer(cpu);

		if (cpu == 0)
			transfer_ns = transfer;
	}
	switches = involuntary_switches();
	self->nr_ops = self->longest_gap = 0;
	self->next_look = look_every;
	self->begin = self->last = qr_native_ticks();
	__atomic_store_n(&limit_ticks, self->begin + (uint64_t)(TURN_NS * qr_native_ticks_per_ns()), __ATOMIC_RELAXED);
	lab->workload->run(lab, cpu);
	qr_native_offline();
	self->end = self->last;
	self->nr_switches = involuntary_switches() - switches;
}

struct thread_argument {
	struct qr_lab *lab;
	uint32_t cpu;
};

static void *thread_main(void *argument)
{
	const struct thread_argument *thread = argument;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(thread->cpu, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	qr_native_set_cpu(thread->cpu);
	self = &threads[thread->cpu];
	self->random = thread->cpu * 7919 + 1;
	for (;;) {
		pthread_barrier_wait(&barrier);
		if (is_ending)
			return NULL;
		turn(thread->lab, thread->cpu);
		pthread_barrier_wait(&barrier);
	}
}

/* ns per operation and CPU of the turn that ended, or 0 if it was disturbed. */
static double turn_time(void)
{
	double rate = qr_native_ticks_per_ns(), per_ns = 0;
	uint64_t first = UINT64_MAX, last = 0;

	for (uint32_t i = first_cpu; i < first_cpu + nr_threads; i++) {
		const struct thread *thread = &threads[i];

		if (thread->nr_switches || (double)thread->longest_gap > LONGEST_GAP_NS * rate)
			return 0;
		per_ns += (double)thread->nr_ops / ((double)(thread->end - thread->begin) / rate);
		first = QR_MIN(first, thread->begin);
		last = QR_MAX(last, thread->begin);
	}
	return (double)(last - first) > LATEST_START_NS * rate ? 0 : nr_threads / per_ns;
}

static int compare(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return a < b ? -1 : a > b;
}

static double median(const double *values, uint32_t nr)
{
	double *sorted = calloc(nr + 1, sizeof(*sorted));
	double middle;

	if (!sorted)
		qr_lab_fail("no memory", QR_ENOMEM);
	memcpy(sorted, values, nr * sizeof(*sorted));
	qsort(sorted, nr, sizeof(*sorted), compare);
	middle = sorted[nr / 2];
	free(sorted);
	return middle;
}

/* What undisturbed turns took: of either CPU alone, since one may be slower for what its host does beside, and of
 * both. */
enum turn_kind { TURN_FIRST, TURN_SECOND, TURN_BOTH, NR_TURN_KINDS };
struct record {
	double *times[NR_TURN_KINDS];
	double *transfers; /* of turns of both */
	uint32_t nr[NR_TURN_KINDS];
};

/* Turns until there are enough of each kind; turns of both CPUs stand between all others. */
static void take_turns(uint32_t nr_turns, struct record *record)
{
	static const enum turn_kind order[] = {TURN_FIRST, TURN_BOTH, TURN_SECOND, TURN_BOTH};
	uint32_t *nr = record->nr;

	for (uint32_t try = 0; try < nr_turns * 2 * MAX_TRIES; try++) {
		enum turn_kind kind = order[try % QR_ARRAY_SIZE(order)];
		double time;

		if (nr[TURN_FIRST] == nr_turns && nr[TURN_SECOND] == nr_turns && nr[TURN_BOTH] == nr_turns)
			break;
		nr_threads = kind == TURN_BOTH ? 2 : 1;
		first_cpu = kind == TURN_SECOND;
		met[0] = met[1] = 0;
		pass[0].word = pass[1].word = 0;
		start_ns = now_ns() + PAUSE_NS;
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		time = turn_time();
		/* Looks at the clock should be rarer than operations, but a few to each turn. */
		if (try < FIRST_TURNS && time > 0)
			look_every = QR_MIN(32u, (uint64_t)(LONGEST_GAP_NS / 4 / time));
		if (try < FIRST_TURNS || time <= 0 || nr[kind] == nr_turns)
			continue;
		if (kind == TURN_BOTH)
			record->transfers[nr[kind]] = transfer_ns;
		record->times[kind][nr[kind]++] = time;
	}
}

/* Drops the turns of both during which the CPUs were nearer to each other than usual, or farther. */
static void drop_odd_turns(struct record *record)
{
	double usual = median(record->transfers, record->nr[TURN_BOTH]);
	uint32_t nr_kept = 0;

	for (uint32_t i = 0; i < record->nr[TURN_BOTH]; i++) {
		double factor = record->transfers[i] / usual;

		if (factor > TRANSFER_SPREAD || factor < 1 / TRANSFER_SPREAD)
			continue;
		record->transfers[nr_kept] = record->transfers[i];
		record->times[TURN_BOTH][nr_kept++] = record->times[TURN_BOTH][i];
	}
	record->nr[TURN_BOTH] = nr_kept;
}

bool qr_native_measure(struct qr_lab *lab, uint32_t nr_turns, struct qr_native_time *time)
{
	struct thread_argument arguments[QR_NATIVE_CPUS];
	pthread_t handles[QR_NATIVE_CPUS];
	double *all = calloc((NR_TURN_KINDS + 1) * (size_t)nr_turns, sizeof(*all));
	struct record record = {.transfers = all + NR_TURN_KINDS * (size_t)nr_turns};

	for (uint32_t i = 0; i < NR_DRAWS; i++)
		draws[i] = (uint64_t)(-log((i + 0.5) / NR_DRAWS) * 65536);
	(void)qr_native_ticks_per_ns();
	if (!all || pthread_barrier_init(&barrier, NULL, QR_NATIVE_CPUS + 1))
		qr_lab_fail("no memory", QR_ENOMEM);
	for (uint32_t i = 0; i < QR_NATIVE_CPUS; i++) {
		arguments[i] = (struct thread_argument){lab, i};
		if (pthread_create(&handles[i], NULL, thread_main, &arguments[i]))
			qr_lab_fail("no thread", QR_EAGAIN);
	}
	for (uint32_t kind = 0; kind < NR_TURN_KINDS; kind++)
		record.times[kind] = all + kind * (size_t)nr_turns;
	take_turns(nr_turns, &record);
	is_ending = true;
	pthread_barrier_wait(&barrier);
	for (uint32_t i = 0; i < QR_NATIVE_CPUS; i++)
		pthread_join(handles[i], NULL);
	drop_odd_turns(&record);
	*time = (struct qr_native_time){
		.nr_one = QR_MIN(record.nr[TURN_FIRST], record.nr[TURN_SECOND]),
		.nr_two = record.nr[TURN_BOTH],
	};
	if (time->nr_one >= LEAST_TURNS && time->nr_two >= LEAST_TURNS) {
		time->one_ns = 2 / (1 / median(record.times[TURN_FIRST], record.nr[TURN_FIRST]) +
				    1 / median(record.times[TURN_SECOND], record.nr[TURN_SECOND]));
		time->two_ns = median(record.times[TURN_BOTH], record.nr[TURN_BOTH]);
		time->transfer_ns = median(record.transfers, record.nr[TURN_BOTH]);
	}
	free(all);
	return time->one_ns > 0;
}
