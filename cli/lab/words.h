/* Strings of the lab: made, quoted, compared. Where memory runs out the command ends with QR_EXIT_FAILED. */
#ifndef QR_CLI_LAB_WORDS_H
#define QR_CLI_LAB_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/base.h"

/* Zeroed memory for nr objects; free(3) it. */
void *qr_lab_alloc(size_t nr, size_t size);
/* As asprintf(3); free(3) it. */
char *qr_lab_format(const char *format, ...) QR_PRINTF(1, 2);

/* Words joined over time; free(3) text. An all-zero one is empty, with text NULL. */
struct qr_lab_text {
	char *text;
	size_t length;
	size_t size;
};
void qr_lab_text_add(struct qr_lab_text *text, const char *format, ...) QR_PRINTF(2, 3);
/* Adds the bytes as they are. */
void qr_lab_text_add_bytes(struct qr_lab_text *text, const char *bytes, size_t length);

/* Adds a word as a shell reads it back: in quotes where it needs them. */
void qr_lab_text_add_quoted(struct qr_lab_text *text, const char *word);

/* Of the names in a list (JSON array of strings, or of objects with "name"), the one that differs from name by the
 * fewest letters; NULL if none is near enough to be meant. */
const char *qr_lab_nearest(const json_t *list, const char *name);
/* "a, b and c" of the same kind of list; free(3) it. */
char *qr_lab_join_names(const json_t *list);
/* The name of a list's entry: the string itself or the object's "name". Never NULL. */
const char *qr_lab_name_of(const json_t *entry);

/* A whole number from 1 to most without sign or blanks; returns false otherwise. */
bool qr_lab_parse_number(const char *word, uint64_t most, uint64_t *number);

/* Three or four significant digits with a unit prefix: "12.3 M", "845 k", "0.42". Into buffer, which is returned. */
#define QR_LAB_NUMBER_MAX 32u
char *qr_lab_format_rate(char buffer[QR_LAB_NUMBER_MAX], double value);
/* Time as the lock tables of the literature print it: "8.5us", "341us", "11ms". */
char *qr_lab_format_ns(char buffer[QR_LAB_NUMBER_MAX], double ns);

/* The number (or 0) and the string (or "") under a key of a JSON object. */
double qr_lab_number(const json_t *object, const char *key);
const char *qr_lab_string(const json_t *object, const char *key);

#endif
