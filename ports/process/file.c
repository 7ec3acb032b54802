/* Mapped files: the content of private file mappings is read by pread(2) at the first touch. */
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* The handle of a file object is its descriptor plus one, so that it is never NULL. */
static int file_descriptor(void *file)
{
	return (int)(intptr_t)file - 1;
}

int qr_port_file_read(struct qr_port *port, void *file, uint64_t offset_bytes, void *buffer, uint32_t len_bytes)
{
	uint32_t done = 0;

	(void)port;
	while (done < len_bytes) {
		ssize_t nr = pread(file_descriptor(file), (uint8_t *)buffer + done, len_bytes - done,
				   (off_t)(offset_bytes + done));

		if (nr < 0 && errno == EINTR)
			continue;
		if (nr < 0)
			return QR_EIO;
		if (nr == 0)
			break;
		done += (uint32_t)nr;
	}
	memset((uint8_t *)buffer + done, 0, len_bytes - done);
	return 0;
}

void qr_port_file_close(struct qr_port *port, void *file)
{
	(void)port;
	qr_close_fd(file_descriptor(file));
}
