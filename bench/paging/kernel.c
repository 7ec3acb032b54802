/*
 * The kernel's ways to have more data than RAM: swap to a file, swap to zram, a shared file mapping.
 * Each runs in a memory cgroup of the budget's size. What is set up here is taken down after each child and when
 * the program is interrupted. zram's own memory is outside the cgroup: it gets more RAM than the others.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <unistd.h>

#include "paging.h"

#define SWAP_HEADER_MAGIC "SWAPSPACE2" /* the last 10 bytes of the first page; mkswap(8) */
#define SWAP_VERSION_AT 1024u          /* then: version, last page, number of bad pages; 32 bits each */

static char swap_path[512]; /* in use for swapping; empty: none */
static bool is_swap_a_file;
static int zram_id = -1;
static char file_dir[400];

static bool has_other_swap(void)
{
	char line[512];
	unsigned nr = 0;
	FILE *file = fopen("/proc/swaps", "r");

	while (file && fgets(line, sizeof(line), file))
		nr++;
	if (file)
		fclose(file);
	return nr > 1;
}

/* Writes the header of a swap area of len bytes. */
static bool make_swap(int fd, uint64_t len_bytes)
{
	unsigned char page[PAGE_BYTES] = {0};
	uint32_t header[3] = {1, (uint32_t)(len_bytes / PAGE_BYTES - 1), 0};

	memcpy(page + SWAP_VERSION_AT, header, sizeof(header));
	memcpy(page + PAGE_BYTES - 10, SWAP_HEADER_MAGIC, 10);
	return pwrite(fd, page, PAGE_BYTES, 0) == PAGE_BYTES && fsync(fd) == 0;
}

static const char *start_swap(const struct config *config, uint64_t len_bytes)
{
	int fd = open(swap_path, O_RDWR | O_CLOEXEC);
	bool is_made;
	const char *why;

	if (fd < 0)
		return "the swap area cannot be opened";
	is_made = make_swap(fd, len_bytes);
	close(fd);
	if (!is_made)
		return "the swap area cannot be written";
	why = qr_bench_cgroup_create(config->ram_bytes);
	if (why)
		return why;
	return swapon(swap_path, 0) ? "swapon is refused" : NULL;
}

const char *qr_bench_disk_prepare(const struct config *config)
{
	uint64_t len_bytes = config->data_bytes + ((uint64_t)64 << 20);
	int fd;

	if (geteuid() != 0)
		return "needs root";
	if (has_other_swap())
		return "the machine swaps already: the peer would use that as well";
	snprintf(swap_path, sizeof(swap_path), "%s/quire-bench-swap-%d", config->dir, (int)getpid());
	is_swap_a_file = true;
	fd = open(swap_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return "no swap file there";
	if (posix_fallocate(fd, 0, (off_t)len_bytes)) {
		close(fd);
		return "no room for the swap file";
	}
	close(fd);
	return start_swap(config, len_bytes);
}

static int zram_hot_add(void)
{
	char text[16] = "";
	int fd = open("/sys/class/zram-control/hot_add", O_RDONLY | O_CLOEXEC);
	ssize_t len;

	if (fd < 0)
		return -1;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	return len > 0 ? atoi(text) : -1;
}

static bool zram_set(const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/block/zram%d/%s", zram_id, name);
	return qr_bench_write_text(path, text);
}

const char *qr_bench_zram_prepare(const struct config *config)
{
	uint64_t len_bytes = config->data_bytes + ((uint64_t)64 << 20);
	char text[32];

	if (geteuid() != 0)
		return "needs root";
	if (has_other_swap())
		return "the machine swaps already: the peer would use that as well";
	if (access("/sys/class/zram-control", F_OK) && system("modprobe zram 2>/dev/null"))
		return "the kernel has no zram";
	zram_id = zram_hot_add();
	if (zram_id < 0)
		return "zram gives no device";
	(void)zram_set("comp_algorithm", "lz4"); /* else its default */
	snprintf(text, sizeof(text), "%llu", (unsigned long long)len_bytes);
	if (!zram_set("disksize", text))
		return "zram takes no size";
	snprintf(swap_path, sizeof(swap_path), "/dev/zram%d", zram_id);
	is_swap_a_file = false;
	return start_swap(config, len_bytes);
}

const char *qr_bench_file_prepare(const struct config *config)
{
	if (geteuid() != 0)
		return "needs root for the memory cgroup";
	snprintf(file_dir, sizeof(file_dir), "%s", config->dir);
	return qr_bench_cgroup_create(config->ram_bytes);
}

void qr_bench_kernel_undo(void)
{
	char text[16];

	if (swap_path[0])
		(void)swapoff(swap_path);
	if (swap_path[0] && is_swap_a_file)
		unlink(swap_path);
	swap_path[0] = 0;
	if (zram_id >= 0) {
		(void)zram_set("reset", "1");
		snprintf(text, sizeof(text), "%d", zram_id);
		(void)qr_bench_write_text("/sys/class/zram-control/hot_remove", text);
		zram_id = -1;
	}
	qr_bench_cgroup_remove();
}

const char *qr_bench_anon_map(const struct subject *subject, const struct config *config, struct block *block)
{
	const char *why = qr_bench_cgroup_enter();
	void *address;

	(void)subject;
	if (why)
		return why;
	address = mmap(NULL, config->data_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		       -1, 0);
	if (address == MAP_FAILED)
		return "mmap failed";
	block->data = address;
	return NULL;
}

const char *qr_bench_file_map(const struct subject *subject, const struct config *config, struct block *block)
{
	const char *why = qr_bench_cgroup_enter();
	void *address;
	int fd;

	(void)subject;
	if (why)
		return why;
	fd = open(file_dir, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (fd < 0 || posix_fallocate(fd, 0, (off_t)config->data_bytes))
		return "no room for the file";
	address = mmap(NULL, config->data_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (address == MAP_FAILED)
		return "mmap failed";
	block->data = address;
	return NULL;
}

/* The peer gets the advice that suits each work best. */
void qr_bench_file_before_work(enum work work, struct block *block)
{
	bool is_random = work == WORK_RANDOM || work == WORK_ZIPF;

	(void)madvise(block->data, block->nr_pages * PAGE_BYTES, is_random ? MADV_RANDOM : MADV_NORMAL);
}

static void count_from(const char *path, const char *in_key, const char *out_key, uint64_t unit, struct counts *counts)
{
	char line[256], key[64];
	unsigned long long value;
	struct rusage usage;
	FILE *file = fopen(path, "r");

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%63[^: ]%*[: ]%llu", key, &value) != 2)
			continue;
		if (!strcmp(key, in_key))
			counts->bytes_in = value * unit;
		else if (!strcmp(key, out_key))
			counts->bytes_out = value * unit;
	}
	if (file)
		fclose(file);
	getrusage(RUSAGE_SELF, &usage);
	counts->nr_faults = (uint64_t)(usage.ru_majflt + usage.ru_minflt);
}

void qr_bench_swap_count(struct counts *counts)
{
	count_from("/proc/vmstat", "pswpin", "pswpout", PAGE_BYTES, counts);
}

void qr_bench_file_count(struct counts *counts)
{
	count_from("/proc/self/io", "read_bytes", "write_bytes", 1, counts);
}
