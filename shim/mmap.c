/*
 * mmap(2) and its relatives. Private anonymous memory goes to the manager, everything else to the kernel, untouched
 * and counted: file maps, shared memory, huge pages of hugetlbfs, stacks, executable memory, MAP_32BIT.
 *
 * A range is managed where it lies in the manager's range of addresses; a call on a range that is partly managed is
 * split. What differs from the kernel:
 *   - a kernel mapping cannot be placed over managed addresses with MAP_FIXED, nor moved there: ENOMEM. The program
 *     that overlays reservations with file maps, the loader, reserves with file maps, which are not managed;
 *   - MREMAP_DONTUNMAP on managed memory: EINVAL, as the kernel answers for mappings it is not defined on;
 *   - a hint below 4 GiB goes to the kernel: who gives one needs low addresses, and falls over without them;
 *   - mlockall() does not lock, see there.
 */
/* Both the plain names and those with 64 are defined here; libc's headers must not rename the former. */
#undef _FILE_OFFSET_BITS
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"

#ifndef MAP_UNINITIALIZED
#define MAP_UNINITIALIZED 0x4000000
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
/* Flags that managed memory can have; with any other the mapping is the kernel's. */
#define MAP_MANAGED_FLAGS                                                                                              \
	(MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | \
	 MAP_LOCKED | MAP_DENYWRITE | MAP_EXECUTABLE | MAP_UNINITIALIZED)
#define MAP_LOW_HINT ((uintptr_t)1 << 32)

QR_SHIM_EXPORT void *mmap(void *address, size_t length, int prot, int flags, int fd, off_t offset);
QR_SHIM_EXPORT void *mmap64(void *address, size_t length, int prot, int flags, int fd, off64_t offset);
QR_SHIM_EXPORT int munmap(void *address, size_t length);
QR_SHIM_EXPORT void *mremap(void *old_address, size_t old_length, size_t new_length, int flags, ...);
QR_SHIM_EXPORT int mprotect(void *address, size_t length, int prot);
QR_SHIM_EXPORT int pkey_mprotect(void *address, size_t length, int prot, int key);

static bool map_is_managed(uintptr_t start, size_t length, int prot, int flags);
static void *map_kernel(void *address, size_t length, int prot, int flags, int fd, int64_t offset);
static void *map_managed(void *address, size_t length, int prot, int flags);
static void *map_split(uintptr_t start, size_t length, int prot, int flags);
static void *remap_managed(void *old_address, size_t old_length, size_t new_length, int flags, void *new_address);

static int unmap_managed(void *address, size_t length, int unused)
{
	(void)unused;
	return qr_shim_manager(qr_manager_unmap, address, length);
}

static int unmap_kernel(void *address, size_t length, int unused)
{
	(void)unused;
	return qr_shim_sys_munmap(address, length);
}

static int protect_managed(void *address, size_t length, int prot)
{
	return qr_shim_manager(qr_manager_protect, address, length, prot);
}

void *mmap(void *address, size_t length, int prot, int flags, int fd, off_t offset)
{
	uintptr_t start = (uintptr_t)address, rounded = QR_ALIGN_UP(length, QR_PAGE_SIZE);
	bool is_fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);

	if (!qr_shim_serves_caller())
		return qr_shim_sys_mmap(address, length, prot, flags, fd, offset);
	if (!length || (is_fixed && (start & (QR_PAGE_SIZE - 1)))) {
		errno = EINVAL;
		return MAP_FAILED;
	}
	if (rounded < length) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	if (!map_is_managed(start, rounded, prot, flags))
		return map_kernel(address, length, prot, flags, fd, offset);
	if (is_fixed && !(qr_shim_is_managed(address) && qr_shim_is_managed((void *)(start + rounded - 1))))
		return map_split(start, rounded, prot, flags);
	return map_managed(address, rounded, prot, flags);
}

void *mmap64(void *address, size_t length, int prot, int flags, int fd, off64_t offset)
{
	return mmap(address, length, prot, flags, fd, offset);
}

int munmap(void *address, size_t length)
{
	if (!qr_shim_serves_caller())
		return qr_shim_sys_munmap(address, length);
	return qr_shim_each_part(address, length, 0, unmap_managed, unmap_kernel);
}

int mprotect(void *address, size_t length, int prot)
{
	if (!qr_shim_serves_caller())
		return qr_shim_sys_mprotect(address, length, prot);
	return qr_shim_each_part(address, length, prot, protect_managed, qr_shim_sys_mprotect);
}

/* Managed pages carry no protection keys; a caller that wants one learns it as on a kernel without them. */
int pkey_mprotect(void *address, size_t length, int prot, int key)
{
	if (key == -1)
		return mprotect(address, length, prot);
	if (qr_shim_serves_caller() && qr_shim_is_managed(address)) {
		errno = ENOSYS;
		return -1;
	}
	return (int)syscall(SYS_pkey_mprotect, address, length, (long)prot, (long)key);
}

void *mremap(void *old_address, size_t old_length, size_t new_length, int flags, ...)
{
	void *new_address = NULL;
	va_list rest;

	/* Without MREMAP_FIXED or MREMAP_DONTUNMAP there is no fifth argument, and what is read is not used. */
	va_start(rest, flags);
	new_address = va_arg(rest, void *);
	va_end(rest);
	if (qr_shim_serves_caller()) {
		bool is_old_managed = qr_shim_is_managed(old_address);
		bool is_new_managed = (flags & MREMAP_FIXED) && qr_shim_overlaps((uintptr_t)new_address, new_length);

		if (is_old_managed)
			return remap_managed(old_address, old_length, new_length, flags, new_address);
		if (is_new_managed) {
			errno = ENOMEM;
			return MAP_FAILED;
		}
	}
	return (void *)syscall(SYS_mremap, old_address, old_length, new_length, (long)flags, new_address);
}

bool qr_shim_overlaps(uintptr_t start, size_t length)
{
	return length && start < qr_shim.start + qr_shim.length && start + length - 1 >= qr_shim.start;
}

int qr_shim_each_part(void *address, size_t length, int argument, qr_shim_part_fn *managed, qr_shim_part_fn *kernel)
{
	uintptr_t start = (uintptr_t)address, end = start + QR_ALIGN_UP(length, QR_PAGE_SIZE);
	uintptr_t managed_start = QR_MAX(start, qr_shim.start), managed_end;
	int err;

	/* Also for lengths that wrap: the kernel knows which error that is. */
	if (end < start || end - start < length || !qr_shim_overlaps(start, end - start))
		return kernel(address, length, argument);
	if (start & (QR_PAGE_SIZE - 1)) {
		errno = EINVAL;
		return -1;
	}
	managed_end = QR_MIN(end, qr_shim.start + qr_shim.length);
	if (start < managed_start && kernel(address, managed_start - start, argument))
		return -1;
	err = managed((void *)managed_start, managed_end - managed_start, argument);
	if (err)
		return qr_shim_fail(err);
	return managed_end < end ? kernel((void *)managed_end, end - managed_end, argument) : 0;
}

static bool map_is_managed(uintptr_t start, size_t length, int prot, int flags)
{
	if ((flags & MAP_TYPE) != MAP_PRIVATE || !(flags & MAP_ANONYMOUS) || (flags & ~MAP_MANAGED_FLAGS))
		return false;
	if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))
		return qr_shim_overlaps(start, length);
	return !(prot & PROT_EXEC) && (!start || start >= MAP_LOW_HINT);
}

static void *map_kernel(void *address, size_t length, int prot, int flags, int fd, int64_t offset)
{
	void *mapped;

	if ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) && qr_shim_overlaps((uintptr_t)address, length)) {
		errno = flags & MAP_FIXED_NOREPLACE ? EEXIST : ENOMEM;
		return MAP_FAILED;
	}
	mapped = qr_shim_sys_mmap(address, length, prot, flags, fd, offset);
	if (mapped != MAP_FAILED)
		qr_shim_count_passed(QR_ALIGN_UP(length, QR_PAGE_SIZE));
	return mapped;
}

static void *map_managed(void *address, size_t length, int prot, int flags)
{
	unsigned map_flags = flags & MAP_LOCKED ? QR_MAP_LOCK : 0;
	void *mapped = qr_shim_is_managed(address) ? (void *)QR_ALIGN_DOWN((uintptr_t)address, QR_PAGE_SIZE) : NULL;
	int err;

	if (flags & MAP_FIXED_NOREPLACE)
		map_flags |= QR_MAP_AT_NOREPLACE;
	else if (flags & MAP_FIXED)
		map_flags |= QR_MAP_AT;
	err = qr_shim_manager(qr_manager_map, &mapped, length, prot, map_flags);
	if (err) {
		(void)qr_shim_fail(err);
		return MAP_FAILED;
	}
	/* As in the kernel, populating is best effort. */
	if ((flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE && (prot & (PROT_READ | PROT_WRITE)))
		(void)qr_shim_manager(qr_manager_advise, mapped, length,
				      prot & PROT_WRITE ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
	return mapped;
}

/* A fixed mapping that begins or ends outside of the manager's range. */
static void *map_split(uintptr_t start, size_t length, int prot, int flags)
{
	uintptr_t managed_start = QR_MAX(start, qr_shim.start), end = start + length;
	uintptr_t managed_end = QR_MIN(end, qr_shim.start + qr_shim.length);

	if (start < managed_start && map_kernel((void *)start, managed_start - start, prot, flags, -1, 0) == MAP_FAILED)
		return MAP_FAILED;
	if (managed_end < end && map_kernel((void *)managed_end, end - managed_end, prot, flags, -1, 0) == MAP_FAILED)
		return MAP_FAILED;
	if (map_managed((void *)managed_start, managed_end - managed_start, prot, flags) == MAP_FAILED)
		return MAP_FAILED;
	return (void *)start;
}

static void *remap_managed(void *old_address, size_t old_length, size_t new_length, int flags, void *new_address)
{
	uintptr_t old_end = (uintptr_t)old_address + old_length, new_start = (uintptr_t)new_address;
	void *address = new_address;
	int err;

	if (((uintptr_t)old_address & (QR_PAGE_SIZE - 1)) || !old_length || !new_length ||
	    (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED)) || flags == MREMAP_FIXED) {
		err = QR_EINVAL;
	} else if (old_end < old_length || !qr_shim_is_managed((void *)(old_end - 1))) {
		err = QR_EFAULT;
	} else if ((flags & MREMAP_FIXED) && (new_start & (QR_PAGE_SIZE - 1))) {
		err = QR_EINVAL;
	} else if ((flags & MREMAP_FIXED) && (new_start + new_length < new_start || !qr_shim_is_managed(new_address) ||
					      !qr_shim_is_managed((void *)(new_start + new_length - 1)))) {
		err = QR_ENOMEM;
	} else {
		err = qr_shim_manager(qr_manager_remap, old_address, old_length, new_length, flags, &address);
	}
	if (err) {
		(void)qr_shim_fail(err);
		return MAP_FAILED;
	}
	return address;
}
