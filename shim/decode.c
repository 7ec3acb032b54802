/*
 * A length decoder for x86-64 code in 64-bit mode. Source: Intel SDM volume 2, chapter 2 (instruction format; VEX and
 * EVEX prefixes) and appendix A (opcode maps ). It takes instructions that do not exist for valid ones: it
 * is used on compiled code, function by function.
 */
#include "decode.h"

#include <string.h>

/* What follows an opcode, one letter each, 16 opcodes a row:
 *   .  nothing         m  ModRM        b  imm8           z  imm16 or imm32     B  ModRM, imm8     Z  ModRM, imm16/32
 *   j  rel8            J  rel32        w  imm16          e  imm16, imm8        v  imm of operand size, up to 64 bits
 *   o  moffs           3  group 3 (ModRM, immediate for TEST)                  !  no instruction */
static const char one_byte_map[] = "mmmmbz!!mmmmbz!!" /* 00 */
				   "mmmmbz!!mmmmbz!!"
				   "mmmmbz!!mmmmbz!!"
				   "mmmmbz!!mmmmbz!!"
				   "!!!!!!!!!!!!!!!!" /* 40 */
				   "................"
				   "!!!m!!!!zZbB...."
				   "jjjjjjjjjjjjjjjj"
				   "BZ!Bmmmmmmmmmmmm" /* 80 */
				   "..........!....."
				   "oooo....bz......"
				   "bbbbbbbbvvvvvvvv"
				   "BBw.!!BZe.w..b!." /* c0 */
				   "mmmm!!!.mmmmmmmm"
				   "jjjjbbbbJJ!j...."
				   "!!!!..33......mm";
static const char two_byte_map[] = "mmmm!.....!.!m.B" /* 0f 00 */
				   "mmmmmmmmmmmmmmmm"
				   "mmmm!!!!mmmmmmmm"
				   "........!!!!!!!!"
				   "mmmmmmmmmmmmmmmm" /* 0f 40 */
				   "mmmmmmmmmmmmmmmm"
				   "mmmmmmmmmmmmmmmm"
				   "BBBBmmm.mmmmmmmm"
				   "JJJJJJJJJJJJJJJJ" /* 0f 80 */
				   "mmmmmmmmmmmmmmmm"
				   "...mBm!!...mBmmm"
				   "mmmmmmmmmmBmmmmm"
				   "mmBmBBBm........" /* 0f c0 */
				   "mmmmmmmmmmmmmmmm"
				   "mmmmmmmmmmmmmmmm"
				   "mmmmmmmmmmmmmmmm";

struct cursor {
	const uint8_t *code;
	size_t at;
	size_t end;
	bool is_short; /* ran out of bytes */
};

static bool decode_vector(struct cursor *cursor, uint8_t first, struct qr_instruction *out);
static bool decode_plain(struct cursor *cursor, uint8_t opcode, bool is_wide, bool is_operand16, bool is_address32,
			 struct qr_instruction *out);
static uint8_t skip_modrm(struct cursor *cursor, struct qr_instruction *out);

static uint8_t next_byte(struct cursor *cursor)
{
	if (cursor->at >= cursor->end) {
		cursor->is_short = true;
		return 0;
	}
	return cursor->code[cursor->at++];
}

static void skip(struct cursor *cursor, size_t nr)
{
	cursor->at += nr;
	if (cursor->at > cursor->end)
		cursor->is_short = true;
}

bool qr_decode(const uint8_t *code, size_t nr_bytes, struct qr_instruction *instruction)
{
	struct cursor cursor = {.code = code, .end = nr_bytes < 15 ? nr_bytes : 15}; /* the longest: 15 bytes */
	bool is_operand16 = false, is_address32 = false, is_wide = false;
	uint8_t byte = next_byte(&cursor);
	bool is_known;

	memset(instruction, 0, sizeof(*instruction));
	instruction->load_number = -1;
	while (!cursor.is_short && byte && memchr("\x66\x67\xf0\xf2\xf3\x2e\x36\x3e\x26\x64\x65", byte, 11)) {
		is_operand16 |= byte == 0x66;
		is_address32 |= byte == 0x67;
		byte = next_byte(&cursor);
	}
	if ((byte & 0xf0) == 0x40) { /* REX */
		is_wide = byte & 8;
		byte = next_byte(&cursor);
	}
	if (byte == 0xc4 || byte == 0xc5 || byte == 0x62)
		is_known = decode_vector(&cursor, byte, instruction);
	else
		is_known = decode_plain(&cursor, byte, is_wide, is_operand16, is_address32, instruction);
	if (!is_known || cursor.is_short)
		return false;
	instruction->length = (uint8_t)cursor.at;
	instruction->target += (int64_t)cursor.at;
	return true;
}

/* VEX and EVEX: the map is in the prefix, and nearly everything has a ModRM byte. */
static bool decode_vector(struct cursor *cursor, uint8_t first, struct qr_instruction *out)
{
	unsigned map = 1;
	uint8_t opcode;

	if (first != 0xc5)
		map = next_byte(cursor) & (first == 0x62 ? 7 : 31);
	skip(cursor, first == 0x62 ? 2 : 1);
	opcode = next_byte(cursor);
	if (map == 1 && opcode == 0x77 && first != 0x62) /* VZEROUPPER, VZEROALL */
		return true;
	(void)skip_modrm(cursor, out);
	if (map == 3 ||
	    (map == 1 && ((opcode >= 0x70 && opcode <= 0x73) || opcode == 0xc2 || (opcode >= 0xc4 && opcode <= 0xc6))))
		skip(cursor, 1);
	return map >= 1 && map <= 6 && map != 4;
}

/* A signed number of 1 or 4 bytes. */
static int64_t next_signed(struct cursor *cursor, size_t nr_bytes)
{
	size_t at = cursor->at;
	int32_t value;

	skip(cursor, nr_bytes);
	if (cursor->is_short)
		return 0;
	if (nr_bytes == 1)
		return (int8_t)cursor->code[at];
	memcpy(&value, cursor->code + at, sizeof(value));
	return value;
}

/* What kind of instruction it is, where rewriting cares. */
static void classify(unsigned map, uint8_t opcode, uint8_t modrm, struct qr_instruction *out)
{
	unsigned extension = modrm >> 3 & 7;

	if (map == 2) {
		out->is_syscall = opcode == 0x05;
		out->is_control |= opcode == 0x07 || opcode == 0x0b || opcode == 0x34 || opcode == 0x35;
		return;
	}
	if (map == 1)
		out->is_control |= (opcode >= 0xc2 && opcode <= 0xc3) || (opcode >= 0xca && opcode <= 0xcf) ||
				   (opcode == 0xff && extension >= 2 && extension <= 5) || opcode == 0xf4 ||
				   ((opcode == 0xc6 || opcode == 0xc7) && modrm == 0xf8);
}

/* Opcodes of the legacy maps. */
static bool decode_plain(struct cursor *cursor, uint8_t opcode, bool is_wide, bool is_operand16, bool is_address32,
			 struct qr_instruction *out)
{
	size_t nr_immediate = is_operand16 && !is_wide ? 2 : 4;
	unsigned map = 1;
	uint8_t modrm = 0;
	size_t at;
	char form;

	form = one_byte_map[opcode];
	if (opcode == 0x0f) {
		opcode = next_byte(cursor);
		map = opcode == 0x38 || opcode == 0x3a ? 3 : 2;
		form = opcode == 0x38 ? 'm' : opcode == 0x3a ? 'B' : two_byte_map[opcode];
		if (map == 3)
			opcode = next_byte(cursor);
	}
	if (memchr("mBZ3", form, 4))
		modrm = skip_modrm(cursor, out);
	classify(map, opcode, modrm, out);
	at = cursor->at;
	switch (form) {
	case 'b':
	case 'B':
		skip(cursor, 1);
		break;
	case 'z':
	case 'Z':
		skip(cursor, nr_immediate);
		break;
	case '3':
		if ((modrm >> 3 & 7) < 2)
			skip(cursor, opcode & 1 ? nr_immediate : 1);
		break;
	case 'v':
		skip(cursor, is_wide ? 8 : nr_immediate);
		break;
	case 'w':
		skip(cursor, 2);
		break;
	case 'e':
		skip(cursor, 3);
		break;
	case 'o':
		skip(cursor, is_address32 ? 4 : 8);
		break;
	case 'j':
	case 'J':
		out->target = next_signed(cursor, form == 'j' ? 1 : 4);
		out->is_control = out->has_target = true;
		break;
	default:
		break;
	}
	/* mov $constant, %eax and %rax; xor %eax, %eax */
	if (map == 1 && !cursor->is_short &&
	    ((opcode == 0xb8 && nr_immediate == 4) || (opcode == 0xc7 && modrm == 0xc0)) && cursor->at - at == 4)
		memcpy(&out->load_number, cursor->code + at, sizeof(out->load_number));
	if (map == 1 && (opcode == 0x31 || opcode == 0x33) && modrm == 0xc0)
		out->load_number = 0;
	return form != '!';
}

/* ModRM, SIB and displacement. An operand relative to the instruction sets is_control. */
static uint8_t skip_modrm(struct cursor *cursor, struct qr_instruction *out)
{
	uint8_t modrm = next_byte(cursor);
	unsigned mode = modrm >> 6, base = modrm & 7;

	if (mode == 3)
		return modrm;
	if (base == 4) {
		base = next_byte(cursor) & 7;
		if (mode == 0 && base == 5)
			skip(cursor, 4);
	} else if (mode == 0 && base == 5) {
		skip(cursor, 4);
		out->is_control = true;
	}
	if (mode != 0)
		skip(cursor, mode == 1 ? 1 : 4);
	return modrm;
}
