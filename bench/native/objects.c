/*
 * The slab allocator beside malloc, whosesoever that is in this process: objects in a set are replaced at random
 * places, by either for a fraction of a millisecond at a time, so that both see the same clock frequency and the same
 * neighbours.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "native.h"
#include "slab/slab.h"
#include "vmm/vmm.h"

/* The size of a VMA or an inode, and a set that does not fit into the caches that are the CPU's own. */
#define OBJECT_BYTES 200u
#define NR_OBJECTS 4096u
#define NR_PER_TURN 20000u
#define NR_TURNS 201u

static void *slots[2][NR_OBJECTS]; /* [slab or malloc] */
static struct qr_slab_cpu cpus[QR_NATIVE_CPUS];
static struct qr_slab_cache cache;

/* Writes to the object, as its user would. */
static void replace(bool is_malloc, uint32_t at)
{
	void **slot = &slots[is_malloc][at];

	if (is_malloc)
		free(*slot);
	else if (*slot)
		qr_slab_free(&cache, *slot);
	*slot = is_malloc ? malloc(OBJECT_BYTES) : qr_slab_alloc(&cache, QR_GFP_KERNEL);
	if (!*slot)
		qr_lab_fail("an object", QR_ENOMEM);
	*(volatile uint32_t *)*slot = at;
}

static double turn(bool is_malloc, uint64_t *random)
{
	uint64_t begin = qr_native_ticks();

	for (uint32_t i = 0; i < NR_PER_TURN; i++) {
		/* xorshift; G. Marsaglia, "Xorshift RNGs", 2003 */
		*random ^= *random << 13;
		*random ^= *random >> 7;
		*random ^= *random << 17;
		replace(is_malloc, (uint32_t)(*random % NR_OBJECTS));
	}
	return (double)(qr_native_ticks() - begin) / qr_native_ticks_per_ns() / NR_PER_TURN;
}

static int compare(const void *first, const void *second)
{
	double a = *(const double *)first, b = *(const double *)second;

	return a < b ? -1 : a > b;
}

int qr_native_objects(struct qr_vmm *vmm, const char *library)
{
	static double times[2][NR_TURNS];
	uint64_t random[2] = {1, 1};

	if (strcmp(library, "-") && !dlopen(library, RTLD_NOW | RTLD_NOLOAD)) {
		fprintf(stderr, "quire-lab-native: %s is not preloaded\n", library);
		return 1;
	}
	if (qr_slab_cache_init(&cache, &vmm->zone, "object", OBJECT_BYTES, sizeof(uint64_t), NULL, cpus,
			       QR_NATIVE_CPUS))
		qr_lab_fail("a slab cache", QR_EINVAL);
	for (uint32_t i = 0; i < NR_TURNS; i++) {
		for (unsigned kind = 0; kind < 2; kind++)
			times[kind][i] = turn(kind, &random[kind]);
	}
	for (unsigned kind = 0; kind < 2; kind++)
		qsort(times[kind], NR_TURNS, sizeof(double), compare);
	printf("{\"slab_ns\": %.2f, \"malloc_ns\": %.2f}\n", times[0][NR_TURNS / 2], times[1][NR_TURNS / 2]);
	return 0;
}
