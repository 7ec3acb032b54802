/* Lists of CPU counts: "1,2,4,...,384". */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "lab/request.h"
#include "lab/words.h"

static bool add(struct qr_lab_cpus *list, uint64_t number);
static bool go_on(struct qr_lab_cpus *list, unsigned nr_given, uint64_t last);
static void sort(struct qr_lab_cpus *list);
static int compare(const void *first, const void *second);
static bool refuse(struct qr_lab_cpus *list, const char *text, const char *why);

bool qr_lab_cpus_parse(const char *text, struct qr_lab_cpus *list)
{
	char *copy = qr_lab_format("%s", text), *rest = copy, *word;
	const char *wrong = NULL;
	bool is_dots = false;
	unsigned nr_given = 0; /* numbers since the list began or since the last dots */

	memset(list, 0, sizeof(*list));
	while (!wrong && (word = strsep(&rest, ",")) != NULL) {
		uint64_t number = 0;

		if (!strcmp(word, "...")) {
			wrong = is_dots || !nr_given ? "dots stand between two numbers" : NULL;
			is_dots = true;
		} else if (!qr_lab_parse_number(word, QR_LAB_MAX_CPUS, &number)) {
			wrong = "each is a number from 1 to 4096 or the three dots";
		} else if (is_dots) {
			wrong = go_on(list, nr_given, number)
					? NULL
					: "the numbers before the dots must double or rise by one step, and end below "
					  "the last";
			is_dots = false;
			nr_given = 1;
		} else {
			wrong = add(list, number) ? NULL : "it is too long";
			nr_given++;
		}
	}
	free(copy);
	if (!wrong && is_dots)
		wrong = "a number must stand behind the dots";
	if (wrong)
		return refuse(list, text, wrong);
	sort(list);
	return true;
}

void qr_lab_cpus_double(uint32_t most, struct qr_lab_cpus *list)
{
	memset(list, 0, sizeof(*list));
	for (uint64_t number = 1; number < most; number *= 2)
		(void)add(list, number);
	(void)add(list, most);
}

static bool add(struct qr_lab_cpus *list, uint64_t number)
{
	if (!list->cpus)
		list->cpus = qr_lab_alloc(QR_LAB_MAX_CPUS, sizeof(*list->cpus));
	if (list->nr == QR_LAB_MAX_CPUS)
		return false;
	list->cpus[list->nr++] = (uint32_t)number;
	return true;
}

/* One number before the dots doubles. Two double if they do, else they step; with three or more all must agree. */
static bool go_on(struct qr_lab_cpus *list, unsigned nr_given, uint64_t last)
{
	const uint32_t *given = list->cpus + list->nr - nr_given;
	uint64_t number = given[nr_given - 1];
	bool is_doubling = true, is_stepping = nr_given > 1;
	uint64_t step = nr_given > 1 && given[1] > given[0] ? given[1] - given[0] : 0;

	for (unsigned i = 1; i < nr_given; i++) {
		is_doubling = is_doubling && given[i] == 2 * (uint64_t)given[i - 1];
		is_stepping = is_stepping && step && given[i] == given[i - 1] + step;
	}
	if ((!is_doubling && !is_stepping) || number >= last)
		return false;
	for (number = is_doubling ? 2 * number : number + step; number < last;
	     number = is_doubling ? 2 * number : number + step) {
		if (!add(list, number))
			return false;
	}
	return add(list, last);
}

static void sort(struct qr_lab_cpus *list)
{
	unsigned nr = 0;

	qsort(list->cpus, list->nr, sizeof(*list->cpus), compare);
	for (unsigned i = 0; i < list->nr; i++) {
		if (!i || list->cpus[i] != list->cpus[i - 1])
			list->cpus[nr++] = list->cpus[i];
	}
	list->nr = nr;
}

static int compare(const void *first, const void *second)
{
	uint32_t a = *(const uint32_t *)first, b = *(const uint32_t *)second;

	return a < b ? -1 : a > b;
}

static bool refuse(struct qr_lab_cpus *list, const char *text, const char *why)
{
	free(list->cpus);
	memset(list, 0, sizeof(*list));
	qr_cli_say("lab: --cpus %s is no list like 1,2,4,...,384: %s", text, why);
	return false;
}
