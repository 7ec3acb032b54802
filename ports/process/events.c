/*
 * What the kernel did behind the manager's back: system calls that reached it without passing through quire (a raw
 * syscall(2), a library with its own wrappers). userfaultfd reports them; the thread that made the call waits until
 * the report is read. The record is made to agree; no byte may be lost on the way.
 */
#include "internal.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "uffd_abi.h"

/* Called for each page of the range that is not mapped in the kernel but has content: bytes is that content. */
typedef void (*page_visitor)(uint64_t va, const void *bytes, void *context);

static void visit_page(struct qr_manager *manager, qr_pte_t pte, uint64_t va, page_visitor visit, void *context)
{
	struct qr_port *port = &manager->port;
	uint8_t page[QR_PAGE_SIZE] QR_ALIGNED(QR_PAGE_SIZE);
	uint32_t slot;
	void *target = page;
	int result;

	if (qr_pte_is_idle(pte)) {
		visit(va, qr_port_frame_address(port, qr_pte_pfn(pte)), context);
		return;
	}
	slot = qr_pte_swap_slot(pte);
	if (qr_swap_load(manager->vmm->swap, &slot, 1, &target, &result))
		qr_port_content_lost(port, va, result);
	visit(va, page, context);
}

static void for_each_unmapped_page(struct qr_manager *manager, uint64_t start, uint64_t end, page_visitor visit,
				   void *context)
{
	struct qr_pgtable *table = &manager->aspace->pgtable;

	for (uint64_t va = start; va < end; va += QR_PAGE_SIZE) {
		struct qr_frame *page = qr_pgtable_find(table, va);
		qr_pte_t pte;

		if (!page) {
			va = QR_ALIGN_DOWN(va, QR_PT_SPAN) + QR_PT_SPAN - QR_PAGE_SIZE;
			continue;
		}
		qr_pt_lock(page);
		pte = qr_pte_read(qr_pt_entry(table, page, va));
		if (qr_pte_is_idle(pte) || qr_pte_is_swap(pte))
			visit_page(manager, pte, va, visit, context);
		qr_pt_unlock(page);
	}
}

struct copy_target {
	int uffd;
	uint64_t offset; /* added to the page's address */
};

static void copy_page(uint64_t va, const void *bytes, void *context)
{
	const struct copy_target *target = context;
	struct uffdio_copy copy = {
		.dst = va + target->offset,
		.src = (uint64_t)(uintptr_t)bytes,
		.len = QR_PAGE_SIZE,
	};

	while (ioctl(target->uffd, UFFDIO_COPY, &copy) && errno == EAGAIN)
		;
}

/* A child made by a raw clone(2): nobody manages its memory. It gets all that is not mapped, at once, and is on
 * its own from then on. */
static void event_fork(struct qr_manager *manager, int child_uffd)
{
	uint32_t announced = QR_FORK_ANNOUNCED;
	struct copy_target target = {.uffd = child_uffd};

	if (!qr_cas(&manager->fork.state, &announced, QR_FORK_SEEN)) {
		for_each_unmapped_page(manager, manager->port.space.va_start, manager->port.space.va_end, copy_page,
				       &target);
		qr_port_log(&manager->port, QR_LOG_WARN,
			    "a child process was made by a raw clone system call: it runs without a RAM budget");
	}
	close(child_uffd);
	qr_port_wake(&manager->fork.state, 1);
}

/* The range moved out of the managed addresses; it takes its content along and is the kernel's from now on. */
static void event_remap(struct qr_manager *manager, uint64_t from, uint64_t to, uint64_t len_bytes)
{
	struct copy_target target = {.uffd = manager->port.uffd_space, .offset = to - from};
	struct uffdio_range range = {.start = to, .len = len_bytes};

	for_each_unmapped_page(manager, from, from + len_bytes, copy_page, &target);
	(void)ioctl(manager->port.uffd_space, UFFDIO_UNREGISTER, &range);
	if (qr_forget(manager->aspace, from, len_bytes, true))
		qr_port_panic(__FILE__, __LINE__, "no memory to follow a raw mremap");
}

/* The kernel's mapping is gone; the place is reserved again before anything else can settle there. */
static void event_unmap(struct qr_manager *manager, uint64_t start, uint64_t end)
{
	void *place = qr_kernel_mmap(start, end - start, PROT_NONE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE);

	if (place != (void *)(uintptr_t)start)
		qr_port_panic(__FILE__, __LINE__, "a raw munmap lost part of the managed range");
	if (qr_uffd_register_range(manager->port.uffd_space, start, end - start, QR_UFFD_SPACE_MODE) ||
	    qr_forget(manager->aspace, start, end - start, true))
		qr_port_panic(__FILE__, __LINE__, "no memory to follow a raw munmap");
}

void qr_handle_event(struct qr_manager *manager, const struct uffd_msg *message)
{
	/* The gate is not taken: events come while a fork holds it, and then core is still anyway. */
	switch (message->event) {
	case UFFD_EVENT_FORK:
		event_fork(manager, (int)message->arg.fork.ufd);
		break;
	case UFFD_EVENT_REMAP:
		event_remap(manager, message->arg.remap.from, message->arg.remap.to, message->arg.remap.len);
		event_unmap(manager, message->arg.remap.from, message->arg.remap.from + message->arg.remap.len);
		break;
	case UFFD_EVENT_REMOVE:
		if (qr_advise(manager->aspace, message->arg.remove.start,
			      message->arg.remove.end - message->arg.remove.start, QR_ADVISE_DONTNEED))
			qr_port_panic(__FILE__, __LINE__, "no memory to follow a raw madvise");
		break;
	case UFFD_EVENT_UNMAP:
		event_unmap(manager, message->arg.remove.start, message->arg.remove.end);
		break;
	default:
		break;
	}
}
