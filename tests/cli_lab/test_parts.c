/*
 * Parts of `quire lab` against plain models: lists of CPUs, the nearest name, the cache under damage, tables. Seeds are
 * fixed and printed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "lab/cache.h"
#include "lab/table.h"
#include "lab/words.h"
#include "tap.h"

#define NR_ROUNDS 3000u

static uint64_t state;

static uint32_t next_random(uint32_t below)
{
	return tap_random_below(&state, below);
}

/* In the place of the command line's: what would be printed is not what is tested here. */
void qr_cli_say(const char *format, ...)
{
	(void)format;
}

static void add_model(bool *model, uint64_t number)
{
	model[number] = true;
}

/* Writes a list of random shape and marks what it means; false if it means nothing. */
static bool make_list(char *text, bool *model)
{
	uint32_t first = 1 + next_random(40), second = first + 1 + next_random(40);
	uint32_t last = 1 + next_random(600), step;
	uint64_t number;

	memset(model, 0, QR_LAB_MAX_CPUS + 1);
	switch (next_random(4)) {
	case 0:
		(void)sprintf(text, "%u,%u,%u", last, first, second);
		add_model(model, last);
		add_model(model, first);
		add_model(model, second);
		return true;
	case 1:
		(void)sprintf(text, "%u,...,%u", first, last);
		for (number = first; number < last; number *= 2)
			add_model(model, number);
		add_model(model, last);
		return first < last;
	case 2:
		(void)sprintf(text, "%u,%u,...,%u", first, second, last);
		step = second - first;
		for (number = first; number < last; number = second == 2 * first ? number * 2 : number + step)
			add_model(model, number);
		add_model(model, last);
		return second < last;
	default:
		step = 1 + next_random(40);
		(void)sprintf(text, "%u,%u,%u,...,%u", first, first + step, first + 2 * step, last);
		for (number = first; number < last; number += step)
			add_model(model, number);
		add_model(model, last);
		return first + 2 * step < last;
	}
}

static void cpus_random_lists_match_model(void)
{
	bool model[QR_LAB_MAX_CPUS + 1];
	unsigned nr_wrong = 0, nr_refused = 0;
	char text[128];

	for (unsigned round = 0; round < NR_ROUNDS; round++) {
		bool is_right = make_list(text, model);
		struct qr_lab_cpus list;
		unsigned nr = 0;

		if (qr_lab_cpus_parse(text, &list) != is_right) {
			tap_note("list %s", text);
			nr_wrong++;
		} else if (!is_right) {
			nr_refused++;
		} else {
			for (uint32_t i = 0; i <= QR_LAB_MAX_CPUS; i++)
				nr += model[i];
			for (unsigned i = 0; i < list.nr; i++)
				nr_wrong += !model[list.cpus[i]] || (i && list.cpus[i] <= list.cpus[i - 1]);
			nr_wrong += nr != list.nr;
		}
		free(list.cpus);
	}
	tap_check(nr_wrong == 0);
	tap_check(nr_refused > NR_ROUNDS / 20);
}

/* Edits a random name by one letter: replaced, dropped, doubled or swapped with its neighbour. */
static void misspell(char *word, const char *name)
{
	size_t length = strlen(name), at = next_random((uint32_t)length - 1);

	(void)strcpy(word, name);
	switch (next_random(4)) {
	case 0:
		word[at] = '#';
		break;
	case 1:
		memmove(word + at, word + at + 1, length - at);
		break;
	case 2:
		memmove(word + at + 1, word + at, length - at + 1);
		break;
	default:
		word[at] = name[at + 1];
		word[at + 1] = name[at];
	}
}

static void nearest_misspelt_name_is_found(void)
{
	json_t *list = json_pack("[s, s, s, s, s]", "fault", "churn", "mmap-lock", "lru-batch", "kernbench");
	unsigned nr_wrong = 0;
	char word[64];

	for (unsigned round = 0; round < NR_ROUNDS; round++) {
		const char *name = qr_lab_name_of(json_array_get(list, next_random(5)));
		const char *nearest;

		misspell(word, name);
		nearest = qr_lab_nearest(list, word);
		nr_wrong += !nearest || strcmp(nearest, name) != 0;
	}
	tap_check(nr_wrong == 0);
	tap_check(!qr_lab_nearest(list, "xyzzyplugh") && !qr_lab_nearest(list, ""));
	json_decref(list);
}

static json_t *make_result(const struct qr_lab_cell *cell)
{
	return json_pack("{s:s, s:i, s:i, s:i, s:i, s:f, s:i, s:f, s:s, s:[], s:[], s:{s:i}}", "workload",
			 cell->workload, "cpus", (int)cell->cpus, "seed", (int)cell->seed, "ops", 5, "virtual_ns", 1000,
			 "ops_per_s", 0.1 * (double)cell->seed, "accesses", 10, "host_seconds", 0.25, "hash", "00",
			 "locks", "lines", "counters", "faults", 3);
}

/* Cuts the file, overwrites bytes of it, or leaves it. */
static void damage(const char *path)
{
	FILE *file = fopen(path, "r+e");
	long size;

	(void)fseek(file, 0, SEEK_END);
	size = ftell(file);
	for (uint32_t nr = next_random(4); nr; nr--) {
		(void)fseek(file, next_random((uint32_t)size), SEEK_SET);
		(void)fputc((int)next_random(256), file);
	}
	if (!next_random(3) && ftruncate(fileno(file), next_random((uint32_t)size)))
		tap_note("cannot cut %s", path);
	(void)fclose(file);
}

static void cache_damaged_file_never_answers_wrongly(void)
{
	char folder[] = "/tmp/quire-parts-XXXXXX";
	struct qr_lab_machine machine = {.name = (char *)"m", .label = (char *)"m"};
	struct qr_runner runner = {.path = "/runner", .hash = "00"};
	unsigned nr_wrong = 0, nr_lost = 0;
	struct qr_lab_cache cache;
	char *command;

	tap_require(mkdtemp(folder) && !setenv("XDG_CACHE_HOME", folder, 1));
	qr_lab_cache_open(&cache, false);
	for (unsigned round = 0; round < 300; round++) {
		struct qr_lab_cell cell = {.workload = "w", .machine = &machine, .seed = 1 + round, .cpus = 4};
		char *path, *shell;
		json_t *loaded;
		FILE *list;
		char name[512];

		cell.settings = json_pack("{s:s}", "a", "b");
		cell.params = json_object();
		cell.result = make_result(&cell);
		qr_lab_cache_store(&cache, &runner, &cell);
		loaded = qr_lab_cache_load(&cache, &runner, &cell);
		nr_wrong += !json_equal(loaded, cell.result);
		json_decref(loaded);
		cell.seed++;
		nr_wrong += qr_lab_cache_load(&cache, &runner, &cell) != NULL;
		cell.seed--;
		shell = qr_lab_format("ls -t %s/*.json", cache.folder);
		list = popen(shell, "re");
		path = fgets(name, sizeof(name), list);
		(void)pclose(list);
		free(shell);
		if (path) {
			path[strcspn(path, "\n")] = '\0';
			damage(path);
			loaded = qr_lab_cache_load(&cache, &runner, &cell);
			nr_lost += !loaded;
			/* A digit of a figure may change unnoticed; the key and the shape may not. */
			nr_wrong += loaded && !qr_lab_result_is_valid(loaded, &cell);
			json_decref(loaded);
			(void)unlink(path);
		}
		json_decref(cell.settings);
		json_decref(cell.params);
		json_decref(cell.result);
	}
	tap_check(nr_wrong == 0);
	tap_check(nr_lost > 50);
	command = qr_lab_format("rm -rf %s", folder);
	tap_check(!system(command));
	free(command);
}

static void table_random_fields_line_up(void)
{
	struct qr_table *table = qr_table_make("title");
	char *text = NULL;
	size_t size = 0, first = 0, nr_lines = 0, nr_wrong = 0;
	FILE *file;

	for (unsigned i = 0; i < 6; i++)
		qr_table_add_column(table, i > 2 ? "group" : NULL, i ? "c" : "column", i == 5);
	for (unsigned row = 0; row < 100; row++) {
		qr_table_add_row(table, false);
		for (unsigned i = 0; i < 5; i++)
			qr_table_put(table, "%0*u", 1 + (int)next_random(9), next_random(10));
		qr_table_put(table, "|");
	}
	file = open_memstream(&text, &size);
	qr_table_print(table, file, 0);
	(void)fclose(file);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		const char *bar = strchr(line, '|');

		if (!bar)
			continue;
		nr_wrong += nr_lines && (size_t)(bar - line) != first;
		first = (size_t)(bar - line);
		nr_lines++;
	}
	tap_check(nr_wrong == 0 && nr_lines == 100);
	free(text);
	qr_table_free(table);
}

static void numbers_are_formatted_for_people(void)
{
	char buffer[QR_LAB_NUMBER_MAX];
	uint64_t number = 0;

	tap_check(!strcmp(qr_lab_format_rate(buffer, 999.4), "999") &&
		  !strcmp(qr_lab_format_rate(buffer, 999.6), "1.00 k") &&
		  !strcmp(qr_lab_format_rate(buffer, 12345678), "12.3 M") &&
		  !strcmp(qr_lab_format_rate(buffer, 0), "0.00"));
	tap_check(!strcmp(qr_lab_format_ns(buffer, 8500), "8.5us") &&
		  !strcmp(qr_lab_format_ns(buffer, 341000), "341us") &&
		  !strcmp(qr_lab_format_ns(buffer, 3473000), "3473us") &&
		  !strcmp(qr_lab_format_ns(buffer, 11e6), "11ms") && !strcmp(qr_lab_format_ns(buffer, 42), "42ns"));
	tap_check(!qr_lab_parse_number("", 9, &number) && !qr_lab_parse_number("0", 9, &number) &&
		  !qr_lab_parse_number("10", 9, &number) && !qr_lab_parse_number("-1", 9, &number) &&
		  !qr_lab_parse_number("99999999999999999999999", UINT64_MAX / 16, &number) &&
		  qr_lab_parse_number("9", 9, &number) && number == 9);
}

int main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{"cpus_random_lists_match_model", cpus_random_lists_match_model},
		{"nearest_misspelt_name_is_found", nearest_misspelt_name_is_found},
		{"cache_damaged_file_never_answers_wrongly", cache_damaged_file_never_answers_wrongly},
		{"table_random_fields_line_up", table_random_fields_line_up},
		{"numbers_are_formatted_for_people", numbers_are_formatted_for_people},
	};

	state = tap_seed();
	return TAP_RUN(tests, argc, argv);
}
