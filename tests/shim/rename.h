/*
 * For sanitized builds, whose runtimes bring a malloc of their own: gives the shim's entry points other names, in the
 * shim and in its tests alike. The compiler includes it before everything else.
 */
#ifndef QR_TEST_SHIM_RENAME_H
#define QR_TEST_SHIM_RENAME_H

#define malloc qt_malloc
#define calloc qt_calloc
#define realloc qt_realloc
#define reallocarray qt_reallocarray
#define free qt_free
#define cfree qt_cfree
#define posix_memalign qt_posix_memalign
#define aligned_alloc qt_aligned_alloc
#define memalign qt_memalign
#define valloc qt_valloc
#define pvalloc qt_pvalloc
#define malloc_usable_size qt_malloc_usable_size
#define mallopt qt_mallopt
#define mallinfo2 qt_mallinfo2
#define mallinfo qt_mallinfo
#define malloc_trim qt_malloc_trim
#define malloc_stats qt_malloc_stats
#define malloc_info qt_malloc_info
#define mmap qt_mmap
#define mmap64 qt_mmap64
#define munmap qt_munmap
#define mremap qt_mremap
#define mprotect qt_mprotect
#define pkey_mprotect qt_pkey_mprotect
#define madvise qt_madvise
#define posix_madvise qt_posix_madvise
#define msync qt_msync
#define mlock qt_mlock
#define mlock2 qt_mlock2
#define munlock qt_munlock
#define mlockall qt_mlockall
#define munlockall qt_munlockall
#define mincore qt_mincore
#define brk qt_brk
#define sbrk qt_sbrk
#define fork qt_fork
#define __fork qt___fork
#define _Fork qt__Fork
#define daemon qt_daemon
#define forkpty qt_forkpty
#define __register_atfork qt_register_atfork
#define pthread_atfork qt_pthread_atfork
#define __cxa_finalize qt_cxa_finalize
#define close qt_close
#define close_range qt_close_range
#define closefrom qt_closefrom
#define dup2 qt_dup2
#define dup3 qt_dup3

#endif
