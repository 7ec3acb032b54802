/* Sharded event counters: each CPU slot adds to its own cache lines, a reader sums (A6 with N = 1). */
#ifndef QR_CORE_STAT_H
#define QR_CORE_STAT_H

#include <quire/port.h>

#include "sync/atomic.h"

/* One line per event: X(name, what it counts). The public counters and `quire stat` print these names. */
#define QR_STATS(X)                                                                                                    \
	X(faults, "page faults handled")                                                                               \
	X(faults_zero, "faults resolved with fresh zero pages")                                                        \
	X(faults_idle, "faults on folios that were only unmapped to see whether they are touched")                     \
	X(faults_swapin, "faults resolved from swap")                                                                  \
	X(faults_cow, "faults that copied a shared page")                                                              \
	X(faults_reuse, "writes to a page that had been shared and is no more")                                        \
	X(forks, "address spaces that were forked")                                                                    \
	X(faults_file, "faults resolved from a file")                                                                  \
	X(faults_spurious, "faults that found the page there already")                                                 \
	X(faults_retried, "rounds of the fault loop beyond the first")                                                 \
	X(faults_segv, "accesses without a mapping or against its protection")                                         \
	X(pages_mapped, "pages mapped by faults and prefetch")                                                         \
	X(pages_unmapped, "pages unmapped by reclaim")                                                                 \
	X(pages_zeroed, "pages zeroed")                                                                                \
	X(swapin_pages, "pages brought back from swap")                                                                \
	X(probes, "neighbours of swapped-in pages that were watched to see whether they are touched")                  \
	X(probe_hits, "of them, those that were, and soon")                                                            \
	X(swapout_pages, "pages put out to swap")                                                                      \
	X(swapout_zero, "pages put out that held one repeated word: no storage")                                       \
	X(swapout_clean, "pages dropped because their slot still held them")                                           \
	X(compressed_in_bytes, "bytes that went into the compressor")                                                  \
	X(compressed_out_bytes, "bytes that came out of it and were kept")                                             \
	X(incompressible_pages, "pages that went to the file as they are")                                             \
	X(file_read_bytes, "bytes read from swap files")                                                               \
	X(file_written_bytes, "bytes written to swap files")                                                           \
	X(io_errors, "failed transfers")                                                                               \
	X(scanned_folios, "folios looked at by reclaim")                                                               \
	X(remote_scans, "of them, those that reclaim for a node met on another one")                                   \
	X(reclaimed_pages, "pages freed by reclaim")                                                                   \
	X(rescued_folios, "folios that were touched while idle and stayed")                                            \
	X(direct_reclaims, "allocations that had to reclaim")                                                          \
	X(stalled_ns, "time allocations spent in reclaim")                                                             \
	X(kswapd_wakeups, "wake-ups of the background reclaimer")                                                      \
	X(lru_lock_takes, "takes of an lruvec lock")                                                                   \
	X(lru_lock_waits, "takes of an lruvec lock that had to wait")                                                  \
	X(zone_lock_takes, "takes of a zone's lock")                                                                   \
	X(zone_lock_waits, "takes of a zone's lock that had to wait")                                                  \
	X(mmap_lock_takes, "takes of the lock of a whole address space, to read or to change it")                      \
	X(tlb_shootdowns, "translation changes that had to reach other CPUs")                                          \
	X(fault_ns, "time spent in the fault loop")

enum qr_stat {
#define X(name, text) QR_STAT_##name,
	QR_STATS(X)
#undef X
		QR_NR_STATS
};

struct qr_stat_cpu {
	uint64_t count[QR_NR_STATS]; /* (A) */
} QR_ALIGNED(QR_CACHE_LINE);

struct qr_stats {
	uint32_t nr_cpus;
	struct qr_stat_cpu *cpus; /* [nr_cpus], from the caller, zeroed */
};

static inline void qr_stat_add(struct qr_stats *stats, enum qr_stat stat, uint64_t amount)
{
	(void)qr_fetch_add_relaxed(&stats->cpus[qr_port_cpu() % stats->nr_cpus].count[stat], amount);
}

/* Sum over all CPU slots; other CPUs may add meanwhile. */
uint64_t qr_stat_sum(const struct qr_stats *stats, enum qr_stat stat);
/* Name ("faults") and meaning; NULL past the last. */
const char *qr_stat_name(enum qr_stat stat);
const char *qr_stat_text(enum qr_stat stat);

#endif
