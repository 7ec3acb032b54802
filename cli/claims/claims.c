/* `quire claims`: every claim of the literature, our figure, the verdict. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "claims/show.h"
#include "cli.h"
#include "lab/words.h"

struct options {
	uint64_t nr_seeds;
	uint64_t nr_jobs;
	const char *html;
	bool is_json;
	bool is_quick;
	bool is_uncached;
	bool is_quiet;
	bool is_help;
};

static const struct qr_claim_family *const families[] = {
	&qr_claims_frames, &qr_claims_alloc, &qr_claims_slab,    &qr_claims_aspace,  &qr_claims_pgtable,
	&qr_claims_rmap,   &qr_claims_lru,   &qr_claims_highmem, &qr_claims_machine,
};
#define MAX_ROWS 128u

static bool parse(int argc, char **argv, struct options *options);
static bool take(struct options *options, int letter, const char *value);
static bool select_rows(char **ids, struct qr_claim_rows *rows);
static unsigned add_matching(const char *id, bool *is_chosen);
static void say_unknown(const char *id);
static int answer_rows(const struct options *options, struct qr_claim_rows *rows);
static int show_rows(const struct options *options, const struct qr_claim_rows *rows);

int qr_cli_claims(int argc, char **argv)
{
	struct options options = {.nr_seeds = QR_LAB_DEFAULT_SEEDS, .nr_jobs = QR_LAB_DEFAULT_JOBS};
	struct qr_claim_rows rows = {0};
	int status, shown;

	if (!parse(argc, argv, &options))
		return QR_EXIT_FAILED;
	if (options.is_help)
		return fputs(qr_cli_help_text("claims"), stdout) < 0 ? QR_EXIT_FAILED : 0;
	rows.options = options.is_quick ? " --quick" : "";
	rows.is_detailed = argv[optind] != NULL;
	rows.rows = qr_lab_alloc(MAX_ROWS, sizeof(*rows.rows));
	if (!select_rows(argv + optind, &rows)) {
		free(rows.rows);
		return QR_EXIT_FAILED;
	}
	status = answer_rows(&options, &rows);
	shown = status > 128 ? 0 : show_rows(&options, &rows);
	for (unsigned i = 0; i < rows.nr; i++)
		qr_answer_free(&rows.rows[i].answer);
	free(rows.rows);
	return shown ? shown : status;
}

static bool parse(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{"json", no_argument, NULL, 'j'},
		{"html", required_argument, NULL, 'H'},
		{"seeds", required_argument, NULL, 's'},
		{"quick", no_argument, NULL, 'k'},
		{"jobs", required_argument, NULL, 'J'},
		{"no-cache", no_argument, NULL, 'n'},
		{"quiet", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int letter;

	optind = 0;
	opterr = 0;
	while ((letter = getopt_long(argc, argv, ":jqh", known, NULL)) != -1) {
		if (letter == '?' || letter == ':') {
			qr_cli_say("claims: %s '%s'%s; see: quire claims --help",
				   letter == '?' ? "unknown option" : "option", argv[optind - 1],
				   letter == '?' ? "" : " needs a value");
			return false;
		}
		if (!take(options, letter, optarg))
			return false;
	}
	if (options->is_quick)
		options->nr_seeds = 1;
	return true;
}

static bool take(struct options *options, int letter, const char *value)
{
	switch (letter) {
	case 's':
		if (qr_lab_parse_number(value, QR_LAB_MAX_SEEDS, &options->nr_seeds))
			return true;
		qr_cli_say("claims: --seeds %s is not a number from 1 to %u", value, QR_LAB_MAX_SEEDS);
		return false;
	case 'J':
		if (qr_lab_parse_number(value, QR_LAB_MAX_JOBS, &options->nr_jobs))
			return true;
		qr_cli_say("claims: --jobs %s is not a number from 1 to %u", value, QR_LAB_MAX_JOBS);
		return false;
	case 'H':
		options->html = value;
		return true;
	case 'j':
		options->is_json = true;
		return true;
	case 'k':
		options->is_quick = true;
		return true;
	case 'n':
		options->is_uncached = true;
		return true;
	case 'q':
		options->is_quiet = true;
		return true;
	default:
		options->is_help = true;
		return true;
	}
}

/* In the order of the registry, whatever the order of the words. */
static bool select_rows(char **ids, struct qr_claim_rows *rows)
{
	bool is_chosen[MAX_ROWS] = {false};
	unsigned at = 0;

	for (char **id = ids; *id; id++) {
		if (!add_matching(*id, is_chosen)) {
			say_unknown(*id);
			return false;
		}
	}
	for (unsigned i = 0; i < QR_ARRAY_SIZE(families); i++) {
		for (unsigned j = 0; j < families[i]->nr && at < MAX_ROWS; j++, at++) {
			if (*ids && !is_chosen[at])
				continue;
			rows->rows[rows->nr].family = families[i];
			rows->rows[rows->nr++].claim = &families[i]->claims[j];
		}
	}
	return true;
}

/* "A4", "a4", or a family's letter. */
static unsigned add_matching(const char *id, bool *is_chosen)
{
	unsigned at = 0, nr = 0;

	for (unsigned i = 0; i < QR_ARRAY_SIZE(families); i++) {
		const char letter[] = {families[i]->letter, '\0'};

		for (unsigned j = 0; j < families[i]->nr && at < MAX_ROWS; j++, at++) {
			if (!strcasecmp(id, families[i]->claims[j].id) || !strcasecmp(id, letter)) {
				is_chosen[at] = true;
				nr++;
			}
		}
	}
	return nr;
}

static void say_unknown(const char *id)
{
	struct qr_lab_text text = {0};

	for (unsigned i = 0; i < QR_ARRAY_SIZE(families); i++)
		qr_lab_text_add(&text, "%s%s-%s", i ? ", " : "", families[i]->claims[0].id,
				families[i]->claims[families[i]->nr - 1].id);
	qr_cli_say("claims: there is no claim '%s'; there is %s", id, text.text);
	free(text.text);
}

/* Returns 0, 1 if a measurement failed, or 128 + the signal that ended the work. */
static int answer_rows(const struct options *options, struct qr_claim_rows *rows)
{
	struct qr_bench bench;
	int status = 0;

	qr_bench_open(&bench, (uint32_t)options->nr_seeds, (uint32_t)options->nr_jobs, options->is_uncached,
		      options->is_quiet);
	for (unsigned i = 0; i < rows->nr && !bench.signal; i++) {
		struct qr_answer *answer = &rows->rows[i].answer;

		qr_claim_answer(rows->rows[i].claim, &bench, answer);
		if (answer->has_failed && !bench.signal) {
			qr_cli_say("claims: %s: %s", rows->rows[i].claim->id, answer->note);
			status = 1;
		}
	}
	if (bench.signal) {
		qr_cli_say("claims: interrupted; finished cells are kept");
		status = 128 + bench.signal;
	}
	qr_bench_close(&bench);
	return status;
}

static int show_rows(const struct options *options, const struct qr_claim_rows *rows)
{
	FILE *file;
	bool has_failed;

	if (options->is_json)
		qr_claims_print_json(rows, stdout);
	else
		qr_claims_print(rows, stdout);
	if (ferror(stdout) || fflush(stdout)) {
		qr_cli_say("claims: cannot print the result: %s", strerror(errno));
		return QR_EXIT_FAILED;
	}
	if (!options->html)
		return 0;
	file = fopen(options->html, "we");
	if (file)
		qr_claims_print_html(rows, file);
	has_failed = !file || ferror(file);
	if (file && fclose(file))
		has_failed = true;
	if (has_failed)
		qr_cli_say("claims: --html %s: %s", options->html, strerror(errno));
	return has_failed ? QR_EXIT_FAILED : 0;
}
