/* SIGBUS is the page fault of delivery by signals; what the program wants of it is kept aside. */
#ifndef QR_PROCESS_SIGBUS_H
#define QR_PROCESS_SIGBUS_H

#include <stdint.h>

/* As the kernel's struct kernel_sigaction of x86-64; the library's has another layout. */
struct qr_signal_action {
	uintptr_t handler;
	unsigned long flags;
	uintptr_t restorer;
	uint64_t mask;
};

/* The system call itself: what the preload library's guard answers for SIGBUS is not for quire. */
static inline long qr_kernel_signal_call(long number, long how, const void *given, void *last)
{
	register long nr_bytes __asm__("r10") = sizeof(uint64_t);
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(how), "S"(given), "d"(last), "r"(nr_bytes)
			 : "rcx", "r11", "memory");
	return result;
}

/* Replaces the program's action unless action is NULL; the last one goes to *old unless that is NULL. */
void qr_sigbus_swap(const struct qr_signal_action *action, struct qr_signal_action *old);

#endif
