/*
 * quire: memory with a RAM budget, for programs that link the library.
 *
 * A manager owns a pool of RAM of a fixed size. Memory that is mapped through it is read and written like any
 * other; the pages that do not fit in the pool are compressed and then written to a file, and come back when they
 * are touched.
 *
 * All functions are thread-safe except qr_manager_close(). Those that return int return 0 or a negative errno value
 * (quire/err.h); qr_strerror() puts it into words. Structs carry their size, so that a program built against an
 * older header keeps working.
 */
#ifndef QUIRE_QUIRE_H
#define QUIRE_QUIRE_H

#include <stddef.h>
#include <stdint.h>

#include <quire/err.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QR_VERSION_MAJOR 0
#define QR_VERSION_MINOR 1
#define QR_API __attribute__((visibility("default")))

/* "0.1"; the version of the library that runs. */
QR_API const char *qr_version(void);
/* A sentence for an error code. */
QR_API const char *qr_strerror(int error);

struct qr_manager;

/* How page faults reach the manager. */
enum qr_delivery {
	QR_DELIVERY_AUTO,   /* the thread; the signal where only UFFD_USER_MODE_ONLY is permitted */
	QR_DELIVERY_THREAD, /* a handler thread of the manager; system calls on managed memory work */
	QR_DELIVERY_SIGNAL, /* SIGBUS in the faulting thread: quicker, but a system call on a page that is not in RAM
			     * fails with EFAULT: touch or lock the buffer first */
};

enum qr_compression { QR_COMPRESS_LZ4, QR_COMPRESS_ZSTD, QR_COMPRESS_NONE };

struct qr_options {
	uint32_t size;           /* sizeof(struct qr_options) */
	uint32_t delivery;       /* enum qr_delivery */
	uint32_t compression;    /* enum qr_compression */
	uint32_t nr_handlers;    /* handler threads; 0: chosen */
	uint64_t ram_bytes;      /* the budget; everything the manager itself needs comes out of it */
	const char *swap_dir;    /* where the swap file lives, unlinked from the start; NULL: no file */
	uint64_t swap_bytes;     /* bound of the swap file; 0: what the file system has */
	uint64_t address_bytes;  /* address space to reserve; 0: chosen (1 TiB where the system allows) */
	const char *domain;      /* internal: budget shared with other processes; NULL: none */
};

/* Defaults: half of the machine's RAM, $TMPDIR or /var/tmp, LZ4, automatic delivery. */
QR_API void qr_options_init(struct qr_options *options);

/* Opens a manager. On error *error_text (if not NULL) points to a static sentence with cause and remedy, valid
 * until the next call of this thread. QR_EINVAL: budget below QR_RAM_MIN or unknown option; QR_EPERM: no
 * userfaultfd for this user; QR_ENOSYS: the kernel has none; QR_ENOENT, QR_EACCES, QR_ENOSPC: the swap directory. */
#define QR_RAM_MIN ((uint64_t)8 << 20)
QR_API int qr_manager_open(const struct qr_options *options, struct qr_manager **manager, const char **error_text);
/* Unmaps all and frees all. No other thread uses the manager or its memory. */
QR_API void qr_manager_close(struct qr_manager *manager);

/* ---- Mapping. Addresses and lengths are rounded out to pages. ---- */

#define QR_MAP_AT 0x1u          /* at *address exactly, replacing what is mapped there; inside qr_manager_range() */
#define QR_MAP_AT_NOREPLACE 0x2u /* at *address or QR_EEXIST */
#define QR_MAP_LOCK 0x4u        /* resident and locked */

/* Maps zeroed memory; prot as for mmap(2). *address: hint in (NULL: none), result out. */
QR_API int qr_manager_map(struct qr_manager *manager, void **address, size_t length, int prot, unsigned flags);
/* Maps a private copy of a file's content; writes stay in memory. offset is page-aligned. The descriptor may be
 * closed afterwards. The file must not change while it is mapped. */
QR_API int qr_manager_map_file(struct qr_manager *manager, void **address, size_t length, int prot, unsigned flags,
			       int fd, int64_t offset);
QR_API int qr_manager_unmap(struct qr_manager *manager, void *address, size_t length);
/* flags: as for mremap(2): MREMAP_MAYMOVE, MREMAP_FIXED (then *address is the new place). */
QR_API int qr_manager_remap(struct qr_manager *manager, void *old_address, size_t old_length, size_t new_length,
			    int flags, void **address);
QR_API int qr_manager_protect(struct qr_manager *manager, void *address, size_t length, int prot);
/* advice: MADV_* of madvise(2): NORMAL, RANDOM, SEQUENTIAL, WILLNEED, DONTNEED, FREE, COLD, PAGEOUT, HUGEPAGE,
 * NOHUGEPAGE, POPULATE_READ, POPULATE_WRITE, DONTFORK, DOFORK, WIPEONFORK, KEEPONFORK. QR_EINVAL for others. */
QR_API int qr_manager_advise(struct qr_manager *manager, void *address, size_t length, int advice);
/* Makes pages resident and keeps them; at most half of the budget can be locked (QR_ENOMEM). */
QR_API int qr_manager_lock(struct qr_manager *manager, void *address, size_t length);
QR_API int qr_manager_unlock(struct qr_manager *manager, void *address, size_t length);
/* resident[i] is 1 where page i of the range is in RAM. */
QR_API int qr_manager_resident(struct qr_manager *manager, void *address, size_t length, unsigned char *resident);

/* ---- Groups: parts of the memory with limits and accounts of their own, for programs that do several things at once.
 * A mapping belongs to the group that it is made in for as long as it lives; memory of other mappings is in none.
 * A forked child has the same groups, and each process counts its own pages. ---- */

struct qr_group;

/* Limits; 0: none. They count the pages of the group that are in RAM, not what the manager compresses them to. */
struct qr_group_options {
	uint32_t size;       /* sizeof(struct qr_group_options) */
	uint32_t reserved;   /* 0 */
	uint64_t max_bytes;  /* never more: the group's own pages are swapped out first. When none of them can be, the
			      * program ends as it does when the budget is exhausted */
	uint64_t high_bytes; /* above it faults of the group swap its own pages out first, and wait if that is not
			      * enough */
	uint64_t low_bytes;  /* up to it other memory is swapped out before the group's, as long as there is any */
};
#define QR_GROUP_MAX_MIN ((uint64_t)64 << 10) /* the least max_bytes */

/* Makes a group; options NULL: without limits. QR_EINVAL: max_bytes below QR_GROUP_MAX_MIN, low_bytes above it, or a
 * struct of an unknown size; QR_ENOSPC: there are as many groups as a manager can have (2047); QR_ENOMEM. */
QR_API int qr_manager_group_create(struct qr_manager *manager, const struct qr_group_options *options,
				   struct qr_group **group);
/* Sets all limits anew. Returns when max_bytes holds, or QR_EBUSY when locked pages forbid it: the limits are in force
 * all the same. QR_EINVAL as above; then nothing is changed. */
QR_API int qr_manager_group_set(struct qr_manager *manager, struct qr_group *group,
				const struct qr_group_options *options);
/* Ends a group. What is mapped in it stays mapped, without limits, and is counted to nobody else. */
QR_API void qr_manager_group_destroy(struct qr_manager *manager, struct qr_group *group);

struct qr_group_stat {
	uint32_t size;           /* sizeof(struct qr_group_stat), set by the caller */
	uint32_t reserved;
	uint64_t resident_bytes; /* in RAM */
	uint64_t peak_bytes;     /* the most that was charged, with up to 384 KiB per CPU ahead of use */
	uint64_t swapped_bytes;
	uint64_t slab_bytes;     /* what the manager needs to describe its mappings; no limit counts it */
	uint64_t max_events;     /* faults that found the group full */
	uint64_t high_events;    /* faults that found it above high_bytes */
	uint64_t stalled_ns;     /* time that faults spent on both */
};
QR_API int qr_manager_group_stat(struct qr_manager *manager, struct qr_group *group, struct qr_group_stat *stat);

/* As qr_manager_map(), in a group. */
QR_API int qr_manager_map_group(struct qr_manager *manager, struct qr_group *group, void **address, size_t length,
				int prot, unsigned flags);

/* The reserved addresses [*start, *start + *length); every mapping of the manager lies in it. */
QR_API void qr_manager_range(struct qr_manager *manager, void **start, size_t *length);
/* 1 if the address lies in that range. */
QR_API int qr_manager_owns(struct qr_manager *manager, const void *address);

/* ---- Fork. A program that forks and touches managed memory in the child calls these around fork(); the preload
 * library does it by itself. Between prepare and the matching call no managed memory may be touched. ---- */
QR_API int qr_manager_fork_prepare(struct qr_manager *manager);
QR_API void qr_manager_fork_parent(struct qr_manager *manager, int child_pid);
/* In the child. On error the managed memory is not usable. */
QR_API int qr_manager_fork_child(struct qr_manager *manager);

/* ---- Budget and counters ---- */

/* Changes the budget at run time. Returns when the new budget holds, or QR_ENOMEM when locked pages forbid it. */
QR_API int qr_manager_set_ram(struct qr_manager *manager, uint64_t ram_bytes);

struct qr_usage {
	uint32_t size;            /* sizeof(struct qr_usage), set by the caller */
	uint32_t reserved;
	uint64_t ram_bytes;       /* the budget */
	uint64_t used_bytes;      /* of it, in use now */
	uint64_t peak_bytes;
	uint64_t mapped_bytes;    /* virtual memory mapped through the manager */
	uint64_t resident_bytes;  /* of it, in RAM */
	uint64_t swapped_bytes;   /* of it, in swap */
	uint64_t locked_bytes;
	uint64_t compressed_pages; /* in the compressed pool */
	uint64_t compressed_bytes; /* what they take, compressed */
	uint64_t pool_bytes;       /* RAM that the compressed pool holds */
	uint64_t file_pages;       /* in the swap file */
	uint64_t file_bytes;       /* size of the swap file */
};
QR_API int qr_manager_usage(struct qr_manager *manager, struct qr_usage *usage);

/* Event counters: names and meanings are fixed, new ones are added at the end.
 * Writes up to nr values to counts and returns how many there are. */
QR_API unsigned qr_manager_counters(struct qr_manager *manager, uint64_t *counts, unsigned nr);
/* Name ("faults") and meaning of counter i; NULL past the last. */
QR_API const char *qr_counter_name(unsigned i);
QR_API const char *qr_counter_text(unsigned i);

#ifdef __cplusplus
}
#endif

#endif
