/*
 * Machine files: what a simulated machine costs. Text, one `name = value  # origin` per line, where the origin is
 * `measured`, `cited:SOURCE` or `assumed`, so that whoever reads a result knows what it rests on.
 */
#ifndef QR_SIM_MACHINE_H
#define QR_SIM_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QR_MACHINE_NAME_LEN 32u
#define QR_MACHINE_TITLE_LEN 160u
#define QR_MACHINE_ERROR_LEN 1024u

/* Where two CPUs are to each other. */
enum qr_distance { QR_SAME_CLUSTER, QR_SAME_NODE, QR_REMOTE, QR_NR_DISTANCES };

/* Every parameter is of type double; X(field, least, greatest, meaning with its unit). Clusters share a last-level
 * cache. */
#define QR_MACHINE_PARAMETERS(X)                                                                                       \
	X(cpus, 1, 384, "CPUs")                                                                                        \
	X(nodes, 1, 64, "NUMA nodes, of equal size")                                                                   \
	X(cluster_cpus, 1, 384, "CPUs that share a last-level cache")                                                  \
	X(ram_gib, 1, 2048, "memory, GiB")                                                                             \
	X(interleave_kib, 4, 1048576, "consecutive memory on one node, KiB")                                           \
	X(l1_kib, 16, 2048, "private first-level cache, KiB (a power of two)")                                         \
	X(l2_kib, 16, 2048, "private second-level cache, KiB (a power of two)")                                        \
	X(llc_mib, 0, 4096, "last-level cache of a cluster, MiB (a power of two; 0: none)")                            \
	X(access_ns, 0.01, 1000, "computation per access to memory")                                                   \
	X(l1_ns, 0, 1000, "read that hits the first level, beyond access_ns")                                          \
	X(l2_ns, 0, 1000, "access that hits the second level")                                                         \
	X(locked_ns, 0, 10000, "read-modify-write or full fence, beyond the access")                                   \
	X(pause_ns, 0.1, 10000, "one turn of a spin loop")                                                             \
	X(store_ns, 0, 1000, "issue of a store")                                                                       \
	X(atomic_store_ns, 0, 1000, "issue of an atomic store, beyond store_ns")                                       \
	X(dirty_cluster_ns, 0, 100000, "line modified by a CPU of the same cluster")                                   \
	X(dirty_node_ns, 0, 100000, "line modified by a CPU of the same node")                                         \
	X(dirty_remote_ns, 0, 100000, "line modified by a CPU of another node")                                        \
	X(third_node_ns, 0, 100000, "modified line of another node whose home is a third one, beyond dirty_remote_ns") \
	X(clean_cluster_ns, 0, 100000, "shared line from the own cluster")                                             \
	X(clean_node_ns, 0, 100000, "shared line from another cluster of the node")                                    \
	X(clean_remote_ns, 0, 100000, "shared line from another node")                                                 \
	X(invalidate_cluster_ns, 0, 100000, "write to a line that CPUs of the own cluster share")                      \
	X(invalidate_node_ns, 0, 100000, "write to a line that CPUs of the own node share")                            \
	X(invalidate_remote_ns, 0, 100000, "write to a line that CPUs of other nodes share")                           \
	X(invalidate_sharer_ns, 0, 100000, "the same, per sharer beyond the first")                                    \
	X(invalidate_further_ns, 0, 100000, "the same, per other node with sharers beyond the first")                  \
	X(dram_local_ns, 1, 100000, "line from memory of the own node")                                                \
	X(dram_remote_ns, 1, 100000, "line from memory of another node")                                               \
	X(request_share, 0, 1, "part of a transfer's time until the line's state changes")                             \
	X(shared_occupancy, 0, 1, "part of a shared read's time during which the line is busy")                        \
	X(store_gap_ns, 0, 10000, "least time between two stores that leave the store buffer")                         \
	X(store_buffer_ns, 0, 100000, "how far the store buffer may lag behind")                                       \
	X(migrates, 0, 1, "1: a read of a line that its owner wrote to takes it over for writing as well")             \
	X(link_ns, 0, 100000, "occupancy of a node's link per remote transfer (0: not modelled)")                      \
	X(bus_ns, 0, 100000, "occupancy of a node's bus per transfer (0: not modelled)")                               \
	X(jitter_ns, 0, 10000, "largest random addition to a transfer")                                                \
	X(tlb_entries, 16, 65536, "translations that a CPU keeps (a power of two)")                                    \
	X(tlb_walk_ns, 0, 100000, "table walk after a TLB miss")                                                       \
	X(tlb_flush_ns, 0, 100000, "drop of one translation on the own CPU")                                           \
	X(ipi_send_ns, 0, 1000000, "sender's time per target of an inter-processor interrupt")                         \
	X(ipi_latency_ns, 0, 1000000, "from the sending of an interrupt to its arrival")                               \
	X(ipi_handle_ns, 0, 1000000, "target's time for an interrupt")                                                 \
	X(trap_ns, 0, 1000000, "page fault: entry to and return from the manager")                                     \
	X(zero_page_ns, 0, 1000000, "clearing of 4 KiB")                                                               \
	X(copy_page_ns, 0, 1000000, "copying of 4 KiB")                                                                \
	X(remote_page_ns, 0, 1000000, "clearing or copying of 4 KiB of another node, beyond that")                     \
	X(pte_ns, 0, 10000, "entry of a page table written for the hardware, beyond the manager's own")                \
	X(switch_ns, 0, 1000000, "switch from one task to another")                                                    \
	X(wake_ns, 0, 1000000, "waker's time per task that it wakes")                                                  \
	X(wake_latency_ns, 0, 10000000, "from a wake-up to the first instruction on an idle CPU")                      \
	X(clock_ns, 0, 10000, "reading of the clock")                                                                  \
	X(slice_us, 1, 1000000, "time slice of tasks that share a CPU, microseconds")                                  \
	X(grace_us, 0, 1000000, "least length of a grace period, microseconds")                                        \
	X(device_us, 0.1, 1000000, "swap device: latency of a transfer, microseconds")                                 \
	X(device_mib_s, 1, 1000000, "swap device: rate of one transfer, MiB/s")                                        \
	X(device_depth, 1, 1024, "swap device: transfers at a time")                                                   \
	X(device_gib, 0, 256, "swap device: size, GiB (0: there is none)")                                             \
	X(compress_ns, 0, 10000000, "compression of a page")                                                           \
	X(expand_ns, 0, 10000000, "expansion of a page")                                                               \
	X(compressed_share, 0.01, 1, "compressed size of a page, as a part of 4 KiB")

struct qr_machine {
	char name[QR_MACHINE_NAME_LEN];   /* of the file, without .machine */
	char title[QR_MACHINE_TITLE_LEN];
#define X(field, least, greatest, text) double field;
	QR_MACHINE_PARAMETERS(X)
#undef X
};

/* Reads a machine from text of len bytes, with its name. file is what errors name. Returns 0, or -1 with a message in
 * error: file and line, what is wrong, and the known names where one is unknown. */
int qr_machine_parse(const char *file, const char *text, size_t len, struct qr_machine *machine,
		     char error[QR_MACHINE_ERROR_LEN]);

/* Reads the file, or, if the name has no '/' and no such file is there, the machine of that name that comes with the
 * program. Same results. */
int qr_machine_load(const char *name, struct qr_machine *machine, char error[QR_MACHINE_ERROR_LEN]);

/* The folder of the machines that come with the program, and their names, sorted; *nr: how many, at most max. */
const char *qr_machine_folder(void);
void qr_machine_names(char (*names)[QR_MACHINE_NAME_LEN], uint32_t max, uint32_t *nr);

#endif
