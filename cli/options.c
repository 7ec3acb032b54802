/* Parsing of command lines with getopt_long(3); the messages are our own: they name the option and the remedy. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli.h"
#include "lab/words.h"
#include "options.h"

static bool take_run_option(int letter, const char *value, struct qr_run_options *options);
static bool take_ram(const char *value, struct qr_run_options *options);
static bool take_group(const char *value, struct qr_run_options *options);
static bool take_name(const char *option, const char *value, const char *const *names, unsigned nr, uint32_t *out);
static bool has_needless_value(const char *word, const struct option *known);
static void say_unknown(const char *command, const char *word, const struct option *known);

static const char *const compression_names[] = {"lz4", "zstd", "none"};   /* [enum qr_compression] */
static const char *const delivery_names[] = {"auto", "thread", "signal"}; /* [enum qr_delivery] */

bool qr_options_parse_run(int argc, char **argv, struct qr_run_options *options)
{
	static const struct option known[] = {
		{"ram", required_argument, NULL, 'r'},
		{"swap", required_argument, NULL, 's'},
		{"swap-size", required_argument, NULL, 'S'},
		{"compress", required_argument, NULL, 'c'},
		{"delivery", required_argument, NULL, 'd'},
		{"group", required_argument, NULL, 'g'},
		{"report", required_argument, NULL, 'R'},
		{"stats-json", required_argument, NULL, 'j'},
		{"quiet", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int letter;

	memset(options, 0, sizeof(*options));
	optind = 0;
	opterr = 0;
	/* '+': what follows the program's name is the program's. */
	while ((letter = getopt_long(argc, argv, "+:r:s:qh", known, NULL)) != -1) {
		if (letter == '?' || letter == ':') {
			qr_options_say_bad(letter, argv, known);
			return false;
		}
		if (!take_run_option(letter, optarg, options))
			return false;
	}
	options->program = argv + optind;
	if (!*options->program && !options->is_help) {
		qr_cli_say("run: no program given; write it after --, as in: quire run --ram 2G -- python3 big.py");
		return false;
	}
	return true;
}

static bool take_run_option(int letter, const char *value, struct qr_run_options *options)
{
	uint32_t number = 0;

	switch (letter) {
	case 'r':
		return take_ram(value, options);
	case 's':
		options->swap_dir = value;
		return true;
	case 'S':
		if (qr_options_parse_size(value, &options->swap_bytes) && options->swap_bytes)
			return true;
		qr_cli_say("run: --swap-size %s is not a size; write it like 512M, 20G or 1.5GiB", value);
		return false;
	case 'c':
		if (!take_name("--compress", value, compression_names, QR_ARRAY_SIZE(compression_names), &number))
			return false;
		options->compression = (enum qr_compression)number;
		return true;
	case 'd':
		if (!take_name("--delivery", value, delivery_names, QR_ARRAY_SIZE(delivery_names), &number))
			return false;
		options->delivery = (enum qr_delivery)number;
		return true;
	case 'g':
		return take_group(value, options);
	case 'R':
		options->report = value;
		return true;
	case 'j':
		options->stats_json = value;
		return true;
	case 'q':
		options->is_quiet = true;
		return true;
	default:
		options->is_help = true;
		return true;
	}
}

static bool take_ram(const char *value, struct qr_run_options *options)
{
	char *end;
	double percent = strtod(value, &end);

	options->ram_bytes = 0;
	options->ram_percent = 0;
	if (end != value && !strcmp(end, "%") && percent > 0 && percent <= 1000) {
		options->ram_percent = percent;
		return true;
	}
	if (!qr_options_parse_size(value, &options->ram_bytes)) {
		qr_cli_say("run: --ram %s is not a size; write it like 512M, 2G, 1.5GiB or 50%%", value);
		return false;
	}
	if (options->ram_bytes < QR_RAM_MIN) {
		bool is_bare = value[strspn(value, "0123456789")] == '\0';

		qr_cli_say("run: --ram %s is %llu bytes; the least is %llu MiB%s%s%s", value,
			   (unsigned long long)options->ram_bytes, (unsigned long long)(QR_RAM_MIN >> 20),
			   is_bare ? " (a number without a unit counts bytes; did you mean " : "", is_bare ? value : "",
			   is_bare ? "M?)" : "");
		return false;
	}
	return true;
}

static bool take_group(const char *value, struct qr_run_options *options)
{
	struct qr_domain_group *group = &options->groups[options->nr_groups];

	if (options->nr_groups == QR_DOMAIN_GROUPS) {
		qr_cli_say("run: --group '%s' is one too many; there may be %u", value, QR_DOMAIN_GROUPS);
		return false;
	}
	if (!qr_options_parse_group(value, group))
		return false;
	for (unsigned i = 0; i < options->nr_groups; i++) {
		if (!strcmp(options->groups[i].name, group->name)) {
			qr_cli_say("run: --group '%s': there is a group of that name already", value);
			return false;
		}
	}
	options->nr_groups++;
	return true;
}

static bool take_name(const char *option, const char *value, const char *const *names, unsigned nr, uint32_t *out)
{
	for (unsigned i = 0; i < nr; i++) {
		if (!strcmp(value, names[i])) {
			*out = i;
			return true;
		}
	}
	qr_cli_say("run: %s %s is unknown; it is one of %s, %s and %s", option, value, names[0], names[1], names[2]);
	return false;
}

bool qr_options_parse_plain(int argc, char **argv, bool takes_operand, struct qr_plain_options *options)
{
	static const struct option known[] = {
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int letter;

	memset(options, 0, sizeof(*options));
	optind = 0;
	opterr = 0;
	while ((letter = getopt_long(argc, argv, ":hj", known, NULL)) != -1) {
		if (letter == '?' || letter == ':') {
			qr_options_say_bad(letter, argv, known);
			return false;
		}
		options->is_json |= letter == 'j';
		options->is_help |= letter == 'h';
	}
	if (takes_operand && optind < argc)
		options->operand = argv[optind++];
	if (optind < argc) {
		qr_cli_say("%s: '%s' is too much; see: quire %s --help", argv[0], argv[optind], argv[0]);
		return false;
	}
	return true;
}

void qr_options_say_bad(int letter, char **argv, const struct option *known)
{
	const char *word = argv[optind - 1];

	if (letter == ':')
		qr_cli_say("%s: option '%s' needs a value; see: quire %s --help", argv[0], word, argv[0]);
	else if (optopt && has_needless_value(word, known))
		qr_cli_say("%s: option '%s' takes no value; see: quire %s --help", argv[0], word, argv[0]);
	else if (optopt) /* a letter, maybe in the middle of a word: then getopt_long(3) has not moved on yet */
		qr_cli_say("%s: unknown option '-%c'; see: quire %s --help", argv[0], optopt, argv[0]);
	else
		say_unknown(argv[0], word, known);
}

/* Whether the word is --NAME=VALUE of the option whose letter is optopt. */
static bool has_needless_value(const char *word, const struct option *known)
{
	if (strncmp(word, "--", 2) || !strchr(word, '='))
		return false;
	while (known->name && (known->val != optopt || strncmp(known->name, word + 2, strcspn(word + 2, "="))))
		known++;
	return known->name != NULL;
}

static void say_unknown(const char *command, const char *word, const struct option *known)
{
	json_t *names = json_array();
	char *name = qr_lab_format("%.*s", (int)strcspn(word + 2, "="), word + 2);
	const char *nearest;

	for (; known->name; known++)
		(void)json_array_append_new(names, json_string(known->name));
	nearest = qr_lab_nearest(names, name);
	if (nearest)
		qr_cli_say("%s: unknown option '--%s'; did you mean '--%s'? See: quire %s --help", command, name,
			   nearest, command);
	else
		qr_cli_say("%s: unknown option '--%s'; see: quire %s --help", command, name, command);
	free(name);
	json_decref(names);
}

bool qr_options_parse_size(const char *text, uint64_t *bytes)
{
	static const char letters[] = "KMGTP";
	char *end;
	double value, unit = 1;
	const char *letter;

	/* strtod() would take hexadecimal numbers, infinities and signs. */
	if (strspn(text, "0123456789.") == 0 || text[0] == '.' || text[1] == 'x' || text[1] == 'X')
		return false;
	value = strtod(text, &end);
	if (*end == 'e' || *end == 'E' || end[-1] == '.' || memchr(text, 'e', (size_t)(end - text)) ||
	    memchr(text, 'E', (size_t)(end - text)))
		return false;
	letter = *end ? strchr(letters, *end & ~0x20) : NULL;
	if (letter) {
		bool is_decimal = !strcasecmp(end + 1, "B");

		if (!is_decimal && end[1] && strcasecmp(end + 1, "iB"))
			return false;
		for (long power = letter - letters; power >= 0; power--)
			unit *= is_decimal ? 1000 : 1024;
	} else if (*end && strcasecmp(end, "B")) {
		return false;
	}
	if (value * unit >= 18e18)
		return false;
	*bytes = (uint64_t)(value * unit);
	return true;
}

const char *qr_options_compression_name(uint32_t compression)
{
	return compression < QR_ARRAY_SIZE(compression_names) ? compression_names[compression] : "unknown";
}

const char *qr_options_delivery_name(uint32_t delivery)
{
	return delivery < QR_ARRAY_SIZE(delivery_names) ? delivery_names[delivery] : "unknown";
}
