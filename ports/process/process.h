/*
 * The process port: quire's core under a running Linux program.
 *
 * Physical memory is a pool of private anonymous memory, one slot per PFN. The program's managed memory is one
 * large reserved range, registered with userfaultfd. A frame is moved from its slot to the program's address when
 * the program touches it, and back when it is evicted (UFFDIO_MOVE), so the number of resident pages can never
 * exceed the number of frames.
 *
 * Two userfaultfd descriptors: one for the program's range, which delivers faults and events, one for the pool,
 * which only makes the pool a legal target of UFFDIO_MOVE.
 */
#ifndef QR_PROCESS_H
#define QR_PROCESS_H

#include <pthread.h>
#include <signal.h>

#include <quire/port.h>
#include <quire/quire.h>

#include "domain.h"
#include "io.h"
#include "vmm/vmm.h"

#define QR_MAX_HANDLERS 8u
#define QR_MAX_THREADS 16u

/* A thread of the port itself. */
struct qr_port_thread {
	pthread_t thread;
	bool is_used;
	uint32_t is_ready; /* (A) futex word: registered with RCU, about to run entry */
	void (*entry)(void *argument);
	void *argument;
	void *stack;
	char name[16];
};

/* The kernel's translation of one address space: here the program's own range. */
struct qr_port_space {
	uint64_t va_start; /* (I) reserved range, 2 MiB-aligned */
	uint64_t va_end;
};

/* inject.c: something that fails on purpose every so often. */
struct qr_inject_point {
	uint32_t every; /* (I) 0: never */
	uint32_t count; /* (A) */
};

struct qr_inject {
	struct qr_inject_point moves;
	struct qr_inject_point guards; /* moves out of ranges that may only be read */
	struct qr_inject_point lifts;  /* of their guards */
	uint32_t guard_us;             /* (I) how long such a range is open besides */
	struct qr_inject_point read_eio;
	struct qr_inject_point write_eio;
	struct qr_inject_point write_enospc;
};

struct qr_port {
	int uffd_space;          /* delivers faults and events of the program's range */
	int uffd_pool;           /* target of moves out; no events */
	int pagemap_fd;          /* this process's /proc/self/pagemap */
	bool has_move;           /* (I) UFFDIO_MOVE works (Linux 6.8) */
	bool is_user_mode_only;  /* (I) faults inside system calls are not delivered */
	bool has_fork_events;    /* (I) the kernel reports forks (needs CAP_SYS_PTRACE) */
	bool has_digest_secret;  /* (I) */
	uint8_t digest_secret[192]; /* (I) random; XXH3 asks for 136 bytes or more */
	bool has_leftover_guards; /* (A) some page may be write-protected for no reason; see unmap.c */
	uint8_t *pool;           /* (I) slot of PFN 0, 2 MiB-aligned */
	uint64_t pool_bytes;     /* (I) */
	void *metadata;          /* (I) core's descriptors */
	uint64_t metadata_bytes; /* (I) */
	struct qr_port_space space;
	struct qr_io io;
	struct qr_port_thread threads[QR_MAX_THREADS];
	struct qr_inject inject; /* failures on purpose */
};

#define QR_MAX_FORK_CHILDREN 64u
#define QR_FORK_NONE 0u
#define QR_FORK_ANNOUNCED 1u /* the next fork event is our own */
#define QR_FORK_SEEN 2u      /* it has come */

/* Fork: the gate that stills core, what the fork in progress prepared, and the children whose snapshot of the swap
 * files must stay intact. A child holds the write end of its pipe until it ends or executes another program. */
struct qr_fork {
	pthread_rwlock_t gate;   /* readers: every entry into core; writer: fork */
	sigset_t old_mask;
	uint32_t state;          /* (A) QR_FORK_*; the forking thread waits on it */
	int token;               /* swap freeze, -1: none */
	int slot;                /* domain slot reserved for the child, -1: none */
	uint64_t spare_frames;   /* of the quota, not in the pool's limit when the fork began */
	int pipe[2];
	struct {
		int fd;          /* read end; -1: free */
		int token;
	} children[QR_MAX_FORK_CHILDREN]; /* (gate or budget thread) */
	int lifeline;            /* in a child: write end to its parent; -1: none */
};

struct qr_manager {
	struct qr_port port;
	struct qr_vmm *vmm;
	struct qr_aspace *aspace;
	struct qr_domain domain;
	bool has_domain;
	struct qr_record *record;       /* (I) faults are recorded there; NULL: they are not */
	struct qr_options options;
	char swap_dir[QR_DOMAIN_PATH_MAX];
	enum qr_delivery delivery;      /* (I) the one in force */
	bool no_move;                   /* (I) test hook: behave as before Linux 6.8 */
	uint32_t nr_handlers;           /* (I) */
	int handler_threads[QR_MAX_HANDLERS];
	int budget_thread;
	uint32_t is_closing;            /* (A) futex word of the budget thread */
	pthread_mutex_t read_lock;      /* held by the handler that leads */
	uint32_t nr_messages;           /* (A) written under the read lock: read so far, modulo 2^32 */
	uint32_t crowd;                 /* (A) how often of late faults waited for another's transfer */
	uint32_t handlers_end;          /* (A) */
	int handler_eventfd;            /* wakes handlers that are to end */
	struct qr_manager *next;        /* registry for the SIGBUS handler */
	uint64_t span_frames;           /* (I) size of the pool: what its budget may grow to */
	uint64_t quota_frames;          /* (budget lock) what this process may use in all */
	uint64_t peak_frames;
	uint64_t passed_maps;           /* (budget lock) told to the domain so far */
	uint64_t passed_bytes;
	pthread_mutex_t budget_lock;    /* limit and quota change together */
	struct qr_fork fork;            /* fork.c */
};

#endif
