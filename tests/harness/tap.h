/*
 * A small producer of the Test Anything Protocol.
 *
 * A test program is a table of named functions that main() hands to tap_run(). A failed check prints its place and
 * marks the running test as failed; a failed requirement leaves the test as well. Checks may come from several
 * threads, requirements only from the thread that runs the test.
 *
 *   static const struct tap_test tests[] = {{"list_add_head_is_first", test_add_head}, ...};
 *   int main(int argc, char **argv) { return TAP_RUN(tests, argc, argv); }
 *
 * Arguments select tests by a part of their name. QR_TEST_SEED in the environment replaces the fixed seed.
 */
#ifndef QR_TEST_TAP_H
#define QR_TEST_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tap_test {
	const char *name;
	void (*run)(void);
};

/* Runs the tests, prints the plan last; returns the exit status: 0 when all passed, 1 otherwise. */
int tap_run(const struct tap_test *tests, size_t nr_tests, int argc, char **argv);
#define TAP_RUN(tests, argc, argv) tap_run((tests), sizeof(tests) / sizeof((tests)[0]), (argc), (argv))

/* A false condition fails the test, which goes on. The value is the condition's. */
#define tap_check(condition) tap_check_at(!!(condition), __FILE__, __LINE__, #condition)
/* The same for the equality of two integers, which are printed when they differ. */
#define tap_check_equal(left, right)                                                                                   \
	tap_check_equal_at((uint64_t)(left), (uint64_t)(right), __FILE__, __LINE__, #left " == " #right)
/* A false condition fails the test and ends it. */
#define tap_require(condition) tap_require_at(!!(condition), __FILE__, __LINE__, #condition)

bool tap_check_at(bool is_true, const char *file, int line, const char *text);
bool tap_check_equal_at(uint64_t left, uint64_t right, const char *file, int line, const char *text);
void tap_require_at(bool is_true, const char *file, int line, const char *text);

/* Ends the running test as skipped. */
__attribute__((noreturn)) void tap_skip(const char *why);
/* Prints a TAP comment. */
__attribute__((format(printf, 1, 2))) void tap_note(const char *format, ...);
/* True once a check of the running test failed: long loops stop early. */
bool tap_has_failed(void);

/* The seed of this run, never 0; tap_run prints it. */
uint64_t tap_seed(void);
/* splitmix64: the next of a stream; *state is any number and its only state. */
uint64_t tap_random(uint64_t *state);
/* Uniform enough in [0, bound), bound > 0. */
uint32_t tap_random_below(uint64_t *state, uint32_t bound);

#endif
