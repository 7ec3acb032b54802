/* Fibers: a switch saves the registers that a callee must keep (System V ABI for x86-64, 3.2.1) on its stack. */
#include "sim.h"

__asm__(".text\n"
	".globl qr_sim_switch\n"
	".type qr_sim_switch, @function\n"
	"qr_sim_switch:\n"
	"	push %rbp\n"
	"	push %rbx\n"
	"	push %r12\n"
	"	push %r13\n"
	"	push %r14\n"
	"	push %r15\n"
	"	mov %rsp, (%rdi)\n"
	"	mov %rsi, %rsp\n"
	"	pop %r15\n"
	"	pop %r14\n"
	"	pop %r13\n"
	"	pop %r12\n"
	"	pop %rbx\n"
	"	pop %rbp\n"
	"	ret\n"
	".size qr_sim_switch, . - qr_sim_switch\n"
	".section .note.GNU-stack,\"\",@progbits\n"
	".text\n");

#define NR_SAVED 6u

void *qr_sim_context(uint8_t *top, void (*entry)(void))
{
	/* entry() finds the stack as after a call: 8 bytes below an alignment of 16. */
	void **stack = (void **)(void *)(top - 16);

	*--stack = NULL;
	*--stack = (void *)entry;
	for (unsigned i = 0; i < NR_SAVED; i++)
		*--stack = NULL;
	return stack;
}
