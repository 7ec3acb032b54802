#!/bin/bash
# Each header compiles alone; those of core with core's include path only, quire.h as C and as C++ without any.
. "$(dirname "$0")/lib.sh"

# header FILE FLAGS...
header()
{
	local file=$1
	shift
	gcc -std=gnu11 -fsyntax-only $warnings -Werror -x c "$@" "$file" 2>"$work/log" </dev/null
	result $? "$file" "$work/log"
}

for f in include/quire/*.h; do
	header "$f" -Iinclude
done
# Not arch/*/pte.h: the format of entries is a part of pgtable.h, kept apart for each machine.
for f in core/*/*.h; do
	header "$f" -ffreestanding -nostdinc -isystem "$(gcc -print-file-name=include)" $core_includes
done
for f in ports/*/*.h shim/*.h cli/*.h cli/*/*.h tests/*/*.h bench/*.h bench/*/*.h; do
	[ -f "$f" ] && header "$f" -D_GNU_SOURCE $core_includes -Iports/process -Iports -Iports/sim -Ishim -Icli -Itests -Itests/harness
done
if has g++; then
	g++ -fsyntax-only -Wall -Wextra -Werror -Iinclude -x c++ include/quire/quire.h 2>"$work/log"
	result $? "quire.h as C++" "$work/log"
else
	skip "quire.h as C++" "no g++"
fi
checks_done
