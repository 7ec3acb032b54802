/* The `quire` command: picks the command and leaves the rest to it. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <quire/quire.h>

#include "cli.h"

static int show_help(int argc, char **argv);
static int show_version(int argc, char **argv);
static bool is_help_option(const char *word);
static int print(const char *text);

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{"run", qr_cli_run},         {"doctor", qr_cli_doctor}, {"stat", qr_cli_stat},     {"ctl", qr_cli_ctl},
	{"lab", qr_cli_lab},         {"claims", qr_cli_claims}, {"replay", qr_cli_replay}, {"record", qr_cli_record},
	{"help", show_help},         {"--help", show_help},     {"-h", show_help},         {"version", show_version},
	{"--version", show_version},
};

int main(int argc, char **argv)
{
	if (argc < 2) {
		qr_cli_say("no command given");
		(void)fputs(qr_cli_help_text(NULL), stderr);
		return QR_EXIT_FAILED;
	}
	for (size_t i = 0; i < QR_ARRAY_SIZE(commands); i++) {
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	}
	qr_cli_say("unknown command '%s'; see: quire help", argv[1]);
	return QR_EXIT_FAILED;
}

static int show_help(int argc, char **argv)
{
	const char *command = argc > 1 && !is_help_option(argv[1]) ? argv[1] : argc > 1 ? "help" : NULL;
	const char *text = qr_cli_help_text(command);

	if (!text) {
		qr_cli_say("unknown command '%s'; see: quire help", command);
		return QR_EXIT_FAILED;
	}
	return print(text);
}

static int show_version(int argc, char **argv)
{
	if (argc > 1 && is_help_option(argv[1]))
		return print(qr_cli_help_text("version"));
	if (argc > 1) {
		qr_cli_say("version: '%s' is too much", argv[1]);
		return QR_EXIT_FAILED;
	}
	return print("quire ") || print(qr_version()) || print("\n") ? QR_EXIT_FAILED : 0;
}

static bool is_help_option(const char *word)
{
	return !strcmp(word, "--help") || !strcmp(word, "-h");
}

/* Output that does not arrive is a failure: a full disk, a closed descriptor. */
static int print(const char *text)
{
	return fputs(text, stdout) < 0 || fflush(stdout) ? QR_EXIT_FAILED : 0;
}
