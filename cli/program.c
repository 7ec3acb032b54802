/*
 * A program gets its RAM budget through LD_PRELOAD, which the dynamic loader honours (ld.so(8)) unless the program is
 * static, or gains privileges (set-user-ID, set-group-ID, file capabilities). Such programs would run without the
 * budget, so they are refused. Scripts are judged by their interpreter.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cli.h"
#include "program.h"

#ifndef QR_LIBDIR
#define QR_LIBDIR "/usr/local/lib"
#endif
#define PRELOAD_NAME "libquire-preload.so"
/* As the kernel's own limit for scripts that name scripts. */
#define MAX_SCRIPTS 5u

#if __SIZEOF_POINTER__ == 8
#define ELF_CLASS ELFCLASS64
typedef Elf64_Ehdr elf_header;
typedef Elf64_Phdr elf_segment;
#else
#define ELF_CLASS ELFCLASS32
typedef Elf32_Ehdr elf_header;
typedef Elf32_Phdr elf_segment;
#endif

static int find_program(const char *name, char path[PATH_MAX]);
static int check_file(const char *path, unsigned nr_scripts);
static int check_script(const char *path, char *line, unsigned nr_scripts);
static int check_elf(const char *path, int fd);
static bool read_interpreter(int fd, char interpreter[PATH_MAX]);
static const char *privilege_of(const char *path);

int qr_program_check(const char *name)
{
	char path[PATH_MAX];
	int status = find_program(name, path);

	return status ? status : check_file(path, 0);
}

static int find_program(const char *name, char path[PATH_MAX])
{
	const char *search = getenv("PATH");
	char denied[PATH_MAX] = "";

	if (strchr(name, '/')) {
		(void)snprintf(path, PATH_MAX, "%s", name);
		if (!access(path, F_OK))
			return 0;
		qr_cli_say("run: %s: %s", name, strerror(errno));
		return errno == EACCES ? QR_EXIT_NOT_EXECUTABLE : QR_EXIT_NOT_FOUND;
	}
	for (search = search ? search : "/bin:/usr/bin"; search; search = *search ? search + 1 : NULL) {
		int length = (int)strcspn(search, ":");
		struct stat status;

		(void)snprintf(path, PATH_MAX, "%.*s%s%s", length, search, length ? "/" : "", name);
		search += length;
		if (*name && !stat(path, &status) && S_ISREG(status.st_mode)) {
			if (!access(path, X_OK))
				return 0;
			(void)snprintf(denied, sizeof(denied), "%s", path);
		}
	}
	if (*denied) {
		(void)snprintf(path, PATH_MAX, "%s", denied);
		return 0; /* refused by the next check, with its reason */
	}
	qr_cli_say("run: %s: no such program in PATH", name);
	return QR_EXIT_NOT_FOUND;
}

static int check_file(const char *path, unsigned nr_scripts)
{
	const char *privilege = privilege_of(path);
	struct stat status;
	char start[256];
	ssize_t length;
	int fd, result = 0;

	if (stat(path, &status) || !S_ISREG(status.st_mode) || access(path, X_OK)) {
		qr_cli_say("run: %s is not an executable file; make it one with: chmod +x %s", path, path);
		return QR_EXIT_NOT_EXECUTABLE;
	}
	if (privilege) {
		qr_cli_say("run: %s is a %s program: the dynamic loader would drop the preloaded library and the "
			   "budget with it; run it as its owner, or run a copy without the privilege",
			   path, privilege);
		return QR_EXIT_NOT_EXECUTABLE;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0; /* may be executed but not read: the kernel knows */
	length = read(fd, start, sizeof(start) - 1);
	start[length > 0 ? length : 0] = '\0';
	if (length >= SELFMAG && !memcmp(start, ELFMAG, SELFMAG))
		result = check_elf(path, fd);
	else if (length > 2 && !memcmp(start, "#!", 2))
		result = check_script(path, start + 2, nr_scripts);
	(void)close(fd);
	return result;
}

/* line: what follows "#!". */
static int check_script(const char *path, char *line, unsigned nr_scripts)
{
	static const char blanks[] = " \t";
	char *interpreter, *argument, *rest;

	line[strcspn(line, "\n")] = '\0';
	interpreter = strtok_r(line, blanks, &rest);
	if (!interpreter || nr_scripts >= MAX_SCRIPTS)
		return 0; /* execve() fails, with its own message */
	if (access(interpreter, F_OK)) {
		qr_cli_say("run: %s: its interpreter %s: %s", path, interpreter, strerror(errno));
		return QR_EXIT_NOT_EXECUTABLE;
	}
	/* "#!/usr/bin/env python3" and "#!/usr/bin/env -S python3 -u" run what they name. */
	argument = strtok_r(NULL, blanks, &rest);
	if (argument && !strcmp(argument, "-S"))
		argument = strtok_r(NULL, blanks, &rest);
	if (argument && argument[0] != '-' && !strchr(argument, '=') && !strcmp(strrchr(interpreter, '/') + 1, "env")) {
		char found[PATH_MAX];
		int status = find_program(argument, found);

		if (status)
			return status;
		status = check_file(found, nr_scripts + 1);
		if (status)
			return status;
	}
	return check_file(interpreter, nr_scripts + 1);
}

static int check_elf(const char *path, int fd)
{
	char interpreter[PATH_MAX], own[PATH_MAX] = "";
	elf_header header;
	const char *name, *own_name;
	int self;

	if (pread(fd, &header, sizeof(header), 0) < EI_NIDENT || header.e_ident[EI_CLASS] != ELF_CLASS) {
		qr_cli_say("run: %s is a %s-bit program, and quire's library has %u bits; use a %u-bit build of it",
			   path, header.e_ident[EI_CLASS] == ELFCLASS32 ? "32" : "64", 8 * __SIZEOF_POINTER__,
			   8 * __SIZEOF_POINTER__);
		return QR_EXIT_NOT_EXECUTABLE;
	}
	/* The loader itself may be started with a program as its argument; it preloads as well. */
	name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	if (!strncmp(name, "ld-", 3) || !strncmp(name, "ld.so", 5))
		return 0;
	if (!read_interpreter(fd, interpreter)) {
		qr_cli_say(
			"run: %s is statically linked: no library can be preloaded into it; use a dynamically linked "
			"build, or link it with libquire",
			path);
		return QR_EXIT_NOT_EXECUTABLE;
	}
	self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (self >= 0) {
		(void)read_interpreter(self, own);
		(void)close(self);
	}
	name = strrchr(interpreter, '/') ? strrchr(interpreter, '/') + 1 : interpreter;
	own_name = strrchr(own, '/') ? strrchr(own, '/') + 1 : own;
	if (*own && strcmp(name, own_name)) {
		qr_cli_say("run: %s is loaded by %s, and quire's library needs %s: it was built for another C library",
			   path, interpreter, own);
		return QR_EXIT_NOT_EXECUTABLE;
	}
	return 0;
}

/* The path in the PT_INTERP segment; false if there is none: a static program. */
static bool read_interpreter(int fd, char interpreter[PATH_MAX])
{
	elf_header header;
	elf_segment segment;

	if (pread(fd, &header, sizeof(header), 0) != sizeof(header))
		return false;
	for (unsigned i = 0; i < header.e_phnum; i++) {
		off_t offset = (off_t)(header.e_phoff + (uint64_t)i * header.e_phentsize);
		ssize_t length;

		if (pread(fd, &segment, sizeof(segment), offset) != sizeof(segment))
			return false;
		if (segment.p_type != PT_INTERP)
			continue;
		length = pread(fd, interpreter, PATH_MAX - 1, (off_t)segment.p_offset);
		if (length <= 0)
			return false;
		interpreter[QR_MIN((uint64_t)length, (uint64_t)segment.p_filesz)] = '\0';
		return true;
	}
	return false;
}

/* What would make the loader run in secure mode, in words; NULL: nothing. See execve(2). */
static const char *privilege_of(const char *path)
{
	struct statvfs system;
	struct stat status;

	if (stat(path, &status) || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
		return NULL;
	if (!statvfs(path, &system) && (system.f_flag & ST_NOSUID))
		return NULL;
	if ((status.st_mode & S_ISUID) && status.st_uid != getuid())
		return "set-user-ID";
	if ((status.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && status.st_gid != getgid())
		return "set-group-ID";
	/* root has the capabilities already, and so gains nothing. */
	if (getuid() && getxattr(path, "security.capability", NULL, 0) > 0)
		return "file-capability";
	return NULL;
}

int qr_program_find_preload(char path[PATH_MAX])
{
	static const char *const places[] = {"%s/" PRELOAD_NAME, "%s/../" PRELOAD_NAME, "%s/../lib/" PRELOAD_NAME,
					     "%s/../lib64/" PRELOAD_NAME};
	const char *given = getenv("QUIRE_PRELOAD");
	char folder[PATH_MAX - 64];
	ssize_t length = readlink("/proc/self/exe", folder, sizeof(folder) - 1);
	bool is_found = false;

	folder[length > 0 ? length : 0] = '\0';
	if (strrchr(folder, '/'))
		*strrchr(folder, '/') = '\0';
	if (given && *given) {
		is_found = realpath(given, path) != NULL;
	} else {
		char candidate[PATH_MAX];

		for (unsigned i = 0; i < QR_ARRAY_SIZE(places) && !is_found; i++) {
			(void)snprintf(candidate, sizeof(candidate), places[i], folder);
			is_found = realpath(candidate, path) != NULL;
		}
		is_found = is_found || realpath(QR_LIBDIR "/" PRELOAD_NAME, path) != NULL;
	}
	if (!is_found) {
		qr_cli_say(
			"run: %s is neither beside this binary nor in %s; install quire, or set QUIRE_PRELOAD to its "
			"path",
			given && *given ? given : PRELOAD_NAME, QR_LIBDIR);
		return QR_EXIT_FAILED;
	}
	if (strpbrk(path, " :")) {
		qr_cli_say("run: %s: the loader takes no path with a space or a colon in LD_PRELOAD; move it", path);
		return QR_EXIT_FAILED;
	}
	return 0;
}
