/* Paging benchmark: what its parts share. See main.c. */
#ifndef QR_BENCH_PAGING_H
#define QR_BENCH_PAGING_H

#include <stdbool.h>
#include <stdint.h>

#define PAGE_BYTES 4096u
#define PAGE_WORDS (PAGE_BYTES / 8)
#define MAX_ROUNDS 50u
#define MAX_THREADS 64u
#define NR_THREAD_COUNTS 2u

enum work { WORK_SEQ_WRITE, WORK_SEQ_READ, WORK_RANDOM, WORK_ZIPF, NR_WORKS };

struct config {
	uint64_t data_bytes;
	uint64_t ram_bytes;
	uint64_t nr_ops; /* of each thread, in random and zipf */
	unsigned nr_rounds;
	unsigned threads[NR_THREAD_COUNTS];
	const char *dir;    /* swap files and the mapped file */
	const char *only;   /* a part of a subject's name, or NULL */
	const char *json;   /* a file, "-", or NULL */
};

/* What one work of one child did. */
struct sample {
	double seconds;
	uint64_t nr_pages; /* visited */
	uint64_t nr_faults;
	uint64_t bytes_in, bytes_out;
};

/* Running totals of the process or the system; a sample is the difference of two. */
struct counts {
	uint64_t nr_faults;
	uint64_t bytes_in, bytes_out;
};

struct block {
	uint64_t *data;
	uint64_t nr_pages;
};

/* One way to have more data than RAM. */
struct subject {
	const char *name;
	bool is_peer;
	unsigned delivery, compression; /* quire: enum qr_delivery, enum qr_compression */
	/* In the parent, around each child. prepare returns NULL, or the reason why it cannot be measured here. */
	const char *(*prepare)(const struct config *config);
	void (*undo)(void);
	/* In the child. map returns NULL or the reason for failing. */
	const char *(*map)(const struct subject *subject, const struct config *config, struct block *block);
	void (*before_work)(enum work work, struct block *block);
	void (*count)(struct counts *counts);
};

extern const struct subject qr_bench_subjects[];
extern const unsigned qr_bench_nr_subjects;

/* work.c: runs one work and returns its seconds; ends the process with a message on a page with a wrong content. */
extern const char *const qr_bench_work_names[NR_WORKS];
double qr_bench_run_work(enum work work, const struct block *block, unsigned nr_threads, uint64_t nr_ops);

/* quire.c */
const char *qr_bench_quire_map(const struct subject *subject, const struct config *config, struct block *block);
void qr_bench_quire_count(struct counts *counts);

/* kernel.c: kernel swap to a file, to zram, and a shared file mapping; each in a memory cgroup. */
const char *qr_bench_disk_prepare(const struct config *config);
const char *qr_bench_zram_prepare(const struct config *config);
const char *qr_bench_file_prepare(const struct config *config);
void qr_bench_kernel_undo(void);
const char *qr_bench_anon_map(const struct subject *subject, const struct config *config, struct block *block);
const char *qr_bench_file_map(const struct subject *subject, const struct config *config, struct block *block);
void qr_bench_file_before_work(enum work work, struct block *block);
void qr_bench_swap_count(struct counts *counts);
void qr_bench_file_count(struct counts *counts);

/* cgroup.c: a memory cgroup of the parent's, v1 or v2. */
const char *qr_bench_cgroup_create(uint64_t limit_bytes);
const char *qr_bench_cgroup_enter(void);
void qr_bench_cgroup_remove(void);
bool qr_bench_write_text(const char *path, const char *text);

/* report.c: samples[subject][threads][round][work]; seconds 0: not measured. */
typedef struct sample sample_grid[NR_THREAD_COUNTS][MAX_ROUNDS][NR_WORKS];
void qr_bench_print(const struct config *config, sample_grid *samples);
int qr_bench_write_json(const struct config *config, sample_grid *samples, const char *const *skipped);

#endif
