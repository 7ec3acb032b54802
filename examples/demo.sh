#!/bin/bash
# The demonstration: the sort of a large text, natively and under quire in half of its memory; same bytes, less RAM.
# usage: demo.sh [BUILD]
set -eu
build=${1:-build}
quire=$build/quire
sample=$build/tests/system/sample_rss
data=$build/demo
mib=512
export LC_ALL=C

mkdir -p "$data/tmp" "$data/swap"
trap 'rm -rf "$data/tmp" "$data/swap"' EXIT
if [ "$(stat -c %s "$data/text" 2>/dev/null)" != $((mib << 20)) ]; then
	echo "demo: writing $mib MiB of text to $data/text"
	"$build/bench/gendata" $mib 1 600 >"$data/text"
fi

# progress PID: seconds and RAM while the process runs; on one line of a terminal, else a line every 5 seconds
progress()
{
	local started=$SECONDS last=0 kib
	while kill -0 "$1" 2>/dev/null; do
		kib=$(tail -n 1 "$data/series" 2>/dev/null | cut -d' ' -f2)
		if [ -t 1 ]; then
			printf '\r      %3d s, %4d MiB of RAM ' $((SECONDS - started)) $((${kib:-0} / 1024))
		elif [ $((SECONDS - started)) -ge $((last + 5)) ]; then
			last=$((SECONDS - started))
			printf '      %3d s, %4d MiB of RAM\n' $last $((${kib:-0} / 1024))
		fi
		sleep 0.5
	done
	if [ -t 1 ]; then
		printf '\r%40s\r' ''
	fi
}

# show COMMAND...: as a shell would read it, a line up to -- and one for the rest
show()
{
	local word line='  $'
	for word in "$@"; do
		case $word in
		--) echo "$line -- \\"; line='     ' ;;
		*' '*) line="$line '$word'" ;;
		*) line="$line $word" ;;
		esac
	done
	echo "$line"
}

# measure NAME COMMAND...
measure()
{
	local name=$1
	shift
	show "$@"
	: >"$data/series"
	"$sample" --series "$data/series" --out "$data/$name.rss" -- "$@" >"$data/$name.sum" 2>"$data/$name.err" &
	progress $!
	wait $! || { cat "$data/$name.err"; echo "demo: it failed"; exit 1; }
	read -r kib samples ms <"$data/$name.rss"
	printf '  %-8s %4d MiB of RAM at most, %d.%d s, checksum %s\n' "$name:" $((kib / 1024)) $((ms / 1000)) \
		$((ms % 1000 / 100)) "$(cut -c1-16 "$data/$name.sum")"
	grep '^quire: ' "$data/$name.err" | sed 's/^/  /' || :
	echo
}

command="sort -S ${mib}M --parallel=2 -T $data/tmp $data/text | b2sum"
echo "demo: sorting $mib MiB of text in memory"
echo
measure native bash -c "$command"
measure quire "$quire" run --ram $((mib / 2))M --swap "$data/swap" -- bash -c "$command"
if cmp -s "$data/native.sum" "$data/quire.sum"; then
	echo "demo: the same bytes in half of the memory"
else
	echo "demo: THE OUTPUTS DIFFER"
	exit 1
fi
