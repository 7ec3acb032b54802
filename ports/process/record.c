/* The ring of recorded faults; see record.h. */
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sync/atomic.h"

#define PAGE_BITS 36
/* As in the owner word of a slot, domain.h. */
#define OWNER_GENERATION_SHIFT 56

static int record_map(struct qr_record **record, int fd);

int qr_record_create(struct qr_record **record, int *out)
{
	int fd = (int)syscall(SYS_memfd_create, "quire-record", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int err;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, sizeof(**record)) || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW))
		err = -errno;
	else
		err = record_map(record, fd);
	if (err) {
		syscall(SYS_close, fd);
		return err;
	}
	(*record)->size = sizeof(**record);
	qr_store_release(&(*record)->magic, QR_RECORD_MAGIC); /* pairs with qr_record_attach() */
	*out = fd;
	return 0;
}

int qr_record_attach(struct qr_record **record, const char *path)
{
	struct stat status;
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
	struct qr_record *mapped = NULL;
	int err;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &status))
		err = -errno;
	else if (!S_ISREG(status.st_mode) || status.st_size != (off_t)sizeof(*mapped))
		err = QR_EINVAL;
	else
		err = record_map(&mapped, fd);
	syscall(SYS_close, fd);
	if (err)
		return err;
	if (qr_load_acquire(&mapped->magic) != QR_RECORD_MAGIC || mapped->size != sizeof(*mapped)) {
		qr_record_detach(mapped);
		return QR_EINVAL;
	}
	*record = mapped;
	return 0;
}

static int record_map(struct qr_record **record, int fd)
{
	long address =
		syscall(SYS_mmap, 0L, sizeof(**record), (long)(PROT_READ | PROT_WRITE), (long)MAP_SHARED, (long)fd, 0L);

	if (address == -1)
		return -errno;
	*record = (struct qr_record *)(uintptr_t)address;
	return 0;
}

void qr_record_detach(struct qr_record *record)
{
	syscall(SYS_munmap, record, sizeof(*record));
}

void qr_record_note(struct qr_record *record, const struct qr_domain *domain, uint64_t va)
{
	uint64_t head = qr_load_relaxed(&record->head), page = (va >> QR_PAGE_SHIFT) & ((1ull << PAGE_BITS) - 1);
	uint64_t generation;

	if (domain->slot == UINT32_MAX)
		return;
	do {
		/* Pairs with the release in qr_record_take(): the place is empty. */
		if (head - qr_load_acquire(&record->tail) >= QR_RECORD_ENTRIES) {
			(void)qr_fetch_add_relaxed(&record->nr_lost, 1);
			return;
		}
	} while (!qr_cas(&record->head, &head, head + 1));
	generation = qr_load_relaxed(&domain->shared->processes[domain->slot].owner) >> OWNER_GENERATION_SHIFT;
	/* Pairs with the acquire in qr_record_take(). */
	qr_store_release(&record->entries[head % QR_RECORD_ENTRIES],
			 QR_RECORD_VALID | generation << QR_RECORD_GENERATION_SHIFT |
				 (uint64_t)domain->slot << QR_RECORD_SLOT_SHIFT | page);
}

uint64_t qr_record_take(struct qr_record *record, bool is_patient)
{
	uint64_t tail = qr_load_relaxed(&record->tail);

	while (tail != qr_load_acquire(&record->head)) {
		uint64_t *place = &record->entries[tail % QR_RECORD_ENTRIES];
		uint64_t entry = qr_load_acquire(place);

		if (!(entry & QR_RECORD_VALID) && is_patient)
			return 0;
		qr_store_relaxed(place, 0);
		qr_store_release(&record->tail, ++tail);
		if (entry & QR_RECORD_VALID)
			return entry & ~QR_RECORD_VALID;
		(void)qr_fetch_add_relaxed(&record->nr_lost, 1);
	}
	return 0;
}
