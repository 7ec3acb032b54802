/* The checks of `quire doctor`. */
#ifndef QR_CLI_DOCTOR_H
#define QR_CLI_DOCTOR_H

#include <stdbool.h>

enum qr_check_status { QR_CHECK_OK, QR_CHECK_LIMITED, QR_CHECK_MISSING };

struct qr_check {
	const char *name;     /* stable: a key for scripts */
	enum qr_check_status status;
	bool is_needed;       /* `quire run` cannot work unless the status is not missing */
	char found[256];      /* what is the case */
	const char *effect;   /* what works all the same; NULL: all does */
	const char *remedy;   /* what the administrator would do; NULL: nothing */
};

#define QR_NR_CHECKS 13u
/* Looks at the machine; fills checks[QR_NR_CHECKS] and returns their number. */
unsigned qr_doctor_look(struct qr_check *checks);

#endif
