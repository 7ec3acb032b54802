/*
 * port.h for the measurements: frames of plain memory, translation that only takes note, waiting by futex, grace
 * periods by quiescent states. What the simulated machine charges by parameters (clearing, traps, interrupts) is left
 * out here, so that both measure core.
 */
#include <linux/futex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "native.h"

#define SPACE_START ((uint64_t)1 << 32)
#define SPACE_BYTES ((uint64_t)64 << 30)
#define MAX_FRAMES_BYTES ((uint64_t)4 << 30)

struct qr_port {
	uint8_t *pool;
};

struct qr_port_space {
	uint32_t *pages; /* [page] 0, or 1 and the PFN above it */
};

static struct qr_port port;
static _Thread_local uint32_t cpu_of_thread;
/* [cpu] counts quiescent states; 0: the thread holds no reference until it counts again */
static struct {
	uint64_t count QR_ALIGNED(2 * QR_CACHE_LINE);
} quiescent[QR_NATIVE_CPUS];

static void *reserve(uint64_t nr_bytes)
{
	void *memory = mmap(NULL, nr_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		qr_lab_fail("no memory", QR_ENOMEM);
	(void)madvise(memory, nr_bytes, MADV_HUGEPAGE);
	return memory;
}

struct qr_vmm *qr_native_create(const struct qr_choices *choices, uint64_t nr_bytes)
{
	uint32_t nr_frames = (uint32_t)(nr_bytes >> QR_PAGE_SHIFT);
	struct qr_vmm *vmm;

	port.pool = reserve(nr_bytes);
	if (qr_vmm_create(
		    &(struct qr_vmm_config){
			    .port = &port,
			    .pool_address = port.pool,
			    .nr_frames = nr_frames,
			    .nr_frames_start = nr_frames,
			    .metadata = reserve(qr_vmm_metadata_bytes(nr_frames)),
			    .swap = {.codec = QR_CODEC_LZ4},
			    .choices = *choices,
		    },
		    &vmm))
		qr_lab_fail("the manager does not start", QR_ENOMEM);
	return vmm;
}

/* ---- Processor, waiting, time ---- */

unsigned qr_port_nr_cpus(void)
{
	return QR_NATIVE_CPUS;
}

unsigned qr_port_cpu(void)
{
	return cpu_of_thread;
}

void qr_native_set_cpu(uint32_t cpu)
{
	cpu_of_thread = cpu;
}

void qr_port_cpu_relax(unsigned nr_spins)
{
	(void)nr_spins;
	__builtin_ia32_pause();
}

struct qr_held_locks *qr_port_held_locks(void)
{
	static _Thread_local struct qr_held_locks held;

	return &held;
}

/* Who sleeps holds no reference. */
void qr_port_wait(uint32_t *word, uint32_t expected)
{
	qr_native_offline();
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
	qr_native_quiescent();
}

bool qr_port_wait_timeout(uint32_t *word, uint32_t expected, uint64_t timeout_ns)
{
	(void)word;
	(void)expected;
	(void)timeout_ns;
	return false;
}

void qr_port_wake(uint32_t *word, uint32_t nr_waiters)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, nr_waiters > INT32_MAX ? INT32_MAX : (int)nr_waiters, NULL, NULL,
		0);
}

uint64_t qr_port_now_ns(void)
{
	return qr_native_ticks();
}

/* ---- Read-copy-update by quiescent states ---- */

void qr_port_rcu_read_lock(void)
{
}

void qr_port_rcu_read_unlock(void)
{
}

void qr_native_quiescent(void)
{
	uint64_t *count = &quiescent[cpu_of_thread].count;

	__atomic_store_n(count, *count + 1, __ATOMIC_RELEASE);
}

void qr_native_offline(void)
{
	__atomic_store_n(&quiescent[cpu_of_thread].count, 0, __ATOMIC_RELEASE);
}

void qr_port_rcu_synchronize(void)
{
	uint32_t self = cpu_of_thread;

	/* Whoever waits holds no reference itself: two may wait for each other. */
	qr_native_offline();
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (uint32_t cpu = 0; cpu < QR_NATIVE_CPUS; cpu++) {
		uint64_t seen = __atomic_load_n(&quiescent[cpu].count, __ATOMIC_ACQUIRE);

		while (cpu != self && seen && __atomic_load_n(&quiescent[cpu].count, __ATOMIC_ACQUIRE) == seen)
			__builtin_ia32_pause();
	}
	qr_native_quiescent();
}

/* ---- Memory ---- */

void *qr_port_frame_address(struct qr_port *self, qr_pfn_t pfn)
{
	return self->pool + ((uint64_t)pfn.nr << QR_PAGE_SHIFT);
}

/* Frames that serve core must be clear; those of programs are cleared by a parameter of the simulated machine. Here
 * nobody can tell, and the page tables that workloads use are made in their setup. */
void qr_port_frames_zero(struct qr_port *self, qr_pfn_t pfn, uint32_t nr, bool is_fresh)
{
	if (!is_fresh)
		memset(qr_port_frame_address(self, pfn), 0, (size_t)nr << QR_PAGE_SHIFT);
}

void qr_port_frames_release(struct qr_port *self, qr_pfn_t pfn, uint32_t nr)
{
	memset(qr_port_frame_address(self, pfn), 0, (size_t)nr << QR_PAGE_SHIFT);
}

uint32_t qr_port_memory_grow(struct qr_port *self, uint32_t nr)
{
	(void)self;
	(void)nr;
	return 0;
}

/* ---- Translation ---- */

struct qr_port_space *qr_lab_space_create(struct qr_lab *lab, uint64_t *va_start, uint64_t *va_end)
{
	struct qr_port_space *space = calloc(1, sizeof(*space));

	(void)lab;
	if (!space)
		qr_lab_fail("no memory", QR_ENOMEM);
	space->pages = reserve(SPACE_BYTES / QR_PAGE_SIZE * sizeof(*space->pages));
	*va_start = SPACE_START;
	*va_end = SPACE_START + SPACE_BYTES;
	return space;
}

void qr_lab_space_destroy(struct qr_lab *lab, struct qr_port_space *space)
{
	(void)lab;
	(void)munmap(space->pages, SPACE_BYTES / QR_PAGE_SIZE * sizeof(*space->pages));
	free(space);
}

uint32_t qr_lab_distance(struct qr_lab *lab, uint32_t from, uint32_t to)
{
	(void)lab;
	(void)from;
	(void)to;
	return 0;
}

static uint32_t *page_of(struct qr_port_space *space, uint64_t va)
{
	return &space->pages[(va - SPACE_START) >> QR_PAGE_SHIFT];
}

int qr_lab_touch(struct qr_lab *lab, struct qr_aspace *aspace, uint64_t va, bool is_write)
{
	(void)lab;
	while (!__atomic_load_n(page_of(aspace->port_space, va), __ATOMIC_ACQUIRE)) {
		int err = qr_fault(aspace, va, is_write ? QR_FAULT_WRITE : 0);

		if (err)
			return err;
	}
	return 0;
}

bool qr_port_is_exclusive(struct qr_port *self)
{
	(void)self;
	return false;
}

int qr_port_map(struct qr_port *self, struct qr_port_space *space, uint64_t va, qr_pfn_t pfn, uint32_t nr,
		uint32_t prot, uint32_t *nr_done)
{
	(void)self;
	(void)prot;
	for (uint32_t i = 0; i < nr; i++)
		__atomic_store_n(page_of(space, va + i * QR_PAGE_SIZE), pfn.nr + i + 1, __ATOMIC_RELEASE);
	*nr_done = nr;
	return 0;
}

int qr_port_unmap(struct qr_port *self, struct qr_port_space *space, uint64_t va, qr_pfn_t pfn, uint32_t nr,
		  uint32_t prot, uint32_t *nr_done)
{
	(void)self;
	(void)pfn;
	(void)prot;
	for (uint32_t i = 0; i < nr; i++)
		__atomic_store_n(page_of(space, va + i * QR_PAGE_SIZE), 0, __ATOMIC_RELEASE);
	*nr_done = nr;
	return 0;
}

/* Each unmap() is whole by itself. */
void qr_port_unmap_begin(struct qr_port *self, struct qr_port_space *space)
{
	(void)self;
	(void)space;
}

void qr_port_unmap_end(struct qr_port *self, struct qr_port_space *space)
{
	(void)self;
	(void)space;
}

int qr_port_protect(struct qr_port *self, struct qr_port_space *space, uint64_t va, qr_pfn_t pfn, uint32_t nr,
		    uint32_t prot, uint32_t *nr_done)
{
	(void)self;
	(void)space;
	(void)va;
	(void)pfn;
	(void)prot;
	*nr_done = nr;
	return 0;
}

void qr_port_wake_faulters(struct qr_port *self, struct qr_port_space *space, uint64_t va, uint64_t len_bytes)
{
	(void)self;
	(void)space;
	(void)va;
	(void)len_bytes;
}

int qr_port_range_add(struct qr_port *self, struct qr_port_space *space, uint64_t va, uint64_t len_bytes, uint32_t prot)
{
	qr_port_wake_faulters(self, space, va, len_bytes);
	(void)prot;
	return 0;
}

int qr_port_range_remove(struct qr_port *self, struct qr_port_space *space, uint64_t va, uint64_t len_bytes)
{
	qr_port_wake_faulters(self, space, va, len_bytes);
	return 0;
}

int qr_port_range_protect(struct qr_port *self, struct qr_port_space *space, uint64_t va, uint64_t len_bytes,
			  uint32_t prot)
{
	return qr_port_range_add(self, space, va, len_bytes, prot);
}

/* ---- What no measured workload reaches ---- */

static QR_NORETURN void out_of_reach(const char *what)
{
	qr_lab_fail(what, QR_ENOSYS);
}

int qr_port_thread_start(struct qr_port *self, const char *name, unsigned near_cpu, void (*entry)(void *argument),
			 void *argument)
{
	(void)self;
	(void)name;
	(void)near_cpu;
	(void)entry;
	(void)argument;
	return QR_ENOSYS;
}

void qr_port_thread_join(struct qr_port *self, int handle)
{
	(void)self;
	(void)handle;
}

int qr_port_file_read(struct qr_port *self, void *file, uint64_t offset_bytes, void *buffer, uint32_t len_bytes)
{
	(void)self;
	(void)file;
	(void)offset_bytes;
	(void)buffer;
	(void)len_bytes;
	return QR_EIO;
}

void qr_port_file_close(struct qr_port *self, void *file)
{
	(void)self;
	(void)file;
}

int qr_port_io_submit(struct qr_port *self, struct qr_io_request *request)
{
	(void)self;
	(void)request;
	return QR_ENOSYS;
}

void qr_port_io_wait(struct qr_port *self, struct qr_io_request *request)
{
	(void)self;
	(void)request;
	out_of_reach("a transfer");
}

int qr_port_swap_open(struct qr_port *self, uint32_t *file)
{
	(void)self;
	(void)file;
	return QR_ENOSYS;
}

void qr_port_swap_discard(struct qr_port *self, uint32_t file, uint64_t offset_bytes, uint64_t len_bytes)
{
	(void)self;
	(void)file;
	(void)offset_bytes;
	(void)len_bytes;
}

uint32_t qr_port_compress(enum qr_codec codec, const void *page, void *out, uint32_t capacity, void *workspace)
{
	(void)codec;
	(void)page;
	(void)out;
	(void)capacity;
	(void)workspace;
	return 0;
}

int qr_port_decompress(enum qr_codec codec, const void *in, uint32_t len_bytes, void *page, void *workspace)
{
	(void)codec;
	(void)in;
	(void)len_bytes;
	(void)page;
	(void)workspace;
	return QR_EILSEQ;
}

uint32_t qr_port_codec_workspace(enum qr_codec codec)
{
	(void)codec;
	return QR_CACHE_LINE;
}

bool qr_port_digest(struct qr_port *self, const void *page, struct qr_digest *digest)
{
	(void)self;
	(void)page;
	(void)digest;
	return false;
}

uint64_t qr_port_checksum(const void *data, uint32_t len_bytes)
{
	(void)data;
	return len_bytes;
}

/* ---- Reports ---- */

void qr_port_log(struct qr_port *self, enum qr_log_level level, const char *format, ...)
{
	va_list arguments;

	(void)self;
	if (level > QR_LOG_WARN)
		return;
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\n");
}

void qr_port_content_lost(struct qr_port *self, uint64_t va, int error)
{
	(void)self;
	(void)va;
	qr_lab_fail("content is lost", error);
}

bool qr_port_out_of_memory(struct qr_port *self, const char *why)
{
	(void)self;
	qr_lab_fail(why, QR_ENOMEM);
}

void qr_port_panic(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}
