/*
 * Sparse array: up to 2^24 leaves of one frame each, found by index through two levels of directory frames.
 *
 * Single frames only, so that it grows when memory is scarce and fragmented. Lookups take no lock; the owner's lock
 * guards growth, and the owner frees a leaf only when nobody can look it up.
 */
#ifndef QR_CORE_SWAP_SPARSE_H
#define QR_CORE_SWAP_SPARSE_H

#include "page/frame.h"

struct qr_vmm;

#define QR_SPARSE_TOP 64u
#define QR_SPARSE_FAN_SHIFT 9u
#define QR_SPARSE_FAN (1u << QR_SPARSE_FAN_SHIFT)
#define QR_SPARSE_MAX_LEAVES (QR_SPARSE_TOP << (2 * QR_SPARSE_FAN_SHIFT))

struct qr_sparse {
	struct qr_vmm *vmm;
	void *top[QR_SPARSE_TOP]; /* (A) written under the owner's lock, release; read with acquire */
	uint32_t nr_frames;       /* (owner's lock) leaves and directories */
};

void qr_sparse_init(struct qr_sparse *sparse, struct qr_vmm *vmm);
/* Frees every leaf and directory. */
void qr_sparse_destroy(struct qr_sparse *sparse);

/* The leaf's address, NULL where there is none. Any context. */
void *qr_sparse_leaf(const struct qr_sparse *sparse, uint32_t leaf);
/* Makes the leaf, zeroed; it must not exist. The owner's lock is held. Never sleeps. Returns 0 or QR_ENOMEM. */
int qr_sparse_add_leaf(struct qr_sparse *sparse, uint32_t leaf) QR_WARN_UNUSED;
/* Frees the leaf; the owner's lock is held. Directories stay. */
void qr_sparse_free_leaf(struct qr_sparse *sparse, uint32_t leaf);

#endif
