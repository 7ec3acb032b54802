/*
 * Opening userfaultfd and registering the pool and the program's range.
 *
 * Three ways in, tried in this order: /dev/userfaultfd (its file permissions decide), the system call (root, or
 * vm.unprivileged_userfaultfd=1), the system call with UFFD_USER_MODE_ONLY (anybody; faults inside system calls are
 * then not delivered).
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "uffd_abi.h"

#define OPEN_FLAGS (O_CLOEXEC | O_NONBLOCK)
/* A forked child waits this long for its parent to let go of the inherited registration: 10 s in steps of 100 us. */
#define REGISTER_RETRIES 100000u
#define REGISTER_RETRY_US 100u

static int uffd_new(bool *is_user_mode_only)
{
	int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	int fd = -1;

	*is_user_mode_only = false;
	if (device >= 0) {
		fd = ioctl(device, USERFAULTFD_IOC_NEW, OPEN_FLAGS);
		close(device);
	}
	if (fd < 0)
		fd = (int)syscall(SYS_userfaultfd, OPEN_FLAGS);
	if (fd < 0 && errno == EPERM) {
		fd = (int)syscall(SYS_userfaultfd, OPEN_FLAGS | UFFD_USER_MODE_ONLY);
		*is_user_mode_only = fd >= 0;
	}
	return fd < 0 ? -errno : qr_adopt_fd(fd);
}

/* A descriptor with as many of the wanted features as the kernel has; *granted tells which. */
static int uffd_open_with(uint64_t wanted, uint64_t *granted, bool *is_user_mode_only)
{
	struct uffdio_api api = {.api = UFFD_API};
	int fd = uffd_new(is_user_mode_only);

	if (fd < 0)
		return fd;
	/* The first handshake tells what there is, and uses the descriptor up. */
	if (ioctl(fd, UFFDIO_API, &api) < 0) {
		qr_close_fd(fd);
		return QR_ENOSYS;
	}
	qr_close_fd(fd);
	api = (struct uffdio_api){.api = UFFD_API, .features = api.features & wanted};
	fd = uffd_new(is_user_mode_only);
	if (fd < 0)
		return fd;
	if (ioctl(fd, UFFDIO_API, &api) < 0) {
		/* Fork events need CAP_SYS_PTRACE. */
		qr_close_fd(fd);
		if (!(wanted & UFFD_FEATURE_EVENT_FORK))
			return -errno;
		return uffd_open_with(wanted & ~(uint64_t)UFFD_FEATURE_EVENT_FORK, granted, is_user_mode_only);
	}
	*granted = api.features & wanted;
	return fd;
}

static const char *open_error_text(int error)
{
	if (error == QR_ENOSYS)
		return "this kernel has no userfaultfd: it needs CONFIG_USERFAULTFD (Linux 5.7 or later)";
	return "userfaultfd is not permitted: run as root, or let the administrator set "
	       "vm.unprivileged_userfaultfd=1 or give this user access to /dev/userfaultfd";
}

int qr_uffd_open(struct qr_manager *manager, const char **error_text)
{
	struct qr_port *port = &manager->port;
	bool wants_signal = manager->delivery == QR_DELIVERY_SIGNAL;
	uint64_t events = UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE |
			  UFFD_FEATURE_EVENT_UNMAP;
	uint64_t granted, pool_granted;
	bool pool_user_only;

	port->uffd_pool = uffd_open_with(UFFD_FEATURE_MOVE, &pool_granted, &pool_user_only);
	if (port->uffd_pool < 0) {
		*error_text = open_error_text(port->uffd_pool);
		return port->uffd_pool == QR_ENOSYS ? QR_ENOSYS : QR_EPERM;
	}
	port->has_move = pool_granted & UFFD_FEATURE_MOVE && !manager->no_move;
	/* Without moves, eviction drops pages by madvise, which must not wait for its own event to be read. */
	if (!port->has_move)
		events = UFFD_FEATURE_EVENT_FORK;
	if (wants_signal)
		events |= UFFD_FEATURE_SIGBUS;
	port->uffd_space = uffd_open_with(events | UFFD_FEATURE_MOVE, &granted, &port->is_user_mode_only);
	if (port->uffd_space < 0) {
		*error_text = open_error_text(port->uffd_space);
		qr_close_fd(port->uffd_pool);
		return QR_EPERM;
	}
	if (qr_move_open(port)) {
		*error_text = "/proc/self/pagemap cannot be opened: /proc must be mounted";
		qr_close_fd(port->uffd_space);
		qr_close_fd(port->uffd_pool);
		return QR_EPERM;
	}
	port->has_fork_events = granted & UFFD_FEATURE_EVENT_FORK;
	if (port->is_user_mode_only && manager->delivery == QR_DELIVERY_THREAD) {
		*error_text = "only user-mode userfaultfd is permitted here, with which system calls cannot wait for "
			      "pages: run as root, or let the administrator set vm.unprivileged_userfaultfd=1 or give "
			      "this user access to /dev/userfaultfd";
		qr_uffd_close(manager);
		return QR_EPERM;
	}
	return 0;
}

int qr_uffd_register_range(int uffd, uint64_t start, uint64_t len_bytes, uint64_t mode)
{
	struct uffdio_register request = {.range = {.start = start, .len = len_bytes}, .mode = mode};

	/* EBUSY: a forked child's range still belongs to the parent's descriptor. */
	for (unsigned i = 0; i < REGISTER_RETRIES; i++) {
		if (!ioctl(uffd, UFFDIO_REGISTER, &request))
			return 0;
		if (errno != EBUSY)
			break;
		usleep(REGISTER_RETRY_US);
	}
	return -errno;
}

int qr_uffd_register(struct qr_manager *manager, const char **error_text)
{
	struct qr_port *port = &manager->port;
	/* Write-protect mode without missing mode: the pool is a legal target of moves and touching a hole in it
	 * is an ordinary first touch. */
	int err = qr_uffd_register_range(port->uffd_pool, (uint64_t)(uintptr_t)port->pool, port->pool_bytes,
					 UFFDIO_REGISTER_MODE_WP);

	if (!err)
		err = qr_uffd_register_range(port->uffd_space, port->space.va_start,
					     port->space.va_end - port->space.va_start, QR_UFFD_SPACE_MODE);
	if (err)
		*error_text = "the kernel refused to register memory with userfaultfd";
	return err;
}

void qr_uffd_close(struct qr_manager *manager)
{
	qr_close_fd(manager->port.uffd_space);
	qr_close_fd(manager->port.uffd_pool);
	qr_move_close(&manager->port);
}
