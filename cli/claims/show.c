/* Answered claims as text, JSON and a page. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "claims/show.h"
#include "lab/output.h"

#define TEXT_WIDTH 112u

static void print_line(FILE *file, const struct qr_claim_row *row);
static void print_detail(FILE *file, const struct qr_claim_row *row, const char *options);
static void print_wrapped(FILE *file, const char *name, const char *text);
static void print_counts(const struct qr_claim_rows *rows, FILE *file);
static json_t *row_json(const struct qr_claim_row *row, const char *options);
static json_t *more_json(const struct qr_claim_row *row);
static void print_html_row(FILE *file, const struct qr_claim_row *row, const char *options);
static void put_cell(FILE *file, const char *class, const char *text);
static char *command_of(const struct qr_claim_row *row, const char *options);
static char *figure_text(const struct qr_claim_row *row, unsigned at, bool has_band);
static const char *unit_of(const struct qr_claim_row *row, unsigned at);
static void format_figure(char buffer[QR_LAB_NUMBER_MAX], double value);

void qr_claims_print(const struct qr_claim_rows *rows, FILE *file)
{
	const struct qr_claim_family *family = NULL;

	for (unsigned i = 0; i < rows->nr; i++) {
		if (rows->rows[i].family != family && !rows->is_detailed)
			(void)fprintf(file, "%s%s\n", family ? "\n" : "", rows->rows[i].family->name);
		family = rows->rows[i].family;
		if (rows->is_detailed)
			print_detail(file, &rows->rows[i], rows->options);
		else
			print_line(file, &rows->rows[i]);
	}
	print_counts(rows, file);
}

static void print_line(FILE *file, const struct qr_claim_row *row)
{
	char *figure = row->answer.nr_figures ? figure_text(row, 0, false) : NULL;

	(void)fprintf(file, "  %-4s %-8s %-34.34s %s\n", row->claim->id, qr_verdict_name(row->answer.verdict),
		      figure ? figure : "-", row->claim->mechanism);
	free(figure);
}

static void print_detail(FILE *file, const struct qr_claim_row *row, const char *options)
{
	char *command = command_of(row, options);
	const json_t *cell;
	char *figure;
	size_t i;

	(void)fprintf(file, "%s  %s\n", row->claim->id, row->claim->mechanism);
	print_wrapped(file, "source", row->claim->source);
	print_wrapped(file, "claim", row->claim->claim);
	print_wrapped(file, "must show", row->claim->must);
	print_wrapped(file, "measured by", row->claim->how);
	for (unsigned at = 0; at < row->answer.nr_figures; at++) {
		figure = figure_text(row, at, true);
		print_wrapped(file, at ? "" : "figure", figure);
		free(figure);
	}
	print_wrapped(file, "verdict", qr_verdict_name(row->answer.verdict));
	if (row->answer.note)
		print_wrapped(file, "note", row->answer.note);
	print_wrapped(file, "command", command);
	json_array_foreach(row->answer.basis, i, cell)(void)
		fprintf(file, "  %-12s %s\n", i ? "" : "cells", json_string_value(cell));
	(void)fputc('\n', file);
	free(command);
}

/* The name, then the text in lines of TEXT_WIDTH columns beside it. */
static void print_wrapped(FILE *file, const char *name, const char *text)
{
	const unsigned left = 15;

	(void)fprintf(file, "  %-12s", name);
	while (*text) {
		size_t length = strlen(text);

		if (length > TEXT_WIDTH - left) {
			length = TEXT_WIDTH - left;
			while (length && text[length] != ' ')
				length--;
			if (!length)
				length = strcspn(text, " ");
		}
		(void)fprintf(file, " %.*s\n", (int)length, text);
		text += length + strspn(text + length, " ");
		if (*text)
			(void)fprintf(file, "%*s", (int)left - 1, "");
	}
}

static void print_counts(const struct qr_claim_rows *rows, FILE *file)
{
	unsigned nr[3] = {0};

	for (unsigned i = 0; i < rows->nr; i++)
		nr[rows->rows[i].answer.verdict]++;
	(void)fprintf(file, "%s%u claims: %u hold, %u fall short, %u missing\n", rows->is_detailed ? "" : "\n",
		      rows->nr, nr[QR_CLAIM_HOLDS], nr[QR_CLAIM_SHORT], nr[QR_CLAIM_MISSING]);
}

void qr_claims_print_json(const struct qr_claim_rows *rows, FILE *file)
{
	json_t *array = json_array();

	for (unsigned i = 0; i < rows->nr; i++)
		(void)json_array_append_new(array, row_json(&rows->rows[i], rows->options));
	(void)json_dumpf(array, file, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
	(void)fputc('\n', file);
	json_decref(array);
}

static json_t *row_json(const struct qr_claim_row *row, const char *options)
{
	const struct qr_answer *answer = &row->answer;
	char *command = command_of(row, options);
	json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:s, s:s, s:s, s:O, s:o}", "id", row->claim->id,
				   "source", row->claim->source, "mechanism", row->claim->mechanism, "claim",
				   row->claim->claim, "must_show", row->claim->must, "measured_by", row->claim->how,
				   "measured", answer->nr_figures ? json_real(answer->figures[0].value) : json_null(),
				   "unit", unit_of(row, 0), "verdict", qr_verdict_name(answer->verdict), "command",
				   command, "cells", answer->basis, "more", more_json(row));

	free(command);
	if (answer->nr_figures && answer->figures[0].has_band)
		(void)json_object_set_new(object, "band",
					  json_pack("[f, f]", answer->figures[0].low, answer->figures[0].high));
	(void)json_object_set_new(object, "note", answer->note ? json_string(answer->note) : json_null());
	return object;
}

static json_t *more_json(const struct qr_claim_row *row)
{
	json_t *array = json_array();

	for (unsigned at = 1; at < row->answer.nr_figures; at++) {
		const struct qr_figure *figure = &row->answer.figures[at];

		(void)json_array_append_new(
			array, json_pack("{s:s, s:f, s:s, s:[f, f]}", "name", row->claim->measures[at].name, "measured",
					 figure->value, "unit", unit_of(row, at), "band", figure->low, figure->high));
	}
	return array;
}

void qr_claims_print_html(const struct qr_claim_rows *rows, FILE *file)
{
	const struct qr_claim_family *family = NULL;

	qr_lab_print_html_head(file, "quire claims");
	(void)fputs("<p class=\"lead\">What the literature on scalable memory management claims, and what this code "
		    "shows.</p>\n<p>",
		    file);
	print_counts(rows, file);
	(void)fputs("</p>\n<p class=\"note\">Figures are medians, with the band over the seeds behind them; they come "
		    "from the built core or from simulated machines. Each command prints its row alone.</p>\n",
		    file);
	for (unsigned i = 0; i < rows->nr; i++) {
		if (rows->rows[i].family != family) {
			(void)fprintf(file,
				      "%s<h2>%s</h2>\n<div class=\"wide\"><table class=\"claims\"><thead><tr><th "
				      "class=\"text\">id</th>"
				      "<th class=\"text\">claim</th><th class=\"text\">must show</th>"
				      "<th class=\"text\">figure</th><th class=\"text\">verdict</th></tr></thead>"
				      "<tbody>\n",
				      family ? "</tbody></table></div>\n" : "", rows->rows[i].family->name);
			family = rows->rows[i].family;
		}
		print_html_row(file, &rows->rows[i], rows->options);
	}
	(void)fputs(family ? "</tbody></table></div>\n" : "", file);
	qr_lab_print_html_tail(file);
}

static void print_html_row(FILE *file, const struct qr_claim_row *row, const char *options)
{
	char *command = command_of(row, options);

	(void)fprintf(file, "<tr id=\"%s\">", row->claim->id);
	put_cell(file, "text", row->claim->id);
	(void)fputs("<td class=\"text\"><b>", file);
	qr_html_put(file, row->claim->mechanism);
	(void)fputs("</b><br>", file);
	qr_html_put(file, row->claim->source);
	(void)fputs(": ", file);
	qr_html_put(file, row->claim->claim);
	(void)fputs("</td>", file);
	put_cell(file, "text", row->claim->must);
	(void)fputs("<td class=\"text\">", file);
	for (unsigned at = 0; at < row->answer.nr_figures; at++) {
		char *figure = figure_text(row, at, true);

		(void)fputs(at ? "<br>" : "<b>", file);
		qr_html_put(file, figure);
		(void)fputs(at ? "" : "</b>", file);
		free(figure);
	}
	if (row->answer.note) {
		(void)fprintf(file, "%s<span class=\"note\">", row->answer.nr_figures ? "<br>" : "");
		qr_html_put(file, row->answer.note);
		(void)fputs("</span>", file);
	}
	if (row->answer.nr_figures) {
		(void)fputs("<details><summary>how</summary>", file);
		qr_html_put(file, row->claim->how);
		(void)fputs("<pre>", file);
		qr_html_put(file, command);
		(void)fputs("</pre></details>", file);
	}
	(void)fputs("</td>", file);
	(void)fprintf(file, "<td class=\"text\"><b class=\"%s\">%s</b></td></tr>\n",
		      qr_verdict_name(row->answer.verdict), qr_verdict_name(row->answer.verdict));
	free(command);
}

static void put_cell(FILE *file, const char *class, const char *text)
{
	(void)fprintf(file, "<td class=\"%s\">", class);
	qr_html_put(file, text);
	(void)fputs("</td>", file);
}

static char *command_of(const struct qr_claim_row *row, const char *options)
{
	return qr_lab_format("quire claims %s%s", row->claim->id, options);
}

/* "zone-lock takes divided by 17.2 (16.9 to 17.5)" */
static char *figure_text(const struct qr_claim_row *row, unsigned at, bool has_band)
{
	const struct qr_figure *figure = &row->answer.figures[at];
	char value[QR_LAB_NUMBER_MAX], low[QR_LAB_NUMBER_MAX], high[QR_LAB_NUMBER_MAX];
	const char *name = at ? row->claim->measures[at].name : NULL;
	const char *unit = unit_of(row, at);
	struct qr_lab_text text = {0};

	format_figure(value, figure->value);
	qr_lab_text_add(&text, "%s%s%s%s%s", name ? name : "", name ? " " : "", value, *unit ? " " : "", unit);
	if (has_band && figure->has_band && figure->low < figure->high) {
		format_figure(low, figure->low);
		format_figure(high, figure->high);
		qr_lab_text_add(&text, " (%s to %s)", low, high);
	}
	return text.text;
}

static const char *unit_of(const struct qr_claim_row *row, unsigned at)
{
	const char *unit = row->claim->measures[at].figure ? row->claim->measures[at].unit : row->claim->unit;

	return unit ? unit : "";
}

/* Whole numbers as they are, others with three digits. */
static void format_figure(char buffer[QR_LAB_NUMBER_MAX], double value)
{
	double whole = nearbyint(value);

	if (fabs(value - whole) < 1e-9 && fabs(value) < 1e6)
		(void)snprintf(buffer, QR_LAB_NUMBER_MAX, "%.0f", whole);
	else
		(void)snprintf(buffer, QR_LAB_NUMBER_MAX,
			       fabs(value) >= 100  ? "%.0f"
			       : fabs(value) >= 10 ? "%.1f"
						   : "%.3g",
			       value);
}
