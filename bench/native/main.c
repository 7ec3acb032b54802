/* quire-lab-native: a workload of the lab on the host's first two CPUs. `quire-lab-cell validate` runs it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "native.h"
#include "params.h"

#define POOL_BYTES ((uint64_t)1 << 30)
#define DEFAULT_TURNS 60u

static const char usage[] =
	"usage: quire-lab-native WORKLOAD [--turns N] [--param NAME=VALUE]... [--set MECHANISM=VALUE]...\n"
	"       quire-lab-native --calibrate\n"
	"       quire-lab-native --objects LIBRARY\n"
	"Times a workload of the lab with one and with two threads; or the slab allocator beside malloc, which is "
	"LIBRARY's\n"
	"(preloaded), or whichever there is (-). Exit status: 0, 1 failed, 2 usage.\n";

static void fail_usage(const char *message)
{
	fprintf(stderr, "quire-lab-native: %s\n", message);
	exit(2);
}

/* Returns the number of turns. */
static uint32_t parse(int argc, char **argv, struct qr_lab *lab, struct qr_choices *choices)
{
	char error[QR_PARAMS_ERROR_LEN];
	uint32_t nr_turns = DEFAULT_TURNS;

	lab->workload = qr_params_workload(argv[1], error);
	if (!lab->workload)
		fail_usage(error);
	qr_params_defaults(lab->workload->params, NULL, lab->values);
	for (int i = 2; i < argc; i += 2) {
		int err = -1;

		snprintf(error, sizeof(error), "unknown option, or a value is missing");
		if (i + 1 < argc && !strcmp(argv[i], "--turns")) {
			nr_turns = (uint32_t)strtoul(argv[i + 1], NULL, 10);
			err = nr_turns ? 0 : -1;
		} else if (i + 1 < argc && !strcmp(argv[i], "--param")) {
			err = qr_params_set(lab->workload->params, NULL, lab->values, argv[i + 1], error);
			if (err > 0)
				snprintf(error, sizeof(error), "unknown parameter");
		} else if (i + 1 < argc && !strcmp(argv[i], "--set")) {
			err = qr_params_choose(choices, argv[i + 1], error);
		}
		if (err)
			fail_usage(error);
	}
	return nr_turns;
}

int main(int argc, char **argv)
{
	struct qr_lab lab = {.nr_cpus = QR_NATIVE_CPUS};
	struct qr_choices choices = {0};
	struct qr_native_time time;
	uint32_t nr_turns;

	if (argc < 2 || !strcmp(argv[1], "--help")) {
		fputs(usage, argc < 2 ? stderr : stdout);
		return argc < 2 ? 2 : 0;
	}
	if (sysconf(_SC_NPROCESSORS_ONLN) < (long)QR_NATIVE_CPUS)
		fail_usage("this host has one CPU only");
	if (!strcmp(argv[1], "--calibrate")) {
		qr_native_calibrate();
		return 0;
	}
	if (!strcmp(argv[1], "--objects"))
		return qr_native_objects(qr_native_create(&choices, POOL_BYTES), argc > 2 ? argv[2] : "-");
	nr_turns = parse(argc, argv, &lab, &choices);
	lab.vmm = qr_native_create(&choices, POOL_BYTES);
	if (lab.workload->setup(&lab))
		qr_lab_fail("the workload's setup", QR_EINVAL);
	if (!qr_native_measure(&lab, nr_turns, &time))
		qr_lab_fail("too few undisturbed turns: the host is busy", QR_EAGAIN);
	if (lab.workload->check && lab.workload->check(&lab))
		qr_lab_fail(lab.workload->check(&lab), QR_EINVAL);
	printf("{\"one_ns\": %.3f, \"two_ns\": %.3f, \"transfer_ns\": %.3f, \"turns\": [%u, %u]}\n", time.one_ns,
	       time.two_ns, time.transfer_ns, time.nr_one, time.nr_two);
	return 0;
}
