/*
 * Failures on purpose, for tests: QUIRE_INJECT is a list, separated by commas, of
 *
 *	move=N          every N-th move of pages stops early, fails for a passing reason or is denied after success
 *	guard=N         every N-th move out of read-only ranges fails; every second time pages stay write-protected
 *	open-us=N       such ranges stay open for N us longer
 *	nomove          the kernel has no UFFDIO_MOVE, as before Linux 6.8
 *	read-eio=N      every N-th read of a swap file fails
 *	write-eio=N     every N-th write of a swap file fails
 *	write-enospc=N  every N-th write of a swap file finds the device full
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#include "sync/atomic.h"

/* The number behind name= in the list, 0 if it is not there. */
static uint32_t hook_number(const char *hooks, const char *name)
{
	const char *hook = strstr(hooks, name);

	return hook ? (uint32_t)strtoul(hook + strlen(name), NULL, 10) : 0;
}

void qr_inject_read_hooks(struct qr_manager *manager)
{
	const char *hooks = getenv("QUIRE_INJECT");
	struct qr_inject *inject = &manager->port.inject;

	if (!hooks)
		return;
	inject->moves.every = hook_number(hooks, "move=");
	inject->guards.every = hook_number(hooks, "guard=");
	inject->lifts.every = inject->guards.every ? 2 : 0;
	inject->guard_us = hook_number(hooks, "open-us=");
	inject->read_eio.every = hook_number(hooks, "read-eio=");
	inject->write_eio.every = hook_number(hooks, "write-eio=");
	inject->write_enospc.every = hook_number(hooks, "write-enospc=");
	manager->no_move = strstr(hooks, "nomove") != NULL;
}

bool qr_inject_hits(struct qr_inject_point *point, uint32_t *nr_hits)
{
	uint32_t count;

	if (qr_likely(!point->every))
		return false;
	count = qr_fetch_add_relaxed(&point->count, 1);
	*nr_hits = count / point->every;
	return count % point->every == 0;
}

static int fail_transfer(void *context, const struct qr_io_request *request)
{
	struct qr_inject *inject = context;
	uint32_t nr_hits;

	if (!request->is_write)
		return qr_inject_hits(&inject->read_eio, &nr_hits) ? QR_EIO : 0;
	if (qr_inject_hits(&inject->write_eio, &nr_hits))
		return QR_EIO;
	return qr_inject_hits(&inject->write_enospc, &nr_hits) ? QR_ENOSPC : 0;
}

void qr_inject_into_io(struct qr_port *port)
{
	const struct qr_inject *inject = &port->inject;

	if (inject->read_eio.every || inject->write_eio.every || inject->write_enospc.every)
		port->io.faults = (struct qr_io_faults){.fail = fail_transfer, .context = &port->inject};
}
