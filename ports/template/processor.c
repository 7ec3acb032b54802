/*
 * Template port: processor, waiting, time, read-copy-update, threads, reports.
 *
 * With one CPU and no threads nobody else can hold a lock or be in a read section, so most of this is empty, and
 * says so. With more CPUs: qr_port_cpu() reads the CPU's own register or segment; wait and wake need a queue per
 * hashed address, whose lock is held over the comparison of *word; synchronize waits until each CPU has been seen
 * outside of read sections (a context switch, the idle loop or user mode).
 */
#include <stdarg.h>

#include "board.h"
#include "sync/lock.h"
#include "template.h"

#define LINE_BYTES 160u

/* One CPU: one record of held locks serves all. */
static struct qr_held_locks held_locks;

unsigned qr_port_nr_cpus(void)
{
	return 1;
}

unsigned qr_port_cpu(void)
{
	return 0;
}

void qr_port_cpu_relax(unsigned nr_spins)
{
	/* Nobody but an interrupt can change what the caller polls; the barrier makes it load again. */
	(void)nr_spins;
	__asm__ volatile("" : : : "memory");
}

struct qr_held_locks *qr_port_held_locks(void)
{
	return &held_locks;
}

void qr_port_wait(uint32_t *word, uint32_t expected)
{
	/* A spurious return is allowed, and all there is without a scheduler: the caller looks again. */
	if (__atomic_load_n(word, __ATOMIC_ACQUIRE) == expected)
		qr_port_cpu_relax(0);
}

bool qr_port_wait_timeout(uint32_t *word, uint32_t expected, uint64_t timeout_ns)
{
	uint64_t start_ns = qr_port_now_ns();

	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == expected) {
		if (qr_port_now_ns() - start_ns >= timeout_ns)
			return false;
		qr_port_cpu_relax(0);
	}
	return true;
}

void qr_port_wake(uint32_t *word, uint32_t nr_waiters)
{
	/* Waiters poll. */
	(void)word;
	(void)nr_waiters;
}

uint64_t qr_port_now_ns(void)
{
	return qr_board_now_ns();
}

void qr_port_rcu_read_lock(void)
{
	__asm__ volatile("" : : : "memory");
}

void qr_port_rcu_read_unlock(void)
{
	__asm__ volatile("" : : : "memory");
}

void qr_port_rcu_synchronize(void)
{
	/* The caller is the only thread and is in no read section: every section has ended. */
}

int qr_port_thread_start(struct qr_port *port, const char *name, unsigned near_cpu, void (*entry)(void *argument),
			 void *argument)
{
	(void)port;
	(void)name;
	(void)near_cpu;
	(void)entry;
	(void)argument;
	return QR_ENOSYS;
}

void qr_port_thread_join(struct qr_port *port, int handle)
{
	(void)port;
	(void)handle;
	qr_port_panic(__FILE__, __LINE__, "no thread was started");
}

/* ---- Reports ---- */

struct line {
	char text[LINE_BYTES];
	uint32_t len;
};

static void line_add(struct line *line, const char *text)
{
	while (*text && line->len < LINE_BYTES - 1)
		line->text[line->len++] = *text++;
	line->text[line->len] = '\0';
}

/* Divides by base and returns the rest, 16 bits at a time: 32-bit machines need no library for it. */
static uint32_t divide(uint64_t *number, uint32_t base)
{
	uint64_t quotient = 0;
	uint32_t rest = 0;

	for (unsigned shift = 64; shift > 0;) {
		shift -= 16;
		rest = rest << 16 | (uint32_t)(*number >> shift & 0xffff);
		quotient |= (uint64_t)(rest / base) << shift;
		rest %= base;
	}
	*number = quotient;
	return rest;
}

static void line_add_number(struct line *line, uint64_t number, uint32_t base)
{
	char digits[24];
	uint32_t at = sizeof(digits) - 1;

	digits[at] = '\0';
	do {
		digits[--at] = "0123456789abcdef"[divide(&number, base)];
	} while (number);
	line_add(line, digits + at);
}

/* The number of a conversion that has nr_longs times 'l' before it. */
static uint64_t take_number(va_list *arguments, unsigned nr_longs, bool is_signed)
{
	if (nr_longs >= 2)
		return va_arg(*arguments, unsigned long long);
	if (nr_longs == 1)
		return is_signed ? (uint64_t)va_arg(*arguments, long) : va_arg(*arguments, unsigned long);
	return is_signed ? (uint64_t)va_arg(*arguments, int) : va_arg(*arguments, unsigned);
}

/* One conversion of printf: d u x s c p and their l and ll forms; others are printed as they are.
 * Returns the format behind it. */
static const char *line_add_conversion(struct line *line, const char *format, va_list *arguments)
{
	unsigned nr_longs = 0;
	uint64_t number;

	for (; *format == 'l' || *format == 'z'; format++)
		nr_longs++;
	switch (*format) {
	case 'd':
		number = take_number(arguments, nr_longs, true);
		if ((int64_t)number < 0)
			line_add(line, "-");
		line_add_number(line, (int64_t)number < 0 ? -number : number, 10);
		break;
	case 'u':
	case 'x':
		line_add_number(line, take_number(arguments, nr_longs, false), *format == 'x' ? 16 : 10);
		break;
	case 's':
		line_add(line, va_arg(*arguments, const char *));
		break;
	case 'p':
		line_add_number(line, (uint64_t)(uintptr_t)va_arg(*arguments, void *), 16);
		break;
	case '\0':
		return format;
	default:
		line_add(line, (char[]){*format, '\0'});
	}
	return format + 1;
}

void qr_port_log(struct qr_port *port, enum qr_log_level level, const char *format, ...)
{
	struct line line = {.len = 0};
	va_list arguments;

	(void)port;
	if (level > QR_LOG_INFO)
		return;
	va_start(arguments, format);
	while (*format) {
		if (*format == '%')
			format = line_add_conversion(&line, format + 1, &arguments);
		else
			line_add(&line, (char[]){*format++, '\0'});
	}
	va_end(arguments);
	qr_board_print(line.text);
}

void qr_port_content_lost(struct qr_port *port, uint64_t va, int error)
{
	qr_port_log(port, QR_LOG_ERROR, "the page at %llx cannot be read back: error %d", (unsigned long long)va,
		    error);
	/* A kernel ends the program that the page belongs to; here there is only one. */
	qr_board_stop();
}

bool qr_port_out_of_memory(struct qr_port *port, const char *why)
{
	qr_port_log(port, QR_LOG_ERROR, "out of memory: %s", why);
	return false;
}

void qr_port_panic(const char *file, int line, const char *what)
{
	qr_port_log(NULL, QR_LOG_ERROR, "panic: %s:%d: %s", file, line, what);
	qr_board_stop();
}
