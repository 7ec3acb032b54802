/*
 * A port for unit tests: the whole of port.h on plain memory and pthreads, with an emulated MMU, swap files in
 * memory, fault injection, and a check of every precondition that port.h states. A violation panics.
 *
 * Translation has two modes. Exclusive, as in a port that moves the memory itself: map() takes the content out of
 * the slot and fills the slot with 0xAA, unmap() checks that nobody wrote to it and brings the content back.
 * Shared, as on a real MMU: the slot stays in reach and a frame may have several mappings.
 *
 * Programs link tests/harness/{tap,port_test,port_test_mmu,port_test_io,port_test_file}.c with -lpthread -llz4 -lzstd.
 */
#ifndef QR_TEST_PORT_TEST_H
#define QR_TEST_PORT_TEST_H

#include <setjmp.h>

#include <quire/port.h>

#define PORT_TEST_CPUS 4u
#define PORT_TEST_SCRIBBLE 0xAA /* what the slot of a mapped frame reads as, in exclusive mode */

/* ---- Life. Exclusive mode, swap files of 256 MiB, requests complete at submission. ---- */
struct qr_port *port_test_create(uint32_t nr_frames);
/* Every space is destroyed, every thread joined, every request done. */
void port_test_destroy(struct qr_port *port);

/* Before the first map. */
void port_test_set_exclusive(struct qr_port *port, bool is_exclusive);
/* Before the first open. nr_files 0: qr_port_swap_open() returns QR_ENOSYS. Writes past the capacity end in
 * QR_ENOSPC. is_async: a worker thread completes requests, newest first. */
void port_test_set_swap(struct qr_port *port, uint32_t nr_files, uint64_t capacity_bytes, bool is_async);
/* The CPU slot that the calling thread has from now on; by default threads get them in turn. */
void port_test_set_cpu(unsigned cpu);
/* The turn of a spin loop gives up the processor with a probability of 1 in n; 0: after 64 turns only. */
void port_test_set_yield(uint32_t one_in);
/* Parks return at once with a probability of 1 in n: spurious wake-ups. 0: never. */
void port_test_set_spurious(uint32_t one_in);

/* What qr_port_memory_grow() calls; without it no memory comes. Before threads start. */
typedef uint32_t (*port_test_grow_fn)(void *context, uint32_t nr);
void port_test_set_grow(struct qr_port *port, port_test_grow_fn grow, void *context);

struct port_test_counts {
	uint64_t nr_map_calls, nr_mapped_pages;
	uint64_t nr_unmap_calls, nr_unmapped_pages;
	uint64_t nr_protect_calls, nr_protected_pages;
	uint64_t nr_zeroed, nr_zeroed_fresh, nr_released;
	uint64_t nr_reads, nr_writes, read_bytes, written_bytes, nr_discards;
	uint64_t nr_faults, nr_wake_faulters, nr_out_of_memory;
	uint64_t nr_grow_calls, nr_file_reads, nr_file_closes, nr_content_lost;
};
/* What the port was asked to do so far. */
struct port_test_counts port_test_counts(struct qr_port *port);
/* Number of parks of all threads of the program. */
uint64_t port_test_nr_parks(void);

/* ---- Panics. Inside the statement, on this thread, a panic ends the statement; elsewhere it aborts. Locks that
 * the statement took count as released. The value is true if it panicked. ---- */
#define PORT_TEST_PANICS(statement)                                                                                    \
	(__extension__({                                                                                               \
		volatile bool port_test_did_panic = true;                                                              \
		if (!setjmp(*port_test_expect_panic())) {                                                              \
			statement;                                                                                     \
			port_test_did_panic = false;                                                                   \
		}                                                                                                      \
		port_test_expect_no_panic();                                                                           \
		port_test_did_panic;                                                                                   \
	}))
jmp_buf *port_test_expect_panic(void);
void port_test_expect_no_panic(void);
/* The condition of this thread's last expected panic. */
const char *port_test_panic_text(void);

/* ---- Address spaces ---- */

/* Makes the page of va accessible; access is QR_PROT_READ or QR_PROT_WRITE. Returns 0 or the error that the access
 * ends with. Called with no lock held. */
typedef int (*port_test_fault_fn)(void *context, uint64_t va, uint32_t access);

struct qr_port_space *port_test_space_create(struct qr_port *port);
/* Nothing is mapped; ranges may be left. */
void port_test_space_destroy(struct qr_port_space *space);
void port_test_set_fault(struct qr_port_space *space, port_test_fault_fn fault, void *context);

/* The program's accesses; they may cross pages. Return 0; QR_EFAULT outside of all ranges or without a fault
 * function, QR_EACCES against the range's protection, or the fault function's error. */
int port_test_read(struct qr_port_space *space, uint64_t va, void *buffer, uint64_t len_bytes);
int port_test_write(struct qr_port_space *space, uint64_t va, const void *buffer, uint64_t len_bytes);
int port_test_read_u64(struct qr_port_space *space, uint64_t va, uint64_t *value);
int port_test_write_u64(struct qr_port_space *space, uint64_t va, uint64_t value);

/* True, with the frame and the protection (either may be NULL), where va is mapped. */
bool port_test_lookup(struct qr_port_space *space, uint64_t va, qr_pfn_t *pfn, uint32_t *prot);
uint64_t port_test_nr_mapped(struct qr_port_space *space);
/* True if any space maps the frame. */
bool port_test_is_frame_mapped(struct qr_port *port, qr_pfn_t pfn);

/* The machine acts behind the manager's back: a mapped page loses its content, as by madvise(MADV_DONTNEED) ... */
void port_test_drop(struct qr_port_space *space, uint64_t va);
/* ... or a page that is not mapped becomes populated, so that map() finds QR_EEXIST; undone by _unpopulate. */
void port_test_populate(struct qr_port_space *space, uint64_t va);
void port_test_unpopulate(struct qr_port_space *space, uint64_t va);

/* What byte offset of a mapped file is. */
static inline uint8_t port_test_file_byte(const void *file, uint64_t offset)
{
	return (uint8_t)(((uintptr_t)file + offset) * 0x9e3779b97f4a7c15u >> 56);
}

/* ---- Fault injection ---- */

enum port_test_op { PORT_TEST_MAP, PORT_TEST_UNMAP, PORT_TEST_PROTECT };
/* The nth call from now on (1: the next) does at most nr_pages pages and then returns error, which may be 0. */
void port_test_fail_translation(struct qr_port *port, enum port_test_op op, uint32_t nth, uint32_t nr_pages, int error);
/* One call in one_in stops at a random page: map and protect with QR_EAGAIN, unmap with QR_EAGAIN or QR_EBUSY. 0:
 * none. */
void port_test_set_chaos(struct qr_port *port, uint32_t one_in, uint64_t seed);
/* The nth read or write from now on (1: the next) ends with error, and so do the nr_more after it. */
void port_test_fail_io(struct qr_port *port, uint32_t nth, uint32_t nr_more, bool is_write, int error);
/* The nth submission from now on is refused with error. */
void port_test_fail_submit(struct qr_port *port, uint32_t nth, int error);
/* The nth read of a mapped file from now on (1: the next) returns error. */
void port_test_fail_file(struct qr_port *port, uint32_t nth, int error);
/* Flips a bit of a swap file's content. */
void port_test_corrupt(struct qr_port *port, uint32_t file, uint64_t offset_bytes);

#endif
