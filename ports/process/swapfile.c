/*
 * Swap files of the process port: unlinked from the start, so that they go with the last process that has them open,
 * however it ends; readable by their owner only.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Programs count on low descriptors: the files keep out of their way. */
#define LOWEST_FD 512

static int swapfile_create_named(const char *dir, int flags);
static int swapfile_raise(int fd);

int qr_io_swap_open(struct qr_io *io, uint32_t *file)
{
	bool is_direct = false;
	int fd;

	if (!io->swap_dir[0])
		return QR_ENOSYS;
	if (__atomic_load_n(&io->nr_files, __ATOMIC_RELAXED) >= QR_MAX_SWAP_FILES)
		return QR_EAGAIN;
	fd = qr_adopt_fd(qr_swapfile_create(io->swap_dir, &is_direct));
	if (fd < 0)
		return fd;
	pthread_mutex_lock(&io->submit_lock);
	if (io->nr_files >= QR_MAX_SWAP_FILES) {
		pthread_mutex_unlock(&io->submit_lock);
		qr_close_fd(fd);
		return QR_EAGAIN;
	}
	*file = io->nr_files;
	io->fds[*file] = fd;
	if (is_direct)
		(void)__atomic_fetch_or(&io->direct_files, 1u << *file, __ATOMIC_RELAXED);
	/* Release pairs with the acquire in qr_io_submit(). */
	__atomic_store_n(&io->nr_files, *file + 1, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&io->submit_lock);
	return 0;
}

void qr_io_swap_discard(struct qr_io *io, uint32_t file, uint64_t offset_bytes, uint64_t len_bytes)
{
	/* A file system that cannot do it keeps the blocks: no harm. */
	if (file < __atomic_load_n(&io->nr_files, __ATOMIC_ACQUIRE))
		(void)fallocate(io->fds[file], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset_bytes,
				(off_t)len_bytes);
}

int qr_swapfile_create(const char *dir, bool *is_direct)
{
	static const int flags[] = {O_DIRECT, 0};
	int error = 0;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		int fd = open(dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC | flags[i], 0600);

		/* Not every file system has unnamed files, and old kernels take the flag for O_DIRECTORY. */
		if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
			fd = swapfile_create_named(dir, flags[i]);
		if (fd >= 0) {
			*is_direct = flags[i] != 0;
			return swapfile_raise(fd);
		}
		error = errno;
		if (error != EINVAL)
			break;
	}
	return qr_io_error(error);
}

/* A file with a name that lives until the next line. Returns -1 with errno. */
static int swapfile_create_named(const char *dir, int flags)
{
	char path[PATH_MAX + 32];
	int fd;

	if (snprintf(path, sizeof(path), "%s/quire-swap-XXXXXX", dir) >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(path, O_CLOEXEC); /* mode 0600 */
	if (fd < 0)
		return -1;
	(void)unlink(path);
	if (flags && fcntl(fd, F_SETFL, flags) < 0) {
		close(fd);
		errno = EINVAL;
		return -1;
	}
	return fd;
}

/* The same file under a higher number, where the limit allows. */
static int swapfile_raise(int fd)
{
	struct rlimit limit;
	int raised;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur <= LOWEST_FD + QR_MAX_SWAP_FILES)
		return fd;
	raised = fcntl(fd, F_DUPFD_CLOEXEC, LOWEST_FD);
	if (raised < 0)
		return fd;
	close(fd);
	return raised;
}
