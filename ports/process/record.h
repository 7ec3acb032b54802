/*
 * Recording of page faults: members of a domain put them into a ring in shared memory, which the launcher empties ten
 * times a second. A fault costs a few stores more; when the ring is full it is counted and not kept, so nobody waits.
 *
 * A writer takes a place by compare-and-swap of the head and then fills it; the reader takes places in their order and
 * leaves each zeroed. Of a writer that is killed in between a zero remains, which the reader skips when it has waited.
 */
#ifndef QR_PROCESS_RECORD_H
#define QR_PROCESS_RECORD_H

#include <stdint.h>

#include "domain.h"

#define QR_RECORD_MAGIC 0x51525252u /* "QRRR" */
/* Half a MiB: six hundred thousand faults a second, ten looks a second. Each process that writes has it resident. */
#define QR_RECORD_ENTRIES (1u << 16)

/* An entry: bit 63 always; bits 0-35 the page's address >> 12, 36-45 the slot of the process, 46-53 the generation of
 * the slot's owner word. So equal low bits are the same page of the same run of a program. */
#define QR_RECORD_VALID (1ull << 63)
#define QR_RECORD_SLOT_SHIFT 36
#define QR_RECORD_GENERATION_SHIFT 46

struct qr_record {
	uint32_t magic;
	uint32_t size;       /* of this struct */
	uint64_t nr_lost;    /* (A) */
	uint64_t tail QR_ALIGNED(QR_CACHE_LINE); /* (A) written by the reader */
	uint64_t head QR_ALIGNED(QR_CACHE_LINE); /* (A) */
	uint64_t entries[QR_RECORD_ENTRIES] QR_ALIGNED(QR_CACHE_LINE); /* (A) [place % QR_RECORD_ENTRIES] */
};

/* Creates the ring as a memfd; 0 or a negative errno value. */
int qr_record_create(struct qr_record **record, int *fd);
/* Maps an existing one by path; errors as qr_domain_attach(). Raw system calls only. */
int qr_record_attach(struct qr_record **record, const char *path);
void qr_record_detach(struct qr_record *record);

/* The process of the domain has touched a page and faulted. Async-signal-safe. */
void qr_record_note(struct qr_record *record, const struct qr_domain *domain, uint64_t va);
/* Takes the next entry, without bit 63; 0 if there is none, or if the next place is not filled yet and is_patient. */
uint64_t qr_record_take(struct qr_record *record, bool is_patient);

#endif
