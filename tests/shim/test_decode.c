/* The instruction decoder: known encodings, and the C library against a disassembler, instruction by instruction. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "decode.h"
#include "tap.h"

#define BYTES_MAX 32u

struct known {
	const char *bytes;
	uint8_t nr, length;
	bool is_syscall, is_control, has_target;
	int64_t target;
	int32_t load_number;
};

static void test_known_encodings(void)
{
	static const struct known all[] = {
		{"\x0f\x05", 2, 2, true, false, false, 0, -1},                            /* syscall */
		{"\xb8\xca\x00\x00\x00", 5, 5, false, false, false, 0, 202},              /* mov $202, %eax */
		{"\x48\xc7\xc0\x0f\x00\x00\x00", 7, 7, false, false, false, 0, 15},       /* mov $15, %rax */
		{"\x31\xc0", 2, 2, false, false, false, 0, 0},                            /* xor %eax, %eax */
		{"\x40\x80\xf6\x80", 4, 4, false, false, false, 0, -1},                   /* xor $0x80, %sil */
		{"\xeb\x10", 2, 2, false, true, true, 18, -1},                            /* jmp +16 */
		{"\x0f\x84\x00\x01\x00\x00", 6, 6, false, true, true, 262, -1},           /* je +256 */
		{"\xe8\xfb\xff\xff\xff", 5, 5, false, true, true, 0, -1},                 /* call itself */
		{"\xc3", 1, 1, false, true, false, 0, -1},                                /* ret */
		{"\xff\xe0", 2, 2, false, true, false, 0, -1},                            /* jmp *%rax */
		{"\x83\x3d\x10\x00\x00\x00\x01", 7, 7, false, true, false, 0, -1},        /* cmpl $1, 16(%rip) */
		{"\x48\xb8\x01\x02\x03\x04\x05\x06\x07\x08", 10, 10, false, false, false, 0, -1}, /* movabs */
		{"\xc5\xf8\x77", 3, 3, false, false, false, 0, -1},                       /* vzeroupper */
		{"\x62\xf1\x7c\x48\x10\x47\x01", 7, 7, false, false, false, 0, -1}, /* vmovups 64(%rdi), %zmm0 */
		{"\xf7\xc7\x01\x00\x00\x00", 6, 6, false, false, false, 0, -1}, /* test $1, %edi */
		{"\xf7\xdf", 2, 2, false, false, false, 0, -1}, /* neg %edi */
		{"\x64\x48\x8b\x04\x25\x28\x00\x00\x00", 9, 9, false, false, false, 0, -1}, /* mov %fs:40, %rax */
	};

	for (size_t i = 0; i < QR_ARRAY_SIZE(all); i++) {
		struct qr_instruction what;

		tap_require(qr_decode((const uint8_t *)all[i].bytes, all[i].nr, &what));
		tap_check_equal(what.length, all[i].length);
		tap_check_equal(what.is_syscall, all[i].is_syscall);
		tap_check_equal(what.is_control, all[i].is_control);
		tap_check_equal(what.has_target, all[i].has_target);
		tap_check_equal(what.load_number, all[i].load_number);
		if (what.has_target)
			tap_check_equal(what.target, all[i].target);
		/* One byte less is none. */
		tap_check(!qr_decode((const uint8_t *)all[i].bytes, all[i].nr - 1u, &what));
	}
}

/* A line "address: bytes mnemonic"; returns the number of bytes, 0 if it is none. */
static size_t parse_line(char *line, uint8_t *bytes, char **mnemonic)
{
	char *at = strstr(line, ":\t");
	size_t nr = 0;

	if (!at)
		return 0;
	at += 2;
	while (nr < BYTES_MAX / 2) {
		char *end;
		unsigned long byte = strtoul(at, &end, 16);

		if (end != at + 2 || *end != ' ')
			break;
		bytes[nr++] = (uint8_t)byte;
		at = end + 1;
	}
	*mnemonic = strchr(at, '\t') ? strchr(at, '\t') + 1 : NULL;
	return *mnemonic ? nr : 0;
}

static void test_c_library_is_cut_as_by_a_disassembler(void)
{
	char command[4096 + 128], line[1024];
	unsigned nr_seen = 0, nr_wrong = 0;
	Dl_info library;
	FILE *pipe;

	tap_require(dladdr((void *)puts, &library) && library.dli_fname);
	(void)snprintf(command, sizeof(command), "objdump -d -w --insn-width=16 '%.4096s' 2>/dev/null",
		       library.dli_fname);
	pipe = popen(command, "r");
	tap_require(pipe);
	while (fgets(line, sizeof(line), pipe)) {
		uint8_t bytes[BYTES_MAX];
		struct qr_instruction what;
		char *mnemonic;
		size_t nr;

		memset(bytes, 0x90, sizeof(bytes));
		nr = parse_line(line, bytes, &mnemonic);
		/* fwait is an instruction of its own, which the disassembler adds to the next. */
		if (!nr || bytes[0] == 0x9b || !strncmp(mnemonic, "(bad)", 5))
			continue;
		nr_seen++;
		if (!qr_decode(bytes, sizeof(bytes), &what) || what.length != nr ||
		    what.is_syscall != !strncmp(mnemonic, "syscall", 7)) {
			nr_wrong++;
			tap_note("%s", line);
		}
	}
	(void)pclose(pipe);
	if (!nr_seen)
		tap_note("no disassembler here");
	tap_check_equal(nr_wrong, 0);
}

int main(int argc, char **argv)
{
	static const struct tap_test tests[] = {
		{"decode_known_encodings_are_cut_right", test_known_encodings},
		{"decode_c_library_as_by_a_disassembler", test_c_library_is_cut_as_by_a_disassembler},
	};

	return TAP_RUN(tests, argc, argv);
}
