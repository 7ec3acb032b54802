/* Finding the program that is to run, and checking that the dynamic loader will preload a library into it. */
#ifndef QR_CLI_PROGRAM_H
#define QR_CLI_PROGRAM_H

#include <limits.h>

/* Searches $PATH as execvp(3) does and looks at the file, and at the interpreter if it is a script. Returns 0, or
 * says why it cannot run under quire and returns QR_EXIT_NOT_FOUND or QR_EXIT_NOT_EXECUTABLE. */
int qr_program_check(const char *name);

/* Finds libquire-preload.so: $QUIRE_PRELOAD, beside this binary, one folder up, the installed libraries. Says what is
 * wrong and returns QR_EXIT_FAILED if there is none that can be preloaded. */
int qr_program_find_preload(char path[PATH_MAX]);

#endif
