/*
 * Transfers. What fits the limit of pinned bytes is one system call. A longer one is made in pieces, so that the caller
 * sees what it would have seen of one call:
 *   - writing goes on until a piece comes out short or fails, as the kernel does inside one call;
 *   - reading goes on after a full piece from files and devices, and from sockets with MSG_WAITALL; from pipes and
 *     other sockets a short result is natural, and the next piece might have to wait;
 *   - an error after the first piece is the next call's to report.
 */
#include "guard_code.h"
QR_GUARD_CODE_BEGIN

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "guard.h"

/* Buffers of one piece. */
#define PIECE_VECTORS 16u

/* Where a vector transfer stands. */
struct cursor {
	const struct iovec *vectors;
	size_t nr;
	size_t offset; /* in vectors[0] */
};

static bool reading_goes_on(const struct qr_guard_call *call);
static long vector_in_pieces(struct qr_guard_thread *self, const struct qr_guard_call *call, size_t limit);
static long one_message(struct qr_guard_thread *self, uintptr_t fd, struct msghdr *message, uintptr_t flags,
			bool is_send);
static long message_in_pieces(struct qr_guard_thread *self, uintptr_t fd, struct msghdr *message, uintptr_t flags,
			      bool is_send, size_t limit);

static bool is_write(long number)
{
	return number == SYS_write || number == SYS_pwrite64 || number == SYS_sendto || number == SYS_writev ||
	       number == SYS_pwritev || number == SYS_pwritev2;
}

static bool has_offset(const struct qr_guard_call *call)
{
	switch (call->number) {
	case SYS_pread64:
	case SYS_pwrite64:
	case SYS_preadv:
	case SYS_pwritev:
		return true;
	case SYS_preadv2:
	case SYS_pwritev2:
		return call->args[3] != (uintptr_t)-1; /* the file's own position */
	default:
		return false;
	}
}

long qr_guard_transfer(struct qr_guard_thread *self, struct qr_guard_call *call)
{
	unsigned at = call->number == SYS_getrandom ? 0 : 1;
	size_t limit = qr_guard_limit, length = call->args[at + 1], done = 0;
	struct qr_guard_call piece = *call;
	long result;

	if (length <= limit || !qr_guard_is_managed(call->args[at]))
		return qr_guard_make_pinned(self, call);
	do {
		piece.args[at] = call->args[at] + done;
		piece.args[at + 1] = QR_MIN(length - done, limit);
		if (has_offset(call))
			piece.args[3] = call->args[3] + done;
		result = qr_guard_make_pinned(self, &piece);
		if (result > 0)
			done += (size_t)result;
	} while (result > 0 && (size_t)result == piece.args[at + 1] && done < length &&
		 (is_write(call->number) || reading_goes_on(call)));
	return done ? (long)done : result;
}

static bool reading_goes_on(const struct qr_guard_call *call)
{
	struct stat status;

	if (call->number == SYS_getrandom)
		return true;
	if (call->number == SYS_recvfrom)
		return (call->args[3] & (MSG_WAITALL | MSG_PEEK)) == MSG_WAITALL;
	if (qr_guard_raw(SYS_fstat, call->args[0], (uintptr_t)&status, 0, 0, 0, 0))
		return false;
	return !S_ISFIFO(status.st_mode) && !S_ISSOCK(status.st_mode);
}

/* Can all buffers be pinned at once? Their managed bytes are within the limit, and there are pins for them. */
static bool vectors_fit(const struct iovec *vectors, size_t nr, size_t limit)
{
	size_t nr_bytes = 0, nr_pins = 0;

	for (size_t i = 0; i < nr; i++) {
		if (!qr_guard_is_managed((uintptr_t)vectors[i].iov_base))
			continue;
		nr_bytes += vectors[i].iov_len;
		nr_pins++;
		if (nr_bytes > limit || nr_pins > QR_PINS_MAX / 2)
			return false;
	}
	return true;
}

static void pin_vectors(struct qr_guard_thread *self, const struct iovec *vectors, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		qr_guard_pin(self, (uintptr_t)vectors[i].iov_base, vectors[i].iov_len);
}

/* The next buffers, up to limit bytes; returns how many there are. */
static size_t next_piece(const struct cursor *cursor, size_t limit, struct iovec *piece, size_t *nr_bytes)
{
	size_t offset = cursor->offset, nr = 0;

	*nr_bytes = 0;
	for (size_t i = 0; i < cursor->nr && nr < PIECE_VECTORS && *nr_bytes < limit; i++) {
		size_t rest = QR_MIN(cursor->vectors[i].iov_len - offset, limit - *nr_bytes);

		piece[nr].iov_base = (char *)cursor->vectors[i].iov_base + offset;
		piece[nr++].iov_len = rest;
		*nr_bytes += rest;
		offset = 0;
	}
	return nr;
}

static void advance(struct cursor *cursor, size_t nr_bytes)
{
	cursor->offset += nr_bytes;
	while (cursor->nr && cursor->offset >= cursor->vectors[0].iov_len) {
		cursor->offset -= cursor->vectors[0].iov_len;
		cursor->vectors++;
		cursor->nr--;
	}
}

long qr_guard_vector(struct qr_guard_thread *self, struct qr_guard_call *call)
{
	const struct iovec *vectors = (const struct iovec *)call->args[1];
	size_t limit = qr_guard_limit, nr = call->args[2];
	uint32_t first = self->pins.nr;
	long result;

	if (nr > UIO_MAXIOV)
		return qr_guard_make(call);
	if (!vectors_fit(vectors, nr, limit))
		return vector_in_pieces(self, call, limit);
	qr_guard_pin(self, call->args[1], nr * sizeof(*vectors));
	pin_vectors(self, vectors, nr);
	(void)qr_guard_settle(self, first);
	result = qr_guard_make(call);
	qr_guard_unpin(self, first);
	return result;
}

static long vector_in_pieces(struct qr_guard_thread *self, const struct qr_guard_call *call, size_t limit)
{
	struct cursor cursor = {(const struct iovec *)call->args[1], call->args[2], 0};
	struct iovec vectors[PIECE_VECTORS];
	struct qr_guard_call piece = *call;
	size_t nr_bytes, done = 0;
	long result;

	piece.args[1] = (uintptr_t)vectors;
	do {
		uint32_t first = self->pins.nr;

		piece.args[2] = next_piece(&cursor, limit, vectors, &nr_bytes);
		if (has_offset(call))
			piece.args[3] = call->args[3] + done;
		pin_vectors(self, vectors, piece.args[2]);
		(void)qr_guard_settle(self, first);
		result = qr_guard_make(&piece);
		qr_guard_unpin(self, first);
		if (result > 0) {
			done += (size_t)result;
			advance(&cursor, (size_t)result);
		}
	} while (result > 0 && (size_t)result == nr_bytes && cursor.nr &&
		 (is_write(call->number) || reading_goes_on(call)));
	return done ? (long)done : result;
}

/* Several messages are so many calls; that is what the kernel makes of them, too. */
long qr_guard_message(struct qr_guard_thread *self, struct qr_guard_call *call)
{
	struct mmsghdr *messages = (struct mmsghdr *)call->args[1];
	bool is_send = call->number == SYS_sendmsg || call->number == SYS_sendmmsg;
	uintptr_t flags = call->args[3];
	uint32_t done = 0;
	long result = 0;

	if (call->number == SYS_sendmsg || call->number == SYS_recvmsg)
		return one_message(self, call->args[0], (struct msghdr *)call->args[1], call->args[2], is_send);
	/* A time limit concerns the sum: such a call is made whole. */
	if (call->number == SYS_recvmmsg && call->args[4]) {
		uint32_t first = self->pins.nr;

		qr_guard_pin(self, call->args[1], call->args[2] * sizeof(*messages));
		qr_guard_pin(self, call->args[4], 2 * sizeof(long));
		for (size_t i = 0; i < call->args[2]; i++) {
			const struct msghdr *header = &messages[i].msg_hdr;

			qr_guard_pin(self, (uintptr_t)header->msg_name, header->msg_namelen);
			qr_guard_pin(self, (uintptr_t)header->msg_control, header->msg_controllen);
			qr_guard_pin(self, (uintptr_t)header->msg_iov, header->msg_iovlen * sizeof(struct iovec));
			pin_vectors(self, header->msg_iov, header->msg_iovlen);
		}
		(void)qr_guard_settle(self, first);
		result = qr_guard_make(call);
		qr_guard_unpin(self, first);
		return result;
	}
	while (done < call->args[2]) {
		result = one_message(self, call->args[0], &messages[done].msg_hdr, flags & ~(uintptr_t)MSG_WAITFORONE,
				     is_send);
		if (result < 0)
			break;
		messages[done++].msg_len = (unsigned)result;
		if (!is_send && flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
	}
	return done ? (long)done : result;
}

static long one_message(struct qr_guard_thread *self, uintptr_t fd, struct msghdr *message, uintptr_t flags,
			bool is_send)
{
	size_t limit = qr_guard_limit;
	uint32_t first = self->pins.nr;
	long result;

	if (message->msg_iovlen <= UIO_MAXIOV && !vectors_fit(message->msg_iov, message->msg_iovlen, limit))
		return message_in_pieces(self, fd, message, flags, is_send, limit);
	qr_guard_pin(self, (uintptr_t)message, sizeof(*message));
	qr_guard_pin(self, (uintptr_t)message->msg_name, message->msg_namelen);
	qr_guard_pin(self, (uintptr_t)message->msg_control, message->msg_controllen);
	if (message->msg_iovlen <= UIO_MAXIOV) {
		qr_guard_pin(self, (uintptr_t)message->msg_iov, message->msg_iovlen * sizeof(struct iovec));
		pin_vectors(self, message->msg_iov, message->msg_iovlen);
	}
	(void)qr_guard_settle(self, first);
	result = qr_guard_raw(is_send ? SYS_sendmsg : SYS_recvmsg, fd, (uintptr_t)message, flags, 0, 0, 0);
	qr_guard_unpin(self, first);
	return result;
}

/* Only streams carry that much. Names and control data go with the first piece. */
static long message_in_pieces(struct qr_guard_thread *self, uintptr_t fd, struct msghdr *message, uintptr_t flags,
			      bool is_send, size_t limit)
{
	struct cursor cursor = {message->msg_iov, message->msg_iovlen, 0};
	bool goes_on = is_send || (flags & (MSG_WAITALL | MSG_PEEK)) == MSG_WAITALL;
	struct iovec vectors[PIECE_VECTORS];
	struct msghdr piece = *message;
	size_t nr_bytes, done = 0;
	long result;

	piece.msg_iov = vectors;
	do {
		uint32_t first = self->pins.nr;

		piece.msg_iovlen = next_piece(&cursor, limit, vectors, &nr_bytes);
		qr_guard_pin(self, (uintptr_t)piece.msg_name, piece.msg_namelen);
		qr_guard_pin(self, (uintptr_t)piece.msg_control, piece.msg_controllen);
		pin_vectors(self, vectors, piece.msg_iovlen);
		(void)qr_guard_settle(self, first);
		result = qr_guard_raw(is_send ? SYS_sendmsg : SYS_recvmsg, fd, (uintptr_t)&piece, flags, 0, 0, 0);
		qr_guard_unpin(self, first);
		if (result < 0)
			break;
		if (!done && !is_send) {
			message->msg_namelen = piece.msg_namelen;
			message->msg_controllen = piece.msg_controllen;
			message->msg_flags = piece.msg_flags;
		}
		piece.msg_control = NULL;
		piece.msg_controllen = 0;
		done += (size_t)result;
		advance(&cursor, (size_t)result);
	} while (result > 0 && (size_t)result == nr_bytes && cursor.nr && goes_on);
	return done ? (long)done : result;
}

QR_GUARD_CODE_END
