#!/bin/bash
# Misses of the default replacement policy against the better of LRU and CLOCK, on patterns and on recorded traces of
# real programs. Two bars: in no cell more than 2 % above the better of the two; 5 % below it on average.
# usage: policies.sh [--build BUILD] [--policy NAME] [--traces DIR] [--only NAME,...] [--scale PERCENT] [--json FILE]
# Each trace is replayed twice: as a process sees touches (sampled, core's reclaim) and with every touch reported.
# Patterns: scan+hot, loop, zipf-shift, with two seeds. Programs: sort, python, sqlite, redis, graph, recorded by
# `quire record` in half of the memory that they need. --traces: they are kept there, and taken from there if they are
# there already. Exit status: 0 if both bars hold for the sampled replay, 1 if not, 2 for bad options.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/.." && pwd)
build=$root/build policy=balanced traces='' only=scan+hot,loop,zipf-shift,sort,python,sqlite,redis,graph scale=30 json=''
while [ $# -gt 0 ]; do
	case $1 in
	--build) build=$2; shift 2 ;;
	--policy) policy=$2; shift 2 ;;
	--traces) traces=$2; shift 2 ;;
	--only) only=$2; shift 2 ;;
	--scale) scale=$2; shift 2 ;;
	--json) json=$2; shift 2 ;;
	*) sed -n '2,8s/^# //p' "$0"; exit 2 ;;
	esac
done
# Of a pattern's pages; of a program's, below the budget that it was recorded with.
pattern_sizes=2%,5%,10%,20%,50%,80%,90%,95%
program_sizes=10%,20%,30%,40%
work=$(mktemp -d /var/tmp/quire-policies.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
: "${traces:=$work}"
mkdir -p "$traces" || exit 1
wrap=()
. "$here/workloads.sh"

# make_pattern NAME SEED FILE
make_pattern()
{
	"$build/quire" replay --generate "$1" --pages 20000 --accesses 1000000 --seed "$2" >"$3.part" && mv "$3.part" "$3"
}

# make_recording NAME FILE
make_recording()
{
	local kib ram
	"prepare_$1" || return
	wrap=("$build/tests/system/sample_rss" --timeout 250 --out "$work/rss" --)
	run_program "$1" >"$work/out.native" 2>"$work/errors" || return
	read -r kib _ <"$work/rss"
	ram=$((kib / 2048 < 24 ? 24 : kib / 2048))
	wrap=(timeout 280 "$build/quire" record -q -o "$2.part" --ram "${ram}M" --swap "$work" --)
	run_program "$1" >"$work/out.recorded" 2>"$work/errors" || return
	cmp -s "$work/out.native" "$work/out.recorded" || { echo "policies: $1: THE OUTPUTS DIFFER" >&2; return 1; }
	mv "$2.part" "$2"
}

patterns=() programs=()
for name in ${only//,/ }; do
	case $name in
	scan+hot | loop | zipf-shift)
		for seed in 1 2; do
			file=$traces/$name.$seed
			[ -s "$file" ] || make_pattern "$name" $seed "$file" || exit 1
			patterns+=("$file")
		done ;;
	*)
		declare -F "prepare_$name" >/dev/null || { echo "policies: no trace '$name'" >&2; exit 2; }
		file=$traces/$name
		[ -s "$file" ] || make_recording "$name" "$file" || {
			echo "policies: $name cannot be recorded" >&2
			tail -n 5 "$work/errors" >&2
			exit 1
		}
		programs+=("$file") ;;
	esac
done

# replay NAME MODE SIZES TRACE...: $work/NAME.json
replay()
{
	local name=$1 mode=$2 sizes=$3
	shift 3
	[ $# -gt 0 ] || return 0
	"$build/quire" replay -q --json --sampling "$mode" --policy "lru,clock,$policy" --sizes "$sizes" "$@" \
		>"$work/replay.$name.json"
}

for mode in unmap:1/16 none; do
	replay "patterns.${mode%%:*}" $mode $pattern_sizes "${patterns[@]}" || exit 1
	replay "programs.${mode%%:*}" $mode $program_sizes "${programs[@]}" || exit 1
done
python3 "$here/policies.py" "$policy" "${json:--}" "$work"/replay.*.json
