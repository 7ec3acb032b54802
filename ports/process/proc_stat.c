/* Reading /proc/PID/stat with no libc state but errno. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"
#include "proc_stat.h"

static int read_line_of(int32_t pid, struct qr_proc_stat *stat);
static int parse_line(const char *line, const char *end, struct qr_proc_stat *stat);
static char *put_number(char *text, uint32_t value);
static uint64_t get_number(const char **text);

int qr_proc_stat_read(int32_t pid, struct qr_proc_stat *stat)
{
	return pid > 0 ? read_line_of(pid, stat) : QR_EINVAL;
}

void qr_proc_stat_self(struct qr_proc_stat *stat)
{
	/* /proc's own view, not getpid(): in a nested pid namespace the two differ, and others look us up there. */
	if (read_line_of(0, stat)) {
		memset(stat, 0, sizeof(*stat));
		stat->pid = (int32_t)syscall(SYS_getpid);
	}
}

/* pid 0: the caller. */
static int read_line_of(int32_t pid, struct qr_proc_stat *stat)
{
	char path[32] = "/proc/self/stat";
	char line[1024];
	long fd, length;

	if (pid)
		memcpy(put_number(path + 6, (uint32_t)pid), "/stat", 6);
	fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return errno == ENOENT ? QR_ENOENT : QR_EACCES;
	length = syscall(SYS_read, fd, line, sizeof(line) - 1);
	if (length < 0)
		length = errno == ESRCH ? 0 : -1;
	syscall(SYS_close, fd);
	if (length <= 0)
		return length ? QR_EIO : QR_ENOENT;
	line[length] = '\0';
	return parse_line(line, line + length, stat);
}

/* Reads fields 1, 2, 3, 20, 22 and 28 of /proc/PID/stat, proc(5). The name in field 2 may hold any character, so the
 * other fields count from the last parenthesis. */
static int parse_line(const char *line, const char *end, struct qr_proc_stat *stat)
{
	const char *open = memchr(line, '(', (size_t)(end - line));
	const char *close = memrchr(line, ')', (size_t)(end - line));

	if (!open || !close || close < open || end - close < 4)
		return QR_EINVAL;
	memset(stat, 0, sizeof(*stat));
	stat->pid = (int32_t)get_number(&line);
	memcpy(stat->command, open + 1, QR_MIN((size_t)(close - open - 1), sizeof(stat->command) - 1));
	stat->state = close[2];
	line = close + 3;
	for (unsigned field = 4; field <= 28 && *line == ' '; field++) {
		uint64_t value;

		line += line[1] == '-' ? 2 : 1; /* of the negative ones none is asked for */
		value = get_number(&line);
		if (field == 20)
			stat->nr_threads = (uint32_t)value;
		else if (field == 22)
			stat->start_time = value;
		else if (field == 28)
			stat->start_stack = value;
	}
	return 0;
}

/* Writes the decimal digits of value to text and returns the end. */
static char *put_number(char *text, uint32_t value)
{
	char digits[10];
	unsigned nr = 0;

	do {
		digits[nr++] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	while (nr)
		*text++ = digits[--nr];
	return text;
}

static uint64_t get_number(const char **text)
{
	uint64_t value = 0;

	while (**text >= '0' && **text <= '9')
		value = value * 10 + (uint64_t)(*(*text)++ - '0');
	return value;
}
