/*
 * Marks code that runs in the place of a system call, while the program's vector registers hold live values: it uses
 * general registers only. BEGIN stands before the other headers, whose inline functions are meant as well.
 */
#ifndef QR_SHIM_GUARD_CODE_H
#define QR_SHIM_GUARD_CODE_H

#ifdef __clang__
#define QR_GUARD_CODE_BEGIN                                                                                            \
	_Pragma("clang attribute push(__attribute__((target(\"general-regs-only\"))), apply_to = function)")
#define QR_GUARD_CODE_END _Pragma("clang attribute pop")
#else
#define QR_GUARD_CODE_BEGIN _Pragma("GCC push_options") _Pragma("GCC target(\"general-regs-only\")")
#define QR_GUARD_CODE_END _Pragma("GCC pop_options")
#endif

#endif
