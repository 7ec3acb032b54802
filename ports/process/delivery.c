/*
 * The choice between the two deliveries of faults. Threads need nothing of the program but the right to handle faults
 * inside system calls. Without that right there are signals, for a program whose system calls somebody guards.
 */
#include "internal.h"

#include <fcntl.h>
#include <unistd.h>

static bool has_full_userfaultfd(void)
{
	int fd = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		fd = (int)syscall(SYS_userfaultfd, (long)O_CLOEXEC);
	if (fd >= 0)
		(void)syscall(SYS_close, (long)fd);
	return fd >= 0;
}

enum qr_delivery qr_delivery_choose(enum qr_delivery wanted)
{
	if (wanted != QR_DELIVERY_AUTO)
		return wanted;
	if (qr_shim_guard_calls && !has_full_userfaultfd())
		return QR_DELIVERY_SIGNAL;
	return QR_DELIVERY_THREAD;
}
