/*
 * A domain: the RAM budget that a tree of processes shares, and the counters that outlive them.
 *
 * `quire run` creates one as a memfd and hands its path (/proc/PID/fd/N) down in the environment (QUIRE_DOMAIN);
 * every process of the tree maps it and joins. A process takes quota (frames) from the domain and gives it back.
 * What is free is never stored but counted: the budget minus the quotas of all slots. So there is no moment at which
 * a killed process could leave the books wrong; whoever notices a death first sets that slot's quota to 0. All
 * fields are shared between processes: atomics only, no pointers, no locks.
 */
#ifndef QR_PROCESS_DOMAIN_H
#define QR_PROCESS_DOMAIN_H

#include <stdbool.h>
#include <stdint.h>

#include <quire/quire.h>

#include "stat/stat.h"

#define QR_DOMAIN_ENV "QUIRE_DOMAIN"
#define QR_DOMAIN_MAGIC 0x51524430u /* "QRD0" */
#define QR_DOMAIN_PROCESSES 1024u
#define QR_DOMAIN_PATH_MAX 4096u
/* Frames that a newcomer needs to run at all: 4 MiB. */
#define QR_DOMAIN_MIN_FRAMES 1024u
/* A process's pool never shrinks below 2 MiB, and follows what is resident beside it in steps of 1 MiB. */
#define QR_DOMAIN_POOL_MIN_FRAMES 512u
#define QR_DOMAIN_SLACK_FRAMES 256u

/* FREE -> CLAIMED (being filled, or reserved for a child) -> LIVE -> BURIED (being emptied) -> FREE */
enum qr_domain_state { QR_DOMAIN_FREE, QR_DOMAIN_CLAIMED, QR_DOMAIN_LIVE, QR_DOMAIN_BURIED };

/*
 * What one process publishes; it alone writes usage and counters. Padded to cache lines.
 *
 * owner is one word so that state and holder change together: bits 0-1 enum qr_domain_state, 2-23 pid (pid_max is
 * 2^22), 24-55 start time in clock ticks modulo 2^32 (field 22 of /proc/PID/stat: tells a reused pid apart), 56-63
 * a generation that grows with each claim (a process that calls execve() comes back with the same pid and start).
 * In the BURIED state the holder is whoever empties the slot; if it dies the next one goes on.
 */
struct qr_domain_process {
	uint64_t owner;            /* (A) */
	uint64_t quota_frames;     /* (A) */
	uint64_t start_stack;      /* (A) field 28 of /proc/PID/stat: differs after execve(); 0: unknown */
	int32_t pid;               /* (A) of the live process, 0 before it runs here */
	uint32_t group;            /* (A) number of its group, counted from 1; 0: none */
	uint64_t lack_frames;      /* (A) what it was refused last, */
	uint64_t lack_ns;          /* (A) and when, CLOCK_MONOTONIC */
	uint64_t peak_frames;      /* (A) */
	char command[32];          /* as in /proc/PID/comm */
	struct qr_usage usage;
	uint64_t counters[QR_NR_STATS]; /* (A) */
	uint64_t nr_passed_maps;   /* (A) mappings that went to the kernel untouched */
	uint64_t passed_bytes;     /* (A) */
	uint64_t space_start;      /* (A) where its manager's memory lies: the program's range, */
	uint64_t space_end;        /* (A) */
	uint64_t pool_start;       /* (A) and the pool; what is resident elsewhere is unmanaged */
	uint64_t pool_end;         /* (A) */
} QR_ALIGNED(QR_CACHE_LINE);

/*
 * A group: the processes whose command, as in /proc/PID/comm when they joined, matches a pattern; the first group that
 * matches counts. Its limits are on the sum of their quotas, in frames; UINT64_MAX: none.
 *
 * max:  what is taken beyond it is refused, as if the budget were at its end.
 * high: processes swap their own pages out rather than take more; only one that cannot go on otherwise gets it.
 * low:  up to it the group's processes do not give quota back when others starve.
 */
#define QR_DOMAIN_GROUPS 16u
#define QR_DOMAIN_NO_LIMIT UINT64_MAX
struct qr_domain_group {
	char name[32];        /* (I) */
	char match[64];       /* (I) '*' any characters, '?' one */
	uint64_t max_frames;  /* (I) */
	uint64_t high_frames; /* (I) */
	uint64_t low_frames;  /* (I) 0: none */
	uint64_t peak_frames; /* (A) largest sum of frames in use, as published */
};

struct qr_domain_shared {
	uint32_t magic;
	uint32_t size;             /* of this struct */
	/* (I) how the tree was started; processes open their managers with it */
	struct qr_options options; /* pointers in it are not valid */
	char swap_dir[QR_DOMAIN_PATH_MAX]; /* empty: none */
	char record_path[64];      /* (I) of the ring that faults are recorded in, record.h; empty: none */
	int32_t launcher_pid;
	uint32_t nr_slots;         /* (A) slots at and above this number were never used */
	uint64_t start_ns;         /* CLOCK_MONOTONIC */
	/* budget */
	uint64_t budget_frames;    /* (A) */
	uint64_t max_frames;       /* (I) what the budget may grow to: processes lay out their pools for it */
	/* As last counted by whoever took, gave, buried or changed the budget; qr_domain_count() counts anew. */
	uint64_t free_frames;      /* (A) budget minus all quotas, or 0 */
	uint64_t debt_frames;      /* (A) all quotas minus the budget, or 0: after the budget shrank */
	uint32_t nr_live;          /* (A) */
	uint32_t demand;           /* (A) bumped and woken when a process starves: others give back */
	uint64_t peak_frames;      /* (A) largest sum of frames in use, as published */
	/* sums over processes that ended */
	uint64_t nr_ended;         /* (A) */
	uint64_t ended_counters[QR_NR_STATS]; /* (A) */
	uint64_t ended_passed_maps, ended_passed_bytes; /* (A) */
	uint32_t nr_groups;        /* (I) before the first process joins */
	struct qr_domain_group groups[QR_DOMAIN_GROUPS];
	struct qr_domain_process processes[QR_DOMAIN_PROCESSES];
};

/* One process's handle. owner: who it is, the pid and start bits of an owner word. child_*: what is reserved for the
 * child of the next fork, and the owner word of its slot. */
struct qr_domain {
	struct qr_domain_shared *shared;
	int fd;        /* the memfd in its creator, else -1 */
	uint32_t slot; /* of this process; UINT32_MAX: not joined */
	uint64_t owner;
	uint64_t child_frames;
	uint64_t child_owner;
};

struct qr_domain_sum {
	uint64_t quota_frames;     /* of all slots */
	uint64_t free_frames;
	uint64_t debt_frames;
	uint32_t nr_live;
};

/* Creates the memfd with the budget. Returns 0 or an error. */
int qr_domain_create(struct qr_domain *domain, const struct qr_options *options);
/* Maps an existing one by path; QR_ENOENT, QR_EACCES, QR_EINVAL (not a domain, or of another version). */
int qr_domain_attach(struct qr_domain *domain, const char *path);
/* The same for an observer: the mapping cannot be written to, so only qr_domain_count(), _fair_share(), _is_live()
 * and plain reads are allowed. */
int qr_domain_attach_readonly(struct qr_domain *domain, const char *path);
void qr_domain_detach(struct qr_domain *domain);

/* Claims a slot for the calling process; QR_EAGAIN when all are taken. Slots that this process held before an
 * execve() are emptied first. */
int qr_domain_join(struct qr_domain *domain);
/* Moves counters to the sums, returns the quota. No other thread takes or gives from now on. */
void qr_domain_leave(struct qr_domain *domain);

/* Takes between 1 and nr frames of quota; returns how many, 0 when none is free. When none is free it returns the
 * dead's quota and looks again, and calls for help. Async-signal-safe, keeps errno. O(slots in use). */
uint64_t qr_domain_take(struct qr_domain *domain, uint64_t nr_frames);
/* Gives frames back, at most the quota. Async-signal-safe. O(slots in use). */
void qr_domain_give(struct qr_domain *domain, uint64_t nr_frames);
/* Counts the books. Exact when nobody takes or gives meanwhile. */
void qr_domain_count(const struct qr_domain *domain, struct qr_domain_sum *sum);
/* True if the slot belongs to a process that joined and has not left; it may have died since. */
bool qr_domain_is_live(const struct qr_domain_process *process);

/* ---- Sharing; domain_share.c ---- */
/* The quota that this process may keep while others starve: its part of the budget, or, if that is more, of its group's
 * low mark; of what is left after such marks if it has none. At most its part of its group's max, at least the
 * minimum. */
uint64_t qr_domain_fair_share(const struct qr_domain *domain);
/* Says that this process was refused nr_frames, and wakes who may have some to give; 0: only wakes. Async-signal-safe,
 * changes errno. */
void qr_domain_call(struct qr_domain *domain, uint64_t nr_frames);
/* What others lack that this process could give: more than is free, and not held up by the max of another group. */
struct qr_domain_lack {
	uint64_t frames;
	uint64_t frames_to_fair; /* of them, up to the fair shares of those who lack them */
};
/* O(slots in use). */
void qr_domain_lack(const struct qr_domain *domain, struct qr_domain_lack *lack);
/* Sleeps until the domain's demand is not `seen` any more, *closing is not 0 and was woken, or timeout_ns (less than a
 * second) are over. Before Linux 5.16 demand does not wake. */
void qr_domain_wait_demand(struct qr_domain *domain, uint32_t seen, uint32_t *closing, uint64_t timeout_ns);

/* ---- Groups; domain_group.c ---- */
struct qr_domain_group_sum {
	uint64_t quota_frames;
	uint64_t used_frames; /* as published */
	uint32_t nr_live;
};
/* Before the first process joins; nr is at most QR_DOMAIN_GROUPS. */
void qr_domain_set_groups(struct qr_domain *domain, const struct qr_domain_group *groups, uint32_t nr);
/* The number of the group for a command; 0: none. */
uint32_t qr_domain_group_of(const struct qr_domain_shared *shared, const char *command);
bool qr_domain_match(const char *pattern, const char *text);
/* group counts from 1. O(slots in use). */
void qr_domain_count_group(const struct qr_domain_shared *shared, uint32_t group, struct qr_domain_group_sum *sum);
/* The group of a slot and its sum; NULL: none. */
const struct qr_domain_group *qr_domain_group_at(const struct qr_domain_shared *shared, uint32_t slot,
						 struct qr_domain_group_sum *sum);
/* Frames that the group of a slot may still take up to its max, or has taken beyond it. */
uint64_t qr_domain_room(const struct qr_domain_shared *shared, uint32_t slot);
uint64_t qr_domain_excess(const struct qr_domain_shared *shared, uint32_t slot);
/* The same for this process and the high mark; the excess is this process's part of it. */
uint64_t qr_domain_room_to_high(const struct qr_domain *domain);
uint64_t qr_domain_excess_over_high(const struct qr_domain *domain);

/* Around fork, in the parent before it: reserves nr_frames of quota for the child in a slot of its own. Returns the
 * slot or an error (QR_EAGAIN: not that many free; nothing is reserved). The child calls qr_domain_adopt(); if
 * the fork fails the parent calls qr_domain_release_slot(). A child that never adopts is reaped as dead by pid. One
 * fork of a process at a time. */
int qr_domain_reserve_child(struct qr_domain *domain, uint64_t nr_frames);
void qr_domain_set_child_pid(struct qr_domain *domain, uint32_t slot, int pid);
/* Makes the slot the caller's. If its parent died meanwhile and the slot was emptied, another slot with the same
 * quota is claimed, which may leave the domain with a debt. QR_EAGAIN: all slots are taken; the caller is not
 * joined. */
int qr_domain_adopt(struct qr_domain *domain, uint32_t slot);
void qr_domain_release_slot(struct qr_domain *domain, uint32_t slot);

/* Returns quotas of processes that are gone; returns how many processes it buried. Safe to call from anybody.
 * Async-signal-safe, keeps errno. Opens one file of /proc per slot in use. */
unsigned qr_domain_bury_dead(struct qr_domain *domain);

/* Publishes this process's usage and counters (plain stores; readers tolerate tearing between fields). */
void qr_domain_publish(struct qr_domain *domain, const struct qr_usage *usage, const uint64_t *counters);
/* Publishes where this process's managed memory lies. */
void qr_domain_publish_places(struct qr_domain *domain, uint64_t space_start, uint64_t space_end, uint64_t pool_start,
			      uint64_t pool_end);
/* Adds to what this process passed to the kernel untouched. */
void qr_domain_count_passed(struct qr_domain *domain, uint64_t nr_maps, uint64_t nr_bytes);

/* Before the first process joins: lets the budget grow to that; the budget itself is the least. */
void qr_domain_set_max(struct qr_domain *domain, uint64_t frames);
/* Changes the budget, at most to the max; quota above it becomes debt that processes pay as they reclaim, within a
 * tenth of a second if they run and have the pages to put out. */
void qr_domain_set_budget(struct qr_domain *domain, uint64_t frames);

#endif
