/* How answered claims are shown: as text, JSON and a page. */
#ifndef QR_CLI_CLAIMS_SHOW_H
#define QR_CLI_CLAIMS_SHOW_H

#include <stdio.h>

#include "claims/bench.h"

struct qr_claim_row {
	const struct qr_claim_family *family;
	const struct qr_claim *claim;
	struct qr_answer answer;
};

struct qr_claim_rows {
	struct qr_claim_row *rows;
	unsigned nr;
	const char *options; /* that the command of each row needs, with a blank before */
	bool is_detailed;    /* as text: everything about each row, not a line */
};

void qr_claims_print(const struct qr_claim_rows *rows, FILE *file);
/* An array of objects; the keys are documented in quire-claims(1). */
void qr_claims_print_json(const struct qr_claim_rows *rows, FILE *file);
void qr_claims_print_html(const struct qr_claim_rows *rows, FILE *file);

#endif
