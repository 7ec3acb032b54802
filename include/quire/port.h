/*
 * The port contract: everything that quire's core may ask of the machine under it.
 *
 * A port supplies every function here. The port is chosen at link time; several managers may share it, so
 * functions that belong to one manager take its struct qr_port, which only the port looks into.
 *
 * Terms: a PFN numbers one 4 KiB frame of the manager's pool, from 0. The slot of a frame is its place in the
 * direct map: qr_port_frame_address(). A run is consecutive frames at consecutive virtual pages.
 *
 * "may sleep": must not be called under a spin lock.
 */
#ifndef QUIRE_PORT_H
#define QUIRE_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <quire/err.h>

struct qr_port;       /* one manager's machine */
struct qr_port_space; /* one address space's hardware (or kernel) translation */
struct qr_held_locks;

typedef struct {
	uint32_t nr;
} qr_pfn_t;

/* ---- Processor. Any context, never sleep. ---- */

/* Number of CPU slots; qr_port_cpu() is below it. Constant. At most QR_MAX_CPUS. */
#define QR_MAX_CPUS 384u
unsigned qr_port_nr_cpus(void);

/* The CPU slot of the caller. A hint where threads migrate: data indexed by it needs its own lock. */
unsigned qr_port_cpu(void);

/* One turn of a spin loop; nr_spins counts the turns so far, so that a port whose CPUs are threads may yield. */
void qr_port_cpu_relax(unsigned nr_spins);

/* Debug builds: the calling thread's record of held locks. */
struct qr_held_locks *qr_port_held_locks(void);

/* ---- Waiting. May sleep. ---- */

/* Returns when *word differs from expected, when woken, or spuriously. */
void qr_port_wait(uint32_t *word, uint32_t expected);

/* The same with a bound; returns false when timeout_ns passed. */
bool qr_port_wait_timeout(uint32_t *word, uint32_t expected, uint64_t timeout_ns);

/* Wakes up to nr_waiters waiters of word. Any context, never sleeps. */
void qr_port_wake(uint32_t *word, uint32_t nr_waiters);

/* ---- Time. ---- */
uint64_t qr_port_now_ns(void); /* monotonic; any context */

/* ---- Read-copy-update. Read sections may nest and must not sleep. ---- */
void qr_port_rcu_read_lock(void);
void qr_port_rcu_read_unlock(void);
/* Returns when every read section that was open at the call has ended. May sleep; no lock held that a read
 * section may take. */
void qr_port_rcu_synchronize(void);

/* ---- Kernel threads. ---- */

/* Starts entry(argument) on its own thread; name has at most 15 characters; near_cpu: a hint, a CPU
 * slot that it works for. Returns a handle >= 0 or an error. */
int qr_port_thread_start(struct qr_port *port, const char *name, unsigned near_cpu, void (*entry)(void *argument),
			 void *argument);
/* Waits for the thread to return from entry. May sleep. */
void qr_port_thread_join(struct qr_port *port, int handle);

/* ---- Frames. ---- */

/* Direct map: where the content of a frame can be read and written while the frame is mapped nowhere.
 * Any context. Slots of consecutive PFNs are consecutive. */
void *qr_port_frame_address(struct qr_port *port, qr_pfn_t pfn);

/* Makes nr frames read as zero. is_fresh: nobody wrote to them since they came online or were released, so the
 * port may know that they are zero already. May sleep. */
void qr_port_frames_zero(struct qr_port *port, qr_pfn_t pfn, uint32_t nr, bool is_fresh);

/* Gives the memory of nr unmapped frames back to the machine; they read as zero when next touched. May sleep. */
void qr_port_frames_release(struct qr_port *port, qr_pfn_t pfn, uint32_t nr);

/* Asks the machine for at least nr more frames; the port raises the limit (qr_vmm_set_limit) when it gets some.
 * Returns how many came. May sleep. 0 where the manager already has all that it will get. */
uint32_t qr_port_memory_grow(struct qr_port *port, uint32_t nr);

/* Reads nr bytes at offset of a mapped file (the handle of its object) into a slot; bytes past the end of the file
 * read as zero. May sleep. Returns 0 or QR_EIO. */
int qr_port_file_read(struct qr_port *port, void *file, uint64_t offset_bytes, void *buffer, uint32_t len_bytes);
/* The last mapping of the file is gone. */
void qr_port_file_close(struct qr_port *port, void *file);

/* ---- Translation. All may sleep; callers hold the page-table page's lock of the range, which lies in one
 * page-table page (2 MiB). prot is a set of QR_PROT_*. ---- */

#define QR_PROT_READ 1u
#define QR_PROT_WRITE 2u
#define QR_PROT_EXEC 4u

/* True where a frame has at most one mapping and its slot is out of reach while mapped (the process port moves
 * the memory itself). Then map() takes the content out of the slot and unmap() brings it back. */
bool qr_port_is_exclusive(struct qr_port *port);

/* Maps the run [pfn, pfn + nr) at va. Pages of the range are not mapped yet; an EEXIST of the machine (somebody
 * else populated the page behind the manager's back) is an error of that page.
 * *nr_done: pages mapped, from the front, also on error. Returns 0, QR_EAGAIN (a passing state of the machine
 * that outlasted the port's own retries), QR_EFAULT (the range is gone), QR_EEXIST, QR_ENOMEM. */
int qr_port_map(struct qr_port *port, struct qr_port_space *space, uint64_t va, qr_pfn_t pfn, uint32_t nr,
		uint32_t prot, uint32_t *nr_done);

/* Takes away the mappings of a run and brings the content back to the slots. No access through the mapping
 * succeeds after the return; what was written before it is in the slot. A page that the machine dropped behind
 * the manager's back counts as done and reads as zero.
 * prot is that of the mappings, which the caller keeps as it is meanwhile. No access that it forbids succeeds.
 * *nr_done: pages unmapped, from the front, also on error. Returns 0, QR_EBUSY (a page is pinned, shared, or cannot be
 * taken out of a range with that protection, and stays mapped), QR_EAGAIN, QR_EFAULT. */
int qr_port_unmap(struct qr_port *port, struct qr_port_space *space, uint64_t va, qr_pfn_t pfn, uint32_t nr,
		  uint32_t prot, uint32_t *nr_done);

/* Around several unmap() in one page-table page, whose lock is held throughout: until unmap_end() returns the machine
 * may let accesses through those mappings succeed, so that one shoot-down serves all of them; core uses the frames'
 * content only then. Both may do nothing. A thread has one such pair open at most. */
void qr_port_unmap_begin(struct qr_port *port, struct qr_port_space *space);
void qr_port_unmap_end(struct qr_port *port, struct qr_port_space *space);

/* Changes what accesses the mappings of a run allow, e.g. for copy on write; the protection of the range stays. A right
 * that is taken away is gone on every CPU at the return; one that is given may be seen late, with a fault too many.
 * *nr_done: pages done, from the front, also on error. Returns 0, QR_EAGAIN, or QR_ENOSYS where frames are exclusive:
 * core does not call it there. */
int qr_port_protect(struct qr_port *port, struct qr_port_space *space, uint64_t va, qr_pfn_t pfn, uint32_t nr,
		    uint32_t prot, uint32_t *nr_done);

/* Lets the threads that wait for a fault anywhere in the range try again. Any context. */
void qr_port_wake_faulters(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint64_t len_bytes);

/* ---- The shape of an address space. May sleep; the address space's lock is held for writing. ---- */

/* Prepares [va, va + len) for accesses with prot: before this call an access is a segmentation fault, after it
 * an access to an unmapped page reaches the fault loop. */
int qr_port_range_add(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint64_t len_bytes,
		      uint32_t prot);
/* The reverse; no page of the range is mapped. */
int qr_port_range_remove(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint64_t len_bytes);
/* Changes the protection, of mapped pages as well. */
int qr_port_range_protect(struct qr_port *port, struct qr_port_space *space, uint64_t va, uint64_t len_bytes,
			  uint32_t prot);

/* ---- Block I/O on swap files. ---- */

#define QR_IO_ALIGN 4096u /* of offsets, lengths and buffers */
#define QR_MAX_SWAP_FILES 31u

/* A request; the caller owns it until done is non-zero. done is set with release order and woken. */
struct qr_io_request {
	uint32_t file; /* number of the swap file */
	bool is_write;
	bool may_block; /* the caller would wait at once: the port may finish the transfer before it returns */
	void *buffer;
	uint32_t len_bytes;
	uint64_t offset_bytes;
	int32_t result; /* 0 or an error, valid when done */
	uint32_t done;
	void *port_private;
};

/* Starts a transfer. Waits for the device only if the request says that it may. Returns 0 or an error (then the
 * request was not started). */
int qr_port_io_submit(struct qr_port *port, struct qr_io_request *request);
/* Returns when the request is done. May sleep. */
void qr_port_io_wait(struct qr_port *port, struct qr_io_request *request);
/* Opens the next swap file; *file is its number. May sleep. QR_ENOSYS where there is none to open (--swap none). */
int qr_port_swap_open(struct qr_port *port, uint32_t *file);
/* Tells that a range of a swap file holds nothing of value. May sleep; may do nothing. */
void qr_port_swap_discard(struct qr_port *port, uint32_t file, uint64_t offset_bytes, uint64_t len_bytes);

/* ---- Compression, from a library. Any context; never allocates from the manager. ---- */

enum qr_codec { QR_CODEC_NONE, QR_CODEC_LZ4, QR_CODEC_ZSTD };

/* Compresses one page. workspace has qr_port_codec_workspace() bytes, 64-byte aligned.
 * Returns the compressed length, or 0 if it would exceed capacity. */
uint32_t qr_port_compress(enum qr_codec codec, const void *page, void *out, uint32_t capacity, void *workspace);
/* Expands to one page. Returns 0 or QR_EILSEQ. */
int qr_port_decompress(enum qr_codec codec, const void *in, uint32_t len_bytes, void *page, void *workspace);
uint32_t qr_port_codec_workspace(enum qr_codec codec);
/* 64-bit checksum of len bytes. */
uint64_t qr_port_checksum(const void *data, uint32_t len_bytes);
/* What a page can be known by: pages with equal digests have equal content. Of different pages two have the same with
 * a probability of 2^-96 or less in any 96 of its bits, and no program can make such pages on purpose. False: this
 * port has none, and no page is known again. Any context. */
struct qr_digest {
	uint64_t words[2];
};
bool qr_port_digest(struct qr_port *port, const void *page, struct qr_digest *digest);

/* ---- Reports. Any context. ---- */
enum qr_log_level { QR_LOG_ERROR, QR_LOG_WARN, QR_LOG_INFO, QR_LOG_DEBUG };
void qr_port_log(struct qr_port *port, enum qr_log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The content of a page that was swapped out cannot be had any more (QR_EIO, QR_EILSEQ). The port ends the program
 * with a clear message: going on would mean wrong bytes. */
void qr_port_content_lost(struct qr_port *port, uint64_t va, int error);

/* The budget is exhausted and nothing can be reclaimed. The port ends the program with a clear message or makes
 * room (then it returns true and the allocation is tried again). */
bool qr_port_out_of_memory(struct qr_port *port, const char *why);

#endif
