#!/bin/bash
# What the libraries export: libquire its qr_ names of quire.h, the preload library the functions that it replaces.
. "$(dirname "$0")/lib.sh"
build=${QR_BUILD_ROOT:-$root/build}

exports()
{
	nm -D --defined-only "$1" | awk '{print $NF}' | sed 's/@.*//' | sort -u
}

if [ -f "$build/libquire.so" ]; then
	exports "$build/libquire.so" >"$work/exports"
	grep -v '^qr_' "$work/exports" >"$work/log"
	[ ! -s "$work/log" ]
	result $? "libquire exports only qr_ names" "$work/log"
	grep -oE '^QR_API .*' include/quire/quire.h | grep -oE 'qr_[a-z_]+\(' | tr -d '(' | sort -u >"$work/declared"
	comm -13 "$work/declared" "$work/exports" >"$work/log"
	[ ! -s "$work/log" ]
	result $? "libquire exports nothing that quire.h does not declare" "$work/log"
	comm -23 "$work/declared" "$work/exports" >"$work/log"
	[ ! -s "$work/log" ]
	result $? "libquire exports all that quire.h declares" "$work/log"
else
	skip "libquire's exports" "not built"
fi

# The malloc family; the mappings; what copies or ends a process or a thread; what could close or take over the
# manager's own descriptors.
wrapped='malloc calloc realloc free cfree posix_memalign aligned_alloc memalign valloc pvalloc reallocarray
	malloc_usable_size mallopt mallinfo mallinfo2 malloc_trim malloc_stats malloc_info
	mmap mmap64 munmap mremap mprotect pkey_mprotect madvise posix_madvise msync mlock mlock2 munlock mlockall
	munlockall mincore brk sbrk
	fork _Fork __fork vfork daemon forkpty popen pthread_atfork __register_atfork
	pthread_create thrd_create pthread_setspecific tss_set __cxa_finalize
	close close_range closefrom dup2 dup3
	fopen fopen64 fdopen fmemopen fopencookie open_memstream open_wmemstream tmpfile tmpfile64'
if [ -f "$build/libquire-preload.so" ]; then
	exports "$build/libquire-preload.so" >"$work/exports"
	printf '%s\n' $wrapped | sort -u >"$work/wrapped"
	comm -13 "$work/wrapped" "$work/exports" | grep -v '^qr_shim_' >"$work/log"
	[ ! -s "$work/log" ]
	result $? "the preload library exports only wrapped names" "$work/log"
else
	skip "the preload library's exports" "not built"
fi

if [ -f "$build/libquire.a" ]; then
	nm -g --defined-only "$build/libquire.a" 2>/dev/null | awk 'NF == 3 {print $3}' | grep -v '^qr_' | sort -u >"$work/log"
	[ ! -s "$work/log" ]
	result $? "every external name of libquire.a starts with qr_" "$work/log"
else
	skip "external names of libquire.a" "not built"
fi
checks_done
