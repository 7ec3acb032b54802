/* The symbol table of the running program (ELF-64 Object File Format, version 1.5, section "Symbol Table"). */
#include "symbols.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct symbol {
	uint64_t start, end;
	char *name;
};

static struct symbol *symbols;
static size_t nr_symbols;

static void load(void);
static void load_table(const uint8_t *image, const Elf64_Shdr *table, const Elf64_Shdr *strings);

const char *qr_symbol_name(uintptr_t address)
{
	static char unknown[24];
	size_t low = 0, high;

	if (!symbols)
		load();
	high = nr_symbols;
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (symbols[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < nr_symbols && symbols[low].start <= address)
		return symbols[low].name;
	snprintf(unknown, sizeof(unknown), "0x%llx", (unsigned long long)address);
	return unknown;
}

static int compare_symbols(const void *left, const void *right)
{
	const struct symbol *a = left, *b = right;

	return a->start < b->start ? -1 : a->start > b->start;
}

static void load(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct stat status;
	const uint8_t *image;
	const Elf64_Ehdr *header;
	const Elf64_Shdr *sections;

	symbols = calloc(1, sizeof(*symbols));
	if (fd < 0 || fstat(fd, &status))
		return;
	image = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (image == MAP_FAILED)
		return;
	header = (const Elf64_Ehdr *)(const void *)image;
	sections = (const Elf64_Shdr *)(const void *)(image + header->e_shoff);
	for (unsigned i = 0; i < header->e_shnum; i++) {
		if (sections[i].sh_type == SHT_SYMTAB)
			load_table(image, &sections[i], &sections[sections[i].sh_link]);
	}
	munmap((void *)(uintptr_t)image, (size_t)status.st_size);
	qsort(symbols, nr_symbols, sizeof(*symbols), compare_symbols);
}

static void load_table(const uint8_t *image, const Elf64_Shdr *table, const Elf64_Shdr *strings)
{
	const Elf64_Sym *entries = (const Elf64_Sym *)(const void *)(image + table->sh_offset);
	const char *names = (const char *)image + strings->sh_offset;
	size_t nr = table->sh_size / sizeof(*entries);
	struct symbol *grown = realloc(symbols, (nr + 1) * sizeof(*symbols));

	if (!grown)
		return;
	symbols = grown;
	for (size_t i = 0; i < nr; i++) {
		const char *name = names + entries[i].st_name;

		if (ELF64_ST_TYPE(entries[i].st_info) != STT_FUNC || !entries[i].st_size)
			continue;
		symbols[nr_symbols].start = entries[i].st_value;
		symbols[nr_symbols].end = entries[i].st_value + entries[i].st_size;
		symbols[nr_symbols].name = strndup(name, strcspn(name, "."));
		nr_symbols += symbols[nr_symbols].name != NULL;
	}
}
