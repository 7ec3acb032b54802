/*
 * Scripts for gnuplot(1), and its run. Colours: Okabe and Ito, "Color Universal Design" (2008), told apart by most
 * colour-blind readers; points of different shape help the others and black-and-white prints.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"
#include "gnuplot.h"

static const char *const colors[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000"};
static const unsigned points[] = {7, 5, 9, 11, 13, 6, 4}; /* gnuplot's numbers of filled, then open, shapes */
#define NR_DASHES 4u

static int wait_for(pid_t pid);

void qr_gnuplot_write_head(FILE *script, unsigned width, unsigned height)
{
	(void)fprintf(script,
		      "set encoding utf8\n"
		      "set terminal svg size %u,%u dynamic noenhanced font 'sans-serif,15' background rgb 'white' "
		      "linewidth 1.4\n"
		      "set border 3 linecolor rgb '#666666'\n"
		      "set tics nomirror out textcolor rgb '#333333'\n"
		      "set grid xtics ytics linetype 1 linecolor rgb '#e4e4e4' linewidth 0.6\n",
		      width, height);
}

const char *qr_gnuplot_color(unsigned line)
{
	return colors[line % QR_ARRAY_SIZE(colors)];
}

void qr_gnuplot_write_style(FILE *script, unsigned line)
{
	(void)fprintf(script, "linecolor rgb '%s' linewidth 1.6 pointtype %u pointsize 0.6 dashtype %u",
		      qr_gnuplot_color(line), points[line % QR_ARRAY_SIZE(points)],
		      1 + line / (unsigned)QR_ARRAY_SIZE(colors) % NR_DASHES);
}

void qr_gnuplot_write_quoted(FILE *script, const char *text)
{
	(void)fputc('\'', script);
	for (; *text; text++) {
		if (*text == '\'')
			(void)fputc('\'', script);
		(void)fputc((unsigned char)*text < ' ' ? ' ' : *text, script);
	}
	(void)fputc('\'', script);
}

int qr_gnuplot_run(const char *command, FILE *script, struct qr_lab_text *svg)
{
	char buffer[16384];
	int out[2], status;
	ssize_t nr;
	pid_t pid;

	if (pipe(out)) {
		qr_cli_say("%s: cannot start gnuplot: %s", command, strerror(errno));
		return QR_EXIT_FAILED;
	}
	pid = fork();
	if (!pid) {
		(void)lseek(fileno(script), 0, SEEK_SET);
		(void)dup2(fileno(script), STDIN_FILENO);
		(void)dup2(out[1], STDOUT_FILENO);
		(void)close(out[0]);
		(void)close(out[1]);
		(void)execlp("gnuplot", "gnuplot", "-d", (char *)NULL);
		_exit(errno == ENOENT ? 127 : 126);
	}
	(void)close(out[1]);
	while (pid > 0 && ((nr = read(out[0], buffer, sizeof(buffer))) > 0 || (nr < 0 && errno == EINTR))) {
		if (nr > 0)
			qr_lab_text_add_bytes(svg, buffer, (size_t)nr);
	}
	(void)close(out[0]);
	status = wait_for(pid);
	if (!status && svg->text && strstr(svg->text, "</svg>"))
		return 0;
	qr_cli_say(status == 127 ? "%s: no plot: gnuplot is not installed" : "%s: no plot: gnuplot failed", command);
	free(svg->text);
	*svg = (struct qr_lab_text){0};
	return QR_EXIT_FAILED;
}

/* The exit status, -1 if there was no process or a signal ended it. */
static int wait_for(pid_t pid)
{
	int status = 0;

	if (pid < 0)
		return -1;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
