/* The options of `quire run`, what all commands say of wrong ones, and sizes as people write them. */
#ifndef QR_CLI_OPTIONS_H
#define QR_CLI_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include <quire/quire.h>

#include "domain.h"

struct qr_run_options {
	uint64_t ram_bytes;      /* 0: not given */
	double ram_percent;      /* 0: not given */
	const char *swap_dir;    /* NULL: not given; "none" is kept as such */
	uint64_t swap_bytes;     /* 0: what the file system has */
	enum qr_compression compression;
	enum qr_delivery delivery;
	const char *report;      /* NULL: none */
	const char *stats_json;  /* NULL: none */
	struct qr_domain_group groups[QR_DOMAIN_GROUPS];
	unsigned nr_groups;
	bool is_quiet;
	bool is_help;
	char **program;          /* name and arguments, ended by NULL */
};

/* Fills *options from argv; says what is wrong and returns false on error. */
bool qr_options_parse_run(int argc, char **argv, struct qr_run_options *options);

/* One --group; says what is wrong and returns false on error. cli/groups.c */
bool qr_options_parse_group(const char *text, struct qr_domain_group *group);

/* For commands that take nothing but --json, --help and at most one operand. */
struct qr_plain_options {
	bool is_json;
	bool is_help;
	const char *operand; /* NULL: none */
};
bool qr_options_parse_plain(int argc, char **argv, bool takes_operand, struct qr_plain_options *options);

/* Says what is wrong with the option at which getopt_long(3) stopped with letter, '?' or ':', in the command argv[0];
 * known are those that there are. */
void qr_options_say_bad(int letter, char **argv, const struct option *known);

/* "512M", "2G", "1.5GiB", "1048576": K, M, G, T and KiB ... TiB are powers of 1024, KB ... TB of 1000. Returns false
 * if it does not parse or does not fit in 64 bits. */
bool qr_options_parse_size(const char *text, uint64_t *bytes);

const char *qr_options_compression_name(uint32_t compression);
const char *qr_options_delivery_name(uint32_t delivery);

#endif
