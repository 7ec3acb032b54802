/* Rewriting the system-call instructions of loaded objects, so that calls pass through the guard. */
#ifndef QR_SHIM_PATCH_H
#define QR_SHIM_PATCH_H

#include <stdint.h>

struct qr_patch {
	/* (I) what to rewrite: [number of the call] non-zero: it passes through entry */
	const uint8_t *is_guarded;
	uint32_t nr_calls;
	/* (I) an assembly routine: registers as at the system-call instruction, but %r11: where to go on, and %rcx: the
	 * address behind the instruction in the object. It clobbers %rax, %rcx, %r11 and flags, as the instruction. */
	void (*entry)(void);
	/* out */
	uint32_t nr_sites; /* instructions that may make such a call */
	uint32_t nr_left; /* of those, the ones that could not be rewritten */
};

/* Rewrites all objects that are loaded now, the kernel's (vdso) with them and quire's own not. Other threads may run
 * meanwhile only in objects that have no system-call instruction. Returns 0, QR_ENOMEM (no address space near an
 * object) or QR_EACCES (a security policy keeps code from being written). */
int qr_patch_objects(struct qr_patch *patch);

#endif
