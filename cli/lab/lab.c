/* `quire lab`: runs the product of the options on simulated machines and shows what came out. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "lab/output.h"
#include "lab/pool.h"

static bool wants_help(int argc, char **argv);
static int list(const struct qr_runner *runner, int argc, char **argv);
static int pass_on(const struct qr_runner *runner, int argc, char **argv);
static int experiment(const struct qr_runner *runner, int argc, char **argv);
static int run_and_show(const struct qr_runner *runner, const struct qr_lab_request *request,
			const struct qr_lab_plan *plan);
static bool can_write(const char *option, const char *path);
static void say_unfinished(const struct qr_lab_plan *plan, int status, bool is_kept);
static int show(const struct qr_runner *runner, const struct qr_lab_request *request, const struct qr_lab_plan *plan);
static int write_files(const struct qr_runner *runner, const struct qr_lab_request *request,
		       const struct qr_lab_plan *plan);
static int close_file(FILE *file, const char *option, const char *path);

int qr_cli_lab(int argc, char **argv)
{
	struct qr_runner runner;
	int status;

	if (wants_help(argc, argv))
		return fputs(qr_cli_help_text("lab"), stdout) < 0 ? QR_EXIT_FAILED : 0;
	status = qr_runner_find(&runner);
	if (status)
		return status;
	if (argc > 1 && !strcmp(argv[1], "list"))
		return list(&runner, argc - 1, argv + 1);
	if (argc > 1 && (!strcmp(argv[1], "validate") || !strcmp(argv[1], "calibrate")))
		return pass_on(&runner, argc - 1, argv + 1);
	return experiment(&runner, argc, argv);
}

static bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return true;
	}
	return false;
}

static int list(const struct qr_runner *runner, int argc, char **argv)
{
	bool is_json = argc == 2 && (!strcmp(argv[1], "--json") || !strcmp(argv[1], "-j"));
	struct qr_catalog catalog;
	int status = 0;

	if (argc > 1 && !is_json) {
		qr_cli_say("lab: list takes --json or nothing; see: quire lab --help");
		return QR_EXIT_FAILED;
	}
	if (qr_catalog_load(runner, &catalog))
		return QR_EXIT_FAILED;
	if (is_json)
		status = json_dumpf(catalog.root, stdout, JSON_INDENT(1)) || putchar('\n') == EOF;
	else
		qr_catalog_print(&catalog);
	qr_catalog_free(&catalog);
	return status || fflush(stdout) ? QR_EXIT_FAILED : 0;
}

/* What the runner does itself, with the options that it knows. */
static int pass_on(const struct qr_runner *runner, int argc, char **argv)
{
	const char **words = qr_lab_alloc((size_t)argc + 2, sizeof(*words));
	int status;

	words[0] = "quire-lab-cell";
	for (int i = 0; i < argc; i++)
		words[i + 1] = argv[i];
	status = qr_runner_become(runner, words);
	free(words);
	return status;
}

static int experiment(const struct qr_runner *runner, int argc, char **argv)
{
	struct qr_lab_request request;
	struct qr_catalog catalog;
	struct qr_lab_plan plan;
	int status;

	if (qr_catalog_load(runner, &catalog))
		return QR_EXIT_FAILED;
	status = qr_lab_request_parse(argc, argv, &catalog, &request);
	if (!status) {
		status = qr_lab_plan_make(&request, &catalog, &plan);
		if (!status) {
			status = run_and_show(runner, &request, &plan);
			qr_lab_plan_free(&plan);
		}
		qr_lab_request_free(&request);
	}
	qr_catalog_free(&catalog);
	return status;
}

static int run_and_show(const struct qr_runner *runner, const struct qr_lab_request *request,
			const struct qr_lab_plan *plan)
{
	struct qr_lab_cache cache;
	struct qr_lab_pool pool = {
		.runner = runner,
		.cache = &cache,
		.nr_jobs = request->nr_jobs,
		.is_quiet = request->is_quiet,
	};
	int status, shown;

	if (!can_write("--svg", request->svg) || !can_write("--report", request->report))
		return QR_EXIT_FAILED;
	qr_lab_cache_open(&cache, request->is_uncached);
	status = qr_lab_pool_run(&pool, plan->cells, plan->nr_cells);
	if (status > 1) {
		say_unfinished(plan, status, cache.folder[0] && !cache.is_off && !cache.has_failed);
		return status;
	}
	qr_lab_pool_say_failed(&pool, plan->cells, plan->nr_cells);
	shown = show(runner, request, plan);
	return shown ? shown : status;
}

/* Known before hours of work, not after. */
static bool can_write(const char *option, const char *path)
{
	bool is_there = path && !access(path, F_OK);
	FILE *file = path ? fopen(path, "ae") : NULL;

	if (path && !file)
		qr_cli_say("lab: %s %s: %s", option, path, strerror(errno));
	if (file)
		(void)fclose(file);
	if (file && !is_there)
		(void)unlink(path);
	return !path || file;
}

static void say_unfinished(const struct qr_lab_plan *plan, int status, bool is_kept)
{
	unsigned nr_done = 0;

	for (unsigned i = 0; i < plan->nr_cells; i++)
		nr_done += plan->cells[i]->state == QR_LAB_DONE;
	if (status > 128)
		qr_cli_say("lab: interrupted; %u of %u cells are finished%s", nr_done, plan->nr_cells,
			   is_kept ? " and kept, and the same command goes on from there" : "");
}

static int show(const struct qr_runner *runner, const struct qr_lab_request *request, const struct qr_lab_plan *plan)
{
	int status = 0;

	if (request->is_json) {
		json_t *root = qr_lab_to_json(runner, request, plan);

		status = json_dumpf(root, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(12)) || putchar('\n') == EOF;
		json_decref(root);
	} else {
		qr_lab_print(plan, stdout);
	}
	if (status || fflush(stdout)) {
		qr_cli_say("lab: cannot print the result: %s", strerror(errno));
		return QR_EXIT_FAILED;
	}
	return write_files(runner, request, plan);
}

/* The plot and the page. Without gnuplot the page has no plots, and the plot's file is not made. */
static int write_files(const struct qr_runner *runner, const struct qr_lab_request *request,
		       const struct qr_lab_plan *plan)
{
	struct qr_lab_page page = {.runner = runner, .request = request, .plan = plan};
	bool has_plot = (request->svg || request->report) && !qr_lab_plot(plan, QR_LAB_CURVES_RATE, &page.rates);
	int status = 0;
	FILE *file;

	if (request->svg && has_plot) {
		file = fopen(request->svg, "we");
		if (file)
			(void)fputs(page.rates.text, file);
		status = close_file(file, "--svg", request->svg);
	}
	if (request->report && !status) {
		if (has_plot)
			(void)qr_lab_plot(plan, QR_LAB_CURVES_WAIT, &page.waits);
		file = fopen(request->report, "we");
		if (file)
			qr_lab_print_html(&page, file);
		status = close_file(file, "--report", request->report);
	}
	free(page.rates.text);
	free(page.waits.text);
	return status;
}

static int close_file(FILE *file, const char *option, const char *path)
{
	bool has_failed = !file || ferror(file);

	if (file && fclose(file))
		has_failed = true;
	if (has_failed)
		qr_cli_say("lab: %s %s: %s", option, path, strerror(errno));
	return has_failed ? QR_EXIT_FAILED : 0;
}
