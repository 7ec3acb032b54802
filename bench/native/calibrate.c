/*
 * What the host's caches and locked operations cost: parameters of a machine file as far as they can be measured by
 * themselves. Each figure is the median over turns of a fraction of a millisecond.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "native.h"

#define NR_TURNS 60u
#define NR_STEPS 20000u
#define L2_BYTES (512u << 10)
#define DRAM_BYTES (256u << 20)
#define NR_LINES 2048u
#define LINE_STRIDE (2 * QR_CACHE_LINE) /* past what the processor fetches along */
#define NR_PASSES 1000u

struct line {
	uint64_t value QR_ALIGNED(2 * QR_CACHE_LINE);
};

static struct line ping, pong, turn_word;
static uint8_t *chain_l2, *chain_dram, *chain_shared;
static volatile uint64_t sink;

static void pin(uint32_t cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

/* A random cycle through the memory, one pointer per stride. */
static uint8_t *chain_create(uint64_t nr_bytes, uint64_t stride)
{
	uint64_t nr = nr_bytes / stride, random = 7;
	uint8_t *memory = mmap(NULL, nr_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t *order = malloc(nr * sizeof(*order));

	if (memory == MAP_FAILED || !order)
		qr_lab_fail("no memory", QR_ENOMEM);
	(void)madvise(memory, nr_bytes, MADV_HUGEPAGE);
	for (uint32_t i = 0; i < nr; i++)
		order[i] = i;
	for (uint64_t i = nr - 1; i > 0; i--) {
		uint64_t other;
		uint32_t kept = order[i];

		random = random * 6364136223846793005u + 1442695040888963407u;
		other = (random >> 33) % (i + 1);
		order[i] = order[other];
		order[other] = kept;
	}
	for (uint64_t i = 0; i < nr; i++)
		*(uint8_t **)(void *)(memory + order[i] * stride) = memory + order[(i + 1) % nr] * stride;
	free(order);
	return memory;
}

static double ns_per(uint64_t begin, uint64_t nr)
{
	return (double)(qr_native_ticks() - begin) / qr_native_ticks_per_ns() / (double)nr;
}

static double walk(uint8_t **at, uint32_t nr)
{
	uint64_t begin = qr_native_ticks();

	for (uint32_t i = 0; i < nr; i++)
		*at = *(uint8_t *volatile *)(void *)*at;
	return ns_per(begin, nr);
}

static double measure_l2(void)
{
	static uint8_t *at;

	if (!at)
		at = chain_l2;
	return walk(&at, NR_STEPS);
}

static double measure_dram(void)
{
	static uint8_t *at;

	if (!at)
		at = chain_dram;
	return walk(&at, NR_STEPS / 20);
}

static double measure_locked(void)
{
	uint64_t begin = qr_native_ticks();

	for (uint32_t i = 0; i < NR_STEPS; i++)
		(void)__atomic_fetch_add(&ping.value, 1, __ATOMIC_SEQ_CST);
	return ns_per(begin, NR_STEPS);
}

static double measure_pause(void)
{
	uint64_t begin = qr_native_ticks();

	for (uint32_t i = 0; i < NR_STEPS / 4; i++)
		__builtin_ia32_pause();
	return ns_per(begin, NR_STEPS / 4);
}

static double measure_clock(void)
{
	uint64_t begin = qr_native_ticks();

	for (uint32_t i = 0; i < NR_STEPS / 4; i++)
		sink = qr_native_ticks();
	return ns_per(begin, NR_STEPS / 4);
}

/* ---- With a partner on the other CPU, who does one thing each turn ---- */

static void (*partner_job)(void);

static void *partner_main(void *argument)
{
	uint64_t turn = 0;

	(void)argument;
	pin(1);
	for (;;) {
		uint64_t seen;

		while ((seen = __atomic_load_n(&turn_word.value, __ATOMIC_ACQUIRE)) <= turn)
			__builtin_ia32_pause();
		if (seen == UINT64_MAX)
			return NULL;
		partner_job();
		turn = seen + 1;
		__atomic_store_n(&turn_word.value, turn, __ATOMIC_RELEASE);
	}
}

/* The partner's job of this turn begins, and has ended when it returns. */
static uint64_t partner_start(void)
{
	uint64_t turn = __atomic_load_n(&turn_word.value, __ATOMIC_ACQUIRE) + 1;

	__atomic_store_n(&turn_word.value, turn, __ATOMIC_RELEASE);
	return turn;
}

static void partner_wait(uint64_t turn)
{
	while (__atomic_load_n(&turn_word.value, __ATOMIC_ACQUIRE) == turn)
		__builtin_ia32_pause();
}

static void make_dirty(void)
{
	for (uint32_t i = 0; i < NR_LINES; i++)
		((volatile uint64_t *)(void *)(chain_shared + i * LINE_STRIDE))[1]++;
}

static double measure_dirty(void)
{
	uint8_t *at = chain_shared;

	partner_wait(partner_start());
	return walk(&at, NR_LINES);
}

static void answer(void)
{
	for (uint64_t i = 1; i <= NR_PASSES; i++) {
		while (__atomic_load_n(&ping.value, __ATOMIC_ACQUIRE) != i)
			;
		__atomic_store_n(&pong.value, i, __ATOMIC_RELEASE);
	}
}

/* One way of a word that goes to and fro. */
static double measure_pingpong(void)
{
	uint64_t begin, turn;

	ping.value = pong.value = 0;
	turn = partner_start();
	begin = qr_native_ticks();
	for (uint64_t i = 1; i <= NR_PASSES; i++) {
		__atomic_store_n(&ping.value, i, __ATOMIC_RELEASE);
		while (__atomic_load_n(&pong.value, __ATOMIC_ACQUIRE) != i)
			;
	}
	begin = qr_native_ticks() - begin;
	partner_wait(turn);
	return (double)begin / qr_native_ticks_per_ns() / (2 * NR_PASSES);
}

static int compare(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return a < b ? -1 : a > b;
}

static void report(const char *name, double (*measure)(void), const char *text, bool is_last)
{
	double values[NR_TURNS];

	for (uint32_t i = 0; i < NR_TURNS; i++)
		values[i] = measure();
	qsort(values, NR_TURNS, sizeof(values[0]), compare);
	printf("  {\"name\": \"%s\", \"median_ns\": %.2f, \"p10_ns\": %.2f, \"what\": \"%s\"}%s\n", name,
	       values[NR_TURNS / 2], values[NR_TURNS / 10], text, is_last ? "" : ",");
}

void qr_native_calibrate(void)
{
	pthread_t partner;

	pin(0);
	chain_l2 = chain_create(L2_BYTES, QR_CACHE_LINE);
	chain_dram = chain_create(DRAM_BYTES, QR_PAGE_SIZE / 4);
	chain_shared = chain_create((uint64_t)NR_LINES * LINE_STRIDE, LINE_STRIDE);
	printf("{\"parameters\": [\n");
	report("l2_ns", measure_l2, "dependent read that hits the second level", false);
	report("dram_local_ns", measure_dram, "dependent read from memory", false);
	report("locked_ns", measure_locked, "locked addition to a line of the own cache", false);
	report("pause_ns", measure_pause, "one turn of a spin loop", false);
	report("clock_ns", measure_clock, "reading of the clock", false);
	partner_job = make_dirty;
	if (pthread_create(&partner, NULL, partner_main, NULL))
		qr_lab_fail("no thread", QR_EAGAIN);
	report("dirty_cluster_ns", measure_dirty, "dependent read of a line that the other CPU modified", false);
	partner_job = answer;
	report("ping_pong_ns", measure_pingpong, "one way of a word between two CPUs", true);
	printf("]}\n");
	__atomic_store_n(&turn_word.value, UINT64_MAX, __ATOMIC_RELEASE);
	pthread_join(partner, NULL);
}
