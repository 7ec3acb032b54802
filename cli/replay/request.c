/* Parsing of `quire replay`'s options, with the nearest name for one that is unknown. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "lab/words.h"
#include "options.h"
#include "replay/cells.h"
#include "replay/generate.h"
#include "replay/request.h"

#define DEFAULT_SIZES "1%,2%,5%,10%,20%,50%"
#define DEFAULT_PAGE_SIZE 4096u
#define DEFAULT_JOBS 2u
/* Of --generate. */
#define DEFAULT_PAGES 20000u
#define DEFAULT_ACCESSES 2000000u
#define MAX_PAGES (1u << 30)
#define MIN_PAGE_SIZE 16u
#define MAX_PAGE_SIZE ((uint64_t)1 << 40)

static const struct option known[] = {
	{"policy", required_argument, NULL, 'p'},
	{"sizes", required_argument, NULL, 's'},
	{"format", required_argument, NULL, 'f'},
	{"page-size", required_argument, NULL, 'P'},
	{"sampling", required_argument, NULL, 'm'},
	{"warmup", required_argument, NULL, 'w'},
	{"limit", required_argument, NULL, 'l'},
	{"jobs", required_argument, NULL, 'J'},
	{"json", no_argument, NULL, 'j'},
	{"svg", required_argument, NULL, 'S'},
	{"quiet", no_argument, NULL, 'q'},
	{"help", no_argument, NULL, 'h'},
	{"generate", required_argument, NULL, 'g'},
	{"pages", required_argument, NULL, 'n'},
	{"accesses", required_argument, NULL, 'a'},
	{"seed", required_argument, NULL, 'e'},
	{NULL, 0, NULL, 0},
};

static bool take_option(struct qr_replay_request *request, int letter, const char *value);
static bool take_policies(struct qr_replay_request *request, const char *value);
static bool take_policy(struct qr_replay_request *request, const char *name);
static bool take_sizes(struct qr_replay_request *request, const char *value);
static bool take_format(struct qr_replay_request *request, const char *value);
static bool take_page_size(struct qr_replay_request *request, const char *value);
static bool take_sampling(struct qr_replay_request *request, const char *value);
static bool take_warmup(struct qr_replay_request *request, const char *value);
static bool take_pattern(struct qr_replay_request *request, const char *value);
static bool take_number(const char *option, const char *value, uint64_t most, uint64_t *number);
static bool finish(struct qr_replay_request *request, char **operands);
static void say_unknown(const char *what, const char *name, json_t *names);

int qr_replay_request_parse(int argc, char **argv, struct qr_replay_request *request)
{
	bool is_right = true;
	int letter;

	*request = (struct qr_replay_request){
		.page_size = DEFAULT_PAGE_SIZE,
		.nr_jobs = DEFAULT_JOBS,
		.nr_pages = DEFAULT_PAGES,
		.nr_accesses = DEFAULT_ACCESSES,
		.seed = 1,
	};
	optind = 0;
	opterr = 0;
	while (is_right && (letter = getopt_long(argc, argv, ":jqh", known, NULL)) != -1) {
		is_right = letter != '?' && letter != ':';
		if (!is_right)
			qr_options_say_bad(letter, argv, known);
		is_right = is_right && take_option(request, letter, optarg);
	}
	return is_right && (request->is_help || finish(request, argv + optind)) ? 0 : QR_EXIT_FAILED;
}

void qr_replay_request_free(struct qr_replay_request *request)
{
	free(request->policies);
	free(request->sizes);
	*request = (struct qr_replay_request){.nr_traces = 0};
}

const char *qr_replay_policy_name(const struct qr_policy_ops *ops)
{
	return ops ? ops->name : QR_REPLAY_MIN_NAME;
}

static bool take_option(struct qr_replay_request *request, int letter, const char *value)
{
	uint64_t number = 0;

	switch (letter) {
	case 'p':
		return take_policies(request, value);
	case 's':
		return take_sizes(request, value);
	case 'f':
		return take_format(request, value);
	case 'P':
		return take_page_size(request, value);
	case 'm':
		return take_sampling(request, value);
	case 'w':
		return take_warmup(request, value);
	case 'l':
		return take_number("--limit", value, INT64_MAX, &request->limit);
	case 'J':
		if (!take_number("--jobs", value, QR_REPLAY_MAX_JOBS, &number))
			return false;
		request->nr_jobs = (unsigned)number;
		return true;
	case 'g':
		return take_pattern(request, value);
	case 'n':
		return take_number("--pages", value, MAX_PAGES, &request->nr_pages);
	case 'a':
		return take_number("--accesses", value, INT64_MAX, &request->nr_accesses);
	case 'e':
		return take_number("--seed", value, INT64_MAX, &request->seed);
	case 'S':
		request->svg = value;
		return true;
	default:
		request->is_json |= letter == 'j';
		request->is_quiet |= letter == 'q';
		request->is_help |= letter == 'h';
		return true;
	}
}

static bool take_policies(struct qr_replay_request *request, const char *value)
{
	char *list = qr_lab_format("%s", value), *rest = list, *name;
	bool is_right = true;

	request->nr_policies = 0;
	while (is_right && (name = strsep(&rest, ",")))
		is_right = take_policy(request, name);
	free(list);
	return is_right;
}

/* One that was named before is not taken again. */
static bool take_policy(struct qr_replay_request *request, const char *name)
{
	const struct qr_policy_ops *ops = qr_policy_find(name);
	json_t *names;

	if (!strcmp(name, "all")) {
		for (uint32_t i = 0; qr_policy_at(i); i++) {
			if (!take_policy(request, qr_policy_at(i)->name))
				return false;
		}
		return take_policy(request, QR_REPLAY_MIN_NAME);
	}
	if (!ops && strcmp(name, QR_REPLAY_MIN_NAME) != 0) {
		names = json_array();
		for (uint32_t i = 0; qr_policy_at(i); i++)
			(void)json_array_append_new(names, json_string(qr_policy_at(i)->name));
		(void)json_array_append_new(names, json_string(QR_REPLAY_MIN_NAME));
		(void)json_array_append_new(names, json_string("all"));
		say_unknown("policy", name, names);
		return false;
	}
	for (unsigned i = 0; i < request->nr_policies; i++) {
		if (request->policies[i] == ops)
			return true;
	}
	request->policies = realloc(request->policies, (request->nr_policies + 1) * sizeof(struct qr_policy_ops *));
	if (!request->policies)
		abort();
	request->policies[request->nr_policies++] = ops;
	return true;
}

static bool take_sizes(struct qr_replay_request *request, const char *value)
{
	free(request->sizes);
	request->sizes = qr_lab_alloc(strlen(value) + 1, sizeof(*request->sizes));
	request->nr_sizes = 0;
	for (const char *at = value;; at++) {
		struct qr_replay_size *size = &request->sizes[request->nr_sizes++];
		char *text, *end;

		*size = (struct qr_replay_size){.text = at, .length = (int)strcspn(at, ",")};
		text = qr_lab_format("%.*s", size->length, at);
		size->percent = strspn(text, "0123456789.") ? strtod(text, &end) : 0;
		if (size->percent <= 0 || size->percent > 100 || strcmp(end, "%") != 0) {
			size->percent = 0;
			if (!qr_options_parse_size(text, &size->bytes) || !size->bytes) {
				qr_cli_say("replay: '%s' is no size; write it like 64M, 1G, or 5%% of the pages of the "
					   "trace",
					   text);
				free(text);
				return false;
			}
		}
		free(text);
		at += size->length;
		if (!*at)
			return true;
	}
}

static bool take_format(struct qr_replay_request *request, const char *value)
{
	json_t *names = json_array();

	for (unsigned i = 0; i < QR_NR_TRACE_FORMATS; i++) {
		(void)json_array_append_new(names, json_string(qr_trace_format_names[i]));
		if (!strcmp(value, qr_trace_format_names[i])) {
			request->format = (enum qr_trace_format)i;
			json_decref(names);
			return true;
		}
	}
	say_unknown("format", value, names);
	return false;
}

static bool take_page_size(struct qr_replay_request *request, const char *value)
{
	if (qr_options_parse_size(value, &request->page_size) && qr_is_power_of_2(request->page_size) &&
	    request->page_size >= MIN_PAGE_SIZE && request->page_size <= MAX_PAGE_SIZE)
		return true;
	qr_cli_say("replay: --page-size %s is not a power of 2 from %u bytes on, such as 4096 or 2M", value,
		   MIN_PAGE_SIZE);
	return false;
}

static bool take_sampling(struct qr_replay_request *request, const char *value)
{
	static const char unmap[] = "unmap:1/";
	uint64_t share;

	request->pool_share = 0;
	if (!strcmp(value, "none"))
		return true;
	if (!strncmp(value, unmap, strlen(unmap)) && qr_lab_parse_number(value + strlen(unmap), UINT16_MAX, &share) &&
	    share > 1) {
		request->pool_share = (uint32_t)share;
		return true;
	}
	qr_cli_say("replay: --sampling %s is neither 'none' nor like 'unmap:1/16'", value);
	return false;
}

static bool take_warmup(struct qr_replay_request *request, const char *value)
{
	char *end = NULL;

	request->warmup_percent = strspn(value, "0123456789.") ? strtod(value, &end) : -1;
	if (end && (!*end || !strcmp(end, "%")) && request->warmup_percent >= 0 && request->warmup_percent < 100)
		return true;
	qr_cli_say("replay: --warmup %s is not a number from 0 to less than 100, the per cent of a trace that does not "
		   "count",
		   value);
	return false;
}

static bool take_pattern(struct qr_replay_request *request, const char *value)
{
	json_t *names = json_array();

	for (unsigned i = 0; qr_generate_patterns[i]; i++) {
		(void)json_array_append_new(names, json_string(qr_generate_patterns[i]));
		if (!strcmp(value, qr_generate_patterns[i])) {
			request->pattern = qr_generate_patterns[i];
			json_decref(names);
			return true;
		}
	}
	say_unknown("pattern", value, names);
	return false;
}

static bool take_number(const char *option, const char *value, uint64_t most, uint64_t *number)
{
	if (qr_lab_parse_number(value, most, number))
		return true;
	qr_cli_say("replay: %s %s is not a number from 1 to %llu", option, value, (unsigned long long)most);
	return false;
}

/* What was not given, and what does not go together. */
static bool finish(struct qr_replay_request *request, char **operands)
{
	request->traces = operands;
	while (operands[request->nr_traces])
		request->nr_traces++;
	if (request->pattern && request->nr_traces) {
		qr_cli_say("replay: --generate writes a trace to standard output; '%s' is too much", operands[0]);
		return false;
	}
	if (!request->pattern && !request->nr_traces) {
		qr_cli_say("replay: no trace given; for one of your own: quire replay --generate zipf-shift > trace");
		return false;
	}
	if (!request->nr_policies && !take_policies(request, "all"))
		return false;
	return request->nr_sizes || take_sizes(request, DEFAULT_SIZES);
}

/* Frees the names. */
static void say_unknown(const char *what, const char *name, json_t *names)
{
	const char *nearest = qr_lab_nearest(names, name);
	char *list = qr_lab_join_names(names);

	if (nearest)
		qr_cli_say("replay: unknown %s '%s'; did you mean '%s'? There are %s", what, name, nearest, list);
	else
		qr_cli_say("replay: unknown %s '%s'; there are %s", what, name, list);
	free(list);
	json_decref(names);
}
