#!/bin/bash
# Core compiles for bare machines of 64 and 32 bits, as release and with full assertions, without a warning, and asks
# for nothing but the port and the four memory functions that any compiler may call.
. "$(dirname "$0")/lib.sh"

allowed='^(qr_port_[a-z0-9_]+|memcpy|memmove|memset|memcmp|_GLOBAL_OFFSET_TABLE_)$'

# freestanding NAME COMPILER FLAGS...: one object of all of core, its undefined symbols against the list.
freestanding()
{
	local name=$1 compiler=$2 dir=$work/$1 failed=0 f
	shift 2
	mkdir -p "$dir"
	printf '%s\n' core/*/*.c | xargs -P 2 -I{} sh -c '
		out=$1/$(echo "$2" | tr / _); src=$2; shift 2
		"$@" -c "$src" -o "$out.o" 2>"$out.log"
	' sh "$dir" {} "$compiler" -std=gnu11 -O2 -ffreestanding -nostdlib -nostdinc \
		-isystem "$("$compiler" -print-file-name=include)" -fno-pic -fno-stack-protector \
		$warnings -Werror $core_includes "$@" || failed=1
	cat "$dir"/*.log >"$dir/log"
	result $failed "$name: compiles" "$dir/log"
	ld -r $(case "$*" in *-m32*) echo -m elf_i386 ;; esac) -o "$dir/core.o" "$dir"/*.c.o 2>>"$dir/log" || failed=1
	nm -u "$dir/core.o" 2>/dev/null | awk '{print $NF}' | grep -Ev "$allowed" >"$dir/undefined"
	if [ -s "$dir/undefined" ]; then
		# Name the objects that ask for it.
		while read -r symbol; do
			for f in "$dir"/*.c.o; do
				nm -u "$f" | grep -qw "$symbol" && echo "$symbol in $(basename "$f" .o)"
			done
		done <"$dir/undefined" >"$dir/offenders"
		failed=1
	fi
	result $failed "$name: only qr_port_* and mem* are undefined" "$dir/offenders"
	nm -g --defined-only "$dir/core.o" 2>/dev/null | awk '{print $NF}' | grep -v '^qr_' >"$dir/foreign"
	[ ! -s "$dir/foreign" ]
	result $? "$name: every external symbol starts with qr_" "$dir/foreign"
	# Writable data with static storage would be shared between managers.
	size -A "$dir/core.o" 2>/dev/null | awk '($1 ~ /^\.(data|bss)/ || $1 ~ /^COMMON/) && $2 > 0 {print $1, $2}' >"$dir/data"
	[ ! -s "$dir/data" ]
	result $? "$name: no global data" "$dir/data"
}

compilers="gcc"
has clang-19 && compilers="gcc clang-19"
[ -n "${QR_CHECK_QUICK:-}" ] && compilers=gcc
for compiler in $compilers; do
	for level in 0 2; do
		freestanding "x86_64-$compiler-debug$level" $compiler -m64 -mno-red-zone -DQR_DEBUG=$level
		freestanding "i386-$compiler-debug$level" $compiler -m32 -DQR_DEBUG=$level
	done
done
checks_done
