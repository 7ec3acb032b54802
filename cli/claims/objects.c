/* B1: the slab allocator beside the malloc of other libraries, on the host itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "claims/bench.h"
#include "lab/words.h"

#define PROGRAM "quire-lab-native"
#define LEAST_RATIO 1.0

/* libc comes with the host, the others may. The names that distributions give them. */
static const struct rival {
	const char *name, *library;
	bool is_named; /* by the row */
} rivals[] = {
	{"glibc", "", false},
	{"mimalloc", "libmimalloc.so.2", true},
	{"jemalloc", "libjemalloc.so.2", true},
};

static char *command_of(const struct qr_bench *bench, const struct rival *rival);
static double ratio_of(const char *command);

void qr_answer_objects(const struct qr_claim *claim, struct qr_bench *bench, struct qr_answer *answer)
{
	struct qr_lab_text text = {0};
	bool has_all = true;
	double least = 0;

	(void)claim;
	if (!bench->has_lab) {
		qr_answer_note(answer, "the lab is not there");
		return;
	}
	for (unsigned i = 0; i < QR_ARRAY_SIZE(rivals); i++) {
		char *command = command_of(bench, &rivals[i]);
		double ratio = ratio_of(command);

		if (ratio > 0) {
			(void)json_array_append_new(answer->basis, json_string(command));
			least = least > 0 ? QR_MIN(least, ratio) : ratio;
			qr_lab_text_add(&text, "%s%.2f times %s", text.text ? ", " : "", ratio, rivals[i].name);
		} else {
			qr_lab_text_add(&text, "%s%s is not there", text.text ? ", " : "", rivals[i].name);
			has_all = has_all && !rivals[i].is_named;
		}
		free(command);
	}
	if (least > 0)
		qr_answer_exact(answer, least, has_all && least >= LEAST_RATIO);
	qr_answer_note(answer, "%s", text.text);
	free(text.text);
}

/* The program lies beside the runner. A library that cannot be preloaded is said on stderr, and the program says that
 * it does not have it. */
static char *command_of(const struct qr_bench *bench, const struct rival *rival)
{
	const char *slash = strrchr(bench->runner.path, '/');
	struct qr_lab_text text = {0};
	char *program =
		qr_lab_format("%.*s" PROGRAM, slash ? (int)(slash + 1 - bench->runner.path) : 0, bench->runner.path);

	if (*rival->library)
		qr_lab_text_add(&text, "LD_PRELOAD=%s ", rival->library);
	qr_lab_text_add_quoted(&text, program);
	qr_lab_text_add(&text, " --objects %s", *rival->library ? rival->library : "-");
	free(program);
	return text.text;
}

/* How much faster the slab is; 0 if it cannot be told. */
static double ratio_of(const char *command)
{
	char *quiet = qr_lab_format("%s 2>/dev/null", command);
	FILE *pipe = popen(quiet, "re"); /* of words that are quoted */
	json_t *result = pipe ? json_loadf(pipe, 0, NULL) : NULL;
	double slab = qr_lab_number(result, "slab_ns"), malloc_ns = qr_lab_number(result, "malloc_ns");
	bool has_ended = pipe && !pclose(pipe);

	free(quiet);
	json_decref(result);
	return has_ended && slab > 0 ? malloc_ns / slab : 0;
}
