/*
 * execve(2) and execveat(2). Nobody is left to withdraw the pins of a call that succeeds, and in a child of vfork() the
 * parent would keep them. So path, arguments and environment are copied to memory that is not managed. The copy lasts
 * until the thread's next call of the kind, since the parent cannot tell when its child is done with it.
 */
#include "guard_code.h"
QR_GUARD_CODE_BEGIN

#include <sys/mman.h>

#include "guard.h"

/* Strings of an argument list and what they take. */
struct list {
	const char *const *strings; /* NULL: none were given */
	size_t nr;
};

static bool list_is_managed(const struct list *list);
static size_t list_bytes(struct list *list);
static uintptr_t copy_list(const struct list *list, uint8_t **at);
static bool area_reserve(struct qr_guard_thread *self, size_t nr_bytes);

static size_t string_bytes(const char *string)
{
	size_t length = 0;

	while (((const volatile char *)string)[length])
		length++;
	return length + 1;
}

long qr_guard_exec(struct qr_guard_thread *self, struct qr_guard_call *call)
{
	unsigned first = call->number == SYS_execveat ? 1 : 0;
	const char *path = (const char *)call->args[first];
	struct list arguments = {(const char *const *)call->args[first + 1], 0};
	struct list environment = {(const char *const *)call->args[first + 2], 0};
	struct qr_guard_call copied = *call;
	size_t nr_path, nr_bytes;
	uint8_t *at;

	if (!path)
		return qr_guard_make(call);
	nr_bytes = list_bytes(&arguments) + list_bytes(&environment);
	if (!qr_guard_is_managed((uintptr_t)path) && !list_is_managed(&arguments) && !list_is_managed(&environment))
		return qr_guard_make(call);
	nr_path = string_bytes(path);
	if (!area_reserve(self, nr_bytes + nr_path))
		return -ENOMEM;
	at = self->exec_area;
	copied.args[first + 1] = copy_list(&arguments, &at);
	copied.args[first + 2] = copy_list(&environment, &at);
	copied.args[first] = (uintptr_t)at;
	for (size_t i = 0; i < nr_path; i++)
		at[i] = (uint8_t)((const volatile char *)path)[i];
	return qr_guard_make(&copied);
}

static bool list_is_managed(const struct list *list)
{
	if (qr_guard_is_managed((uintptr_t)list->strings))
		return true;
	for (size_t i = 0; i < list->nr; i++) {
		if (qr_guard_is_managed((uintptr_t)list->strings[i]))
			return true;
	}
	return false;
}

/* Counts the strings; returns what a copy takes, a multiple of a pointer's size. */
static size_t list_bytes(struct list *list)
{
	size_t nr_bytes = sizeof(char *);

	for (; list->strings && list->strings[list->nr]; list->nr++)
		nr_bytes += sizeof(char *) + string_bytes(list->strings[list->nr]);
	return QR_ALIGN_UP(nr_bytes, sizeof(char *));
}

/* Returns the address of the copy, 0 if there is no list. */
static uintptr_t copy_list(const struct list *list, uint8_t **at)
{
	uintptr_t *pointers = (uintptr_t *)*at;
	uint8_t *out = (uint8_t *)(pointers + list->nr + 1);

	for (size_t i = 0; i < list->nr; i++) {
		const volatile char *string = list->strings[i];

		pointers[i] = (uintptr_t)out;
		do
			*out++ = (uint8_t)*string;
		while (*string++);
	}
	pointers[list->nr] = 0;
	*at = (uint8_t *)QR_ALIGN_UP((uintptr_t)out, sizeof(char *));
	return list->strings ? (uintptr_t)pointers : 0;
}

static bool area_reserve(struct qr_guard_thread *self, size_t nr_bytes)
{
	long area;

	if (nr_bytes <= self->exec_bytes)
		return true;
	if (self->exec_bytes)
		(void)qr_guard_raw(SYS_munmap, (uintptr_t)self->exec_area, self->exec_bytes, 0, 0, 0, 0);
	self->exec_bytes = 0;
	nr_bytes = QR_ALIGN_UP(nr_bytes, QR_PAGE_SIZE);
	area = qr_guard_raw(SYS_mmap, 0, nr_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, (uintptr_t)-1,
			    0);
	if (area < 0 && area > -4096)
		return false;
	self->exec_area = (uint8_t *)area;
	self->exec_bytes = nr_bytes;
	return true;
}

QR_GUARD_CODE_END
