/*
 * Rewriting system-call instructions. "syscall" has two bytes and a jump five, so the jump takes the place of some
 * instructions around it, which move to a trampoline near the object:
 *
 *     syscall  ------------->  moved instructions; a guarded call?  --yes--> entry -.
 *     cmp $-4096, %rax  <---.  syscall                                             |
 *                           '- jmp back  <----------------------------------------'
 *
 * Nothing that is jumped to may move, except the first. So targets of direct branches and of jump tables are marked,
 * and functions with such an instruction are decoded. Where functions begin and end says the object's unwind table
 * (.eh_frame, DWARF 5 section 6.4.1; its index: Linux Standard Base 5.0, 10.6); code outside of it is left alone.
 */
#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>

#include "decode.h"
#include "guard.h"
#include "patch.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define JUMP_BYTES 5u
/* Instructions that move from before and behind the call at most. */
#define MOVE_BEFORE 4u
#define MOVE_BEHIND 3u
/* Longest trampoline: the moved instructions, of 15 bytes at most, and 71 bytes of its own. */
#define TRAMPOLINE_BYTES 176u
#define PLACE_HEAD 16u /* the address of entry */
/* A near jump reaches 2 GiB; the object itself may be large. */
#define NEAR_BYTES ((uintptr_t)1 << 30)
#define NEAR_STEP ((uintptr_t)1 << 20)
#define NEAR_REACH ((uintptr_t)128) /* of a branch with an 8-bit distance */
#define TABLE_MAX 1024u /* entries of a jump table that are looked at */

/* Encodings of pointers in .eh_frame_hdr (LSB 5.0, 10.5.1). */
#define PE_UDATA4 0x03
#define PE_DATAREL_SDATA4 0x3b

struct object {
	struct qr_patch *patch;
	uintptr_t base;
	uintptr_t text, text_end; /* the executable segment */
	uintptr_t readable_end;   /* end of the last segment that cannot be written: jump tables lie below */
	int text_prot;
	const uint8_t *index; /* .eh_frame_hdr */
	uint8_t *targets;     /* bit i: somebody jumps to text + i */
	uint32_t nr_calls;    /* system-call instructions */
	uint8_t *place;       /* the trampolines */
	size_t place_bytes, place_used;
};

struct step {
	uintptr_t at;
	struct qr_instruction what;
};

/* A system-call instruction with its neighbours: steps[nr_before] is the call. */
struct site {
	struct step steps[MOVE_BEFORE + 1 + MOVE_BEHIND];
	uint32_t nr_before, nr_steps;
};

typedef void (*function_visitor)(struct object *object, uintptr_t start, uintptr_t end);

static int patch_one(struct dl_phdr_info *info, size_t size, void *argument);
static bool object_describe(struct object *object, const struct dl_phdr_info *info);
static int object_rewrite(struct object *object);
static int object_write(struct object *object);
static bool has_syscall_bytes(uintptr_t start, uintptr_t end);
static void for_each_function(struct object *object, function_visitor visit);
static void note_far_targets(struct object *object);
static void note_near_targets(struct object *object, uintptr_t start, uintptr_t end);
static void note_table(struct object *object, uintptr_t table);
static void rewrite_function(struct object *object, uintptr_t start, uintptr_t end);
static void site_look_behind(struct site *site, uintptr_t end);
static bool site_is_guarded(const struct object *object, const struct site *site);
static bool site_rewrite(struct object *object, const struct site *site);
static bool window_is_movable(const struct object *object, const struct step *steps, uint32_t nr);
static void write_trampoline(struct object *object, const struct step *steps, uint32_t nr_before, uint32_t nr);
static bool find_place(struct object *object);

int qr_patch_objects(struct qr_patch *patch)
{
	patch->nr_sites = patch->nr_left = 0;
	return dl_iterate_phdr(patch_one, patch);
}

static int patch_one(struct dl_phdr_info *info, size_t size, void *argument)
{
	struct object object = {.patch = argument};

	(void)size;
	if (!object_describe(&object, info) || !has_syscall_bytes(object.text, object.text_end))
		return 0;
	return object_rewrite(&object);
}

/* False: nothing to rewrite there. */
static bool object_describe(struct object *object, const struct dl_phdr_info *info)
{
	uintptr_t self = (uintptr_t)qr_patch_objects;

	object->base = info->dlpi_addr;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		uintptr_t start = object->base + header->p_vaddr, end = start + header->p_memsz;

		if (header->p_type == PT_GNU_EH_FRAME)
			object->index = (const uint8_t *)start;
		if (header->p_type != PT_LOAD)
			continue;
		if (self >= start && self < end)
			return false;
		if (!(header->p_flags & PF_W))
			object->readable_end = end;
		if (!(header->p_flags & PF_X))
			continue;
		object->text = start;
		object->text_end = end;
		object->text_prot = (header->p_flags & PF_R ? PROT_READ : 0) |
				    (header->p_flags & PF_W ? PROT_WRITE : 0) | PROT_EXEC;
	}
	return object->text && object->index && object->text_prot & PROT_READ;
}

static int object_rewrite(struct object *object)
{
	size_t nr_bytes = (object->text_end - object->text) / 8 + 1;
	int err = 0;

	object->targets = qr_raw_alloc(nr_bytes, sizeof(void *));
	if (!object->targets)
		return QR_ENOMEM;
	memset(object->targets, 0, nr_bytes);
	for_each_function(object, note_near_targets);
	if (object->nr_calls) {
		note_far_targets(object);
		err = find_place(object) ? object_write(object) : QR_ENOMEM;
	}
	qr_raw_free(object->targets);
	return err;
}

/* The call itself: libc's own may be on its way through a trampoline that cannot be executed yet. */
static bool protect(void *address, size_t length, int prot)
{
	return !qr_guard_raw(SYS_mprotect, (uintptr_t)address, length, (uintptr_t)prot, 0, 0, 0);
}

static int object_write(struct object *object)
{
	uintptr_t page = QR_ALIGN_DOWN(object->text, QR_PAGE_SIZE);
	size_t length = QR_ALIGN_UP(object->text_end, QR_PAGE_SIZE) - page;

	if (!protect((void *)page, length, PROT_READ | PROT_WRITE | PROT_EXEC))
		return QR_EACCES;
	for_each_function(object, rewrite_function);
	/* From here on calls of the object go through the trampolines. */
	if (!protect(object->place, object->place_bytes, PROT_READ | PROT_EXEC))
		qr_shim_die("a security policy forbids code in memory that was written; use --delivery thread");
	return protect((void *)page, length, object->text_prot) ? 0 : QR_EACCES;
}

static bool has_syscall_bytes(uintptr_t start, uintptr_t end)
{
	return memmem((const void *)start, end - start, "\x0f\x05", 2) != NULL;
}

static int32_t read_i32(const uint8_t *at)
{
	int32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

/* The code that a signal handler returns to: 'S' in the augmentation string of the common part. It stays as it is:
 * debuggers know it by its bytes, and its description begins a byte early. */
static bool is_signal_return(const uint8_t *entry)
{
	/* length, a zero, version, string */
	const uint8_t *common = entry + 4 - read_i32(entry + 4);

	return strchr((const char *)common + 9, 'S') != NULL;
}

/* Calls back for each function that the unwind index knows. An entry whose frame description says otherwise is not
 * understood and left out. */
static void for_each_function(struct object *object, function_visitor visit)
{
	const uint8_t *index = object->index;
	uint32_t nr;

	/* version 1; the distance of .eh_frame; the number of entries; pairs of distances from here */
	if (index[0] != 1 || index[2] != PE_UDATA4 || index[3] != PE_DATAREL_SDATA4)
		return;
	nr = (uint32_t)read_i32(index + 8);
	for (uint32_t i = 0; i < nr; i++) {
		uintptr_t start = (uintptr_t)index + (uintptr_t)(intptr_t)read_i32(index + 12 + 8 * (size_t)i);
		const uint8_t *entry = index + read_i32(index + 16 + 8 * (size_t)i);
		/* length, distance to the common part, first address (as a distance from itself), size */
		uintptr_t first = (uintptr_t)(entry + 8) + (uintptr_t)(intptr_t)read_i32(entry + 8);
		uintptr_t end = start + (uint32_t)read_i32(entry + 12);

		if (first == start && !is_signal_return(entry) && start >= object->text && end <= object->text_end &&
		    end > start)
			visit(object, start, end);
	}
}

static void mark_target(struct object *object, uintptr_t target)
{
	uintptr_t offset = target - object->text;

	if (offset < object->text_end - object->text)
		object->targets[offset / 8] |= (uint8_t)(1u << offset % 8);
}

static bool is_target(const struct object *object, uintptr_t at)
{
	uintptr_t offset = at - object->text;

	return object->targets[offset / 8] >> offset % 8 & 1;
}

/* Far branches, and addresses that may be those of jump tables, by their bytes wherever they stand: decoding all code
 * would take five times as long, and the few targets that are none do no harm. */
static void note_far_targets(struct object *object)
{
	const uint8_t *code = (const uint8_t *)object->text;
	size_t nr = object->text_end - object->text;

	for (size_t i = 0; i + 6 <= nr; i++) {
		if ((code[i] & 0xfe) == 0xe8) /* call, jmp */
			mark_target(object, object->text + i + 5 + (uintptr_t)(intptr_t)read_i32(code + i + 1));
		else if (code[i] == 0x0f && (code[i + 1] & 0xf0) == 0x80) /* jcc */
			mark_target(object, object->text + i + 6 + (uintptr_t)(intptr_t)read_i32(code + i + 2));
		else if (code[i] == 0x8d && (code[i + 1] & 0xc7) == 0x05) /* lea of a relative address */
			note_table(object, object->text + i + 6 + (uintptr_t)(intptr_t)read_i32(code + i + 2));
	}
}

/* Near branches. They reach 128 bytes, so that only functions beside a system call matter. */
static void note_near_targets(struct object *object, uintptr_t start, uintptr_t end)
{
	uintptr_t from = QR_MAX(start - QR_MIN(start, NEAR_REACH), object->text);
	uintptr_t to = QR_MIN(end + NEAR_REACH, object->text_end);
	struct qr_instruction what;

	if (!has_syscall_bytes(from, to))
		return;
	for (uintptr_t at = start; at < end; at += what.length) {
		if (!qr_decode((const uint8_t *)at, end - at, &what))
			return;
		object->nr_calls += what.is_syscall;
		if (what.has_target)
			mark_target(object, at + (uintptr_t)what.target);
	}
}

/* What an address is taken of may be a jump table: distances from its own start. Other data rarely looks like one, and
 * a target too many does no harm. */
static void note_table(struct object *object, uintptr_t table)
{
	bool is_code = table >= object->text && table < object->text_end;

	if (is_code || table < object->base || table >= object->readable_end || table % sizeof(int32_t))
		return;
	for (uintptr_t at = table; at < table + TABLE_MAX * sizeof(int32_t); at += sizeof(int32_t)) {
		uintptr_t target;

		if (at + sizeof(int32_t) > object->readable_end)
			return;
		target = table + (uintptr_t)(intptr_t)read_i32((const uint8_t *)at);
		if (target < object->text || target >= object->text_end)
			return;
		mark_target(object, target);
	}
}

/* Decodes the function once more, with a window of neighbours. */
static void rewrite_function(struct object *object, uintptr_t start, uintptr_t end)
{
	struct site site = {.nr_before = 0};
	struct step *steps = site.steps;
	uint32_t nr = 0;

	if (!has_syscall_bytes(start, end))
		return;
	for (uintptr_t at = start; at < end;) {
		if (nr > MOVE_BEFORE) {
			memmove(steps, steps + 1, MOVE_BEFORE * sizeof(steps[0]));
			nr = MOVE_BEFORE;
		}
		steps[nr].at = at;
		if (!qr_decode((const uint8_t *)at, end - at, &steps[nr].what))
			return;
		at += steps[nr].what.length;
		if (!steps[nr++].what.is_syscall)
			continue;
		site.nr_before = nr - 1;
		site_look_behind(&site, end);
		if (!site_is_guarded(object, &site))
			continue;
		object->patch->nr_sites++;
		if (!site_rewrite(object, &site))
			object->patch->nr_left++;
		nr = 0; /* what has moved is not there any more */
		at = QR_MIN(end, steps[site.nr_steps - 1].at + steps[site.nr_steps - 1].what.length);
	}
}

/* Decodes what follows the call, up to the next one. */
static void site_look_behind(struct site *site, uintptr_t end)
{
	uintptr_t at = site->steps[site->nr_before].at + site->steps[site->nr_before].what.length;

	site->nr_steps = site->nr_before + 1;
	for (uint32_t i = 0; i < MOVE_BEHIND && at < end; i++) {
		struct step *step = &site->steps[site->nr_steps];

		step->at = at;
		if (!qr_decode((const uint8_t *)at, end - at, &step->what) || step->what.is_syscall)
			return;
		at += step->what.length;
		site->nr_steps++;
		if (step->what.is_control)
			return;
	}
}

/* Only what is loaded right before the call is sure to be its number. */
static bool site_is_guarded(const struct object *object, const struct site *site)
{
	int32_t number = site->nr_before ? site->steps[site->nr_before - 1].what.load_number : -1;

	if (number < 0 || is_target(object, site->steps[site->nr_before].at))
		return true;
	return (uint32_t)number < object->patch->nr_calls && object->patch->is_guarded[number];
}

/* Moves as few instructions as possible, rather from before the call than from behind. */
static bool site_rewrite(struct object *object, const struct site *site)
{
	for (uint32_t nr_moved = 0; nr_moved <= MOVE_BEFORE + MOVE_BEHIND; nr_moved++) {
		for (uint32_t nr_behind = 0; nr_behind <= QR_MIN(nr_moved, MOVE_BEHIND); nr_behind++) {
			uint32_t nr_before = nr_moved - nr_behind;

			if (nr_before > site->nr_before || site->nr_before + 1 + nr_behind > site->nr_steps ||
			    !window_is_movable(object, &site->steps[site->nr_before - nr_before], nr_moved + 1))
				continue;
			write_trampoline(object, &site->steps[site->nr_before - nr_before], nr_before, nr_moved + 1);
			return true;
		}
	}
	return false;
}

static bool window_is_movable(const struct object *object, const struct step *steps, uint32_t nr)
{
	uint32_t nr_bytes = 0;

	for (uint32_t i = 0; i < nr; i++) {
		if (steps[i].what.is_control || (i > 0 && is_target(object, steps[i].at)))
			return false;
		nr_bytes += steps[i].what.length;
	}
	return nr_bytes >= JUMP_BYTES;
}

static uint8_t *put(uint8_t *at, const void *bytes, size_t nr)
{
	memcpy(at, bytes, nr);
	return at + nr;
}

/* An instruction whose last operand is the distance to target. */
static uint8_t *put_near(uint8_t *at, const void *opcode, size_t nr_opcode, uintptr_t target)
{
	int32_t distance;

	at = put(at, opcode, nr_opcode);
	distance = (int32_t)(target - ((uintptr_t)at + sizeof(distance)));
	return put(at, &distance, sizeof(distance));
}

/* The steps move to a new trampoline, which asks whether the call is guarded, and a jump takes their place. */
static void write_trampoline(struct object *object, const struct step *steps, uint32_t nr_before, uint32_t nr)
{
	const struct step *last = &steps[nr - 1], *call = &steps[nr_before];
	uintptr_t first = steps[0].at, back = last->at + last->what.length, behind = call->at + call->what.length;
	uint8_t *start = object->place + object->place_used, *at = start, *number_jump, *table_jump;
	uintptr_t table = (uintptr_t)object->patch->is_guarded;

	at = put(at, (const void *)first, call->at - first);
	at = put(at, "\x3d", 1); /* cmp $nr_calls, %eax */
	at = put(at, &object->patch->nr_calls, sizeof(object->patch->nr_calls));
	number_jump = at = put(at, "\x73\x00", 2); /* jae plain */
	at = put(at, "\x89\xc1\x49\xbb", 4); /* mov %eax, %ecx; movabs $table, %r11 */
	at = put(at, &table, sizeof(table));
	at = put(at, "\x41\x80\x3c\x0b\x00", 5);  /* cmpb $0, (%r11, %rcx) */
	table_jump = at = put(at, "\x74\x00", 2); /* je plain */
	/* lea resume(%rip), %r11: behind itself, the movabs, the jump and the plain call */
	at = put_near(at, "\x4c\x8d\x1d", 3, (uintptr_t)at + 7 + 10 + 6 + 2);
	at = put(at, "\x48\xb9", 2); /* movabs $behind, %rcx */
	at = put(at, &behind, sizeof(behind));
	at = put_near(at, "\xff\x25", 2, (uintptr_t)object->place); /* jmp *entry(%rip) */
	number_jump[-1] = (uint8_t)(at - number_jump);
	table_jump[-1] = (uint8_t)(at - table_jump);
	at = put(at, "\x0f\x05", 2); /* plain: syscall */
	at = put(at, (const void *)behind, back - behind);
	at = put_near(at, "\xe9", 1, back);
	object->place_used += QR_ALIGN_UP((size_t)(at - start), (size_t)16);
	/* What follows the jump stays: threads that other libraries have started may wait in the call and return behind
	 * the instruction, or to the instruction itself when they are stopped and go on. */
	(void)put_near((uint8_t *)first, "\xe9", 1, (uintptr_t)start);
}

/* Address space that near jumps of the object reach; it begins with the address of entry. */
static bool find_place(struct object *object)
{
	size_t length = QR_ALIGN_UP((size_t)object->nr_calls * TRAMPOLINE_BYTES + PLACE_HEAD, QR_PAGE_SIZE);
	uintptr_t low = QR_ALIGN_DOWN(object->base, QR_PAGE_SIZE), high = QR_ALIGN_UP(object->text_end, QR_PAGE_SIZE);
	uintptr_t entry = (uintptr_t)object->patch->entry;

	for (uintptr_t i = 0; i < 2 * NEAR_BYTES / NEAR_STEP; i++) {
		uintptr_t distance = i / 2 * NEAR_STEP, hint = i % 2 ? high + distance : low - length - distance;
		void *place = qr_shim_sys_mmap((void *)hint, length, PROT_READ | PROT_WRITE,
					       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

		if (place == MAP_FAILED)
			continue;
		if (place != (void *)hint) { /* a kernel before 4.17 takes it for a mere hint */
			(void)qr_shim_sys_munmap(place, length);
			continue;
		}
		object->place = place;
		object->place_bytes = length;
		object->place_used = PLACE_HEAD;
		memcpy(place, &entry, sizeof(entry));
		return true;
	}
	return false;
}
