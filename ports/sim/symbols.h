/* Names of the program's own functions, from the symbol table of its executable. */
#ifndef QR_SIM_SYMBOLS_H
#define QR_SIM_SYMBOLS_H

#include <stdint.h>

/* The function that holds the address, without the suffixes that compilers give to their copies; the address in
 * hexadecimal where there is none (the program was stripped). The result stays valid. */
const char *qr_symbol_name(uintptr_t address);

#endif
