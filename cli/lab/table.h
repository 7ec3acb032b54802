/* Tables that are printed as text and as HTML alike. */
#ifndef QR_CLI_LAB_TABLE_H
#define QR_CLI_LAB_TABLE_H

#include <stdbool.h>
#include <stdio.h>

#include "base/base.h"

struct qr_table_column {
	char *name;
	char *group;  /* heading over neighbouring columns of the same group; NULL: none */
	bool is_text; /* set to the left; numbers are set to the right */
};

struct qr_table {
	char *title;
	unsigned nr_columns;
	struct qr_table_column *columns;
	unsigned nr_rows;
	char ***rows; /* [nr_rows][nr_columns]; NULL: empty */
	bool *is_minor; /* [nr_rows] a row that details the one above */
};

/* An empty table; the title is a format. */
struct qr_table *qr_table_make(const char *title, ...) QR_PRINTF(1, 2);
void qr_table_free(struct qr_table *table);
/* Columns come before rows. */
void qr_table_add_column(struct qr_table *table, const char *group, const char *name, bool is_text);
void qr_table_add_row(struct qr_table *table, bool is_minor);
/* Fills the next empty field of the last row. */
void qr_table_put(struct qr_table *table, const char *format, ...) QR_PRINTF(2, 3);

/* At most max_rows rows are printed (0: all); what is left out is counted in a line below. */
void qr_table_print(const struct qr_table *table, FILE *file, unsigned max_rows);
void qr_table_print_html(const struct qr_table *table, FILE *file, unsigned max_rows);

/* Text with what HTML would take for its own replaced. */
void qr_html_put(FILE *file, const char *text);

#endif
