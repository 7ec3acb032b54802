/* The mapping calls of the public interface: checks, rounding to pages, translation of flags. */
#include "internal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLD
#define MADV_COLD 20
#define MADV_PAGEOUT 21
#endif

/* Mappings of 2 MiB and more start at a 2 MiB boundary, so that folios can be large. */
#define HUGE_BYTES ((uint64_t)2 << 20)
/* Pages of residency reported at a time; managed memory must not be written while core's locks are held. */
#define RESIDENT_CHUNK 4096u

/* A caller's range, rounded out to pages; false if it is empty or wraps. */
static bool round_range(const void *address, size_t length, uint64_t *va, uint64_t *len_bytes)
{
	uint64_t start = (uint64_t)(uintptr_t)address & QR_PAGE_MASK;
	uint64_t end = ((uint64_t)(uintptr_t)address + length + QR_PAGE_SIZE - 1) & QR_PAGE_MASK;

	*va = start;
	*len_bytes = end - start;
	return length > 0 && end > start && (uint64_t)(uintptr_t)address + length >= length;
}

static uint32_t core_prot(int prot)
{
	return (prot & PROT_READ ? QR_PROT_READ : 0) | (prot & PROT_WRITE ? QR_PROT_WRITE : 0) |
	       (prot & PROT_EXEC ? QR_PROT_EXEC : 0);
}

static int map_object(struct qr_manager *manager, void **address, size_t length, int prot, unsigned flags,
		      struct qr_object *object, uint32_t index)
{
	uint64_t va, len_bytes, at;
	struct qr_entry entry;
	int err;

	if (!round_range(*address, length, &va, &len_bytes))
		return QR_EINVAL;
	if (!(flags & (QR_MAP_AT | QR_MAP_AT_NOREPLACE)))
		len_bytes = QR_ALIGN_UP((uint64_t)length, QR_PAGE_SIZE);
	qr_manager_enter(manager, &entry);
	err = qr_map(
		manager->aspace, va, len_bytes, len_bytes >= HUGE_BYTES ? HUGE_BYTES : QR_PAGE_SIZE, core_prot(prot),
		(flags & QR_MAP_AT ? QR_MAP_FIXED : 0) | (flags & QR_MAP_AT_NOREPLACE ? QR_MAP_FIXED_NOREPLACE : 0) |
			(flags & QR_MAP_LOCK ? QR_MAP_LOCKED : 0),
		object, index, &at);
	/* Else a fault would stand for all pages of its folio. */
	if (!err && manager->record)
		err = qr_advise(manager->aspace, at, len_bytes, QR_ADVISE_NOHUGE);
	qr_manager_leave(manager, &entry);
	if (!err)
		*address = (void *)(uintptr_t)at;
	return err;
}

int qr_manager_map(struct qr_manager *manager, void **address, size_t length, int prot, unsigned flags)
{
	return map_object(manager, address, length, prot, flags, NULL, 0);
}

int qr_manager_map_group(struct qr_manager *manager, struct qr_group *group, void **address, size_t length, int prot,
			 unsigned flags)
{
	struct qr_object *object;
	struct qr_entry entry;
	int err;

	qr_manager_enter(manager, &entry);
	object = qr_object_create(manager->vmm, false, NULL);
	if (object)
		qr_object_set_group(object, group);
	qr_manager_leave(manager, &entry);
	if (!object)
		return QR_ENOMEM;
	err = map_object(manager, address, length, prot, flags, object, 0);
	qr_manager_enter(manager, &entry);
	qr_object_put(object); /* the mapping has its own reference */
	qr_manager_leave(manager, &entry);
	return err;
}

int qr_manager_map_file(struct qr_manager *manager, void **address, size_t length, int prot, unsigned flags, int fd,
			int64_t offset)
{
	struct qr_object *object;
	int own_fd, err;

	if (offset < 0 || (uint64_t)offset & (QR_PAGE_SIZE - 1))
		return QR_EINVAL;
	if (((uint64_t)offset + length) >> QR_PAGE_SHIFT > UINT32_MAX)
		return QR_EOVERFLOW;
	own_fd = qr_adopt_fd(fcntl(fd, F_DUPFD_CLOEXEC, 0));
	if (own_fd < 0)
		return QR_EINVAL;
	object = qr_object_create(manager->vmm, true, (void *)(intptr_t)(own_fd + 1));
	if (!object) {
		qr_close_fd(own_fd);
		return QR_ENOMEM;
	}
	err = map_object(manager, address, length, prot, flags, object, (uint32_t)((uint64_t)offset >> QR_PAGE_SHIFT));
	/* The mapping holds its own reference; the last one closes the descriptor. */
	qr_object_put(object);
	return err;
}

int qr_manager_unmap(struct qr_manager *manager, void *address, size_t length)
{
	uint64_t va, len_bytes;
	struct qr_entry entry;
	int err;

	if (!round_range(address, length, &va, &len_bytes))
		return QR_EINVAL;
	qr_manager_enter(manager, &entry);
	err = qr_unmap(manager->aspace, va, len_bytes);
	qr_manager_leave(manager, &entry);
	return err;
}

int qr_manager_remap(struct qr_manager *manager, void *old_address, size_t old_length, size_t new_length, int flags,
		     void **address)
{
	uint64_t va, old_bytes, at;
	struct qr_entry entry;
	int err;

	if (!round_range(old_address, old_length, &va, &old_bytes) || !new_length ||
	    flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED))
		return QR_EINVAL;
	qr_manager_enter(manager, &entry);
	err = qr_remap(manager->aspace, va, old_bytes, QR_ALIGN_UP((uint64_t)new_length, QR_PAGE_SIZE),
		       (flags & MREMAP_MAYMOVE ? QR_REMAP_MAYMOVE : 0) | (flags & MREMAP_FIXED ? QR_REMAP_FIXED : 0),
		       flags & MREMAP_FIXED ? (uint64_t)(uintptr_t)*address : 0, &at);
	qr_manager_leave(manager, &entry);
	if (!err)
		*address = (void *)(uintptr_t)at;
	return err;
}

int qr_manager_protect(struct qr_manager *manager, void *address, size_t length, int prot)
{
	uint64_t va, len_bytes;
	struct qr_entry entry;
	int err;

	if (!round_range(address, length, &va, &len_bytes))
		return QR_EINVAL;
	qr_manager_enter(manager, &entry);
	err = qr_protect(manager->aspace, va, len_bytes, core_prot(prot));
	qr_manager_leave(manager, &entry);
	return err;
}

/* MADV_* in core's terms, -1: unknown. */
static int core_advice(int advice)
{
	switch (advice) {
	case MADV_NORMAL:
		return QR_ADVISE_NORMAL;
	case MADV_RANDOM:
		return QR_ADVISE_RANDOM;
	case MADV_SEQUENTIAL:
		return QR_ADVISE_SEQUENTIAL;
	case MADV_WILLNEED:
		return QR_ADVISE_WILLNEED;
	case MADV_DONTNEED:
		return QR_ADVISE_DONTNEED;
	case MADV_FREE:
		return QR_ADVISE_FREE;
	case MADV_COLD:
		return QR_ADVISE_COLD;
	case MADV_PAGEOUT:
		return QR_ADVISE_PAGEOUT;
	case MADV_HUGEPAGE:
		return QR_ADVISE_HUGE;
	case MADV_NOHUGEPAGE:
		return QR_ADVISE_NOHUGE;
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
		return QR_ADVISE_POPULATE;
	case MADV_DONTFORK:
		return QR_ADVISE_DONTFORK;
	case MADV_DOFORK:
		return QR_ADVISE_DOFORK;
	case MADV_WIPEONFORK:
		return QR_ADVISE_WIPEONFORK;
	case MADV_KEEPONFORK:
		return QR_ADVISE_KEEPONFORK;
	default:
		return -1;
	}
}

int qr_manager_advise(struct qr_manager *manager, void *address, size_t length, int advice)
{
	uint64_t va, len_bytes;
	struct qr_entry entry;
	int err;
	int core = core_advice(advice);

	if (core < 0 || !round_range(address, length, &va, &len_bytes))
		return QR_EINVAL;
	qr_manager_enter(manager, &entry);
	err = qr_advise(manager->aspace, va, len_bytes, (enum qr_advice)core);
	qr_manager_leave(manager, &entry);
	return err;
}

int qr_manager_lock(struct qr_manager *manager, void *address, size_t length)
{
	uint64_t va, len_bytes;
	struct qr_entry entry;
	int err;

	if (!round_range(address, length, &va, &len_bytes))
		return QR_EINVAL;
	qr_manager_enter(manager, &entry);
	err = qr_lock(manager->aspace, va, len_bytes);
	qr_manager_leave(manager, &entry);
	return err;
}

int qr_manager_unlock(struct qr_manager *manager, void *address, size_t length)
{
	uint64_t va, len_bytes;
	struct qr_entry entry;
	int err;

	if (!round_range(address, length, &va, &len_bytes))
		return QR_EINVAL;
	qr_manager_enter(manager, &entry);
	err = qr_unlock(manager->aspace, va, len_bytes);
	qr_manager_leave(manager, &entry);
	return err;
}

int qr_manager_resident(struct qr_manager *manager, void *address, size_t length, unsigned char *resident)
{
	uint8_t chunk[RESIDENT_CHUNK];
	uint64_t va, len_bytes;
	int err = 0;

	if (!round_range(address, length, &va, &len_bytes))
		return QR_EINVAL;
	for (uint64_t done = 0; done < len_bytes && !err;) {
		uint64_t step = QR_MIN(len_bytes - done, RESIDENT_CHUNK * QR_PAGE_SIZE);
		struct qr_entry entry;

		qr_manager_enter(manager, &entry);
		err = qr_mincore(manager->aspace, va + done, step, chunk);
		qr_manager_leave(manager, &entry);
		if (!err)
			memcpy(resident + (done >> QR_PAGE_SHIFT), chunk, step >> QR_PAGE_SHIFT);
		done += step;
	}
	return err;
}

void qr_manager_range(struct qr_manager *manager, void **start, size_t *length)
{
	*start = (void *)(uintptr_t)manager->port.space.va_start;
	*length = manager->port.space.va_end - manager->port.space.va_start;
}

int qr_manager_owns(struct qr_manager *manager, const void *address)
{
	uint64_t va = (uint64_t)(uintptr_t)address;

	return va >= manager->port.space.va_start && va < manager->port.space.va_end;
}
