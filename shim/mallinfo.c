/*
 * What malloc.h offers to look into and to tune the heap: mallopt, mallinfo, malloc_stats, malloc_trim, malloc_info.
 * The numbers are the heap's own counts; memory in caches of threads counts as in use.
 */
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "heap.h"

QR_SHIM_EXPORT int mallopt(int parameter, int value);
QR_SHIM_EXPORT struct mallinfo2 mallinfo2(void);
QR_SHIM_EXPORT struct mallinfo mallinfo(void);
QR_SHIM_EXPORT int malloc_trim(size_t pad);
QR_SHIM_EXPORT void malloc_stats(void);
QR_SHIM_EXPORT int malloc_info(int options, FILE *stream);

static int saturate(size_t value);

/* Accepts every parameter and ignores it: the parameters steer parts of glibc's heap that this one does not have
 * (arenas, bins, the top pad, the mmap threshold). 1 is success, which is all that callers look at. */
int mallopt(int parameter, int value)
{
	(void)parameter;
	(void)value;
	return 1;
}

struct mallinfo2 mallinfo2(void)
{
	struct mallinfo2 info = {0};
	struct qr_heap_usage usage;

	if (!qr_shim_is_active())
		return info;
	qr_heap_usage(&usage);
	info.arena = usage.online_bytes;
	info.ordblks = usage.nr_free_blocks;
	info.hblks = usage.nr_large;
	info.hblkhd = usage.large_bytes;
	info.uordblks = usage.used_bytes;
	info.fordblks = usage.free_bytes;
	info.keepcost = usage.dirty_free_bytes;
	return info;
}

/* The older struct has fields of type int: they stop at INT_MAX here, where glibc lets them wrap. */
struct mallinfo mallinfo(void)
{
	struct mallinfo2 info = mallinfo2();

	return (struct mallinfo){
		.arena = saturate(info.arena),
		.ordblks = saturate(info.ordblks),
		.hblks = saturate(info.hblks),
		.hblkhd = saturate(info.hblkhd),
		.uordblks = saturate(info.uordblks),
		.fordblks = saturate(info.fordblks),
		.keepcost = saturate(info.keepcost),
	};
}

/* pad: how much glibc would leave at the top of its heap; here nothing that is free is kept. */
int malloc_trim(size_t pad)
{
	(void)pad;
	return qr_shim_serves_caller() && qr_heap_trim_all() > 0;
}

void malloc_stats(void)
{
	struct mallinfo2 info = mallinfo2();
	char line[256];
	int length;

	length = snprintf(line, sizeof(line),
			  "quire heap: %zu bytes online, %zu in use, %zu free (%zu of it in memory); "
			  "%zu large mappings of %zu bytes\n",
			  info.arena, info.uordblks, info.fordblks, info.keepcost, info.hblks, info.hblkhd);
	if (length > 0)
		(void)!write(STDERR_FILENO, line, strlen(line));
}

int malloc_info(int options, FILE *stream)
{
	struct mallinfo2 info = mallinfo2();

	if (options) {
		errno = EINVAL;
		return -1;
	}
	(void)fprintf(stream,
		      "<malloc version=\"quire-1\">\n<system type=\"current\" size=\"%zu\"/>\n"
		      "<total type=\"used\" size=\"%zu\"/>\n<total type=\"free\" size=\"%zu\"/>\n"
		      "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n</malloc>\n",
		      info.arena, info.uordblks, info.fordblks, info.hblks, info.hblkhd);
	return 0;
}

static int saturate(size_t value)
{
	return value > INT_MAX ? INT_MAX : (int)value;
}
