/* `quire doctor`: prints what the checks found. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "doctor.h"
#include "options.h"

static const char *const status_names[] = {"ok", "limited", "missing"}; /* [enum qr_check_status] */

static void print_text(const struct qr_check *checks, unsigned nr, bool can_run);
static int print_json(const struct qr_check *checks, unsigned nr, bool can_run);

int qr_cli_doctor(int argc, char **argv)
{
	struct qr_check checks[QR_NR_CHECKS];
	struct qr_plain_options options;
	bool can_run = true;
	unsigned nr;
	int status = 0;

	if (!qr_options_parse_plain(argc, argv, false, &options))
		return QR_EXIT_FAILED;
	if (options.is_help)
		return fputs(qr_cli_help_text("doctor"), stdout) < 0 ? QR_EXIT_FAILED : 0;
	nr = qr_doctor_look(checks);
	for (unsigned i = 0; i < nr; i++)
		can_run &= !(checks[i].is_needed && checks[i].status == QR_CHECK_MISSING);
	if (options.is_json)
		status = print_json(checks, nr, can_run);
	else
		print_text(checks, nr, can_run);
	return fflush(stdout) || status || !can_run;
}

static void print_text(const struct qr_check *checks, unsigned nr, bool can_run)
{
	for (unsigned i = 0; i < nr; i++) {
		printf("%-8s %-22s %s\n", status_names[checks[i].status], checks[i].name, checks[i].found);
		if (checks[i].effect)
			printf("%31s %s\n", "", checks[i].effect);
		if (checks[i].remedy)
			printf("%31s to change it: %s\n", "", checks[i].remedy);
	}
	printf("\nquire run %s on this machine.\n", can_run ? "works" : "does not work");
}

static int print_json(const struct qr_check *checks, unsigned nr, bool can_run)
{
	json_t *array = json_array();
	json_t *root;
	int status;

	for (unsigned i = 0; array && i < nr; i++)
		(void)json_array_append_new(array, json_pack("{s:s, s:s, s:b, s:s, s:s?, s:s?}", "name", checks[i].name,
							     "status", status_names[checks[i].status], "needed",
							     (int)checks[i].is_needed, "found", checks[i].found,
							     "effect", checks[i].effect, "remedy", checks[i].remedy));
	root = json_pack("{s:b, s:o}", "can_run", (int)can_run, "checks", array);
	status = !root || json_dumpf(root, stdout, JSON_INDENT(1)) || putchar('\n') == EOF;
	json_decref(root);
	return status;
}
