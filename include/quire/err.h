/* Error codes of quire: negative errno values, so that a caller with a libc may pass them to strerror(). */
#ifndef QUIRE_ERR_H
#define QUIRE_ERR_H

enum qr_err {
	QR_OK = 0,
	QR_EPERM = -1,     /* the system forbids it */
	QR_ENOENT = -2,    /* nothing is there */
	QR_EINTR = -4,
	QR_EIO = -5,       /* the device failed */
	QR_EAGAIN = -11,   /* a passing state; try again */
	QR_ENOMEM = -12,   /* the RAM budget is exhausted and nothing could be reclaimed */
	QR_EACCES = -13,   /* the VMA's protection forbids the access */
	QR_EFAULT = -14,   /* no VMA at that address */
	QR_EBUSY = -16,    /* somebody else holds it */
	QR_EEXIST = -17,   /* the range is taken */
	QR_EINVAL = -22,   /* an argument is out of range */
	QR_ENOSPC = -28,   /* the swap is full */
	QR_ENOSYS = -38,   /* this port or kernel cannot do it */
	QR_EOVERFLOW = -75,
	QR_EILSEQ = -84,   /* stored bytes fail their check */
	QR_ERETRY = -512,  /* internal: locks were dropped, begin again; never crosses the public interface */
};

#endif
