/*
 * Opening and closing a manager: pool, reserved range, userfaultfd, core, threads.
 */
#define _LGPL_SOURCE
#include "internal.h"
#include "record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <urcu/urcu-bp.h>

/* Address space reserved for managed memory, if nobody says otherwise: 1 TiB, halved until the system grants it. */
#define SPACE_BYTES ((uint64_t)1 << 40)
#define SPACE_BYTES_MIN ((uint64_t)1 << 30)
/* Handlers unless the options say otherwise: one that leads and those that take over while it waits (ADR 4). */
#define DEFAULT_MAX_HANDLERS 4u
#define HUGE_BYTES ((uint64_t)2 << 20)
/* Share of the frames that the compressed pool may grow to while there is a swap file behind it. */
#define POOL_MAX_PERCENT 85u

/* What it costs to bring a fault to core and the thread back: a signal's frame and return, or two wake-ups of threads
 * on other CPUs. Measured on two virtual CPUs; bench/paging shows the difference of the two deliveries. */
#define SIGNAL_NS 2000u
#define HANDLER_NS 15000u

/* Managers of this process, newest first. Written under registry_lock; the signal handler walks it. */
static struct qr_manager *registry;
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;

static int manager_check(struct qr_manager *manager, const struct qr_options *options, const char **error_text);
static int manager_reserve(struct qr_manager *manager, const char **error_text);
static int manager_create_core(struct qr_manager *manager, const char **error_text);
static void manager_unreserve(struct qr_manager *manager);
static void pool_unreserve(struct qr_port *port);

void qr_options_init(struct qr_options *options)
{
	const char *directory = getenv("TMPDIR");

	*options = (struct qr_options){
		.size = sizeof(*options),
		.ram_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * QR_PAGE_SIZE / 2,
		.swap_dir = directory ? directory : "/var/tmp",
	};
}

/* Everything past the plain checks; on error what was set up is undone. */
static int manager_bring_up(struct qr_manager *manager, const char **error_text)
{
	int err = qr_uffd_open(manager, error_text);

	if (err)
		return err;
	err = manager_reserve(manager, error_text);
	if (err)
		goto close_uffd;
	err = qr_uffd_register(manager, error_text);
	if (!err)
		err = qr_io_init(&manager->port.io, manager->options.swap_dir, manager->options.swap_bytes);
	if (err) {
		if (!*error_text)
			*error_text = "the swap directory cannot be used: see that it exists and is writable, or "
				      "name another";
		goto close_uffd;
	}
	qr_inject_into_io(&manager->port);
	err = manager_create_core(manager, error_text);
	if (err)
		goto close_io;
	return 0;

close_io:
	qr_io_destroy(&manager->port.io);
close_uffd:
	/* Before the unmapping, whose events nobody would read. */
	qr_uffd_close(manager);
	manager_unreserve(manager);
	return err;
}

static void manager_init_locks(struct qr_manager *manager)
{
	pthread_rwlockattr_t attributes;

	pthread_mutex_init(&manager->read_lock, NULL);
	pthread_mutex_init(&manager->budget_lock, NULL);
	pthread_rwlockattr_init(&attributes);
	/* A stream of faults must not keep fork out. */
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&manager->fork.gate, &attributes);
	pthread_rwlockattr_destroy(&attributes);
	manager->fork.token = -1;
	manager->fork.slot = -1;
	manager->fork.lifeline = -1;
	for (unsigned i = 0; i < QR_MAX_FORK_CHILDREN; i++)
		manager->fork.children[i].fd = -1;
}

/* The handler first, since later the guard takes signal handlers for the program's; both before there are threads that
 * make system calls while those are rewritten. */
static int start_signals(struct qr_manager *manager, const char **error_text)
{
	int err = qr_signal_install();

	if (!err && qr_shim_guard_calls)
		err = qr_shim_guard_calls(manager, error_text);
	return err;
}

int qr_manager_open(const struct qr_options *options, struct qr_manager **out, const char **error_text)
{
	const char *no_text;
	const char **text = error_text ? error_text : &no_text;
	struct qr_options effective = *options;
	struct qr_manager *manager;
	int err;

	*text = NULL;
	qr_internal_enter();
	manager = qr_kernel_mmap(0, sizeof(*manager), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	if (manager == MAP_FAILED) {
		qr_internal_leave();
		*text = "out of memory";
		return QR_ENOMEM;
	}
	manager_init_locks(manager);
	err = qr_budget_attach(manager, &effective, text);
	if (!err)
		err = manager_check(manager, &effective, text);
	if (!err)
		err = qr_budget_join(manager, text);
	if (!err)
		err = manager_bring_up(manager, text);
	if (!err && manager->delivery == QR_DELIVERY_SIGNAL)
		err = start_signals(manager, text);
	if (!err)
		err = qr_manager_start_threads(manager);
	qr_internal_leave();
	if (err) {
		if (!*text)
			*text = qr_strerror(err);
		qr_kernel_munmap((uint64_t)(uintptr_t)manager, sizeof(*manager));
		return err;
	}
	pthread_mutex_lock(&registry_lock);
	manager->next = registry;
	qr_store_release(&registry, manager);
	pthread_mutex_unlock(&registry_lock);
	*out = manager;
	return 0;
}

int qr_manager_start_threads(struct qr_manager *manager)
{
	int err = qr_handlers_start(manager);

	if (!err)
		err = qr_kswapd_start(manager->vmm);
	if (!err)
		err = qr_budget_start(manager);
	return err;
}

void qr_manager_close(struct qr_manager *manager)
{
	struct qr_manager **link = &registry;

	qr_budget_stop(manager);
	qr_kswapd_stop(manager->vmm);
	qr_aspace_destroy(manager->aspace);
	qr_handlers_stop(manager);
	pthread_mutex_lock(&registry_lock);
	while (*link != manager)
		link = &(*link)->next;
	*link = manager->next;
	pthread_mutex_unlock(&registry_lock);
	qr_vmm_destroy(manager->vmm);
	qr_io_destroy(&manager->port.io);
	/* First: nobody reads the events that unmapping a registered range would wait for. */
	qr_uffd_close(manager);
	manager_unreserve(manager);
	if (manager->record)
		qr_record_detach(manager->record);
	if (manager->has_domain) {
		qr_domain_leave(&manager->domain);
		qr_domain_detach(&manager->domain);
	}
	qr_kernel_munmap((uint64_t)(uintptr_t)manager, sizeof(*manager));
}

struct qr_manager *qr_manager_at(uint64_t va)
{
	struct qr_manager *manager = qr_load_acquire(&registry);

	while (manager && (va < manager->port.space.va_start || va >= manager->port.space.va_end))
		manager = qr_load_acquire(&manager->next);
	return manager;
}

static int check_swap_dir(const struct qr_options *options, const char **error_text)
{
	struct stat status;

	if (stat(options->swap_dir, &status)) {
		*error_text = "the swap directory does not exist; name another";
		return QR_ENOENT;
	}
	if (!S_ISDIR(status.st_mode)) {
		*error_text = "the swap directory is not a directory; name another";
		return QR_ENOENT;
	}
	if (access(options->swap_dir, W_OK | X_OK)) {
		*error_text = "the swap directory is not writable; name another";
		return QR_EACCES;
	}
	return 0;
}

static int manager_check(struct qr_manager *manager, const struct qr_options *options, const char **error_text)
{
	if (options->size < sizeof(struct qr_options) || options->delivery > QR_DELIVERY_SIGNAL ||
	    options->compression > QR_COMPRESS_NONE) {
		*error_text = "an option is unknown to this version of quire";
		return QR_EINVAL;
	}
	if (options->ram_bytes < QR_RAM_MIN) {
		*error_text = "the RAM budget is below the minimum of 8 MiB";
		return QR_EINVAL;
	}
	if (options->swap_dir) {
		int err = check_swap_dir(options, error_text);

		if (err)
			return err;
		strncpy(manager->swap_dir, options->swap_dir, sizeof(manager->swap_dir) - 1);
	}
	qr_inject_read_hooks(manager);
	manager->port.has_digest_secret = getrandom(manager->port.digest_secret, sizeof(manager->port.digest_secret),
						    0) == (ssize_t)sizeof(manager->port.digest_secret);
	manager->options = *options;
	manager->options.swap_dir = options->swap_dir ? manager->swap_dir : NULL;
	manager->delivery = qr_delivery_choose(options->delivery);
	manager->nr_handlers = QR_MIN(options->nr_handlers ? options->nr_handlers : qr_port_nr_cpus(),
				      options->nr_handlers ? QR_MAX_HANDLERS : DEFAULT_MAX_HANDLERS);
	/* With signals the threads only read events. */
	if (manager->delivery == QR_DELIVERY_SIGNAL)
		manager->nr_handlers = 1;
	return 0;
}

/* A PROT_NONE or read-write reservation that is 2 MiB-aligned; NULL if the system refuses. */
static void *reserve(uint64_t len_bytes, int prot)
{
	uint64_t at = (uint64_t)(uintptr_t)qr_kernel_mmap(0, len_bytes + HUGE_BYTES, prot,
							  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
	uint64_t start;

	if (at == (uint64_t)(uintptr_t)MAP_FAILED)
		return NULL;
	start = QR_ALIGN_UP(at, HUGE_BYTES);
	if (start > at)
		qr_kernel_munmap(at, start - at);
	if (at + HUGE_BYTES > start)
		qr_kernel_munmap(start + len_bytes, at + HUGE_BYTES - start);
	(void)qr_kernel_madvise(start, len_bytes, MADV_NOHUGEPAGE);
	return (void *)(uintptr_t)start;
}

/* Where the system does not grant room for the budget to grow it stays what it is. */
static void reserve_pool(struct qr_manager *manager)
{
	struct qr_port *port = &manager->port;
	uint64_t least = manager->options.ram_bytes >> QR_PAGE_SHIFT;

	for (manager->span_frames = QR_MAX(manager->span_frames, least);; manager->span_frames = least) {
		port->pool_bytes = QR_ALIGN_UP(manager->span_frames << QR_PAGE_SHIFT, HUGE_BYTES);
		port->pool = reserve(port->pool_bytes, PROT_READ | PROT_WRITE);
		port->metadata_bytes = QR_ALIGN_UP(qr_vmm_metadata_bytes((uint32_t)manager->span_frames), QR_PAGE_SIZE);
		port->metadata = reserve(port->metadata_bytes, PROT_READ | PROT_WRITE);
		if ((port->pool && port->metadata) || manager->span_frames == least)
			return;
		pool_unreserve(port);
	}
}

static int manager_reserve(struct qr_manager *manager, const char **error_text)
{
	struct qr_port *port = &manager->port;
	uint64_t space_bytes =
		manager->options.address_bytes ? QR_ALIGN_UP(manager->options.address_bytes, HUGE_BYTES) : SPACE_BYTES;
	void *space = NULL;

	reserve_pool(manager);
	while (!space && space_bytes >= SPACE_BYTES_MIN) {
		space = reserve(space_bytes, PROT_NONE);
		space_bytes /= space ? 1 : 2;
	}
	if (!port->pool || !port->metadata || !space) {
		manager_unreserve(manager);
		*error_text = "the address space is too small: raise the limit on virtual memory (ulimit -v)";
		return QR_ENOMEM;
	}
	port->space.va_start = (uint64_t)(uintptr_t)space;
	port->space.va_end = port->space.va_start + space_bytes;
	return 0;
}

static void manager_unreserve(struct qr_manager *manager)
{
	struct qr_port *port = &manager->port;

	pool_unreserve(port);
	if (port->space.va_end)
		qr_kernel_munmap(port->space.va_start, port->space.va_end - port->space.va_start);
}

static void pool_unreserve(struct qr_port *port)
{
	if (port->pool)
		qr_kernel_munmap((uint64_t)(uintptr_t)port->pool, port->pool_bytes);
	if (port->metadata)
		qr_kernel_munmap((uint64_t)(uintptr_t)port->metadata, port->metadata_bytes);
	port->pool = NULL;
	port->metadata = NULL;
}

static int manager_create_core(struct qr_manager *manager, const char **error_text)
{
	static const enum qr_codec codecs[] = {QR_CODEC_LZ4, QR_CODEC_ZSTD, QR_CODEC_NONE};
	const struct qr_options *options = &manager->options;
	struct qr_port *port = &manager->port;
	struct qr_vmm_config config = {
		.port = port,
		.pool_address = port->pool,
		.nr_frames = (uint32_t)manager->span_frames,
		.nr_frames_usual = (uint32_t)(options->ram_bytes >> QR_PAGE_SHIFT),
		.nr_frames_start = qr_budget_start_frames(manager),
		.metadata = port->metadata,
		.swap =
			{
				.codec = codecs[options->compression],
				.has_file = options->swap_dir != NULL,
				.file_max_bytes = options->swap_bytes,
				.pool_max_percent = POOL_MAX_PERCENT,
				.delivery_ns = manager->delivery == QR_DELIVERY_SIGNAL ? SIGNAL_NS : HANDLER_NS,
			},
	};
	int err = qr_vmm_create(&config, &manager->vmm);

	if (!err)
		err = qr_aspace_create(manager->vmm, &port->space, port->space.va_start, port->space.va_end,
				       &manager->aspace);
	if (err)
		*error_text = "the RAM budget is too small for quire's own tables; raise it";
	return err;
}

void qr_manager_enter(struct qr_manager *manager, struct qr_entry *entry)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &entry->old_mask);
	/* The first read section of a thread registers it with RCU: that must not happen under core's locks. */
	urcu_bp_read_lock();
	urcu_bp_read_unlock();
	pthread_rwlock_rdlock(&manager->fork.gate);
}

void qr_manager_leave(struct qr_manager *manager, const struct qr_entry *entry)
{
	pthread_rwlock_unlock(&manager->fork.gate);
	pthread_sigmask(SIG_SETMASK, &entry->old_mask, NULL);
}
