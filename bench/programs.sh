#!/bin/bash
# Real programs whose data is twice their RAM: wall time under `quire run` and under the kernel's own swap (a memory
# cgroup of the same limit, a swap file on the same disk), interleaved, beside the native time; outputs are compared.
# usage: programs.sh [--build BUILD] [--rounds N] [--only NAME,...] [--json FILE] [--scale PERCENT] [-- QUIRE_OPTION...]
# Programs: sort, python, sqlite, redis (zipf reads, one in ten a write), graph (breadth-first search).
# Needs root for the cgroup and the swap file; without it the kernel's column is left out. Not while others swap.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/.." && pwd)
build=$root/build rounds=3 only=sort,python,sqlite,redis,graph json='' scale=100
while [ $# -gt 0 ]; do
	case $1 in
	--build) build=$2; shift 2 ;;
	--rounds) rounds=$2; shift 2 ;;
	--only) only=$2; shift 2 ;;
	--json) json=$2; shift 2 ;;
	--scale) scale=$2; shift 2 ;;
	--) shift; break ;;
	*) sed -n '2,7s/^# //p' "$0"; exit 2 ;;
	esac
done
quire_options=("$@")
. "$here/workloads.sh"
work=$(mktemp -d /var/tmp/quire-programs.XXXXXX)
cgroup=
trap 'clean_up' EXIT
trap 'exit 130' INT TERM

clean_up()
{
	if [ -n "$cgroup" ]; then
		swapoff "$work/kernel-swap"
		for _ in {1..50}; do
			rmdir "$cgroup" 2>/dev/null && break
			sleep 0.1
		done
	fi
	rm -rf "$work"
}

kernel_swap_start()
{
	[ "$(id -u)" -eq 0 ] || { echo "programs: not root: no column for the kernel" >&2; return; }
	[ "$(wc -l </proc/swaps)" -eq 1 ] || { echo "programs: the machine swaps already: no column for the kernel" >&2; return; }
	fallocate -l 2G "$work/kernel-swap" && chmod 600 "$work/kernel-swap" && mkswap "$work/kernel-swap" >/dev/null &&
		swapon "$work/kernel-swap" || { echo "programs: no swap file here" >&2; return; }
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
		echo +memory >/sys/fs/cgroup/cgroup.subtree_control
		cgroup=/sys/fs/cgroup/quire-programs-$$ limit=memory.max
	else
		cgroup=/sys/fs/cgroup/memory/quire-programs-$$ limit=memory.limit_in_bytes
	fi
	mkdir "$cgroup" && return
	swapoff "$work/kernel-swap"
	cgroup=
}

# once NAME SUBJECT RAM_MIB: appends "milliseconds checksum" to $work/NAME.SUBJECT; false if the program failed.
once()
{
	local name=$1 subject=$2 ram=$3 started ended status
	wrap=(env)
	case $subject in
	native) wrap=("$build/tests/system/sample_rss" --timeout 600 --out "$work/$name.rss" --) ;;
	quire) wrap=("$build/quire" run --quiet --ram "${ram}M" --swap "$work" "${quire_options[@]}" --) ;;
	kernel)
		echo $((ram << 20)) >"$cgroup/$limit"
		wrap=(bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$cgroup") ;;
	esac
	started=$(date +%s%N)
	run_program "$name" >"$work/out" 2>>"$work/errors"
	status=$?
	ended=$(date +%s%N)
	[ $status -eq 0 ] && echo "$(((ended - started) / 1000000)) $(cksum <"$work/out")" >>"$work/$name.$subject"
}

# kernel_once NAME RAM_MIB: the kernel sometimes kills a program in such a cgroup while it waits for its own swap.
kernel_once()
{
	local try
	for try in 1 2 3; do
		once "$1" kernel "$2" && return
	done
	echo "programs: the kernel killed $1 in $2 MiB three times" >&2
}

# spread FILE: median, smallest and largest of the first column
spread()
{
	sort -n "$1" | awk '{v[NR] = $1}
		END {printf "%d %d %d", NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2, v[1], v[NR]}'
}

kernel_swap_start
rows='' status=0 log_sum=0 nr=0
printf '%-7s %5s %9s %25s %25s %6s\n' program RAM 'native ms' 'kernel swap ms (range)' 'quire ms (range)' ratio
for name in ${only//,/ }; do
	declare -F "run_$name" >/dev/null || { echo "programs: no program '$name'" >&2; exit 2; }
	"prepare_$name" || exit 1
	once "$name" native 0 || { echo "programs: $name failed"; tail -n 5 "$work/errors"; exit 1; }
	read -r kib _ <"$work/$name.rss"
	ram=$((kib / 2048 < 32 ? 32 : kib / 2048))
	for ((round = 0; round < rounds; round++)); do
		[ -n "$cgroup" ] && kernel_once "$name" $ram
		once "$name" quire $ram || { echo "programs: $name failed under quire"; tail -n 5 "$work/errors"; exit 1; }
	done
	cat "$work/$name".{native,kernel,quire} 2>/dev/null | cut -d' ' -f2- | sort -u >"$work/sums"
	[ "$(wc -l <"$work/sums")" -eq 1 ] || {
		echo "programs: $name: THE OUTPUTS DIFFER"
		(cd "$work" && grep -H . "$name".{native,kernel,quire}) 2>/dev/null
		tail -n 5 "$work/errors"
		status=1
	}
	read -r native _ <"$work/$name.native"
	read -r own own_min own_max <<<"$(spread "$work/$name.quire")"
	kernel=0 kernel_min=0 kernel_max=0
	[ -s "$work/$name.kernel" ] && read -r kernel kernel_min kernel_max <<<"$(spread "$work/$name.kernel")"
	ratio=$(awk "BEGIN {printf \"%.2f\", $kernel / $own}")
	printf '%-7s %4dM %9d %8d (%6d ..%6d) %8d (%6d ..%6d) %6s\n' "$name" $ram "$native" "$kernel" "$kernel_min" \
		"$kernel_max" "$own" "$own_min" "$own_max" "$ratio"
	rows+="${rows:+,}{\"work\":\"$name\",\"ram_mib\":$ram,\"native_ms\":$native,\"peer\":\"kernel-swap\",\"peer_ms\":$kernel,\"median\":$own,\"min\":$own_min,\"max\":$own_max,\"unit\":\"ms\",\"ratio\":$ratio}"
	[ "$kernel" -gt 0 ] || continue
	log_sum=$(awk "BEGIN {print $log_sum + log($kernel / $own)}") nr=$((nr + 1))
done
mean=$(awk "BEGIN {printf \"%.2f\", $nr ? exp($log_sum / $nr) : 0}")
[ "$nr" -gt 0 ] && echo "geometric mean: $mean times as fast as the kernel's swap"
[ -n "$json" ] && echo "{\"rounds\":$rounds,\"geometric_mean\":$mean,\"rows\":[$rows]}" >"$json"
exit $status
