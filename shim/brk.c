/*
 * brk(2) and sbrk(2) on a reserved part of the manager's range: what lies below the break is readable and writable,
 * what lies above has no access and no content. Reserved on the first call; few programs make one, since malloc
 * does not use it.
 *
 * Locks: area.lock, inside the gate.
 */
#include <sys/mman.h>

#include "internal.h"

#define BRK_SPAN_MAX ((uintptr_t)64 << 30)
#define BRK_SPAN_MIN ((uintptr_t)64 << 20)

QR_SHIM_EXPORT int brk(void *address);
QR_SHIM_EXPORT void *sbrk(intptr_t increment);

static struct {
	struct qr_mutex lock;
	uintptr_t start;   /* (lock) 0 until the first call */
	uintptr_t end;     /* (lock) of the reservation */
	uintptr_t current; /* (lock) the break */
} area;

static bool area_start_locked(void);
static bool area_move_locked(uintptr_t to);

int brk(void *address)
{
	static int (*next)(void *);
	bool has_moved;

	if (!qr_shim_serves_caller()) {
		if (!next)
			next = (int (*)(void *))qr_shim_next("brk");
		return next(address);
	}
	qr_gate_enter();
	qr_mutex_lock(&area.lock);
	has_moved = area_start_locked() && area_move_locked((uintptr_t)address);
	qr_mutex_unlock(&area.lock);
	qr_gate_leave();
	if (has_moved)
		return 0;
	errno = ENOMEM;
	return -1;
}

void *sbrk(intptr_t increment)
{
	static void *(*next)(intptr_t);
	uintptr_t old = 0;
	bool has_moved;

	if (!qr_shim_serves_caller()) {
		if (!next)
			next = (void *(*)(intptr_t))qr_shim_next("sbrk");
		return next(increment);
	}
	qr_gate_enter();
	qr_mutex_lock(&area.lock);
	has_moved = area_start_locked();
	old = area.current;
	/* A sum that wraps is outside of the area. */
	has_moved = has_moved && area_move_locked(old + (uintptr_t)increment);
	qr_mutex_unlock(&area.lock);
	qr_gate_leave();
	if (has_moved)
		return (void *)old;
	errno = ENOMEM;
	return (void *)-1;
}

static bool area_start_locked(void)
{
	uintptr_t span = QR_ALIGN_DOWN(QR_MIN(qr_shim.length / 16, BRK_SPAN_MAX), QR_PAGE_SIZE);
	void *address = NULL;

	if (area.start)
		return true;
	while (qr_shim_manager(qr_manager_map, &address, span, PROT_NONE, 0)) {
		span = QR_ALIGN_DOWN(span / 2, QR_PAGE_SIZE);
		if (span < BRK_SPAN_MIN)
			return false;
	}
	area.start = (uintptr_t)address;
	area.end = area.start + span;
	area.current = area.start;
	return true;
}

static bool area_move_locked(uintptr_t to)
{
	uintptr_t from_page = QR_ALIGN_UP(area.current, QR_PAGE_SIZE), to_page = QR_ALIGN_UP(to, QR_PAGE_SIZE);

	if (to < area.start || to > area.end)
		return false;
	if (to_page > from_page) {
		if (qr_shim_manager(qr_manager_protect, (void *)from_page, to_page - from_page, PROT_READ | PROT_WRITE))
			return false;
	} else if (to_page < from_page) {
		if (qr_shim_manager(qr_manager_advise, (void *)to_page, from_page - to_page, MADV_DONTNEED) ||
		    qr_shim_manager(qr_manager_protect, (void *)to_page, from_page - to_page, PROT_NONE))
			return false;
	}
	area.current = to;
	return true;
}
