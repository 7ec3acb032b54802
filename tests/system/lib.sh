# Common ground of the system tests; sourced. TAP output.
# Environment: QUIRE (the binary), QR_BUILD_ROOT (its build folder), QR_SCALE (percent of the full sizes, default 100).
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${QR_BUILD_ROOT:-$root/build}
QUIRE=${QUIRE:-$build/quire}
sample_rss=$build/tests/system/sample_rss
scale=${QR_SCALE:-100}
nr_checks=0
nr_failed=0
work=$(mktemp -d "${QR_TEST_TMP:-/var/tmp}/quire-test.XXXXXX")
swap=$work/swap
mkdir "$swap"
trap clean_up EXIT
export LC_ALL=C

# Commands that undo what a test did outside its work folder, run last first at the end.
undo=()
clean_up()
{
	local i
	for ((i = ${#undo[@]} - 1; i >= 0; i--)); do
		eval "${undo[i]}"
	done
	rm -rf "$work"
}

# ok STATUS NAME [FILE]: one check; on failure FILE is shown as comments.
ok()
{
	nr_checks=$((nr_checks + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $nr_checks - $2"
		return 0
	fi
	nr_failed=$((nr_failed + 1))
	[ -n "${3:-}" ] && [ -s "$3" ] && tail -n 20 "$3" | sed 's/^/# /'
	echo "not ok $nr_checks - $2"
	return 1
}

# is GOT WANTED NAME
is()
{
	[ "$1" = "$2" ]
	ok $? "$3" || echo "# got '$1', not '$2'"
}

# asks STATUS COMMAND ARGUMENT...: a command of quire that answers and ends; $work/out, $work/err
asks()
{
	local wanted=$1
	shift
	timeout 300 "$QUIRE" "$@" >"$work/out" 2>"$work/err" </dev/null
	is $? "$wanted" "quire $*: exit status $wanted" || tail -n 5 "$work/err" | sed 's/^/# /'
}

# refuses STATUS PATTERN COMMAND ARGUMENT...: says why, and nothing on standard output
refuses()
{
	local wanted=$1 pattern=$2
	shift 2
	asks "$wanted" "$@"
	[ ! -s "$work/out" ] && grep -qE -- "^quire: $1: .*$pattern" "$work/err"
	ok $? "quire $*: says why" "$work/err"
}

# json EXPRESSION NAME: a truth about $work/out as Python sees it, x; where it is a list, r has its members by id
json()
{
	python3 -c 'import json, sys
x = json.load(open(sys.argv[1]))
r = {row.get("id"): row for row in x} if isinstance(x, list) else {}
assert eval(sys.argv[2]), x' "$work/out" "$1" >"$work/why" 2>&1
	ok $? "$2" "$work/why"
}

note()
{
	echo "# $*"
}

skip_all()
{
	echo "1..0 # SKIP $*"
	exit 0
}

finish()
{
	is "$(find "$swap" -mindepth 1 | wc -l)" 0 "nothing is left in the swap directory"
	echo "1..$nr_checks"
	[ "$nr_failed" -eq 0 ]
	exit
}

# The tests need the launcher, the preload library and the right to handle page faults.
needs_quire()
{
	[ -x "$QUIRE" ] || skip_all "no $QUIRE"
	[ -f "$build/libquire-preload.so" ] || skip_all "no preload library in $build"
	"$QUIRE" doctor >"$work/doctor" 2>&1 || skip_all "quire doctor: cannot run here"
}

# needs PROGRAM...
needs()
{
	local program
	for program in "$@"; do
		command -v "$program" >/dev/null || skip_all "$program is not installed"
	done
}

# scaled N: N at the chosen scale, at least 1.
scaled()
{
	echo $((($1 * scale + 99) / 100))
}

# native NAME TIMEOUT COMMAND...: without quire; $work/NAME.native.{out,err,rss}
native()
{
	local name=$1 timeout=$2
	shift 2
	"$sample_rss" --timeout "$timeout" --out "$work/$name.native.rss" -- "$@" \
		>"$work/$name.native.out" 2>"$work/$name.native.err" </dev/null
}

# budgeted NAME TIMEOUT RAM_MIB COMMAND...: under quire; $work/NAME.{out,err,rss}; checks the RAM of the whole tree.
budgeted()
{
	local name=$1 timeout=$2 ram=$3 status
	shift 3
	"$sample_rss" --timeout "$timeout" --out "$work/$name.rss" -- \
		"$QUIRE" run --ram "${ram}M" --swap "$swap" ${QR_RUN_FLAGS:-} -- "$@" \
		>"$work/$name.out" 2>"$work/$name.err" </dev/null
	status=$?
	note "$name: $(grep '^quire: ' "$work/$name.err" | tail -n 1)"
	is $status 0 "$name: exit status" || tail -n 20 "$work/$name.err" | sed 's/^/# /'
	in_budget "$name" "$work/$name.rss" "$ram"
	peak_in_budget "$name" "$ram"
	return $status
}

# peak_in_budget NAME RAM_MIB: what the summary says was used at most is within the same bounds.
peak_in_budget()
{
	local peak
	peak=$(sed -n 's/^quire: budget .*, peak \([0-9.]* [KMGT]*i\{0,1\}B\),.*/\1/p' "$work/$1.err" | tail -n 1)
	awk -v peak="$peak" -v ram="$2" 'BEGIN {
		split(peak, part, " ")
		mib = part[1] * (part[2] == "GiB" ? 1024 : part[2] == "KiB" ? 1 / 1024 : 1)
		exit !(mib > 0 && mib <= ram + 16 + ram / 50)
	}'
	ok $? "$1: the summary's peak ($peak) stays in the budget"
}

# in_budget NAME FILE RAM_MIB: the largest sample is at most the budget + 16 MiB + 2 %.
in_budget()
{
	local max_kib samples ms limit_kib=$(($3 * 1024 + 16 * 1024 + $3 * 1024 / 50))
	read -r max_kib samples ms <"$2"
	note "$1: at most $((max_kib / 1024)) MiB of RAM in $samples samples, budget $3 MiB, $ms ms"
	[ "$max_kib" -le "$limit_kib" ] && [ "$samples" -gt 0 ]
	ok $? "$1: RAM of the process tree stays in the budget ($((max_kib / 1024)) of $((limit_kib / 1024)) MiB)"
}

peak_mib()
{
	local max_kib rest
	read -r max_kib rest <"$1"
	echo $((max_kib / 1024))
}
