/* A cell's command line and name, and the figures of a variant. */
#include <stdlib.h>
#include <string.h>

#include "lab/plan.h"
#include "lab/words.h"

static unsigned add_pairs(char **words, unsigned nr, const char *option, const json_t *pairs);
static int compare_rates(const void *first, const void *second);
static double rate_of(const struct qr_lab_cell *cell);

char **qr_lab_cell_words(const struct qr_lab_cell *cell)
{
	/* The fixed words, two per pair, and NULL. */
	size_t most = 13 + 2 * (json_object_size(cell->settings) + json_object_size(cell->params));
	char **words = qr_lab_alloc(most, sizeof(*words));
	unsigned nr = 0;

	words[nr++] = qr_lab_format("quire-lab-cell");
	words[nr++] = qr_lab_format("run");
	words[nr++] = qr_lab_format("--workload");
	words[nr++] = qr_lab_format("%s", cell->workload);
	words[nr++] = qr_lab_format("--machine");
	words[nr++] = qr_lab_format("%s", cell->machine->name);
	words[nr++] = qr_lab_format("--cpus");
	words[nr++] = qr_lab_format("%u", cell->cpus);
	words[nr++] = qr_lab_format("--seed");
	words[nr++] = qr_lab_format("%llu", (unsigned long long)cell->seed);
	if (cell->ms) {
		words[nr++] = qr_lab_format("--ms");
		words[nr++] = qr_lab_format("%llu", (unsigned long long)cell->ms);
	}
	nr = add_pairs(words, nr, "--set", cell->settings);
	(void)add_pairs(words, nr, "--param", cell->params);
	return words;
}

static unsigned add_pairs(char **words, unsigned nr, const char *option, const json_t *pairs)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)pairs, name, value)
	{
		words[nr++] = qr_lab_format("%s", option);
		words[nr++] = qr_lab_format("%s=%s", name, qr_lab_name_of(value));
	}
	return nr;
}

void qr_lab_words_free(char **words)
{
	for (char **word = words; *word; word++)
		free(*word);
	free(words);
}

char *qr_lab_cell_command(const struct qr_runner *runner, const struct qr_lab_cell *cell)
{
	char **words = qr_lab_cell_words(cell);
	struct qr_lab_text line = {0};

	qr_lab_text_add_quoted(&line, runner->path);
	for (char **word = words + 1; *word; word++) {
		qr_lab_text_add(&line, " ");
		qr_lab_text_add_quoted(&line, *word);
	}
	qr_lab_words_free(words);
	return line.text;
}

char *qr_lab_cell_title(const struct qr_lab_cell *cell)
{
	char *settings = qr_lab_join_pairs(cell->settings), *params = qr_lab_join_pairs(cell->params);
	char *title = qr_lab_format("%s, %s, %u CPU%s%s%s%s%s, seed %llu", cell->workload, cell->machine->label,
				    cell->cpus, cell->cpus == 1 ? "" : "s", *settings ? ", " : "", settings,
				    *params ? ", " : "", params, (unsigned long long)cell->seed);

	free(settings);
	free(params);
	return title;
}

char *qr_lab_join_pairs(const json_t *pairs)
{
	struct qr_lab_text text = {0};
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)pairs, name, value)
		qr_lab_text_add(&text, "%s%s %s", text.length ? ", " : "", name, qr_lab_name_of(value));
	if (!text.text)
		qr_lab_text_add_bytes(&text, "", 0);
	return text.text;
}

struct qr_lab_point qr_lab_point_of(const struct qr_lab_plan *plan, const struct qr_lab_variant *variant, unsigned at)
{
	const struct qr_lab_cell *cells = variant->cells + (size_t)at * plan->nr_seeds;
	const struct qr_lab_cell *done[QR_LAB_MAX_SEEDS];
	struct qr_lab_point point = {0};

	for (uint32_t seed = 0; seed < plan->nr_seeds; seed++) {
		if (cells[seed].state == QR_LAB_DONE)
			done[point.nr++] = &cells[seed];
	}
	if (!point.nr)
		return point;
	qsort(done, point.nr, sizeof(done[0]), compare_rates);
	point.min = rate_of(done[0]);
	point.max = rate_of(done[point.nr - 1]);
	point.middle = done[(point.nr - 1) / 2];
	point.median = (rate_of(point.middle) + rate_of(done[point.nr / 2])) / 2;
	return point;
}

static int compare_rates(const void *first, const void *second)
{
	double a = rate_of(*(const struct qr_lab_cell *const *)first);
	double b = rate_of(*(const struct qr_lab_cell *const *)second);

	return a < b ? -1 : a > b;
}

static double rate_of(const struct qr_lab_cell *cell)
{
	return qr_lab_number(cell->result, "ops_per_s");
}

const struct qr_lab_cell *qr_lab_largest_of(const struct qr_lab_plan *plan, const struct qr_lab_variant *variant)
{
	for (unsigned at = variant->cpus.nr; at-- > 0;) {
		struct qr_lab_point point = qr_lab_point_of(plan, variant, at);

		if (point.nr)
			return point.middle;
	}
	return NULL;
}
