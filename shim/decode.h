/* Lengths and kinds of x86-64 instructions, as far as rewriting system-call sites needs them. */
#ifndef QR_SHIM_DECODE_H
#define QR_SHIM_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct qr_instruction {
	uint8_t length;
	bool is_syscall;
	bool is_control;     /* changes the flow, or depends on where it stands: it cannot be moved */
	bool has_target;     /* a direct branch or call: target is set */
	int64_t target;      /* offset from the instruction's first byte */
	int32_t load_number; /* what it loads into eax or rax as a constant; -1: it does not */
};

/* Decodes the instruction at code, of which at most nr_bytes may be read. Returns false if it is none or longer. */
bool qr_decode(const uint8_t *code, size_t nr_bytes, struct qr_instruction *instruction);

#endif
