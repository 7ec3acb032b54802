#!/bin/bash
# What quire costs where nothing is short: wall time of real programs, native and under quire with a budget that fits,
# interleaved. usage: fits.sh [BUILD] [ROUNDS]; prints the median, the range and the ratio of each program.
set -u
build=${1:-build}
rounds=${2:-5}
quire=$build/quire
export LC_ALL=C PYTHONHASHSEED=0
work=$(mktemp -d /var/tmp/quire-fits.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

"$build/bench/gendata" 128 3 >"$work/text" || exit 1
cat >"$work/objects.py" <<'EOF'
rows = [(i * 7919 % 1000003, "row %d" % i, [i]) for i in range(400000)]
rows.sort()
index = {name: key for key, name, rest in rows}
print(sum(index[name] for key, name, rest in rows), len(index))
EOF
cat >"$work/load.sql" <<'EOF'
CREATE TABLE t(id INTEGER PRIMARY KEY, a INTEGER, b TEXT);
WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 400000)
INSERT INTO t SELECT i, i * 7919 % 100003, 'text ' || (i * 2654435761 % 4294967296) FROM c;
CREATE INDEX t_a ON t(a, b);
SELECT count(*), sum(x.a) FROM t x JOIN t y ON y.id = x.a;
EOF

run_python() { "$@" python3 "$work/objects.py"; }
run_sort() { "$@" sort -S 256M --parallel=2 "$work/text"; }
run_sqlite() { "$@" sqlite3 -batch -init /dev/null :memory: ".read $work/load.sql"; }

# timed NAME COMMAND...: one line "milliseconds checksum"
timed()
{
	local started ended sum
	started=$(date +%s%N)
	sum=$("$@" 2>>"$work/errors" </dev/null | cksum)
	ended=$(date +%s%N)
	echo "$(((ended - started) / 1000000)) $sum"
}

for ((round = 0; round < rounds; round++)); do
	for program in python sort sqlite; do
		timed "run_$program" env >>"$work/$program.native"
		timed "run_$program" "$quire" run --quiet --ram 1G --swap "$work" -- >>"$work/$program.quire"
	done
done

# median FILE: median, smallest and largest of the first column
spread()
{
	sort -n "$1" | awk '{v[NR] = $1} END {printf "%d %d %d", NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2, v[1], v[NR]}'
}

status=0
printf '%-8s %26s %26s %6s\n' program 'native ms (range)' 'quire ms (range)' ratio
for program in python sort sqlite; do
	read -r native native_min native_max <<<"$(spread "$work/$program.native")"
	read -r own own_min own_max <<<"$(spread "$work/$program.quire")"
	printf '%-8s %8d (%6d ..%6d) %8d (%6d ..%6d) %6.3f\n' $program "$native" "$native_min" "$native_max" \
		"$own" "$own_min" "$own_max" "$(awk "BEGIN {print $own / $native}")"
	if [ "$(cut -d' ' -f2- "$work/$program.native" "$work/$program.quire" | sort -u | wc -l)" != 1 ]; then
		echo "fits: $program: the outputs differ" >&2
		tail -n 3 "$work/errors" >&2
		status=1
	fi
done
exit $status
