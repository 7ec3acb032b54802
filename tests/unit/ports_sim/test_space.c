/* TLBs and shoot-downs. What ends the run is tried in a child process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "small_machine.h"
#include "space.h"
#include "tap.h"

#define VA (QR_SIM_SPACE_START + 7 * QR_PAGE_SIZE)
#define RW (QR_PROT_READ | QR_PROT_WRITE)

static struct qr_port_space *space;

struct touch {
	uint64_t va;
	bool is_write;
	bool is_mapped; /* out */
	uint32_t pfn;   /* out */
};

static void do_touch(void *argument)
{
	struct touch *touch = argument;

	touch->is_mapped = qr_sim_translate(space, touch->va, touch->is_write, &touch->pfn);
}

/* Returns the time; *touch tells the rest. */
static uint64_t touch_at(uint32_t cpu, struct touch *touch)
{
	return small_machine_step(cpu, do_touch, touch);
}

static bool is_mapped(uint32_t cpu, uint64_t va, bool is_write)
{
	struct touch touch = {.va = va, .is_write = is_write};

	(void)touch_at(cpu, &touch);
	return touch.is_mapped;
}

static void map(uint64_t va, uint32_t pfn, uint32_t nr, uint32_t prot)
{
	uint32_t nr_done = 0;

	tap_check(!qr_port_map(NULL, space, va, (qr_pfn_t){pfn}, nr, prot, &nr_done));
	tap_check_equal(nr_done, nr);
}

struct change {
	uint64_t va;
	uint32_t pfn, nr, prot;
	bool is_unmap;
};

static void do_change(void *argument)
{
	const struct change *change = argument;
	uint32_t nr_done;

	if (change->is_unmap)
		(void)qr_port_unmap(NULL, space, change->va, (qr_pfn_t){change->pfn}, change->nr, RW, &nr_done);
	else
		(void)qr_port_protect(NULL, space, change->va, (qr_pfn_t){change->pfn}, change->nr, change->prot,
				      &nr_done);
}

static void unmap_at(uint32_t cpu, uint64_t va, uint32_t pfn, uint32_t nr)
{
	struct change change = {va, pfn, nr, 0, true};

	(void)small_machine_step(cpu, do_change, &change);
}

static void test_walk_and_hit(void)
{
	struct touch touch = {.va = VA};

	tap_check(!is_mapped(0, VA, false));
	map(VA, 42, 1, RW);
	tap_check_equal(touch_at(0, &touch), 1 + 20);
	tap_check(touch.is_mapped);
	tap_check_equal(touch.pfn, 42);
	tap_check_equal(touch_at(0, &touch), 1);
	/* 64 entries: a page 64 further takes its place. */
	map(VA + 64 * QR_PAGE_SIZE, 43, 1, RW);
	tap_check(is_mapped(0, VA + 64 * QR_PAGE_SIZE, false));
	tap_check_equal(touch_at(0, &touch), 1 + 20);
	unmap_at(0, VA, 42, 1);
	unmap_at(0, VA + 64 * QR_PAGE_SIZE, 43, 1);
	tap_check(!is_mapped(0, VA, false));
	tap_check_equal(qr_sim_space_nr_mapped(space), 0);
}

static void test_rights(void)
{
	struct change change = {VA, 50, 1, QR_PROT_READ, false};

	map(VA, 50, 1, RW);
	tap_check(is_mapped(0, VA, true) && is_mapped(1, VA, true));
	(void)small_machine_step(0, do_change, &change);
	tap_check(!is_mapped(1, VA, true));
	tap_check(is_mapped(1, VA, false));
	change.prot = RW;
	(void)small_machine_step(0, do_change, &change);
	tap_check(is_mapped(1, VA, true));
	unmap_at(0, VA, 50, 1);
}

/* A CPU that is busy gets an interrupt; the unmapping one waits for it. */
static uint64_t unmap_began, unmap_ended;

static void busy_main(void *argument)
{
	uint32_t pfn;

	(void)argument;
	(void)qr_sim_translate(space, VA, false, &pfn);
	while (qr_sim_current->clock < unmap_began + 1000u * QR_SIM_PS) {
		qr_sim_current->clock += 10 * QR_SIM_PS;
		(void)qr_sim_translate(space, VA, false, &pfn);
	}
}

/* The same with a page that stays. */
static void busy_other_main(void *argument)
{
	uint32_t pfn;

	(void)argument;
	while (qr_sim_current->clock < unmap_began + 1000u * QR_SIM_PS) {
		qr_sim_current->clock += 10 * QR_SIM_PS;
		(void)qr_sim_translate(space, VA + QR_PAGE_SIZE, false, &pfn);
	}
}

static void unmap_main(void *argument)
{
	struct change change = {VA, 60, 1, 0, true};

	(void)argument;
	unmap_began = qr_sim_current->clock;
	do_change(&change);
	unmap_ended = qr_sim_current->clock;
}

static void test_interrupt(void)
{
	uint64_t nr_before = qr_sim.cpus[2].nr_ipis, nr_others = qr_sim.cpus[3].nr_ipis;

	map(VA, 60, 1, RW);
	tap_check(is_mapped(2, VA, false));
	unmap_began = QR_SIM_NEVER / 2;
	qr_sim.cpus[0].clock = qr_sim.cpus[2].clock + 200u * QR_SIM_PS;
	(void)qr_sim_task_create("busy", 2, false, busy_main, NULL);
	(void)qr_sim_task_create("unmap", 0, false, unmap_main, NULL);
	qr_sim_run();
	tap_check_equal(qr_sim.cpus[2].nr_ipis, nr_before + 1);
	tap_check_equal(qr_sim.cpus[3].nr_ipis, nr_others); /* never had the space */
	/* Own entry 3, to send 7, to arrive 100, to handle 50; the target may be a little ahead. */
	tap_check(unmap_ended - unmap_began >= 160u * QR_SIM_PS && unmap_ended - unmap_began < 200u * QR_SIM_PS);
	tap_check(!is_mapped(2, VA, false));
}

/* Several unmaps with one interrupt; until it has come the old translations may be used. */
static void gather_main(void *argument)
{
	(void)argument;
	qr_port_unmap_begin(NULL, space);
	for (uint32_t i = 0; i < 4; i += 2)
		do_change(&(struct change){VA + i * QR_PAGE_SIZE, 60 + i, 1, 0, true});
	tap_check_equal(qr_sim_space_nr_mapped(space), 3);
	qr_port_unmap_end(NULL, space);
	tap_check_equal(qr_sim_space_nr_mapped(space), 1);
}

static void test_gather(void)
{
	uint64_t nr_before = qr_sim.cpus[2].nr_ipis;

	for (uint32_t i = 0; i < 3; i++)
		map(VA + i * QR_PAGE_SIZE, 60 + i, 1, RW);
	tap_check(is_mapped(2, VA, false) && is_mapped(2, VA + QR_PAGE_SIZE, false) &&
		  is_mapped(2, VA + 2 * QR_PAGE_SIZE, false));
	unmap_began = qr_sim.cpus[2].clock;
	qr_sim.cpus[0].clock = qr_sim.cpus[2].clock + 200u * QR_SIM_PS;
	(void)qr_sim_task_create("busy", 2, false, busy_other_main, NULL);
	(void)qr_sim_task_create("gather", 0, false, gather_main, NULL);
	qr_sim_run();
	tap_check_equal(qr_sim.cpus[2].nr_ipis, nr_before + 1);
	tap_check(!is_mapped(2, VA, false) && !is_mapped(2, VA + 2 * QR_PAGE_SIZE, false));
	tap_check(is_mapped(2, VA + QR_PAGE_SIZE, false));
	unmap_at(0, VA + QR_PAGE_SIZE, 61, 1);
}

/* Returns the exit status of a child that runs the function, and what it says. */
static int in_child(void (*run)(void), char *text, size_t size)
{
	int pipes[2], status;
	size_t len = 0;
	ssize_t got;
	pid_t child;

	tap_require(!pipe(pipes));
	fflush(NULL);
	child = fork();
	if (!child) {
		dup2(pipes[1], STDERR_FILENO);
		run();
		_Exit(0);
	}
	close(pipes[1]);
	while (len < size - 1 && (got = read(pipes[0], text + len, size - 1 - len)) > 0)
		len += (size_t)got;
	text[len] = 0;
	close(pipes[0]);
	tap_require(waitpid(child, &status, 0) == child && WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void stale_access(void)
{
	qr_sim_leave_out_shootdown();
	map(VA, 70, 1, RW);
	(void)is_mapped(1, VA, false);
	unmap_at(0, VA, 70, 1);
	(void)is_mapped(1, VA, false);
}

static void stale_write(void)
{
	struct change change = {VA, 70, 1, QR_PROT_READ, false};

	qr_sim_leave_out_shootdown();
	map(VA, 70, 1, RW);
	(void)is_mapped(1, VA, true);
	(void)small_machine_step(0, do_change, &change);
	(void)is_mapped(1, VA, true);
}

static void unmap_wrong(void)
{
	map(VA, 70, 1, RW);
	unmap_at(0, VA, 71, 1);
}

static void test_stale(void)
{
	char text[4096];

	tap_check_equal(in_child(stale_access, text, sizeof(text)), 1);
	tap_check(strstr(text, "stale translation: CPU 1 reads from") && strstr(text, "the mapping is gone"));
	tap_check_equal(in_child(stale_write, text, sizeof(text)), 1);
	tap_check(strstr(text, "stale translation: CPU 1 writes to") && strstr(text, "forbids it"));
	tap_check_equal(in_child(unmap_wrong, text, sizeof(text)), 1);
	tap_check(strstr(text, "which does not map frame 71"));
}

static const struct tap_test tests[] = {
	{"space_walk_fills_the_tlb", test_walk_and_hit},
	{"space_lost_rights_reach_all_cpus", test_rights},
	{"space_unmap_interrupts_who_has_it", test_interrupt},
	{"space_gathered_unmaps_cost_one_interrupt", test_gather},
	{"space_stale_translation_is_found", test_stale},
};

int main(int argc, char **argv)
{
	small_machine_create();
	space = qr_sim_space_create(NULL);
	return TAP_RUN(tests, argc, argv);
}
