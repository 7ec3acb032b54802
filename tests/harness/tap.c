/* The TAP producer; see tap.h. */
#include "tap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Failed checks that are printed per test; the rest is only counted. */
#define MAX_PRINTED 10u
#define DEFAULT_SEED 20231u

static uint32_t nr_failed_checks; /* of the running test, atomic */
static const char *skip_reason;
static jmp_buf test_end;

static bool tap_run_one(const struct tap_test *test, unsigned number);
static bool tap_is_selected(const char *name, int argc, char **argv);

int tap_run(const struct tap_test *tests, size_t nr_tests, int argc, char **argv)
{
	unsigned nr_run = 0;
	unsigned nr_failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("# seed %llu\n", (unsigned long long)tap_seed());
	for (size_t i = 0; i < nr_tests; i++) {
		if (!tap_is_selected(tests[i].name, argc, argv))
			continue;
		if (!tap_run_one(&tests[i], ++nr_run))
			nr_failed++;
	}
	printf("1..%u\n", nr_run);
	if (nr_failed)
		printf("# %u of %u failed; repeat with QR_TEST_SEED=%llu\n", nr_failed, nr_run,
		       (unsigned long long)tap_seed());
	return nr_failed ? 1 : 0;
}

static bool tap_run_one(const struct tap_test *test, unsigned number)
{
	bool is_ok;

	__atomic_store_n(&nr_failed_checks, 0, __ATOMIC_RELAXED);
	skip_reason = NULL;
	if (!setjmp(test_end))
		test->run();
	is_ok = !tap_has_failed();
	printf("%s %u - %s", is_ok ? "ok" : "not ok", number, test->name);
	if (is_ok && skip_reason)
		printf(" # SKIP %s", skip_reason);
	printf("\n");
	return is_ok;
}

static bool tap_is_selected(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strstr(name, argv[i]))
			return true;
	}
	return argc <= 1;
}

bool tap_check_at(bool is_true, const char *file, int line, const char *text)
{
	if (is_true)
		return true;
	if (__atomic_fetch_add(&nr_failed_checks, 1, __ATOMIC_RELAXED) < MAX_PRINTED)
		printf("# %s:%d: failed: %s\n", file, line, text);
	return false;
}

bool tap_check_equal_at(uint64_t left, uint64_t right, const char *file, int line, const char *text)
{
	char values[512];

	if (left == right)
		return true;
	snprintf(values, sizeof(values), "%s (%lld, %lld)", text, (long long)left, (long long)right);
	return tap_check_at(false, file, line, values);
}

void tap_require_at(bool is_true, const char *file, int line, const char *text)
{
	if (!tap_check_at(is_true, file, line, text))
		longjmp(test_end, 1);
}

void tap_skip(const char *why)
{
	skip_reason = why;
	longjmp(test_end, 1);
}

void tap_note(const char *format, ...)
{
	va_list arguments;
	char line[512];

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	printf("# %s\n", line);
}

bool tap_has_failed(void)
{
	return __atomic_load_n(&nr_failed_checks, __ATOMIC_RELAXED) != 0;
}

uint64_t tap_seed(void)
{
	const char *text = getenv("QR_TEST_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 0) : 0;

	return seed ? seed : DEFAULT_SEED;
}

/* Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014, figure 17. */
uint64_t tap_random(uint64_t *state)
{
	uint64_t mixed = *state += 0x9e3779b97f4a7c15u;

	mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
	mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
	return mixed ^ (mixed >> 31);
}

uint32_t tap_random_below(uint64_t *state, uint32_t bound)
{
	/* The high half of a 32 x 32 bit product maps the range without a division. */
	return (uint32_t)(((tap_random(state) >> 32) * bound) >> 32);
}
