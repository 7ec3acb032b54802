/*
 * Start and end of the shim: the constructor joins the domain that QUIRE_DOMAIN names and opens the manager, the
 * destructor publishes the last counters. A program that has a domain and cannot join it ends here: it never runs
 * without its budget unnoticed.
 *
 * A child that clears its environment before exec runs without the shim, unmanaged; a set-user-ID or static
 * program does too, since the loader ignores LD_PRELOAD for them.
 */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "guard.h"
#include "heap.h"

#define SHIM_DOMAIN_ENV "QUIRE_DOMAIN"
#define SHIM_EXIT_STATUS 125 /* as env(1) and timeout(1) when they fail themselves */

struct qr_shim qr_shim;
QR_SHIM_TLS uint32_t qr_shim_internal_depth;

static uint64_t nr_passed_maps, nr_passed_bytes; /* (A) */

/* The port's: publishes counters now. Older ports have no need of it. */
extern void qr_manager_flush(struct qr_manager *manager) __attribute__((weak));

static void shim_start(void) __attribute__((constructor));
static void shim_end(void) __attribute__((destructor));
static QR_NORETURN void shim_give_up(const char *what, const char *why);

static void shim_start(void)
{
	const char *domain = getenv(SHIM_DOMAIN_ENV), *text = NULL;
	struct qr_options options;
	void *start;
	size_t length;
	int err;

	if (!domain || !*domain) {
		qr_store_release(&qr_shim.state, QR_SHIM_PASS);
		return;
	}
	qr_shim_internal_enter();
	qr_options_init(&options);
	options.domain = domain;
	err = qr_manager_open(&options, &qr_shim.manager, &text);
	if (err)
		shim_give_up("cannot open the memory manager: ", text ? text : qr_strerror(err));
	qr_manager_range(qr_shim.manager, &start, &length);
	qr_shim.start = (uintptr_t)start;
	qr_shim.length = length;
	err = qr_heap_init();
	if (err)
		shim_give_up("cannot set up the heap: ", qr_strerror(err));
	qr_store_release(&qr_shim.state, QR_SHIM_ACTIVE);
	qr_shim_internal_leave();
}

static void shim_end(void)
{
	if (!qr_shim_is_active() || !qr_manager_flush)
		return;
	qr_shim_internal_enter();
	qr_manager_flush(qr_shim.manager);
	qr_shim_internal_leave();
}

static QR_NORETURN void shim_give_up(const char *what, const char *why)
{
	qr_shim_say(what, why, NULL);
	_exit(SHIM_EXIT_STATUS);
}

void qr_shim_internal_enter(void)
{
	if (qr_shim_internal_depth++)
		return;
	/* Without a cache malloc leaves its quick path, and the slow one looks at the depth. */
	qr_heap_saved_self = qr_heap_self;
	qr_heap_self = NULL;
}

void qr_shim_internal_leave(void)
{
	if (--qr_shim_internal_depth)
		return;
	qr_heap_self = qr_heap_saved_self;
	qr_heap_saved_self = NULL;
}

void qr_shim_count_passed(uint64_t nr_bytes)
{
	(void)qr_fetch_add_relaxed(&nr_passed_maps, 1);
	(void)qr_fetch_add_relaxed(&nr_passed_bytes, nr_bytes);
}

void qr_shim_passed(uint64_t *nr_maps, uint64_t *nr_bytes, uint64_t *raw_bytes)
{
	*nr_maps = qr_load_relaxed(&nr_passed_maps);
	*nr_bytes = qr_load_relaxed(&nr_passed_bytes);
	*raw_bytes = qr_raw_bytes();
}

void qr_shim_say(const char *text, ...)
{
	char line[512] = "quire: ";
	size_t length = strlen(line);
	va_list parts;

	va_start(parts, text);
	for (const char *part = text; part; part = va_arg(parts, const char *)) {
		size_t nr = strnlen(part, sizeof(line) - 1 - length);

		memcpy(line + length, part, nr);
		length += nr;
	}
	va_end(parts);
	line[length++] = '\n';
	(void)!write(STDERR_FILENO, line, length);
}

void qr_shim_die(const char *text)
{
	qr_shim_say(text, NULL);
	abort();
}

void *qr_shim_next(const char *name)
{
	void *function = dlsym(RTLD_NEXT, name);

	if (!function) {
		qr_shim_say("the C library has no function ", name, NULL);
		_exit(SHIM_EXIT_STATUS);
	}
	return function;
}
