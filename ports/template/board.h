/*
 * What the template port asks of the board: a clock, a console and a way to stop. A kernel has all three by the
 * time it brings up its memory; only these need to be written to compile and run the port as it stands.
 */
#ifndef QR_TEMPLATE_BOARD_H
#define QR_TEMPLATE_BOARD_H

#include <stddef.h>
#include <stdint.h>

/* Nanoseconds since some fixed moment; never goes back. */
uint64_t qr_board_now_ns(void);
/* Prints text of a line, without its end. Any context. */
void qr_board_print(const char *text);
__attribute__((noreturn)) void qr_board_stop(void);

#endif
