/* Messages and numbers for people, and the clock behind them. */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "cli.h"

void qr_cli_say(const char *format, ...)
{
	char line[2048];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	/* One write, so that it does not mix with what the program prints. */
	(void)fprintf(stderr, "quire: %s\n", line);
}

char *qr_cli_format_bytes(char buffer[QR_CLI_NUMBER_MAX], uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	unsigned unit = 0;

	while (value >= 1024 && unit + 1 < QR_ARRAY_SIZE(units)) {
		value /= 1024;
		unit++;
	}
	(void)snprintf(buffer, QR_CLI_NUMBER_MAX, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return buffer;
}

char *qr_cli_format_count(char buffer[QR_CLI_NUMBER_MAX], uint64_t count)
{
	char digits[QR_CLI_NUMBER_MAX];
	int nr_digits = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)count);
	char *out = buffer;

	for (int i = 0; i < nr_digits; i++) {
		if (i && (nr_digits - i) % 3 == 0)
			*out++ = ',';
		*out++ = digits[i];
	}
	*out = '\0';
	return buffer;
}

double qr_cli_seconds(void)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}
