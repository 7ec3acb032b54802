/* The parser of machine files: what comes with the program is right, mistakes are named, and nothing breaks it. */
#include "machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"

static char text[64 << 10];
static size_t text_len;

static void load_host(void)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/ports/sim/machines/host.machine", getenv("QR_SOURCE_ROOT"));
	file = fopen(path, "r");
	tap_require(file);
	text_len = fread(text, 1, sizeof(text), file);
	fclose(file);
}

static void test_shipped(void)
{
	char names[8][QR_MACHINE_NAME_LEN], error[QR_MACHINE_ERROR_LEN];
	struct qr_machine machine;
	uint32_t nr;

	qr_machine_names(names, 8, &nr);
	tap_check(nr >= 3);
	for (uint32_t i = 0; i < nr; i++) {
		tap_check(!qr_machine_load(names[i], &machine, error));
		tap_check(!strcmp(machine.name, names[i]) && machine.title[0]);
	}
	tap_check(!qr_machine_load("numaq", &machine, error));
	tap_check_equal(machine.cpus, 16);
	tap_check(!qr_machine_load("epyc", &machine, error));
	tap_check_equal(machine.cpus, 384);
	tap_check_equal(machine.ram_gib, 2048);
}

/* The host's file with one line put in front, or with one text replaced. */
static const char *error_of(const char *from, const char *to)
{
	static char error[QR_MACHINE_ERROR_LEN];
	static char changed[sizeof(text) + 512];
	struct qr_machine machine;
	char *at;

	memcpy(changed, text, text_len);
	changed[text_len] = 0;
	at = from ? strstr(changed, from) : changed;
	tap_require(at);
	memmove(at + strlen(to), at + (from ? strlen(from) : 0), strlen(at + (from ? strlen(from) : 0)) + 1);
	memcpy(at, to, strlen(to));
	error[0] = 0;
	return qr_machine_parse("f", changed, strlen(changed), &machine, error) ? error : "";
}

static void test_mistakes(void)
{
	load_host();
	tap_check(!*error_of(NULL, ""));
	tap_check(!*error_of(NULL, "# a comment\n\n"));
	tap_check(strstr(error_of(NULL, "\ncolour = 3  # assumed\n"),
			 "f:2: unknown name 'colour'; known are: title, cpus"));
	tap_check(strstr(error_of(NULL, "no equals sign\n"), "f:1: expected"));
	tap_check(strstr(error_of(NULL, "cpus = 2  # assumed\n"), "'cpus' is given twice"));
	tap_check(strstr(error_of("cpus = 2", "cpus = two"), "'two' of 'cpus' is not a number"));
	tap_check(strstr(error_of("cpus = 2", "cpus = 0x2"), "is not a number"));
	tap_check(strstr(error_of("cpus = 2", "cpus = nan"), "is not a number"));
	tap_check(strstr(error_of("cpus = 2", "cpus = 500"), "it must be from 1 to 384"));
	tap_check(strstr(error_of("cpus = 2", "cpus = -1"), "it must be from"));
	tap_check(strstr(error_of("l2_kib = 1024", "l2_kib = 1000"), "powers of two"));
	tap_check(strstr(error_of("nodes = 1", "nodes = 3"), "multiple of nodes"));
	tap_check(strstr(error_of("cpus = 2  # measured", "cpus = 2"), "needs an origin"));
	tap_check(strstr(error_of("cpus = 2  # measured", "cpus = 2  # guessed"), "needs an origin"));
	tap_check(strstr(error_of("cpus = 2  # measured", "cpus = 2  # cited:"), "needs an origin"));
	tap_check(strstr(error_of("title =", "# title ="), "ends without 'title'"));
	tap_check(strstr(error_of("jitter_ns =", "# jitter_ns ="), "ends without 'jitter_ns'"));
}

static bool is_in_bounds(const struct qr_machine *machine)
{
#define X(field, least, greatest, what)                                                                                \
	if (!(machine->field >= (least) && machine->field <= (greatest)))                                              \
		return false;
	QR_MACHINE_PARAMETERS(X)
#undef X
	return true;
}

/* Random damage: whatever is accepted is within its bounds, whatever is not has a message. */
static void test_damage(void)
{
	static const char alphabet[] = "0123456789.=#\n\t -eEabcxyz_:";
	uint64_t seed = tap_seed();
	uint32_t nr_accepted = 0;

	load_host();
	for (uint32_t round = 0; round < 5000; round++) {
		static char changed[sizeof(text)];
		char error[QR_MACHINE_ERROR_LEN] = "";
		struct qr_machine machine;
		size_t len = text_len;

		memcpy(changed, text, len);
		for (uint32_t i = tap_random_below(&seed, 4); i > 0; i--)
			changed[tap_random_below(&seed, (uint32_t)len)] =
				alphabet[tap_random_below(&seed, sizeof(alphabet))];
		if (!tap_random_below(&seed, 4))
			len = tap_random_below(&seed, (uint32_t)len);
		if (qr_machine_parse("f", changed, len, &machine, error)) {
			tap_check(!strncmp(error, "f:", 2) && strlen(error) > 5);
		} else {
			nr_accepted++;
			tap_check(is_in_bounds(&machine));
		}
		if (tap_has_failed())
			return;
	}
	tap_note("%u of 5000 were accepted", nr_accepted);
	tap_check(nr_accepted > 100 && nr_accepted < 4900);
}

static const struct tap_test tests[] = {
	{"machine_shipped_files_parse", test_shipped},
	{"machine_mistakes_are_named", test_mistakes},
	{"machine_random_damage_breaks_nothing", test_damage},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
