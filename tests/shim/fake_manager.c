/*
 * A stand-in for the manager under the shim: the public API over plain kernel memory, without a budget, and those
 * functions of the port that the heap's zone and slabs need. So the shim is tested alone.
 *
 * QR_FAKE_STRICT_FORK=1: between the calls around fork no managed page has any access, so that a touch of managed
 * memory by the forking thread is a segmentation fault. Other threads wait, as they would for a page.
 * QR_FAKE_STATS=1: prints what was mapped at the end.
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <quire/port.h>
#include <quire/quire.h>

#include "alloc/alloc.h"
#include "base/base.h"
#include "internal.h"
#include "pin.h"
#include "sigbus.h"
#include "sync/lock.h"

#define FAKE_BYTES ((uint64_t)32 << 30)
#define FAKE_FRONT ((uint64_t)1 << 20) /* before the range, for tests that cross its border */
#define FAKE_PAGES (FAKE_BYTES >> QR_PAGE_SHIFT)

struct qr_manager {
	uint8_t *start;
	uint8_t *prot_of;  /* [page] 0: not mapped, else 1 + prot */
	uint64_t cursor;   /* page where the search for a gap goes on */
	uint64_t nr_maps;
	uint64_t nr_advised;
	pthread_mutex_t lock;
	bool is_strict;
	bool is_in_window; /* (A) */
	long forker;       /* thread that forks */
	struct sigaction segv_before;
	bool has_stats;
};
static struct qr_manager fake = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint64_t find_gap(uint64_t nr);
static bool is_range_mapped(uint64_t page, uint64_t nr);
static void set_range(uint64_t page, uint64_t nr, int prot, bool is_new);
static void hide_or_show(bool is_hidden);

static uint64_t page_of(const void *address)
{
	return (uint64_t)((const uint8_t *)address - fake.start) >> QR_PAGE_SHIFT;
}

static bool is_inside(const void *address, size_t length)
{
	uint64_t offset = (uint64_t)((const uint8_t *)address - fake.start);

	return offset < FAKE_BYTES && length <= FAKE_BYTES - offset && !(offset & (QR_PAGE_SIZE - 1));
}

void qr_options_init(struct qr_options *options)
{
	memset(options, 0, sizeof(*options));
	options->size = sizeof(*options);
}

int qr_manager_open(const struct qr_options *options, struct qr_manager **manager, const char **error_text)
{
	if (!strcmp(options->domain, "bad")) {
		*error_text = "the domain is bad: name another";
		return QR_ENOENT;
	}
	fake.start = qr_shim_sys_mmap(NULL, FAKE_BYTES + FAKE_FRONT, PROT_NONE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	fake.prot_of = qr_shim_sys_mmap(NULL, FAKE_PAGES, PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	fake.has_stats = getenv("QR_FAKE_STATS") != NULL;
	*manager = &fake;
	if (fake.start != MAP_FAILED)
		fake.start += FAKE_FRONT;
	return fake.start == MAP_FAILED || fake.prot_of == MAP_FAILED ? QR_ENOMEM : 0;
}

void qr_manager_range(struct qr_manager *manager, void **start, size_t *length)
{
	*start = manager->start;
	*length = FAKE_BYTES;
}

int qr_manager_map(struct qr_manager *manager, void **address, size_t length, int prot, unsigned flags)
{
	uint64_t nr = qr_pages_up(length), page;
	bool is_at = flags & (QR_MAP_AT | QR_MAP_AT_NOREPLACE);
	int err = 0;

	if (is_at && !is_inside(*address, length))
		return QR_EINVAL;
	pthread_mutex_lock(&manager->lock);
	page = is_at ? page_of(*address) : find_gap(nr);
	if (page == UINT64_MAX)
		err = QR_ENOMEM;
	for (uint64_t i = 0; !err && (flags & QR_MAP_AT_NOREPLACE) && i < nr; i++) {
		if (fake.prot_of[page + i])
			err = QR_EEXIST;
	}
	if (!err) {
		set_range(page, nr, prot, true);
		manager->nr_maps++;
		*address = fake.start + (page << QR_PAGE_SHIFT);
	}
	pthread_mutex_unlock(&manager->lock);
	return err;
}

int qr_manager_unmap(struct qr_manager *manager, void *address, size_t length)
{
	if (!is_inside(address, length))
		return QR_EINVAL;
	pthread_mutex_lock(&manager->lock);
	set_range(page_of(address), qr_pages_up(length), -1, true);
	pthread_mutex_unlock(&manager->lock);
	return 0;
}

int qr_manager_remap(struct qr_manager *manager, void *old_address, size_t old_length, size_t new_length, int flags,
		     void **address)
{
	uint64_t old_nr = qr_pages_up(old_length), new_nr = qr_pages_up(new_length);
	uint64_t page = page_of(old_address), to = page, room = old_nr;
	int prot, err = 0;

	pthread_mutex_lock(&manager->lock);
	prot = fake.prot_of[page] - 1;
	if (!is_range_mapped(page, old_nr)) {
		err = QR_EFAULT;
	} else if (flags & MREMAP_FIXED) {
		to = page_of(*address);
	} else {
		while (room < new_nr && page + room < FAKE_PAGES && !fake.prot_of[page + room])
			room++;
		if (room < new_nr)
			to = flags & MREMAP_MAYMOVE ? find_gap(new_nr) : UINT64_MAX;
		if (to == UINT64_MAX)
			err = QR_ENOMEM;
	}
	if (!err && to == page) {
		if (new_nr > old_nr)
			set_range(page + old_nr, new_nr - old_nr, prot, true);
		else if (new_nr < old_nr)
			set_range(page + new_nr, old_nr - new_nr, -1, true);
	} else if (!err) {
		uint64_t nr = QR_MIN(old_nr, new_nr);

		set_range(to, new_nr, prot, true);
		(void)syscall(SYS_mremap, old_address, nr << QR_PAGE_SHIFT, nr << QR_PAGE_SHIFT,
			      MREMAP_MAYMOVE | MREMAP_FIXED, fake.start + (to << QR_PAGE_SHIFT));
		set_range(page, old_nr, -1, true);
	}
	if (!err)
		*address = fake.start + (to << QR_PAGE_SHIFT);
	pthread_mutex_unlock(&manager->lock);
	return err;
}

int qr_manager_protect(struct qr_manager *manager, void *address, size_t length, int prot)
{
	int err = 0;

	pthread_mutex_lock(&manager->lock);
	if (!is_range_mapped(page_of(address), qr_pages_up(length)))
		err = QR_ENOMEM;
	else
		set_range(page_of(address), qr_pages_up(length), prot, false);
	pthread_mutex_unlock(&manager->lock);
	return err;
}

int qr_manager_advise(struct qr_manager *manager, void *address, size_t length, int advice)
{
	if (advice > MADV_POPULATE_WRITE)
		return QR_EINVAL;
	if (advice != MADV_DONTNEED)
		return is_range_mapped(page_of(address), qr_pages_up(length)) ? 0 : QR_ENOMEM;
	(void)qr_fetch_add_relaxed(&manager->nr_advised, qr_pages_up(length));
	return qr_shim_sys_madvise(address, length, MADV_DONTNEED) ? -errno : 0;
}

int qr_manager_lock(struct qr_manager *manager, void *address, size_t length)
{
	(void)manager;
	return is_range_mapped(page_of(address), qr_pages_up(length)) ? 0 : QR_ENOMEM;
}

int qr_manager_unlock(struct qr_manager *manager, void *address, size_t length)
{
	return qr_manager_lock(manager, address, length);
}

int qr_manager_resident(struct qr_manager *manager, void *address, size_t length, unsigned char *resident)
{
	(void)manager;
	if (!is_range_mapped(page_of(address), qr_pages_up(length)))
		return QR_ENOMEM;
	return syscall(SYS_mincore, address, length, resident) ? -errno : 0;
}

/* The page is there again once the window is shut; the forking thread would wait for itself. */
static void wait_for_page(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	if (!is_inside(info->si_addr - (uintptr_t)info->si_addr % QR_PAGE_SIZE, 1) ||
	    syscall(SYS_gettid) == fake.forker)
		signal(SIGSEGV, SIG_DFL);
	else
		while (__atomic_load_n(&fake.is_in_window, __ATOMIC_ACQUIRE))
			sched_yield();
}

static void window_open(struct qr_manager *manager)
{
	struct sigaction wait = {.sa_sigaction = wait_for_page, .sa_flags = SA_SIGINFO};

	manager->forker = syscall(SYS_gettid);
	sigaction(SIGSEGV, &wait, &manager->segv_before);
	hide_or_show(true);
}

int qr_manager_fork_prepare(struct qr_manager *manager)
{
	pthread_mutex_lock(&manager->lock);
	__atomic_store_n(&manager->is_in_window, true, __ATOMIC_RELEASE);
	manager->is_strict = getenv("QR_FAKE_STRICT_FORK") != NULL;
	if (manager->is_strict)
		window_open(manager);
	return 0;
}

void qr_manager_fork_parent(struct qr_manager *manager, int child_pid)
{
	(void)child_pid;
	if (manager->is_strict)
		hide_or_show(false);
	__atomic_store_n(&manager->is_in_window, false, __ATOMIC_RELEASE);
	if (manager->is_strict)
		sigaction(SIGSEGV, &manager->segv_before, NULL);
	pthread_mutex_unlock(&manager->lock);
}

int qr_manager_fork_child(struct qr_manager *manager)
{
	qr_manager_fork_parent(manager, 0);
	return 0;
}

void qr_manager_flush(struct qr_manager *manager);
void qr_manager_flush(struct qr_manager *manager)
{
	uint64_t nr_maps, nr_bytes, raw_bytes;

	if (!manager->has_stats)
		return;
	qr_shim_passed(&nr_maps, &nr_bytes, &raw_bytes);
	fprintf(stderr, "fake: %lu maps, %lu pages returned, passed %lu maps %lu bytes, raw %lu bytes\n",
		(unsigned long)manager->nr_maps, (unsigned long)manager->nr_advised, (unsigned long)nr_maps,
		(unsigned long)nr_bytes, (unsigned long)raw_bytes);
}

const char *qr_strerror(int error)
{
	return strerror(-error);
}

/* Next fit, in whole pages; holds: lock */
static uint64_t find_gap(uint64_t nr)
{
	uint64_t at = fake.cursor, run = 0;

	for (uint64_t tried = 0; tried < 2 * FAKE_PAGES; tried++, at++) {
		if (at >= FAKE_PAGES) {
			at = 0;
			run = 0;
		}
		run = fake.prot_of[at] ? 0 : run + 1;
		if (run == nr) {
			fake.cursor = at + 1;
			return at + 1 - nr;
		}
	}
	return UINT64_MAX;
}

static bool is_range_mapped(uint64_t page, uint64_t nr)
{
	for (uint64_t i = page; i < page + nr; i++) {
		if (i >= FAKE_PAGES || !fake.prot_of[i])
			return false;
	}
	return true;
}

/* prot -1: not mapped. is_new: the content is dropped. */
static void set_range(uint64_t page, uint64_t nr, int prot, bool is_new)
{
	uint8_t *address = fake.start + (page << QR_PAGE_SHIFT);

	if (is_new)
		(void)qr_shim_sys_mmap(address, nr << QR_PAGE_SHIFT, prot < 0 ? PROT_NONE : prot,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	else
		(void)qr_shim_sys_mprotect(address, nr << QR_PAGE_SHIFT, prot);
	memset(fake.prot_of + page, prot + 1, nr);
}

static void hide_or_show(bool is_hidden)
{
	uint64_t from = 0;

	if (is_hidden) {
		(void)qr_shim_sys_mprotect(fake.start, FAKE_BYTES, PROT_NONE);
		return;
	}
	while (from < FAKE_PAGES) {
		uint64_t to = from + 1;

		while (to < FAKE_PAGES && fake.prot_of[to] == fake.prot_of[from])
			to++;
		if (fake.prot_of[from] > 1)
			(void)qr_shim_sys_mprotect(fake.start + (from << QR_PAGE_SHIFT), (to - from) << QR_PAGE_SHIFT,
						   fake.prot_of[from] - 1);
		from = to;
	}
}

/* ---- The port, as far as the heap's zone and slabs need it ---- */

unsigned qr_port_nr_cpus(void)
{
	return 4;
}

unsigned qr_port_cpu(void)
{
	return 0;
}

void qr_port_cpu_relax(unsigned nr_spins)
{
	if (nr_spins % 64 == 63)
		(void)sched_yield();
}

struct qr_held_locks *qr_port_held_locks(void)
{
	static __thread struct qr_held_locks held;

	return &held;
}

void qr_port_wait(uint32_t *word, uint32_t expected)
{
	(void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

void qr_port_wake(uint32_t *word, uint32_t nr_waiters)
{
	(void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, nr_waiters > INT32_MAX ? INT32_MAX : nr_waiters, NULL, NULL,
		      0);
}

void qr_port_panic(const char *file, int line, const char *what)
{
	(void)file;
	(void)line;
	qr_shim_die(what);
}

/* Never reached: the heap's zone belongs to no manager. */
struct qr_frame *qr_alloc_pages(struct qr_vmm *vmm, unsigned order, qr_gfp_t gfp)
{
	(void)vmm;
	(void)order;
	(void)gfp;
	abort();
}

void qr_free_pages(struct qr_vmm *vmm, struct qr_frame *frame, unsigned order)
{
	(void)vmm;
	(void)frame;
	(void)order;
	abort();
}

/* Never reached: the stand-in does not deliver faults by signals. */
void qr_pins_add(struct qr_pins *pins)
{
	(void)pins;
}

uint32_t qr_pins_settle(struct qr_manager *manager, const struct qr_pins *pins, uint32_t first)
{
	(void)manager;
	(void)pins;
	(void)first;
	abort();
}

uint64_t qr_pins_limit(const struct qr_manager *manager)
{
	(void)manager;
	abort();
}

void qr_pins_forget_others(const struct qr_pins *own)
{
	(void)own;
}

void qr_sigbus_swap(const struct qr_signal_action *action, struct qr_signal_action *old)
{
	(void)action;
	(void)old;
	abort();
}
